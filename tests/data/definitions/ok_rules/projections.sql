-- on job.progressed
UPDATE progress SET pct = $pct WHERE job = $job;
-- on job.counted
UPDATE notes SET n = n + 1 WHERE id = $note;
