-- query a()
DELETE FROM notes;
-- query b()
WITH x AS (SELECT 1) DELETE FROM notes;
-- query c()
PRAGMA user_version;
-- query d()
SELECT random();
