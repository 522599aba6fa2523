/* The feed: a subscriber that loses, repeats and reorders messages holds the model's rows after one head. */
#include "tests/store/world_fixture.h"

enum { TABLES = 4, ROWS_MAX = 64, KEPT_MAX = 8 };
static const char *const tables[TABLES] = {"notes", "tags", "free", "progress"};

typedef struct replica_row {
    char *key, *row;
} replica_row;

typedef struct subscriber {
    world *w;
    char timeline[8];
    int64_t generation, at[TABLES];
    replica_row rows[TABLES][ROWS_MAX];
    size_t resets, caught, taken;
} subscriber;

static void forget_rows(subscriber *s, size_t t)
{
    for (size_t i = 0; i < ROWS_MAX; i++) {
        free(s->rows[t][i].key);
        free(s->rows[t][i].row);
        s->rows[t][i] = (replica_row){NULL, NULL};
    }
}

static char *minimal(const dbk_json_node *node)
{
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_json_put_minimal(&text, node);
    assert_non_null(dbk_buffer_text(&text));
    return (char *)text.data;
}

static void set_row(subscriber *s, size_t t, const dbk_json_node *change)
{
    char *key = minimal(dbk_json_member(change, "key"));
    const dbk_json_node *row = dbk_json_member(change, "row");
    replica_row *slot = NULL;
    assert_int_equal(row == NULL, dbk_json_text_is(dbk_json_member(change, "op"), "delete"));
    for (size_t i = 0; i < ROWS_MAX; i++) {
        replica_row *at = &s->rows[t][i];
        if (at->key ? strcmp(at->key, key) == 0 : !slot) slot = at;
        if (at->key && strcmp(at->key, key) == 0) break;
    }
    assert_non_null(slot);
    free(slot->key);
    free(slot->row);
    *slot = (replica_row){row ? key : NULL, row ? minimal(row) : NULL};
    if (!row) free(key);
}

static int64_t integer(const dbk_json_node *object, const char *name)
{
    int64_t value = -1;
    const dbk_json_node *node = dbk_json_member(object, name);
    assert_true(node && dbk_json_is_integer(node, &value));
    return value;
}

static void set_rows(subscriber *s, size_t t, const dbk_json_node *message)
{
    const dbk_json_node *changes = dbk_json_member(message, "changes"), *change = changes + 1;
    for (uint32_t i = 0; i < changes->count; i++, change = dbk_json_next(change)) set_row(s, t, change);
    s->at[t] = integer(message, "position");
}

static void catch_up(subscriber *s, size_t t)
{
    char request[200];
    const dbk_json_node *answer;
    snprintf(request, sizeof request, "{\"do\":\"changes\",\"table\":\"%s\",\"from\":[\"%s\",%lld,%lld]}", tables[t],
             s->timeline, (long long)s->generation, (long long)s->at[t]);
    char *text = world_ask(s->w, 0, request);
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(text), &answer, NULL), DBK_OK);
    if (dbk_json_member(answer, "reset")->kind == DBK_JSON_TRUE) {
        forget_rows(s, t);
        s->resets++;
    }
    set_rows(s, t, answer);
    s->caught++;
    dbk_json_parser_free(parser);
    free(text);
}

static void begin_anew(subscriber *s, const dbk_json_node *message)
{
    for (size_t t = 0; t < TABLES; t++) catch_up(s, t); /* with the old cursor: reset */
    s->generation = integer(message, "generation");
}

static void take(subscriber *s, const char *text)
{
    const dbk_json_node *message;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(text), &message, NULL), DBK_OK);
    const dbk_json_node *last = dbk_json_member(message, "last"), *name = dbk_json_member(message, "table");
    if (integer(message, "generation") != s->generation) {
        if (integer(message, "generation") > s->generation) begin_anew(s, message);
    } else if (dbk_json_member(message, "head")) {
        for (size_t t = 0; t < TABLES; t++)
            if (dbk_json_member(last, tables[t]) && integer(last, tables[t]) > s->at[t]) catch_up(s, t);
    } else {
        size_t t = 0;
        while (t < TABLES && !dbk_json_text_is(name, tables[t])) t++;
        assert_true(t < TABLES);
        bool whole = !dbk_json_member(message, "keys") && !dbk_json_member(message, "reset");
        if (integer(message, "position") > s->at[t]) {
            if (integer(message, "previous") > s->at[t] || !whole) catch_up(s, t);
            else set_rows(s, t, message), s->taken++;
        }
    }
    dbk_json_parser_free(parser);
}

static void check_rows(subscriber *s)
{
    for (size_t t = 0; t < TABLES; t++) {
        char request[80];
        const dbk_json_node *answer;
        snprintf(request, sizeof request, "{\"do\":\"changes\",\"table\":\"%s\"}",
                 tables[t]); /* from nowhere: all rows */
        char *text = world_ask(s->w, 0, request);
        dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
        assert_int_equal(dbk_json_parse(parser, dbk_slice_text(text), &answer, NULL), DBK_OK);
        const dbk_json_node *changes = dbk_json_member(answer, "changes"), *change = changes + 1;
        size_t held = 0;
        for (size_t i = 0; i < ROWS_MAX; i++) held += s->rows[t][i].key != NULL;
        assert_int_equal(held, changes->count);
        for (uint32_t c = 0; c < changes->count; c++, change = dbk_json_next(change)) {
            char *key = minimal(dbk_json_member(change, "key")), *row = minimal(dbk_json_member(change, "row"));
            size_t i = 0;
            while (i < ROWS_MAX && !(s->rows[t][i].key && strcmp(s->rows[t][i].key, key) == 0)) i++;
            assert_true(i < ROWS_MAX);
            assert_string_equal(s->rows[t][i].row, row);
            free(key);
            free(row);
        }
        dbk_json_parser_free(parser);
        free(text);
    }
}

typedef struct post {
    char *messages[512], *kept[KEPT_MAX];
    size_t count, kept_count;
} post;

static void on_publish(void *arg, const char *table, const char *message, size_t size)
{
    post *p = arg;
    (void)table;
    assert_true(p->count < 512);
    p->messages[p->count++] = strndup(message, size);
}

/* Each message is lost, given later, given twice, or given as it came. */
static void carry(world *w, post *p, subscriber *s)
{
    for (size_t i = 0; i < p->count; i++) {
        uint64_t luck = world_random(w, 6);
        if (luck == 0 && p->kept_count < KEPT_MAX) {
            p->kept[p->kept_count++] = p->messages[i];
            continue;
        }
        if (luck > 1) take(s, p->messages[i]);
        if (luck == 2) take(s, p->messages[i]);
        free(p->messages[i]);
    }
    p->count = 0;
    while (p->kept_count > 0 && world_random(w, 2)) {
        take(s, p->kept[--p->kept_count]);
        free(p->kept[p->kept_count]);
    }
}

static void a_careless_carrier_changes_nothing_in_the_end(void **state)
{
    (void)state;
    static facts f;
    static post p;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        world w;
        subscriber *s = calloc(1, sizeof *s);
        world_start(&w, seed * 104729);
        *s = (subscriber){.w = &w, .timeline = "a", .generation = 1};
        dbk_engine_on_publish(w.engines[0], on_publish, NULL, &p);
        for (int step = 0; step < 120; step++) {
            uint64_t kind = world_random(&w, 12);
            if (kind < 8) world_random_command(&w, 0);
            else if (kind < 10) world_random_command(&w, 1);
            else if (kind == 10) {
                uint64_t end = dbk_log_position(dbk_engine_log(w.engines[1]));
                for (uint64_t position = 1; position <= end; position++) facts_take(&f, &w, 1, position);
                assert_int_equal(facts_deliver(&f, &w, 0, NULL, NULL), DBK_OK);
                facts_clear(&f);
            } else if (world_random(&w, 4) == 0) {
                assert_int_equal(dbk_engine_rebuild(w.engines[0], NULL, NULL, &w.error), DBK_OK);
            }
            carry(&w, &p, s);
        }
        dbk_buffer head;
        dbk_buffer_init(&head, dbk_port_system());
        assert_int_equal(dbk_engine_head_message(w.engines[0], &head, &w.error), DBK_OK);
        take(s, dbk_buffer_text(&head));
        dbk_buffer_release(&head);
        check_rows(s);
        assert_true(s->taken > 10 && s->caught > 5);
        for (size_t t = 0; t < TABLES; t++) forget_rows(s, t);
        while (p.kept_count > 0) free(p.kept[--p.kept_count]);
        free(s);
        world_stop(&w);
    }
}

static void on_change(void *arg, const char *message, size_t size)
{
    dbk_buffer *all = arg;
    dbk_buffer_put(all, message, size);
    dbk_buffer_put_u8(all, '\n');
}

/* A subscription first hears what it missed, then what happens, with what each change did to the row. */
static void a_subscription_hears_what_it_missed_and_what_comes(void **state)
{
    (void)state;
    world w;
    void *subscription = NULL;
    dbk_buffer all;
    world_start(&w, 1);
    dbk_buffer_init(&all, dbk_port_system());
    world_accept(&w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"a\"}}");
    world_accept(&w, 0, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"free\",\"key\":2}");
    assert_int_equal(
        dbk_engine_subscribe(w.engines[0], "free", "[\"a\",1,1]", on_change, &all, &subscription, &w.error), DBK_OK);
    world_accept(&w, 0, "{\"id\":\"3\",\"do\":\"put\",\"table\":\"free\",\"key\":3}");
    world_accept(&w, 0, "{\"id\":\"4\",\"do\":\"patch\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"b\"}}");
    world_accept(&w, 0, "{\"id\":\"5\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\"}");
    world_accept(&w, 0, "{\"id\":\"6\",\"do\":\"delete\",\"table\":\"free\",\"key\":2}");
    dbk_engine_unsubscribe(w.engines[0], subscription);
    world_accept(&w, 0, "{\"id\":\"7\",\"do\":\"delete\",\"table\":\"free\",\"key\":3}");
    assert_string_equal(dbk_buffer_text(&all),
                        "{\"ok\":true,\"timeline\":\"a\",\"generation\":1,\"position\":2,\"table\":\"free\",\"reset\":"
                        "false,\"changes\":[{\"op\":\"update\",\"key\":2,\"row\":{\"id\":2,\"what\":null}}]}\n"
                        "{\"timeline\":\"a\",\"generation\":1,\"position\":3,\"previous\":2,\"table\":\"free\","
                        "\"changes\":[{\"op\":\"insert\",\"key\":3,\"row\":{\"id\":3,\"what\":null}}]}\n"
                        "{\"timeline\":\"a\",\"generation\":1,\"position\":4,\"previous\":3,\"table\":\"free\","
                        "\"changes\":[{\"op\":\"update\",\"key\":1,\"row\":{\"id\":1,\"what\":\"b\"}}]}\n"
                        "{\"timeline\":\"a\",\"generation\":1,\"position\":6,\"previous\":4,\"table\":\"free\","
                        "\"changes\":[{\"op\":\"delete\",\"key\":2}]}\n");
    void *all_tables = NULL;
    dbk_buffer_clear(&all);
    assert_int_equal(dbk_engine_subscribe(w.engines[0], NULL, NULL, on_change, &all, &all_tables, &w.error), DBK_OK);
    assert_int_equal(dbk_engine_subscribe(w.engines[0], "notes", NULL, on_change, &all, &subscription, &w.error),
                     DBK_OK);
    world_accept(&w, 0, "{\"id\":\"8\",\"do\":\"put\",\"table\":\"free\",\"key\":8}");
    assert_non_null(strstr(dbk_buffer_text(&all), "\"key\":8"));
    assert_int_equal(dbk_engine_subscribe(w.engines[0], "free", "[1]", on_change, &all, &subscription, &w.error),
                     DBK_BAD_COMMAND);
    dbk_buffer_release(&all);
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_careless_carrier_changes_nothing_in_the_end),
        cmocka_unit_test(a_subscription_hears_what_it_missed_and_what_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
