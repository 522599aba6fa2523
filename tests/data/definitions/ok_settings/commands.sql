-- command settings.import(rows JSON)
-- else ok
-- put settings
SELECT value->>'name' AS name, value->'value' AS value FROM json_each(:rows);
