/* A shadow that was begun where the model once stood finds by the journals of both in which rows it differs: the very ones
 * that a comparison of all rows finds. Where the journals do not reach so far, all rows are compared. */
#include "tests/projector/fold_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { BEGIN = 120, AUTHORS = 3, SEEDS = 12, ALL = 240 };

static dbk_definition *definition;

static int set_up(void **state)
{
    (void)state;
    definition = fold_definition();
    return definition ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    dbk_definition_free(definition);
    return 0;
}

static int compare_facts(const void *a, const void *b)
{
    uint8_t keys[2][DBK_ORDER_KEY_SIZE];
    const fact *facts[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        dbk_entry entry;
        assert_int_equal(dbk_entry_decode(facts[i]->origin, &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, keys[i]);
    }
    return memcmp(keys[0], keys[1], sizeof keys[0]);
}

/* In canonical order: the beginning, then of the rest what the model has heard of, then what comes late. */
static void put_facts(fold_place *place, dbk_arena *arena, uint64_t seed, size_t *known)
{
    fact facts[ALL], order[ALL];
    size_t count = BEGIN;
    make_history(arena, definition, seed, AUTHORS, facts, ALL);
    qsort(facts, ALL, sizeof *facts, compare_facts);
    memcpy(order, facts, BEGIN * sizeof *facts);
    for (int author = 0; author < AUTHORS; author++) {
        if (author == 1) continue;
        for (size_t i = BEGIN; i < ALL; i++)
            if (facts[i].author == author) order[count++] = facts[i];
    }
    *known = count;
    qsort(order + BEGIN, count - BEGIN, sizeof *order, compare_facts);
    for (size_t i = BEGIN; i < ALL; i++)
        if (facts[i].author == 1) order[count++] = facts[i];
    assert_int_equal(count, ALL);
    place_append(place, order, ALL);
}

/* The model as it was before the late ones, in commits of a few entries. */
static dbk_model *model_before(fold_place *place, size_t known, uint32_t journal_rows)
{
    char path[192];
    dbk_model *model = NULL;
    bool shadow = false;
    dbk_model_options options = {.journal_rows = journal_rows};
    place_path(place, path);
    assert_int_equal(dbk_model_create(place->port, path, definition, place->log, &options, &model, &place->err),
                     DBK_OK);
    for (uint64_t last = 7; last - 7 < known; last += 7)
        assert_int_equal(dbk_model_keep_up(model, last < known ? last : known, 0, &shadow, &place->err), DBK_OK);
    assert_false(shadow);
    return model;
}

static char *text_of(const dbk_changes *changes)
{
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    for (size_t i = 0; i < changes->count; i++)
        for (size_t k = 0; k < changes->items[i].key_count; k++)
            dbk_buffer_printf(&out, "%s %.*s %d\n", changes->items[i].table->name,
                              DBK_SLICE_ARG(changes->items[i].keys[k]), changes->items[i].existed[k]);
    char *text = strdup(out.size ? dbk_buffer_text(&out) : "");
    dbk_buffer_release(&out);
    return text;
}

/* What the switch tells; `begun`: of a shadow that was begun at that position, else of one folded at once. */
static char *switch_to(fold_place *place, dbk_model *model, uint64_t begun)
{
    dbk_changes changes = {0};
    bool again = false;
    dbk_model *shadow = place_build(place, (dbk_shadow_options){.last = begun});
    if (begun) {
        assert_int_equal(dbk_model_take_over(shadow, NULL, true, &changes, &place->err), DBK_OK);
        assert_int_equal(dbk_model_finish(shadow, false, &place->err), DBK_OK);
        assert_int_equal(dbk_model_catch_up(shadow, 50, NULL, NULL, NULL, &again, &place->err), DBK_OK);
        assert_false(again);
    }
    assert_int_equal(dbk_model_take_over(shadow, model, false, &changes, &place->err), DBK_OK);
    char *told = text_of(&changes);
    char *rows = model_text(shadow, true);
    size_t size = strlen(told) + strlen(rows) + 1;
    told = realloc(told, size);
    assert_non_null(told);
    strcat(told, rows);
    free(rows);
    dbk_model_close(shadow);
    return told;
}

static void both_ways_find_the_same_rows(void **state)
{
    (void)state;
    size_t differing = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fold_place place;
        size_t known;
        uint64_t stood;
        dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
        place_open(&place, definition);
        put_facts(&place, arena, seed, &known);
        dbk_model *model = model_before(&place, known, seed % 4 == 0 ? 20 : 0);
        assert_int_equal(dbk_model_commit_below(model, BEGIN, &stood, &place.err), DBK_OK);
        if (seed % 4 == 0) assert_int_equal(stood, 0); /* it has forgotten */
        else assert_in_range(stood, BEGIN - 13, BEGIN);
        char *whole = switch_to(&place, model, 0), *narrow = switch_to(&place, model, stood ? stood : BEGIN);
        assert_string_equal(narrow, whole);
        differing += strstr(narrow, " 1\n") != NULL;
        free(whole);
        free(narrow);
        dbk_model_close(model);
        place_close(&place);
        dbk_arena_free(arena);
    }
    assert_true(differing > SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_find_the_same_rows),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
