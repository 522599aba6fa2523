-- on a
UPDATE notes SET n = (SELECT count(*) FROM sqlite_schema);
DELETE FROM _daybook_skips;
UPDATE main.notes SET n = 1;
UPDATE notes SET n = (SELECT count(*) FROM pragma_table_info('notes'));
UPDATE notes SET n = (SELECT count(*) FROM dbstat);
