-- on orders.put
INSERT INTO totals(customer, sum) VALUES ($custmer, :position);
-- on orders.deleted
UPDATE totals SET sum = sum - (SELECT total FROM orders WHERE id = $id);
-- on ordrs.put
DELETE FROM totals WHERE customer = random();
-- on daybook.model.skip
DELETE FROM totals;
-- on totals.put
DELETE FROM totals WHERE sum > 1;
