-- on job.done, job.ended
INSERT INTO logs(id, n) VALUES ($id, $nope);
-- on others.patched
INSERT INTO logs(id, n) VALUES ($id, 1);
