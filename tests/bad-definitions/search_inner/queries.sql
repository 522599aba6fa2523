-- query inner()
SELECT c0 FROM find_content;
-- query good()
SELECT id, rank FROM find('x') ORDER BY rank;
