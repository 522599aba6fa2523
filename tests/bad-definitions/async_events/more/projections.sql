-- on orders.put
INSERT INTO others(id) VALUES ($id);
