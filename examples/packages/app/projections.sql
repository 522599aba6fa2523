-- on dpkg.status
INSERT INTO installation(package, state, version, changed, events)
VALUES ($package, $state, $version, $at, 1)
ON CONFLICT(package) DO UPDATE SET
  state = excluded.state, version = excluded.version, changed = excluded.changed, events = events + 1;
