-- on a
INSERT OR IGNORE INTO notes(id) VALUES($id);
-- may change nothing
INSERT OR IGNORE INTO notes(id) VALUES($id);
UPDATE OR IGNORE notes SET n = 1;
