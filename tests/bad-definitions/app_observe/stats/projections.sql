-- on a.b
INSERT INTO heard VALUES($id, 1);
