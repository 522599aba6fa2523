-- query a() returns (TEXT, JSON)
SELECT id FROM notes;
-- query b()
SELECT a.id, b.id FROM notes a, notes b;
