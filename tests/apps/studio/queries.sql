-- query content_page(status TEXT = 'draft', top INTEGER = 20)
SELECT id, title, type, updated_at FROM content_items WHERE status = :status ORDER BY updated_at DESC, id LIMIT :top;

-- query media_of(content TEXT)
SELECT m.id, m.file_path, r.relation_type, r.position FROM content_media_relations AS r JOIN media_assets AS m ON m.id = r.media_id
WHERE r.content_id = :content ORDER BY r.position, m.id;

--- What a cloud folder is worth filling with.
-- query media_to_sync(since DATETIME)
SELECT file_path FROM media_assets WHERE usage_count > 5 OR last_used > :since OR created_at > :since
ORDER BY usage_count DESC, last_used DESC, id LIMIT 1000;

-- query unused_media()
SELECT id, file_path FROM media_assets AS m
WHERE NOT EXISTS (SELECT 1 FROM content_media_relations WHERE media_id = m.id) ORDER BY id;

-- query found(text TEXT)
SELECT c.id, snippet(find_content, 1, '[', ']', '…', 6) AS part FROM find_content JOIN content_items AS c ON c.id = find_content.id
WHERE find_content MATCH :text ORDER BY rank;
