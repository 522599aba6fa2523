/* Events of old versions as the definition of today has them. The SELECTs run on a database of their own that is
 * empty: an upcast can depend on its event only, so a rebuild, a projection and a query of the log agree. */
#include "projector/rows/internal.h"

#include "projector/model/journal.h"

enum { STEPS_EACH = 1000, THOUSANDS_MAX = 1000 };

struct dbk_upcaster {
    const dbk_port *port;
    const dbk_definition *definition;
    sqlite3 *db;
    dbk_sandbox sandbox;
    sqlite3_stmt **statements; /* as the definition's upcasts; NULL: not prepared yet */
    dbk_buffer data[2];        /* in and out of a step, in turn */
    uint32_t steps;
    bool no_memory; /* the step in work met its bound */
};

static int count_steps(void *arg)
{
    dbk_upcaster *upcaster = arg;

    return ++upcaster->steps > THOUSANDS_MAX;
}

dbk_result dbk_upcaster_new(const dbk_port *port, const dbk_definition *definition, dbk_upcaster **out, dbk_error *err)
{
    *out = NULL;
    if (definition->upcast_count == 0) return DBK_OK;
    dbk_sqlite_configure();
    dbk_upcaster *upcaster = dbk_alloc_zero(port, 1, sizeof(*upcaster));
    if (!upcaster) return dbk_fail(err, DBK_NO_MEMORY, "no memory for upcasts");
    upcaster->port = port;
    upcaster->definition = definition;
    upcaster->sandbox.role = DBK_SQL_ENGINE;
    for (int i = 0; i < 2; i++) dbk_buffer_init(&upcaster->data[i], port);
    upcaster->statements = dbk_alloc_zero(port, definition->upcast_count, sizeof(*upcaster->statements));
    int rc = upcaster->statements
                 ? sqlite3_open_v2(":memory:", &upcaster->db,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL)
                 : SQLITE_NOMEM;
    dbk_result result = rc == SQLITE_OK ? dbk_sql_guard(upcaster->db, &upcaster->sandbox, err)
                                        : dbk_sql_failure(upcaster->db, rc, "open a database for upcasts", err);
    if (result == DBK_OK) (void)sqlite3_limit(upcaster->db, SQLITE_LIMIT_LENGTH, DBK_SQL_VALUE_MAX_BYTES);
    if (result == DBK_OK) sqlite3_progress_handler(upcaster->db, STEPS_EACH, count_steps, upcaster);
    if (result == DBK_OK) *out = upcaster;
    else dbk_upcaster_free(upcaster);
    return result;
}

void dbk_upcaster_free(dbk_upcaster *upcaster)
{
    if (!upcaster) return;
    for (size_t i = 0; upcaster->statements && i < upcaster->definition->upcast_count; i++)
        sqlite3_finalize(upcaster->statements[i]);
    sqlite3_close(upcaster->db);
    dbk_free(upcaster->port, upcaster->statements);
    for (int i = 0; i < 2; i++) dbk_buffer_release(&upcaster->data[i]);
    dbk_free(upcaster->port, upcaster);
}

static dbk_result failure(dbk_upcaster *upcaster, int rc, const dbk_upcast *upcast, dbk_error *err)
{
    if (rc == SQLITE_NOMEM && upcaster->no_memory)
        return dbk_fail(err, DBK_REJECTED, "upcasts.sql:%u: the upcast takes more than %d MiB of memory", upcast->line,
                        DBK_SQL_MEMORY_MIB);
    if (rc == SQLITE_NOMEM) return dbk_fail(err, DBK_NO_MEMORY, "no memory for upcasts");
    return dbk_fail(err, DBK_REJECTED, "upcasts.sql:%u: %s", upcast->line, sqlite3_errmsg(upcaster->db));
}

static dbk_result prepare(dbk_upcaster *upcaster, size_t at, sqlite3_stmt **out, dbk_error *err)
{
    const dbk_upcast *upcast = &upcaster->definition->upcasts[at];

    *out = upcaster->statements[at];
    if (*out) return DBK_OK;
    upcaster->sandbox.role = DBK_SQL_QUERY;
    int rc =
        sqlite3_prepare_v3(upcaster->db, upcast->sql, -1, SQLITE_PREPARE_PERSISTENT, &upcaster->statements[at], NULL);
    upcaster->sandbox.role = DBK_SQL_ENGINE;
    *out = upcaster->statements[at];
    return rc == SQLITE_OK && *out ? DBK_OK : failure(upcaster, rc, upcast, err);
}

static int bind(sqlite3_stmt *statement, const char *name, dbk_slice text)
{
    int at = sqlite3_bind_parameter_index(statement, name);

    return at ? sqlite3_bind_text64(statement, at, text.size ? (const char *)text.data : "", text.size, SQLITE_STATIC,
                                    SQLITE_UTF8)
              : SQLITE_OK;
}

/* One row of one JSON text, into `out`. */
static dbk_result run(dbk_upcaster *upcaster, const dbk_upcast *upcast, sqlite3_stmt *statement, dbk_buffer *out,
                      dbk_error *err)
{
    dbk_memory_bound memory;
    dbk_memory_begin(&memory, NULL, (int64_t)DBK_SQL_MEMORY_MIB << 20);
    int rc = sqlite3_step(statement);

    dbk_buffer_clear(out);
    if (rc == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_TEXT)
        dbk_buffer_put(out, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    if (rc == SQLITE_ROW) rc = sqlite3_step(statement);
    upcaster->no_memory = dbk_memory_end(&memory);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) return failure(upcaster, rc, upcast, err);
    if (out->failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for upcasts");
    if (rc == SQLITE_DONE && out->size && dbk_json_text_valid(dbk_buffer_slice(out))) return DBK_OK;
    return dbk_fail(err, DBK_REJECTED, "upcasts.sql:%u gives %s", upcast->line,
                    rc == SQLITE_ROW ? "more than one row" : "no JSON text");
}

static dbk_result step(dbk_upcaster *upcaster, size_t at, const char *time, const dbk_event *event, dbk_buffer *out,
                       dbk_error *err)
{
    const dbk_upcast *upcast = &upcaster->definition->upcasts[at];
    sqlite3_stmt *statement;
    dbk_result result = prepare(upcaster, at, &statement, err);

    if (result != DBK_OK) return result;
    upcaster->steps = 0;
    int rc = bind(statement, ":data", event->data);
    if (rc == SQLITE_OK) rc = bind(statement, ":type", event->type);
    if (rc == SQLITE_OK) rc = bind(statement, ":stream", event->stream);
    if (rc == SQLITE_OK) rc = bind(statement, ":time", dbk_slice_text(time));
    result = rc == SQLITE_OK ? run(upcaster, upcast, statement, out, err) : failure(upcaster, rc, upcast, err);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return result;
}

/* The first upcast of the type; count: none. */
static size_t first_of(const dbk_definition *definition, dbk_slice type)
{
    size_t low = 0, high = definition->upcast_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (dbk_slice_compare(dbk_slice_text(definition->upcasts[middle].type), type) < 0) low = middle + 1;
        else high = middle;
    }
    bool found = low < definition->upcast_count && dbk_slice_equal(dbk_slice_text(definition->upcasts[low].type), type);
    return found ? low : definition->upcast_count;
}

dbk_result dbk_upcast_event(dbk_upcaster *upcaster, int64_t time_ms, dbk_event *event, dbk_error *err)
{
    char time[DBK_TIME_TEXT_SIZE];
    dbk_event moved = *event;
    int turn = 0;

    if (!upcaster) return DBK_OK;
    const dbk_definition *definition = upcaster->definition;
    dbk_time_stored(time_ms, true, time);
    upcaster->sandbox.time_ms = time_ms;
    for (size_t at = first_of(definition, event->type); at < definition->upcast_count; at++) {
        const dbk_upcast *upcast = &definition->upcasts[at];
        if (!dbk_slice_equal(dbk_slice_text(upcast->type), event->type)) break;
        if (upcast->from < moved.type_version) continue;
        dbk_buffer *out = &upcaster->data[turn];
        dbk_result result = step(upcaster, at, time, &moved, out, err);
        if (result != DBK_OK) return result;
        moved.data = dbk_buffer_slice(out);
        moved.type_version = upcast->to;
        turn ^= 1;
    }
    *event = moved;
    return DBK_OK;
}
