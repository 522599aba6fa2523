-- query all_notes()
SELECT id, title FROM notes;
-- query some(x)
SELECT id FROM authors;
