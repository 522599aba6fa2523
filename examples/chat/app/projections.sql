-- on interactions.put
INSERT INTO activity (day, asked) VALUES (date(:time), 1)
ON CONFLICT (day) DO UPDATE SET asked = asked + 1;
