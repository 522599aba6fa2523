/* The inbox: facts that were skipped or superseded, with what stands against them; and "apply", which says
 * again as a command of this store what such an entry wanted. */
#include "store/disk.h"
#include "store/request.h"
#include "store/turn.h"

/* ---- inbox */

typedef struct dbk_inbox {
    dbk_engine *engine;
    dbk_buffer *out, origin;
    bool all; /* the dismissed and the duplicates too */
    uint64_t count;
} dbk_inbox;

static dbk_result put_side(dbk_inbox *inbox, const dbk_entry_id *id, dbk_error *err)
{
    dbk_buffer *out = inbox->out;
    dbk_entry entry;
    char text[DBK_ENTRY_ID_TEXT_SIZE], time[DBK_TIME_TEXT_SIZE];
    uint64_t position = 0;
    dbk_entry_id_text(id, text);
    dbk_buffer_printf(out, "\"entry\":\"%s\"", text);
    dbk_result result = dbk_log_find_entry(inbox->engine->log, id, &position, err);
    if (result != DBK_OK || position == 0) return result;
    result = dbk_log_read(inbox->engine->log, position, &inbox->origin, NULL, err);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&inbox->origin), &entry, err);
    if (result != DBK_OK) return result;
    dbk_time_rfc3339(entry.time_ms, time);
    dbk_request_put_u64(out, "position", position);
    dbk_buffer_printf(out, ",\"time\":\"%s\"", time);
    if (entry.command_id.size > 0) dbk_request_put_text(out, "commandid", entry.command_id);
    if (entry.actor.size > 0) dbk_request_put_text(out, "actor", entry.actor);
    dbk_request_put_events(out, entry.events);
    return DBK_OK;
}

static dbk_result put_item(void *arg, const dbk_skip *skip)
{
    dbk_inbox *inbox = arg;
    dbk_buffer *out = inbox->out;
    bool duplicate = strcmp(skip->state, "duplicate") == 0;
    if (!inbox->all && (skip->dismissed || duplicate)) return DBK_OK;
    dbk_buffer_put_text(out, inbox->count++ ? ",{" : "{");
    dbk_result result = put_side(inbox, &skip->entry, NULL);
    dbk_request_put_text(out, "state", dbk_slice_text(skip->state));
    dbk_request_put_text(out, "reason", dbk_slice_text(skip->reason ? skip->reason : ""));
    if (skip->dismissed) dbk_buffer_put_text(out, ",\"dismissed\":true");
    if (result == DBK_OK && skip->has_against) {
        dbk_buffer_put_text(out, ",\"against\":{");
        result = put_side(inbox, &skip->against, NULL);
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, '}');
    return result;
}

static dbk_result need_model(dbk_engine *engine, dbk_error *err)
{
    if (engine->model) return DBK_OK;
    if (dbk_engine_is_stranded(engine)) return dbk_disk_refuse(engine, err);
    (void)dbk_fail(err, DBK_READ_ONLY, "a store opened for reading only does not know its inbox");
    dbk_error_hint(err, "ask the process that writes to the store");
    return DBK_READ_ONLY;
}

dbk_result dbk_request_inbox(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    const dbk_json_node *all = dbk_json_member(request, "all");
    dbk_model_state state;
    dbk_inbox inbox = {.engine = engine, .out = out, .all = all && all->kind == DBK_JSON_TRUE};
    if (all && all->kind != DBK_JSON_TRUE && all->kind != DBK_JSON_FALSE)
        return dbk_fail(err, DBK_BAD_COMMAND, "'all' must be true or false");
    dbk_result result = need_model(engine, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&inbox.origin, port);
    dbk_buffer_put_text(out, ",\"items\":[");
    port->mutex_lock(port->ctx, engine->turn);
    result = dbk_model_skips(engine->model, put_item, &inbox, err);
    dbk_model_get_state(engine->model, &state);
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_buffer_put_u8(out, ']');
    dbk_request_put_u64(out, "position", state.position);
    dbk_buffer_release(&inbox.origin);
    return result;
}

/* ---- apply */

typedef struct dbk_sought {
    dbk_entry_id id;
    bool found, suffixed;
} dbk_sought;

static dbk_result look_for(void *arg, const dbk_skip *skip)
{
    dbk_sought *sought = arg;
    if (!dbk_entry_id_equal(&skip->entry, &sought->id) || strcmp(skip->state, "duplicate") == 0) return DBK_OK;
    sought->found = true;
    sought->suffixed = strcmp(skip->state, "suffixed") == 0;
    return DBK_OK;
}

/* What the key says, or projections write. */
static bool is_given(const dbk_table *table, dbk_slice name)
{
    int column = dbk_table_column(table, name);
    if (column < 0) return false;
    return table->columns[column].key_part > 0 ||
           (table->rules && table->rules->derived && table->rules->derived[column]);
}

static dbk_result put_data(dbk_engine *engine, const dbk_table *table, dbk_slice data, dbk_buffer *out, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_json_parser *parser = dbk_json_parser_new(engine->port);
    dbk_result result =
        parser ? dbk_json_parse(parser, data, &root, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    if (result == DBK_OK && root->kind != DBK_JSON_OBJECT)
        result = dbk_fail(err, DBK_REJECTED, "the entry's data is no object");
    if (result == DBK_OK) {
        const dbk_json_node *member = root + 1;
        bool first = true;
        dbk_buffer_put_text(out, ",\"data\":{");
        for (uint32_t i = 0; i < root->count; i++, member = dbk_json_next(member)) {
            if (table && is_given(table, member->name)) continue;
            if (!first) dbk_buffer_put_u8(out, ',');
            first = false;
            dbk_json_put_string(out, member->name);
            dbk_buffer_put_u8(out, ':');
            dbk_json_put_minimal(out, member);
        }
        dbk_buffer_put_u8(out, '}');
    }
    dbk_json_parser_free(parser);
    return result;
}

/* The command that asks for what the event, in the form of today, says. */
static dbk_result put_command(dbk_engine *engine, const dbk_event *event, dbk_buffer *out, dbk_error *err)
{
    static const char *const verbs[] = {[DBK_OP_PUT] = "put", [DBK_OP_PATCHED] = "patch", [DBK_OP_DELETED] = "delete"};
    const dbk_table *table = NULL;
    dbk_row_op op = DBK_OP_PUT;
    if (!dbk_definition_row_event(engine->definition, event->type, &table, &op)) {
        dbk_buffer_put_text(out, "\"do\":\"append\"");
        dbk_request_put_text(out, "stream", event->stream);
        dbk_request_put_text(out, "type", event->type);
        return put_data(engine, NULL, event->data, out, err);
    }
    size_t prefix = strlen(table->name) + 1;
    if (event->stream.size <= prefix) return dbk_fail(err, DBK_REJECTED, "the entry names no row of '%s'", table->name);
    dbk_buffer_printf(out, "\"do\":\"%s\",\"table\":\"%s\",\"key\":", verbs[op], table->name);
    dbk_key_to_json(table, dbk_slice_of(event->stream.data + prefix, event->stream.size - prefix), out);
    return op == DBK_OP_DELETED ? DBK_OK : put_data(engine, table, event->data, out, err);
}

static void put_head(const dbk_json_node *request, dbk_buffer *out)
{
    static const char *const names[] = {"id", "actor", "correlation", "causation", "wait"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dbk_json_node *member = dbk_json_member(request, names[i]);
        if (!member) continue;
        dbk_buffer_printf(out, "\"%s\":", names[i]);
        dbk_json_put_minimal(out, member);
        dbk_buffer_put_u8(out, ',');
    }
}

static dbk_result put_commands(dbk_engine *engine, const dbk_json_node *request, const dbk_entry *entry,
                               dbk_buffer *out, dbk_error *err)
{
    dbk_slice rest = entry->events;
    dbk_result result = DBK_OK;
    bool first = true;
    dbk_upcaster *upcaster = NULL;
    result = dbk_upcaster_new(engine->port, engine->definition, &upcaster, err);
    dbk_buffer_put_u8(out, '{');
    put_head(request, out);
    if (entry->event_count != 1) dbk_buffer_put_text(out, "\"do\":\"batch\",\"commands\":[");
    for (dbk_event event; result == DBK_OK && dbk_event_next(&rest, &event); first = false) {
        if (entry->event_count != 1) dbk_buffer_put_text(out, first ? "{" : ",{");
        result = dbk_upcast_event(upcaster, entry->time_ms, &event, err);
        if (result == DBK_OK) result = put_command(engine, &event, out, err);
        if (entry->event_count != 1) dbk_buffer_put_u8(out, '}');
    }
    dbk_upcaster_free(upcaster);
    dbk_buffer_put_text(out, entry->event_count != 1 ? "]}" : "}");
    if (result == DBK_OK && out->failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    return result;
}

static dbk_result find_entry(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *origin, dbk_entry *entry,
                             dbk_error *err)
{
    const dbk_port *port = engine->port;
    const dbk_json_node *node = dbk_json_member(request, "entry");
    dbk_sought sought = {0};
    uint64_t position = 0;
    if (node->kind != DBK_JSON_STRING || !dbk_entry_id_parse(node->text, &sought.id))
        return dbk_fail(err, DBK_BAD_COMMAND, "'entry' is no entry id (replica.incarnation.seq)");
    dbk_result result = need_model(engine, err);
    if (result != DBK_OK) return result;
    port->mutex_lock(port->ctx, engine->turn);
    result = dbk_model_skips(engine->model, look_for, &sought, err);
    port->mutex_unlock(port->ctx, engine->turn);
    if (result == DBK_OK) result = dbk_log_find_entry(engine->log, &sought.id, &position, err);
    if (result != DBK_OK) return result;
    if (!sought.found || position == 0) {
        (void)dbk_fail(err, DBK_NOT_FOUND, "entry '%.*s' is not in the inbox", DBK_SLICE_ARG(node->text));
        dbk_error_hint(err, "ask for the inbox to see what is in it");
        return DBK_NOT_FOUND;
    }
    if (sought.suffixed) {
        (void)dbk_fail(err, DBK_REJECTED, "entry '%.*s' was applied, with a value that had to change",
                       DBK_SLICE_ARG(node->text));
        dbk_error_hint(err, "patch the row, then dismiss the entry");
        return DBK_REJECTED;
    }
    result = dbk_log_read(engine->log, position, origin, NULL, err);
    return result == DBK_OK ? dbk_entry_decode(dbk_buffer_slice(origin), entry, err) : result;
}

static bool was_accepted(const dbk_port *port, dbk_slice receipt)
{
    const dbk_json_node *root, *ok;
    dbk_json_parser *parser = dbk_json_parser_new(port);
    bool yes = parser && dbk_json_parse(parser, receipt, &root, NULL) == DBK_OK && root->kind == DBK_JSON_OBJECT &&
               (ok = dbk_json_member(root, "ok")) && ok->kind == DBK_JSON_TRUE;
    dbk_json_parser_free(parser);
    return yes;
}

/* What was applied leaves the inbox, under an id made of the command's: sent again it is the same. A
 * command id that leaves no room for the ending keeps the item in the inbox. */
static void dismiss(dbk_engine *engine, const dbk_json_node *request)
{
    const dbk_json_node *id = dbk_json_member(request, "id"), *entry = dbk_json_member(request, "entry");
    dbk_buffer command, receipt;
    dbk_buffer_init(&command, engine->port);
    dbk_buffer_init(&receipt, engine->port);
    dbk_buffer_put_slice(&receipt, id->text);
    dbk_buffer_put_text(&receipt, "/dismiss");
    dbk_buffer_put_text(&command, "{\"id\":");
    dbk_json_put_string(&command, dbk_buffer_slice(&receipt));
    dbk_buffer_put_text(&command, ",\"do\":\"dismiss\",\"entry\":");
    dbk_json_put_string(&command, entry->text);
    dbk_buffer_put_u8(&command, '}');
    dbk_slice text = dbk_buffer_slice(&command);
    if (!command.failed && !receipt.failed)
        (void)!dbk_engine_decide(engine, &text, 1, dbk_engine_now(engine), &receipt, NULL);
    dbk_buffer_release(&command);
    dbk_buffer_release(&receipt);
}

dbk_result dbk_request_apply(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_entry entry;
    dbk_buffer origin, command, receipt;
    dbk_buffer_init(&origin, engine->port);
    dbk_buffer_init(&command, engine->port);
    dbk_buffer_init(&receipt, engine->port);
    dbk_result result = find_entry(engine, request, &origin, &entry, err);
    if (result == DBK_OK) result = put_commands(engine, request, &entry, &command, err);
    if (result == DBK_OK) {
        dbk_slice text = dbk_buffer_slice(&command);
        result = dbk_engine_decide(engine, &text, 1, dbk_engine_now(engine), &receipt, err);
    }
    if (result == DBK_OK && was_accepted(engine->port, dbk_buffer_slice(&receipt))) dismiss(engine, request);
    dbk_request_put_receipt(out, &receipt);
    dbk_buffer_release(&origin);
    dbk_buffer_release(&command);
    dbk_buffer_release(&receipt);
    return result;
}
