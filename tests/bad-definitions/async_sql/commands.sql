-- command orders.check(id TEXT)
-- require 'none'
SELECT 1 FROM totals WHERE customer = :id;
-- delete orders
SELECT :id AS id;
