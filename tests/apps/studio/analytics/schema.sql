CREATE TABLE published_by_day (
  day TEXT NOT NULL,
  platform TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (day, platform)
);
