/* The WAL of the model goes into its file beside the decider, long before the decider has to stand still for it. */
#include "tests/store/store_fixture.h"

#include <sched.h>
#include <sys/stat.h>

enum { ROWS = 80, BODY_BYTES = 900 * 1024, MIB = 1 << 20 };

static off_t size_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}

static void put_row(live_store *s, unsigned number)
{
    static char json[BODY_BYTES + 200];
    dbk_text receipt = {0};
    int head = snprintf(json, sizeof json,
                        "{\"id\":\"%u\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%u\",\"data\":{\"body\":\"",
                        number, number);
    memset(json + head, 'a' + (int)(number % 26), BODY_BYTES);
    size_t size = (size_t)head + BODY_BYTES;
    size += (size_t)snprintf(json + size, sizeof json - size, "\"}}");
    assert_int_equal(dbk_do(s->store, json, size, &receipt, NULL), DBK_OK);
    assert_non_null(strstr(receipt.data, "\"ok\":true"));
    dbk_text_free(&receipt);
}

/* Some 72 MiB of rows: over the 64 at which the thread is told, far below the 256 at which the decider does it. */
static void a_wal_of_64_mib_is_put_into_the_file_by_the_thread(void **state)
{
    (void)state;
    const dbk_port *port = dbk_port_system();
    live_store s;
    live_start(&s, "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, body TEXT);");
    const char *path = dbk_model_path(dbk_engine_model(s.engine));
    for (unsigned i = 0; i < ROWS; i++) put_row(&s, i);
    int64_t until = port->monotonic_ns(port->ctx) + INT64_C(120000000000);
    while (size_of(path) < 48 * MIB) {
        assert_true(port->monotonic_ns(port->ctx) < until);
        sched_yield();
    }
    live_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_wal_of_64_mib_is_put_into_the_file_by_the_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
