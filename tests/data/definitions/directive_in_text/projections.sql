-- on a
UPDATE notes SET title = '
-- on b
' WHERE id = $id /*
-- on c
*/;
