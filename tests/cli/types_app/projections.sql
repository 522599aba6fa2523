-- on job.progressed
INSERT INTO progress(job, percent) VALUES ($job, $pct) ON CONFLICT(job) DO UPDATE SET percent = excluded.percent;
