-- on a
UPDATE notes SET n = (SELECT n FROM notes LIMIT 1);
UPDATE notes SET n = (SELECT n FROM notes ORDER BY title LIMIT 1);
UPDATE notes SET n = (SELECT n FROM notes ORDER BY title, id LIMIT 1);
UPDATE notes SET n = (SELECT a.n FROM notes a, notes b ORDER BY a.id LIMIT 1);
