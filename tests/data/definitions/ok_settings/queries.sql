-- query all_settings(most INTEGER = 100)
SELECT name, value FROM settings ORDER BY name LIMIT :most;
