-- on a
UPDATE sums SET x = (SELECT sum(r) FROM sums);
UPDATE sums SET x = (SELECT avg(i) FROM sums);
UPDATE sums SET x = (SELECT total(i * 1.5) FROM sums);
UPDATE sums SET i = (SELECT sum(i + 1) FROM sums);
