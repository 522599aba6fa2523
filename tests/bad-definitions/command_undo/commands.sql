-- undo note.seen
SELECT 'note.unseen' AS type, :stream AS stream, :data AS data;
-- undo note.seen
SELECT 'note.unseen' AS type, :stream AS stream, :daat AS data;
-- undo notes.put
SELECT 'x' AS type, 'y' AS stream;
-- undo daybook.dismissed
SELECT 'x' AS type, 'y' AS stream;
-- undo note.moved
-- put notes
SELECT 'x' AS id;
-- return
SELECT 1;
-- undo note.left
-- undo
-- undo note.gone()
