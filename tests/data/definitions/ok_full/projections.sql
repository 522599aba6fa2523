-- on job.queued, job.again
INSERT INTO jobs(id, at) VALUES($id, CURRENT_TIMESTAMP);
-- a comment
  -- on an indented line
--- on three dashes
-- on job.*
-- may change nothing
UPDATE jobs SET pct = $pct::now WHERE id = $id;
-- on *
DELETE FROM jobs WHERE id = :event