/* Questions to the log as a whole. */
#include "log/load.h"

void dbk_log_ids(const dbk_log *log, uint8_t store_id[16], uint8_t lineage[16])
{
    memcpy(store_id, log->options.store_id, 16);
    memcpy(lineage, log->options.lineage, 16);
}

uint64_t dbk_log_position(const dbk_log *log)
{
    dbk_log_lock(log);
    uint64_t position = log->state.position;
    dbk_log_unlock(log);
    return position;
}

bool dbk_log_was_clean(const dbk_log *log)
{
    return log->was_clean;
}

bool dbk_log_poisoned(const dbk_log *log)
{
    dbk_log_lock(log);
    bool poisoned = log->poisoned;
    dbk_log_unlock(log);
    return poisoned;
}

void dbk_log_head(const dbk_log *log, uint8_t head[DBK_LEAF_SIZE])
{
    dbk_log_lock(log);
    dbk_range range = log->state.range;
    dbk_log_unlock(log);
    dbk_range_head(&range, head);
}

void dbk_log_clock(const dbk_log *log, uint32_t *epoch, uint64_t *hlc)
{
    dbk_log_lock(log);
    *epoch = log->state.epoch;
    *hlc = log->state.hlc;
    dbk_log_unlock(log);
}

void dbk_log_top(const dbk_log *log, uint8_t key[DBK_ORDER_KEY_SIZE])
{
    dbk_log_lock(log);
    memcpy(key, log->state.top, DBK_ORDER_KEY_SIZE);
    dbk_log_unlock(log);
}

bool dbk_log_is_ordered(const dbk_log *log)
{
    dbk_log_lock(log);
    bool ordered = log->state.ordered;
    dbk_log_unlock(log);
    return ordered;
}

/* Of a segment alone, under the lock: its highest key is not known before it was read. */
static bool is_top_known(const dbk_segment *segment)
{
    static const uint8_t unknown[DBK_ORDER_KEY_SIZE];
    return memcmp(segment->top, unknown, sizeof(unknown)) != 0;
}

static dbk_result sorts_below(dbk_log *log, uint64_t position, const uint8_t *key, bool *below, dbk_error *err)
{
    uint8_t other[DBK_ORDER_KEY_SIZE];
    dbk_buffer origin;
    dbk_entry entry;

    dbk_buffer_init(&origin, log->port);
    dbk_result rc = dbk_log_read(log, position, &origin, NULL, err);
    if (rc == DBK_OK) rc = dbk_entry_decode(dbk_buffer_slice(&origin), &entry, err);
    if (rc == DBK_OK) {
        dbk_entry_order_key(&entry, other);
        *below = memcmp(other, key, sizeof(other)) < 0;
    }
    dbk_buffer_release(&origin);
    return rc;
}

dbk_result dbk_log_all_below(dbk_log *log, const uint8_t key[DBK_ORDER_KEY_SIZE], uint64_t *position, dbk_error *err)
{
    uint64_t low = 0, high = 0; /* all up to `low` do, the ones behind up to `high` are in order */
    dbk_result rc = DBK_OK;

    dbk_log_lock(log);
    for (size_t i = 0; i < log->segment_count; i++) {
        const dbk_segment *segment = log->segments[i];
        if (segment->last_position < segment->first_position) continue;
        if (!is_top_known(segment)) break;
        if (memcmp(segment->top, key, DBK_ORDER_KEY_SIZE) >= 0) {
            high = segment->ordered ? segment->last_position : 0;
            break;
        }
        low = segment->last_position;
    }
    dbk_log_unlock(log);
    while (rc == DBK_OK && low < high) {
        uint64_t middle = high - (high - low) / 2;
        bool below = false;
        rc = sorts_below(log, middle, key, &below, err);
        if (below) low = middle;
        else high = middle - 1;
    }
    *position = rc == DBK_OK ? low : 0;
    return rc;
}

/* From the start of the segment, leaf by leaf: for positions inside a batch. */
static dbk_result head_by_leaves(dbk_log *log, dbk_segment *segment, uint64_t position, uint8_t *head, dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    uint8_t leaf[DBK_LEAF_SIZE];
    dbk_slice origin;
    dbk_start start;

    dbk_result rc = dbk_load_range(log, segment, &start, err);
    if (rc == DBK_OK) rc = dbk_log_cursor_open(log, segment->first_position, position, &cursor, err);
    while (rc == DBK_OK) {
        rc = dbk_log_cursor_next(cursor, NULL, NULL, &origin, err);
        if (rc != DBK_OK) break;
        dbk_entry_leaf(origin, leaf);
        dbk_range_add(&start.range, leaf);
    }
    dbk_log_cursor_close(cursor);
    if (rc == DBK_END) dbk_range_head(&start.range, head);
    return rc == DBK_END ? DBK_OK : rc;
}

dbk_result dbk_log_head_at(dbk_log *log, uint64_t position, uint8_t head[DBK_LEAF_SIZE], dbk_error *err)
{
    dbk_segment *segment = dbk_log_segment_of(log, position);
    dbk_record record;
    dbk_range empty;

    if (position == 0) {
        dbk_range_init(&empty);
        dbk_range_head(&empty, head);
        return DBK_OK;
    }
    if (!segment) return DBK_NONE;
    dbk_result rc = dbk_log_record_of(log, segment, position, &record, err);
    if (rc != DBK_OK) return rc;
    if (record.first_position + record.count - 1 != position) {
        return head_by_leaves(log, segment, position, head, err);
    }
    memcpy(head, record.head, DBK_LEAF_SIZE);
    return DBK_OK;
}

typedef struct sizes {
    const dbk_port *port;
    dbk_dir *dir;
    uint64_t bytes;
} sizes;

static int add_file(void *arg, const char *name)
{
    sizes *s = arg;
    dbk_identity identity;

    if (s->port->identify(s->port->ctx, s->dir, name, &identity) == 0 && identity.kind == DBK_IS_FILE)
        s->bytes += identity.size_bytes;
    return 0;
}

uint64_t dbk_log_file_bytes(const dbk_port *port, dbk_dir *dir)
{
    sizes s = {port, dir, 0};

    return port->list(port->ctx, dir, add_file, &s) == 0 ? s.bytes : 0;
}

dbk_result dbk_log_stats(dbk_log *log, dbk_log_report *report, dbk_error *err)
{
    (void)err;
    memset(report, 0, sizeof(*report));
    dbk_log_lock(log);
    report->entries = log->state.position;
    report->segments = log->segment_count;
    for (size_t i = 0; i < log->segment_count; i++) {
        const dbk_segment *segment = log->segments[i];
        if (segment->end > DBK_SEGMENT_DATA_OFFSET) report->bytes += segment->end - DBK_SEGMENT_DATA_OFFSET;
        report->batches += segment->records - (segment->seal_offset ? 2 : 1);
        if (!segment->packed) continue;
        report->packed_segments++;
        report->packed_records_bytes += segment->end - DBK_SEGMENT_DATA_OFFSET;
        report->packed_file_bytes += segment->packed_bytes;
    }
    dbk_range range = log->state.range;
    dbk_log_unlock(log);
    dbk_range_head(&range, report->head);
    report->file_bytes = dbk_log_file_bytes(log->port, log->dir);
    return DBK_OK;
}
