-- query shelf(kind TEXT = 'video', top INTEGER = 50)
SELECT m.id, m.title, m.language, p.position FROM media AS m LEFT JOIN progress AS p ON p.media_id = m.id
WHERE m.kind = :kind ORDER BY m.updated_at DESC, m.id LIMIT :top;

-- query whole(id UUID)
SELECT m.id, m.title, m.path, t.path AS text_path, s.language, s.path AS subtitle_path
FROM media AS m LEFT JOIN text_content AS t ON t.media_id = m.id LEFT JOIN subtitles AS s ON s.media_id = m.id
WHERE m.id = :id ORDER BY s.language;

-- query found(text TEXT)
SELECT media_id, snippet(find_text, 0, '<', '>', '…', 5) AS part FROM find_text WHERE find_text MATCH :text ORDER BY rank, media_id;

-- query enabled_plugins()
SELECT id FROM plugins WHERE enabled ORDER BY id;
