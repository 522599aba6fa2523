-- on a
DELETE FROM notes WHERE id = $id RETURNING id;
