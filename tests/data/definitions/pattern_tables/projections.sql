-- on note.put
UPDATE log SET a = 1;
-- on log.put
UPDATE log SET a = 1;
-- on tags.deleted
UPDATE log SET a = 1;
