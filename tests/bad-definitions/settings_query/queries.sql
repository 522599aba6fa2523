-- query job_list(most INTEGER = 10, title TEXT?)
SELECT id, title FROM jobs WHERE title = ifnull(:title, title) LIMIT :most;
-- query jobs_of(title TEXT)
SELECT id FROM jobs WHERE title = :title;
-- query twice()
SELECT id, title AS id FROM jobs;
