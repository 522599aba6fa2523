/* Late entries about tables with foreign keys and UNIQUE: what is applied as it comes gives, in any order of arrival, the
 * very file that one fold of the log gives, after every commit; and of what cannot, a shadow is asked for. */
#include "tests/projector/fold_fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static const char schema[] =
    "CREATE TABLE talks(id TEXT PRIMARY KEY NOT NULL, title TEXT, last TEXT);\n"
    "CREATE TABLE members(id INTEGER PRIMARY KEY NOT NULL, name TEXT);\n"
    "CREATE TABLE messages(id TEXT PRIMARY KEY NOT NULL, talk TEXT NOT NULL REFERENCES talks ON DELETE CASCADE,\n"
    "  member INTEGER REFERENCES members ON DELETE SET NULL, body TEXT, n INTEGER);\n"
    "CREATE INDEX messages_talk ON messages(talk);\n"
    "CREATE INDEX messages_member ON messages(member);\n"
    "CREATE TABLE tags(message TEXT NOT NULL REFERENCES messages ON DELETE CASCADE, tag TEXT NOT NULL, note TEXT,\n"
    "  PRIMARY KEY(message, tag));\n"
    "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, message TEXT, tag TEXT, text TEXT,\n"
    "  FOREIGN KEY(message, tag) REFERENCES tags(message, tag));\n"
    "CREATE INDEX notes_tag ON notes(message, tag);\n"
    "CREATE TABLE mails(id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE, name TEXT);\n"
    "CREATE TABLE chained(id TEXT PRIMARY KEY NOT NULL, up TEXT REFERENCES chained, a TEXT);\n"
    "CREATE INDEX chained_up ON chained(up);\n"
    "CREATE TABLE checked(id TEXT PRIMARY KEY NOT NULL, talk TEXT REFERENCES talks, a INTEGER CHECK(a < 9));\n"
    "CREATE INDEX checked_talk ON checked(talk);\n"
    "CREATE TABLE plain(id TEXT PRIMARY KEY NOT NULL, a TEXT);\n"
    "CREATE TABLE told(id TEXT PRIMARY KEY NOT NULL, talk TEXT REFERENCES talks);\n"
    "CREATE INDEX told_talk ON told(talk);\n";
static const char projections[] = "-- on told.put\nUPDATE counts SET n = n + 1 WHERE id = 1;\n";
static const char counts[] = "CREATE TABLE counts(id INTEGER PRIMARY KEY NOT NULL, n INTEGER);\n";

enum { COUNT = 110, AUTHORS = 3, SEEDS = 10, ROWS = 400 };

static dbk_definition *definition;
static uint64_t as_they_came, shadows;

static int set_up(void **state)
{
    char tables[4096];
    dbk_source sources[2] = {{.name = "schema.sql"}, {"projections.sql", dbk_slice_text(projections)}};
    dbk_findings findings = {0};
    dbk_error err = {0};
    (void)state;
    snprintf(tables, sizeof tables, "%s%s", schema, counts);
    sources[0].text = dbk_slice_text(tables);
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, 2, "tied", &definition, &findings, &err);
    for (size_t i = 0; i < findings.count; i++)
        fprintf(stderr, "%s:%u: %s\n", findings.items[i].file, findings.items[i].line, findings.items[i].text);
    dbk_findings_free(&findings);
    return result == DBK_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    dbk_definition_free(definition);
    return 0;
}

static unsigned below(uint64_t *seed, unsigned most)
{
    return (unsigned)(next_random(seed) % most);
}

/* ---- histories: what one time line of all authors might have been, so that most of it applies */

typedef struct row {
    int table, author;
    unsigned id;
    bool gone;
} row;

typedef struct world {
    row rows[ROWS];
    unsigned count, next;
    int author;
    uint64_t *seed;
} world;

typedef struct drawn {
    char stream[40], type[24], data[160];
} drawn;

enum { TALKS, MEMBERS, MESSAGES, TAGS, NOTES, MAILS, CHAINED, CHECKED, PLAIN, TABLES };
static const char *const names[] = {"talks", "members", "messages", "tags", "notes",
                                    "mails", "chained", "checked",  "plain"};

/* Some row of the table that is there and that the author made, mostly; 0: none. */
static unsigned pick(world *w, int table)
{
    bool gone = below(w->seed, 200) == 0, others = below(w->seed, 12) == 0;
    for (int i = 0; i < 60 && w->count; i++) {
        const row *r = &w->rows[below(w->seed, w->count)];
        if (r->table == table && (!r->gone || gone) && (r->author == w->author || others)) return r->id;
    }
    return 0;
}

static void stream_of(int table, unsigned id, char out[40])
{
    if (table == TAGS) snprintf(out, 40, "tags/%u/t", id);
    else snprintf(out, 40, "%s/%u", names[table], id);
}

static void reference(char out[40], const char *name, unsigned id, bool number)
{
    if (id == 0) snprintf(out, 40, ",\"%s\":null", name);
    else snprintf(out, 40, number ? ",\"%s\":%u" : ",\"%s\":\"%u\"", name, id);
}

static void draw_put(world *w, drawn *out)
{
    char one[40] = "", two[40] = "";
    int table = (int)below(w->seed, TABLES);
    unsigned id = ++w->next;
    if (table == TALKS && below(w->seed, 3)) table = MESSAGES;
    if (table == MESSAGES && !pick(w, TALKS)) table = TALKS;
    if (table == TAGS && !pick(w, MESSAGES)) table = PLAIN;
    if (below(w->seed, 100) == 0 && pick(w, table)) id = pick(w, table);
    if (table == TAGS) id = pick(w, MESSAGES); /* its key is the message's */
    if (table == MESSAGES) reference(one, "talk", pick(w, TALKS), false);
    if (table == MESSAGES) reference(two, "member", below(w->seed, 2) ? pick(w, MEMBERS) : 0, true);
    if (table == CHECKED) reference(one, "talk", pick(w, TALKS), false);
    if (table == CHAINED) reference(one, "up", pick(w, CHAINED), false);
    stream_of(table, id, out->stream);
    snprintf(out->type, sizeof out->type, "%s.put", names[table]);
    unsigned value = below(w->seed, 100);
    switch (table) {
    case TALKS: snprintf(out->data, 160, "{\"id\":\"%u\",\"last\":null,\"title\":\"%u\"}", id, value); break;
    case MEMBERS: snprintf(out->data, 160, "{\"id\":%u,\"name\":\"%u\"}", id, value); break;
    case MESSAGES:
        snprintf(out->data, 160, "{\"body\":\"%u\",\"id\":\"%u\"%s,\"n\":%u%s}", value, id, two, value, one);
        break;
    case TAGS: snprintf(out->data, 160, "{\"message\":\"%u\",\"note\":\"%u\",\"tag\":\"t\"}", id, value); break;
    case NOTES:
        reference(one, "message", pick(w, TAGS), false);
        snprintf(out->data, 160, "{\"id\":\"%u\"%s,\"tag\":\"t\",\"text\":\"%u\"}", id, one, value);
        break;
    case MAILS:
        snprintf(out->data, 160, "{\"id\":\"%u\",\"mail\":\"%u\",\"name\":\"x\"}", id, below(w->seed, 150));
        break;
    case CHAINED: snprintf(out->data, 160, "{\"a\":\"%u\",\"id\":\"%u\"%s}", value, id, one); break;
    case CHECKED: snprintf(out->data, 160, "{\"a\":%u,\"id\":\"%u\"%s}", value % 9, id, one); break;
    default: snprintf(out->data, 160, "{\"a\":\"%u\",\"id\":\"%u\"}", value, id);
    }
    if (w->count < ROWS) w->rows[w->count++] = (row){table, w->author, id, false};
}

static bool draw_patch(world *w, drawn *out)
{
    static const char *const columns[][2] = {{"title", "last"}, {"name", "name"}, {"body", "member"},
                                             {"note", "note"},  {"text", "text"}, {"name", "mail"},
                                             {"a", "up"},       {"a", "a"},       {"a", "a"}};
    int table = (int)below(w->seed, TABLES);
    unsigned id = pick(w, table), value = below(w->seed, 9);
    const char *column = columns[table][table <= MEMBERS ? below(w->seed, 2) : below(w->seed, 15) == 0];
    if (id == 0) return false;
    stream_of(table, id, out->stream);
    snprintf(out->type, sizeof out->type, "%s.patched", names[table]);
    if (below(w->seed, 20) == 0) snprintf(out->data, 160, "{\"%s\":null}", column);
    else snprintf(out->data, 160, table == CHECKED ? "{\"%s\":%u}" : "{\"%s\":\"%u\"}", column, value);
    return true;
}

static bool draw_delete(world *w, drawn *out)
{
    int table = (int)below(w->seed, TABLES);
    unsigned id = pick(w, table);
    if (id == 0) return false;
    stream_of(table, id, out->stream);
    snprintf(out->type, sizeof out->type, "%s.deleted", names[table]);
    snprintf(out->data, sizeof out->data, "{}");
    for (unsigned i = 0; i < w->count; i++)
        if (w->rows[i].table == table && w->rows[i].id == id) w->rows[i].gone = true;
    return true;
}

static void put_event(world *w, dbk_buffer *events)
{
    drawn text;
    unsigned kind = below(w->seed, 20);
    if (!(kind < 8 ? draw_patch(w, &text) : kind == 8 && draw_delete(w, &text))) draw_put(w, &text);
    dbk_event_encode(events, &(dbk_event){.stream = dbk_slice_text(text.stream),
                                          .type = dbk_slice_text(text.type),
                                          .type_version = 1,
                                          .data = dbk_slice_text(text.data)});
}

static fact draw_entry(world *w, dbk_arena *arena, int author, uint64_t seq, uint64_t ms)
{
    char id[32];
    dbk_buffer events, origin;
    dbk_entry entry = {.lineage = "lineage",
                       .id = {.incarnation = 1, .seq = seq},
                       .hlc = (1700000000000 + ms) << 16,
                       .time_ms = 1700000000000 + (int64_t)ms,
                       .flags = DBK_ENTRY_APP,
                       .event_count = below(w->seed, 3) ? 1 : 2 + below(w->seed, 2)};
    entry.id.replica[0] = (uint8_t)('A' + author);
    memcpy(entry.definition, definition->hash, sizeof entry.definition);
    snprintf(id, sizeof id, "c-%d-%llu", author, (unsigned long long)seq);
    entry.command_id = dbk_slice_text(id);
    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    for (uint32_t i = 0; i < entry.event_count; i++) put_event(w, &events);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, &entry);
    fact made = {dbk_arena_copy(arena, dbk_buffer_slice(&origin)), author};
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
    return made;
}

static void draw_history(uint64_t seed, dbk_arena *arena, fact *facts)
{
    uint64_t seqs[AUTHORS] = {0};
    world w = {.seed = &seed};
    for (int i = 0; i < COUNT; i++) {
        int author = (int)below(&seed, AUTHORS);
        w.author = author;
        facts[i] = draw_entry(&w, arena, author, ++seqs[author], (uint64_t)i + 1);
    }
}

/* ---- models */

static void put_rows(dbk_model *model, const char *name, dbk_buffer *out)
{
    sqlite3_stmt *rows = NULL;
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY 1, 2", name);
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &rows, NULL), SQLITE_OK);
    sqlite3_free(sql);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        dbk_buffer_put_text(out, name);
        for (int i = 0; i < sqlite3_column_count(rows); i++) {
            const char *text = (const char *)sqlite3_column_text(rows, i);
            dbk_buffer_printf(out, "|%d:%s", sqlite3_column_type(rows, i), text ? text : "");
        }
        dbk_buffer_put_u8(out, '\n');
    }
    assert_int_equal(sqlite3_finalize(rows), SQLITE_OK);
}

/* `whole`: with what is local to a log. */
static char *text_of(dbk_model *model, bool whole)
{
    static const char *const local[] = {"_daybook_rows", "_daybook_skips"};
    dbk_model_state state;
    dbk_hash128 sum;
    uint64_t count;
    dbk_error err;
    char fingerprint[33], counted[33];
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    dbk_model_get_state(model, &state);
    dbk_fingerprint_text(state.fingerprint, fingerprint);
    assert_int_equal(dbk_model_recount(model, &sum, &count, &err), DBK_OK);
    dbk_fingerprint_text(sum, counted);
    assert_string_equal(fingerprint, counted);
    dbk_buffer_printf(&out, "%s\n", fingerprint);
    for (size_t i = 0; i < definition->table_count; i++) put_rows(model, definition->tables[i].name, &out);
    for (size_t i = 0; whole && i < 2; i++) put_rows(model, local[i], &out);
    char *text = strdup(dbk_buffer_text(&out));
    dbk_buffer_release(&out);
    return text;
}

static void assert_same(dbk_model *one, dbk_model *other, bool whole)
{
    char *a = text_of(one, whole), *b = text_of(other, whole);
    size_t at = 33; /* behind the fingerprint */
    while (a[at] && a[at] == b[at]) at++;
    size_t from = at > 93 ? at - 60 : 33;
    if (strcmp(a, b) != 0) fail_msg("it is …%.300s\nand not …%.300s", a + from, b + from);
    free(a);
    free(b);
}

typedef struct watch {
    fold_place *place;
    dbk_model *model;
} watch;

static void at_commit(void *arg, const dbk_changes *changes)
{
    const watch *w = arg;
    dbk_model_state state;
    (void)changes;
    dbk_model_get_state(w->model, &state);
    dbk_model *cold = place_build(w->place, (dbk_shadow_options){.last = state.position});
    assert_same(w->model, cold, true);
    dbk_model_close(cold);
}

static bool is_late(fold_place *place, dbk_model *model)
{
    dbk_model_state state;
    dbk_buffer origin;
    bool late = false;
    dbk_model_get_state(model, &state);
    dbk_buffer_init(&origin, place->port);
    for (uint64_t at = state.position + 1; at <= dbk_log_position(place->log); at++) {
        dbk_entry entry;
        uint8_t key[DBK_ORDER_KEY_SIZE];
        assert_int_equal(dbk_log_read(place->log, at, &origin, NULL, &place->err), DBK_OK);
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, key);
        late |= memcmp(key, state.top, sizeof key) < 0;
    }
    dbk_buffer_release(&origin);
    return late;
}

static dbk_model *arrive(fold_place *place, uint64_t *seed, const fact *facts)
{
    watch w = {.place = place};
    dbk_model *model = place_model(place);
    for (size_t done = 0, round; done < COUNT; done += round) {
        bool shadow = false;
        round = 1 + below(seed, 5);
        if (round > COUNT - done) round = COUNT - done;
        place_append(place, facts + done, round);
        bool late = is_late(place, model);
        w.model = model;
        dbk_result result = dbk_model_catch_up(model, below(seed, 4), at_commit, NULL, &w, &shadow, &place->err);
        if (result != DBK_OK) fail_msg("%s", place->err.text);
        as_they_came += late && !shadow;
        if (!shadow) continue;
        shadows++;
        dbk_model_close(model);
        model = place_build(place, (dbk_shadow_options){0});
        assert_int_equal(dbk_model_finish(model, false, &place->err), DBK_OK);
    }
    return model;
}

static void any_order_of_arrival_gives_the_fold(void **state)
{
    (void)state;
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fact facts[COUNT], arrived[COUNT];
        uint64_t chance = seed * 77;
        dbk_model *models[2];
        fold_place places[2];
        draw_history(seed, arena, facts);
        for (int i = 0; i < 2; i++) {
            shuffle_history(&chance, AUTHORS, facts, arrived, COUNT);
            place_open(&places[i], definition);
            models[i] = arrive(&places[i], &chance, arrived);
        }
        assert_same(models[0], models[1], false);
        for (int i = 0; i < 2; i++) {
            dbk_model_close(models[i]);
            place_close(&places[i]);
        }
        dbk_arena_clear(arena);
    }
    dbk_arena_free(arena);
    if (as_they_came < 100 || shadows < 100) fail_msg("%d as they came, %d shadows", (int)as_they_came, (int)shadows);
}

/* ---- one at a time: the last one comes late */

static bool comes(const fact_text *texts, size_t count)
{
    bool shadow = false;
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 4096);
    fold_place place;
    place_open(&place, definition);
    dbk_model *model = place_model(&place);
    for (size_t i = 0; i < count; i++) {
        fact one = make_fact(arena, definition, &texts[i]);
        place_append(&place, &one, 1);
        assert_false(shadow);
        assert_int_equal(dbk_model_catch_up(model, 0, NULL, NULL, NULL, &shadow, &place.err), DBK_OK);
    }
    if (!shadow) {
        dbk_model *cold = place_build(&place, (dbk_shadow_options){0});
        assert_same(model, cold, true);
        dbk_model_close(cold);
    }
    dbk_model_close(model);
    place_close(&place);
    dbk_arena_free(arena);
    return !shadow;
}

#define COMES(...) comes((const fact_text[]){__VA_ARGS__}, sizeof((const fact_text[]){__VA_ARGS__}) / sizeof(fact_text))
#define TALK(ms, seq)                                                                                                  \
    {                                                                                                                  \
        0, seq, ms, "t", "talks/1", "talks.put", "{\"id\":\"1\",\"last\":null,\"title\":\"a\"}"                        \
    }
#define MEMBER(ms, seq)                                                                                                \
    {                                                                                                                  \
        0, seq, ms, "p", "members/1", "members.put", "{\"id\":1,\"name\":\"x\"}"                                       \
    }
#define MESSAGE(author, ms, seq)                                                                                       \
    {                                                                                                                  \
        author, seq, ms, "m", "messages/1", "messages.put",                                                            \
            "{\"body\":\"b\",\"id\":\"1\",\"member\":null,\"n\":1,\"talk\":\"1\"}"                                     \
    }
#define LATE(type, stream, data)                                                                                       \
    {                                                                                                                  \
        1, 1, 50, "late", stream, type, data                                                                           \
    }

static void what_changes_nothing_behind_it_comes(void **state)
{
    (void)state;
    assert_true(
        COMES(TALK(10, 1), {0, 2, 90, "x", "talks/1", "talks.patched", "{\"title\":\"z\"}"}, MESSAGE(1, 50, 1)));
    assert_true(COMES(TALK(10, 1), {0, 2, 90, "x", "talks/1", "talks.patched", "{\"title\":\"z\"}"},
                      LATE("talks.patched", "talks/1", "{\"title\":\"y\",\"last\":\"l\"}")));
    assert_true(COMES(TALK(10, 1), MESSAGE(0, 20, 2),
                      {0, 3, 90, "x", "plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"},
                      LATE("talks.put", "talks/2", "{\"id\":\"2\",\"last\":null,\"title\":\"a\"}")));
    assert_true(COMES({0, 1, 10, "a", "mails/1", "mails.put", "{\"id\":\"1\",\"mail\":\"m\",\"name\":\"n\"}"},
                      {0, 2, 90, "x", "plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"},
                      LATE("mails.patched", "mails/1", "{\"name\":\"o\"}")));
    assert_true(COMES({0, 1, 10, "a", "mails/1", "mails.put", "{\"id\":\"1\",\"mail\":\"m\",\"name\":\"n\"}"},
                      {0, 2, 90, "x", "plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"},
                      LATE("mails.deleted", "mails/1", "{}")));
}

/* Of each of these what is applied at the end would not be what a fold gives. */
static void what_others_depend_on_asks_for_a_shadow(void **state)
{
    (void)state;
    /* the row it refers to was not there yet, or is there no more */
    assert_false(COMES(TALK(90, 1), MESSAGE(1, 50, 1)));
    assert_false(COMES(TALK(10, 1), {0, 2, 90, "x", "talks/1", "talks.deleted", "{}"}, MESSAGE(1, 50, 1)));
    assert_false(COMES(TALK(10, 1), {0, 2, 30, "x", "talks/1", "talks.deleted", "{}"}, TALK(90, 3), MESSAGE(1, 50, 1)));
    /* what was left out behind it would apply */
    assert_false(
        COMES(MESSAGE(0, 90, 1), LATE("talks.put", "talks/1", "{\"id\":\"1\",\"last\":null,\"title\":\"a\"}")));
    assert_false(COMES({0, 1, 10, "a", "mails/1", "mails.put", "{\"id\":\"1\",\"mail\":\"m\",\"name\":\"n\"}"},
                       {0, 2, 90, "x", "mails/2", "mails.put", "{\"id\":\"2\",\"mail\":\"m\",\"name\":\"n\"}"},
                       LATE("mails.deleted", "mails/1", "{}")));
    /* the row was put behind it */
    assert_false(COMES(TALK(5, 1), MESSAGE(0, 90, 2), LATE("messages.deleted", "messages/1", "{}")));
    assert_false(COMES(TALK(90, 1), LATE("talks.patched", "talks/1", "{\"title\":\"y\"}")));
    assert_false(
        COMES({0, 1, 90, "a", "notes/1", "notes.put", "{\"id\":\"1\",\"message\":null,\"tag\":null,\"text\":\"n\"}"},
              LATE("notes.deleted", "notes/1", "{}")));
    assert_false(
        COMES(TALK(10, 1), LATE("talks.put", "talks/1", "{\"id\":\"1\",\"last\":null,\"title\":\"y\"}")) &&
        COMES(TALK(10, 1), TALK(90, 2), LATE("talks.put", "talks/1", "{\"id\":\"1\",\"last\":null,\"title\":\"y\"}")));
    /* something changed it that does not name it */
    assert_false(COMES(TALK(10, 1), MEMBER(11, 2),
                       {0, 3, 20, "m", "messages/1", "messages.put",
                        "{\"body\":\"b\",\"id\":\"1\",\"member\":1,\"n\":1,\"talk\":\"1\"}"},
                       {0, 4, 90, "x", "members/1", "members.deleted", "{}"},
                       LATE("messages.patched", "messages/1", "{\"body\":\"c\"}")));
    /* columns by which rows are tied, values that nobody else may have */
    assert_false(COMES(TALK(10, 1),
                       {0, 2, 11, "y", "talks/2", "talks.put", "{\"id\":\"2\",\"last\":null,\"title\":\"a\"}"},
                       MESSAGE(0, 20, 3), {0, 4, 90, "x", "talks/2", "talks.deleted", "{}"},
                       LATE("messages.patched", "messages/1", "{\"talk\":\"2\"}")));
    assert_false(COMES({0, 1, 10, "a", "mails/1", "mails.put", "{\"id\":\"1\",\"mail\":\"m\",\"name\":\"n\"}"},
                       {0, 2, 90, "x", "mails/1", "mails.patched", "{\"mail\":\"o\"}"},
                       LATE("mails.put", "mails/2", "{\"id\":\"2\",\"mail\":\"m\",\"name\":\"n\"}")));
    /* rows that refer to it */
    assert_false(COMES(TALK(10, 1), MESSAGE(0, 90, 2), LATE("talks.deleted", "talks/1", "{}")));
    /* a delete behind which it is named */
    assert_false(
        COMES({0, 1, 10, "a", "notes/1", "notes.put", "{\"id\":\"1\",\"message\":null,\"tag\":null,\"text\":\"n\"}"},
              {0, 2, 90, "x", "notes/1", "notes.patched", "{\"text\":\"o\"}"}, LATE("notes.deleted", "notes/1", "{}")));
    /* a projection that counts */
    assert_false(COMES(TALK(10, 1), TALK(90, 2), LATE("told.put", "told/1", "{\"id\":\"1\",\"talk\":\"1\"}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_nothing_behind_it_comes),
        cmocka_unit_test(what_others_depend_on_asks_for_a_shadow),
        cmocka_unit_test(any_order_of_arrival_gives_the_fold),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
