-- undo order.paid
SELECT 'order.unpaid' AS type, :stream AS stream, :data AS data;
