-- on orders.put
INSERT INTO totals(customer, sum) VALUES ($customer, $total) ON CONFLICT(customer) DO UPDATE SET sum = sum + $total;
