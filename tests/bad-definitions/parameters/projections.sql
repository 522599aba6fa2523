-- on a
UPDATE notes SET n = :position, title = :version WHERE id = :id;
UPDATE notes SET n = ?, title = @x WHERE id = :strem;
UPDATE notes SET n = $a::b::c, title = $é;
