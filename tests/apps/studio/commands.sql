--- Content with its media and the work that follows from it: all of it, or nothing.
-- command content.store(id TEXT, type TEXT, title TEXT, description TEXT?, content TEXT?, metadata JSON = '{}', tags TEXT?, status TEXT = 'draft', language TEXT = 'en', media JSON = '[]')
-- put content_items
SELECT :id AS id, :type AS type, :title AS title, :description AS description, :content AS content, :metadata AS metadata,
       :tags AS tags, :status AS status, :language AS language, 'none' AS expect;
-- else ok
-- put media_assets
SELECT value->>'id' AS id, value->>'id' || coalesce(value->>'extension', '') AS filename,
       value->>'originalFilename' AS original_filename,
       CASE WHEN value->>'mimeType' LIKE 'image/%' THEN 'media/images/raw/'
            WHEN value->>'mimeType' LIKE 'video/%' THEN 'media/videos/source/'
            WHEN value->>'mimeType' LIKE 'audio/%' THEN 'media/audio/music/'
            ELSE 'media/other/' END || (value->>'id') || coalesce(value->>'extension', '') AS file_path,
       value->>'size' AS file_size, value->>'mimeType' AS mime_type, value->'dimensions' AS dimensions,
       value->>'duration' AS duration, value->>'checksum' AS checksum, value->'metadata' AS metadata, 'none' AS expect
FROM json_each(:media) WHERE value->>'mimeType' IS NOT NULL;
-- else ok
-- put content_media_relations
SELECT :id AS content_id, value->>'id' AS media_id, coalesce(value->>'relation', 'inline') AS relation_type,
       coalesce(value->>'position', 0) AS position
FROM json_each(:media);
-- else ok
-- patch media_assets
SELECT id, usage_count + 1 AS usage_count, :time AS last_used FROM media_assets
WHERE id IN (SELECT value->>'id' FROM json_each(:media));
-- else ok
-- put background_jobs
SELECT 'thumbnail-' || (value->>'id') AS id, 'thumbnail' AS job_type, json_object('media', value->>'id') AS parameters
FROM json_each(:media) WHERE value->>'mimeType' LIKE 'image/%';
-- return
SELECT id, status, created_at FROM content_items WHERE id = :id;

-- command content.publish(id TEXT, platform TEXT, at DATETIME?)
-- else 'content {id} is not a draft that could go out'
-- patch content_items
SELECT id, 'published' AS status, :time AS published_at FROM content_items WHERE id = :id AND status IN ('draft', 'review');
-- put publications
SELECT :id || '@' || :platform AS id, :id AS content_id, :platform AS platform,
       CASE WHEN :at IS NULL THEN 'published' ELSE 'scheduled' END AS status, :at AS scheduled_for,
       CASE WHEN :at IS NULL THEN :time END AS published_at, 'none' AS expect;
SELECT 'content.published' AS type, 'publication/' || :id AS stream,
       json_object('id', :id, 'platform', :platform, 'day', substr(:time, 1, 10)) AS data;

-- command feed.add(items JSON)
-- else 'nothing new in the feed'
-- put rss_items
SELECT value->>'id' AS id, value->>'feed' AS feed_id, coalesce(value->>'guid', value->>'link', value->>'id') AS original_id,
       value->>'title' AS title, value->>'link' AS link, value->>'published' AS published_at
FROM json_each(:items) AS new
WHERE NOT EXISTS (SELECT 1 FROM rss_items WHERE feed_id = new.value->>'feed'
                  AND original_id = coalesce(new.value->>'guid', new.value->>'link', new.value->>'id'));

-- command job.claim(worker TEXT)
-- let next
SELECT (SELECT id FROM background_jobs WHERE status = 'pending' AND scheduled_for <= :time AND attempt_count < max_attempts
        ORDER BY priority, created_at, id LIMIT 1);
-- else 'no job is due'
-- patch background_jobs
SELECT id, 'running' AS status, attempt_count + 1 AS attempt_count, :time AS started_at FROM background_jobs WHERE id = :next;
-- return
SELECT id, job_type, parameters, attempt_count, :worker AS worker FROM background_jobs WHERE id = :next;

-- command job.done(id TEXT, result JSON?)
-- else 'job {id} is not running'
-- patch background_jobs
SELECT id, 'done' AS status, :result AS result, :time AS completed_at FROM background_jobs WHERE id = :id AND status = 'running';

-- command job.failed(id TEXT, error TEXT)
-- else 'job {id} is not running'
-- patch background_jobs
SELECT id, CASE WHEN attempt_count < max_attempts THEN 'pending' ELSE 'failed' END AS status, :error AS error_message
FROM background_jobs WHERE id = :id AND status = 'running';
