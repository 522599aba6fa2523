/* tables.<t>.messages: the app's words for a constraint, by the name that receipts give it. A name that no constraint
 * of the table has would never be said, so it is warned of with those that there are. */
#include "projector/definition/app.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

enum { NAMES_MAX = DBK_COLUMNS_MAX + DBK_INDEXES_MAX + 2 };

static bool is_constraint(dbk_slice name)
{
    static const char *const kinds[] = {"UNIQUE", "NOT NULL", "CHECK", "FOREIGN KEY", "PRIMARY KEY"};

    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (name.size >= strlen(kinds[i]) && memcmp(name.data, kinds[i], strlen(kinds[i])) == 0) return true;
    return false;
}

/* As SQLite says them when they do not hold, but for CHECKs. */
static size_t list_names(dbk_check *check, const char *table, const char *names[NAMES_MAX])
{
    size_t count = 0;
    sqlite3_stmt *rows = dbk_check_ask(
        check,
        "SELECT 'UNIQUE ' || CASE WHEN EXISTS (SELECT 1 FROM pragma_index_info(l.name) WHERE name IS NULL) "
        "THEN 'index ''' || l.name || '''' ELSE (SELECT group_concat(%Q || '.' || name, ', ') FROM "
        "(SELECT name FROM pragma_index_info(l.name) ORDER BY seqno)) END FROM pragma_index_list(%Q) AS l "
        "WHERE l.\"unique\" UNION SELECT 'NOT NULL ' || %Q || '.' || name FROM pragma_table_info(%Q) WHERE \"notnull\" "
        "UNION SELECT 'UNIQUE ' || %Q || '.' || name FROM pragma_table_info(%Q) WHERE pk UNION SELECT 'FOREIGN KEY'",
        table, table, table, table, table, table);

    while (rows && count < NAMES_MAX && sqlite3_step(rows) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(rows, 0);
        const char *name = text ? dbk_check_text(check, dbk_slice_text((const char *)text)) : NULL;
        if (name) names[count++] = name;
    }
    (void)sqlite3_finalize(rows);
    return count;
}

/* A CHECK is named by its CONSTRAINT, else by its own text: either stands in the DDL. */
static bool is_check(dbk_check *check, const char *table, dbk_slice name)
{
    static const char kind[] = "CHECK ";
    const dbk_object *object = dbk_check_object(check, table);
    const char *wanted = dbk_check_text(check, name);

    if (!object || !wanted) return true; /* said elsewhere */
    return strncmp(wanted, kind, sizeof kind - 1) == 0 && strstr(object->sql->text, wanted + sizeof kind - 1);
}

static void check_name(dbk_app_reading *a, const dbk_json_node *child, const char *path, const char *table)
{
    const dbk_object *object = dbk_check_object(a->check, table);
    const char *names[NAMES_MAX];

    if (!object || object->crowded || is_check(a->check, table, child->name)) return;
    size_t count = list_names(a->check, table, names);
    for (size_t i = 0; i < count; i++)
        if (dbk_slice_equal(dbk_slice_text(names[i]), child->name)) return;
    const char *near = NULL;
    for (size_t i = 0; i < count && !near; i++) /* one column of several */
        if (strncmp(names[i], (const char *)child->name.data, child->name.size) == 0) near = names[i];
    if (!near) near = dbk_check_nearest(a->check, child->name, names, count);
    dbk_app_doubt_name(a, child, near ? near : "the name that a receipt has in `constraint`",
                       "'%s': '%s' has no constraint '%.*s', so this is never said", path, table,
                       DBK_SLICE_ARG(child->name));
}

void dbk_app_read_messages(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    if (!dbk_app_object(a, value, path)) return;
    t->rules->messages = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(*t->rules->messages));
    for (uint32_t i = 0; t->rules->messages && i < value->count; i++, child = dbk_json_next(child)) {
        dbk_message *message = &t->rules->messages[t->rules->message_count];
        if (!is_constraint(child->name)) {
            dbk_app_wrong_name(a, child,
                               "as receipts name them: \"UNIQUE notes.title\", \"NOT NULL notes.title\", \"CHECK …\"",
                               "'%s': '%.*s' names no constraint", path, DBK_SLICE_ARG(child->name));
            continue;
        }
        check_name(a, child, path, t->table->name);
        message->constraint = dbk_check_text(a->check, child->name);
        if (dbk_app_text(a, child, dbk_app_path(a, path, child->name), &message->text)) t->rules->message_count++;
    }
}
