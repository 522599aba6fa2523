-- command note.make(title TEXT)
-- put notes
SELECT :title AS title;
