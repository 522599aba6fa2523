-- query all_jobs()
SELECT id FROM jobs;
-- Query all_of(state TEXT)
