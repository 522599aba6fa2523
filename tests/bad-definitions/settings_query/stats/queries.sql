-- query stat_rows()
SELECT id FROM seen;
