-- on order.*
INSERT INTO wide_counts(type, n) VALUES (:type, 1) ON CONFLICT(type) DO UPDATE SET n = n + 1;
