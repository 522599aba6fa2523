/* printf(), format() and json_patch() of SQL. SQLite's own appends one by one what "%.1000000000c" repeats, and looks
 * through all members of one object for each of the other, within a single step that no limit ends and no handler
 * stops; so their arguments are read first, and what is too much work is refused. All else goes to SQLite's
 * own, on a connection that has no other functions. */
#include "projector/definition/internal.h"

#include <stdio.h>

enum { REPEATS_MAX = 1000000, COMPARED_MAX = 20000000, ARGUMENTS_MAX = 100, JSON_SUBTYPE = 'J' };

typedef struct dbk_borrowed {
    const char *name; /* of SQLite's own */
    bool (*is_too_much)(int count, sqlite3_value **values);
    bool gives_json;
    sqlite3 *db;
    sqlite3_stmt *statement;
    int count; /* of its arguments */
} dbk_borrowed;

/* A width or precision: digits, or '*' for the next argument. */
static const char *read_number(const char *at, int count, sqlite3_value **values, int *next, int64_t *number)
{
    *number = 0;
    if (*at == '*') {
        if (*next < count) *number = sqlite3_value_int64(values[*next]);
        ++*next;
        return at + 1;
    }
    for (; *at >= '0' && *at <= '9'; at++)
        if (*number <= REPEATS_MAX) *number = *number * 10 + (*at - '0');
    return at;
}

static bool repeats_too_often(int count, sqlite3_value **values)
{
    const char *at = count ? (const char *)sqlite3_value_text(values[0]) : NULL;
    int next = 1;
    if (!at) return false;
    while ((at = strchr(at, '%')) != NULL) {
        int64_t width, precision = 0;
        at++;
        at += strspn(at, "-+ #!,0");
        at = read_number(at, count, values, &next, &width);
        if (*at == '.') at = read_number(at + 1, count, values, &next, &precision);
        at += strspn(at, "l");
        if (*at == 'c' && (precision > REPEATS_MAX || precision < -REPEATS_MAX)) return true;
        if (*at == '\0') return false;
        if (*at != '%') next++;
        at++;
    }
    return false;
}

/* There are not more members than commas, and one. */
static uint64_t members_at_most(sqlite3_value *value)
{
    const uint8_t *at = sqlite3_value_text(value);
    uint64_t found = 1;
    for (; at && *at; at++) found += *at == ',';
    return found;
}

static bool compares_too_much(int count, sqlite3_value **values)
{
    return count == 2 && members_at_most(values[0]) * members_at_most(values[1]) > COMPARED_MAX;
}

static int prepare(dbk_borrowed *f, int count)
{
    char sql[32 + 5 * ARGUMENTS_MAX];
    size_t size = (size_t)snprintf(sql, sizeof sql, "SELECT %s(", f->name);
    int rc = f->db ? SQLITE_OK
                   : sqlite3_open_v2(":memory:", &f->db,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK || (f->statement && f->count == count)) return rc;
    sqlite3_finalize(f->statement);
    f->statement = NULL;
    for (int i = 1; i <= count; i++) size += (size_t)snprintf(sql + size, 6, i == 1 ? "?%d" : ",?%d", i);
    memcpy(sql + size, ")", 2);
    rc = sqlite3_prepare_v3(f->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &f->statement, NULL);
    f->count = count;
    return rc;
}

static void run(sqlite3_context *context, int count, sqlite3_value **values)
{
    dbk_borrowed *f = sqlite3_user_data(context);
    if (count == 0) return; /* NULL, as SQLite has it */
    if (count > ARGUMENTS_MAX) {
        sqlite3_result_error(context, "too many arguments", -1);
        return;
    }
    if (f->is_too_much(count, values)) {
        sqlite3_result_error_toobig(context);
        return;
    }
    int rc = prepare(f, count);
    if (rc == SQLITE_OK) {
        int length = sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1);
        (void)sqlite3_limit(f->db, SQLITE_LIMIT_LENGTH, length);
    }
    for (int i = 0; rc == SQLITE_OK && i < count; i++) rc = sqlite3_bind_value(f->statement, i + 1, values[i]);
    if (rc == SQLITE_OK) rc = sqlite3_step(f->statement);
    if (rc == SQLITE_ROW) {
        sqlite3_result_value(context, sqlite3_column_value(f->statement, 0));
        if (f->gives_json) sqlite3_result_subtype(context, JSON_SUBTYPE);
    } else if (rc == SQLITE_ERROR) {
        sqlite3_result_error(context, sqlite3_errmsg(f->db), -1);
    } else {
        sqlite3_result_error_code(context, rc);
    }
    (void)sqlite3_reset(f->statement);
    (void)sqlite3_clear_bindings(f->statement);
}

static void drop(void *arg)
{
    dbk_borrowed *f = arg;
    sqlite3_finalize(f->statement);
    sqlite3_close(f->db);
    sqlite3_free(f);
}

dbk_result dbk_sandbox_formats(sqlite3 *db, dbk_error *err)
{
    static const struct {
        const char *name;
        int count;
        dbk_borrowed of;
    } functions[] = {
        {"printf", -1, {.name = "printf", .is_too_much = repeats_too_often}},
        {"format", -1, {.name = "printf", .is_too_much = repeats_too_often}},
        {"json_patch", 2, {.name = "json_patch", .is_too_much = compares_too_much, .gives_json = true}},
    };
    int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        dbk_borrowed *f = sqlite3_malloc(sizeof *f);
        if (!f) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the functions of SQL");
        *f = functions[i].of;
        int rc = sqlite3_create_function_v2(db, functions[i].name, functions[i].count, flags, f, run, NULL, NULL, drop);
        if (rc == SQLITE_NOMEM) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the functions of SQL");
        if (rc != SQLITE_OK) return dbk_fail(err, DBK_INTERNAL, "cannot guard a connection: %s", sqlite3_errmsg(db));
    }
    return DBK_OK;
}
