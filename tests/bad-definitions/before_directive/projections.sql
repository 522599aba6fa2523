UPDATE notes SET n = 1;
DELETE FROM notes;
-- on a
UPDATE notes SET n = 1;
