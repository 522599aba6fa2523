-- on note.made
INSERT INTO notes (id, title) VALUES ($id, $title);
