-- on a, b, a
UPDATE notes SET n = 1;
-- on daybook.trimmed
UPDATE notes SET n = 1;
