-- on order.paid, order.unpaid
INSERT INTO sums(customer, total) VALUES ($customer, $total) ON CONFLICT(customer) DO UPDATE SET total = total + $total;
