-- put notes
SELECT 'x' AS id;
-- command a()
-- else 'x'
-- require 'y'
SELECT 1;
-- put notes
-- else ok
-- command b()
-- return
SELECT 1;
SELECT 2;
-- put notes
SELECT 'x' AS id;
-- return
SELECT 3;
-- command c()
