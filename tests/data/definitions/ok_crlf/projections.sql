-- on x
INSERT INTO a VALUES($id);
