--- A file that was found: one that is here already, by its hash, is not taken twice.
-- command media.found(id UUID, kind TEXT, title TEXT, path TEXT, size INTEGER, hash TEXT, language TEXT?)
-- require 'this file is in the library already'
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM media WHERE hash = :hash);
-- put media
SELECT :id AS id, :kind AS kind, :title AS title, :path AS path, :size AS size, :hash AS hash, :language AS language, 'none' AS expect;

--- The same path again with other bytes, or gone.
-- command media.changed(path TEXT, size INTEGER, hash TEXT)
-- else 'nothing of the library is at {path}'
-- patch media
SELECT id, :size AS size, :hash AS hash FROM media WHERE path = :path AND hash IS NOT :hash;

-- command media.gone(path TEXT)
-- else 'nothing of the library is at {path}'
-- delete media
SELECT id FROM media WHERE path = :path;

-- command media.read(id UUID, position REAL, seconds INTEGER = 0)
-- require 'there is no medium {id}'
SELECT 1 FROM media WHERE id = :id;
-- put progress
SELECT :id AS media_id, :position AS position, coalesce((SELECT seconds FROM progress WHERE media_id = :id), 0) + :seconds AS seconds;

--- config/enabled-plugins.json as its users edit it.
-- command plugins.enable(rows JSON)
-- require 'a plugin of the list is not installed'
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM json_each(:rows) AS row WHERE NOT EXISTS (SELECT 1 FROM plugins WHERE id = row.value->>'id'));
-- else ok
-- patch plugins
SELECT id, id IN (SELECT value->>'id' FROM json_each(:rows)) AS enabled FROM plugins
WHERE enabled IS NOT (id IN (SELECT value->>'id' FROM json_each(:rows)));
