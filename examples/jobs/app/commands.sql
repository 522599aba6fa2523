--- QUEUED -> DOWNLOADING -> DOWNLOADED -> [DUBBING -> DUBBED ->] MUXING -> COMPLETE
--- any of these but COMPLETE -> FAILED or CANCELED; FAILED -> QUEUED, three times

-- command job.add(id UUID, url TEXT, requested_dubbing BOOLEAN = 0, target_lang TEXT = 'ru', priority INTEGER = 0, format_preset TEXT?, output_container TEXT = 'mkv')
-- put jobs
SELECT :id AS id, :url AS url, :requested_dubbing AS requested_dubbing, :target_lang AS target_lang, :priority AS priority,
       :format_preset AS format_preset, :output_container AS output_container, 'none' AS expect;
-- put job_events
SELECT :id AS job_id, 1 AS n, 'queued' AS event;

-- command job.claim(worker TEXT)
-- require 'no job is waiting'
SELECT 1 FROM jobs WHERE status = 'QUEUED' LIMIT 1;
-- let next
SELECT id FROM jobs WHERE status = 'QUEUED' ORDER BY priority DESC, created_at, id LIMIT 1;
-- patch jobs
SELECT :next AS id, 'DOWNLOADING' AS status;
-- put job_events
SELECT :next AS job_id, ifnull(max(n), 0) + 1 AS n, 'started' AS event, json_object('worker', :worker) AS payload
FROM job_events WHERE job_id = :next;
-- return
SELECT id, url, format_preset, output_container FROM jobs WHERE id = :next;

-- command job.progress(id UUID, pct INTEGER, note TEXT?)
-- require 'job {id} is not being worked on'
SELECT 1 FROM jobs WHERE id = :id AND status IN ('DOWNLOADING', 'DUBBING', 'MUXING');
-- put job_events
SELECT :id AS job_id, ifnull(max(n), 0) + 1 AS n, 'progress' AS event, json_object('pct', :pct, 'note', :note) AS payload
FROM job_events WHERE job_id = :id;

-- command job.downloaded(id UUID, video_path TEXT, title TEXT?, uploader TEXT?, duration_sec REAL?, width INTEGER?, height INTEGER?, size INTEGER?)
-- else 'job {id} is not downloading'
-- patch jobs
SELECT id, 'DOWNLOADED' AS status FROM jobs WHERE id = :id AND status = 'DOWNLOADING';
-- put media
SELECT :id AS job_id, :video_path AS video_path, :title AS source_title, :uploader AS source_uploader,
       :duration_sec AS duration_sec, :width AS width, :height AS height, :size AS file_size_bytes;

-- command job.dub(id UUID)
-- require 'job {id} asks for no dubbing'
SELECT 1 FROM jobs WHERE id = :id AND requested_dubbing;
-- else 'job {id} is not downloaded'
-- patch jobs
SELECT id, 'DUBBING' AS status FROM jobs WHERE id = :id AND status = 'DOWNLOADED';

-- command job.dubbed(id UUID, audio_dubbed_path TEXT)
-- else 'job {id} is not being dubbed'
-- patch jobs
SELECT id, 'DUBBED' AS status FROM jobs WHERE id = :id AND status = 'DUBBING';
-- patch media
SELECT :id AS job_id, :audio_dubbed_path AS audio_dubbed_path;

-- command job.mux(id UUID)
-- let dubbing
SELECT ifnull(max(requested_dubbing), 0) FROM jobs WHERE id = :id;
-- else 'job {id} has not all its tracks'
-- patch jobs
SELECT id, 'MUXING' AS status FROM jobs
WHERE id = :id AND status = CASE :dubbing WHEN 1 THEN 'DUBBED' ELSE 'DOWNLOADED' END;

-- command job.complete(id UUID, video_path TEXT, size INTEGER)
-- else 'job {id} is not being muxed'
-- patch jobs
SELECT id, 'COMPLETE' AS status, :time AS completed_at FROM jobs WHERE id = :id AND status = 'MUXING';
-- patch media
SELECT :id AS job_id, :video_path AS video_path, :size AS file_size_bytes;
SELECT 'library.added' AS type, 'library/' || :id AS stream, json_object('id', :id, 'path', :video_path) AS data;

-- command job.fail(id UUID, error TEXT)
-- else 'job {id} has ended'
-- patch jobs
SELECT id, 'FAILED' AS status, :error AS error FROM jobs WHERE id = :id AND status NOT IN ('COMPLETE', 'FAILED', 'CANCELED');
-- put job_events
SELECT :id AS job_id, ifnull(max(n), 0) + 1 AS n, 'error' AS event, json_object('error', :error) AS payload
FROM job_events WHERE job_id = :id;

-- command job.retry(id UUID)
-- require 'job {id} was tried often enough'
SELECT 1 FROM jobs WHERE id = :id AND retries < 3;
-- else 'job {id} has not failed'
-- patch jobs
SELECT id, 'QUEUED' AS status, retries + 1 AS retries, NULL AS error FROM jobs WHERE id = :id AND status = 'FAILED';
-- else ok
-- delete media
SELECT job_id FROM media WHERE job_id = :id;
-- put job_events
SELECT :id AS job_id, ifnull(max(n), 0) + 1 AS n, 'retried' AS event FROM job_events WHERE job_id = :id;

-- command job.cancel(id UUID)
-- else 'job {id} has ended'
-- patch jobs
SELECT id, 'CANCELED' AS status FROM jobs WHERE id = :id AND status NOT IN ('COMPLETE', 'FAILED', 'CANCELED');

-- command job.remove(id UUID)
-- require 'job {id} is still running: cancel it first'
SELECT 1 FROM jobs WHERE id = :id AND status IN ('COMPLETE', 'FAILED', 'CANCELED');
-- delete jobs
SELECT :id AS id;
