-- on orders.put
INSERT INTO t_six(id) VALUES ($id);
