-- query shared_ids()
SELECT id FROM two_rows;
