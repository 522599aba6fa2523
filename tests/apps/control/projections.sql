-- on tasks.put, tasks.patched
INSERT INTO audit(event, time, actor, type, task) VALUES (:event, :time, coalesce(:actor, ''), :type, $id);
-- on tasks.deleted
INSERT INTO audit(event, time, actor, type, task) VALUES (:event, :time, coalesce(:actor, ''), :type, $id);
