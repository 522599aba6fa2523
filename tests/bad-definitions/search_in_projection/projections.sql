-- on a.b
INSERT INTO seen(id, n) SELECT $id, count(*) FROM find WHERE find MATCH 'x';
