-- on a
UPDATE notes SET n = random();
UPDATE notes SET title = hex(RandomBlob(4));
UPDATE notes SET n = changes() + total_changes();
UPDATE notes SET n = last_insert_rowid();
