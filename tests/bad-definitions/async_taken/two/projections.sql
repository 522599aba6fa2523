-- on orders.put
INSERT INTO t_two(id) VALUES ($id);
