-- on a
INSERT INTO notes(id) SELECT value FROM json_each($ids);
