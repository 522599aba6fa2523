-- on a
UPDATE b SET x = random();
-- on the whole
UPDATE b SET x = :position WHERE y = $y;
