-- on a
UPDATE notes SET title = (SELECT group_concat(id) FROM notes);
UPDATE notes SET title = (SELECT json_group_array(id) FROM notes);
