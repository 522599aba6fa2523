-- query open_tasks()
SELECT id, title, weight FROM tasks WHERE state IN ('open', 'doing') ORDER BY weight DESC, id;

-- query audit_of(task TEXT)
SELECT time, actor, type FROM audit WHERE task = :task ORDER BY time, event;
