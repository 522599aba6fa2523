/* Deletes whose cascade is deeper than SQLite carries out (1,000 levels): the rows that would go are found
 * first, level by level, then deleted from the bottom up, so that no single statement goes deep. All of it
 * stands in the entry, and the observer sees each row as with any cascade.
 *
 * Rows that refer to each other in a ring of more than 1,000 have no bottom: they are refused. */
#include "projector/rows/internal.h"

#include <string.h>

typedef struct dbk_deep_row {
    const dbk_table *table;
    size_t at, size; /* of its key */
    uint64_t hash;
} dbk_deep_row;

typedef struct dbk_deep_link { /* a foreign key that cascades */
    const dbk_table *child, *parent;
    sqlite3_stmt *children; /* all columns of the child's rows, by the parent's key */
} dbk_deep_link;

typedef struct dbk_deep {
    dbk_model *model;
    dbk_buffer rows; /* dbk_deep_row, in the order found: parents first */
    dbk_buffer keys;
    dbk_buffer links; /* dbk_deep_link */
    uint32_t *slots;  /* index of a row + 1 */
    uint32_t slot_count;
} dbk_deep;

enum { DEEP_ROWS_MAX = 100000 };

static dbk_deep_row *row_at(const dbk_deep *deep, size_t i)
{
    return (dbk_deep_row *)(void *)deep->rows.data + i;
}
static size_t row_count(const dbk_deep *deep)
{
    return deep->rows.size / sizeof(dbk_deep_row);
}
static dbk_slice key_of(const dbk_deep *deep, const dbk_deep_row *row)
{
    return dbk_buffer_part(&deep->keys, row->at, row->size);
}

static bool grow(dbk_deep *deep)
{
    uint32_t room = deep->slot_count ? deep->slot_count * 2 : 4096;
    if (row_count(deep) * 2 < deep->slot_count) return true;
    uint32_t *slots = dbk_alloc_zero(deep->model->port, room, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < row_count(deep); i++) {
        uint32_t slot = (uint32_t)row_at(deep, i)->hash & (room - 1);
        while (slots[slot]) slot = (slot + 1) & (room - 1);
        slots[slot] = (uint32_t)i + 1;
    }
    dbk_free(deep->model->port, deep->slots);
    deep->slots = slots;
    deep->slot_count = room;
    return true;
}

/* Adds the key that stands at the end of deep->keys from `at` on, unless the row is known. */
static dbk_result add(dbk_deep *deep, const dbk_table *table, size_t at, dbk_error *err)
{
    dbk_deep_row row = {.table = table, .at = at, .size = deep->keys.size - at};
    if (deep->keys.failed || !grow(deep)) return dbk_row_no_memory(err);
    row.hash = dbk_checksum(key_of(deep, &row), (uint64_t)(uintptr_t)table);
    uint32_t slot = (uint32_t)row.hash & (deep->slot_count - 1);
    for (; deep->slots[slot]; slot = (slot + 1) & (deep->slot_count - 1)) {
        const dbk_deep_row *other = row_at(deep, deep->slots[slot] - 1);
        if (other->table != table || !dbk_slice_equal(key_of(deep, other), key_of(deep, &row))) continue;
        deep->keys.size = at;
        return DBK_OK;
    }
    if (row_count(deep) == DEEP_ROWS_MAX)
        return dbk_fail(err, DBK_TOO_BIG, "a delete takes over %d rows with it", DEEP_ROWS_MAX);
    dbk_buffer_put(&deep->rows, &row, sizeof row);
    if (deep->rows.failed) return dbk_row_no_memory(err);
    deep->slots[slot] = (uint32_t)row_count(deep);
    return DBK_OK;
}

/* ---- links */

/* SELECT c.… FROM child c JOIN parent p ON c.from = p.to … WHERE p.key = ? …: begun here, a pair at a time. */
static void begin_select(dbk_buffer *sql, const dbk_table *child, const dbk_table *parent)
{
    dbk_buffer_clear(sql);
    for (uint16_t i = 0; i < child->column_count; i++) {
        dbk_buffer_put_text(sql, i ? ",c." : "SELECT c.");
        dbk_put_name(sql, child->columns[i].name);
    }
    dbk_buffer_put_text(sql, " FROM main.");
    dbk_put_name(sql, child->name);
    dbk_buffer_put_text(sql, " c JOIN main.");
    dbk_put_name(sql, parent->name);
    dbk_buffer_put_text(sql, " p ON ");
}

static void put_pair(dbk_buffer *sql, const dbk_table *parent, int seq, const char *from, const char *to)
{
    bool implied = !to && seq < parent->key_count;
    dbk_buffer_put_text(sql, seq ? " AND c." : "c.");
    dbk_put_name(sql, from);
    dbk_buffer_put_text(sql, "=p.");
    dbk_put_name(sql, to ? to : implied ? parent->columns[parent->key_columns[seq]].name : from);
}

static dbk_result end_select(dbk_deep *deep, dbk_buffer *sql, const dbk_table *child, const dbk_table *parent,
                             dbk_error *err)
{
    dbk_deep_link link = {.child = child, .parent = parent};
    for (uint16_t i = 0; i < parent->key_count; i++) {
        dbk_buffer_put_text(sql, i ? " AND p." : " WHERE p.");
        dbk_put_name(sql, parent->columns[parent->key_columns[i]].name);
        dbk_buffer_put_text(sql, "=?");
    }
    const char *text = dbk_buffer_text(sql);
    if (!text) return dbk_row_no_memory(err);
    int rc = sqlite3_prepare_v2(deep->model->db, text, -1, &link.children, NULL);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(deep->model, rc, "follow a foreign key", err);
    dbk_buffer_put(&deep->links, &link, sizeof link);
    if (!deep->links.failed) return DBK_OK;
    sqlite3_finalize(link.children);
    return dbk_row_no_memory(err);
}

/* The pairs of one foreign key come one behind the other. */
static dbk_result list_links_of(dbk_deep *deep, const dbk_table *child, sqlite3_stmt *list, dbk_buffer *sql,
                                dbk_error *err)
{
    const dbk_table *parent = NULL;
    dbk_result result = DBK_OK;
    int rc;
    while (result == DBK_OK && (rc = sqlite3_step(list)) == SQLITE_ROW) {
        int seq = sqlite3_column_int(list, 0);
        const char *table = (const char *)sqlite3_column_text(list, 1),
                   *from = (const char *)sqlite3_column_text(list, 2);
        const char *to = (const char *)sqlite3_column_text(list, 3);
        if (seq == 0 && parent) result = end_select(deep, sql, child, parent, err);
        if (result == DBK_OK && seq == 0) {
            parent = NULL;
            for (size_t i = 0; table && i < deep->model->definition->table_count; i++)
                if (sqlite3_stricmp(deep->model->definition->tables[i].name, table) == 0)
                    parent = &deep->model->definition->tables[i];
            if (parent) begin_select(sql, child, parent);
        }
        if (parent && from) put_pair(sql, parent, seq, from, to);
    }
    if (result == DBK_OK && parent) result = end_select(deep, sql, child, parent, err);
    return result;
}

static dbk_result list_links(dbk_deep *deep, dbk_error *err)
{
    dbk_model *model = deep->model;
    sqlite3_stmt *list = NULL;
    dbk_buffer sql;
    dbk_result result = DBK_OK;
    dbk_buffer_init(&sql, model->port);
    int rc = sqlite3_prepare_v2(model->db,
                                "SELECT seq, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) WHERE "
                                "on_delete='CASCADE' ORDER BY id, seq",
                                -1, &list, NULL);
    if (rc != SQLITE_OK) result = dbk_model_sql_failure(model, rc, "list the foreign keys", err);
    for (size_t i = 0; result == DBK_OK && i < model->definition->table_count; i++) {
        (void)sqlite3_bind_text(list, 1, model->definition->tables[i].name, -1, SQLITE_STATIC);
        result = list_links_of(deep, &model->definition->tables[i], list, &sql, err);
        (void)sqlite3_reset(list);
    }
    sqlite3_finalize(list);
    dbk_buffer_release(&sql);
    return result;
}

/* ---- rows */

static dbk_result add_children(dbk_deep *deep, const dbk_deep_link *link, size_t parent, dbk_error *err)
{
    dbk_model *model = deep->model;
    dbk_result result = DBK_OK;
    int rc = SQLITE_DONE;
    if (!dbk_key_bind(link->parent, key_of(deep, row_at(deep, parent)), link->children, 1, &model->work->part))
        return dbk_row_bad_key(model, link->parent, key_of(deep, row_at(deep, parent)), err);
    while (result == DBK_OK && (rc = sqlite3_step(link->children)) == SQLITE_ROW) {
        size_t at = deep->keys.size;
        bool is_key = dbk_key_from_row(link->child, dbk_statement_column, link->children, &deep->keys);
        if (deep->keys.failed) result = dbk_row_no_memory(err);
        else if (is_key) result = add(deep, link->child, at, err);
        else deep->keys.size = at;
    }
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "follow a foreign key", err);
    (void)sqlite3_reset(link->children);
    return result;
}

static dbk_result find_rows(dbk_deep *deep, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < row_count(deep); i++) {
        const dbk_deep_link *links = (const dbk_deep_link *)(const void *)deep->links.data;
        for (size_t k = 0; result == DBK_OK && k < deep->links.size / sizeof *links; k++)
            if (links[k].parent == row_at(deep, i)->table) result = add_children(deep, &links[k], i, err);
    }
    return result;
}

/* The root comes last; *changes is its own. */
static dbk_result delete_rows(dbk_deep *deep, int *changes, dbk_error *err)
{
    dbk_model *model = deep->model;
    dbk_result result = DBK_OK;
    for (size_t i = row_count(deep); result == DBK_OK && i > 0; i--) {
        const dbk_deep_row *row = row_at(deep, i - 1);
        sqlite3_stmt *statement;
        result = dbk_row_prepare(model, row->table, DBK_ROW_DELETE, &statement, err);
        if (result == DBK_OK && !dbk_key_bind(row->table, key_of(deep, row), statement, 1, &model->work->part))
            result = dbk_row_bad_key(model, row->table, key_of(deep, row), err);
        if (result == DBK_OK) result = dbk_row_run(model, statement, "delete the row", changes, err);
    }
    return result;
}

static bool is_too_deep(const dbk_error *error)
{
    return strstr(error->text, "too many levels of trigger recursion") != NULL;
}

static dbk_result delete_deep(dbk_model *model, const dbk_table *table, dbk_slice key, int *changes, dbk_error *err)
{
    dbk_deep deep = {.model = model};
    dbk_error failure = {0};
    dbk_sql_role role = model->sandbox.role;
    dbk_buffer *buffers[] = {&deep.rows, &deep.keys, &deep.links};
    for (size_t i = 0; i < 3; i++) dbk_buffer_init(buffers[i], model->port);
    model->sandbox.role = DBK_SQL_ENGINE;
    dbk_buffer_put_slice(&deep.keys, key);
    dbk_result result = add(&deep, table, 0, &failure);
    if (result == DBK_OK) result = list_links(&deep, &failure);
    if (result == DBK_OK) result = find_rows(&deep, &failure);
    model->sandbox.role = role;
    if (result == DBK_OK) result = delete_rows(&deep, changes, &failure);
    if (result != DBK_OK && is_too_deep(&failure)) {
        result = dbk_fail(&failure, DBK_CONSTRAINT, "FOREIGN KEY: rows refer to each other in a ring of over 1,000");
    }
    if (result != DBK_OK && err) *err = failure;
    for (size_t i = 0; i < deep.links.size / sizeof(dbk_deep_link); i++)
        sqlite3_finalize(((dbk_deep_link *)(void *)deep.links.data)[i].children);
    dbk_free(model->port, deep.slots);
    for (size_t i = 0; i < 3; i++) dbk_buffer_release(buffers[i]);
    return result;
}

static dbk_result run_own(dbk_model *model, const char *sql, dbk_error *err)
{
    dbk_sql_role role = model->sandbox.role;
    model->sandbox.role = DBK_SQL_ENGINE;
    int rc = sqlite3_exec(model->db, sql, NULL, NULL, NULL);
    model->sandbox.role = role;
    return rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(model, rc, "delete the row", err);
}

/* SQLite foresees no failure of a cascade, and so does not take back what a statement did that ran too
 * deep: a savepoint does. */
dbk_result dbk_row_delete(dbk_model *model, const dbk_table *table, dbk_slice key, sqlite3_stmt *statement,
                          int *changes, dbk_error *err)
{
    dbk_error failure = {0};
    if (table->self_contained) return dbk_row_run(model, statement, "delete the row", changes, err);
    dbk_observer_statement_mark(model->observer);
    dbk_result result = run_own(model, "SAVEPOINT _daybook_delete", err);
    if (result != DBK_OK) return result;
    result = dbk_row_run(model, statement, "delete the row", changes, &failure);
    if (result != DBK_OK && is_too_deep(&failure) && !sqlite3_get_autocommit(model->db)) {
        dbk_observer_statement_drop(model->observer);
        result = run_own(model, "ROLLBACK TO _daybook_delete", &failure);
        if (result == DBK_OK) result = delete_deep(model, table, key, changes, &failure);
    }
    if (result == DBK_OK) result = run_own(model, "RELEASE _daybook_delete", &failure);
    if (result != DBK_OK && err) *err = failure;
    return result;
}
