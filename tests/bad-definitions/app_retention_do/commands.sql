-- command right(job TEXT, why TEXT = 'old')
SELECT 'gone' AS type, 'p/' || :job AS stream, json_object('job', :job, 'why', :why) AS data;
-- command other(id TEXT)
SELECT 'gone' AS type, 'p/' || :id AS stream;
-- command more(job TEXT, who TEXT)
SELECT 'gone' AS type, 'p/' || :job AS stream, json_object('who', :who) AS data;
