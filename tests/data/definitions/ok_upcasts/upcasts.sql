-- upcast job.done 2 -> 3
SELECT json_remove(:data, '$.old') WHERE :type IS NOT NULL;
-- upcast job.done 1 -> 2
SELECT json_set(:data, '$.new', json_extract(:data, '$.old'), '$.stream', :stream, '$.at', :time);
-- upcast notes.put 2 -> 3
SELECT :data
