-- on note.seen
INSERT INTO seen(id) VALUES ($id);
