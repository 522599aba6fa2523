/* Questions to the index, from the newest segments down. What answers for a segment: its table, where there
 * is one; the part it belongs to; else the segment itself, read into a table that is kept for a while.
 *
 * A part whose file is gone or is not one of this log is left out: the writer has merged it, or it rotted. A
 * damaged page only costs reading the part's segments for the questions that hit it, until the writer has
 * made it anew. Nothing of this is ever an error of the log. */
#include "log/parts.h"

/* ---- tables */

/* Under the lock: takes away the table that was read again and asked longest ago, if there are too many. */
static dbk_index_table *evict_table(dbk_log *log)
{
    dbk_segment *oldest = NULL;
    size_t kept = 0, bytes = 0;

    for (size_t i = 0; i + 1 < log->segment_count; i++) {
        dbk_segment *segment = log->segments[i];
        if (!segment->table || segment->table_asked == 0 || segment->table_used) continue;
        kept++;
        if (log->parts_opening) bytes += dbk_index_table_bytes(segment->table);
        if (!oldest || segment->table_asked < oldest->table_asked) oldest = segment;
    }
    if (kept <= DBK_TABLES_KEPT || (log->parts_opening && bytes <= DBK_TABLES_KEPT_BYTES)) return NULL;
    dbk_index_table *table = oldest->table;
    oldest->table = NULL;
    oldest->prefix_last = 0;
    return table;
}

void dbk_parts_let_go(dbk_log *log, dbk_segment *sealed)
{
    dbk_log_lock(log);
    sealed->table_asked = ++log->part_clock;
    dbk_index_table *unused = evict_table(log);
    dbk_log_unlock(log);
    dbk_index_table_free(unused);
}

dbk_result dbk_parts_read_segment(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    dbk_index_table *table = NULL;

    dbk_result rc = dbk_load_table(log, segment, &table, err);
    if (rc != DBK_OK) return rc;
    dbk_log_lock(log);
    if (!segment->table) {
        segment->table = table;
        segment->table_asked = ++log->part_clock;
        table = evict_table(log);
    }
    dbk_log_unlock(log);
    dbk_index_table_free(table);
    return DBK_OK;
}

void dbk_parts_relax(dbk_log *log)
{
    dbk_index_table *unused;

    log->parts_opening = false;
    do {
        dbk_log_lock(log);
        unused = evict_table(log);
        dbk_log_unlock(log);
        dbk_index_table_free(unused);
    } while (unused);
}

static dbk_result visit_itself(dbk_log *log, uint64_t number, dbk_visit *v, dbk_error *err)
{
    for (;;) {
        dbk_log_lock(log);
        dbk_segment *segment = log->segments[number - 1];
        bool there = segment->table, empty = segment->last_position < segment->first_position;
        bool prefix = there && v->prefix && segment->prefix_last;
        if (there && segment->table_asked) segment->table_asked = ++log->part_clock;
        if (there) v->table(v->arg, segment);
        dbk_log_unlock(log);
        if (prefix && !v->done) return v->prefix(v->arg, segment, err);
        if (there || empty) return DBK_OK;
        dbk_result rc = dbk_parts_read_segment(log, segment, err);
        if (rc != DBK_OK) return rc;
    }
}

/* ---- parts */

enum { PARTS_AT_ONCE = 16 };
typedef enum usable { PART_ANSWERS, PART_DAMAGED, PART_USELESS } usable;

/* run_lock is held. */
static dbk_result ask_part(dbk_log *log, dbk_part *part, dbk_visit *v, usable *how, dbk_error *err)
{
    dbk_error local;

    dbk_error_clear(&local);
    *how = PART_ANSWERS;
    dbk_result rc = dbk_parts_open(log, part, &local);
    if (rc == DBK_MISSING || rc == DBK_CORRUPT) *how = PART_USELESS;
    if (rc == DBK_OK) {
        rc = v->run(v->arg, part->run, &local);
        if (rc == DBK_CORRUPT) *how = PART_DAMAGED;
    }
    if (*how != PART_ANSWERS) return DBK_OK;
    if (rc < 0 && err) *err = local;
    return rc;
}

static dbk_result visit_part(dbk_log *log, dbk_part *part, dbk_visit *v, usable *how, dbk_error *err)
{
    log->port->mutex_lock(log->port->ctx, log->run_lock);
    dbk_result rc = ask_part(log, part, v, how, err);
    log->port->mutex_unlock(log->port->ctx, log->run_lock);
    return rc;
}

static void want_anew(dbk_log *log, dbk_part *part)
{
    dbk_log_lock(log);
    part->damaged = true;
    log->parts_wanting = true;
    dbk_log_unlock(log);
}

/* The part with the segment, pinned; NULL: the segment is asked itself. Who only reads looks again at
 * what files there are: the writer may have merged meanwhile. */
static dbk_result find_part(dbk_log *log, uint64_t number, bool *listed, dbk_part **part, dbk_error *err)
{
    dbk_log_lock(log);
    const dbk_segment *segment = log->segments[number - 1];
    bool itself = segment->table || segment->last_position < segment->first_position;
    dbk_log_unlock(log);
    *part = itself ? NULL : dbk_parts_pin(log, number);
    if (itself || *part || !log->options.read_only || *listed) return DBK_OK;
    *listed = true;
    dbk_result rc = dbk_parts_list(log, NULL, err);
    if (rc == DBK_OK) *part = dbk_parts_pin(log, number);
    return rc;
}

/* Asks what answers for the segment. *below is the next one down that was not asked by it. */
dbk_result dbk_visit_segment(dbk_log *log, uint64_t number, dbk_visit *v, uint64_t *below, bool *listed, dbk_error *err)
{
    usable how = PART_USELESS;
    dbk_part *part;

    for (;;) {
        dbk_result rc = find_part(log, number, listed, &part, err);
        if (rc != DBK_OK) return rc;
        *below = number - 1;
        if (!part) return visit_itself(log, number, v, err);
        *below = part->first - 1;
        rc = visit_part(log, part, v, &how, err);
        if (how == PART_USELESS) dbk_parts_drop(log, part);
        if (how != PART_ANSWERS) want_anew(log, part);
        dbk_parts_unpin(log, part);
        if (how == PART_USELESS) continue;
        if (how == PART_ANSWERS) return rc;
        for (; number > *below && !v->done && rc == DBK_OK; number--) rc = visit_itself(log, number, v, err);
        return rc;
    }
}

/* Parts from a segment down, to be asked under one hold of run_lock. */
typedef struct row_of_parts {
    dbk_part *parts[PARTS_AT_ONCE];  /* pinned */
    uint64_t numbers[PARTS_AT_ONCE]; /* the segments that they are asked for */
    size_t count, answered;
} row_of_parts;

/* Tables in front of the first part are asked on the way. It ends, with *number, in front of a table behind a part, and
 * of what dbk_visit_segment has to see to. */
static void gather_parts(dbk_log *log, uint64_t *number, dbk_visit *v, row_of_parts *row)
{
    row->count = row->answered = 0;
    dbk_log_lock(log);
    while (*number > 0 && row->count < PARTS_AT_ONCE && !v->done) {
        dbk_segment *segment = log->segments[*number - 1];
        bool empty = segment->last_position < segment->first_position;
        dbk_part *part = segment->table || empty ? NULL : dbk_parts_of(log, *number);
        if (part) {
            part->pins++;
            part->used = ++log->part_clock;
            row->parts[row->count] = part;
            row->numbers[row->count++] = *number;
            *number = part->first - 1;
            continue;
        }
        if (segment->table ? row->count || (v->prefix && segment->prefix_last) : !empty) break;
        if (segment->table && segment->table_asked) segment->table_asked = ++log->part_clock;
        if (segment->table) v->table(v->arg, segment);
        --*number;
    }
    dbk_log_unlock(log);
}

static dbk_result ask_parts(dbk_log *log, row_of_parts *row, dbk_visit *v, dbk_error *err)
{
    dbk_result rc = DBK_OK;
    usable how = PART_ANSWERS;

    if (row->count == 0) return DBK_OK;
    log->port->mutex_lock(log->port->ctx, log->run_lock);
    while (rc == DBK_OK && how == PART_ANSWERS && row->answered < row->count && !v->done) {
        rc = ask_part(log, row->parts[row->answered], v, &how, err);
        if (how == PART_ANSWERS) row->answered++;
    }
    log->port->mutex_unlock(log->port->ctx, log->run_lock);
    dbk_parts_unpin_all(log, row->parts, row->count);
    return rc;
}

dbk_result dbk_visit_down(dbk_log *log, uint64_t number, dbk_visit *v, dbk_error *err)
{
    bool listed = false;
    row_of_parts row;

    while (number > 0 && !v->done) {
        gather_parts(log, &number, v, &row);
        dbk_result rc = ask_parts(log, &row, v, err);
        bool all = row.answered == row.count;
        if (rc != DBK_OK || v->done) return rc;
        if (all && (row.count > 0 || number == 0)) continue;
        rc = dbk_visit_segment(log, all ? number : row.numbers[row.answered], v, &number, &listed, err);
        if (rc != DBK_OK) return rc;
    }
    return DBK_OK;
}

/* ---- by name */

typedef struct search {
    dbk_log *log;
    dbk_visit visit;
    dbk_hash128 hash; /* of its kind and name: all segments of a log hash alike */
    uint64_t before, position;
} search;

static dbk_result find_in_run(void *arg, dbk_index_run *run, dbk_error *err)
{
    search *s = arg;

    dbk_result rc = dbk_index_run_find_hash(run, s->hash, s->before, &s->position, err);
    s->visit.done = rc == DBK_OK && s->position;
    return rc;
}

static void find_in_table(void *arg, const dbk_segment *segment)
{
    search *s = arg;

    dbk_index_table_find_hash(segment->table, s->hash, s->before, &s->position);
    s->visit.done = s->position != 0;
}

/* The run of a checkpoint rotted: the table of what it stood for answers from then on, beside that of
 * the appending thread, which stays untouched. */
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
static dbk_result find_in_prefix(void *arg, dbk_segment *segment, dbk_error *err)
{
    search *s = arg;
    dbk_log *log = s->log;

    for (;;) {
        dbk_log_lock(log);
        const dbk_index_table *table = segment->prefix_table;
        dbk_log_unlock(log);
        dbk_result rc = DBK_OK;
        if (table) {
            dbk_index_table_find_hash(table, s->hash, s->before, &s->position);
        } else {
            log->port->mutex_lock(log->port->ctx, log->run_lock);
            rc = dbk_index_run_find_hash(segment->prefix, s->hash, s->before, &s->position, err);
            log->port->mutex_unlock(log->port->ctx, log->run_lock);
        }
        s->visit.done = rc == DBK_OK && s->position;
        if (rc != DBK_CORRUPT) return rc;
        rc = replace_prefix(log, segment, err);
        if (rc != DBK_OK) return rc;
    }
}

/* Under the lock: the last segment that begins below the position. */
static uint64_t segment_below(const dbk_log *log, uint64_t position)
{
    uint64_t low = 0, high = log->segment_count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (log->segments[middle]->first_position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static dbk_result find(dbk_log *log, dbk_index_kind kind, dbk_slice name, uint64_t before, uint64_t *position,
                       dbk_error *err)
{
    search s = {.log = log};

    *position = 0;
    if (!dbk_index_hash(log->options.store_id, kind, name, &s.hash)) return DBK_OK;
    s.visit = (dbk_visit){&s, find_in_run, find_in_table, find_in_prefix, false};
    dbk_log_lock(log);
    uint64_t end = log->state.position;
    s.before = before == 0 || before > end ? end + 1 : before; /* what is not durable yet is not found */
    uint64_t number = segment_below(log, s.before);
    dbk_log_unlock(log);
    dbk_result rc = dbk_visit_down(log, number, &s.visit, err);
    *position = rc == DBK_OK ? s.position : 0;
    return rc;
}

dbk_result dbk_log_find_command(dbk_log *log, dbk_slice command_id, uint64_t before, uint64_t *position, dbk_error *err)
{
    return find(log, DBK_INDEX_COMMAND, command_id, before, position, err);
}

dbk_result dbk_log_find_stream(dbk_log *log, dbk_slice stream, uint64_t before, uint64_t *position, dbk_error *err)
{
    return find(log, DBK_INDEX_STREAM, stream, before, position, err);
}

/* ---- batches */

typedef struct batch_search {
    dbk_visit visit;
    uint64_t position;
    dbk_index_batch batch;
    bool found;
} batch_search;

static dbk_result batch_in_run(void *arg, dbk_index_run *run, dbk_error *err)
{
    batch_search *s = arg;

    dbk_result rc = dbk_index_run_find_batch(run, s->position, &s->batch, err);
    s->visit.done = rc != DBK_CORRUPT;
    s->found = rc == DBK_OK;
    return rc == DBK_NONE ? DBK_OK : rc;
}

static void batch_in_table(void *arg, const dbk_segment *segment)
{
    batch_search *s = arg;

    s->visit.done = true;
    const dbk_index_batch *found = s->position <= segment->prefix_last
                                       ? dbk_index_run_batch(segment->prefix, s->position)
                                       : dbk_index_table_batch(segment->table, s->position);
    if (found) s->batch = *found;
    s->found = found;
}

/* A merged run has the batches of segments that were plain then: for another the records are read. */
dbk_result dbk_log_batch_of(dbk_log *log, dbk_segment *segment, uint64_t position, dbk_index_batch *batch,
                            dbk_error *err)
{
    batch_search s = {.position = position};
    uint64_t below;
    bool listed = false;

    s.visit = (dbk_visit){&s, batch_in_run, batch_in_table, NULL, false};
    dbk_result rc = dbk_visit_segment(log, segment->header.number, &s.visit, &below, &listed, err);
    bool fits = s.found && s.batch.first_position >= segment->first_position;
    if (rc == DBK_OK && !fits) {
        s.found = false;
        rc = visit_itself(log, segment->header.number, &s.visit, err);
    }
    if (rc != DBK_OK) return rc;
    *batch = s.batch;
    if (s.found) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "the index of segment '%s' has no batch with position %llu", segment->name,
                    (unsigned long long)position);
}
