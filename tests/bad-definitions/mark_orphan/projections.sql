-- on a
UPDATE notes SET n = 1;
-- may change nothing
-- on b
UPDATE notes SET n = 1;
-- may change nothing
