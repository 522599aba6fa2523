/* SQLite's date functions with the event's time for 'now'. They are answered by SQLite's own
 * functions on a second, empty connection, after 'now' was replaced: what they mean stays SQLite's.
 * 'localtime' and 'utc' depend on the device's zone and are refused. */
#include <stdio.h>
#include <strings.h>

#include "projector/definition/internal.h"

enum { ARGUMENTS_MAX = 16, FUNCTION_COUNT = 6 };

typedef struct dates {
    const dbk_sandbox *sandbox;
    uint32_t references; /* functions that hold it */
    sqlite3 *helper;     /* opened at the first call */
    sqlite3_stmt *statements[FUNCTION_COUNT][ARGUMENTS_MAX + 1];
} dates;

typedef struct date_function {
    dates *shared;
    int number;
} date_function;

static const struct {
    const char *name;
    int time_argument; /* which argument is the time */
} functions[FUNCTION_COUNT] = {{"date", 0},      {"time", 0},     {"datetime", 0},
                               {"julianday", 0}, {"strftime", 1}, {"unixepoch", 0}};

static void release(void *arg)
{
    dates *shared = arg;

    if (--shared->references > 0) return;
    for (int i = 0; i < FUNCTION_COUNT; i++)
        for (int k = 0; k <= ARGUMENTS_MAX; k++) (void)sqlite3_finalize(shared->statements[i][k]);
    (void)sqlite3_close(shared->helper);
    sqlite3_free(shared);
}

static void release_function(void *arg)
{
    date_function *function = arg;

    release(function->shared);
    sqlite3_free(function);
}

static int open_helper(dates *shared)
{
    if (shared->helper) return SQLITE_OK;
    int rc = sqlite3_open_v2(":memory:", &shared->helper,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK) {
        (void)sqlite3_close(shared->helper);
        shared->helper = NULL;
    }
    return rc;
}

/* "SELECT datetime(?,?)" with `count` parameters, kept. */
static int helper_statement(dates *shared, int number, int count, sqlite3_stmt **out)
{
    char sql[96];
    int rc = open_helper(shared), size;

    if (rc != SQLITE_OK) return rc;
    *out = shared->statements[number][count];
    if (*out) return SQLITE_OK;
    size = snprintf(sql, sizeof(sql), "SELECT %s(", functions[number].name);
    for (int i = 0; i < count; i++) size += snprintf(sql + size, sizeof(sql) - (size_t)size, i ? ",?" : "?");
    (void)snprintf(sql + size, sizeof(sql) - (size_t)size, ")");
    rc = sqlite3_prepare_v3(shared->helper, sql, -1, SQLITE_PREPARE_PERSISTENT, &shared->statements[number][count],
                            NULL);
    *out = shared->statements[number][count];
    return rc;
}

static bool is_text(sqlite3_value *value, const char *text)
{
    if (sqlite3_value_type(value) != SQLITE_TEXT) return false;
    const char *at = (const char *)sqlite3_value_text(value);
    return at && strcasecmp(at, text) == 0;
}

static int bind_arguments(sqlite3_stmt *statement, int count, sqlite3_value **values, int given, int time_at,
                          const char *now)
{
    for (int i = 0; i < count; i++) {
        bool is_now = i == time_at && (i >= given || is_text(values[i], "now"));
        int rc = is_now ? sqlite3_bind_text(statement, i + 1, now, -1, SQLITE_STATIC)
                        : sqlite3_bind_value(statement, i + 1, values[i]);
        if (rc != SQLITE_OK) return rc;
    }
    return SQLITE_OK;
}

static void fail_with(sqlite3_context *context, int rc)
{
    if (rc == SQLITE_NOMEM) sqlite3_result_error_nomem(context);
    else sqlite3_result_error_code(context, rc);
}

static void call_date(sqlite3_context *context, int given, sqlite3_value **values)
{
    date_function *function = sqlite3_user_data(context);
    int time_at = functions[function->number].time_argument, count = given == time_at ? given + 1 : given;
    char now[DBK_TIME_TEXT_SIZE];
    sqlite3_stmt *statement;

    if (count > ARGUMENTS_MAX) return sqlite3_result_error(context, "too many arguments of a date function", -1);
    for (int i = time_at + 1; i < given; i++) {
        if (!is_text(values[i], "localtime") && !is_text(values[i], "utc")) continue;
        return sqlite3_result_error(context, "'localtime' and 'utc' depend on the device: times are UTC", -1);
    }
    int rc = helper_statement(function->shared, function->number, count, &statement);
    if (rc != SQLITE_OK) return fail_with(context, rc);
    dbk_time_stored(function->shared->sandbox->time_ms, true, now);
    rc = bind_arguments(statement, count, values, given, time_at, now);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) sqlite3_result_value(context, sqlite3_column_value(statement, 0));
    else fail_with(context, rc);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

/* CURRENT_TIMESTAMP, CURRENT_DATE, CURRENT_TIME: parts of the same text, in whole seconds. */
static void call_current(sqlite3_context *context, int size, int offset)
{
    const dates *shared = sqlite3_user_data(context);
    char now[DBK_TIME_TEXT_SIZE];

    dbk_time_stored(shared->sandbox->time_ms, false, now);
    sqlite3_result_text(context, now + offset, size, SQLITE_TRANSIENT);
}

static void call_timestamp(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    call_current(context, 19, 0);
}

static void call_current_date(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    call_current(context, 10, 0);
}

static void call_current_time(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    call_current(context, 8, 11);
}

/* SQLite calls the destructor also when the registration fails. */
static int register_current(sqlite3 *db, dates *shared, const char *name,
                            void (*call)(sqlite3_context *, int, sqlite3_value **))
{
    shared->references++;
    return sqlite3_create_function_v2(db, name, 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, shared, call, NULL, NULL, release);
}

static int register_date(sqlite3 *db, dates *shared, int number)
{
    date_function *function = sqlite3_malloc64(sizeof(*function));

    if (!function) return SQLITE_NOMEM;
    *function = (date_function){shared, number};
    shared->references++;
    return sqlite3_create_function_v2(db, functions[number].name, -1,
                                      SQLITE_UTF8 | SQLITE_INNOCUOUS | SQLITE_DETERMINISTIC, function, call_date, NULL,
                                      NULL, release_function);
}

dbk_result dbk_sandbox_dates(sqlite3 *db, dbk_sandbox *sandbox, dbk_error *err)
{
    dates *shared = sqlite3_malloc64(sizeof(*shared));

    if (!shared) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for date functions");
    memset(shared, 0, sizeof(*shared));
    shared->sandbox = sandbox;
    shared->references = 1; /* ours, until all are registered */
    int rc = register_current(db, shared, "current_timestamp", call_timestamp);
    if (rc == SQLITE_OK) rc = register_current(db, shared, "current_date", call_current_date);
    if (rc == SQLITE_OK) rc = register_current(db, shared, "current_time", call_current_time);
    for (int i = 0; rc == SQLITE_OK && i < FUNCTION_COUNT; i++) rc = register_date(db, shared, i);
    release(shared);
    if (rc == SQLITE_NOMEM) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for date functions");
    if (rc != SQLITE_OK) return dbk_fail(err, DBK_INTERNAL, "cannot replace date functions: %s", sqlite3_errmsg(db));
    return DBK_OK;
}
