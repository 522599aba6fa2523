-- query titled(title TEXT)
SELECT id, stars FROM notes WHERE title = :title;

-- query starred(least INTEGER = 1)
SELECT id FROM notes WHERE stars >= :least ORDER BY id;
