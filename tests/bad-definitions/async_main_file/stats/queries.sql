-- query richest()
SELECT customer FROM rich;
