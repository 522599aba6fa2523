-- query platform_days()
SELECT platform, sum(count) AS count FROM published_by_day GROUP BY platform ORDER BY platform;
