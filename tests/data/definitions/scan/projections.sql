-- on a
UPDATE notes SET n = 1 WHERE title = $title;
