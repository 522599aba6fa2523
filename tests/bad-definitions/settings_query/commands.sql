-- command jobs.import(rows JSON)
-- else ok
-- put jobs
SELECT value->>'id' AS id FROM json_each(:rows);
-- command job.done(id TEXT)
-- delete jobs
SELECT :id AS id;
-- command two(rows JSON, more JSON?)
-- else ok
-- put jobs
SELECT value->>'id' AS id FROM json_each(:rows) WHERE :more IS NULL;
