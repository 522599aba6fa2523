/* The coalesced WAL on the machine's own files: one thread writes, one reads, one makes checkpoints. */
#include <stdatomic.h>

#include "coalesce_fixture.h"

enum { ROUNDS = 150, ROWS = 40 };

typedef struct beside {
    sqlite3 *reader, *checkpoints;
    atomic_bool done;
    atomic_uint wrong, reads;
} beside;

static sqlite3 *open_plain(const char *path)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    assert_int_equal(rc, SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, 10000), SQLITE_OK);
    return db;
}

/* Whole commits only, none of them gone again, and every row as it was written. */
static void read_all(void *arg)
{
    beside *b = arg;
    int64_t before = 0;
    while (!atomic_load(&b->done)) {
        int64_t count = number(b->reader, "SELECT count(*) FROM t WHERE length(data) = 500 + n % 7"
                                          " AND substr(data, 1, 4) = zeroblob(4)");
        if (count < before || count % ROWS != 0) atomic_fetch_add(&b->wrong, 1);
        before = count;
        atomic_fetch_add(&b->reads, 1);
    }
}

static void checkpoint(void *arg)
{
    beside *b = arg;
    while (!atomic_load(&b->done)) {
        int rc = run(b->checkpoints, "PRAGMA wal_checkpoint(PASSIVE)");
        if (rc != SQLITE_OK && rc != SQLITE_BUSY) atomic_fetch_add(&b->wrong, 1);
    }
}

static void write_rounds(sqlite3 *db)
{
    for (int i = 0; i < ROUNDS; i++) {
        assert_int_equal(run(db, "BEGIN IMMEDIATE"), SQLITE_OK);
        int rc = run(db,
                     "WITH RECURSIVE c(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM c WHERE n < %d) "
                     "INSERT INTO t SELECT n * 7919 %% 100003 * 7 + n %% 7, zeroblob(500 + n %% 7) FROM c",
                     i * ROWS, i * ROWS + ROWS - 1);
        assert_int_equal(rc, SQLITE_OK);
        bool back = i % 5 == 4;
        assert_int_equal(run(db, back ? "ROLLBACK" : "COMMIT"), SQLITE_OK);
    }
}

static void run_beside(sqlite3 *db, beside *b)
{
    const dbk_port *port = dbk_port_system();
    dbk_thread *threads[2];

    assert_int_equal(port->thread_start(port->ctx, "reader", read_all, b, &threads[0]), 0);
    assert_int_equal(port->thread_start(port->ctx, "checkpoints", checkpoint, b, &threads[1]), 0);
    write_rounds(db);
    atomic_store(&b->done, true);
    for (int i = 0; i < 2; i++) port->thread_join(port->ctx, threads[i]);
    assert_int_equal(atomic_load(&b->wrong), 0);
    assert_true(atomic_load(&b->reads) > 0);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), ROUNDS / 5 * 4 * ROWS);
    assert_intact(db);
}

static void test_beside(void **state)
{
    beside b = {.wrong = 0};
    char *folder = temporary_dir(), path[300];
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    sqlite3 *db = NULL;
    dbk_coalescer *coalescer;
    (void)state;

    snprintf(path, sizeof path, "%s/data.db", folder);
    assert_int_equal(dbk_coalescer_new(dbk_port_system(), NULL, &coalescer, NULL), DBK_OK);
    assert_int_equal(sqlite3_open_v2(path, &db, flags, dbk_coalescer_name(coalescer)), SQLITE_OK);
    assert_int_equal(run(db, "PRAGMA journal_mode=WAL; PRAGMA cache_size=6; PRAGMA wal_autocheckpoint=0;"
                             "PRAGMA synchronous=NORMAL; CREATE TABLE t(n INTEGER PRIMARY KEY, data BLOB)"),
                     SQLITE_OK);
    b.reader = open_plain(path);
    b.checkpoints = open_plain(path);
    run_beside(db, &b);
    assert_int_equal(sqlite3_close(b.reader), SQLITE_OK);
    assert_int_equal(sqlite3_close(b.checkpoints), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    dbk_coalescer_free(coalescer);
    remove_temporary_dir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
