-- command a()
-- put nots
SELECT 'x' AS id;
-- put seen
SELECT 'x' AS id;
-- patch notes
UPDATE notes SET title = 'x';
-- require 'x'
DELETE FROM notes;
-- let n
SELECT random();
-- return
SELECT :n, * FROM nots;
