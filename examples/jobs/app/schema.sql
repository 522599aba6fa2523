-- Jobs as their users send them in.
CREATE TABLE jobs (
  id UUID PRIMARY KEY NOT NULL,
  url TEXT NOT NULL,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  requested_dubbing BOOLEAN NOT NULL DEFAULT 0,
  target_lang TEXT NOT NULL DEFAULT 'ru',
  status TEXT NOT NULL DEFAULT 'QUEUED',
  priority INTEGER NOT NULL DEFAULT 0,
  format_preset TEXT,
  output_container TEXT DEFAULT 'mkv',
  retries INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  completed_at DATETIME,
  CHECK (status IN ('QUEUED', 'DOWNLOADING', 'DOWNLOADED', 'DUBBING', 'DUBBED', 'MUXING', 'COMPLETE', 'FAILED', 'CANCELED'))
) WITHOUT ROWID;

-- What became of a job: one row each.
CREATE TABLE media (
  job_id UUID PRIMARY KEY NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  video_path TEXT,
  audio_original_path TEXT,
  audio_dubbed_path TEXT,
  duration_sec REAL,
  width INTEGER,
  height INTEGER,
  source_title TEXT,
  source_id TEXT,
  source_uploader TEXT,
  file_size_bytes INTEGER
) WITHOUT ROWID;

-- Progress and errors, for the page that shows a job.
CREATE TABLE job_events (
  job_id UUID NOT NULL REFERENCES jobs(id) ON DELETE CASCADE,
  n INTEGER NOT NULL,
  ts DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  event TEXT NOT NULL,
  payload JSON,
  PRIMARY KEY (job_id, n)
) WITHOUT ROWID;

CREATE INDEX idx_jobs_status ON jobs(status, priority DESC, created_at);
CREATE INDEX idx_jobs_created ON jobs(created_at);
CREATE INDEX idx_events_ts ON job_events(ts);
