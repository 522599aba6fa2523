-- on a
-- may change nothing at all
UPDATE notes SET n = 1;
