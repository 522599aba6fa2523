/* Questions to the log as a whole: its state, and its segments' indexes from the newest down. */
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

typedef struct wanted_name {
    dbk_hash128 hash; /* of its kind and name: all segments of a log hash alike */
    uint64_t before;
} wanted_name;

/* A run that rotted is a cache that is wrong: the segment is read again and its table answers from
 * then on. The run stays open, since others may hold its batches. */
static dbk_result replace_run(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    dbk_index_table *table = NULL;

    dbk_result rc = dbk_load_table(log, segment, &table, err);
    if (rc != DBK_OK) return rc;
    dbk_log_lock(log);
    if (!segment->table) {
        segment->table = table;
        segment->rotten = segment->run;
        segment->run = NULL;
        table = NULL;
    }
    dbk_log_unlock(log);
    dbk_index_table_free(table);
    return DBK_OK;
}

/* The same for the run of a checkpoint: the table of what it stood for answers from then on, beside
 * that of the appending thread, which stays untouched. */
static dbk_result replace_prefix(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    dbk_log_state *state = dbk_alloc(log->port, sizeof(*state));
    dbk_segment totals = {.ordered = true};
    dbk_index_table *table = NULL;
    size_t count;

    if (!state) return dbk_fail(err, DBK_NO_MEMORY, "cannot index '%s': out of memory", segment->name);
    /* Not by prefix_last: that is cleared where the segment is sealed meanwhile. */
    const dbk_index_batch *last = dbk_index_run_batches(segment->prefix, &count) + (count - 1);
    dbk_result rc = dbk_load_part(log, segment, (uint64_t)last->offset + last->bytes, &totals, state, &table, err);
    dbk_free(log->port, state);
    if (rc != DBK_OK) return rc;
    dbk_log_lock(log);
    if (!segment->prefix_table) {
        segment->prefix_table = table;
        table = NULL;
    }
    dbk_log_unlock(log);
    dbk_index_table_free(table);
    return DBK_OK;
}

/* In what the checkpoint of the segment stands for. */
static dbk_result find_in_prefix(dbk_log *log, dbk_segment *segment, const wanted_name *wanted, uint64_t *position,
                                 dbk_error *err)
{
    for (;;) {
        dbk_log_lock(log);
        const dbk_index_table *table = segment->prefix_table;
        dbk_log_unlock(log);
        if (table) {
            dbk_index_table_find_hash(table, wanted->hash, wanted->before, position);
            return DBK_OK;
        }
        log->port->mutex_lock(log->port->ctx, log->run_lock);
        dbk_result rc = dbk_index_run_find_hash(segment->prefix, wanted->hash, wanted->before, position, err);
        log->port->mutex_unlock(log->port->ctx, log->run_lock);
        if (rc != DBK_CORRUPT) return rc;
        rc = replace_prefix(log, segment, err);
        if (rc != DBK_OK) return rc;
    }
}

/* A run never changes once it is there, and stays until close; so the lock guards only the look for
 * it, and reading its pages has a lock of its own. */
static dbk_result find_in(dbk_log *log, size_t index, const wanted_name *wanted, uint64_t *position, dbk_error *err)
{
    for (;;) {
        dbk_log_lock(log);
        dbk_segment *segment = log->segments[index];
        bool beyond = segment->first_position >= wanted->before;
        dbk_index_run *run = segment->run;
        bool prefix = !run && segment->prefix_last != 0;
        if (!run && !beyond) dbk_index_table_find_hash(segment->table, wanted->hash, wanted->before, position);
        dbk_log_unlock(log);
        if (beyond) return DBK_OK;
        if (prefix && *position == 0) return find_in_prefix(log, segment, wanted, position, err);
        if (!run) return DBK_OK;
        log->port->mutex_lock(log->port->ctx, log->run_lock);
        dbk_result rc = dbk_index_run_find_hash(run, wanted->hash, wanted->before, position, err);
        log->port->mutex_unlock(log->port->ctx, log->run_lock);
        if (rc != DBK_CORRUPT) return rc;
        rc = replace_run(log, segment, err);
        if (rc != DBK_OK) return rc;
    }
}

static dbk_result find(dbk_log *log, dbk_index_kind kind, dbk_slice name, uint64_t before, uint64_t *position,
                       dbk_error *err)
{
    wanted_name wanted = {.before = before};

    *position = 0;
    if (!dbk_index_hash(log->options.store_id, kind, name, &wanted.hash)) return DBK_OK;
    dbk_log_lock(log);
    uint64_t end = log->state.position;
    size_t index = log->segment_count;
    dbk_log_unlock(log);
    if (before == 0 || before > end) wanted.before = end + 1; /* what is not durable yet is not found */
    while (index-- > 0 && *position == 0) {
        dbk_result rc = find_in(log, index, &wanted, position, err);
        if (rc != DBK_OK) return rc;
    }
    return DBK_OK;
}

dbk_result dbk_log_find_command(dbk_log *log, dbk_slice command_id, uint64_t before, uint64_t *position, dbk_error *err)
{
    return find(log, DBK_INDEX_COMMAND, command_id, before, position, err);
}

dbk_result dbk_log_find_stream(dbk_log *log, dbk_slice stream, uint64_t before, uint64_t *position, dbk_error *err)
{
    return find(log, DBK_INDEX_STREAM, stream, before, position, err);
}

enum { PART_PREFIX, PART_REST, PART_COUNT };

/* Under the lock. A segment that goes on from a checkpoint has them in two parts. */
static const dbk_index_author_run *authors_of(const dbk_segment *segment, int part, size_t *count)
{
    *count = 0;
    if (part == PART_PREFIX) return segment->prefix_last ? dbk_index_run_authors(segment->prefix, count) : NULL;
    return segment->run ? dbk_index_run_authors(segment->run, count) : dbk_index_table_authors(segment->table, count);
}

static bool is_author(const dbk_index_author_run *run, const uint8_t replica[16], uint32_t incarnation)
{
    return run->incarnation == incarnation && memcmp(run->replica, replica, 16) == 0;
}

dbk_result dbk_log_find_entry(dbk_log *log, const dbk_entry_id *id, uint64_t *position, dbk_error *err)
{
    (void)err;
    *position = 0;
    dbk_log_lock(log);
    for (size_t i = PART_COUNT * log->segment_count; i-- > 0 && *position == 0;) {
        size_t count;
        const dbk_index_author_run *runs = authors_of(log->segments[i / PART_COUNT], i % PART_COUNT, &count);
        for (size_t j = 0; j < count && *position == 0; j++) {
            if (!is_author(&runs[j], id->replica, id->incarnation)) continue;
            if (id->seq < runs[j].first_seq || id->seq - runs[j].first_seq >= runs[j].count) continue;
            *position = runs[j].first_position + (id->seq - runs[j].first_seq);
        }
    }
    if (*position > log->state.position) *position = 0;
    dbk_log_unlock(log);
    return DBK_OK;
}

dbk_result dbk_log_entry_id_at(dbk_log *log, uint64_t position, dbk_entry_id *id, dbk_error *err)
{
    dbk_segment *segment = dbk_log_segment_of(log, position);
    size_t count, low = 0;

    if (!segment) return DBK_NONE;
    dbk_log_lock(log);
    int part = position <= segment->prefix_last ? PART_PREFIX : PART_REST;
    const dbk_index_author_run *runs = authors_of(segment, part, &count);
    for (size_t high = count; high - low > 1;) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle].first_position <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    bool found =
        count > 0 && runs[low].first_position <= position && position - runs[low].first_position < runs[low].count;
    if (found) {
        memcpy(id->replica, runs[low].replica, 16);
        id->incarnation = runs[low].incarnation;
        id->seq = runs[low].first_seq + (position - runs[low].first_position);
    }
    dbk_log_unlock(log);
    if (found) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "the index of segment '%s' has no author for position %llu", segment->name,
                    (unsigned long long)position);
}

uint64_t dbk_log_next_seq(const dbk_log *log, const uint8_t replica[16], uint32_t incarnation)
{
    uint64_t next = 1;

    dbk_log_lock(log);
    for (size_t i = 0; i < PART_COUNT * log->segment_count; i++) {
        size_t count;
        const dbk_index_author_run *runs = authors_of(log->segments[i / PART_COUNT], i % PART_COUNT, &count);
        for (size_t j = 0; j < count; j++) {
            if (runs[j].first_position > log->state.position) continue; /* under way */
            if (!is_author(&runs[j], replica, incarnation)) continue;
            if (runs[j].first_seq + runs[j].count > next) next = runs[j].first_seq + runs[j].count;
        }
    }
    dbk_log_unlock(log);
    return next;
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
