-- on a
INSERT INTO notes(id, n) SELECT id, count(*) FROM notes;
INSERT INTO notes(id, n) SELECT id, max(n) FROM notes GROUP BY title;
INSERT INTO notes(id, n) SELECT id, max(n) FROM notes GROUP BY id;
INSERT INTO notes(id, n) SELECT title, max(n, 2) FROM notes;
