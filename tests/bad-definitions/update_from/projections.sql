-- on a
UPDATE notes SET n = b.n FROM notes AS b WHERE b.id = notes.title;
UPDATE notes SET n = 1 WHERE id IS NOT DISTINCT FROM $id;
UPDATE notes SET n = (SELECT max(n) FROM notes) WHERE id = $id;
