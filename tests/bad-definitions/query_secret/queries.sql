-- query a(x SECRET)
SELECT :x;
