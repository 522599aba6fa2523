-- on a
UPDATE notes SET title = datetime('now', 'localtime');
UPDATE notes SET title = datetime($at, 'utc');
