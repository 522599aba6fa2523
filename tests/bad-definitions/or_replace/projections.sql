-- on a
INSERT OR REPLACE INTO notes(id) VALUES($id);
REPLACE INTO notes(id) VALUES($id);
UPDATE OR REPLACE notes SET n = 1;
-- may change nothing
REPLACE INTO notes(id) VALUES($id);
