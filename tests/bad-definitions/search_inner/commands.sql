-- command note.count()
-- put notes
SELECT 'n' AS id, (SELECT count(*) FROM find_docsize) AS title;
-- command note.found(what TEXT)
-- patch notes
SELECT id, 'found' AS title FROM find(:what);
