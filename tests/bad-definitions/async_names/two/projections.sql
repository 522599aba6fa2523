-- on orders.put
INSERT INTO two_rows(id) VALUES ($id);
