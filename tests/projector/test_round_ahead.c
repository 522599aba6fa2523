/* A round that is folded into a shadow before the log has it: once it is logged the shadow is the very file that one fold of
 * the log gives, whatever was decided meanwhile, and the switch tells what a comparison of all rows tells. */
#include "projector/model/internal.h"
#include "tests/projector/late_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static const char schema[] =
    "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title TEXT);\n"
    "CREATE TABLE lines(id TEXT PRIMARY KEY NOT NULL, job TEXT REFERENCES jobs ON DELETE CASCADE, at INTEGER, a "
    "TEXT);\n"
    "CREATE INDEX lines_job ON lines(job, at);\n"
    "CREATE TABLE marks(id TEXT PRIMARY KEY NOT NULL, line TEXT REFERENCES lines ON DELETE SET NULL, a TEXT);\n"
    "CREATE INDEX marks_line ON marks(line);\n"
    "CREATE TABLE mails(id TEXT PRIMARY KEY NOT NULL, mail TEXT UNIQUE, a TEXT);\n"
    "CREATE TABLE names(id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, a TEXT);\n"
    "CREATE TABLE kept(id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT);\n"
    "CREATE TABLE held(id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT);\n"
    "CREATE TABLE most(id TEXT PRIMARY KEY NOT NULL, n INTEGER, a TEXT);\n"
    "CREATE TABLE counts(id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL);\n";
static const char projections[] = "-- on jobs.put\nINSERT INTO counts VALUES($id, 1) ON CONFLICT(id) DO UPDATE SET n = "
                                  "n + 1;\n";
static const char app[] =
    "{\"daybook\": 1, \"name\": \"ahead\", \"version\": 1, \"tables\": {\n"
    " \"names\": {\"sync\": {\"unique\": \"suffix\"}},\n"
    " \"kept\": {\"sync\": {\"delete\": \"edit_wins\"}},\n"
    " \"held\": {\"sync\": {\"conflict\": {\"*\": \"guard\"}}},\n"
    " \"most\": {\"sync\": {\"conflict\": {\"n\": \"max\"}}}},\n"
    " \"retention\": [{\"name\": \"lines\", \"table\": \"lines\", \"keep\": {\"last\": 3, \"by\": "
    "\"at\", \"per\": \"job\"}}]}";

enum { BEGUN = 60, ALL = 220, DECIDED = 21, AUTHORS = 3, LATE = 1, SEEDS = 30 };

static dbk_definition *definition;

static int set_up(void **state)
{
    *state = definition = late_definition(schema, projections, app);
    return 0;
}

/* ---- histories */

static void draw_event(void *arg, drawn_event *out)
{
    static const char *const tables[] = {"jobs", "lines", "marks", "mails", "names", "kept", "held", "most"};
    static const char *const ops[] = {"put", "put", "put", "patched", "patched", "deleted"};
    uint64_t *seed = arg;
    unsigned at = below(seed, 8), key = below(seed, 6), value = below(seed, 9);
    const char *op = ops[below(seed, 6)];
    char id[32] = "";
    if (op[1] == 'u') snprintf(id, sizeof id, ",\"id\":\"%u\"", key);
    snprintf(out->stream, sizeof out->stream, "%s/%u", tables[at], key);
    snprintf(out->type, sizeof out->type, "%s.%s", tables[at], op);
    out->has_base = false;
    if (op[0] == 'd') {
        snprintf(out->data, sizeof out->data, "{}");
        return;
    }
    switch (at) {
    case 0: snprintf(out->data, sizeof out->data, "{\"title\":\"%u\"%s}", value, id); break;
    case 1:
        snprintf(out->data, sizeof out->data, "{\"a\":\"%u\",\"at\":%u%s,\"job\":\"%u\"}", value, value, id, key % 4);
        break;
    case 2: snprintf(out->data, sizeof out->data, "{\"a\":\"%u\"%s,\"line\":\"%u\"}", value, id, value % 6); break;
    case 3: snprintf(out->data, sizeof out->data, "{\"a\":\"%u\"%s,\"mail\":\"%u\"}", value, id, value % 5); break;
    case 4: snprintf(out->data, sizeof out->data, "{\"a\":\"%u\"%s,\"name\":\"n%u\"}", value, id, value % 3); break;
    case 7: snprintf(out->data, sizeof out->data, "{\"a\":\"%u\"%s,\"n\":%u}", value, id, value); break;
    default: snprintf(out->data, sizeof out->data, "{\"%c\":\"%u\"%s}", value % 2 ? 'a' : 'b', value, id);
    }
}

typedef struct history {
    fact begun[BEGUN], known[ALL], late[ALL], decided[DECIDED];
    size_t known_count, late_count;
} history;

/* What all have begun with; then what the log has and what it will hear of, at the same time; then decisions. Some commands
 * of the log were sent to two devices. */
static void draw_history(uint64_t seed, dbk_arena *arena, history *h)
{
    uint64_t seqs[AUTHORS] = {0};
    memset(h, 0, sizeof *h);
    for (int i = 0; i < BEGUN + ALL + DECIDED; i++) {
        char id[24];
        bool decided = i >= BEGUN + ALL;
        int author = decided ? 0 : (int)below(&seed, AUTHORS);
        if (author != LATE && below(&seed, 12) == 0) snprintf(id, sizeof id, "shared-%u", below(&seed, 6));
        else snprintf(id, sizeof id, "c-%d", i);
        fact_text text = {author, ++seqs[author], (uint64_t)i + 1, id, NULL, NULL, NULL};
        fact made = draw_entry(&seed, arena, definition, &text, draw_event, &seed);
        if (decided) h->decided[i - BEGUN - ALL] = made;
        else if (i < BEGUN) h->begun[i] = made;
        else if (author == LATE) h->late[h->late_count++] = made;
        else h->known[h->known_count++] = made;
    }
}

/* ---- the steps */

typedef struct stage {
    fold_place place;
    dbk_model *live, *shadow;
    dbk_ahead *ahead;
    dbk_slice origins[ALL];
    char live_path[192];
} stage;

static void good(stage *s, dbk_result result)
{
    if (result != DBK_OK) fail_msg("%s: %s", dbk_result_name(result), s->place.err.text);
}

static void catch_up(stage *s)
{
    bool again = false;
    good(s, dbk_model_catch_up(s->live, 5, NULL, NULL, NULL, &again, &s->place.err));
    assert_false(again);
}

static void decide(stage *s, const fact *facts, size_t count)
{
    place_append(&s->place, facts, count);
    catch_up(s);
}

/* The live model, and a shadow that stands where all begins. */
static void start(stage *s, const history *h, uint32_t journal_rows)
{
    dbk_changes changes;
    memset(s, 0, sizeof *s);
    place_open(&s->place, definition);
    place_path(&s->place, s->live_path);
    good(s, dbk_model_create(s->place.port, s->live_path, definition, s->place.log,
                             &(dbk_model_options){.journal_rows = journal_rows}, &s->live, &s->place.err));
    decide(s, h->begun, BEGUN);
    decide(s, h->known, h->known_count);
    s->shadow = place_build(&s->place, (dbk_shadow_options){.last = BEGUN});
    good(s, dbk_model_take_over(s->shadow, NULL, true, &changes, &s->place.err));
    good(s, dbk_model_finish(s->shadow, false, &s->place.err));
    for (size_t i = 0; i < h->late_count; i++) s->origins[i] = h->late[i].origin;
}

static void stop(stage *s)
{
    dbk_ahead_free(s->ahead);
    dbk_model_close(s->shadow);
    dbk_model_close(s->live);
    place_close(&s->place);
}

static void make(stage *s, size_t count)
{
    good(s, dbk_ahead_make(s->shadow, s->origins, count, &s->ahead, &s->place.err));
}

static bool follow(stage *s)
{
    bool fits = false;
    good(s, dbk_ahead_follow(s->ahead, &fits, &s->place.err));
    return fits;
}

static bool land(stage *s)
{
    bool fits = false;
    good(s, dbk_ahead_land(s->ahead, &fits, &s->place.err));
    return fits;
}

/* As another connection sees the model. */
static void compare(stage *s)
{
    dbk_model *other = NULL;
    good(s, dbk_model_open(s->place.port, s->live_path, definition, s->place.log, &(dbk_model_options){0}, &other,
                           &s->place.err));
    good(s, dbk_model_hold(other, &s->place.err));
    good(s, dbk_model_compare_ahead(s->shadow, other, &s->place.err));
    dbk_model_close(other);
}

static char *take_over(stage *s, dbk_model *shadow)
{
    dbk_changes changes = {0};
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    good(s, dbk_model_take_over(shadow, s->live, false, &changes, &s->place.err));
    dbk_buffer_put_text(&out, "changed:\n");
    for (size_t i = 0; i < changes.count; i++)
        for (size_t k = 0; k < changes.items[i].key_count; k++)
            dbk_buffer_printf(&out, "%s %.*s %d\n", changes.items[i].table->name,
                              DBK_SLICE_ARG(changes.items[i].keys[k]), changes.items[i].existed[k]);
    char *text = strdup(dbk_buffer_text(&out));
    dbk_buffer_release(&out);
    return text;
}

static size_t count_of(dbk_model *model, const char *table)
{
    dbk_buffer out;
    size_t lines = 0;
    dbk_buffer_init(&out, dbk_port_system());
    put_rows(model, table, &out);
    for (size_t i = 0; i < out.size; i++) lines += out.data[i] == '\n';
    dbk_buffer_release(&out);
    return lines;
}

static void a_round_ahead_of_the_log_is_its_fold(void **state)
{
    static history h;
    static stage s;
    size_t skips = 0, records = 0, told = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
        draw_history(seed * 31, arena, &h);
        start(&s, &h, seed % 4 ? 0 : 4); /* a journal that soon forgets */
        make(&s, h.late_count);
        assert_non_null(s.ahead);
        decide(&s, h.decided, 7);
        assert_true(follow(&s));
        assert_int_equal(dbk_ahead_position(s.ahead), dbk_log_position(s.place.log));
        compare(&s);
        decide(&s, h.decided + 7, seed % 3 ? 7 : 0);
        if (seed % 3) assert_true(follow(&s));
        decide(&s, h.decided + (seed % 3 ? 14 : 7), seed % 5 ? 7 : 0);
        place_append(&s.place, h.late, h.late_count);
        assert_true(land(&s));
        dbk_model *cold = place_build(&s.place, (dbk_shadow_options){0});
        assert_same_rows(definition, s.shadow, cold, true);
        skips += count_of(cold, "_daybook_skips");
        records += count_of(cold, "_daybook_rows");
        char *ahead = take_over(&s, s.shadow), *whole = take_over(&s, cold);
        assert_string_equal(ahead, whole);
        told += strlen(whole) > 200;
        assert_same_rows(definition, s.shadow, cold, true);
        free(ahead);
        free(whole);
        dbk_model_close(cold);
        stop(&s);
        dbk_arena_free(arena);
    }
    if (skips < 100 || records < 100 || told < SEEDS / 2)
        fail_msg("%zu left out, %zu records, %zu told of much", skips, records, told);
}

/* The live model goes on with a journal that keeps no more than the last few keys. */
static void forget(stage *s, const history *h)
{
    dbk_model_state state;
    uint64_t compared = dbk_log_position(s->place.log);
    dbk_model_close(s->live);
    good(s, dbk_model_open(s->place.port, s->live_path, definition, s->place.log,
                           &(dbk_model_options){.journal_rows = 1}, &s->live, &s->place.err));
    decide(s, h->decided, DECIDED);
    dbk_model_get_state(s->live, &state);
    assert_true(state.floor > compared);
}

/* What was compared then says nothing of the rows that changed since. */
static void a_journal_that_forgot_what_was_compared_is_not_believed(void **state)
{
    static history h;
    static stage s;
    int compared = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
        draw_history(seed * 17, arena, &h);
        start(&s, &h, 0);
        make(&s, h.late_count);
        compare(&s);
        compared += s.shadow->compared != NULL;
        forget(&s, &h);
        place_append(&s.place, h.late, h.late_count);
        assert_true(land(&s));
        dbk_model *cold = place_build(&s.place, (dbk_shadow_options){0});
        char *ahead = take_over(&s, s.shadow), *whole = take_over(&s, cold);
        assert_string_equal(ahead, whole);
        assert_same_rows(definition, s.shadow, cold, true);
        free(ahead);
        free(whole);
        dbk_model_close(cold);
        stop(&s);
        dbk_arena_free(arena);
    }
    assert_true(compared > SEEDS / 2);
}

/* ---- what cannot be */

static void start_small(stage *s, history *h, dbk_arena *arena)
{
    draw_history(7, arena, h);
    start(s, h, 0);
}

static fact put_job(dbk_arena *arena, int author, uint64_t seq, uint64_t ms, const char *id)
{
    return make_fact(arena, definition,
                     &(fact_text){author, seq, ms, id, "jobs/9", "jobs.put", "{\"id\":\"9\",\"title\":\"x\"}"});
}

static void one_command_under_two_names_is_not_folded_ahead(void **state)
{
    static history h;
    static stage s;
    (void)state;
    for (int i = 0; i < 2; i++) {
        dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
        bool again = true;
        start_small(&s, &h, arena);
        h.late[0] = put_job(arena, LATE, 900, BEGUN + 1, i ? "twice" : "c-3");
        h.late[1] = put_job(arena, LATE, 901, BEGUN + 2, i ? "twice" : "other");
        for (int k = 0; k < 2; k++) s.origins[k] = h.late[k].origin;
        make(&s, 2);
        assert_null(s.ahead);
        /* the shadow is as it was, and is brought to the log's end as ever */
        place_append(&s.place, h.late, 2);
        good(&s, dbk_model_catch_up(s.shadow, 0, NULL, NULL, NULL, &again, &s.place.err));
        assert_false(again);
        dbk_model *cold = place_build(&s.place, (dbk_shadow_options){0});
        assert_same_rows(definition, s.shadow, cold, true);
        dbk_model_close(cold);
        stop(&s);
        dbk_arena_free(arena);
    }
}

/* A port that decides something as memory is asked of it. */
typedef struct deciding_port {
    dbk_port port;
    const dbk_port *below;
    fold_place *place;
    const fact *decision;
    int left; /* of its calls; below 0: it was */
} deciding_port;

static void *decide_and_resize(void *ctx, void *memory, size_t size)
{
    deciding_port *p = ctx;
    if (p->left-- == 0) place_append(p->place, p->decision, 1);
    return p->below->resize(p->below->ctx, memory, size);
}

/* Whether its command is asked for before or behind it, one of both is seen to have the id of the other. */
static bool decides_while_it_is_taken_in(int calls)
{
    static history h;
    static stage s;
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    start_small(&s, &h, arena);
    fact decision = put_job(arena, 0, 900, 10000, "new");
    deciding_port deciding = {*dbk_port_system(), dbk_port_system(), &s.place, &decision, calls};
    deciding.port.ctx = &deciding;
    deciding.port.resize = decide_and_resize;
    h.late[0] = put_job(arena, LATE, 900, BEGUN + 1, "new");
    h.late[1] = put_job(arena, LATE, 901, BEGUN + 2, "other");
    for (int k = 0; k < 2; k++) s.origins[k] = h.late[k].origin;
    const dbk_port *own = s.shadow->port;
    s.shadow->port = &deciding.port;
    make(&s, 2);
    bool decided = deciding.left < 0;
    deciding.left = -1;
    s.shadow->port = own;
    if (decided && s.ahead) assert_false(follow(&s));
    stop(&s);
    dbk_arena_free(arena);
    return decided;
}

static void a_decision_with_its_command_is_seen_whenever_it_comes(void **state)
{
    int calls = 0;
    (void)state;
    while (decides_while_it_is_taken_in(calls)) calls++;
    assert_in_range(calls, 8, 1000);
}

static void a_decision_that_does_not_stand_behind_it_ends_it(void **state)
{
    static history h;
    static stage s;
    (void)state;
    for (int i = 0; i < 4; i++) {
        dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
        char id[16] = "new";
        start_small(&s, &h, arena);
        make(&s, h.late_count);
        assert_non_null(s.ahead);
        if (i % 2) { /* the command of one of the round */
            dbk_entry entry;
            assert_int_equal(dbk_entry_decode(h.late[0].origin, &entry, NULL), DBK_OK);
            snprintf(id, sizeof id, "%.*s", DBK_SLICE_ARG(entry.command_id));
        }
        fact other = put_job(arena, 0, 900, i % 2 ? 10000 : BEGUN + 1, id);
        place_append(&s.place, &other, 1);
        if (i < 2) {
            assert_false(follow(&s));
        } else {
            place_append(&s.place, h.late, h.late_count);
            assert_false(land(&s));
        }
        stop(&s);
        dbk_arena_free(arena);
    }
}

static void another_round_than_that_of_the_log_does_not_land(void **state)
{
    static history h;
    static stage s;
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    (void)state;
    start_small(&s, &h, arena);
    make(&s, h.late_count);
    assert_false(land(&s)); /* it is not there */
    place_append(&s.place, h.late, h.late_count);
    place_append(&s.place, h.decided, 1);
    assert_false(land(&s)); /* something else came behind it */
    stop(&s);
    dbk_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_ahead_of_the_log_is_its_fold),
        cmocka_unit_test(a_journal_that_forgot_what_was_compared_is_not_believed),
        cmocka_unit_test(one_command_under_two_names_is_not_folded_ahead),
        cmocka_unit_test(a_decision_with_its_command_is_seen_whenever_it_comes),
        cmocka_unit_test(a_decision_that_does_not_stand_behind_it_ends_it),
        cmocka_unit_test(another_round_than_that_of_the_log_does_not_land),
    };
    return cmocka_run_group_tests(tests, set_up, late_definition_free);
}
