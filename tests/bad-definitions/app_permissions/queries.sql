-- query all_notes()
SELECT id, title FROM notes;
