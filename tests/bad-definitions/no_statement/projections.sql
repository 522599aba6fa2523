-- on a
-- on b
UPDATE notes SET n = 2;
-- on c
