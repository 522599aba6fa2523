-- What a studio for newsletters, posts and films keeps: its content, the media in it, feeds, queues, publications.
CREATE TABLE content_items (
  id TEXT PRIMARY KEY NOT NULL,
  type TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT,
  content TEXT,
  metadata JSON,
  tags TEXT,
  status TEXT NOT NULL DEFAULT 'draft',
  language TEXT DEFAULT 'en',
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  updated_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  published_at DATETIME,
  expires_at DATETIME
);

CREATE TABLE media_assets (
  id TEXT PRIMARY KEY NOT NULL,
  filename TEXT NOT NULL,
  original_filename TEXT,
  file_path TEXT NOT NULL,
  file_size INTEGER,
  mime_type TEXT,
  dimensions JSON,
  duration INTEGER,
  checksum TEXT,
  metadata JSON,
  tags TEXT,
  usage_count INTEGER NOT NULL DEFAULT 0,
  last_used DATETIME,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE content_media_relations (
  content_id TEXT NOT NULL REFERENCES content_items(id) ON DELETE CASCADE,
  media_id TEXT NOT NULL REFERENCES media_assets(id),
  relation_type TEXT NOT NULL CHECK (relation_type IN ('featured', 'inline', 'background', 'thumbnail')),
  position INTEGER,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (content_id, media_id, relation_type)
);
CREATE INDEX relations_of_media ON content_media_relations(media_id);

CREATE TABLE rss_items (
  id TEXT PRIMARY KEY NOT NULL,
  feed_id TEXT NOT NULL,
  original_id TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT,
  link TEXT,
  published_at DATETIME,
  author TEXT,
  categories TEXT,
  tags TEXT,
  relevance_score REAL,
  processing_status TEXT NOT NULL DEFAULT 'pending',
  content_extracted TEXT,
  key_information JSON,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
  UNIQUE (feed_id, original_id)
);

CREATE TABLE generation_queue (
  id TEXT PRIMARY KEY NOT NULL,
  source_type TEXT,
  source_id TEXT,
  content_type TEXT,
  template TEXT,
  parameters JSON,
  priority INTEGER DEFAULT 5,
  status TEXT NOT NULL DEFAULT 'queued',
  scheduled_for DATETIME,
  started_at DATETIME,
  completed_at DATETIME,
  result JSON,
  error_message TEXT,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX generation_next ON generation_queue(status, priority DESC, created_at);

CREATE TABLE publications (
  id TEXT PRIMARY KEY NOT NULL,
  content_id TEXT REFERENCES content_items(id) ON DELETE SET NULL,
  platform TEXT,
  platform_id TEXT,
  status TEXT,
  scheduled_for DATETIME,
  published_at DATETIME,
  metrics JSON,
  error_message TEXT,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX publications_of_content ON publications(content_id);

CREATE TABLE user_preferences (
  key TEXT PRIMARY KEY NOT NULL,
  value JSON,
  updated_at DATETIME DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE configs (
  name TEXT PRIMARY KEY NOT NULL,
  value JSON
);

CREATE TABLE background_jobs (
  id TEXT PRIMARY KEY NOT NULL,
  job_type TEXT,
  parameters JSON,
  status TEXT NOT NULL DEFAULT 'pending',
  priority INTEGER DEFAULT 5,
  max_attempts INTEGER NOT NULL DEFAULT 3,
  attempt_count INTEGER NOT NULL DEFAULT 0,
  scheduled_for DATETIME DEFAULT CURRENT_TIMESTAMP,
  started_at DATETIME,
  completed_at DATETIME,
  error_message TEXT,
  result JSON,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX background_next ON background_jobs(status, scheduled_for);
CREATE INDEX content_by_status ON content_items(status, updated_at DESC);
