/* Late entries about tables with foreign keys and UNIQUE: what is applied as it comes gives, in any order of arrival, the
 * very file that one fold of the log gives, after every commit; and of what cannot, a shadow is asked for. */
#include "tests/projector/late_fixture.h"

#include <stdio.h>

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

static int set_up(void **state)
{
    char tables[4096];
    snprintf(tables, sizeof tables, "%s%s", schema, counts);
    *state = definition = late_definition(tables, projections, NULL);
    return 0;
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

static void draw_put(world *w, drawn_event *out)
{
    char one[40] = "", two[40] = "";
    int table = (int)below(w->seed, TABLES);
    unsigned id = ++w->next;
    if (table == TALKS && below(w->seed, 3)) table = MESSAGES;
    if (table == MESSAGES && !pick(w, TALKS)) table = TALKS;
    if (table == TAGS && !pick(w, MESSAGES)) table = PLAIN;
    if (below(w->seed, 12) == 0 && pick(w, table)) id = pick(w, table);
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

static bool draw_patch(world *w, drawn_event *out)
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

static bool draw_delete(world *w, drawn_event *out)
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

static void draw_event(void *arg, drawn_event *out)
{
    world *w = arg;
    unsigned kind = below(w->seed, 20);
    if (!(kind < 8 ? draw_patch(w, out) : kind == 8 && draw_delete(w, out))) draw_put(w, out);
}

static void draw_history(uint64_t seed, dbk_arena *arena, fact *facts)
{
    uint64_t seqs[AUTHORS] = {0};
    world w = {.seed = &seed};
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        int author = (int)below(&seed, AUTHORS);
        w.author = author;
        fact_text text = {.author = author, .seq = ++seqs[author], .ms = (uint64_t)i + 1, .command_id = id};
        snprintf(id, sizeof id, "c-%d-%llu", author, (unsigned long long)text.seq);
        facts[i] = draw_entry(&seed, arena, definition, &text, draw_event, &w);
    }
}

static void any_order_of_arrival_gives_the_fold(void **state)
{
    (void)state;
    late_watch sums = any_order_gives_the_fold(&(late_orders){
        .definition = definition, .authors = AUTHORS, .seeds = SEEDS, .most = 5, .count = COUNT, .draw = draw_history});
    if (sums.as_they_came < 100 || sums.shadows < 100)
        fail_msg("%d as they came, %d shadows", (int)sums.as_they_came, (int)sums.shadows);
}

/* ---- one at a time: the last one comes late */

#define COMES(...) (ARRIVE(definition, __VA_ARGS__) != A_SHADOW)
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
    assert_true(COMES(TALK(10, 1), {0, 2, 90, "x", "plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"},
                      LATE("talks.put", "talks/1", "{\"id\":\"1\",\"last\":null,\"title\":\"y\"}")));
    assert_true(COMES(
        TALK(10, 1), {0, 2, 11, "y", "talks/2", "talks.put", "{\"id\":\"2\",\"last\":null,\"title\":\"a\"}"},
        MESSAGE(0, 20, 3), {0, 4, 90, "x", "plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"},
        LATE("messages.put", "messages/1", "{\"body\":\"c\",\"id\":\"1\",\"member\":null,\"n\":2,\"talk\":\"2\"}")));
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
    /* a put of a row that is named behind it, that was not there, or whose new parent was not */
    assert_false(COMES(TALK(10, 1), {0, 2, 90, "x", "talks/1", "talks.patched", "{\"title\":\"z\"}"},
                       LATE("talks.put", "talks/1", "{\"id\":\"1\",\"last\":null,\"title\":\"y\"}")));
    assert_false(COMES(TALK(10, 1), {0, 2, 20, "x", "talks/1", "talks.deleted", "{}"},
                       {0, 3, 90, "y", "plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"},
                       LATE("talks.put", "talks/1", "{\"id\":\"1\",\"last\":null,\"title\":\"y\"}")));
    assert_false(COMES(
        TALK(10, 1), MESSAGE(0, 20, 2),
        {0, 3, 90, "y", "talks/2", "talks.put", "{\"id\":\"2\",\"last\":null,\"title\":\"a\"}"},
        LATE("messages.put", "messages/1", "{\"body\":\"c\",\"id\":\"1\",\"member\":null,\"n\":2,\"talk\":\"2\"}")));
    /* what its old value kept from being deleted would go */
    assert_false(COMES(TALK(10, 1),
                       {0, 2, 11, "y", "talks/2", "talks.put", "{\"id\":\"2\",\"last\":null,\"title\":\"a\"}"},
                       {0, 3, 20, "c", "checked/1", "checked.put", "{\"a\":1,\"id\":\"1\",\"talk\":\"1\"}"},
                       {0, 4, 90, "x", "talks/1", "talks.deleted", "{}"},
                       LATE("checked.put", "checked/1", "{\"a\":1,\"id\":\"1\",\"talk\":\"2\"}")));
    /* rows that refer to it */
    assert_false(COMES(TALK(10, 1), MESSAGE(0, 90, 2), LATE("talks.deleted", "talks/1", "{}")));
    /* a delete behind which it is named */
    assert_false(
        COMES({0, 1, 10, "a", "notes/1", "notes.put", "{\"id\":\"1\",\"message\":null,\"tag\":null,\"text\":\"n\"}"},
              {0, 2, 90, "x", "notes/1", "notes.patched", "{\"text\":\"o\"}"}, LATE("notes.deleted", "notes/1", "{}")));
    /* a projection that counts */
    assert_false(COMES(TALK(10, 1), TALK(90, 2), LATE("told.put", "told/1", "{\"id\":\"1\",\"talk\":\"1\"}")));
}

/* What goes under later patches goes there alone: of several events each would have to, and none of them may. */
static void several_events_one_of_which_is_named_behind_ask_for_a_shadow(void **state)
{
    static const fact_text texts[] = {TALK(10, 1), {0, 2, 90, "x", "talks/1", "talks.patched", "{\"title\":\"z\"}"}};
    static const char *const late[][3] = {{"talks/1", "talks.patched", "{\"title\":\"y\"}"},
                                          {"plain/1", "plain.put", "{\"a\":\"1\",\"id\":\"1\"}"}};
    (void)state;
    for (int first = 0; first < 2; first++) {
        dbk_arena *arena = dbk_arena_new(dbk_port_system(), 4096);
        fact facts[3] = {make_fact(arena, definition, &texts[0]), make_fact(arena, definition, &texts[1])};
        dbk_event events[2];
        for (int i = 0; i < 2; i++) {
            const char *const *text = late[first ^ i];
            events[i] = (dbk_event){.stream = dbk_slice_text(text[0]),
                                    .type = dbk_slice_text(text[1]),
                                    .type_version = 1,
                                    .data = dbk_slice_text(text[2])};
        }
        facts[2] =
            make_entry(arena, definition, &(fact_text){.author = 1, .seq = 1, .ms = 50, .command_id = "l"}, events, 2);
        assert_true(arrive_one_by_one(definition, facts, 3) == A_SHADOW);
        dbk_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_changes_nothing_behind_it_comes),
        cmocka_unit_test(what_others_depend_on_asks_for_a_shadow),
        cmocka_unit_test(several_events_one_of_which_is_named_behind_ask_for_a_shadow),
        cmocka_unit_test(any_order_of_arrival_gives_the_fold),
    };
    return cmocka_run_group_tests(tests, set_up, late_definition_free);
}
