/* SQLite on the simulated disk: commits survive any crash at any point, locks hold between
 * connections, failures of the port become SQLite's own. */
#include <stdio.h>

#include <sqlite3.h>

#include "simdisk_fixture.h"
#include "tests/support/simvfs.h"

static const char vfs_name[] = "simvfs-test";

static sqlite3 *open_database(void)
{
    sqlite3 *db = NULL;
    int failed = sqlite3_open_v2("data.db", &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs_name);
    if (failed == SQLITE_OK) return db;
    sqlite3_close(db);
    return NULL;
}

static int run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int take_number(void *arg, int count, char **values, char **names)
{
    (void)names;
    *(int64_t *)arg = count > 0 && values[0] ? strtoll(values[0], NULL, 10) : -1;
    return 0;
}

/* -1: failed, or no row. */
static int64_t number(sqlite3 *db, const char *sql)
{
    int64_t out = -1;
    return sqlite3_exec(db, sql, take_number, &out, NULL) == SQLITE_OK ? out : -1;
}

static int take_text(void *arg, int count, char **values, char **names)
{
    (void)names;
    if (count > 0 && values[0]) snprintf(arg, 32, "%s", values[0]);
    return 0;
}

static void assert_intact(sqlite3 *db)
{
    char found[32] = "";
    assert_int_equal(sqlite3_exec(db, "PRAGMA integrity_check", take_text, found, NULL), SQLITE_OK);
    assert_string_equal(found, "ok");
}

enum { ROUNDS = 6 };

/* Adds a few rows, one transaction each, until something fails; returns the transactions that
 * SQLite said were committed. One checkpoint in the middle, so that crashes fall there too. */
static int64_t commit_rounds(const char *mode)
{
    char sql[128];
    sqlite3 *db = open_database();
    if (!db) return 0;
    int64_t done = 0;
    snprintf(sql, sizeof sql, "PRAGMA journal_mode=%s; PRAGMA synchronous=EXTRA;", mode);
    int failed = run(db, sql);
    if (!failed) failed = run(db, "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, data BLOB)");
    while (!failed && done < ROUNDS) {
        failed = run(db, "INSERT INTO t(data) VALUES(randomblob(900))");
        if (!failed) done++;
        if (done == ROUNDS / 2) run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return done;
}

/* After the crash: no damage, all that was committed, and at most the one commit under way more. */
static void assert_recovers(int64_t committed)
{
    sqlite3 *db = open_database();
    assert_non_null(db);
    assert_intact(db);
    int64_t rows = committed > 0 ? number(db, "SELECT count(*) FROM t") : 0;
    assert_in_range(rows, committed, committed + 1);
    if (rows > 0) assert_int_equal(number(db, "SELECT max(n) FROM t"), rows);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The power goes at each change in turn; each dark disk is crashed in `states` ways. */
static void crash_everywhere(fixture *f, const char *mode, const dbk_simdisk_crash_mode *modes, size_t states)
{
    dbk_simdisk_image *empty = dbk_simdisk_snapshot(f->disk);
    bool off = true;
    for (uint64_t k = 1; off; k++) {
        dbk_simdisk_restore(f->disk, empty);
        dbk_simdisk_power_off_at(f->disk, k);
        int64_t committed = commit_rounds(mode);
        off = dbk_simdisk_power_is_off(f->disk);
        if (!off) assert_int_equal(committed, ROUNDS);
        dbk_simdisk_image *dark = dbk_simdisk_snapshot(f->disk);
        for (size_t i = 0; i < states; i++) {
            dbk_simdisk_restore(f->disk, dark);
            dbk_simdisk_crash(f->disk, modes[i], k * 1000 + i);
            assert_recovers(committed);
        }
        dbk_simdisk_image_free(f->disk, dark);
    }
    dbk_simdisk_restore(f->disk, empty);
}

static void with_vfs(fixture *f, bool powersafe, const char *mode, const dbk_simdisk_crash_mode *modes, size_t states)
{
    simvfs_options options = {.powersafe_overwrite = powersafe};
    simvfs *vfs = simvfs_register(vfs_name, f->port, &options);
    assert_non_null(vfs);
    crash_everywhere(f, mode, modes, states);
    simvfs_unregister(vfs);
}

static const dbk_simdisk_crash_mode any_mode[] = {DBK_SIM_ALL_OLD,     DBK_SIM_ALL_NEW,    DBK_SIM_ALL_ZERO,
                                                  DBK_SIM_ALL_GARBAGE, DBK_SIM_RANDOM_MIX, DBK_SIM_RANDOM_MIX,
                                                  DBK_SIM_RANDOM_MIX,  DBK_SIM_RANDOM_MIX};
static const dbk_simdisk_crash_mode whole_mode[] = {DBK_SIM_ALL_OLD, DBK_SIM_ALL_NEW};

static void test_wal_survives_crashes(void **state)
{
    with_vfs(*state, false, "wal", any_mode, 8);
}

static void test_journal_survives_crashes(void **state)
{
    with_vfs(*state, false, "delete", any_mode, 8);
}

static void test_wal_powersafe(void **state)
{
    with_vfs(*state, true, "wal", whole_mode, 2);
}

/* What the tests above must be able to see: with a sync that lies, a commit is lost. */
static void test_lying_sync_is_seen(void **state)
{
    fixture *f = *state;
    simvfs *vfs = simvfs_register(vfs_name, f->port, NULL);
    assert_non_null(vfs);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_SYNC, .path = "data.db", .action = DBK_SIM_LIE});
    assert_int_equal(commit_rounds("wal"), ROUNDS);
    dbk_simdisk_crash(f->disk, DBK_SIM_ALL_OLD, 1);
    sqlite3 *db = open_database();
    assert_non_null(db);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), -1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    simvfs_unregister(vfs);
}

static simvfs *two_connections(fixture *f, const char *mode, sqlite3 **a, sqlite3 **b)
{
    simvfs *vfs = simvfs_register(vfs_name, f->port, NULL);
    assert_non_null(vfs);
    assert_int_equal(commit_rounds(mode), ROUNDS);
    *a = open_database();
    *b = open_database();
    assert_non_null(*a);
    assert_non_null(*b);
    return vfs;
}

static void close_both(simvfs *vfs, sqlite3 *a, sqlite3 *b)
{
    assert_int_equal(sqlite3_close(a), SQLITE_OK);
    assert_int_equal(sqlite3_close(b), SQLITE_OK);
    simvfs_unregister(vfs);
}

static const char insert_row[] = "INSERT INTO t(data) VALUES('x')";

/* In WAL mode a reader keeps its view while another connection commits; two writers exclude each
 * other. */
static void test_wal_connections(void **state)
{
    sqlite3 *a, *b;
    simvfs *vfs = two_connections(*state, "wal", &a, &b);
    assert_int_equal(run(a, "BEGIN"), SQLITE_OK);
    assert_int_equal(number(a, "SELECT count(*) FROM t"), ROUNDS);
    assert_int_equal(run(b, insert_row), SQLITE_OK);
    assert_int_equal(number(a, "SELECT count(*) FROM t"), ROUNDS);
    assert_int_equal(run(a, "PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_LOCKED);
    assert_int_equal(number(b, "PRAGMA wal_checkpoint(TRUNCATE)"), 1);
    assert_int_equal(run(a, "COMMIT; BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal(run(b, insert_row), SQLITE_BUSY);
    assert_int_equal(run(a, "COMMIT"), SQLITE_OK);
    assert_int_equal(run(b, insert_row), SQLITE_OK);
    assert_int_equal(number(a, "SELECT count(*) FROM t"), ROUNDS + 2);
    assert_int_equal(number(b, "PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    close_both(vfs, a, b);
}

/* With a rollback journal a reader holds up the commit, and a waiting writer keeps readers out. */
static void test_journal_connections(void **state)
{
    sqlite3 *a, *b;
    simvfs *vfs = two_connections(*state, "delete", &a, &b);
    assert_int_equal(run(a, "BEGIN"), SQLITE_OK);
    assert_int_equal(number(a, "SELECT count(*) FROM t"), ROUNDS);
    assert_int_equal(run(b, "BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal(run(a, insert_row), SQLITE_BUSY);
    assert_int_equal(run(b, insert_row), SQLITE_OK);
    assert_int_equal(run(b, "COMMIT"), SQLITE_BUSY);
    sqlite3 *c = open_database();
    assert_non_null(c);
    assert_int_equal(run(c, "SELECT * FROM t"), SQLITE_BUSY);
    assert_int_equal(run(a, "COMMIT"), SQLITE_OK);
    assert_int_equal(run(b, "COMMIT"), SQLITE_OK);
    assert_int_equal(number(c, "SELECT count(*) FROM t"), ROUNDS + 1);
    assert_int_equal(sqlite3_close(c), SQLITE_OK);
    close_both(vfs, a, b);
}

/* A full disk, a failed read, a failed sync … have SQLite's codes for them. */
static void test_port_failures(void **state)
{
    fixture *f = *state;
    sqlite3 *a, *b;
    simvfs *vfs = two_connections(f, "delete", &a, &b);
    uint64_t capacity = f->world->capacity_bytes;
    f->world->capacity_bytes = 0;
    assert_int_equal(run(a, insert_row), SQLITE_FULL);
    f->world->capacity_bytes = capacity;
    static const struct {
        uint32_t kinds;
        int result;
    } cases[] = {{DBK_SIM_READ, SQLITE_IOERR_READ},      {DBK_SIM_WRITE, SQLITE_IOERR_WRITE},
                 {DBK_SIM_SYNC, SQLITE_IOERR_FSYNC},     {DBK_SIM_SYNC_DIR, SQLITE_IOERR_DIR_FSYNC},
                 {DBK_SIM_CREATE, SQLITE_CANTOPEN},      {DBK_SIM_REMOVE, SQLITE_IOERR_DELETE},
                 {DBK_SIM_IDENTIFY, SQLITE_IOERR_ACCESS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sqlite3 *db = open_database();
        assert_non_null(db);
        fault(f, (dbk_simdisk_fault){.kinds = cases[i].kinds});
        assert_int_not_equal(run(db, insert_row), SQLITE_OK);
        int code = sqlite3_extended_errcode(db);
        dbk_simdisk_clear_faults(f->disk);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        assert_int_equal(code, cases[i].result);
    }
    close_both(vfs, a, b);
}

/* Interruptions and short counts are not seen above the file layer. */
static void test_short_and_interrupted(void **state)
{
    fixture *f = *state;
    sqlite3 *a, *b;
    simvfs *vfs = two_connections(f, "delete", &a, &b);
    uint32_t kinds = DBK_SIM_READ | DBK_SIM_WRITE | DBK_SIM_SYNC | DBK_SIM_SYNC_DIR | DBK_SIM_OPEN | DBK_SIM_CREATE |
                     DBK_SIM_REMOVE | DBK_SIM_TRUNCATE;
    for (uint64_t skip = 0; skip < 40; skip += 2) {
        fault(f, (dbk_simdisk_fault){.kinds = kinds, .skip = skip, .times = 1, .error = EINTR});
    }
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_READ | DBK_SIM_WRITE, .action = DBK_SIM_SHORT, .bytes = 100});
    assert_int_equal(run(a, insert_row), SQLITE_OK);
    assert_intact(b);
    assert_int_equal(number(b, "SELECT count(*) FROM t"), ROUNDS + 1);
    assert_true(dbk_simdisk_fault_hits(f->disk) > 40);
    close_both(vfs, a, b);
}

/* Any failing allocation of the file layer is SQLite's no memory, and nothing is kept. */
static void test_memory_failures(void **state)
{
    fixture *f = *state;
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_MEMORY});
    assert_null(simvfs_register(vfs_name, f->port, NULL));
    dbk_simdisk_clear_faults(f->disk);
    simvfs *vfs = simvfs_register(vfs_name, f->port, NULL);
    assert_non_null(vfs);
    for (uint64_t skip = 0, hits = 1; hits > 0; skip++) {
        dbk_simdisk_clear_faults(f->disk);
        fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_MEMORY, .skip = skip, .times = 1});
        int64_t done = commit_rounds("wal");
        hits = dbk_simdisk_fault_hits(f->disk);
        if (hits == 0) assert_int_equal(done, ROUNDS);
        assert_int_equal(dbk_simdisk_memory_count(f->disk), 1);
    }
    simvfs_unregister(vfs);
    simvfs_unregister(NULL);
}

/* Sorting more than fits goes through temporary files, of which nothing stays; the clock and the
 * names are the port's. */
static void test_temporary_files_and_clock(void **state)
{
    fixture *f = *state;
    simvfs_options options = {.root = "/deep"};
    assert_int_equal(f->port->make_dir(f->port->ctx, f->root, "deep", 0700), 0);
    simvfs *vfs = simvfs_register(vfs_name, f->port, &options);
    assert_non_null(vfs);
    sqlite3 *db = open_database();
    assert_non_null(db);
    uint64_t creations = dbk_simdisk_calls(f->disk, DBK_SIM_CREATE);
    assert_int_equal(run(db, "PRAGMA temp_store=FILE; PRAGMA temp.cache_size=5; CREATE TEMP TABLE s(x);"
                             "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE"
                             " n < 300) INSERT INTO s SELECT randomblob(500) FROM c"),
                     SQLITE_OK);
    assert_true(dbk_simdisk_calls(f->disk, DBK_SIM_CREATE) > creations);
    assert_int_equal(number(db, "SELECT CAST(strftime('%s', 'now') AS INTEGER)"), f->world->wall_ms / 1000);
    assert_int_equal(run(db, "CREATE TABLE t(x)"), SQLITE_OK);
    char *name = NULL;
    assert_int_equal(sqlite3_file_control(db, NULL, SQLITE_FCNTL_VFSNAME, &name), SQLITE_OK);
    assert_string_equal(name, vfs_name);
    sqlite3_free(name);
    int level = -1;
    assert_int_equal(sqlite3_file_control(db, NULL, SQLITE_FCNTL_LOCKSTATE, &level), SQLITE_OK);
    assert_int_equal(level, 0);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(dbk_simdisk_size(f->disk, "deep/data.db") > 0);
    sqlite3_vfs *found = sqlite3_vfs_find(vfs_name);
    double days = 0;
    assert_int_equal(found->xCurrentTime(found, &days), SQLITE_OK);
    assert_true(days > 2460000 && days < 2470000);
    assert_int_equal(found->xSleep(found, 10), 10);
    assert_int_equal(found->xGetLastError(found, 0, NULL), 0);
    simvfs_unregister(vfs);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_wal_survives_crashes), TEST(test_journal_survives_crashes),
        TEST(test_wal_powersafe),        TEST(test_lying_sync_is_seen),
        TEST(test_wal_connections),      TEST(test_journal_connections),
        TEST(test_port_failures),        TEST(test_short_and_interrupted),
        TEST(test_memory_failures),      TEST(test_temporary_files_and_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
