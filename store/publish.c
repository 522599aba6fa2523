/* The change feed (semantics.md §6): one message per commit and table, to the bus and to subscribers in
 * this process, on the deciding thread, in order. */
#include "store/request.h"
#include "store/switch.h"
#include "store/turn.h"

/* A subscription of this process; a list under the turn's mutex. */
typedef struct dbk_listener {
    dbk_engine *engine;
    char *table; /* NULL: all */
    dbk_change_fn each;
    void *arg;
    struct dbk_listener *next;
} dbk_listener;

static void deliver(dbk_engine *engine, const char *table, dbk_buffer *message)
{
    if (!dbk_buffer_text(message)) return; /* the next message's `previous`, or a head, shows the gap */
    if (engine->publish) engine->publish(engine->publish_arg, table, (const char *)message->data, message->size);
    for (dbk_listener *l = engine->listeners; l; l = l->next)
        if (!table || !l->table || strcmp(l->table, table) == 0)
            l->each(l->arg, (const char *)message->data, message->size);
}

static void put_cursor(dbk_engine *engine, dbk_buffer *out)
{
    dbk_model_state state;
    dbk_model_get_state(engine->model, &state);
    dbk_buffer_put_text(out, "\"timeline\":");
    dbk_json_put_string(out, dbk_slice_text(engine->identity.timeline));
    dbk_buffer_put_text(out, ",\"generation\":");
    dbk_json_put_u64(out, engine->identity.generation);
    dbk_buffer_put_text(out, ",\"position\":");
    dbk_json_put_u64(out, state.position);
}

static bool is_anyone_there(const dbk_engine *engine)
{
    return engine->listeners ||
           (engine->publish && (!engine->publish_wanted || engine->publish_wanted(engine->publish_arg)));
}

void dbk_engine_expect_changes(dbk_engine *engine)
{
    dbk_model_keep_rows(engine->model, !engine->definition->no_feed && is_anyone_there(engine));
}

void dbk_engine_publish(dbk_engine *engine, const dbk_changes *changes)
{
    if (!is_anyone_there(engine) || engine->definition->no_feed) return;
    dbk_buffer *message = &engine->message;
    for (size_t i = 0; i < changes->count; i++) {
        dbk_buffer_clear(message);
        dbk_buffer_put_u8(message, '{');
        put_cursor(engine, message);
        dbk_buffer_put_u8(message, ',');
        if (dbk_model_change_json(engine->model, &changes->items[i], message, NULL) != DBK_OK) continue;
        dbk_buffer_put_u8(message, '}');
        deliver(engine, changes->items[i].table->name, message);
    }
}

/* The turn is held. */
static dbk_result put_head(dbk_engine *engine, dbk_buffer *out, dbk_error *err)
{
    if (!engine->model) return dbk_fail(err, DBK_READ_ONLY, "a store opened for reading only has no feed");
    dbk_buffer_put_text(out, "{\"head\":true,");
    put_cursor(engine, out);
    dbk_buffer_put_text(out, ",\"last\":");
    dbk_result result = dbk_model_last_json(engine->model, out, err);
    dbk_buffer_put_u8(out, '}');
    return result == DBK_OK && out->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a message") : result;
}

dbk_result dbk_engine_head_message(dbk_engine *engine, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_result result = put_head(engine, out, err);
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

void dbk_engine_on_publish(dbk_engine *engine, dbk_publish_fn publish, dbk_wanted_fn wanted, void *arg)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->turn);
    engine->publish = publish;
    engine->publish_wanted = wanted;
    engine->publish_arg = arg;
    port->mutex_unlock(port->ctx, engine->turn);
}

void dbk_engine_publish_head(dbk_engine *engine)
{
    if (!is_anyone_there(engine)) return;
    dbk_buffer *message = &engine->message;
    dbk_buffer_clear(message);
    if (put_head(engine, message, NULL) == DBK_OK) deliver(engine, NULL, message);
}

/* What was missed since `from`, one message per table, before the first live one. The turn is held. */
static dbk_result catch_up(dbk_listener *listener, const dbk_json_node *from, dbk_error *err)
{
    dbk_engine *engine = listener->engine;
    dbk_buffer answer;
    dbk_buffer_init(&answer, engine->port);
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < engine->definition->table_count; i++) {
        const dbk_table *table = &engine->definition->tables[i];
        if (listener->table && strcmp(listener->table, table->name) != 0) continue;
        dbk_buffer_clear(&answer);
        dbk_buffer_put_text(&answer, "{\"ok\":true");
        result = dbk_changes_answer(engine, table, from, &answer, err);
        dbk_buffer_put_u8(&answer, '}');
        if (result == DBK_OK && !dbk_buffer_text(&answer))
            result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a message");
        if (result == DBK_OK) listener->each(listener->arg, (const char *)answer.data, answer.size);
    }
    dbk_buffer_release(&answer);
    return result;
}

static void listener_free(dbk_listener *listener)
{
    dbk_free(listener->engine->port, listener->table);
    dbk_free(listener->engine->port, listener);
}

dbk_result dbk_engine_subscribe(dbk_engine *engine, const char *table, const char *from, dbk_change_fn each, void *arg,
                                void **out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (table && !dbk_definition_table(engine->definition, dbk_slice_text(table)))
        return dbk_fail(err, DBK_UNKNOWN_TABLE, "there is no table '%s'", table);
    if (engine->definition->no_feed) return dbk_changes_off(err);
    dbk_listener *listener = dbk_alloc_zero(port, 1, sizeof *listener);
    if (!listener) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    *listener =
        (dbk_listener){.engine = engine, .table = table ? dbk_copy_text(port, table) : NULL, .each = each, .arg = arg};
    if (table && !listener->table)
        return listener_free(listener), dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    const dbk_json_node *cursor = NULL;
    dbk_json_parser *parser = from ? dbk_json_parser_new(port) : NULL;
    dbk_result result = DBK_OK;
    if (from)
        result = parser ? dbk_json_parse(parser, dbk_slice_text(from), &cursor, err)
                        : dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    /* In one turn, so that no change falls between what was missed and what comes. */
    port->mutex_lock(port->ctx, engine->turn);
    if (result == DBK_OK && cursor) result = catch_up(listener, cursor, err);
    if (result == DBK_OK) {
        listener->next = engine->listeners;
        engine->listeners = listener;
    }
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_json_parser_free(parser);
    if (result != DBK_OK) return listener_free(listener), result;
    *out = listener;
    return DBK_OK;
}

void dbk_engine_unsubscribe(dbk_engine *engine, void *subscription)
{
    const dbk_port *port = engine->port;
    dbk_listener *gone = NULL;
    port->mutex_lock(port->ctx, engine->turn);
    for (dbk_listener **at = &engine->listeners; *at; at = &(*at)->next) {
        if (*at != subscription) continue;
        gone = *at;
        *at = gone->next;
        break;
    }
    port->mutex_unlock(port->ctx, engine->turn);
    if (gone) listener_free(gone);
}
