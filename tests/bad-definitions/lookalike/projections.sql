-- on the other hand, this is a comment
-- on a.b,c
-- on
-- on a b
-- on a..b
-- on *.a
-- on 1a
-- online is a comment
-- on a
UPDATE notes SET n = 1;
