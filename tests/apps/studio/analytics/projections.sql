-- on content.published
INSERT INTO published_by_day(day, platform, count) VALUES ($day, $platform, 1)
ON CONFLICT (day, platform) DO UPDATE SET count = count + 1;
