CREATE TABLE "my notes"(id TEXT PRIMARY KEY);
CREATE TABLE ok(id TEXT PRIMARY KEY, "a b" TEXT, größe TEXT);
CREATE TABLE xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx(id TEXT PRIMARY KEY);
