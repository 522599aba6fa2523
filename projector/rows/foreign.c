/* Which foreign key stood against a put, patch or delete. SQLite says that one did and not which, so it is looked for
 * behind the refusal, when the statement has undone itself: of a put or patch the key whose row is missing, of a delete
 * the table that still refers. What cannot be told (a key of columns that the command does not name, one that a
 * projection met) leaves the refusal as it was. */
#include "projector/rows/internal.h"

enum { PAIRS_MAX = 16, SHOWN_MAX_BYTES = 80 };

typedef struct foreign {
    dbk_model *model;
    const dbk_table *table, *child, *parent;
    const dbk_json_node *data; /* of a put or patch; NULL: none, or a delete */
    dbk_slice key;
    bool gone; /* it is a delete */
    int columns[PAIRS_MAX];
    const char *to[PAIRS_MAX];
    size_t count;
    bool whole; /* all its pairs are in the two lists */
    dbk_buffer sql, made, names, shown;
} foreign;

static const dbk_table *find_table(const dbk_model *model, const char *name)
{
    for (size_t i = 0; name && i < model->definition->table_count; i++)
        if (sqlite3_stricmp(model->definition->tables[i].name, name) == 0) return &model->definition->tables[i];
    return NULL;
}

static const char *column_named(const dbk_table *table, const char *name, int *number)
{
    for (uint16_t i = 0; name && i < table->column_count; i++) {
        if (sqlite3_stricmp(table->columns[i].name, name) != 0) continue;
        *number = i;
        return table->columns[i].name;
    }
    return NULL;
}

static void add_pair(foreign *f, const char *from, const char *to)
{
    int other = 0;
    bool implied = !to && f->parent && f->count < f->parent->key_count;
    if (implied) to = f->parent->columns[f->parent->key_columns[f->count]].name;
    if (!f->parent || f->count == PAIRS_MAX || !column_named(f->child, from, &f->columns[f->count]) ||
        !(f->to[f->count] = column_named(f->parent, to, &other))) {
        f->whole = false;
        return;
    }
    f->count++;
}

static sqlite3_stmt *prepare(foreign *f)
{
    sqlite3_stmt *statement = NULL;
    const char *text = dbk_buffer_text(&f->sql);
    if (text) (void)sqlite3_prepare_v2(f->model->db, text, -1, &statement, NULL);
    return statement;
}

static void put_column_names(foreign *f)
{
    dbk_buffer_clear(&f->names);
    for (size_t i = 0; i < f->count; i++)
        dbk_buffer_printf(&f->names, "%s%s.%s", i ? ", " : "", f->child->name, f->child->columns[f->columns[i]].name);
}

/* ---- a row that is missing */

static void show(foreign *f, dbk_slice value)
{
    if (f->shown.size > 0) dbk_buffer_put_u8(&f->shown, '/');
    dbk_buffer_put_slice(&f->shown, value);
}

static bool find_key_part(foreign *f, const dbk_column *column)
{
    dbk_slice rest = f->key;
    for (uint16_t i = 0; i < column->key_part; i++)
        if (!dbk_key_next(&rest, &f->model->work->part)) return false;
    return true;
}

/* False: the command does not say what it refers to there, or says nothing by NULL. */
static bool take_value(foreign *f, int number, dbk_cell *cell)
{
    const dbk_column *column = &f->child->columns[number];
    if (column->key_part > 0) {
        bool found = find_key_part(f, column);
        if (found) show(f, dbk_buffer_slice(&f->model->work->part));
        return found;
    }
    const dbk_json_node *value = f->data ? dbk_json_member(f->data, column->name) : NULL;
    if (!value || value->kind == DBK_JSON_NULL || value->kind == DBK_JSON_OBJECT || value->kind == DBK_JSON_ARRAY)
        return false;
    show(f, value->text);
    return dbk_cell_of_json(column, f->child->name, value, &f->made, cell, NULL) == DBK_OK;
}

/* When all values are made: the texts of cells are not copied. */
static bool bind_value(foreign *f, int number, const dbk_cell *cell, sqlite3_stmt *statement, int at)
{
    const dbk_column *column = &f->child->columns[number];
    dbk_buffer *part = &f->model->work->part;
    if (column->key_part == 0) return dbk_cell_bind(cell, &f->made, statement, at, NULL) == DBK_OK;
    return find_key_part(f, column) && dbk_key_part_bind(part, column, dbk_buffer_slice(part), statement, at);
}

static bool is_missing(foreign *f)
{
    dbk_cell cells[PAIRS_MAX];
    bool bound = true;
    dbk_buffer_clear(&f->sql);
    dbk_buffer_clear(&f->made);
    dbk_buffer_clear(&f->shown);
    dbk_buffer_put_text(&f->sql, "SELECT 1 FROM ");
    dbk_put_name(&f->sql, f->parent->name);
    for (size_t i = 0; i < f->count; i++) {
        dbk_buffer_put_text(&f->sql, i ? " AND " : " WHERE ");
        dbk_put_name(&f->sql, f->to[i]);
        dbk_buffer_put_text(&f->sql, "=?");
    }
    for (size_t i = 0; bound && i < f->count; i++) bound = take_value(f, f->columns[i], &cells[i]);
    if (!bound || f->made.failed) return false;
    sqlite3_stmt *statement = prepare(f);
    for (size_t i = 0; statement && bound && i < f->count; i++)
        bound = bind_value(f, f->columns[i], &cells[i], statement, (int)i + 1);
    bool missing = statement && bound && sqlite3_step(statement) == SQLITE_DONE;
    sqlite3_finalize(statement);
    return missing;
}

static void say_missing(foreign *f, dbk_error *err)
{
    put_column_names(f);
    bool shown = f->shown.size <= SHOWN_MAX_BYTES && dbk_utf8_valid(dbk_buffer_slice(&f->shown));
    if (f->names.failed || f->shown.failed) return;
    if (shown)
        (void)dbk_fail(err, DBK_CONSTRAINT, "FOREIGN KEY %.*s: '%s' has no '%.*s'",
                       DBK_SLICE_ARG(dbk_buffer_slice(&f->names)), f->parent->name,
                       DBK_SLICE_ARG(dbk_buffer_slice(&f->shown)));
    else
        (void)dbk_fail(err, DBK_CONSTRAINT, "FOREIGN KEY %.*s: '%s' has no such row",
                       DBK_SLICE_ARG(dbk_buffer_slice(&f->names)), f->parent->name);
    dbk_error_hint(err, "put the row of '%s' first", f->parent->name);
}

/* ---- a row that still refers */

static bool is_referred_to(foreign *f)
{
    dbk_buffer_clear(&f->sql);
    dbk_buffer_put_text(&f->sql, "SELECT 1 FROM ");
    dbk_put_name(&f->sql, f->child->name);
    dbk_buffer_put_text(&f->sql, " AS c, ");
    dbk_put_name(&f->sql, f->parent->name);
    dbk_buffer_put_text(&f->sql, " AS p");
    for (size_t i = 0; i < f->count; i++) {
        dbk_buffer_put_text(&f->sql, i ? " AND c." : " WHERE c.");
        dbk_put_name(&f->sql, f->child->columns[f->columns[i]].name);
        dbk_buffer_put_text(&f->sql, "=p.");
        dbk_put_name(&f->sql, f->to[i]);
    }
    for (uint16_t i = 0; i < f->parent->key_count; i++) {
        dbk_buffer_put_text(&f->sql, " AND p.");
        dbk_put_name(&f->sql, f->parent->columns[f->parent->key_columns[i]].name);
        dbk_buffer_put_text(&f->sql, "=?");
    }
    sqlite3_stmt *statement = prepare(f);
    bool found = statement && dbk_key_bind(f->parent, f->key, statement, 1, &f->model->work->part) &&
                 sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    return found;
}

static void say_referred_to(foreign *f, dbk_error *err)
{
    put_column_names(f);
    if (f->names.failed) return;
    (void)dbk_fail(err, DBK_CONSTRAINT, "FOREIGN KEY %.*s: rows of '%s' still refer to this one of '%s'",
                   DBK_SLICE_ARG(dbk_buffer_slice(&f->names)), f->child->name, f->parent->name);
    dbk_error_hint(err, "change or delete those first; ON DELETE CASCADE in the schema takes them along");
}

/* ---- the keys */

static bool stands_against(foreign *f)
{
    if (!f->whole || f->count == 0) return false;
    if (f->gone) return f->parent == f->table && is_referred_to(f);
    return is_missing(f);
}

static void say(foreign *f, dbk_error *err)
{
    if (f->gone) say_referred_to(f, err);
    else say_missing(f, err);
}

/* The pairs of one key come one behind the other. */
static bool look_at(foreign *f, sqlite3_stmt *list, const dbk_table *child, dbk_error *err)
{
    f->child = child;
    f->count = 0;
    f->whole = false;
    (void)sqlite3_bind_text(list, 1, child->name, -1, SQLITE_STATIC);
    bool found = false;
    while (!found && sqlite3_step(list) == SQLITE_ROW) {
        if (sqlite3_column_int(list, 0) == 0) {
            found = stands_against(f);
            if (found) break;
            f->parent = find_table(f->model, (const char *)sqlite3_column_text(list, 1));
            f->count = 0;
            f->whole = true;
        }
        add_pair(f, (const char *)sqlite3_column_text(list, 2), (const char *)sqlite3_column_text(list, 3));
    }
    found = found || stands_against(f);
    if (found) say(f, err);
    (void)sqlite3_reset(list);
    return found;
}

/* CASCADE, SET NULL and SET DEFAULT do not stop a delete themselves. */
static const char links[] = "SELECT seq, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1)";
static const char stopping_links[] = "SELECT seq, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) "
                                     "WHERE on_delete IN ('NO ACTION', 'RESTRICT')";

dbk_result dbk_row_name_foreign(dbk_model *model, dbk_slice table, const dbk_json_node *data, bool gone,
                                dbk_result result, dbk_error *err)
{
    const dbk_definition *definition = model->definition;
    if (result != DBK_CONSTRAINT || !err || strcmp(err->text, "FOREIGN KEY") != 0) return result;
    foreign f = {.model = model,
                 .table = dbk_definition_table(definition, table),
                 .data = data,
                 .gone = gone,
                 .key = dbk_buffer_slice(&model->work->key)};
    dbk_buffer *buffers[] = {&f.sql, &f.made, &f.names, &f.shown};
    for (size_t i = 0; i < 4; i++) dbk_buffer_init(buffers[i], model->port);
    sqlite3_stmt *list = NULL;
    if (f.table) (void)sqlite3_prepare_v2(model->db, gone ? stopping_links : links, -1, &list, NULL);
    bool found = false;
    if (list && !gone) found = look_at(&f, list, f.table, err);
    for (size_t i = 0; list && gone && !found && i < definition->table_count; i++)
        found = look_at(&f, list, &definition->tables[i], err);
    sqlite3_finalize(list);
    for (size_t i = 0; i < 4; i++) dbk_buffer_release(buffers[i]);
    return result;
}
