-- query all_orders()
SELECT id FROM orders;
