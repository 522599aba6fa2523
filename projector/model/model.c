/* A model's file: made, opened, closed; its transactions.
 *
 * What is on disk after which step: dbk_model_create leaves a whole file at position 0, or none. In WAL
 * mode with synchronous=NORMAL a commit survives the process, and a power loss takes back whole commits
 * only: the log is synced before the model commits, so whatever is missing is folded again (R24). */
#include "projector/model/coalesce.h"
#include "projector/model/journal.h"
#include "projector/model/memory.h"

#include <assert.h>
#include <stdatomic.h>

enum { ARENA_BLOCK_BYTES = 64 * 1024 };

/* Once per process, before SQLite wakes. In a program that has used SQLite already it is refused, which
 * costs a little time per allocation, and leaves the memory of SQL without a bound. */
void dbk_sqlite_configure(void)
{
    static atomic_int state; /* 0 not yet, 1 being done, 2 done */
    int expected = 0;

    if (atomic_load_explicit(&state, memory_order_acquire) == 2) return;
    if (!atomic_compare_exchange_strong(&state, &expected, 1)) {
        while (atomic_load_explicit(&state, memory_order_acquire) != 2) {
        }
        return;
    }
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
    (void)dbk_memory_install();
    atomic_store_explicit(&state, 2, memory_order_release);
}

static dbk_model *new_model(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                            const dbk_model_options *options)
{
    dbk_model *model = dbk_alloc_zero(port, 1, sizeof *model);

    if (!model) return NULL;
    model->port = port;
    dbk_buffer_init(&model->endless, port);
    model->definition = definition;
    model->log = log;
    if (options) model->options = *options;
    model->budget_bytes = definition->model ? model->options.budget_bytes : definition->budget_bytes;
    if (model->options.journal_rows == 0) model->options.journal_rows = DBK_JOURNAL_ROWS_DEFAULT;
    if (!model->options.vfs) model->options.vfs = port->sqlite_vfs;
    model->sandbox = (dbk_sandbox){.role = DBK_SQL_ENGINE, .app = definition->app};
    model->path = dbk_copy_text(port, path);
    model->arena = dbk_arena_new(port, ARENA_BLOCK_BYTES);
    if (model->path && model->arena) return model;
    dbk_model_close(model);
    return NULL;
}

void dbk_model_ask_observer(dbk_model *model)
{
    const dbk_definition *definition = model->definition;
    dbk_observer_set_bulk(model->observer, model->options.bulk || (definition->no_feed && definition->no_journal));
    dbk_observer_set_unhashed(model->observer, definition->no_fingerprint);
}

/* The hook stands before the first statement is prepared: one prepared earlier may empty a table
 * without calling it. */
static dbk_result connect(dbk_model *model, dbk_error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    dbk_result result = dbk_coalescer_new(model->port, model->options.vfs, &model->coalescer, err);

    if (result != DBK_OK) return result;
    const char *vfs = model->coalescer ? dbk_coalescer_name(model->coalescer) : model->options.vfs;
    int rc = sqlite3_open_v2(model->path, &model->db, flags, vfs);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "open the model", err);
    model->observer = dbk_observer_new(model->port, model->db, model->definition);
    if (!model->observer) return dbk_fail(err, DBK_NO_MEMORY, "cannot open the model: out of memory");
    dbk_model_ask_observer(model);
    if (model->options.written_mib) dbk_observer_set_written_max(model->observer, model->options.written_mib);
    result = dbk_observer_start(model->observer, err);
    if (result == DBK_OK) result = dbk_sql_guard(model->db, &model->sandbox, err);
    if (result == DBK_OK) result = dbk_model_configure(model, err);
    return result;
}

static dbk_result start(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                        const dbk_model_options *options, dbk_model **out, dbk_error *err)
{
    dbk_sqlite_configure();
    *out = new_model(port, path, definition, log, options);
    if (!*out) return dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", path);
    dbk_result result = connect(*out, err);
    if (result == DBK_OK) result = dbk_journal_open(*out, err);
    return result;
}

static dbk_result fill_new(dbk_model *model, dbk_error *err)
{
    static const uint8_t no_top[DBK_ORDER_KEY_SIZE];
    uint8_t head[DBK_LEAF_SIZE];
    dbk_changes none;
    dbk_range range;

    dbk_range_init(&range);
    dbk_range_head(&range, head);
    for (size_t i = 0; i < model->definition->table_count; i++) model->journal->last[i] = -1;
    dbk_result result = dbk_model_begin(model, err);
    if (result == DBK_OK) result = dbk_model_make_schema(model, err);
    if (result == DBK_OK) result = dbk_model_commit(model, 0, head, no_top, &none, err);
    if (result == DBK_OK) result = dbk_rows_open(model, err);
    return result;
}

/* The file comes into being here and not in SQLite: only so is it made by nobody else and closed to
 * other users. */
dbk_result dbk_model_make_file(const dbk_port *port, const char *path, dbk_error *err)
{
    dbk_path_parts parts;
    dbk_dir *dir = NULL;
    dbk_file *file = NULL;
    dbk_result result = dbk_path_open(port, path, &parts, &dir, err);

    if (result == DBK_OK) {
        result = dbk_io_open(port, dir, parts.name, DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &file, err);
    }
    if (result == DBK_OK) port->close_file(port->ctx, file);
    dbk_path_close(port, &parts, dir);
    return result;
}

void dbk_model_remove_file(const dbk_port *port, const char *path)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    dbk_path_parts parts;
    dbk_dir *dir = NULL;
    dbk_buffer name;

    dbk_buffer_init(&name, port);
    if (dbk_path_open(port, path, &parts, &dir, NULL) == DBK_OK) {
        for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
            dbk_buffer_clear(&name);
            dbk_buffer_put_text(&name, parts.name);
            dbk_buffer_put_text(&name, tails[i]);
            const char *text = dbk_buffer_text(&name);
            if (text) (void)port->unlink(port->ctx, dir, text); /* best effort: the caller reports why */
        }
    }
    dbk_buffer_release(&name);
    dbk_path_close(port, &parts, dir);
}

dbk_result dbk_model_create(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                            const dbk_model_options *options, dbk_model **out, dbk_error *err)
{
    assert(port && path && definition && out);
    *out = NULL;
    dbk_result result = dbk_model_make_file(port, path, err);
    if (result != DBK_OK) return result;
    result = start(port, path, definition, log, options, out, err);
    if (result == DBK_OK) result = fill_new(*out, err);
    if (result == DBK_OK) return DBK_OK;
    dbk_model_close(*out);
    *out = NULL;
    dbk_model_remove_file(port, path);
    return result;
}

dbk_result dbk_model_open(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                          const dbk_model_options *options, dbk_model **out, dbk_error *err)
{
    assert(port && path && definition && out);
    *out = NULL;
    dbk_result result = dbk_path_check(port, path, err);
    if (result != DBK_OK) return result;
    result = start(port, path, definition, log, options, out, err);
    if (result == DBK_OK) result = dbk_model_check_schema(*out, err);
    if (result == DBK_OK) result = dbk_model_load_state(*out, err);
    if (result == DBK_OK) result = dbk_rows_open(*out, err);
    if (result == DBK_OK) return DBK_OK;
    dbk_model_close(*out);
    *out = NULL;
    return result;
}

/* An open statement would keep the connection, and with it the WAL file, alive. Not every one of the
 * connection is ours: FTS5 has its own, which it finalizes when the connection goes. */
static void finalize_statements(dbk_model *model)
{
    for (size_t i = 0; i < sizeof model->statements / sizeof *model->statements; i++) {
        sqlite3_finalize(model->statements[i]);
        model->statements[i] = NULL;
    }
}

void dbk_model_close(dbk_model *model)
{
    if (!model) return;
    if (model->db) {
        dbk_model_rollback(model);
        dbk_rows_close(model);
        dbk_narrow_forget(model);
        dbk_journal_close(model);
        finalize_statements(model);
        dbk_observer_free(model->observer);
        int rc = sqlite3_close(model->db);
        assert(rc == SQLITE_OK);
        (void)rc;
    }
    dbk_coalescer_free(model->coalescer);
    dbk_arena_free(model->arena);
    dbk_arena_free(model->changes_arena);
    dbk_free(model->port, model->path);
    dbk_buffer_release(&model->endless);
    dbk_free(model->port, model);
}

void dbk_model_abandon(dbk_model *model)
{
    if (model && model->db) (void)sqlite3_db_config(model->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    dbk_model_close(model);
}

sqlite3 *dbk_model_handle(dbk_model *model)
{
    return model->db;
}

const char *dbk_model_path(const dbk_model *model)
{
    return model->path;
}

void dbk_model_get_state(const dbk_model *model, dbk_model_state *state)
{
    *state = model->state;
}

dbk_result dbk_model_statement(dbk_model *model, int place, const char *sql, sqlite3_stmt **out, dbk_error *err)
{
    assert(place >= 0 && place < (int)(sizeof model->statements / sizeof *model->statements));
    *out = model->statements[place];
    if (*out) return DBK_OK;
    dbk_sql_role role = model->sandbox.role;
    model->sandbox.role = DBK_SQL_ENGINE;
    int rc = sqlite3_prepare_v3(model->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &model->statements[place], NULL);
    model->sandbox.role = role;
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "prepare a statement", err);
    *out = model->statements[place];
    return DBK_OK;
}

/* ---- transactions */

/* IMMEDIATE: the right to write is had at once or not at all, not refused in the middle. */
dbk_result dbk_model_begin(dbk_model *model, dbk_error *err)
{
    dbk_result result = dbk_model_go_on(model, err);

    if (result == DBK_OK) dbk_rows_transaction_begin(model);
    return result;
}

dbk_result dbk_model_go_on(dbk_model *model, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_model_statement(model, DBK_SQL_BEGIN, "BEGIN IMMEDIATE", &statement, err);

    if (result == DBK_OK) result = dbk_model_run(model, statement, "begin a transaction", err);
    if (result != DBK_OK) return result;
    model->in_entry = model->savepoint = false;
    dbk_observer_transaction_begin(model->observer);
    return DBK_OK;
}

/* The rows of a committed transaction are still being published: they go at the next begin. Closing the
 * connection rolls back in any case. */
void dbk_model_rollback(dbk_model *model)
{
    model->sandbox.role = DBK_SQL_ENGINE;
    model->in_entry = model->savepoint = false;
    dbk_rows_transaction_begin(model); /* what was decided in it has no version that anybody may be told */
    if (!dbk_model_in_transaction(model)) return;
    (void)sqlite3_exec(model->db, "ROLLBACK", NULL, NULL, NULL);
    if (model->observer) dbk_observer_transaction_begin(model->observer);
}

void dbk_model_keep_rows(dbk_model *model, bool keep)
{
    dbk_observer_keep_rows(model->observer, keep);
}

bool dbk_model_in_transaction(dbk_model *model)
{
    return sqlite3_get_autocommit(model->db) == 0;
}
