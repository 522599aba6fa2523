-- query recent(top INTEGER = 20)
SELECT id, title, projectId, lastUsedAt FROM conversations WHERE archivedAt IS NULL ORDER BY lastUsedAt DESC, id LIMIT :top;

-- query conversation(id TEXT)
SELECT place, status, prompt, response FROM interactions WHERE conversationId = :id ORDER BY place;

-- query tree(root TEXT?)
WITH RECURSIVE below(id, name, depth, path) AS (
  SELECT id, name, 0, name FROM projects WHERE parentId IS :root
  UNION ALL SELECT p.id, p.name, depth + 1, path || '/' || p.name FROM projects AS p JOIN below ON p.parentId = below.id)
SELECT id, name, depth, path FROM below ORDER BY path;

-- query rules_of(tag TEXT)
SELECT r.name, r.type, r.content FROM tags AS t JOIN tagRuleLinks AS l ON l.tagId = t.id JOIN rules AS r ON r.id = l.ruleId
WHERE t.name = :tag ORDER BY r.name;

-- query providers()
SELECT c.name, c.type, c.enabled, k.name AS apiKey, k.reference FROM providerConfigs AS c LEFT JOIN apiKeys AS k ON k.id = c.apiKeyId ORDER BY c.name;

-- What a user gets who wants to take a conversation along.
-- query export(id TEXT) returns (TEXT, JSON)
SELECT c.title, (SELECT json_group_array(json_object('prompt', prompt, 'response', response))
                 FROM (SELECT prompt, response FROM interactions WHERE conversationId = c.id ORDER BY place)) AS interactions
FROM conversations AS c WHERE c.id = :id;

-- query search(text TEXT, top INTEGER = 20)
SELECT i.id, i.conversationId, c.title, snippet(find, -1, '[', ']', '…', 12) AS part
FROM find AS s JOIN interactions AS i ON i.id = s.id JOIN conversations AS c ON c.id = i.conversationId
WHERE find MATCH :text ORDER BY bm25(find), i.id LIMIT :top;
