-- query a(x TEXT, y INTEGER)
SELECT id FROM notes WHERE id = :x AND n = :z;
-- query b(time TEXT, x TEXT, x TEXT)
SELECT :x, :time;
-- query c()
SELECT ?, $x, @y;
