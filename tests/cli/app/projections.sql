-- on vote.cast
INSERT INTO tally(type, count) VALUES ($for, 1) ON CONFLICT(type) DO UPDATE SET count = count + 1;
