-- query by_status(status TEXT, since DATETIME?, top INTEGER = 10)
SELECT id, title, options, length(title) AS letters FROM jobs WHERE status = :status AND made > ifnull(:since, '') ORDER BY id LIMIT :top;

-- query counts() returns (TEXT, INTEGER)
SELECT status, count(*) AS jobs FROM jobs GROUP BY status;

-- query progress_of(id)
SELECT jobs.id, jobs.status, progress.* FROM jobs LEFT JOIN progress ON progress.job = jobs.id WHERE jobs.id = :id;

-- query urgent()
SELECT id, title FROM urgent_jobs ORDER BY id;
