/* The log as SQL: a virtual table `events` on a reader's connection, one row per event up to the position that the
 * model has in the same read transaction. Bounds on position, stream and type are carried out by the log's own index;
 * SQLite checks every condition again. Data and type version are as the definition of today has them. */
#include "projector/reader/internal.h"

#include <stdio.h>

enum {
    EV_POSITION,
    EV_INDEX,
    EV_ID,
    EV_TYPE,
    EV_STREAM,
    EV_TIME,
    EV_RECEIVED,
    EV_ACTOR,
    EV_COMMAND,
    EV_CORRELATION,
    EV_CAUSATION,
    EV_TYPE_VERSION,
    EV_DATA,
    EV_COLUMNS
};
static const struct {
    const char *name, *type;
} columns[EV_COLUMNS] = {
    [EV_POSITION] = {"position", "INTEGER"},
    [EV_INDEX] = {"index", "INTEGER"},
    [EV_ID] = {"id", "TEXT"},
    [EV_TYPE] = {"type", "TEXT"},
    [EV_STREAM] = {"stream", "TEXT"},
    [EV_TIME] = {"time", "DATETIME"},
    [EV_RECEIVED] = {"received", "DATETIME"},
    [EV_ACTOR] = {"actor", "TEXT"},
    [EV_COMMAND] = {"command", "TEXT"},
    [EV_CORRELATION] = {"correlation", "TEXT"},
    [EV_CAUSATION] = {"causation", "TEXT"},
    [EV_TYPE_VERSION] = {"typeversion", "INTEGER"},
    [EV_DATA] = {"data", "JSON"},
};

/* idxStr: a letter per argument, in their order; idxNum: 1 backwards. */
enum {
    BOUND_EQUAL = '=',
    BOUND_LEAST = 'G',
    BOUND_ABOVE = 'g',
    BOUND_MOST = 'L',
    BOUND_BELOW = 'l',
    BOUND_STREAM = 's',
    BOUND_TYPE = 't'
};
enum { BOUNDS_MAX = 16, CHECK_EVERY = 64 };

typedef struct events_cursor {
    sqlite3_vtab_cursor base;
    dbk_log_selection *selection;
    uint64_t position;
    int64_t received_ms;
    dbk_entry entry;
    dbk_slice rest;           /* events of the entry behind the one in work */
    dbk_event event, brought; /* as written; as of today, made when asked for */
    uint32_t index, steps;
    bool at_end, is_brought;
    dbk_buffer stream, type; /* what the selection asks for: it borrows them */
} events_cursor;

static int connect(sqlite3 *db, void *reader, int argc, const char *const *argv, sqlite3_vtab **out, char **message)
{
    char declaration[512];
    int size = snprintf(declaration, sizeof declaration, "CREATE TABLE events");

    (void)argc, (void)argv, (void)message;
    for (int i = 0; i < EV_COLUMNS; i++)
        size += snprintf(declaration + size, sizeof declaration - (size_t)size, "%s\"%s\" %s", i ? ", " : "(",
                         columns[i].name, columns[i].type);
    (void)snprintf(declaration + size, sizeof declaration - (size_t)size, ")");
    return dbk_reader_table_new(db, reader, declaration, out);
}

/* The log's index compares bytes: a question that calls other texts equal too is left to SQLite. */
static bool is_by_bytes(sqlite3_index_info *info, int index)
{
    return sqlite3_stricmp(sqlite3_vtab_collation(info, index), "BINARY") == 0;
}

static char bound_of(sqlite3_index_info *info, int index)
{
    const struct sqlite3_index_constraint *constraint = &info->aConstraint[index];
    bool equal = constraint->op == SQLITE_INDEX_CONSTRAINT_EQ && is_by_bytes(info, index);

    if (!constraint->usable) return 0;
    if (constraint->iColumn == EV_STREAM) return equal ? BOUND_STREAM : 0;
    if (constraint->iColumn == EV_TYPE) return equal ? BOUND_TYPE : 0;
    if (constraint->iColumn != EV_POSITION) return 0;
    switch (constraint->op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: return BOUND_EQUAL;
    case SQLITE_INDEX_CONSTRAINT_GE: return BOUND_LEAST;
    case SQLITE_INDEX_CONSTRAINT_GT: return BOUND_ABOVE;
    case SQLITE_INDEX_CONSTRAINT_LE: return BOUND_MOST;
    case SQLITE_INDEX_CONSTRAINT_LT: return BOUND_BELOW;
    default: return 0;
    }
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    char bounds[BOUNDS_MAX + 1] = "";
    int count = 0;
    double rows = 1e7;

    (void)table;
    for (int i = 0; i < info->nConstraint && count < BOUNDS_MAX; i++) {
        char bound = bound_of(info, i);
        if (!bound) continue;
        bounds[count] = bound;
        info->aConstraintUsage[i].argvIndex = ++count;
        rows /= bound == BOUND_EQUAL ? 1e6 : bound == BOUND_STREAM ? 1e4 : bound == BOUND_TYPE ? 10 : 4;
    }
    if (info->nOrderBy == 1 && info->aOrderBy[0].iColumn == EV_POSITION) {
        info->orderByConsumed = 1;
        info->idxNum = info->aOrderBy[0].desc;
    }
    info->estimatedCost = rows;
    info->estimatedRows = (sqlite3_int64)rows + 1;
    info->idxStr = sqlite3_mprintf("%s", bounds);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
    events_cursor *cursor = sqlite3_malloc(sizeof(*cursor));
    const dbk_port *port = ((dbk_reader_table *)table)->reader->port;

    if (!cursor) return SQLITE_NOMEM;
    *cursor = (events_cursor){.at_end = true};
    dbk_buffer_init(&cursor->stream, port);
    dbk_buffer_init(&cursor->type, port);
    *out = &cursor->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    events_cursor *cursor = (events_cursor *)base;

    dbk_log_selection_close(cursor->selection);
    dbk_buffer_release(&cursor->stream);
    dbk_buffer_release(&cursor->type);
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static dbk_model_reader *reader_of(const sqlite3_vtab_cursor *base)
{
    return ((dbk_reader_table *)base->pVtab)->reader;
}

static int fail(events_cursor *cursor, dbk_result result, const dbk_error *err)
{
    cursor->at_end = true;
    if (result == DBK_NO_MEMORY) return SQLITE_NOMEM;
    sqlite3_free(cursor->base.pVtab->zErrMsg);
    cursor->base.pVtab->zErrMsg = sqlite3_mprintf("%s", err->text);
    return result == DBK_CORRUPT || result == DBK_LOST || result == DBK_GAP ? SQLITE_CORRUPT : SQLITE_IOERR;
}

/* The next event; SQLite's own clock does not tick while the log is walked, so it is looked at here. */
static int next(sqlite3_vtab_cursor *base)
{
    events_cursor *cursor = (events_cursor *)base;
    dbk_model_reader *reader = reader_of(base);
    dbk_error err = {0};
    dbk_slice origin;

    cursor->is_brought = false;
    cursor->index++;
    while (!dbk_event_next(&cursor->rest, &cursor->event)) {
        if (++cursor->steps % CHECK_EVERY == 0 && dbk_reader_out_of_time(reader)) return SQLITE_INTERRUPT;
        dbk_result result =
            dbk_log_selection_next(cursor->selection, &cursor->position, &cursor->received_ms, &origin, &err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &cursor->entry, &err);
        cursor->at_end = result != DBK_OK;
        if (result == DBK_END) return SQLITE_OK;
        if (result != DBK_OK) return fail(cursor, result, &err);
        cursor->rest = cursor->entry.events;
        cursor->index = 0;
    }
    return SQLITE_OK;
}

/* Bounds of another kind than their column are left to SQLite. */
static void take_bound(events_cursor *cursor, char bound, sqlite3_value *value, dbk_log_wish *wish)
{
    bool text = bound == BOUND_STREAM || bound == BOUND_TYPE;

    if (text && sqlite3_value_type(value) == SQLITE_TEXT && sqlite3_value_bytes(value) > 0) {
        dbk_buffer *to = bound == BOUND_STREAM ? &cursor->stream : &cursor->type;
        dbk_buffer_clear(to);
        dbk_buffer_put(to, sqlite3_value_text(value), (size_t)sqlite3_value_bytes(value));
        *(bound == BOUND_STREAM ? &wish->stream : &wish->type) = dbk_buffer_slice(to);
    }
    if (text || sqlite3_value_type(value) != SQLITE_INTEGER) return;
    int64_t at = sqlite3_value_int64(value);
    uint64_t least = at < 0 ? 0 : (uint64_t)at + (bound == BOUND_ABOVE ? 1 : 0), most = at < 0 ? 0 : (uint64_t)at;
    if (bound == BOUND_BELOW && most > 0) most--;
    if (bound != BOUND_MOST && bound != BOUND_BELOW && least > wish->first) wish->first = least;
    if (bound != BOUND_LEAST && bound != BOUND_ABOVE && most < wish->last) wish->last = most;
}

static int filter(sqlite3_vtab_cursor *base, int backwards, const char *bounds, int argc, sqlite3_value **argv)
{
    events_cursor *cursor = (events_cursor *)base;
    dbk_model_reader *reader = reader_of(base);
    dbk_log_wish wish = {.first = 1, .last = reader->now, .reverse = backwards != 0};
    dbk_error err = {0};

    dbk_log_selection_close(cursor->selection);
    cursor->selection = NULL;
    cursor->rest = (dbk_slice){NULL, 0};
    cursor->at_end = true;
    for (int i = 0; i < argc; i++) take_bound(cursor, bounds[i], argv[i], &wish);
    if (cursor->stream.failed || cursor->type.failed) return SQLITE_NOMEM;
    if (wish.first > wish.last || wish.last == 0) return SQLITE_OK; /* 0 as a bound would mean none */
    dbk_result result = dbk_log_selection_open(reader->log, &wish, &cursor->selection, &err);
    if (result == DBK_END || result == DBK_NONE) return SQLITE_OK;
    if (result != DBK_OK) return fail(cursor, result, &err);
    cursor->at_end = false;
    return next(base);
}

static int at_end(sqlite3_vtab_cursor *base)
{
    return ((events_cursor *)base)->at_end;
}

static void put_text(sqlite3_context *context, dbk_slice text)
{
    if (text.size) sqlite3_result_text64(context, (const char *)text.data, text.size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static void put_time(sqlite3_context *context, int64_t ms)
{
    char text[DBK_TIME_TEXT_SIZE];

    dbk_time_stored(ms, true, text);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

static void put_id(sqlite3_context *context, const events_cursor *cursor)
{
    char id[DBK_ENTRY_ID_TEXT_SIZE], text[DBK_ENTRY_ID_TEXT_SIZE + 12];

    dbk_entry_id_text(&cursor->entry.id, id);
    (void)snprintf(text, sizeof(text), "%s.%u", id, cursor->index);
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
}

/* What an upcast fails on is shown as it was written. */
static const dbk_event *of_today(events_cursor *cursor)
{
    if (!cursor->is_brought) {
        cursor->brought = cursor->event;
        (void)(dbk_upcast_event(reader_of(&cursor->base)->upcaster, cursor->entry.time_ms, &cursor->brought, NULL) ==
               DBK_OK);
    }
    cursor->is_brought = true;
    return &cursor->brought;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int which)
{
    events_cursor *cursor = (events_cursor *)base;

    switch (which) {
    case EV_POSITION: sqlite3_result_int64(context, (sqlite3_int64)cursor->position); break;
    case EV_INDEX: sqlite3_result_int64(context, cursor->index); break;
    case EV_ID: put_id(context, cursor); break;
    case EV_TYPE: put_text(context, cursor->event.type); break;
    case EV_STREAM: put_text(context, cursor->event.stream); break;
    case EV_TIME: put_time(context, cursor->entry.time_ms); break;
    case EV_RECEIVED: put_time(context, cursor->received_ms); break;
    case EV_ACTOR: put_text(context, cursor->entry.actor); break;
    case EV_COMMAND: put_text(context, cursor->entry.command_id); break;
    case EV_CORRELATION: put_text(context, cursor->entry.correlation); break;
    case EV_CAUSATION: put_text(context, cursor->entry.causation); break;
    case EV_TYPE_VERSION: sqlite3_result_int64(context, of_today(cursor)->type_version); break;
    case EV_DATA: put_text(context, of_today(cursor)->data); break;
    default: break;
    }
    return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    const events_cursor *cursor = (const events_cursor *)base;

    *out = (sqlite3_int64)(cursor->position << 20 | cursor->index);
    return SQLITE_OK;
}

/* Without xCreate it is a table-valued name: it needs no CREATE and a table of the app hides it. */
static const sqlite3_module events_module = {.xConnect = connect,
                                             .xBestIndex = best_index,
                                             .xDisconnect = dbk_reader_table_free,
                                             .xOpen = open_cursor,
                                             .xClose = close_cursor,
                                             .xFilter = filter,
                                             .xNext = next,
                                             .xEof = at_end,
                                             .xColumn = column,
                                             .xRowid = row_id};

const char *dbk_reader_events_column(size_t index)
{
    return index < EV_COLUMNS ? columns[index].name : NULL;
}

dbk_result dbk_reader_show_log(dbk_model_reader *reader, dbk_log *log, dbk_error *err)
{
    reader->log = log;
    dbk_result result = dbk_reader_table_show(reader, "events", &events_module, err);
    if (result != DBK_OK || !reader->definition) return result;
    return dbk_upcaster_new(reader->port, reader->definition, &reader->upcaster, err);
}
