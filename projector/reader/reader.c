/* Clients' SQL. A connection of its own, opened for reading, where the authorizer lets nothing but
 * SELECT through and a clock stops what takes too long. Position and rows come from one read
 * transaction. Texts that a client wrote get SQLite's strict limits; a named query belongs to the
 * definition and has the usual ones. */
#include "projector/model/search.h"
#include "projector/reader/internal.h"

#include <assert.h>
#include <stdio.h>

enum { BUSY_MS = 250, PROGRESS_STEPS = 100, NS_PER_MS = 1000000, CACHE_PAGES = 512, TAIL_SHOWN = 40, NAMES_MAX = 64 };

/* A value may be as long as a command (1 MiB), and a row a little longer. */
static const struct {
    int limit, value;
} strict_limits[] = {
    {SQLITE_LIMIT_LENGTH, 2 * 1024 * 1024},
    {SQLITE_LIMIT_SQL_LENGTH, 100000},
    {SQLITE_LIMIT_COLUMN, 200},
    {SQLITE_LIMIT_EXPR_DEPTH, 10},
    {SQLITE_LIMIT_COMPOUND_SELECT, 3},
    {SQLITE_LIMIT_VDBE_OP, 25000},
    {SQLITE_LIMIT_FUNCTION_ARG, 8},
    {SQLITE_LIMIT_ATTACHED, 0},
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50},
    {SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS_MAX},
    {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
};

static void set_limits(dbk_model_reader *reader, bool strict)
{
    for (size_t i = 0; i < sizeof strict_limits / sizeof *strict_limits; i++) {
        int limit = strict_limits[i].limit;
        sqlite3_limit(reader->db, limit, strict ? strict_limits[i].value : reader->usual_limits[limit]);
    }
}

static int progress(void *arg)
{
    dbk_model_reader *reader = arg;
    if (reader->port->monotonic_ns(reader->port->ctx) < reader->deadline_ns) return 0;
    reader->out_of_time = true;
    return 1;
}

bool dbk_reader_out_of_time(dbk_model_reader *reader)
{
    return reader->deadline_ns != 0 && progress(reader) != 0;
}

static void note_missing(dbk_model_reader *reader, const char *message)
{
    static const char words[] = "no such table: ";
    const char *name = strncmp(message, words, sizeof words - 1) == 0 ? message + sizeof words - 1 : "";

    if (strncmp(name, "main.", 5) == 0) name += 5;
    (void)snprintf(reader->missing, sizeof reader->missing, "%s", name);
}

const char *dbk_reader_missing(const dbk_model_reader *reader)
{
    return reader->missing;
}

dbk_result dbk_reader_failure(dbk_model_reader *reader, int rc, dbk_error *err)
{
    if ((rc & 0xff) == SQLITE_INTERRUPT && reader->out_of_time) {
        dbk_result result = dbk_fail(err, DBK_BUSY, "the query took too long");
        dbk_error_hint(
            err, "a query has %lld ms: ask for less, add an index to the definition, or ask a file made by 'replay'",
            (long long)reader->time_ms);
        return result;
    }
    if ((rc & 0xff) == SQLITE_NOMEM && reader->memory.exceeded) {
        dbk_result result =
            dbk_fail(err, DBK_TOO_BIG, "the query takes more than %d MiB of memory", (int)(reader->memory.max >> 20));
        dbk_error_hint(err, "ask for fewer or shorter rows at a time, or add an index that has the order asked for");
        return result;
    }
    /* a function that is not allowed is an ordinary error to SQLite */
    if ((rc & 0xff) == SQLITE_AUTH || reader->sandbox.denied[0]) {
        dbk_result result = dbk_fail(err, DBK_DENIED, "a query cannot do this: %s",
                                     reader->sandbox.denied[0] ? reader->sandbox.denied : sqlite3_errmsg(reader->db));
        dbk_error_hint(err, "a query is one SELECT; rows are changed by commands: put, patch, delete, append");
        return result;
    }
    if ((rc & 0xff) == SQLITE_READONLY) return dbk_fail(err, DBK_DENIED, "a query cannot write");
    if ((rc & 0xff) == SQLITE_ERROR || (rc & 0xff) == SQLITE_MISMATCH) {
        note_missing(reader, sqlite3_errmsg(reader->db));
        (void)dbk_fail(err, DBK_BAD_COMMAND, "%s", sqlite3_errmsg(reader->db));
        dbk_reader_advise(reader, sqlite3_errmsg(reader->db), err);
        return DBK_BAD_COMMAND;
    }
    return dbk_sql_failure(reader->db, rc, "run the query", err);
}

/* ---- open, close */

static dbk_result prepare_own(dbk_model_reader *reader, const char *sql, sqlite3_stmt **out, dbk_error *err)
{
    int rc = sqlite3_prepare_v3(reader->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(reader->db, rc, "open the model for reading", err);
}

/* A file without the engine's tables is a plain one, whatever else it holds. */
static dbk_result find_position(dbk_model_reader *reader, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    dbk_result result = prepare_own(
        reader, "SELECT 1 FROM sqlite_schema WHERE type='table' AND name='_daybook_commits'", &statement, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return dbk_sql_failure(reader->db, rc, "open the model for reading", err);
    if (rc == SQLITE_DONE) return DBK_OK;
    return prepare_own(reader, "SELECT position FROM _daybook_commits ORDER BY position DESC LIMIT 1",
                       &reader->position, err);
}

/* The schema is read here, while the limits are still those it was made under. */
static dbk_result configure(dbk_model_reader *reader, dbk_error *err)
{
    char sql[128];

    sqlite3_busy_timeout(reader->db, BUSY_MS); /* the guard reads the file, which its writer may be recovering */
    dbk_result result = dbk_sql_guard(reader->db, &reader->sandbox, err);
    if (result != DBK_OK) return result;
    sqlite3_extended_result_codes(reader->db, 1);
    snprintf(sql, sizeof sql,
             "PRAGMA query_only=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cache_size=%d;", CACHE_PAGES);
    int rc = sqlite3_exec(reader->db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK) return dbk_sql_failure(reader->db, rc, "open the model for reading", err);
    sqlite3_limit(reader->db, SQLITE_LIMIT_LENGTH, DBK_SQL_VALUE_MAX_BYTES); /* as where the rows were made */
    for (int i = 0; i <= SQLITE_LIMIT_WORKER_THREADS; i++) reader->usual_limits[i] = sqlite3_limit(reader->db, i, -1);
    if (reader->definition) result = dbk_search_wake(reader->db, reader->port, reader->definition->app, err);
    if (result == DBK_OK) result = dbk_reader_show_schema(reader, err);
    if (result == DBK_OK) result = find_position(reader, err);
    if (result == DBK_OK) result = prepare_own(reader, "BEGIN", &reader->begin, err);
    if (result == DBK_OK) result = prepare_own(reader, "COMMIT", &reader->end, err);
    return result;
}

typedef struct dbk_reader_source {
    const char *name; /* a path, or a URI with flags that say so */
    const char *vfs;
    int flags;
    bool alone; /* keeps the WAL's index to itself: no shared memory, no locks */
} dbk_reader_source;

static dbk_result open_source(const dbk_port *port, const dbk_reader_source *source, const char *path,
                              const dbk_definition *definition, dbk_model_reader **out, dbk_error *err)
{
    const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;

    dbk_sqlite_configure();
    dbk_model_reader *reader = dbk_alloc_zero(port, 1, sizeof *reader);
    if (!reader) return dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", path);
    reader->port = port;
    reader->definition = definition;
    reader->sandbox = (dbk_sandbox){.role = DBK_SQL_ENGINE, .app = definition ? definition->app : NULL};
    dbk_buffer_init(&reader->scratch, port);
    int rc = sqlite3_open_v2(source->name, &reader->db, flags | source->flags, source->vfs);
    if (rc == SQLITE_OK && source->alone)
        rc = sqlite3_exec(reader->db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
    dbk_result result =
        rc == SQLITE_OK ? configure(reader, err) : dbk_sql_failure(reader->db, rc, "open the model for reading", err);
    if (result == DBK_OK) *out = reader;
    else dbk_reader_close(reader);
    return result;
}

dbk_result dbk_reader_open(const dbk_port *port, const char *path, const char *vfs, const dbk_definition *definition,
                           dbk_model_reader **out, dbk_error *err)
{
    assert(port && path && out);
    *out = NULL;
    dbk_result result = dbk_path_check(port, path, err);
    dbk_reader_source source = {.name = path, .vfs = vfs ? vfs : port->sqlite_vfs};
    return result == DBK_OK ? open_source(port, &source, path, definition, out, err) : result;
}

/* Whoever cannot look must not take it for none: what is in a WAL would be missing from the answers. */
static dbk_result find_wal(const dbk_port *port, const char *path, bool *found, dbk_error *err)
{
    dbk_identity identity = {0};
    dbk_buffer wal;
    dbk_path_parts parts = {0};
    dbk_dir *dir = NULL;

    dbk_buffer_init(&wal, port);
    dbk_buffer_printf(&wal, "%s-wal", path);
    const char *text = dbk_buffer_text(&wal);
    dbk_result result = text ? dbk_path_open(port, text, &parts, &dir, err)
                             : dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", path);
    int rc = result == DBK_OK ? port->identify(port->ctx, dir, parts.name, &identity) : 0;
    if (rc != 0 && dbk_result_of_errno(rc) != DBK_MISSING)
        result = dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at '%s'", text);
    *found = result == DBK_OK && rc == 0 && identity.size_bytes > 0;
    dbk_path_close(port, &parts, dir);
    dbk_buffer_release(&wal);
    return result;
}

static void put_uri(dbk_buffer *out, const char *path)
{
    dbk_buffer_put_text(out, "file:");
    for (const char *c = path; *c; c++) {
        if (strchr("?#%", *c)) dbk_buffer_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
        else dbk_buffer_put_u8(out, (uint8_t)*c);
    }
    dbk_buffer_put_text(out, "?immutable=1");
}

/* A WAL is read without its shared memory; where there is none, SQLite would still want to make one. */
dbk_result dbk_reader_open_still(const dbk_port *port, const char *path, const dbk_definition *definition,
                                 dbk_model_reader **out, dbk_error *err)
{
    dbk_buffer uri;
    bool wal = false;

    assert(port && path && out);
    *out = NULL;
    dbk_result result = dbk_path_check(port, path, err);
    if (result == DBK_OK) result = find_wal(port, path, &wal, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&uri, port);
    put_uri(&uri, path);
    const char *text = dbk_buffer_text(&uri);
    dbk_reader_source source = {.name = text, .flags = SQLITE_OPEN_URI};
    if (wal) source = (dbk_reader_source){.name = path, .vfs = "unix-none", .alone = true};
    result = text ? open_source(port, &source, path, definition, out, err)
                  : dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", path);
    dbk_buffer_release(&uri);
    return result;
}

void dbk_reader_close(dbk_model_reader *reader)
{
    if (!reader) return;
    sqlite3_finalize(reader->begin);
    sqlite3_finalize(reader->end);
    sqlite3_finalize(reader->position);
    sqlite3_close(reader->db);
    dbk_upcaster_free(reader->upcaster);
    dbk_buffer_release(&reader->scratch);
    dbk_free(reader->port, reader);
}

/* ---- a query */

static bool is_end(const char *tail, const char *end)
{
    while (tail < end && (*tail == ';' || *tail == ' ' || (*tail >= '\t' && *tail <= '\r'))) tail++;
    return tail == end;
}

static dbk_result check_tail(dbk_model_reader *reader, const char *tail, const char *end, dbk_error *err)
{
    sqlite3_stmt *second = NULL;

    if (is_end(tail, end)) return DBK_OK;
    int rc = sqlite3_prepare_v2(reader->db, tail, (int)(end - tail), &second, NULL);
    bool only_comment = rc == SQLITE_OK && !second;
    sqlite3_finalize(second);
    if (only_comment) return DBK_OK;
    while (*tail == ';' || *tail == ' ' || (*tail >= '\t' && *tail <= '\r'))
        tail++; /* is_end has seen something else */
    size_t shown = (size_t)(end - tail);
    for (shown = shown < TAIL_SHOWN ? shown : TAIL_SHOWN; tail + shown < end && ((uint8_t)tail[shown] & 0xc0) == 0x80;)
        shown--;
    dbk_result result =
        dbk_fail(err, DBK_BAD_COMMAND, "a query is one statement, behind this one stands '%.*s'", (int)shown, tail);
    dbk_error_hint(err, "ask them one by one");
    return result;
}

/* SQLite would stop at a NUL and take the rest for nothing. */
dbk_result dbk_reader_prepare(dbk_model_reader *reader, dbk_slice sql, sqlite3_stmt **out, dbk_error *err)
{
    const char *tail = NULL, *text = (const char *)sql.data;

    *out = NULL;
    if (sql.size > INT32_MAX) return dbk_fail(err, DBK_TOO_BIG, "a query of %zu bytes is too long", sql.size);
    if (sql.size && memchr(text, 0, sql.size)) return dbk_fail(err, DBK_BAD_COMMAND, "a query has no NUL characters");
    reader->sandbox.denied[0] = 0;
    int rc = sqlite3_prepare_v2(reader->db, sql.size ? text : "", (int)sql.size, out, &tail);
    if (rc != SQLITE_OK) return dbk_reader_failure(reader, rc, err);
    if (!*out) return dbk_fail(err, DBK_BAD_COMMAND, "a query is one SELECT, and this is empty");
    dbk_result result = check_tail(reader, tail, text + sql.size, err);
    if (result == DBK_OK && (!sqlite3_stmt_readonly(*out) || sqlite3_column_count(*out) == 0)) {
        result = dbk_fail(err, DBK_DENIED, "a query is a SELECT");
    }
    return result;
}

static dbk_result read_position(dbk_model_reader *reader, uint64_t *position, dbk_error *err)
{
    *position = 0;
    if (!reader->position) return DBK_OK;
    int rc = sqlite3_step(reader->position);
    if (rc == SQLITE_ROW) *position = (uint64_t)sqlite3_column_int64(reader->position, 0);
    sqlite3_reset(reader->position);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? DBK_OK : dbk_sql_failure(reader->db, rc, "read the position", err);
}

dbk_result dbk_reader_position(dbk_model_reader *reader, uint64_t *position, dbk_error *err)
{
    return read_position(reader, position, err);
}

static void start_clock(dbk_model_reader *reader, const dbk_reader_limits *limits)
{
    bool timed = limits && limits->time_ms;

    reader->out_of_time = false;
    reader->deadline_ns = 0;
    reader->sandbox.time_ms = reader->port->wall_ms(reader->port->ctx);
    reader->time_ms = timed ? limits->time_ms : 0;
    if (timed) {
        reader->deadline_ns = reader->port->monotonic_ns(reader->port->ctx) + (int64_t)limits->time_ms * NS_PER_MS;
    }
    sqlite3_progress_handler(reader->db, PROGRESS_STEPS, timed ? progress : NULL, reader);
}

static dbk_result begin_reading(dbk_model_reader *reader, uint64_t *position, dbk_error *err)
{
    int rc = sqlite3_step(reader->begin);
    sqlite3_reset(reader->begin);
    if (rc != SQLITE_DONE) return dbk_sql_failure(reader->db, rc, "begin to read", err);
    return read_position(reader, position, err);
}

static void end_reading(dbk_model_reader *reader)
{
    sqlite3_progress_handler(reader->db, 0, NULL, NULL);
    set_limits(reader, false);
    reader->sandbox.role = DBK_SQL_ENGINE;
    if (sqlite3_get_autocommit(reader->db)) return;
    sqlite3_step(reader->end); /* nothing was written: it only lets go of the snapshot */
    sqlite3_reset(reader->end);
}

static dbk_result run(dbk_model_reader *reader, dbk_slice sql, const dbk_named_query *query, const dbk_json_node *args,
                      const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err)
{
    size_t size = out->size;
    uint64_t position = 0;
    sqlite3_stmt *statement = NULL;

    start_clock(reader, limits);
    dbk_memory_begin(&reader->memory, NULL,
                     limits && limits->memory_mib ? (int64_t)limits->memory_mib << 20 : INT64_MAX);
    reader->missing[0] = 0;
    bool explain = limits && limits->explain;
    dbk_result result = begin_reading(reader, &position, err);
    reader->now = position;
    reader->sandbox.role = DBK_SQL_QUERY;
    reader->sandbox.by_client = !query;
    set_limits(reader, !query);
    if (result == DBK_OK && explain) result = dbk_reader_put_plan(reader, sql, out, err);
    if (result == DBK_OK && !explain) result = dbk_reader_prepare(reader, sql, &statement, err);
    if (result == DBK_OK && !explain) {
        result = query ? dbk_reader_bind_named(reader, statement, query, args, err)
                       : dbk_reader_bind(reader, statement, args, err);
    }
    reader->sandbox.answering = true;
    if (result == DBK_OK && !explain) result = dbk_reader_put_answer(reader, statement, query, limits, out, err);
    reader->sandbox.answering = false;
    sqlite3_finalize(statement);
    end_reading(reader);
    (void)dbk_memory_end(&reader->memory);
    dbk_buffer_put_text(out, ",\"position\":");
    dbk_json_put_u64(out, position);
    if (result == DBK_OK && out->failed) result = dbk_fail(err, DBK_NO_MEMORY, "cannot answer a query: out of memory");
    if (result != DBK_OK && out->size > size) out->size = size;
    return result;
}

dbk_result dbk_reader_query(dbk_model_reader *reader, dbk_slice sql, const dbk_json_node *args,
                            const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err)
{
    return run(reader, sql, NULL, args, limits, out, err);
}

static dbk_result no_query(const dbk_model_reader *reader, dbk_slice name, dbk_error *err)
{
    const char *names[NAMES_MAX];
    size_t count = reader->definition ? reader->definition->query_count : 0;

    dbk_result result = dbk_fail(err, DBK_UNKNOWN_COMMAND, "there is no query '%.*s'", DBK_SLICE_ARG(name));
    if (count > NAMES_MAX) count = NAMES_MAX;
    for (size_t i = 0; i < count; i++) names[i] = reader->definition->queries[i].name;
    const char *near = dbk_nearest(name, names, count);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    else if (count == 0) dbk_error_hint(err, "the app has no queries of its own: give SQL");
    else
        dbk_error_hint(err, "the app has '%s'%s%s%s%s", names[0], count > 1 ? ", '" : "", count > 1 ? names[1] : "",
                       count > 1 ? "'" : "", count > 2 ? " and more" : "");
    return result;
}

dbk_result dbk_reader_named(dbk_model_reader *reader, dbk_slice name, const dbk_json_node *args,
                            const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err)
{
    const dbk_named_query *query = reader->definition ? dbk_definition_query(reader->definition, name) : NULL;

    if (!query) return no_query(reader, name, err);
    return run(reader, dbk_slice_text(query->sql), query, args, limits, out, err);
}
