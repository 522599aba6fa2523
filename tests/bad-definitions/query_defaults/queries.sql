-- query a(a INTEGER = 'x', b TEXT = 5, c REAL = 1.5, d BOOLEAN = 2, e JSON = '{"a":', f JSON = '[1]', g TEXT = NULL, h INTEGER = -3, i TEXT = 'it''s')
SELECT :a, :b, :c, :d, :e, :f, :g, :h, :i;
