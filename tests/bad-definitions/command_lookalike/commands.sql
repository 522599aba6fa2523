-- command a(x TEX)
-- command b (x)
-- command 9()
-- command d()
-- require no
SELECT 1;
-- let 9
-- else maybe
-- put the note away
-- put notes
SELECT 'x' AS id;
-- return of the note
-- delete
-- patch: notes
