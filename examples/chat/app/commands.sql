-- command chat.start(title TEXT = 'New chat', projectId TEXT?)
-- put conversations
SELECT :title AS title, :projectId AS projectId;
-- return
SELECT id, title FROM conversations WHERE id = :key;

-- command chat.ask(conversationId TEXT, prompt TEXT)
-- require 'the conversation is archived'
SELECT 1 FROM conversations WHERE id = :conversationId AND archivedAt IS NULL;
-- put interactions
SELECT :conversationId AS conversationId, 'PENDING' AS status, :prompt AS prompt,
       (SELECT ifnull(max(place), 0) + 1 FROM interactions WHERE conversationId = :conversationId) AS place;
-- patch conversations
SELECT :conversationId AS id, :time AS lastUsedAt;
-- return
SELECT id, place FROM interactions WHERE id = :key;

-- command chat.streaming(id TEXT)
-- patch interactions
SELECT id, 'STREAMING' AS status, :time AS startedAt FROM interactions WHERE id = :id;

-- command chat.answered(id TEXT, response TEXT, metadata JSON?)
-- patch interactions
SELECT id, 'COMPLETED' AS status, :response AS response, :metadata AS metadata, :time AS endedAt FROM interactions WHERE id = :id;

-- command chat.failed(id TEXT, error TEXT)
-- patch interactions
SELECT id, 'ERROR' AS status, :error AS error, :time AS endedAt FROM interactions WHERE id = :id;

-- A copy of a conversation up to an answer, to go on from there in another way.
-- command chat.fork(interactionId TEXT)
-- put conversations
SELECT 'Fork of ' || c.title AS title, c.projectId AS projectId, c.id AS forkOf
FROM interactions AS i JOIN conversations AS c ON c.id = i.conversationId WHERE i.id = :interactionId AND i.status = 'COMPLETED';
-- let fork
SELECT :key;
-- put interactions
SELECT :fork AS conversationId, o.place AS place, o.status AS status, o.prompt AS prompt, o.response AS response,
       o.startedAt AS startedAt, o.endedAt AS endedAt
FROM interactions AS i JOIN interactions AS o ON o.conversationId = i.conversationId AND o.place <= i.place AND o.status = 'COMPLETED'
WHERE i.id = :interactionId ORDER BY o.place;
-- return
SELECT c.id, c.title, count(*) AS interactions FROM conversations AS c JOIN interactions AS i ON i.conversationId = c.id WHERE c.id = :fork;

-- command chat.archive(conversationId TEXT)
-- else 'there is no such conversation, or it is archived already'
-- patch conversations
SELECT id, :time AS archivedAt FROM conversations WHERE id = :conversationId AND archivedAt IS NULL;

-- command project.move(id TEXT, into TEXT?)
-- require 'a project cannot go into itself'
WITH RECURSIVE up(id) AS (SELECT :into UNION SELECT p.parentId FROM projects AS p JOIN up ON p.id = up.id)
SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM up WHERE id = :id);
-- patch projects
SELECT :id AS id, :into AS parentId;

-- command rule.tag(rule TEXT, tag TEXT)
-- require 'there is no rule {rule}'
SELECT 1 FROM rules WHERE name = :rule;
-- else ok
-- put tags
SELECT :tag AS name WHERE NOT EXISTS (SELECT 1 FROM tags WHERE name = :tag);
-- put tagRuleLinks
SELECT t.id AS tagId, r.id AS ruleId FROM tags AS t, rules AS r WHERE t.name = :tag AND r.name = :rule;
