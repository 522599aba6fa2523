-- on a
DELETE FROM a;
