/* Entries and changes of rows as JSON. */
#include "store/row_change.h"

#include "store/request.h"

dbk_result dbk_row_writer_init(dbk_row_writer *writer, dbk_engine *engine, dbk_buffer *out, dbk_error *err)
{
    *writer = (dbk_row_writer){.engine = engine, .out = out};
    writer->before = dbk_json_parser_new(engine->port);
    writer->after = dbk_json_parser_new(engine->port);
    if (writer->before && writer->after) return DBK_OK;
    dbk_row_writer_release(writer);
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
}

void dbk_row_writer_release(dbk_row_writer *writer)
{
    dbk_json_parser_free(writer->before);
    dbk_json_parser_free(writer->after);
    writer->before = writer->after = NULL;
}

bool dbk_row_differs(dbk_slice before, dbk_slice after)
{
    return !dbk_slice_equal(before, after);
}

/* Both rows list the same columns in the same order. */
static void put_differing(dbk_buffer *out, const char *name, const dbk_json_node *row, const dbk_json_node *other)
{
    const dbk_json_node *mine = row + 1, *its = other + 1;
    bool first = true;
    dbk_buffer_printf(out, ",\"%s\":{", name);
    for (uint32_t i = 0; i < row->count && i < other->count;
         i++, mine = dbk_json_next(mine), its = dbk_json_next(its)) {
        if (dbk_slice_equal(mine->text, its->text) && mine->kind == its->kind) continue;
        if (!first) dbk_buffer_put_u8(out, ',');
        first = false;
        dbk_json_put_string(out, mine->name);
        dbk_buffer_put_u8(out, ':');
        dbk_json_put_minimal(out, mine);
    }
    dbk_buffer_put_u8(out, '}');
}

dbk_result dbk_row_writer_change(dbk_row_writer *writer, dbk_slice before, dbk_slice after, dbk_error *err)
{
    dbk_buffer *out = writer->out;
    const dbk_json_node *was, *is;
    if (before.size == 0 || after.size == 0) {
        dbk_buffer_put_text(out, before.size == 0 ? "\"op\":\"insert\",\"to\":" : "\"op\":\"delete\",\"from\":");
        dbk_buffer_put_slice(out, before.size == 0 ? after : before);
        return DBK_OK;
    }
    dbk_result result = dbk_json_parse(writer->before, before, &was, err);
    if (result == DBK_OK) result = dbk_json_parse(writer->after, after, &is, err);
    if (result != DBK_OK) return result;
    dbk_buffer_put_text(out, "\"op\":\"update\"");
    put_differing(out, "from", was, is);
    put_differing(out, "to", is, was);
    return DBK_OK;
}

void dbk_row_writer_name(dbk_row_writer *writer, const dbk_table *table, dbk_slice key)
{
    dbk_buffer_put_text(writer->out, "\"table\":");
    dbk_json_put_string(writer->out, dbk_slice_text(table->name));
    dbk_buffer_put_text(writer->out, ",\"key\":");
    dbk_key_to_json(table, key, writer->out);
}

static void put_optional(dbk_buffer *out, const char *name, dbk_slice text)
{
    if (text.size > 0) dbk_request_put_text(out, name, text);
}

void dbk_row_writer_entry(dbk_row_writer *writer, uint64_t position, const dbk_entry *entry)
{
    dbk_buffer *out = writer->out;
    char id[DBK_ENTRY_ID_TEXT_SIZE], time[DBK_TIME_TEXT_SIZE];
    dbk_entry_id_text(&entry->id, id);
    dbk_time_rfc3339(entry->time_ms, time);
    dbk_buffer_printf(out, "\"position\":%llu,\"entry\":\"%s\",\"time\":\"%s\"", (unsigned long long)position, id,
                      time);
    put_optional(out, "actor", entry->actor);
    put_optional(out, "commandid", entry->command_id);
    put_optional(out, "correlationid", entry->correlation);
    put_optional(out, "causationid", entry->causation);
    if (entry->flags == DBK_ENTRY_UNDO) dbk_buffer_put_text(out, ",\"undo\":true");
    dbk_request_put_events(out, entry->events);
}
