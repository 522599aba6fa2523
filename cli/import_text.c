/* Names, notes and texts of an import. */
#include <ctype.h>
#include <stdarg.h>
#include <strings.h>

#include "cli/import.h"

void *dbk_import_take(dbk_import *import, size_t count, size_t size)
{
    uint64_t bytes;
    void *memory = dbk_mul(count ? count : 1, size, &bytes) && bytes < SIZE_MAX / 2
                       ? dbk_arena_take(import->arena, (size_t)bytes)
                       : NULL;
    if (memory) memset(memory, 0, (size_t)bytes);
    else import->no_memory = true;
    return memory;
}

const char *dbk_import_copy(dbk_import *import, const char *text)
{
    dbk_slice copy = dbk_arena_copy(import->arena, dbk_slice_text(text ? text : ""));
    if (copy.data) return (const char *)copy.data;
    import->no_memory = true;
    return "";
}

const char *dbk_import_printf(dbk_import *import, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = size < 0 ? NULL : dbk_import_take(import, (size_t)size + 1, 1);
    if (text) vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text ? text : "";
}

static bool is_taken(const char *name, const char *const *taken, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(taken[i], name) == 0) return true;
    return false;
}

static bool is_reserved(const char *name)
{
    return strncasecmp(name, "sqlite_", 7) == 0 || strncasecmp(name, "daybook", 7) == 0 ||
           strncasecmp(name, "_daybook", 8) == 0;
}

const char *dbk_import_name(dbk_import *import, const char *from, const char *const *taken, size_t count)
{
    char name[DBK_IMPORT_NAME_MAX + 1], tried[DBK_IMPORT_NAME_MAX + 1];
    size_t size = 0;
    if (!isalpha((unsigned char)from[0]) && from[0] != '_') name[size++] = 'x';
    if (is_reserved(from)) name[size++] = 'x';
    for (const char *at = from; *at && size < DBK_IMPORT_NAME_MAX; at++) {
        bool good = *at == '_' || isalnum((unsigned char)*at);
        if (good) name[size++] = *at;
        else if (size == 0 || name[size - 1] != '_') name[size++] = '_';
    }
    name[size] = 0;
    snprintf(tried, sizeof tried, "%s", name);
    for (unsigned i = 2; is_taken(tried, taken, count); i++)
        snprintf(tried, sizeof tried, "%.*s_%u", DBK_IMPORT_NAME_MAX - 8, name, i);
    return dbk_import_copy(import, tried);
}

/* Room for one more in an array of the arena; NULL: no memory. */
static void *grow(dbk_import *import, void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) return array;
    size_t more = *room ? *room * 2 : 32;
    void *bigger = dbk_import_take(import, more, size);
    if (bigger && count) memcpy(bigger, array, count * size);
    if (bigger) *room = more;
    return bigger;
}

void dbk_import_keep_name(dbk_import *import, const char *name)
{
    const char **names = grow(import, import->names, import->name_count, &import->name_room, sizeof *names);
    if (!names) return;
    import->names = names;
    names[import->name_count++] = name;
}

void dbk_import_put_name(dbk_buffer *out, const char *name)
{
    dbk_buffer_printf(out, sqlite3_keyword_check(name, (int)strlen(name)) ? "\"%s\"" : "%s", name);
}

const char *dbk_import_quoted(dbk_import *import, const char *from)
{
    char *text = dbk_import_take(import, 2 * strlen(from) + 3, 1);
    if (!text) return "";
    size_t size = 0;
    text[size++] = '"';
    for (; *from; from++) {
        if (*from == '"') text[size++] = '"';
        text[size++] = *from;
    }
    text[size] = '"';
    return text;
}

const char *dbk_import_shown(dbk_import *import, const char *text)
{
    if (dbk_utf8_valid(dbk_slice_text(text))) return text;
    char *copy = dbk_import_take(import, strlen(text) + 1, 1);
    for (size_t i = 0; copy && text[i]; i++) copy[i] = (text[i] & 0x80) ? '?' : text[i];
    return copy ? copy : "";
}

static void add_note(dbk_import *import, dbk_import_note note)
{
    dbk_import_note *notes = grow(import, import->notes, import->note_count, &import->note_room, sizeof *notes);
    if (!notes) return;
    import->notes = notes;
    note.name = dbk_import_copy(import, dbk_import_shown(import, note.name));
    note.reason = dbk_import_copy(import, dbk_import_shown(import, note.reason));
    notes[import->note_count++] = note;
}

void dbk_import_note_left_out(dbk_import *import, const char *what, const char *name, const char *reason)
{
    add_note(import, (dbk_import_note){false, what, name, reason});
}

void dbk_import_note_changed(dbk_import *import, const char *what, const char *name, const char *reason)
{
    add_note(import, (dbk_import_note){true, what, name, reason});
}

dbk_import_piece *dbk_import_add_piece(dbk_import *import, dbk_import_kind kind, dbk_import_table *table,
                                       const char *name, const char *sql)
{
    dbk_import_piece *pieces = grow(import, import->pieces, import->piece_count, &import->piece_room, sizeof *pieces);
    if (!pieces) return NULL;
    import->pieces = pieces;
    pieces[import->piece_count] = (dbk_import_piece){.kind = kind, .table = table, .name = name, .sql = sql};
    return &pieces[import->piece_count++];
}

dbk_import_table *dbk_import_find_table(dbk_import *import, const char *from)
{
    for (size_t i = 0; i < import->table_count; i++)
        if (strcasecmp(import->tables[i].from, from) == 0) return &import->tables[i];
    return NULL;
}

dbk_import_column *dbk_import_find_column(const dbk_import_table *table, const char *from)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (strcasecmp(table->columns[i].from, from) == 0) return &table->columns[i];
    return NULL;
}

/* With SQLite's words. */
static dbk_result fail(dbk_import *import, const char *what, dbk_error *err)
{
    int code = sqlite3_errcode(import->db);
    dbk_result result = code == SQLITE_NOMEM ? DBK_NO_MEMORY : code == SQLITE_BUSY ? DBK_BUSY : DBK_IO;
    return dbk_fail(err, result, "cannot read %s of the SQLite file: %s", what,
                    dbk_import_shown(import, sqlite3_errmsg(import->db)));
}

sqlite3_stmt *dbk_import_prepare(dbk_import *import, const char *sql, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(import->db, sql, -1, &statement, NULL) == SQLITE_OK) return statement;
    (void)fail(import, "the structure", err);
    return NULL;
}

dbk_result dbk_import_finish(dbk_import *import, sqlite3_stmt *statement, int rc, dbk_error *err)
{
    dbk_result result = rc == SQLITE_DONE || rc == SQLITE_ROW ? DBK_OK : fail(import, "the content", err);
    sqlite3_finalize(statement);
    if (result == DBK_OK && import->no_memory) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the import");
    return result;
}

/* Behind a name in quotes, a text or a comment that begins there; else behind one character. */
static const char *skip_one(const char *at)
{
    char quote = *at == '[' ? ']' : *at;
    if (at[0] == '-' && at[1] == '-') return at + strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*') {
        const char *end = strstr(at + 2, "*/");
        return end ? end + 2 : at + strlen(at);
    }
    if (!strchr("'\"`[", *at)) return at + 1;
    const char *end = strchr(at + 1, quote);
    return end ? end + 1 : at + strlen(at);
}

bool dbk_import_says(const char *sql, const char *word)
{
    while (*sql) {
        if (!isalpha((unsigned char)*sql)) {
            sql = skip_one(sql);
            continue;
        }
        size_t size = strspn(sql, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$");
        if (size == strlen(word) && strncasecmp(sql, word, size) == 0) return true;
        sql += size;
    }
    return false;
}
