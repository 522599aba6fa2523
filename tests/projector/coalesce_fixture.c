#include "coalesce_fixture.h"

void machine_init(machine *m, bool powersafe)
{
    simvfs_options options = {.powersafe_overwrite = powersafe};

    m->disk = dbk_simdisk_new(11);
    m->port = dbk_simdisk_port(m->disk);
    m->vfs = simvfs_register(BELOW, m->port, &options);
    assert_non_null(m->vfs);
}

void machine_done(machine *m)
{
    simvfs_unregister(m->vfs);
    assert_int_equal(dbk_simdisk_memory_count(m->disk), 0);
    dbk_simdisk_free(m->disk);
}

writer writer_open(machine *m, bool plain, const char *settings)
{
    writer w = {0};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    if (!plain && dbk_coalescer_new(m->port, BELOW, &w.coalescer, NULL) != DBK_OK) {
        w.rc = SQLITE_NOMEM;
        return w;
    }
    w.rc = sqlite3_open_v2("data.db", &w.db, flags, plain ? BELOW : dbk_coalescer_name(w.coalescer));
    if (w.rc == SQLITE_OK) w.rc = run(w.db, "%s", settings);
    return w;
}

void writer_close(writer *w, bool keeps)
{
    if (keeps) (void)sqlite3_db_config(w->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_close(w->db), SQLITE_OK);
    dbk_coalescer_free(w->coalescer);
    *w = (writer){0};
}

int run(sqlite3 *db, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *sql = sqlite3_vmprintf(format, arguments);
    va_end(arguments);
    if (!sql) return SQLITE_NOMEM;
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
    return rc;
}

static int take_number(void *arg, int count, char **values, char **names)
{
    (void)names;
    *(int64_t *)arg = count > 0 && values[0] ? strtoll(values[0], NULL, 10) : -1;
    return 0;
}

int64_t number(sqlite3 *db, const char *sql)
{
    int64_t out = -1;
    return sqlite3_exec(db, sql, take_number, &out, NULL) == SQLITE_OK ? out : -1;
}

static int take_ok(void *arg, int count, char **values, char **names)
{
    (void)names;
    *(bool *)arg = count > 0 && values[0] && strcmp(values[0], "ok") == 0;
    return 0;
}

void assert_intact(sqlite3 *db)
{
    bool intact = false;
    assert_int_equal(sqlite3_exec(db, "PRAGMA integrity_check", take_ok, &intact, NULL), SQLITE_OK);
    assert_true(intact);
}

uint64_t writes(machine *m)
{
    return dbk_simdisk_calls(m->disk, DBK_SIM_WRITE);
}
