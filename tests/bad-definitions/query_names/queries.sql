-- query a()
SELECT titel FROM notes;
-- query b()
SELECT * FROM nots;
-- query c()
SELECT FROM notes;
