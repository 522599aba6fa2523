--- a comment
-- command note.add(id TEXT, title TEXT = 'it''s', n INTEGER = 2, tags JSON = '[]')
-- else 'no {title}'
-- put notes
SELECT :id AS id, :title AS title, :n + json_array_length(:tags) AS n;
-- command note.seen(id TEXT?)
-- let known
SELECT count(*) FROM seen WHERE id = :id;
-- require 'note {id} was seen {known} times, at { } or {9}'
SELECT 1 WHERE :known = 0;
SELECT 'note.seen' AS type, 'note/' || :id AS stream, json_object('id', :id, 'by', :actor, 'at', :time) AS data;
-- else ok
SELECT 'note.twice' AS type, 'note/' || :id AS stream, 1 AS expect WHERE :known > 1;
-- delete pairs
SELECT a, b, 'exists' AS expect FROM pairs WHERE a = :id;
-- return
SELECT :key AS key, id FROM notes WHERE id = :id
