-- What somebody who learns a language reads and watches: media, the texts and subtitles that belong to them, plugins.
CREATE TABLE media (
  id UUID PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('video', 'audio', 'pdf', 'article', 'book')),
  title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 500),
  source TEXT,
  language TEXT,
  path TEXT,
  size INTEGER,
  hash TEXT,
  metadata JSON,
  created_at DATETIME,
  updated_at DATETIME
);
CREATE INDEX media_by_kind ON media(kind, updated_at DESC);
CREATE INDEX media_by_path ON media(path);
CREATE UNIQUE INDEX media_by_hash ON media(hash) WHERE hash IS NOT NULL;

CREATE TABLE text_content (
  media_id UUID PRIMARY KEY NOT NULL REFERENCES media(id) ON DELETE CASCADE,
  path TEXT NOT NULL,
  words INTEGER NOT NULL DEFAULT 0,
  body TEXT
);

CREATE TABLE subtitles (
  media_id UUID NOT NULL REFERENCES media(id) ON DELETE CASCADE,
  language TEXT NOT NULL,
  format TEXT NOT NULL CHECK (format IN ('json', 'srt')),
  origin TEXT NOT NULL DEFAULT 'imported' CHECK (origin IN ('imported', 'generated')),
  path TEXT NOT NULL,
  PRIMARY KEY (media_id, language)
);

CREATE TABLE progress (
  media_id UUID PRIMARY KEY NOT NULL REFERENCES media(id) ON DELETE CASCADE,
  position REAL NOT NULL DEFAULT 0,
  seconds INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE plugins (
  id TEXT PRIMARY KEY NOT NULL,
  version TEXT NOT NULL,
  enabled BOOLEAN NOT NULL DEFAULT 0,
  manifest JSON
);

CREATE TABLE config (
  name TEXT PRIMARY KEY NOT NULL,
  value JSON
);
