-- query all_orders()
SELECT id FROM shared;
-- query shared_ids()
SELECT id FROM shared;
