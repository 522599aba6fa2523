-- query notes_of(title TEXT, top INTEGER = 10, from DATETIME?) returns (id TEXT, JSON)
SELECT id, title FROM notes WHERE title = :title AND id > ifnull(:from, :time) LIMIT :top;
-- query all()
SELECT id FROM notes
