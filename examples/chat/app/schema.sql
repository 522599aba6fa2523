-- Projects stand in projects; what is in one goes with it.
CREATE TABLE projects (
  id        TEXT PRIMARY KEY NOT NULL,
  name      TEXT NOT NULL CHECK (name <> ''),
  parentId  TEXT REFERENCES projects(id) ON DELETE CASCADE,
  createdAt DATETIME,
  updatedAt DATETIME
);
CREATE UNIQUE INDEX projects_name ON projects(ifnull(parentId, ''), name);
CREATE INDEX projects_parent ON projects(parentId);

CREATE TABLE syncRepos (
  id           TEXT PRIMARY KEY NOT NULL,
  name         TEXT NOT NULL UNIQUE,
  remoteUrl    TEXT NOT NULL,
  branch       TEXT NOT NULL DEFAULT 'main',
  lastPulledAt DATETIME,
  lastPushedAt DATETIME
);

CREATE TABLE conversations (
  id           TEXT PRIMARY KEY NOT NULL,
  title        TEXT NOT NULL,
  projectId    TEXT REFERENCES projects(id) ON DELETE CASCADE,
  syncRepoId   TEXT REFERENCES syncRepos(id) ON DELETE SET NULL,
  forkOf       TEXT REFERENCES conversations(id) ON DELETE SET NULL,
  lastSyncedAt DATETIME,
  archivedAt   DATETIME,
  lastUsedAt   DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  createdAt    DATETIME,
  updatedAt    DATETIME
);
CREATE INDEX conversations_project ON conversations(projectId, lastUsedAt DESC);
CREATE INDEX conversations_used ON conversations(archivedAt, lastUsedAt DESC);
CREATE INDEX conversations_repo ON conversations(syncRepoId);
CREATE INDEX conversations_fork ON conversations(forkOf);

CREATE TABLE interactions (
  id             TEXT PRIMARY KEY NOT NULL,
  conversationId TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
  place          INTEGER NOT NULL,
  status         TEXT NOT NULL,
  prompt         TEXT NOT NULL,
  response       TEXT,
  error          TEXT,
  metadata       JSON,
  createdAt      DATETIME,
  startedAt      DATETIME,
  endedAt        DATETIME,
  UNIQUE (conversationId, place)
);

CREATE TABLE rules (
  id      TEXT PRIMARY KEY NOT NULL,
  name    TEXT NOT NULL UNIQUE,
  type    TEXT NOT NULL CHECK (type IN ('before', 'system', 'after', 'control')),
  content TEXT NOT NULL
);

CREATE TABLE tags (
  id          TEXT PRIMARY KEY NOT NULL,
  name        TEXT NOT NULL UNIQUE COLLATE NOCASE,
  description TEXT
);

CREATE TABLE tagRuleLinks (
  tagId  TEXT NOT NULL REFERENCES tags(id) ON DELETE CASCADE,
  ruleId TEXT NOT NULL REFERENCES rules(id) ON DELETE CASCADE,
  PRIMARY KEY (tagId, ruleId)
) WITHOUT ROWID;
CREATE INDEX tagRuleLinks_rule ON tagRuleLinks(ruleId);

-- Where a key is kept by the system's keyring. The key itself is never a row.
CREATE TABLE apiKeys (
  id         TEXT PRIMARY KEY NOT NULL,
  name       TEXT NOT NULL UNIQUE,
  providerId TEXT NOT NULL,
  reference  TEXT NOT NULL CHECK (reference LIKE 'keyring:_%'),
  createdAt  DATETIME
);

CREATE TABLE providerConfigs (
  id       TEXT PRIMARY KEY NOT NULL,
  name     TEXT NOT NULL UNIQUE,
  type     TEXT NOT NULL,
  enabled  BOOLEAN NOT NULL DEFAULT 1,
  baseUrl  TEXT,
  apiKeyId TEXT REFERENCES apiKeys(id) ON DELETE SET NULL,
  models   JSON
);
CREATE INDEX providerConfigs_key ON providerConfigs(apiKeyId);

CREATE TABLE mods (
  id        TEXT PRIMARY KEY NOT NULL,
  name      TEXT NOT NULL UNIQUE,
  sourceUrl TEXT,
  script    TEXT,
  enabled   BOOLEAN NOT NULL DEFAULT 0,
  loadOrder INTEGER NOT NULL DEFAULT 0,
  createdAt DATETIME
);

-- One row for each setting.
CREATE TABLE appState (
  scope TEXT NOT NULL,
  name  TEXT NOT NULL,
  value JSON,
  PRIMARY KEY (scope, name)
) WITHOUT ROWID;

-- Written by the projections alone: how much was asked on which day.
CREATE TABLE activity (
  day   TEXT PRIMARY KEY NOT NULL,
  asked INTEGER NOT NULL
);
