-- query all_jobs
SELECT id FROM jobs;
