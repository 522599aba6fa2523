-- on orders.put
INSERT INTO t_four(id) VALUES ($id);
