-- on a
INSERT INTO notes(id, n) SELECT id, n FROM notes ON CONFLICT(id) DO UPDATE SET n = 1;
INSERT INTO notes(id, n) SELECT id, n FROM notes WHERE true ON CONFLICT(id) DO UPDATE SET n = 1;
