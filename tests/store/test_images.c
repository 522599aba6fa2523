/* The ladder of images: what serves, what does not, and that a folder which is gone or damaged costs time only. */
#include "tests/store/store_fixture.h"
#include "tests/store/world_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "store/image_file.h"
#include "store/images.h"
#include "store/replay.h"

static size_t images_on_disk(const world *w, size_t i, uint64_t *newest)
{
    char path[4300];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/images", w->paths[i]);
    DIR *dir = opendir(path);
    *newest = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".image") || entry->d_name[0] == 'n') continue; /* new-N.image: on the way */
        uint64_t position = strtoull(entry->d_name, NULL, 10);
        if (position > *newest) *newest = position;
        count++;
    }
    if (dir) closedir(dir);
    return count;
}

static int setup(void **state)
{
    world *w = world_new(state, 77);
    for (size_t i = 0; i < WORLD_STORES; i++) {
        dbk_engine_close(w->engines[i]);
        w->options[i].image_every = 16;
        world_open(w, i);
    }
    return 0;
}

static void fingerprint_at(world *w, size_t i, uint64_t position, int64_t order_time_ms, char out[33])
{
    dbk_model_reader *reader;
    dbk_model_state state;
    dbk_moment at = {.position = position, .order_time_ms = order_time_ms};
    assert_int_equal(dbk_pasts_enter(w->engines[i], NULL, &at, &reader, &state, &w->error), DBK_OK);
    dbk_pasts_leave(w->engines[i]);
    dbk_fingerprint_text(state.fingerprint, out);
}

/* The same moment from the log alone. */
static void fingerprint_cold(world *w, size_t i, uint64_t position, int64_t order_time_ms, char out[33])
{
    char path[4300];
    dbk_model_state state;
    dbk_moment at = {.position = position, .order_time_ms = order_time_ms};
    struct dbk_images *kept = w->engines[i]->images;
    snprintf(path, sizeof path, "%s/cold.sqlite", w->folder);
    w->engines[i]->images = NULL;
    assert_int_equal(dbk_engine_replay(w->engines[i], &at, path, true, NULL, NULL, &state, &w->error), DBK_OK);
    w->engines[i]->images = kept;
    remove(path);
    dbk_fingerprint_text(state.fingerprint, out);
}

static void assert_same(world *w, size_t i, uint64_t position, int64_t order_time_ms)
{
    char warm[33], cold[33];
    fingerprint_at(w, i, position, order_time_ms, warm);
    fingerprint_cold(w, i, position, order_time_ms, cold);
    assert_string_equal(warm, cold);
}

static void a_moment_asked_for_becomes_a_rung_and_serves_the_next(void **state)
{
    world *w = *state;
    uint64_t newest, position = 0;
    char path[4300];
    for (int i = 0; i < 60; i++) world_random_command(w, 0);
    uint64_t end = dbk_log_position(dbk_engine_log(w->engines[0]));
    assert_same(w, 0, end - 5, 0);
    assert_int_equal(images_on_disk(w, 0, &newest), 1);
    assert_int_equal(newest, end - 5);
    snprintf(path, sizeof path, "%s/start.sqlite", w->folder);
    dbk_past past = {.position = end};
    assert_int_equal(dbk_images_start(w->engines[0], &past, path, &position, &w->error), DBK_OK);
    assert_int_equal(position, end - 5);
    for (uint64_t p = 1; p <= end; p++) assert_same(w, 0, p, 0);
    past.position = 3;
    remove(path);
    assert_int_equal(dbk_images_start(w->engines[0], &past, path, &position, &w->error), DBK_OK);
    assert_true(position <= 3);
}

/* In an ordered log what happened by a time is what stands up to a position. */
static void an_order_time_of_an_ordered_log_is_a_position(void **state)
{
    world *w = *state;
    dbk_buffer origin;
    dbk_entry entry;
    char by_time[33], by_position[33];
    for (int i = 0; i < 40; i++) world_random_command(w, 0);
    dbk_log *log = dbk_engine_log(w->engines[0]);
    assert_true(dbk_log_is_ordered(log));
    dbk_buffer_init(&origin, dbk_port_system());
    int64_t after_ms = INT64_MAX;
    for (uint64_t p = dbk_log_position(log); p > 1; p--) {
        dbk_past past;
        assert_int_equal(dbk_log_read(log, p, &origin, NULL, &w->error), DBK_OK);
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, &w->error), DBK_OK);
        int64_t at_ms = (int64_t)(entry.hlc >> 16);
        bool last = at_ms < after_ms; /* of its millisecond */
        after_ms = at_ms;
        if (!last) continue;
        dbk_moment at = {.order_time_ms = at_ms};
        assert_int_equal(dbk_past_of(w->engines[0], &at, &past, &w->error), DBK_OK);
        assert_int_equal(past.position, p);
        if (p % 8) continue;
        fingerprint_at(w, 0, 0, at_ms, by_time);
        fingerprint_at(w, 0, p, 0, by_position);
        assert_string_equal(by_time, by_position);
    }
    dbk_buffer_release(&origin);
}

/* The folder goes, or a file in it is damaged: the answer is the same. */
static void the_folder_can_be_deleted_at_any_time(void **state)
{
    world *w = *state;
    uint64_t newest;
    char command[4400];
    for (int i = 0; i < 40; i++) world_random_command(w, 0);
    uint64_t end = dbk_log_position(dbk_engine_log(w->engines[0]));
    assert_same(w, 0, end - 9, 0);
    snprintf(command, sizeof command, "%s/images/%020llu.image", w->paths[0], (unsigned long long)end - 9);
    FILE *image = fopen(command, "r+");
    assert_true(fseek(image, DBK_IMAGE_HEADER_SIZE + 100, SEEK_SET) == 0 && fputc('!', image) == '!');
    fclose(image);
    assert_same(w, 0, end - 8, 0);
    assert_int_equal(access(command, F_OK), -1); /* found out when it was to serve */
    (void)remove(command);
    assert_same(w, 0, end - 7, 0);
    dbk_engine_close(w->engines[0]);
    snprintf(command, sizeof command, "%s/images/new-7", w->paths[0]);
    FILE *left = fopen(command, "w");
    fclose(left);
    world_open(w, 0);
    assert_same(w, 0, end - 6, 0);
    assert_true(images_on_disk(w, 0, &newest) > 0); /* and new-7 is gone */
}

/* Late entries sort below what an image holds: it serves no moment that has them. */
static void an_image_above_a_late_entry_does_not_serve(void **state)
{
    world *w = *state;
    facts *f = calloc(1, sizeof *f);
    uint64_t logged, parked;
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 25; i++) world_random_command(w, (size_t)(i % 2));
        for (size_t from = 0; from < 2; from++) {
            for (uint64_t p = 1; p <= dbk_log_position(dbk_engine_log(w->engines[from])); p++)
                facts_take(f, w, from, p);
            assert_int_equal(facts_deliver(f, w, 1 - from, &logged, &parked), DBK_OK);
            facts_clear(f);
        }
        uint64_t end = dbk_log_position(dbk_engine_log(w->engines[0]));
        assert_false(dbk_log_is_ordered(dbk_engine_log(w->engines[0])));
        for (int i = 0; i < 8; i++) assert_same(w, 0, 1 + world_random(w, end), 0);
        for (int i = 0; i < 4; i++) assert_same(w, 0, end, w->now_ms[0] - (int64_t)world_random(w, 60000));
    }
    char a[33], b[33];
    world_fingerprint(w, 0, a);
    world_fingerprint(w, 1, b);
    assert_string_equal(a, b);
    free(f);
}

static char *schema_of(dbk_model *model)
{
    static const char sql[] = "SELECT group_concat(name || ': ' || coalesce(sql, ''), x'0a') || (SELECT count(*) FROM "
                              "_daybook_meta WHERE name='indexes') FROM (SELECT * FROM sqlite_schema ORDER BY name)";
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    dbk_model_close(model);
    return text;
}

/* Without the indexes that a fold can do without; who folds from it makes them again. */
static void an_image_leaves_indexes_to_the_fold(void **state)
{
    world *w = *state;
    dbk_engine *engine = w->engines[0];
    char path[4300];
    uint64_t position = 0;
    dbk_model *model = NULL;
    dbk_shadow_options from_image = {.image = true}, from_nothing = {0};
    for (int i = 0; i < 40; i++) world_random_command(w, 0);
    dbk_past past = {.position = dbk_log_position(dbk_engine_log(engine))};
    assert_same(w, 0, past.position, 0);
    snprintf(path, sizeof path, "%s/schema.sqlite", w->folder);
    assert_int_equal(dbk_images_start(engine, &past, path, &position, &w->error), DBK_OK);
    assert_int_equal(position, past.position);
    assert_int_equal(dbk_model_open(dbk_port_system(), path, w->definition, dbk_engine_log(engine), NULL, &model, NULL),
                     DBK_OK);
    char *left = schema_of(model);
    assert_int_equal(
        dbk_model_build(dbk_port_system(), path, w->definition, dbk_engine_log(engine), &from_image, &model, &w->error),
        DBK_OK);
    char *made = schema_of(model);
    remove(path);
    assert_int_equal(dbk_model_build(dbk_port_system(), path, w->definition, dbk_engine_log(engine), &from_nothing,
                                     &model, &w->error),
                     DBK_OK);
    char *whole = schema_of(model);
    assert_string_equal(made, whole);
    assert_string_not_equal(left, whole);
    remove(path);
    free(left);
    free(made);
    free(whole);
}

static uint64_t bytes_of_images(const world *w, size_t i, uint64_t *widest)
{
    uint64_t positions[64];
    size_t found = 0;
    char path[4300], file[4700];
    uint64_t bytes = 0, below = 0;
    snprintf(path, sizeof path, "%s/images", w->paths[i]);
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, alphasort);
    for (int k = 0; k < count; k++) {
        struct stat st;
        snprintf(file, sizeof file, "%s/%s", path, names[k]->d_name);
        if (strstr(names[k]->d_name, ".image") && stat(file, &st) == 0 && found < 64) {
            positions[found++] = strtoull(names[k]->d_name, NULL, 10);
            bytes += (uint64_t)st.st_size;
        }
        free(names[k]);
    }
    free(names);
    *widest = 0;
    for (size_t k = 0; k < found; k++) {
        if (positions[k] - below > *widest) *widest = positions[k] - below;
        below = positions[k];
    }
    return bytes;
}

/* Rungs go where they are missed least: what stays is spread over the log, and takes no more than it may. */
static void the_ladder_stays_within_its_budget(void **state)
{
    world *w = *state;
    uint64_t newest, widest, one;
    for (int i = 0; i < 60; i++) world_random_command(w, 0);
    assert_same(w, 0, dbk_log_position(dbk_engine_log(w->engines[0])), 0);
    one = bytes_of_images(w, 0, &widest);
    w->engines[0]->options.image_bytes = 6 * one;
    for (int i = 0; i < 400; i++) {
        world_random_command(w, 0);
        if (i % 10 == 9) assert_same(w, 0, dbk_log_position(dbk_engine_log(w->engines[0])), 0);
    }
    size_t count = images_on_disk(w, 0, &newest);
    assert_in_range(count, 3, 6);
    assert_true(bytes_of_images(w, 0, &widest) <= 6 * one);
    assert_true(widest * 5 <= dbk_log_position(dbk_engine_log(w->engines[0])) * 2);
}

/* Another definition: none of its images is of today. */
static void an_upgrade_drops_the_images(void **state)
{
    world *w = *state;
    uint64_t newest, count = 0;
    for (int i = 0; i < 40; i++) world_random_command(w, 0);
    assert_same(w, 0, dbk_log_position(dbk_engine_log(w->engines[0])), 0);
    assert_int_equal(images_on_disk(w, 0, &newest), 1);
    char schema[2000];
    snprintf(schema, sizeof schema, "%sCREATE TABLE extra (id TEXT PRIMARY KEY NOT NULL);\n", world_schema);
    dbk_definition *other = definition_of(schema, world_projections);
    assert_int_equal(dbk_engine_upgrade(w->engines[0], other, w->now_ms[0], true, NULL, NULL, &count, &w->error),
                     DBK_OK);
    assert_int_equal(images_on_disk(w, 0, &newest), 0);
    assert_same(w, 0, dbk_log_position(dbk_engine_log(w->engines[0])), 0);
    dbk_engine_close(w->engines[0]);
    w->options[0].definition = w->definition;
    world_open(w, 0);
    assert_same(w, 0, dbk_log_position(dbk_engine_log(w->engines[0])) - 1, 0);
    dbk_definition_free(other);
}

static void write_rows(live_store *s, int count)
{
    char command[200];
    for (int i = 0; i < count; i++) {
        dbk_text receipt;
        dbk_error error;
        int size =
            snprintf(command, sizeof command,
                     "{\"id\":\"%d\",\"do\":\"put\",\"table\":\"free\",\"key\":%d,\"data\":{\"what\":\"x\"}}", i, i);
        assert_int_equal(dbk_do(s->store, command, (size_t)size, &receipt, &error), DBK_OK);
        dbk_text_free(&receipt);
    }
}

/* Waits for a rung at one of the log's positions; the newest, when the store has closed. */
static uint64_t wait_for_rung(live_store *s, size_t *count)
{
    world counted;
    uint64_t newest = 0;
    snprintf(counted.paths[0], sizeof counted.paths[0], "%s", s->path);
    for (int i = 0; i < 10000 && (images_on_disk(&counted, 0, &newest) == 0 || newest > 1000); i++) usleep(1000);
    live_close(s);
    *count = images_on_disk(&counted, 0, &newest);
    return newest;
}

/* With its threads: nobody asks for a moment, yet there is a rung. */
static void a_rung_is_made_as_the_log_grows(void **state)
{
    live_store s;
    size_t count;
    (void)state;
    live_start(&s, world_schema);
    live_close(&s);
    s.options.image_every = 20;
    live_open(&s);
    write_rows(&s, 50);
    assert_in_range(wait_for_rung(&s, &count), 20, 50);
    assert_in_range(count, 1, 2);
    live_stop(&s);
}

/* Opening goes by the names: those of no position of this log put no rung off, and go when one is made. */
static void names_beyond_the_log_put_no_rung_off(void **state)
{
    static const char *const names[] = {"00000000000000009999.image", "99999999999999999999.image", "17.image"};
    live_store s;
    size_t count;
    char path[4400];
    (void)state;
    live_start(&s, world_schema);
    live_close(&s);
    snprintf(path, sizeof path, "%s/images", s.path);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/images/%s", s.path, names[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    s.options.image_every = 20;
    live_open(&s);
    write_rows(&s, 50);
    assert_in_range(wait_for_rung(&s, &count), 20, 50);
    assert_in_range(count, 1, 2);
    live_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_moment_asked_for_becomes_a_rung_and_serves_the_next, setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_order_time_of_an_ordered_log_is_a_position, setup, world_teardown),
        cmocka_unit_test_setup_teardown(the_folder_can_be_deleted_at_any_time, setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_image_above_a_late_entry_does_not_serve, setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_image_leaves_indexes_to_the_fold, setup, world_teardown),
        cmocka_unit_test_setup_teardown(the_ladder_stays_within_its_budget, setup, world_teardown),
        cmocka_unit_test_setup_teardown(an_upgrade_drops_the_images, setup, world_teardown),
        cmocka_unit_test(a_rung_is_made_as_the_log_grows),
        cmocka_unit_test(names_beyond_the_log_put_no_rung_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
