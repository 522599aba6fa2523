-- on orders.put
INSERT INTO sums(id, n) VALUES ($id, $nope);
-- on job.done
INSERT INTO sums(id, n) VALUES ($id, $nope::inner);
-- on sums.put, others.deleted
INSERT INTO sums(id, n) VALUES ($id, $n);
