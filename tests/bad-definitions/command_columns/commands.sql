-- command a()
-- patch notes
SELECT 'x' AS title;
-- patch notes
SELECT 'x' AS id, 'y' AS titel;
-- delete pairs
SELECT 'a' AS a, 'b' AS b, 'c' AS note;
-- delete pairs
SELECT 'a' AS a, 'b' AS a;
-- put notes
SELECT 'x' AS id, 1 AS n, 2 AS n, 3 AS expect;
SELECT 'a' AS type, 'b' AS date;
SELECT 'a' AS type;
