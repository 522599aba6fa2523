-- on a
UPDATE notes SET n = n + 1 WHERE id = $id;
-- on b
UPDATE notes SET n = 1, title = $t WHERE id = $id;
-- on notes.put
-- may change nothing
UPDATE notes SET n = 0 WHERE id = $id;
