-- query a()
SELECT 1;
SELECT 2;
-- query b()
-- query A()
SELECT 3;
