-- on job.progressed
UPDATE progress SET pct = $pct WHERE job = $job;
