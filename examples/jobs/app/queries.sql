-- query jobs_by_status(status TEXT, top INTEGER = 100)
SELECT id, url, priority, created_at, retries, error FROM jobs WHERE status = :status
ORDER BY priority DESC, created_at, id LIMIT :top;
-- query job(id UUID)
SELECT j.*, m.video_path, m.duration_sec, m.source_title, m.file_size_bytes FROM jobs j LEFT JOIN media m ON m.job_id = j.id
WHERE j.id = :id;
-- query events_of(id UUID, after INTEGER = 0) returns (n INTEGER, DATETIME, event TEXT, payload JSON)
SELECT n, ts, event, payload FROM job_events WHERE job_id = :id AND n > :after ORDER BY n;
-- query counts()
SELECT status, count(*) AS jobs FROM jobs GROUP BY status ORDER BY status;
-- query ended_before(time_limit DATETIME)
SELECT id, status FROM jobs WHERE status IN ('COMPLETE', 'FAILED', 'CANCELED') AND created_at < :time_limit ORDER BY created_at, id;
