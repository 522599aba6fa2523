/* Room on the disk: refused before it is full, read on while it is, written again when there is some. The
 * real file systems are small tmpfs mounts, where this process may make them. */
#include "tests/store/folder_fixture.h"

#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <time.h>

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";

/* A port that tells of as much free space as the test wants. */
typedef struct told_port {
    dbk_port port;
    uint64_t free_bytes;
} told_port;

static int told_space(void *ctx, dbk_dir *dir, dbk_space *out)
{
    int rc = dbk_port_system()->space(NULL, dir, out);
    out->total_bytes = 1000 * 1024 * 1024;
    out->free_bytes = ((told_port *)ctx)->free_bytes;
    return rc;
}

static void expect_part(engine_fixture *f, const char *command, const char *part)
{
    char *got = decide(f, command);
    if (!strstr(got, part)) print_error("%s\n%s\n", command, got);
    assert_non_null(strstr(got, part));
    free(got);
}

/* A request, answered through the handle that the engine is wrapped in. */
static void expect_answer(dbk_store *store, const char *json, const char *part)
{
    dbk_text answer = {0};
    dbk_error error = {0};
    dbk_result result = dbk_do(store, json, strlen(json), &answer, &error);
    if (result != DBK_OK) print_error("%s\n", error.text);
    assert_int_equal(result, DBK_OK);
    if (!strstr(answer.data, part)) print_error("%s\n%s\n", json, answer.data);
    assert_non_null(strstr(answer.data, part));
    dbk_text_free(&answer);
}

#define PUT(id) "{\"id\":\"" id "\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"" id "\",\"data\":{\"title\":\"T\"}}"

/* The app may ask for more room than the default; the host's word stands above it. */
static void the_app_says_its_levels(void **state)
{
    static const uint64_t mib = 1024 * 1024;
    const dbk_source sources[] = {
        {"schema.sql", dbk_slice_text(schema)},
        {"app.json", dbk_slice_text("{\"daybook\":1,\"name\":\"t\","
                                    "\"disk\":{\"min_free\":\"300 MiB\",\"alert_free\":\"400 MiB\"}}")}};
    told_port told = {.port = *dbk_port_system(), .free_bytes = 350 * mib};
    engine_fixture f;
    (void)state;
    told.port.ctx = &told;
    told.port.space = told_space;
    fixture_start_with(&f, definition_of_sources(sources, 2));
    dbk_engine_close(f.engine);
    f.options.port = &told.port;
    fixture_open(&f);
    must_accept(&f, PUT("1"));
    told.free_bytes = 299 * mib;
    dbk_engine_close(f.engine);
    fixture_open(&f);
    expect_part(&f, PUT("2"), "\"error\":\"no_space\"");
    expect_part(&f, PUT("2"), "300.0 MiB are needed");
    dbk_engine_close(f.engine);
    f.options.disk.min_free_bytes = 100 * mib;
    fixture_open(&f);
    must_accept(&f, PUT("2"));
    fixture_stop(&f);
}

static void commands_are_refused_below_the_minimum_and_go_on_above(void **state)
{
    static const uint64_t mib = 1024 * 1024;
    told_port told = {.port = *dbk_port_system(), .free_bytes = 500 * mib};
    engine_fixture f;
    (void)state;
    told.port.ctx = &told;
    told.port.space = told_space;
    fixture_start(&f, schema, NULL);
    dbk_engine_close(f.engine);
    f.options.port = &told.port;
    fixture_open(&f);
    expect_part(&f, PUT("a"), "\"ok\":true");
    assert_true(file_exists(f.path, "reserve"));
    told.free_bytes = 19 * mib; /* 2 % of 1,000 MiB are 20 */
    dbk_engine_close(f.engine);
    fixture_open(&f);
    expect_part(&f, PUT("b"), "\"error\":\"no_space\",\"class\":\"critical\"");
    expect_part(&f, PUT("b"), "make room: 19.0 MiB were free when last looked, 20.0 MiB are needed");
    expect_part(&f, PUT("b"), "\"outcome\":\"none\"");
    expect_part(&f, PUT("a"), "\"again\":true");
    expect_part(&f, "{\"id\":\"x\",\"do\":\"put\",\"table\":\"none\"}", "\"error\":\"no_space\"");
    told.free_bytes = 20 * mib;
    expect_part(&f, PUT("b"), "\"ok\":true");
    fixture_stop(&f);
}

/* ---- real disks */

typedef struct small_disk {
    char *folder;
    char path[4300], app[4300];
    dbk_store *store;
    dbk_engine *engine;
} small_disk;

static bool mount_small(small_disk *d, const char *options)
{
    memset(d, 0, sizeof *d);
    d->folder = temporary_dir();
    snprintf(d->path, sizeof d->path, "%s/s.daybook", d->folder);
    snprintf(d->app, sizeof d->app, "%s/schema.sql", d->folder);
    if (mount("daybook", d->folder, "tmpfs", 0, options) != 0) {
        remove_temporary_dir(d->folder);
        print_message("not permitted to mount a tmpfs: %s\n", strerror(errno));
        return false;
    }
    FILE *file = fopen(d->app, "w");
    assert_non_null(file);
    fputs(schema, file);
    assert_int_equal(fclose(file), 0);
    return true;
}

static void small_open(small_disk *d, bool threads, bool read_only)
{
    dbk_error error = {0};
    dbk_engine_options options = {.no_threads = !threads, .read_only = read_only};
    dbk_result result = dbk_engine_open(d->path, &options, &d->engine, &error);
    if (result != DBK_OK) print_error("%s\n", error.text);
    assert_int_equal(result, DBK_OK);
    assert_int_equal(dbk_engine_wrap(d->engine, &d->store, &error), DBK_OK);
}

static void small_close(small_disk *d)
{
    dbk_close(d->store);
    d->store = NULL;
}

static void small_create(small_disk *d)
{
    dbk_error error = {0};
    dbk_engine_options options = {.no_threads = true};
    assert_int_equal(dbk_engine_create(d->path, d->app, &options, NULL, &error), DBK_OK);
}

static void fill(small_disk *d)
{
    static char block[65536];
    memset(block, 'x', sizeof block);
    int fd = open(path_in(d->folder, "fill").text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    size_t size = sizeof block;
    while (size > 0)
        if (write(fd, block, size) <= 0) size /= 2;
    close(fd);
}

static void empty(small_disk *d)
{
    file_remove(d->folder, "fill");
}

static void unmount_small(small_disk *d)
{
    assert_int_equal(umount2(d->folder, MNT_DETACH), 0);
    remove_temporary_dir(d->folder);
}

/* Puts until one is not accepted; how many were. Of the others none may say anything but no_space. */
static int put_until_full(dbk_store *store, int from)
{
    for (int i = from;; i++) {
        char command[200];
        dbk_text answer = {0};
        snprintf(command, sizeof command,
                 "{\"id\":\"n%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"title\":\"%0100d\"}}",
                 i, i, i);
        assert_int_equal(dbk_do(store, command, strlen(command), &answer, NULL), DBK_OK);
        bool ok = strstr(answer.data, "\"ok\":true") != NULL;
        if (!ok && !strstr(answer.data, "\"error\":\"no_space\"")) print_error("%s\n", answer.data);
        assert_true(ok || strstr(answer.data, "\"error\":\"no_space\""));
        if (!ok) assert_true(strstr(answer.data, "\"hint\":") && strstr(answer.data, "\"outcome\":\"none\""));
        dbk_text_free(&answer);
        if (!ok) return i;
    }
}

static void expect_count(dbk_store *store, int count)
{
    char part[64];
    snprintf(part, sizeof part, "\"rows\":[[%d]]", count);
    expect_answer(store, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", part);
}

static void a_disk_that_fills_while_serving_and_empties(void **state)
{
    small_disk d;
    (void)state;
    if (!mount_small(&d, "size=16m")) skip();
    small_create(&d);
    small_open(&d, true, false);
    expect_answer(d.store, PUT("first"), "\"ok\":true");
    fill(&d);
    int written = put_until_full(d.store, 0);
    expect_answer(d.store, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"first\"}", "\"title\":\"T\"");
    expect_answer(d.store, "{\"do\":\"stats\"}", "\"disk\":{\"state\":\"full\"");
    expect_answer(d.store, "{\"do\":\"status\"}", "\"condition\":\"no_space\"");
    empty(&d);
    expect_answer(d.store, PUT("last"), "\"ok\":true");
    expect_count(d.store, written + 2);
    expect_answer(d.store, "{\"do\":\"verify\"}", "\"fault_count\":0");
    small_close(&d);
    small_open(&d, true, false);
    expect_count(d.store, written + 2);
    small_close(&d);
    unmount_small(&d);
}

/* The reserve lets it open as ever; without it the store is read, and waits for room. */
static void a_store_on_a_full_disk_opens_and_waits_for_room(void **state)
{
    small_disk d;
    (void)state;
    if (!mount_small(&d, "size=16m")) skip();
    for (int with_reserve = 1; with_reserve >= 0; with_reserve--) {
        if (with_reserve) small_create(&d);
        small_open(&d, false, false);
        expect_answer(d.store, PUT("kept"), "\"ok\":true");
        small_close(&d);
        if (!with_reserve && file_exists(d.path, "reserve")) file_remove(d.path, "reserve");
        fill(&d);
        small_open(&d, false, false);
        expect_answer(d.store, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"kept\"}", "\"title\":\"T\"");
        expect_count(d.store, with_reserve ? 1 : 2);
        expect_answer(d.store, "{\"do\":\"log\"}", "\"type\":\"notes.put\"");
        expect_answer(d.store, "{\"do\":\"fingerprint\"}", "\"ok\":true");
        expect_answer(d.store, with_reserve ? PUT("more") : PUT("again"), "\"error\":\"no_space\"");
        if (!with_reserve) expect_answer(d.store, "{\"do\":\"rebuild\"}", "\"error\":\"no_space\"");
        empty(&d);
        expect_answer(d.store, with_reserve ? PUT("more") : PUT("again"), "\"ok\":true");
        expect_count(d.store, with_reserve ? 2 : 3);
        expect_answer(d.store, "{\"do\":\"verify\"}", "\"fault_count\":0");
        small_close(&d);
    }
    unmount_small(&d);
}

static void room_that_comes_back_is_found_without_a_command(void **state)
{
    small_disk d;
    dbk_text answer = {0};
    bool resumed = false;
    (void)state;
    if (!mount_small(&d, "size=16m")) skip();
    small_create(&d);
    fill(&d); /* no model yet, no reserve: there is no room to build one */
    small_open(&d, true, false);
    expect_answer(d.store, "{\"do\":\"status\"}", "\"condition\":\"no_space\"");
    empty(&d);
    for (int i = 0; i < 1000 && !resumed; i++) {
        static const char ask[] = "{\"do\":\"status\"}";
        const struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
        assert_int_equal(dbk_do(d.store, ask, sizeof ask - 1, &answer, NULL), DBK_OK);
        resumed = strstr(answer.data, "\"condition\":\"ok\"") != NULL;
        dbk_text_free(&answer);
    }
    assert_true(resumed);
    small_close(&d);
    unmount_small(&d);
}

/* ---- where nothing may be written */

static void remount(small_disk *d, bool read_only)
{
    assert_int_equal(mount("daybook", d->folder, "tmpfs", MS_REMOUNT | (read_only ? MS_RDONLY : 0), "size=16m"), 0);
}

static void expect_readable(small_disk *d, int count)
{
    remount(d, true);
    small_open(d, false, true);
    expect_count(d->store, count);
    expect_answer(d->store, "{\"do\":\"log\"}", "\"type\":\"notes.put\"");
    expect_answer(d->store, "{\"do\":\"stats\"}", "\"ok\":true");
    expect_answer(d->store, "{\"do\":\"verify\"}", "\"fault_count\":0");
    expect_answer(d->store, "{\"do\":\"fingerprint\"}", "\"ok\":true");
    small_close(d);
    remount(d, false);
}

/* Closed cleanly; with a WAL and no shared memory, as a copy of a live store has it; without a model. */
static void a_mount_for_reading_only_is_read(void **state)
{
    small_disk d;
    (void)state;
    if (!mount_small(&d, "size=16m")) skip();
    small_create(&d);
    small_open(&d, false, false);
    expect_answer(d.store, PUT("a"), "\"ok\":true");
    small_close(&d);
    expect_readable(&d, 1);
    small_open(&d, false, false);
    expect_answer(d.store, PUT("b"), "\"ok\":true");
    folder_copy_in(d.folder, "s.daybook", "copy.daybook");
    small_close(&d);
    folder_remove(d.folder, "s.daybook");
    file_move(d.folder, "copy.daybook", "s.daybook");
    char shm[300];
    find_file(d.path, "models/00000001", "-shm", shm, sizeof shm);
    file_remove(d.path, shm);
    expect_readable(&d, 2);
    folder_remove(d.path, "models");
    expect_readable(&d, 2);
    unmount_small(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_app_says_its_levels),
        cmocka_unit_test(commands_are_refused_below_the_minimum_and_go_on_above),
        cmocka_unit_test(a_disk_that_fills_while_serving_and_empties),
        cmocka_unit_test(a_store_on_a_full_disk_opens_and_waits_for_room),
        cmocka_unit_test(room_that_comes_back_is_found_without_a_command),
        cmocka_unit_test(a_mount_for_reading_only_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
