/* Tables as SQLite understood them: columns, types, keys. */
#include <stdlib.h>
#include <strings.h>

#include "projector/definition/internal.h"

dbk_table *dbk_check_table(dbk_check *check, const char *name)
{
    for (size_t i = 0; i < check->definition->table_count; i++)
        if (strcasecmp(check->definition->tables[i].name, name) == 0) return &check->definition->tables[i];
    return NULL;
}

static dbk_span column_span(const dbk_object *object, const char *column)
{
    uint32_t token = dbk_object_column(object, column);

    return dbk_sql_span(object->sql, token ? token : object->name_token);
}

static const char *column_text(dbk_check *check, sqlite3_stmt *row, int column)
{
    const void *text = sqlite3_column_text(row, column);

    return dbk_check_text(check, dbk_slice_of(text, text ? (size_t)sqlite3_column_bytes(row, column) : 0));
}

/* One row of PRAGMA table_xinfo: cid, name, type, notnull, dflt_value, pk, hidden. */
static void read_column(dbk_check *check, sqlite3_stmt *row, dbk_object *object, dbk_column *column)
{
    column->name = column_text(check, row, 1);
    column->declared = column_text(check, row, 2);
    if (!column->name || !column->declared) return;
    if (sqlite3_column_type(row, 4) != SQLITE_NULL) column->default_sql = column_text(check, row, 4);
    column->type = dbk_type_of_declared(column->declared);
    column->real_affinity = dbk_affinity_of_declared(column->declared) == DBK_AFFINITY_REAL;
    column->not_null = sqlite3_column_int(row, 3) != 0;
    column->key_part = (uint16_t)sqlite3_column_int(row, 5);
    if (!dbk_name_valid(dbk_slice_text(column->name))) {
        dbk_report_error(check->report, column_span(object, column->name),
                         "letters, digits and '_', 63 at most, no digit first", "'%s' is not a name", column->name);
        object->doubted = true;
    }
    if (sqlite3_column_int(row, 6) == 0) return;
    dbk_report_error(check->report, column_span(object, column->name), "compute it in a query or a view",
                     "generated column '%s': the row observer cannot see it", column->name);
    object->doubted = true;
}

static bool read_columns(dbk_check *check, dbk_object *object, dbk_table *table)
{
    sqlite3_stmt *count = dbk_check_ask(check, "SELECT count(*) FROM pragma_table_xinfo(%Q)", object->name);
    sqlite3_stmt *rows = dbk_check_ask(check, "PRAGMA table_xinfo(%Q)", object->name);
    int columns = count && sqlite3_step(count) == SQLITE_ROW ? sqlite3_column_int(count, 0) : 0;

    (void)sqlite3_finalize(count);
    if (columns > DBK_COLUMNS_MAX) {
        dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token), "more tables with fewer columns",
                         "'%s' has %d columns: %d at most", object->name, columns, DBK_COLUMNS_MAX);
        columns = 0;
        object->doubted = true;
    }
    table->columns = dbk_check_take(check, (size_t)columns + 1, sizeof(*table->columns));
    if (!table->columns) columns = 0;
    while (table->column_count < columns && sqlite3_step(rows) == SQLITE_ROW)
        read_column(check, rows, object, &table->columns[table->column_count++]);
    (void)sqlite3_finalize(rows);
    return columns > 0 && !check->failed;
}

static void order_columns(dbk_check *check, dbk_table *table)
{
    for (uint16_t i = 0; i < table->column_count; i++)
        table->key_count = (uint16_t)(table->key_count + (table->columns[i].key_part > 0));
    table->key_columns = dbk_check_take(check, (size_t)table->key_count + 1, sizeof(uint16_t));
    table->by_name = dbk_check_take(check, table->column_count, sizeof(uint16_t));
    if (!table->key_columns || !table->by_name) return;
    for (uint16_t i = 0; i < table->column_count; i++) {
        uint16_t part = table->columns[i].key_part, place = i;
        if (part > 0 && part <= table->key_count) table->key_columns[part - 1] = i;
        for (; place > 0 && strcmp(table->columns[table->by_name[place - 1]].name, table->columns[i].name) > 0; place--)
            table->by_name[place] = table->by_name[place - 1];
        table->by_name[place] = i;
    }
}

static void check_key_type(dbk_check *check, const dbk_object *object, const dbk_column *column)
{
    const char *why = column->type == DBK_TYPE_REAL   ? "a REAL has several texts for one number"
                      : column->type == DBK_TYPE_JSON ? "JSON has several texts for one value"
                      : column->type == DBK_TYPE_ANY  ? "7 and '7' would be two rows of one name"
                                                      : NULL;

    if (!why) return;
    dbk_report_error(check->report, column_span(object, column->name), "TEXT, INTEGER, UUID, DATETIME, BOOLEAN or BLOB",
                     "key column '%s' %s%s: %s", column->name, column->declared[0] ? "is " : "has no type",
                     column->declared, why);
}

/* A single key column without NOT NULL is let through: the engine refuses a NULL key itself. */
static void check_key(dbk_check *check, dbk_object *object, const dbk_table *table)
{
    if (table->key_count == 0) {
        dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token),
                         "id TEXT PRIMARY KEY, or PRIMARY KEY(a, b) at the end", "table '%s' has no PRIMARY KEY",
                         table->name);
        object->doubted = true;
    }
    for (uint16_t i = 0; i < table->key_count; i++) {
        const dbk_column *column = &table->columns[table->key_columns[i]];
        if (table->key_count > 1 && !column->not_null && !table->without_rowid) {
            const char *advice = dbk_check_printf(check, "%s %s NOT NULL", column->name, column->declared);
            dbk_report_error(check->report, column_span(object, column->name), advice, "key column '%s' may be NULL",
                             column->name);
        }
        check_key_type(check, object, column);
    }
}

/* Index columns of the key with their collations: BINARY, else one row has two streams. */
static void check_collations(dbk_check *check, const dbk_object *object)
{
    sqlite3_stmt *rows =
        dbk_check_ask(check,
                      "SELECT x.name, x.coll FROM pragma_index_list(%Q) l, pragma_index_xinfo(l.name) x "
                      "WHERE l.origin = 'pk' AND x.key AND x.coll <> 'BINARY'",
                      object->name);

    while (rows && sqlite3_step(rows) == SQLITE_ROW) {
        const char *column = (const char *)sqlite3_column_text(rows, 0);
        uint32_t token = column ? dbk_object_column(object, column) : 0;
        uint32_t collate = dbk_sql_find(object->sql, token, "collate");
        dbk_report_error(check->report, dbk_sql_span(object->sql, collate < object->sql->count ? collate : token),
                         "leave COLLATE out of the key; give a UNIQUE index the collation",
                         "key column '%s' is compared by %s: one row would have two names", column ? column : "",
                         sqlite3_column_text(rows, 1));
    }
    (void)sqlite3_finalize(rows);
}

/* Read from the words: PRAGMA table_list unfolds every view. */
static bool is_without_rowid(const dbk_object *object)
{
    for (uint32_t at = dbk_sql_skip(object->sql, object->body_token); at < object->sql->count; at++)
        if (dbk_sql_are(object->sql, at, "without rowid")) return true;
    return false;
}

static void count_indexes(dbk_check *check, dbk_object *object)
{
    sqlite3_stmt *row = dbk_check_ask(check, "SELECT count(*) FROM pragma_index_list(%Q)", object->name);
    int count = row && sqlite3_step(row) == SQLITE_ROW ? sqlite3_column_int(row, 0) : 0;

    (void)sqlite3_finalize(row);
    if (count <= DBK_INDEXES_MAX) return;
    dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token),
                     "fewer UNIQUE constraints and indexes", "'%s' has %d indexes: %d at most", object->name, count,
                     DBK_INDEXES_MAX);
    object->crowded = true;
}

static void read_table(dbk_check *check, dbk_object *object)
{
    dbk_table *table = &check->definition->tables[check->definition->table_count];

    *table = (dbk_table){.name = object->name};
    if (!read_columns(check, object, table)) return;
    order_columns(check, table);
    if (check->failed) return;
    check->definition->table_count++;
    table->without_rowid = is_without_rowid(object);
    table->integer_key =
        table->key_count == 1 && strcasecmp(table->columns[table->key_columns[0]].declared, "INTEGER") == 0;
    count_indexes(check, object);
    check_key(check, object, table);
    if (!object->crowded) check_collations(check, object);
}

void dbk_check_tables(dbk_check *check)
{
    size_t count = 0;

    for (const dbk_object *object = check->objects; object; object = object->next)
        if (object->kind == DBK_OBJECT_TABLE && ++count == DBK_TABLES_MAX + 1)
            dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token), "fewer tables",
                             "more than %d tables", DBK_TABLES_MAX);
    check->definition->tables = dbk_check_take(check, count + 1, sizeof(dbk_table));
    check->read = dbk_check_take(check, count + 1, sizeof(bool));
    for (dbk_object *object = check->objects; object && !check->failed; object = object->next) {
        if (object->kind == DBK_OBJECT_TABLE) read_table(check, object);
        if (object->kind == DBK_OBJECT_TABLE) dbk_lint_table(check, object);
        if (object->kind == DBK_OBJECT_INDEX) dbk_lint_index(check, object);
    }
    if (count == 0 && check->report->errors == 0 && dbk_check_source(check, "schema.sql"))
        dbk_report_error(check->report, (dbk_span){dbk_check_source(check, "schema.sql"), SIZE_MAX, 0},
                         "CREATE TABLE notes(id TEXT PRIMARY KEY, title TEXT);", "the schema holds no table");
}
