-- command job.start(id TEXT, urgent BOOLEAN = 0)
-- else 'job {id} is not queued'
-- patch jobs
SELECT id, 'RUNNING' AS status, :urgent AS urgent FROM jobs WHERE id = :id AND status = 'QUEUED';
-- return
SELECT id, status FROM jobs WHERE id = :id;

-- command job.forget(id TEXT)
-- delete jobs
SELECT id FROM jobs WHERE id = :id;
