CREATE TABLE a(id TEXT PRIMARY KEY, b TEXT DEFAULT (hex(randomblob(16))), c INTEGER DEFAULT (abs(random())));
