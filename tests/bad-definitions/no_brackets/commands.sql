-- command jobs.clear
-- delete jobs
SELECT id FROM jobs;
