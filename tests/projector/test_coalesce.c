/* The WAL's writes coalesced: the same bytes by fewer calls; no failure, power loss or neighbour finds less than
 * without. "Spilled" is what a transaction writes before its commit, because the page cache is small. */
#include <errno.h>

#include "coalesce_fixture.h"

#define SMALL_CACHE "PRAGMA cache_size=8;"
#define WAL         "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=NORMAL;"
#define FULL_WAL    "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL;"

static const char table[] = "CREATE TABLE t(n INTEGER PRIMARY KEY, at INTEGER, data BLOB)";
/* Rows of a transaction, some three pages of 4 KiB each in ten. */
static const char rows[] = "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < %d) "
                           "INSERT INTO t(at, data) SELECT %d, randomblob(1100) FROM c";

static void assert_ran(sqlite3 *db, int rc)
{
    if (rc != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
}

/* ---- the same bytes */

/* Each ends outside of a transaction. Pages that were spilled are written again and their frames counted again; a
 * savepoint takes back spilled frames; a transaction goes as a whole; the WAL begins anew. */
static const char *const life[] = {
    "CREATE TABLE t(n INTEGER PRIMARY KEY, at INTEGER, data BLOB); CREATE INDEX t_at ON t(at)",
    "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 200) "
    "INSERT INTO t(at, data) SELECT i * 7 % 31, randomblob(700) FROM c",
    "UPDATE t SET at = at + 1 WHERE n = 17",
    "BEGIN; UPDATE t SET data = randomblob(700); UPDATE t SET at = n * 13 % 37; UPDATE t SET at = at + 1; COMMIT",
    "BEGIN; UPDATE t SET at = 5 WHERE n < 50; SAVEPOINT s; UPDATE t SET data = randomblob(900); ROLLBACK TO s; "
    "UPDATE t SET at = 6 WHERE n > 120; COMMIT",
    "BEGIN; UPDATE t SET data = randomblob(600); ROLLBACK",
    "DELETE FROM t WHERE n % 3 = 0",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "UPDATE t SET at = n WHERE n % 11 = 0",
    "BEGIN; UPDATE t SET data = randomblob(650); UPDATE t SET at = at * 3; COMMIT",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "INSERT INTO t(at, data) VALUES(1, randomblob(20000))",
};
enum { STEPS = sizeof life / sizeof *life, TAKEN_BACK = 5, PADDED = 64 };

static void live(bool plain, bool powersafe, const char *settings, uint64_t digests[STEPS + 2], uint64_t *calls)
{
    machine m;
    machine_init(&m, powersafe);
    writer w = writer_open(&m, plain, settings);
    assert_ran(w.db, w.rc);
    for (int i = 0; i < STEPS; i++) {
        assert_ran(w.db, run(w.db, "%s", life[i]));
        digests[i] = dbk_simdisk_hash(m.disk, NULL);
        if (i == STEPS / 2) {
            writer_close(&w, true);
            w = writer_open(&m, plain, settings);
            assert_ran(w.db, w.rc);
        }
    }
    /* Where commits are padded the sync comes in the middle of a page, behind as many bytes as a head has sometimes,
     * which look like an unmarked one here. */
    digests[STEPS] = 0;
    for (int i = 0; i < (powersafe ? 0 : PADDED); i++) {
        assert_ran(w.db, run(w.db, "INSERT INTO t(at, data) VALUES(%d, zeroblob(9000))", i));
        digests[STEPS] = digests[STEPS] * 31 + dbk_simdisk_hash(m.disk, NULL);
    }
    assert_ran(w.db, run(w.db, "BEGIN; UPDATE t SET data = randomblob(750)"));
    writer_close(&w, true);
    digests[STEPS + 1] = dbk_simdisk_hash(m.disk, NULL);
    *calls = writes(&m);
    machine_done(&m);
}

/* Whatever the size of a page (one of 64 KiB is as large as the buffer), however commits are padded and synced, with
 * an index shared or not. */
static void test_same_bytes(void **state)
{
    static const char *const settings[] = {
        SMALL_CACHE WAL,
        SMALL_CACHE FULL_WAL,
        "PRAGMA page_size=512;" SMALL_CACHE FULL_WAL,
        "PRAGMA page_size=65536; PRAGMA cache_size=2;" WAL,
        "PRAGMA locking_mode=EXCLUSIVE;" SMALL_CACHE WAL,
        "PRAGMA cache_size=2000;" WAL,
    };
    uint64_t plain[STEPS + 2], coalesced[STEPS + 2], plain_calls, calls;
    int seeded; /* salts and rows are drawn alike in both lives */
    (void)state;
    for (size_t i = 0; i < 2 * sizeof settings / sizeof *settings; i++) {
        bool powersafe = i % 2 == 0;
        sqlite3_randomness(sizeof seeded, &seeded);
        sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SAVE);
        live(true, powersafe, settings[i / 2], plain, &plain_calls);
        sqlite3_test_control(SQLITE_TESTCTRL_PRNG_RESTORE);
        live(false, powersafe, settings[i / 2], coalesced, &calls);
        for (int step = 0; step < STEPS + 2; step++) {
            /* Frames that were taken back are written before the lock goes; here the connection keeps it. */
            if (step == TAKEN_BACK && strstr(settings[i / 2], "EXCLUSIVE")) continue;
            if (plain[step] != coalesced[step]) fail_msg("%s differs after step %d", settings[i / 2], step);
        }
        assert_true(calls < plain_calls);
    }
}

/* A transaction of a hundred pages takes a few calls, also the first of a connection that finds a WAL. */
static void test_few_calls(void **state)
{
    machine m;
    (void)state;
    machine_init(&m, true);
    for (int i = 0; i < 3; i++) {
        writer w = writer_open(&m, false, WAL);
        assert_ran(w.db, w.rc);
        if (i == 0) assert_ran(w.db, run(w.db, table));
        uint64_t before = writes(&m);
        assert_ran(w.db, run(w.db, rows, 300, i));
        assert_in_range(writes(&m) - before, 6, 12);
        writer_close(&w, true);
    }
    machine_done(&m);
}

/* ---- what fails */

enum { TRANSACTIONS = 6 };

static void make_table(machine *m)
{
    writer w = writer_open(m, false, WAL);
    assert_ran(w.db, w.rc);
    assert_ran(w.db, run(w.db, table));
    writer_close(&w, false);
}

/* Bit i: the transaction i was told to be committed. After the first failure it goes on, or ends there. The WAL begins
 * anew in the middle; truncated it could come back, in any layer (docs/decisions/0003-model-files.md). */
static unsigned commit_some(writer *w, bool goes_on)
{
    unsigned done = 0;
    for (int i = 0; i < TRANSACTIONS; i++) {
        int rc = run(w->db, "BEGIN IMMEDIATE");
        if (rc == SQLITE_OK) rc = run(w->db, rows, i % 2 ? 4 : 40, i);
        if (rc == SQLITE_OK && i == 4) rc = run(w->db, "UPDATE t SET data = randomblob(1000) WHERE at < 3");
        if (rc == SQLITE_OK) rc = run(w->db, "COMMIT");
        if (rc == SQLITE_OK) done |= 1U << i;
        if (rc != SQLITE_OK && !sqlite3_get_autocommit(w->db)) (void)run(w->db, "ROLLBACK");
        if (rc != SQLITE_OK && !goes_on) break;
        if (i == 2) (void)run(w->db, "PRAGMA wal_checkpoint(RESTART)");
    }
    return done;
}

/* Of a commit whose sync fails all frames are in the file: SQLite takes it back, and a connection that has to find out
 * from the file alone counts it. */
static void assert_committed(machine *m, unsigned done, bool syncs_failed)
{
    writer look = writer_open(m, true, "");
    assert_ran(look.db, look.rc);
    assert_intact(look.db);
    for (int i = 0; i < TRANSACTIONS; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE at = %d", i);
        int64_t found = number(look.db, sql), whole = i % 2 ? 5 : 41;
        if (((done >> i) & 1) || (syncs_failed && found > 0)) assert_int_equal(found, whole);
        else assert_int_equal(found, 0);
    }
    writer_close(&look, false);
}

static void fail_each(const dbk_simdisk_fault *wanted, bool goes_on)
{
    machine m;
    uint64_t hits = 1;
    machine_init(&m, true); /* else a commit is padded with others, and the first of them counts */
    make_table(&m);
    dbk_simdisk_image *made = dbk_simdisk_snapshot(m.disk);
    for (uint64_t skip = 0; hits > 0; skip++) {
        dbk_simdisk_fault fault = *wanted;
        fault.skip = skip;
        dbk_simdisk_restore(m.disk, made);
        writer w = writer_open(&m, false, "PRAGMA cache_size=8; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0");
        assert_ran(w.db, w.rc);
        dbk_simdisk_add_fault(m.disk, &fault);
        unsigned done = commit_some(&w, goes_on);
        hits = dbk_simdisk_fault_hits(m.disk);
        dbk_simdisk_clear_faults(m.disk);
        if (hits == 0) assert_int_equal(done, (1U << TRANSACTIONS) - 1);
        writer_close(&w, true);
        assert_committed(&m, done, fault.kinds == DBK_SIM_SYNC);
    }
    assert_true(goes_on || dbk_simdisk_handle_count(m.disk) == 0);
    dbk_simdisk_image_free(m.disk, made);
    machine_done(&m);
}

/* Each call of a kind fails once, or the disk is full from there on: what was told to be committed is there, and
 * nothing else. */
static void test_every_call_fails(void **state)
{
    static const dbk_simdisk_fault faults[] = {
        {.kinds = DBK_SIM_WRITE, .path = "-wal", .times = 1, .action = DBK_SIM_FAIL, .error = EIO},
        {.kinds = DBK_SIM_WRITE, .path = "-wal", .times = 1, .action = DBK_SIM_FAIL, .error = ENOSPC},
        {.kinds = DBK_SIM_WRITE, .path = "-wal", .times = 0, .action = DBK_SIM_FAIL, .error = ENOSPC},
        {.kinds = DBK_SIM_SYNC, .path = "-wal", .times = 1, .action = DBK_SIM_FAIL, .error = EIO},
        {.kinds = DBK_SIM_TRUNCATE | DBK_SIM_IDENTIFY | DBK_SIM_READ, .times = 1, .action = DBK_SIM_FAIL, .error = EIO},
        {.kinds = DBK_SIM_WRITE, .path = "-wal", .times = 3, .action = DBK_SIM_SHORT, .bytes = 100},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof faults / sizeof *faults; i++) fail_each(&faults[i / 2], i % 2 == 0);
}

/* What SQLite asks of a WAL in the middle of a transaction that spilled. What is kept cannot be written: the call
 * fails and nothing is forgotten, the next one makes up for it. */
static void test_other_calls_write_first(void **state)
{
    const dbk_simdisk_fault fault = {.kinds = DBK_SIM_WRITE, .action = DBK_SIM_FAIL, .error = ENOSPC};
    machine m;
    sqlite3_file *wal;
    uint8_t last[24];
    sqlite3_int64 size = 0;
    (void)state;
    machine_init(&m, false);
    writer w = writer_open(&m, false, SMALL_CACHE WAL);
    assert_ran(w.db, w.rc);
    assert_ran(w.db, run(w.db, table));
    assert_ran(w.db, run(w.db, "BEGIN"));
    assert_ran(w.db, run(w.db, rows, 40, 1));
    assert_int_equal(sqlite3_file_control(w.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal), SQLITE_OK);
    assert_int_equal(wal->pMethods->xFileSize(wal, &size), SQLITE_OK);
    assert_true(size > dbk_simdisk_size(m.disk, "data.db-wal"));
    dbk_simdisk_add_fault(m.disk, &fault);
    assert_int_equal(wal->pMethods->xRead(wal, last, sizeof last, size - 24), SQLITE_FULL);
    assert_int_equal(wal->pMethods->xRead(wal, last, sizeof last, 0), SQLITE_OK);
    assert_int_equal(wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL), SQLITE_FULL);
    assert_int_equal(wal->pMethods->xTruncate(wal, size), SQLITE_FULL);
    assert_int_equal(wal->pMethods->xFileControl(wal, SQLITE_FCNTL_SIZE_HINT, &size), SQLITE_FULL);
    dbk_simdisk_clear_faults(m.disk);
    assert_int_equal(wal->pMethods->xRead(wal, last, sizeof last, size - 24), SQLITE_OK);
    assert_int_equal(size, dbk_simdisk_size(m.disk, "data.db-wal"));
    assert_ran(w.db, run(w.db, "COMMIT"));
    writer_close(&w, true);
    writer look = writer_open(&m, true, "");
    assert_intact(look.db);
    assert_int_equal(number(look.db, "SELECT count(*) FROM t"), 41);
    writer_close(&look, false);
    machine_done(&m);
}

static void test_memory_runs_out(void **state)
{
    machine m;
    uint64_t hits = 1;
    (void)state;
    machine_init(&m, false);
    for (uint64_t skip = 0; hits > 0; skip++) {
        dbk_simdisk_fault fault = {.kinds = DBK_SIM_MEMORY, .skip = skip, .times = 1};
        dbk_simdisk_add_fault(m.disk, &fault);
        writer w = writer_open(&m, false, WAL);
        if (w.rc == SQLITE_OK) w.rc = run(w.db, "CREATE TABLE IF NOT EXISTS u(n)");
        hits = dbk_simdisk_fault_hits(m.disk);
        dbk_simdisk_clear_faults(m.disk);
        assert_int_equal(w.rc, hits ? SQLITE_NOMEM : SQLITE_OK);
        writer_close(&w, false);
    }
    machine_done(&m);
}

static void test_no_such_layer(void **state)
{
    dbk_coalescer *none;
    (void)state;
    assert_int_equal(dbk_coalescer_new(dbk_port_system(), "no such layer", &none, NULL), DBK_OK);
    assert_null(none);
    dbk_coalescer_free(none);
}

/* ---- the power goes */

static unsigned open_and_commit(machine *m)
{
    unsigned done = 0;
    writer w = writer_open(m, false, SMALL_CACHE FULL_WAL);
    if (w.rc == SQLITE_OK) done = commit_some(&w, false);
    writer_close(&w, false);
    return done;
}

/* All that was told to be committed and synced, and of the one under way all or nothing. */
static void assert_recovers(machine *m, unsigned done)
{
    writer look = writer_open(m, true, "");
    assert_ran(look.db, look.rc);
    assert_intact(look.db);
    int64_t found = number(look.db, "SELECT count(DISTINCT at) FROM t"), told = 0;
    for (unsigned left = done; left; left >>= 1) told++;
    assert_in_range(found, told, told + 1);
    assert_int_equal(number(look.db, "SELECT count(*) FROM t"), found / 2 * 46 + found % 2 * 41);
    writer_close(&look, false);
}

static void test_power_goes_at_each_call(void **state)
{
    static const dbk_simdisk_crash_mode modes[] = {DBK_SIM_ALL_OLD, DBK_SIM_ALL_ZERO, DBK_SIM_RANDOM_MIX,
                                                   DBK_SIM_RANDOM_MIX};
    machine m;
    bool off = true;
    (void)state;
    machine_init(&m, false);
    make_table(&m);
    dbk_simdisk_sync_all(m.disk);
    dbk_simdisk_image *made = dbk_simdisk_snapshot(m.disk);
    for (uint64_t k = 1; off; k++) {
        dbk_simdisk_restore(m.disk, made);
        dbk_simdisk_power_off_at(m.disk, k);
        unsigned done = open_and_commit(&m);
        off = dbk_simdisk_power_is_off(m.disk);
        dbk_simdisk_image *dark = dbk_simdisk_snapshot(m.disk);
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            dbk_simdisk_restore(m.disk, dark);
            dbk_simdisk_crash(m.disk, modes[i], k * 100 + i);
            assert_recovers(&m, done);
        }
        dbk_simdisk_image_free(m.disk, dark);
    }
    dbk_simdisk_image_free(m.disk, made);
    machine_done(&m);
}

/* ---- neighbours */

/* At every moment of a transaction that spills, a second connection sees the commits before and none of it; at once
 * after the commit all of it; checkpoints come at any time. */
static void test_others_see_commits_only(void **state)
{
    machine m;
    (void)state;
    machine_init(&m, false);
    writer w = writer_open(&m, false, SMALL_CACHE WAL), look = writer_open(&m, true, "");
    assert_ran(w.db, run(w.db, table));
    for (int i = 0; i < 8; i++) {
        assert_ran(w.db, run(w.db, "BEGIN"));
        for (int part = 0; part < 5; part++) {
            assert_ran(w.db, run(w.db, rows, 9, i));
            assert_int_equal(number(look.db, "SELECT count(*) FROM t"), i * 50);
            if (part == i % 5) assert_ran(look.db, run(look.db, "PRAGMA wal_checkpoint(PASSIVE)"));
        }
        assert_int_equal(number(w.db, "SELECT count(length(data)) FROM t"), i * 50 + 50);
        assert_ran(w.db, run(w.db, "COMMIT"));
        assert_int_equal(number(look.db, "SELECT count(*) FROM t"), i * 50 + 50);
        assert_intact(look.db);
        if (i % 3 == 2) assert_ran(look.db, run(look.db, "PRAGMA wal_checkpoint(TRUNCATE)"));
    }
    writer_close(&look, false);
    writer_close(&w, false);
    machine_done(&m);
}

/* A transaction that spilled is taken back, and another connection writes in its place: what was kept of the first
 * must not come over it later. */
static void test_another_writes_after_a_rollback(void **state)
{
    machine m;
    (void)state;
    machine_init(&m, false);
    writer w = writer_open(&m, false, SMALL_CACHE WAL), other = writer_open(&m, true, WAL);
    assert_ran(w.db, run(w.db, table));
    for (int i = 0; i < 6; i++) {
        assert_ran(w.db, run(w.db, "BEGIN"));
        assert_ran(w.db, run(w.db, rows, 40 + i, 1));
        assert_ran(w.db, run(w.db, "ROLLBACK"));
        assert_ran(other.db, run(other.db, rows, 60, 2));
        assert_ran(w.db, run(w.db, "INSERT INTO t(at) VALUES(3)"));
        assert_intact(other.db);
        assert_int_equal(number(other.db, "SELECT count(*) FROM t"), (i + 1) * 62);
    }
    writer_close(&w, false);
    assert_intact(other.db);
    writer_close(&other, false);
    machine_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_few_calls),
        cmocka_unit_test(test_every_call_fails),
        cmocka_unit_test(test_other_calls_write_first),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_no_such_layer),
        cmocka_unit_test(test_power_goes_at_each_call),
        cmocka_unit_test(test_others_see_commits_only),
        cmocka_unit_test(test_another_writes_after_a_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
