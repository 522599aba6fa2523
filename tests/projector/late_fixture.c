#include "tests/projector/late_fixture.h"

#include "projector/model/amend.h"

#include <stdio.h>
#include <stdlib.h>

dbk_definition *late_definition(const char *schema, const char *projections, const char *app)
{
    dbk_source sources[3] = {{"schema.sql", dbk_slice_text(schema)}};
    size_t count = 1;
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    if (projections) sources[count++] = (dbk_source){"projections.sql", dbk_slice_text(projections)};
    if (app) sources[count++] = (dbk_source){"app.json", dbk_slice_text(app)};
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, count, "late", &definition, &findings, &err);
    for (size_t i = 0; i < findings.count; i++)
        fprintf(stderr, "%s:%u: %s\n", findings.items[i].file, findings.items[i].line, findings.items[i].text);
    dbk_findings_free(&findings);
    if (result != DBK_OK) fail_msg("%s", err.text);
    return definition;
}

int late_definition_free(void **state)
{
    dbk_definition_free(*state);
    return 0;
}

unsigned below(uint64_t *seed, unsigned most)
{
    return (unsigned)(next_random(seed) % most);
}

fact draw_entry(uint64_t *seed, dbk_arena *arena, const dbk_definition *definition, const fact_text *text,
                void (*draw)(void *arg, drawn_event *out), void *arg)
{
    drawn_event drawn[3];
    dbk_event events[3];
    size_t count = below(seed, 3) ? 1 : 2 + below(seed, 2);
    for (size_t i = 0; i < count; i++) {
        drawn[i] = (drawn_event){0};
        draw(arg, &drawn[i]);
        events[i] = (dbk_event){.stream = dbk_slice_text(drawn[i].stream),
                                .type = dbk_slice_text(drawn[i].type),
                                .type_version = 1,
                                .has_base = drawn[i].has_base,
                                .base = drawn[i].base,
                                .data = dbk_slice_text(drawn[i].data)};
    }
    return make_entry(arena, definition, text, events, count);
}

/* ---- models as text */

static char *text_of(const dbk_definition *definition, dbk_model *model, bool whole)
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

void assert_same_rows(const dbk_definition *definition, dbk_model *one, dbk_model *other, bool whole)
{
    char *a = text_of(definition, one, whole), *b = text_of(definition, other, whole);
    size_t at = 33; /* behind the fingerprint */
    while (a[at] && a[at] == b[at]) at++;
    size_t from = at > 93 ? at - 60 : 33;
    if (strcmp(a, b) != 0) fail_msg("it is …%.300s\nand not …%.300s", a + from, b + from);
    free(a);
    free(b);
}

/* ---- many orders */

static void at_commit(void *arg, const dbk_changes *changes)
{
    const late_watch *w = arg;
    dbk_model_state state;
    (void)changes;
    dbk_model_get_state(w->model, &state);
    dbk_model *cold = place_build(w->place, (dbk_shadow_options){.last = state.position});
    assert_same_rows(w->place->definition, w->model, cold, true);
    dbk_model_close(cold);
}

/* Whether some entry that the model has not sorts below one that it has. */
static bool is_late(const late_watch *watch)
{
    const fold_place *place = watch->place;
    dbk_model_state state;
    dbk_buffer origin;
    dbk_error err;
    bool late = false;
    dbk_model_get_state(watch->model, &state);
    dbk_buffer_init(&origin, place->port);
    for (uint64_t at = state.position + 1; at <= dbk_log_position(place->log); at++) {
        dbk_entry entry;
        uint8_t key[DBK_ORDER_KEY_SIZE];
        assert_int_equal(dbk_log_read(place->log, at, &origin, NULL, &err), DBK_OK);
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, key);
        late |= memcmp(key, state.top, sizeof key) < 0;
    }
    dbk_buffer_release(&origin);
    return late;
}

static void take_round(late_watch *watch, uint64_t *seed)
{
    fold_place *place = watch->place;
    bool shadow = false, late = is_late(watch);
    dbk_result result = dbk_model_catch_up(watch->model, below(seed, 4), at_commit, NULL, watch, &shadow, &place->err);
    if (result != DBK_OK) fail_msg("%s", place->err.text);
    watch->as_they_came += late && !shadow;
    if (shadow) {
        watch->shadows++;
        watch->amended += dbk_model_amended(watch->model);
        dbk_model_close(watch->model);
        watch->model = place_build(place, (dbk_shadow_options){0});
        assert_int_equal(dbk_model_finish(watch->model, false, &place->err), DBK_OK);
    }
    if (watch->after_round) watch->after_round(watch);
}

static void arrive(const late_orders *orders, late_watch *watch, uint64_t *seed, const fact *facts)
{
    watch->model = place_model(watch->place);
    for (size_t done = 0, round; done < orders->count; done += round) {
        round = 1 + below(seed, orders->most);
        if (round > orders->count - done) round = orders->count - done;
        place_append(watch->place, facts + done, round);
        take_round(watch, seed);
    }
    watch->amended += dbk_model_amended(watch->model);
}

late_watch any_order_gives_the_fold(const late_orders *orders)
{
    late_watch watch = {.after_round = orders->after_round};
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    fact *facts = calloc(2 * orders->count, sizeof *facts), *arrived = facts + orders->count;
    assert_non_null(facts);
    for (int seed = 1; seed <= orders->seeds; seed++) {
        uint64_t chance = (uint64_t)seed * 77;
        dbk_model *models[2];
        fold_place places[2];
        orders->draw((uint64_t)seed, arena, facts);
        for (int i = 0; i < 2; i++) {
            shuffle_history(&chance, orders->authors, facts, arrived, orders->count);
            place_open(&places[i], orders->definition);
            watch.place = &places[i];
            arrive(orders, &watch, &chance, arrived);
            models[i] = watch.model;
        }
        assert_same_rows(orders->definition, models[0], models[1], false);
        for (int i = 0; i < 2; i++) {
            dbk_model_close(models[i]);
            place_close(&places[i]);
        }
        dbk_arena_clear(arena);
    }
    free(facts);
    dbk_arena_free(arena);
    watch.place = NULL;
    watch.model = NULL;
    return watch;
}

/* ---- one at a time */

/* Of an entry about a table with ties it is known before whether it asks for a shadow, unless its kind says so. */
static bool foresees(dbk_model *model, dbk_slice origin)
{
    dbk_entry entry;
    dbk_event event;
    bool tied = false;
    assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
    for (dbk_slice rest = entry.events; dbk_event_next(&rest, &event);) tied |= dbk_event_is_tied(model, &event);
    return tied && dbk_model_may_amend(model, &entry);
}

uint64_t arrive_one_by_one(const dbk_definition *definition, const fact *facts, size_t count)
{
    fold_place place;
    bool shadow = false;
    place_open(&place, definition);
    dbk_model *model = place_model(&place);
    for (size_t i = 0; i < count; i++) {
        assert_false(shadow);
        bool fits = true, asks = foresees(model, facts[i].origin);
        assert_int_equal(dbk_model_foresee(model, &facts[i].origin, 1, &fits, &place.err), DBK_OK);
        place_append(&place, &facts[i], 1);
        assert_int_equal(dbk_model_catch_up(model, 0, NULL, NULL, NULL, &shadow, &place.err), DBK_OK);
        if (asks) assert_int_equal(shadow, !fits);
        else if (!fits) assert_true(shadow);
    }
    if (!shadow) {
        dbk_model *cold = place_build(&place, (dbk_shadow_options){0});
        assert_same_rows(definition, model, cold, true);
        dbk_model_close(cold);
    }
    uint64_t again = shadow ? A_SHADOW : dbk_model_amended(model);
    dbk_model_close(model);
    place_close(&place);
    return again;
}

uint64_t arrive_texts(const dbk_definition *definition, const fact_text *texts, size_t count)
{
    fact facts[8];
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 4096);
    assert_true(count <= sizeof facts / sizeof *facts);
    for (size_t i = 0; i < count; i++) facts[i] = make_fact(arena, definition, &texts[i]);
    uint64_t again = arrive_one_by_one(definition, facts, count);
    dbk_arena_free(arena);
    return again;
}
