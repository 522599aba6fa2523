-- upcast job.done 1 -> 3
SELECT :data;
-- upcast job.done 2 -> 3
SELECT :data;
-- upcast job.done 2 -> 3
SELECT :data, 1;
-- upcast job.late 3 -> 4
SELECT :data;
-- upcast daybook.x 1 -> 2
SELECT :data FROM notes;
-- upcast notes.put 1 -> 2
UPDATE notes SET n = 1;
-- upcast notes.patched 1 -> 2
SELECT random();
SELECT :actor;
-- upcast notes.deleted 2 -> 3
SELECT :datta, $x;
-- upcast notes.deleted 1
-- upcast a.b 1 -> 2
