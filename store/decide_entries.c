/* Commands about entries: dismiss and undo, as the turn decides them. */
#include "store/turn.h"
#include "store/undo.h"

dbk_result dbk_turn_run_dismiss(dbk_engine *engine, const dbk_command *c, dbk_error *err)
{
    dbk_entry_id id;
    if (!dbk_entry_id_parse(c->entry->text, &id))
        return dbk_fail(err, DBK_BAD_COMMAND, "'entry' is no entry id (replica.incarnation.seq)");
    dbk_buffer data;
    dbk_buffer_init(&data, engine->port);
    dbk_buffer_put_text(&data, "{\"entry\":");
    dbk_json_put_string(&data, c->entry->text);
    dbk_buffer_put_u8(&data, '}');
    dbk_result result = data.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for an event")
                                    : dbk_model_engine_event(engine->model, &engine->draft, "daybook/inbox",
                                                             "daybook.dismissed", dbk_buffer_slice(&data), err);
    dbk_buffer_release(&data);
    return result;
}

/* It knows the log to its end, and so is alone in its turn. */
dbk_result dbk_turn_run_undo(dbk_engine *engine, dbk_error *err)
{
    if (!engine->undoing || !engine->undoing->undo)
        return dbk_fail(err, DBK_INTERNAL, "an undo is decided in a turn of its own");
    dbk_buffer_clear(&engine->undoing->kept);
    return dbk_model_undo(engine->model, &engine->draft, engine->undoing->undo, &engine->undoing->kept, err);
}
