-- on a
UPDATE notes SET n = 1
-- on b
UPDATE notes SET n = 2;
