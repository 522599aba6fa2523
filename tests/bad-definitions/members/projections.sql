-- on notes.put
UPDATE log SET a = $titel;
-- on notes.deleted
UPDATE log SET a = $title WHERE id = $id;
-- on notes.patched
UPDATE log SET a = $title::x WHERE id = $nope;
