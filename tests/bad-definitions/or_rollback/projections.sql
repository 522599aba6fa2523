-- on a
-- may change nothing
INSERT OR ROLLBACK INTO notes(id) VALUES($id);
INSERT OR FAIL INTO notes(id) VALUES($id);
INSERT OR ABORT INTO notes(id) VALUES($id);
