/* The key in what `<table>.patched` and `<table>.deleted` offer to projections. Their data does not hold it
 * (docs/decisions/0004): it stands in the stream, and from there it is taken, in the form that it has in the data of
 * `<table>.put` (app-format.md §5.3). Members of the data by such a name, which only a foreign author could have
 * written, do not count. */
#include "projector/rows/internal.h"

const dbk_table *dbk_keyed_table(const dbk_model *model, const dbk_event *event, dbk_slice *key)
{
    const dbk_definition *definition = model->definition->whole ? model->definition->whole : model->definition;
    const dbk_table *table;
    dbk_row_op op;

    if (!dbk_definition_row_event(definition, event->type, &table, &op) || op == DBK_OP_PUT) return NULL;
    return dbk_row_key_of(table, event->stream, key) ? table : NULL;
}

int dbk_keyed_column(const dbk_table *table, dbk_slice name)
{
    int column = dbk_table_column(table, name);

    return column >= 0 && dbk_row_is_key(table, column) ? column : -1;
}

/* The part of the key that is the column's, in work->part. */
static bool find_part(const dbk_table *table, dbk_slice key, int column, dbk_buffer *part)
{
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (!dbk_key_next(&key, part)) return false;
        if (table->key_columns[i] == column) return true;
    }
    return false;
}

int dbk_keyed_bind(dbk_model *model, const dbk_table *table, dbk_slice key, int column, sqlite3_stmt *statement, int at)
{
    dbk_buffer *part = &model->work->part;
    dbk_column as = table->columns[column];
    bool found = find_part(table, key, column, part);

    if (as.type == DBK_TYPE_BLOB) as.type = DBK_TYPE_TEXT; /* base64, as in a put */
    if (!found || !dbk_key_part_bind(part, &as, dbk_buffer_slice(part), statement, at))
        return part->failed ? SQLITE_NOMEM : sqlite3_bind_null(statement, at); /* the key of another definition */
    return SQLITE_OK;
}

/* {"id":…, and what the event itself has} */
void dbk_keyed_data(const dbk_table *table, dbk_slice key, const dbk_json_node *data, dbk_buffer *out)
{
    const dbk_json_node *child = data->kind == DBK_JSON_OBJECT ? dbk_json_child(data) : NULL;

    dbk_buffer_put_u8(out, '{');
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(table->columns[table->key_columns[i]].name));
        dbk_buffer_put_u8(out, ':');
        dbk_key_next_to_json(&table->columns[table->key_columns[i]], &key, out);
    }
    for (uint32_t i = 0; child && i < data->count; i++, child = dbk_json_next(child)) {
        if (dbk_keyed_column(table, child->name) >= 0) continue;
        dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, child->name);
        dbk_buffer_put_u8(out, ':');
        dbk_json_put_minimal(out, child);
    }
    dbk_buffer_put_u8(out, '}');
}
