-- A settings store of one file, as an app's main process kept it: documents by name, windows, an audit that nobody edits.
CREATE TABLE documents (
  name TEXT PRIMARY KEY NOT NULL,
  value JSON
);

CREATE TABLE members (
  scope TEXT NOT NULL,
  name TEXT NOT NULL,
  value JSON,
  PRIMARY KEY (scope, name)
) WITHOUT ROWID;

CREATE TABLE tasks (
  id TEXT PRIMARY KEY NOT NULL,
  title TEXT NOT NULL CHECK (length(title) <= 200),
  state TEXT NOT NULL DEFAULT 'open',
  weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 9),
  notes TEXT NOT NULL DEFAULT '',
  created DATETIME,
  changed DATETIME
);

CREATE INDEX tasks_by_state ON tasks(state, weight DESC);

-- One row for each change of a task, by whom: written by the projection alone.
CREATE TABLE audit (
  event TEXT PRIMARY KEY NOT NULL,
  time DATETIME NOT NULL,
  actor TEXT NOT NULL,
  type TEXT NOT NULL,
  task TEXT NOT NULL
);
CREATE INDEX audit_by_task ON audit(task, time);
