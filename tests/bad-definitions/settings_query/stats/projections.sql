-- on jobs.put
INSERT INTO seen VALUES($id);
