/* Who wrote which entries: the runs of authors in tables and parts. What seq an author has next is known
 * without them, since a turn that is taken back asks it and must not fail. */
#include "log/parts.h"

typedef struct author_search {
    dbk_visit visit;
    void *arg;
    /* Whether that was all. */
    bool (*look)(void *arg, const dbk_index_author_run *runs, size_t count);
} author_search;

static dbk_result authors_in_run(void *arg, dbk_index_run *run, dbk_error *err)
{
    author_search *s = arg;
    size_t count;

    (void)err;
    const dbk_index_author_run *runs = dbk_index_run_authors(run, &count);
    s->visit.done = s->look(s->arg, runs, count);
    return DBK_OK;
}

/* A segment that goes on from a checkpoint has them in two places. */
static void authors_in_table(void *arg, const dbk_segment *segment)
{
    author_search *s = arg;
    size_t count;

    const dbk_index_author_run *runs = dbk_index_table_authors(segment->table, &count);
    s->visit.done = s->look(s->arg, runs, count);
    if (s->visit.done || !segment->prefix_last) return;
    runs = dbk_index_run_authors(segment->prefix, &count);
    s->visit.done = s->look(s->arg, runs, count);
}

static author_search author_search_of(void *arg, bool (*look)(void *, const dbk_index_author_run *, size_t))
{
    return (author_search){.arg = arg, .look = look};
}

static bool is_author(const dbk_index_author_run *run, const uint8_t replica[16], uint32_t incarnation)
{
    return run->incarnation == incarnation && memcmp(run->replica, replica, 16) == 0;
}

typedef struct entry_search {
    const dbk_entry_id *id;
    uint64_t position;
} entry_search;

static bool look_for_entry(void *arg, const dbk_index_author_run *runs, size_t count)
{
    entry_search *s = arg;
    const dbk_entry_id *id = s->id;

    for (size_t i = 0; i < count && s->position == 0; i++) {
        if (!is_author(&runs[i], id->replica, id->incarnation)) continue;
        if (id->seq < runs[i].first_seq || id->seq - runs[i].first_seq >= runs[i].count) continue;
        s->position = runs[i].first_position + (id->seq - runs[i].first_seq);
    }
    return s->position != 0;
}

dbk_result dbk_log_find_entry(dbk_log *log, const dbk_entry_id *id, uint64_t *position, dbk_error *err)
{
    entry_search entry = {.id = id};
    author_search s = author_search_of(&entry, look_for_entry);

    s.visit = (dbk_visit){&s, authors_in_run, authors_in_table, NULL, false};
    dbk_log_lock(log);
    uint64_t number = log->segment_count, end = log->state.position;
    dbk_log_unlock(log);
    dbk_result rc = dbk_visit_down(log, number, &s.visit, err);
    *position = rc == DBK_OK && entry.position <= end ? entry.position : 0;
    return rc;
}

typedef struct id_search {
    uint64_t position;
    dbk_entry_id *id;
    bool found;
} id_search;

static bool look_for_position(void *arg, const dbk_index_author_run *runs, size_t count)
{
    id_search *s = arg;
    size_t low = 0;

    for (size_t high = count; high - low > 1;) {
        size_t middle = low + (high - low) / 2;
        if (runs[middle].first_position <= s->position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    s->found = count > 0 && runs[low].first_position <= s->position &&
               s->position - runs[low].first_position < runs[low].count;
    if (!s->found) return false;
    memcpy(s->id->replica, runs[low].replica, 16);
    s->id->incarnation = runs[low].incarnation;
    s->id->seq = runs[low].first_seq + (s->position - runs[low].first_position);
    return true;
}

dbk_result dbk_log_entry_id_at(dbk_log *log, uint64_t position, dbk_entry_id *id, dbk_error *err)
{
    dbk_segment *segment = dbk_log_segment_of(log, position);
    id_search wanted = {position, id, false};
    author_search s = author_search_of(&wanted, look_for_position);
    bool listed = false;
    uint64_t below;

    if (!segment) return DBK_NONE;
    s.visit = (dbk_visit){&s, authors_in_run, authors_in_table, NULL, false};
    dbk_result rc = dbk_visit_segment(log, segment->header.number, &s.visit, &below, &listed, err);
    if (rc != DBK_OK || wanted.found) return rc;
    return dbk_fail(err, DBK_CORRUPT, "the index of segment '%s' has no author for position %llu", segment->name,
                    (unsigned long long)position);
}

/* ---- the next seq */

struct dbk_author {
    uint8_t replica[16];
    uint32_t incarnation;
    uint64_t next;
};

/* Under the lock. */
static dbk_result note_one(dbk_log *log, const dbk_index_author_run *run)
{
    const dbk_port *port = log->port;
    size_t i = 0;

    while (i < log->author_count &&
           !(log->authors[i].incarnation == run->incarnation && memcmp(log->authors[i].replica, run->replica, 16) == 0))
        i++;
    if (i == log->author_room) {
        size_t room = log->author_room ? log->author_room * 2 : 8;
        dbk_author *grown = port->resize(port->ctx, log->authors, room * sizeof(*grown));
        if (!grown) return DBK_NO_MEMORY;
        log->authors = grown;
        log->author_room = room;
    }
    dbk_author *author = &log->authors[i];
    if (i == log->author_count) {
        *author = (dbk_author){.incarnation = run->incarnation, .next = 1};
        memcpy(author->replica, run->replica, 16);
        log->author_count++;
    }
    if (run->first_seq + run->count > author->next) author->next = run->first_seq + run->count;
    return DBK_OK;
}

dbk_result dbk_authors_note(dbk_log *log, const dbk_index_author_run *runs, size_t count, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    dbk_log_lock(log);
    for (size_t i = 0; i < count && rc == DBK_OK; i++) rc = note_one(log, &runs[i]);
    dbk_log_unlock(log);
    return rc == DBK_OK ? DBK_OK : dbk_fail(err, rc, "cannot open the index: out of memory");
}

typedef struct seq_search {
    const uint8_t *replica;
    uint32_t incarnation;
    uint64_t end, next;
} seq_search;

static bool look_for_seq(void *arg, const dbk_index_author_run *runs, size_t count)
{
    seq_search *s = arg;

    for (size_t i = 0; i < count; i++) {
        if (runs[i].first_position > s->end) continue; /* under way */
        if (!is_author(&runs[i], s->replica, s->incarnation)) continue;
        if (runs[i].first_seq + runs[i].count > s->next) s->next = runs[i].first_seq + runs[i].count;
    }
    return false;
}

/* Under the lock: what is noted, and the tables. */
static void look_at_known(const dbk_log *log, seq_search *seq, author_search *s)
{
    for (size_t i = 0; i < log->author_count; i++) {
        const dbk_author *author = &log->authors[i];
        bool same = author->incarnation == seq->incarnation && memcmp(author->replica, seq->replica, 16) == 0;
        if (same) seq->next = author->next; /* each is noted once, and nothing was looked at before */
    }
    for (size_t i = 0; i < log->segment_count; i++) {
        if (log->segments[i]->table) authors_in_table(s, log->segments[i]);
    }
}

uint64_t dbk_log_next_seq(dbk_log *log, const uint8_t replica[16], uint32_t incarnation)
{
    seq_search seq = {.replica = replica, .incarnation = incarnation, .next = 1};
    author_search s = author_search_of(&seq, look_for_seq);

    s.visit = (dbk_visit){&s, authors_in_run, authors_in_table, NULL, false};
    dbk_log_lock(log);
    seq.end = log->state.position;
    uint64_t number = log->segment_count;
    if (!log->options.read_only) look_at_known(log, &seq, &s);
    dbk_log_unlock(log);
    if (log->options.read_only) (void)!dbk_visit_down(log, number, &s.visit, NULL);
    return seq.next;
}
