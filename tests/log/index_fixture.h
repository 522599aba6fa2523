/* What the tests of the index share: a simulated disk, random entries, and a plain list that the
 * answers of table and run are held against. */
#ifndef TESTS_LOG_INDEX_FIXTURE_H
#define TESTS_LOG_INDEX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/simdisk.h"
#include "log/index_internal.h"

static const uint8_t store_id[16] = "a store of tests";
static const char run_name[] = "0000000000000003.idx";

enum { FIRST = 1000, NAMES_MAX = 4000 };

typedef struct fixture {
    dbk_simdisk *disk;
    const dbk_port *port;
    dbk_dir *root;
    uint64_t random;
} fixture;

static inline int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->disk = dbk_simdisk_new(11);
    f->port = dbk_simdisk_port(f->disk);
    f->random = 0x9e3779b97f4a7c15;
    assert_int_equal(f->port->open_dir(f->port->ctx, NULL, "/", 0, &f->root), 0);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    fixture *f = *state;

    f->port->close_dir(f->port->ctx, f->root);
    assert_int_equal(dbk_simdisk_memory_count(f->disk), 0);
    assert_int_equal(dbk_simdisk_handle_count(f->disk), 0);
    dbk_simdisk_free(f->disk);
    free(f);
    return 0;
}

static inline uint32_t draw(fixture *f, uint32_t below)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return (uint32_t)(f->random >> 33) % below;
}

/* The plain list that table and run are held against. */
typedef struct fact {
    uint64_t position;
    dbk_index_kind kind;
    uint32_t name;
} fact;

typedef struct author {
    uint64_t position, seq;
    uint32_t who;
} author;

typedef struct model {
    fact *facts;
    size_t fact_count;
    author *authors;
    size_t author_count;
    dbk_index_batch *batches;
    size_t batch_count;
    uint32_t names; /* how many there are to draw from */
    uint64_t next;  /* position */
} model;

static inline model model_new(uint32_t names, size_t entries)
{
    model m = {.names = names, .next = FIRST};

    m.facts = calloc(entries * 5, sizeof(*m.facts));
    m.authors = calloc(entries, sizeof(*m.authors));
    m.batches = calloc(entries, sizeof(*m.batches));
    assert_true(m.facts && m.authors && m.batches);
    return m;
}

static inline void model_free(model *m)
{
    free(m->facts);
    free(m->authors);
    free(m->batches);
}

/* Names of one kind may be those of another; the first is absent; some are long. */
static inline dbk_slice name_of(uint32_t name)
{
    static char text[3000];
    int size = name == 0 ? 0 : snprintf(text, sizeof(text), "n%u/", name);

    if (name % 97 == 5) {
        memset(text + size, 'x', 2000);
        size += 2000;
    }
    return dbk_slice_of(text, (size_t)size);
}

static inline void put_event(dbk_buffer *out, uint32_t name)
{
    dbk_event event = {.stream = name_of(name), .type = dbk_slice_text("n.put"), .data = dbk_slice_text("{}")};

    dbk_event_encode(out, &event);
    assert_false(out->failed);
}

static inline void model_note(model *m, dbk_index_kind kind, uint32_t name)
{
    if (name) m->facts[m->fact_count++] = (fact){m->next, kind, name};
}

/* Draws an entry with up to four events, streams also twice, and adds it to both; the list has it
 * also when the table had no memory for it. */
static inline dbk_result try_add_entry(fixture *f, model *m, dbk_index_table *table)
{
    dbk_entry entry = {.event_count = draw(f, 5)};
    uint32_t command = draw(f, m->names), who = draw(f, 10) ? 1 : draw(f, 3);
    size_t same = m->author_count;
    dbk_buffer events, id;
    dbk_result rc;

    while (same > 0 && m->authors[same - 1].who != who) same--;
    entry.id.seq = same ? m->authors[same - 1].seq + 1 + !draw(f, 20) : 1;
    entry.id.incarnation = who;
    entry.id.replica[15] = (uint8_t)(who == 2);
    m->authors[m->author_count++] = (author){m->next, entry.id.seq, who};
    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&id, dbk_port_system());
    dbk_buffer_put_slice(&id, name_of(command));
    entry.command_id = dbk_buffer_slice(&id);
    model_note(m, DBK_INDEX_COMMAND, command);
    for (uint32_t i = 0, stream = 0; i < entry.event_count; i++) {
        if (i == 0 || draw(f, 2)) stream = draw(f, 3) ? draw(f, m->names) : 1;
        put_event(&events, stream);
        model_note(m, DBK_INDEX_STREAM, stream);
    }
    entry.events = dbk_buffer_slice(&events);
    rc = dbk_index_table_add(table, m->next, &entry, NULL);
    assert_true(rc == DBK_OK || rc == DBK_NO_MEMORY);
    m->next++;
    dbk_buffer_release(&events);
    dbk_buffer_release(&id);
    return rc;
}

static inline void add_batch(fixture *f, model *m, dbk_index_table *table, uint32_t entries)
{
    dbk_index_batch batch = {m->next, (uint32_t)m->next * 100, 100 * entries, (int64_t)m->next * 3};

    assert_int_equal(dbk_index_table_add_batch(table, &batch, NULL), DBK_OK);
    m->batches[m->batch_count++] = batch;
    for (uint32_t i = 0; i < entries; i++) assert_int_equal(try_add_entry(f, m, table), DBK_OK);
}

static inline void model_cut(model *m, uint64_t position)
{
    while (m->fact_count && m->facts[m->fact_count - 1].position >= position) m->fact_count--;
    while (m->author_count && m->authors[m->author_count - 1].position >= position) m->author_count--;
    while (m->batch_count && m->batches[m->batch_count - 1].first_position >= position) m->batch_count--;
    if (position < m->next) m->next = position < FIRST ? FIRST : position;
}

static inline uint64_t model_find(const model *m, dbk_index_kind kind, uint32_t name, uint64_t before)
{
    for (size_t i = m->fact_count; i > 0; i--) {
        const fact *at = &m->facts[i - 1];
        if (at->kind == kind && at->name == name && (before == 0 || at->position < before)) return at->position;
    }
    return 0;
}

/* Asked by name, as who looks for an id or a stream does. */
static inline dbk_result run_find(dbk_index_run *run, dbk_index_kind kind, dbk_slice name, uint64_t before,
                                  uint64_t *position, dbk_error *err)
{
    dbk_hash128 hash;

    *position = 0;
    return dbk_index_hash(store_id, kind, name, &hash) ? dbk_index_run_find_hash(run, hash, before, position, err)
                                                       : DBK_OK;
}

static inline void table_find(const dbk_index_table *table, dbk_index_kind kind, dbk_slice name, uint64_t before,
                              uint64_t *position)
{
    dbk_hash128 hash;

    *position = 0;
    if (dbk_index_hash(store_id, kind, name, &hash)) dbk_index_table_find_hash(table, hash, before, position);
}

/* The answers of the table, or of the run where there is one. */
typedef struct subject {
    const dbk_index_table *table;
    dbk_index_run *run;
} subject;

static inline dbk_result find(const subject *s, dbk_index_kind kind, dbk_slice name, uint64_t before,
                              uint64_t *position)
{
    if (s->run) return run_find(s->run, kind, name, before, position, NULL);
    table_find(s->table, kind, name, before, position);
    return DBK_OK;
}

static inline void check_find(const subject *s, const model *m, dbk_index_kind kind, uint32_t name, uint64_t before)
{
    uint64_t position = 77, wanted = model_find(m, kind, name, before);

    assert_int_equal(find(s, kind, name_of(name), before, &position), DBK_OK);
    if (position != wanted) {
        fail_msg("kind %d name %u before %llu: %llu, not %llu", (int)kind, name, (unsigned long long)before,
                 (unsigned long long)position, (unsigned long long)wanted);
    }
}

static inline void check_finds(fixture *f, const subject *s, const model *m, int count)
{
    for (int i = 0; i < count; i++) {
        dbk_index_kind kind = draw(f, 2) ? DBK_INDEX_COMMAND : DBK_INDEX_STREAM;
        uint32_t name = draw(f, 4) ? draw(f, m->names + 2) : 1;
        uint64_t before = draw(f, 3) ? draw(f, (uint32_t)(m->next - FIRST) + 4) + FIRST - 2 : draw(f, 2);
        check_find(s, m, kind, name, before);
    }
}

static inline void check_batches(const subject *s, const model *m)
{
    size_t count, at = 0;

    for (uint64_t position = FIRST - 1; position <= m->next; position++) {
        const dbk_index_batch *batch =
            s->run ? dbk_index_run_batch(s->run, position) : dbk_index_table_batch(s->table, position);
        while (at < m->batch_count && m->batches[at].first_position <= position) at++;
        if (at && position < m->next) assert_memory_equal(batch, &m->batches[at - 1], sizeof(*batch));
        else assert_null(batch);
    }
    if (!s->run) return;
    const dbk_index_batch *batches = dbk_index_run_batches(s->run, &count);
    assert_int_equal(count, m->batch_count);
    if (count) assert_memory_equal(batches, m->batches, count * sizeof(*batches));
}

/* Joined runs give back the author and the seq of every position; neighbours could not be joined.
 */
static inline void check_authors(const subject *s, const model *m)
{
    size_t count, position = 0;
    const dbk_index_author_run *runs =
        s->run ? dbk_index_run_authors(s->run, &count) : dbk_index_table_authors(s->table, &count);

    for (size_t i = 0; i < count; i++) {
        assert_true(runs[i].count > 0);
        for (uint64_t j = 0; j < runs[i].count; j++, position++) {
            assert_true(position < m->author_count);
            const author *one = &m->authors[position];
            assert_int_equal(runs[i].first_position + j, one->position);
            assert_int_equal(runs[i].first_seq + j, one->seq);
            assert_int_equal(runs[i].incarnation, one->who);
            assert_int_equal(runs[i].replica[15], one->who == 2);
        }
        if (i == 0) continue;
        assert_false(runs[i].incarnation == runs[i - 1].incarnation &&
                     runs[i].first_seq == runs[i - 1].first_seq + runs[i - 1].count);
    }
    assert_int_equal(position, m->author_count);
}

static inline void check_all(fixture *f, const subject *s, const model *m, int finds)
{
    check_finds(f, s, m, finds);
    check_batches(s, m);
    check_authors(s, m);
}

static inline dbk_index_source source_of(const model *m)
{
    dbk_index_source source = {.segment = 3,
                               .first_position = FIRST,
                               .last_position = m->next - 1,
                               .salt = 0x1234567890abcdef,
                               .ordered = true};

    memset(source.head, 5, sizeof(source.head));
    memset(source.top, 6, sizeof(source.top));
    return source;
}

static inline dbk_result open_run(fixture *f, const model *m, dbk_index_run **run, dbk_error *err)
{
    dbk_index_source source = source_of(m), found;
    dbk_result rc = dbk_index_run_open(f->port, f->root, run_name, store_id, &source, &found, run, err);

    if (rc < 0) assert_null(*run);
    return rc;
}

static inline void write_run(fixture *f, const model *m, const dbk_index_table *table)
{
    dbk_index_source source = source_of(m);

    assert_int_equal(dbk_index_run_write(f->port, f->root, run_name, table, &source, NULL), DBK_OK);
}

static inline void add_stream(dbk_index_table *table, uint64_t position, const char *command, const char *stream)
{
    dbk_event event = {.stream = dbk_slice_text(stream)};
    dbk_entry entry = {.event_count = 1, .id = {.seq = position}};
    dbk_buffer events;

    dbk_buffer_init(&events, dbk_port_system());
    dbk_event_encode(&events, &event);
    entry.events = dbk_buffer_slice(&events);
    entry.command_id = dbk_slice_text(command);
    assert_int_equal(dbk_index_table_add(table, position, &entry, NULL), DBK_OK);
    dbk_buffer_release(&events);
}

#endif
