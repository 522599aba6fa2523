-- on a
UPDATE notes SET n = rowid;
DELETE FROM notes WHERE _rowid_ = 1;
UPDATE notes SET n = (SELECT max(oid) FROM notes);
