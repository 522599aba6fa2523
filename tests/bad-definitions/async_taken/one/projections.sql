-- on orders.put
INSERT INTO t_one(id) VALUES ($id);
