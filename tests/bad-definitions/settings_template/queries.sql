-- query names()
SELECT name FROM settings;
