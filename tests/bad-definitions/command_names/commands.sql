-- command put()
SELECT 'a' AS type, 'b' AS stream;
-- command daybook.x()
SELECT 'a' AS type, 'b' AS stream;
-- command a.b()
SELECT 'a' AS type, 'b' AS stream;
-- command A.b()
SELECT 'a' AS type, 'b' AS stream;
