-- on job.done
INSERT INTO seen(id) VALUES ($id);
--on job.cleared
DELETE FROM seen WHERE id = $id;
-- On job.*, job.swept
-- may change nothing
DELETE FROM seen WHERE id = $id;
-- On a day when nothing happens this is a comment, and so is
-- one thing
--- on job.gone
-- of job.gone
