-- The catalogue: one row per package that this machine could install.
CREATE TABLE package (
  name           TEXT PRIMARY KEY NOT NULL,
  version        TEXT NOT NULL,
  architecture   TEXT NOT NULL,
  section        TEXT,
  priority       TEXT,
  maintainer     TEXT,
  homepage       TEXT,
  installed_size INTEGER CHECK (installed_size >= 0),   -- KiB
  size           INTEGER CHECK (size >= 0),             -- bytes of the .deb
  depends        TEXT,
  summary        TEXT
) WITHOUT ROWID;
CREATE INDEX package_section ON package(section, installed_size);
CREATE INDEX package_maintainer ON package(maintainer, installed_size);

-- What dpkg did here, as its events tell it.
CREATE TABLE installation (
  package TEXT PRIMARY KEY NOT NULL,
  state   TEXT NOT NULL,
  version TEXT,
  changed TEXT NOT NULL,
  events  INTEGER NOT NULL
) WITHOUT ROWID;
