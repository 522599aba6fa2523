-- upcast job.done 1 -> 2
SELECT :data;
-- upcast job.done 3 -> 4
SELECT :data;
