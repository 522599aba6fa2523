-- on orders.put
INSERT INTO shared(id) VALUES ($id);
