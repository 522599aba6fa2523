/* Foreign keys and what follows from them: which tables change with which, what stays alone. */
#include <strings.h>

#include "projector/definition/internal.h"

static bool is_action(const char *action)
{
    return action && strcasecmp(action, "NO ACTION") != 0 && strcasecmp(action, "RESTRICT") != 0;
}

/* PRAGMA foreign_key_list does not tell: one deferred key makes all of its table count as deferred.
 */
static bool has_deferred(const dbk_sql *sql)
{
    for (uint32_t at = 1; at < sql->count; at++)
        if (dbk_sql_are(sql, at, "deferrable initially deferred") && !dbk_sql_is(sql, at - 1, "not")) return true;
    return false;
}

static uint32_t references_token(const dbk_sql *sql, const char *parent)
{
    for (uint32_t at = 0; at + 1 < sql->count; at++)
        if (dbk_sql_is(sql, at, "references") && dbk_sql_named(sql, at + 1, parent)) return at + 1;
    return sql->count;
}

/* The parent's columns must be its key or a UNIQUE of exactly these columns. */
static bool is_unique(dbk_check *check, const dbk_table *parent, const char *child, int id)
{
    sqlite3_stmt *row =
        dbk_check_ask(check,
                      "WITH f(c) AS (SELECT lower(\"to\") FROM pragma_foreign_key_list(%Q) WHERE id = %d), "
                      "n(k) AS (SELECT count(*) FROM f) "
                      "SELECT EXISTS (SELECT 1 FROM f WHERE c IS NULL) "
                      "OR (SELECT count(*) FROM pragma_table_info(%Q) WHERE pk) = (SELECT k FROM n) "
                      "   AND NOT EXISTS (SELECT 1 FROM f WHERE c NOT IN (SELECT lower(name) FROM "
                      "pragma_table_info(%Q) WHERE pk)) "
                      "OR EXISTS (SELECT 1 FROM pragma_index_list(%Q) l WHERE l.\"unique\" AND NOT l.partial "
                      "   AND (SELECT count(*) FROM pragma_index_info(l.name)) = (SELECT k FROM n) "
                      "   AND NOT EXISTS (SELECT 1 FROM f WHERE c NOT IN (SELECT lower(name) FROM "
                      "pragma_index_info(l.name))))",
                      child, id, parent->name, parent->name, parent->name);
    bool unique = row && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) != 0;

    (void)sqlite3_finalize(row);
    return unique;
}

/* Without one every delete of a parent reads the whole child table. */
static bool has_index(dbk_check *check, const char *child, int id)
{
    sqlite3_stmt *row =
        dbk_check_ask(check,
                      "WITH f(c) AS (SELECT lower(\"from\") FROM pragma_foreign_key_list(%Q) WHERE id = %d), "
                      "n(k) AS (SELECT count(*) FROM f), "
                      "i(name, seqno, c) AS (SELECT l.name, x.seqno, lower(x.name) FROM pragma_index_list(%Q) l, "
                      "pragma_index_info(l.name) x "
                      "  WHERE NOT l.partial) "
                      "SELECT EXISTS (SELECT 1 FROM i WHERE seqno < (SELECT k FROM n) AND c IN (SELECT c FROM f) "
                      "  GROUP BY name HAVING count(*) = (SELECT k FROM n)) "
                      "OR (SELECT k FROM n) = 1 AND EXISTS (SELECT 1 FROM pragma_table_info(%Q) WHERE pk = 1 AND "
                      "lower(name) IN (SELECT c FROM f))",
                      child, id, child, child);
    bool found = row && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) != 0;

    (void)sqlite3_finalize(row);
    return found;
}

static void doubt(dbk_check *check, const char *name)
{
    dbk_object *object = dbk_check_object(check, name);

    if (object) object->doubted = true;
}

static bool is_crowded(dbk_check *check, const char *name)
{
    const dbk_object *object = dbk_check_object(check, name);

    return object && object->crowded;
}

/* One foreign key: id, its parent, the first column, the actions. */
static void read_link(dbk_check *check, dbk_object *object, dbk_table *child, sqlite3_stmt *row)
{
    int id = sqlite3_column_int(row, 0);
    if (++check->link_count > DBK_LINKS_MAX) {
        if (check->link_count == DBK_LINKS_MAX + 1)
            dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token), "fewer foreign keys",
                             "more than %d foreign keys", DBK_LINKS_MAX);
        return;
    }
    const char *name = (const char *)sqlite3_column_text(row, 1);
    const char *column = (const char *)sqlite3_column_text(row, 2);
    dbk_table *parent = name ? dbk_check_table(check, name) : NULL;
    if (!name || !column) return;
    uint32_t token = references_token(object->sql, name);
    dbk_span at = dbk_sql_span(object->sql, token < object->sql->count ? token : object->name_token);

    const char *taken = parent ? NULL : dbk_check_taken(check, name);
    if (taken) {
        dbk_report_error(check->report, at, "the column without REFERENCES",
                         "foreign key of '%s' to '%s', which is of the model '%s': a foreign key stays in its model",
                         child->name, name, taken);
    } else if (!parent) {
        dbk_report_error(check->report, at, dbk_check_nearest_table(check, dbk_slice_text(name)),
                         "foreign key of '%s' to a missing table '%s'", child->name, name);
    }
    if (!parent) {
        object->doubted = true;
        return;
    }
    if (object->crowded || is_crowded(check, name) || check->steps > DBK_CHECK_STEPS_MAX) return;
    if (!is_unique(check, parent, child->name, id)) {
        dbk_report_error(check->report, at,
                         "the PRIMARY KEY of the other table, or a UNIQUE over exactly these columns",
                         "foreign key of '%s' to columns of '%s' that are not unique", child->name, name);
        object->doubted = true;
        doubt(check, parent->name);
        return;
    }
    if (!has_index(check, child->name, id)) {
        const char *advice =
            dbk_check_printf(check, "CREATE INDEX %s_%s ON %s(%s);", child->name, column, child->name, column);
        dbk_report_warning(check->report, at, advice,
                           "foreign key without an index: a delete in '%s' reads all of '%s'", parent->name,
                           child->name);
    }
    dbk_link *link = dbk_check_take(check, 1, sizeof(*link));
    if (!link) return;
    bool acts =
        is_action((const char *)sqlite3_column_text(row, 3)) || is_action((const char *)sqlite3_column_text(row, 4));
    *link = (dbk_link){check->links, child, parent, acts, has_deferred(object->sql)};
    check->links = link;
}

void dbk_check_links(dbk_check *check)
{
    for (dbk_object *object = check->objects; object && !check->failed; object = object->next) {
        dbk_table *child = object->kind == DBK_OBJECT_TABLE ? dbk_check_table(check, object->name) : NULL;
        if (!child) continue;
        sqlite3_stmt *rows = dbk_check_ask(check,
                                           "SELECT id, \"table\", \"from\", on_update, on_delete "
                                           "FROM pragma_foreign_key_list(%Q) WHERE seq = 0 ORDER BY id",
                                           object->name);
        while (rows && sqlite3_step(rows) == SQLITE_ROW && !check->failed) read_link(check, object, child, rows);
        (void)sqlite3_finalize(rows);
    }
}

/* Goes round until nothing is added: a change of a parent reaches what its actions change. */
static void spread_deferrable(dbk_check *check)
{
    bool more = true;

    for (const dbk_link *link = check->links; link; link = link->next)
        if (link->deferred) link->child->deferrable = link->parent->deferrable = true;
    while (more) {
        more = false;
        for (const dbk_link *link = check->links; link; link = link->next) {
            if (!link->acts || !link->child->deferrable || link->parent->deferrable) continue;
            link->parent->deferrable = more = true;
        }
    }
}

static bool has_unique(dbk_check *check, const dbk_table *table)
{
    sqlite3_stmt *row = dbk_check_ask(
        check, "SELECT EXISTS (SELECT 1 FROM pragma_index_list(%Q) WHERE \"unique\" AND origin <> 'pk')", table->name);
    bool unique = row && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) != 0;

    (void)sqlite3_finalize(row);
    return unique;
}

static bool has_free_columns(dbk_check *check, const dbk_table *table)
{
    const dbk_object *object = dbk_check_object(check, table->name);
    sqlite3_stmt *row = dbk_check_ask(check,
                                      "SELECT EXISTS (SELECT 1 FROM pragma_index_list(%Q) AS list, "
                                      "pragma_index_xinfo(list.name) AS part WHERE list.partial OR part.cid = -2)",
                                      table->name);
    bool own = row && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) == 0;

    (void)sqlite3_finalize(row);
    for (uint32_t i = 0; own && object && i < object->sql->count; i++) own = !dbk_sql_is(object->sql, i, "check");
    return own && object;
}

static bool is_projected(const dbk_definition *definition, const dbk_table *table)
{
    static const char *const ops[] = {".put", ".patched", ".deleted"};
    char type[DBK_NAME_MAX + 16];
    size_t size = strlen(table->name);

    if (size > DBK_NAME_MAX) return true;
    for (size_t op = 0; op < sizeof(ops) / sizeof(ops[0]); op++) {
        memcpy(type, table->name, size);
        memcpy(type + size, ops[op], strlen(ops[op]) + 1);
        for (size_t i = 0; i < definition->projection_count; i++)
            if (dbk_pattern_matches(definition->projections[i].pattern, dbk_slice_text(type))) return true;
    }
    return false;
}

/* `collection` was cleared for written tables when the projections were read. */
void dbk_check_classes(dbk_check *check)
{
    dbk_definition *definition = check->definition;

    spread_deferrable(check);
    for (size_t i = 0; i < definition->table_count && !check->failed; i++) {
        dbk_table *table = &definition->tables[i];
        bool linked = false, acts = false;
        for (const dbk_link *link = check->links; link; link = link->next) {
            linked |= link->child == table || link->parent == table;
            acts |= link->parent == table && link->acts;
        }
        table->row_local = table->collection && !linked && !check->read[i] && !has_unique(check, table);
        table->free_columns = table->collection && has_free_columns(check, table);
        table->self_contained = !acts && !table->deferrable && !is_projected(definition, table);
    }
    dbk_check_ties(check);
}
