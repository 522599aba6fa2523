-- command a(x TEXT, y INTEGER)
-- put notes
SELECT :x AS id, :z AS title, ? AS n;
-- command b(time TEXT, key TEXT, x TEXT, x TEXT)
-- require 'no {x} and {xx}'
SELECT 1;
-- let n
SELECT 1;
-- let x
SELECT 2;
-- let m
SELECT 1, 2;
-- put notes
SELECT :m AS id;
-- command c(n INTEGER = 'x', j JSON = '{', s SECRET)
SELECT :n AS type, :j AS stream, :s AS data;
