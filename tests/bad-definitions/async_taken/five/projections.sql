-- on orders.put
INSERT INTO t_five(id) VALUES ($id);
