/* Late entries beside rules that are part of the fold: the last n rows per group, the latest one alone, a time after which
 * rows go, stamps, suffixes; and tables that are tied to such ones. In any order of arrival the model is the fold. */
#include "tests/projector/late_fixture.h"

#include <stdio.h>

static const char schema[] =
    "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title TEXT, made DATETIME, changed DATETIME);\n"
    "CREATE TABLE lines(id TEXT PRIMARY KEY NOT NULL, job TEXT REFERENCES jobs ON DELETE CASCADE, at INTEGER, a "
    "TEXT);\n"
    "CREATE INDEX lines_job ON lines(job, at);\n"
    "CREATE TABLE marks(id TEXT PRIMARY KEY NOT NULL, line TEXT REFERENCES lines ON DELETE CASCADE, a TEXT);\n"
    "CREATE INDEX marks_line ON marks(line);\n"
    "CREATE TABLE pins(id TEXT PRIMARY KEY NOT NULL, line TEXT REFERENCES lines, a TEXT);\n"
    "CREATE INDEX pins_line ON pins(line);\n"
    "CREATE TABLE beats(id TEXT PRIMARY KEY NOT NULL, at INTEGER, a TEXT);\n"
    "CREATE TABLE dies(id TEXT PRIMARY KEY NOT NULL, until DATETIME, a TEXT);\n"
    "CREATE TABLE names(id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, a TEXT);\n"
    "CREATE TABLE rooms(id TEXT PRIMARY KEY NOT NULL, job TEXT REFERENCES jobs, a TEXT, until DATETIME);\n"
    "CREATE INDEX rooms_job ON rooms(job);\n"
    "CREATE TABLE seen(id TEXT PRIMARY KEY NOT NULL, at INTEGER);\n"
    "CREATE TABLE plain(id TEXT PRIMARY KEY NOT NULL, a TEXT);\n";
static const char projections[] = "-- on ping\nINSERT INTO seen VALUES($id, $at) ON CONFLICT(id) DO UPDATE SET at = "
                                  "excluded.at;\n";
static const char app[] =
    "{\"daybook\": 1, \"name\": \"kept\", \"version\": 1, \"tables\": {\n"
    " \"jobs\": {\"stamps\": {\"created\": \"made\", \"updated\": \"changed\"}},\n"
    " \"dies\": {\"ttl\": \"until\"}, \"rooms\": {\"ttl\": \"until\"},\n"
    " \"names\": {\"sync\": {\"unique\": \"suffix\"}}},\n"
    " \"retention\": [\n"
    "  {\"name\": \"lines\", \"table\": \"lines\", \"keep\": {\"last\": 2, \"by\": \"at\", \"per\": \"job\"}},\n"
    "  {\"name\": \"beats\", \"table\": \"beats\", \"keep\": {\"last\": 1, \"by\": \"at\"}},\n"
    "  {\"name\": \"seen\", \"table\": \"seen\", \"keep\": {\"last\": 2, \"by\": \"at\"}}]}";

enum { COUNT = 90, AUTHORS = 3, SEEDS = 10 };

static dbk_definition *definition;

static int set_up(void **state)
{
    *state = definition = late_definition(schema, projections, app);
    return 0;
}

/* ---- histories */

typedef enum kind { JOBS, LINES, MARKS, PINS, BEATS, DIES, NAMES, ROOMS, PLAIN, KINDS } kind;
static const char *const names[] = {"jobs", "lines", "marks", "pins", "beats", "dies", "names", "rooms", "plain"};

typedef struct drawing {
    uint64_t *seed;
    unsigned fresh; /* the next key that nobody else names */
    kind often;     /* the table that most are about */
} drawing;

static void draw_columns(uint64_t *seed, kind table, const char *id, char out[160])
{
    unsigned value = below(seed, 30), parent = below(seed, 4);
    switch (table) {
    case JOBS:
        snprintf(out, 160, "{\"changed\":\"2024-01-01T00:00:%02u.000Z\"%s,\"title\":\"%u\"}", value, id, value);
        break;
    case LINES:
        if (below(seed, 3) == 0) snprintf(out, 160, "{\"a\":\"%u\"%s}", value, id);
        else snprintf(out, 160, "{\"a\":\"%u\",\"at\":%u%s,\"job\":\"%u\"}", value, value, id, parent);
        break;
    case MARKS:
    case PINS: snprintf(out, 160, "{\"a\":\"%u\"%s,\"line\":\"%u\"}", value, id, parent); break;
    case BEATS: snprintf(out, 160, "{\"a\":\"%u\",\"at\":%u%s}", value, value, id); break;
    case DIES:
        snprintf(out, 160, "{\"a\":\"%u\"%s,\"until\":\"2023-11-%02uT00:00:00.000Z\"}", value, id, 1 + parent);
        break;
    case NAMES: snprintf(out, 160, "{\"a\":\"%u\"%s,\"name\":\"n%u\"}", value, id, parent); break;
    case ROOMS:
        if (below(seed, 2)) snprintf(out, 160, "{\"a\":\"%u\"%s}", value, id);
        else snprintf(out, 160, "{\"a\":\"%u\"%s,\"job\":\"%u\",\"until\":null}", value, id, parent);
        break;
    default: snprintf(out, 160, "{\"a\":\"%u\"%s}", value, id);
    }
}

static void draw_event(void *arg, drawn_event *out)
{
    static const char *const ops[] = {"put", "put", "put", "patched", "patched", "patched", "deleted"};
    drawing *d = arg;
    unsigned mix = below(d->seed, 100);
    if (mix == 0) {
        snprintf(out->stream, sizeof out->stream, "ping/1");
        snprintf(out->type, sizeof out->type, "ping");
        snprintf(out->data, sizeof out->data, "{\"at\":%u,\"id\":\"%u\"}", below(d->seed, 20), below(d->seed, 4));
        return;
    }
    kind table = below(d->seed, 3) ? d->often : d->often == ROOMS || d->often == LINES ? JOBS : PLAIN;
    if (mix > 93) table = (kind)below(d->seed, KINDS);
    const char *op = ops[below(d->seed, table == JOBS ? 6 : 7)];
    unsigned key = op[1] == 'u' && below(d->seed, 2) ? ++d->fresh : below(d->seed, 4);
    char id[32] = "";
    if (op[1] == 'u') snprintf(id, sizeof id, ",\"id\":\"%u\"", key);
    snprintf(out->stream, sizeof out->stream, "%s/%u", names[table], key);
    snprintf(out->type, sizeof out->type, "%s.%s", names[table], op);
    if (op[0] == 'd') snprintf(out->data, sizeof out->data, "{}");
    else draw_columns(d->seed, table, id, out->data);
}

/* Some commands of rules of time come from two devices under one id. */
static void draw_history(uint64_t seed, dbk_arena *arena, fact *facts)
{
    static const kind often[] = {ROOMS, DIES, BEATS, LINES, DIES};
    uint64_t seqs[AUTHORS] = {0};
    drawing d = {&seed, 10, often[seed % 5]};
    for (int i = 0; i < COUNT; i++) {
        char id[24];
        int author = (int)below(&seed, AUTHORS);
        if (below(&seed, 40) == 0) snprintf(id, sizeof id, "ttl-%u", below(&seed, 3));
        else snprintf(id, sizeof id, "c-%d", i);
        fact_text text = {author, ++seqs[author], (uint64_t)i + 1, id, NULL, NULL, NULL};
        facts[i] = draw_entry(&seed, arena, definition, &text, draw_event, &d);
    }
}

static void any_order_of_arrival_gives_the_fold(void **state)
{
    (void)state;
    late_orders orders = {
        .definition = definition, .authors = AUTHORS, .seeds = SEEDS, .most = 3, .count = COUNT, .draw = draw_history};
    late_watch all = any_order_gives_the_fold(&orders);
    if (all.as_they_came < 50 || all.shadows < 100 || all.amended < 100)
        fail_msg("%d as they came, %d applied again, %d shadows", (int)all.as_they_came, (int)all.amended,
                 (int)all.shadows);
}

/* A late row takes another one along, which was changed behind it: that change finds no row then. */
static void a_late_row_beyond_the_last_ones_asks_for_a_shadow(void **state)
{
    (void)state;
    assert_int_equal(ARRIVE(definition, {0, 1, 10, "j", "jobs/1", "jobs.put", "{\"id\":\"1\",\"title\":\"t\"}"},
                            {0, 2, 20, "a", "lines/1", "lines.put", "{\"at\":1,\"id\":\"1\",\"job\":\"1\"}"},
                            {0, 3, 30, "b", "lines/2", "lines.put", "{\"at\":2,\"id\":\"2\",\"job\":\"1\"}"},
                            {0, 4, 90, "c", "lines/1", "lines.patched", "{\"a\":\"x\"}"},
                            {1, 1, 50, "d", "lines/3", "lines.put", "{\"at\":3,\"id\":\"3\",\"job\":\"1\"}"}),
                     A_SHADOW);
    assert_int_equal(ARRIVE(definition, {0, 1, 10, "a", "beats/1", "beats.put", "{\"at\":1,\"id\":\"1\"}"},
                            {0, 2, 90, "b", "beats/1", "beats.patched", "{\"a\":\"x\"}"},
                            {1, 1, 50, "c", "beats/2", "beats.put", "{\"at\":3,\"id\":\"2\"}"}),
                     A_SHADOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_late_row_beyond_the_last_ones_asks_for_a_shadow),
        cmocka_unit_test(any_order_of_arrival_gives_the_fold),
    };
    return cmocka_run_group_tests(tests, set_up, late_definition_free);
}
