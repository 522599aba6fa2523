-- on orders.put
INSERT INTO t_three(id) VALUES ($id);
