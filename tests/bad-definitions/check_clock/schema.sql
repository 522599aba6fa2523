CREATE TABLE a(id TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP CHECK(at <= CURRENT_TIMESTAMP), b TEXT DEFAULT (datetime('now')) CHECK(b < date('now')));
CREATE INDEX i ON a(date(at, 'localtime'));
