-- command job.start(id TEXT)
-- Require 'it is new'
-- require 'it is new'
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE id = :id);
-- els ok
-- put jobs
SELECT :id AS id, 'new' AS state;
-- Put jobs
-- Put the jobs away
-- retrun
-- comand job.stop(id TEXT)
