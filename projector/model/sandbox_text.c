/* instr(), replace() and the trims of SQL with the same answers in time that grows with the texts. SQLite's own
 * compare the whole pattern at each place, or each character with a whole set of them: two texts of a megabyte
 * take minutes, within a single step that no limit ends and no handler stops. */
#include "projector/definition/internal.h"

enum { SET_MAX = 256 }; /* characters that a trim takes away */

typedef struct dbk_text {
    const uint8_t *data;
    size_t size;
} dbk_text;

/* false: NULL, or no memory, of which the context is told. */
static bool take_text(sqlite3_context *context, sqlite3_value *value, dbk_text *out)
{
    bool null = sqlite3_value_type(value) == SQLITE_NULL;
    out->data = null ? NULL : sqlite3_value_text(value);
    out->size = out->data ? (size_t)sqlite3_value_bytes(value) : 0;
    if (!null && !out->data) sqlite3_result_error_nomem(context);
    return out->data != NULL;
}

static bool is_inner(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* ---- instr */

static const uint8_t *find(dbk_text in, dbk_text what)
{
    return what.size <= in.size ? memmem(in.data, in.size, what.data, what.size) : NULL;
}

static int64_t find_bytes(dbk_text in, dbk_text what)
{
    const uint8_t *found = find(in, what);
    return found ? found - in.data + 1 : 0;
}

/* In characters. One that begins within a character is found at the very beginning only. */
static int64_t find_characters(dbk_text in, dbk_text what)
{
    const uint8_t *found = is_inner(what.data[0]) ? NULL : find(in, what);
    int64_t at = 1;
    if (is_inner(what.data[0])) return in.size >= what.size && memcmp(in.data, what.data, what.size) == 0;
    if (!found) return 0;
    for (const uint8_t *c = in.data + 1; c <= found; c++) at += !is_inner(*c);
    return at;
}

static void instr(sqlite3_context *context, int count, sqlite3_value **values)
{
    dbk_text in, what;
    (void)count;
    if (sqlite3_value_type(values[0]) == SQLITE_NULL || sqlite3_value_type(values[1]) == SQLITE_NULL) return;
    if (sqlite3_value_type(values[0]) == SQLITE_BLOB && sqlite3_value_type(values[1]) == SQLITE_BLOB) {
        in = (dbk_text){sqlite3_value_blob(values[0]), (size_t)sqlite3_value_bytes(values[0])};
        what = (dbk_text){sqlite3_value_blob(values[1]), (size_t)sqlite3_value_bytes(values[1])};
        sqlite3_result_int64(context, what.size ? find_bytes(in, what) : 1);
        return;
    }
    /* a copy of each: as text, a value is another one from then on */
    sqlite3_value *copies[2] = {sqlite3_value_dup(values[0]), sqlite3_value_dup(values[1])};
    if (!copies[0] || !copies[1]) sqlite3_result_error_nomem(context);
    else if (take_text(context, copies[0], &in) && take_text(context, copies[1], &what))
        sqlite3_result_int64(context, what.size ? find_characters(in, what) : 1);
    sqlite3_value_free(copies[0]);
    sqlite3_value_free(copies[1]);
}

/* ---- replace */

static size_t count_of(dbk_text in, dbk_text what)
{
    size_t found = 0;
    for (const uint8_t *at; (at = find(in, what)) != NULL; found++) {
        size_t passed = (size_t)(at - in.data) + what.size;
        in = (dbk_text){in.data + passed, in.size - passed};
    }
    return found;
}

static uint8_t *put(uint8_t *out, dbk_text text)
{
    if (text.size) memcpy(out, text.data, text.size);
    return out + text.size;
}

static void replace(sqlite3_context *context, int count, sqlite3_value **values)
{
    dbk_text in, what, by;
    (void)count;
    if (!take_text(context, values[0], &in) || !take_text(context, values[1], &what)) return;
    if (what.data[0] == 0) {
        sqlite3_result_value(context, values[0]);
        return;
    }
    if (!take_text(context, values[2], &by)) return;
    uint64_t found = count_of(in, what), size = in.size + found * by.size - found * what.size;
    if (size > (uint64_t)sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1)) {
        sqlite3_result_error_toobig(context);
        return;
    }
    uint8_t *out = sqlite3_malloc64(size + 1), *end = out;
    if (!out) {
        sqlite3_result_error_nomem(context);
        return;
    }
    for (const uint8_t *at; (at = find(in, what)) != NULL;) {
        size_t passed = (size_t)(at - in.data);
        end = put(put(end, (dbk_text){in.data, passed}), by);
        in = (dbk_text){at + what.size, in.size - passed - what.size};
    }
    end = put(end, in);
    sqlite3_result_text64(context, (const char *)out, (sqlite3_uint64)(end - out), sqlite3_free, SQLITE_UTF8);
}

/* ---- trim, ltrim, rtrim */

typedef struct dbk_set {
    dbk_text characters[SET_MAX];
    size_t count;
} dbk_set;

static bool read_set(dbk_text text, dbk_set *set)
{
    const uint8_t *at = text.data;
    for (set->count = 0; *at; set->count++) {
        const uint8_t *begin = at;
        if (set->count == SET_MAX) return false;
        if (*at++ >= 0xc0)
            while (is_inner(*at)) at++;
        set->characters[set->count] = (dbk_text){begin, (size_t)(at - begin)};
    }
    return true;
}

/* Bytes of the character of the set at one end of the text; 0: none. */
static size_t match(const dbk_set *set, dbk_text text, bool at_end)
{
    for (size_t i = 0; i < set->count; i++) {
        dbk_text c = set->characters[i];
        if (c.size <= text.size && memcmp(text.data + (at_end ? text.size - c.size : 0), c.data, c.size) == 0)
            return c.size;
    }
    return 0;
}

typedef enum dbk_ends { LEFT = 1, RIGHT = 2 } dbk_ends;

static void trim(sqlite3_context *context, int count, sqlite3_value **values)
{
    dbk_ends which = *(const dbk_ends *)sqlite3_user_data(context);
    dbk_text text, of = {(const uint8_t *)" ", 1};
    dbk_set set;
    if (!take_text(context, values[0], &text)) return;
    if (count > 1 && !take_text(context, values[1], &of)) return;
    if (!read_set(of, &set)) {
        sqlite3_result_error_toobig(context);
        return;
    }
    size_t size;
    while ((which & LEFT) && text.size && (size = match(&set, text, false)) > 0)
        text = (dbk_text){text.data + size, text.size - size};
    while ((which & RIGHT) && text.size && (size = match(&set, text, true)) > 0) text.size -= size;
    sqlite3_result_text64(context, (const char *)text.data, text.size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

dbk_result dbk_sandbox_texts(sqlite3 *db, dbk_error *err)
{
    static dbk_ends left = LEFT, right = RIGHT, both = LEFT | RIGHT;
    const struct {
        const char *name;
        int count;
        void (*run)(sqlite3_context *, int, sqlite3_value **);
        void *arg;
    } functions[] = {
        {"instr", 2, instr, NULL},  {"replace", 3, replace, NULL}, {"trim", 1, trim, &both},
        {"trim", 2, trim, &both},   {"ltrim", 1, trim, &left},     {"ltrim", 2, trim, &left},
        {"rtrim", 1, trim, &right}, {"rtrim", 2, trim, &right},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        int rc = sqlite3_create_function_v2(db, functions[i].name, functions[i].count,
                                            SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, functions[i].arg,
                                            functions[i].run, NULL, NULL, NULL);
        if (rc == SQLITE_NOMEM) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the functions of SQL");
        if (rc != SQLITE_OK) return dbk_fail(err, DBK_INTERNAL, "cannot guard a connection: %s", sqlite3_errmsg(db));
    }
    return DBK_OK;
}
