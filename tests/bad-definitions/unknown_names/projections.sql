-- on a
UPDATE note SET n = 1;
UPDATE notes SET titel = $title;
UPDATE notes SET n = upperr($x);
