CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);
CREATE TABLE prefs(scope TEXT NOT NULL, name TEXT NOT NULL, value JSON, PRIMARY KEY(scope, name));
