-- query a(x)
SELECT x FROM b;
-- query b()
SELECT z FROM b;
