/* One entry, whole: begun, then put, patch, delete, append or the events of a fact, then ended or
 * dropped. A savepoint is made where more than one statement can change something; a single
 * statement undoes itself when it fails. */
#include "projector/rows/rules.h"

/* Lack of memory is no property of the key: a fact must not be skipped for it. */
dbk_result dbk_row_bad_key(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err)
{
    if (model->work->part.failed || sqlite3_errcode(model->db) == SQLITE_NOMEM) return dbk_row_no_memory(err);
    return dbk_fail(err, DBK_SCHEMA, "'%.*s' is not a key of '%s'", DBK_SLICE_ARG(key), table->name);
}

dbk_result dbk_row_no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "out of memory");
}

void dbk_draft_init(dbk_draft *draft, const dbk_port *port)
{
    *draft = (dbk_draft){0};
    dbk_buffer_init(&draft->events, port);
    dbk_buffer_init(&draft->key, port);
    dbk_buffer_init(&draft->last_stream_text, port);
    dbk_buffer_init(&draft->detail, port);
    dbk_buffer_init(&draft->result, port);
    dbk_buffer_init(&draft->warning, port);
}

void dbk_draft_clear(dbk_draft *draft)
{
    dbk_draft kept = *draft;

    *draft = (dbk_draft){.events = kept.events,
                         .key = kept.key,
                         .last_stream_text = kept.last_stream_text,
                         .detail = kept.detail,
                         .result = kept.result,
                         .warning = kept.warning};
    dbk_buffer_clear(&draft->events);
    dbk_buffer_clear(&draft->key);
    dbk_buffer_clear(&draft->last_stream_text);
    dbk_buffer_clear(&draft->detail);
    dbk_buffer_clear(&draft->result);
    dbk_buffer_clear(&draft->warning);
}

void dbk_draft_release(dbk_draft *draft)
{
    dbk_buffer_release(&draft->events);
    dbk_buffer_release(&draft->key);
    dbk_buffer_release(&draft->last_stream_text);
    dbk_buffer_release(&draft->detail);
    dbk_buffer_release(&draft->result);
    dbk_buffer_release(&draft->warning);
}

/* tables.<t>.messages; a constraint's name says its table, or is the app's own. */
static const char *words_for(const dbk_definition *definition, dbk_slice constraint)
{
    for (size_t i = 0; i < definition->table_count; i++) {
        const dbk_rules *rules = definition->tables[i].rules;
        for (size_t k = 0; rules && k < rules->message_count; k++)
            if (dbk_slice_equal(dbk_slice_text(rules->messages[k].constraint), constraint))
                return rules->messages[k].text;
    }
    return NULL;
}

/* "UNIQUE notes.title", "FOREIGN KEY": the text up to what is said about it. */
dbk_result dbk_row_note_constraint(dbk_model *model, dbk_draft *draft, dbk_result result, dbk_error *err)
{
    if (result != DBK_CONSTRAINT || !err || draft->detail.size) return result;
    dbk_slice name = dbk_slice_of(err->text, strcspn(err->text, ":"));
    const char *words = words_for(model->definition, name);
    dbk_buffer_put_text(&draft->detail, "\"constraint\":");
    dbk_json_put_string(&draft->detail, name);
    return words ? dbk_fail(err, DBK_CONSTRAINT, "%s", words) : result;
}

static dbk_result run_fixed(dbk_model *model, int place, const char *sql, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_model_statement(model, place, sql, &statement, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_step(statement);
    if (rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, sql, err);
    (void)sqlite3_reset(statement);
    return result;
}

dbk_result dbk_row_savepoint(dbk_model *model, dbk_error *err)
{
    if (model->savepoint) return DBK_OK;
    dbk_result result = run_fixed(model, DBK_PLACE_SAVEPOINT, "SAVEPOINT _daybook_entry", err);
    model->savepoint = result == DBK_OK;
    return result;
}

dbk_result dbk_row_entry_start(dbk_model *model, bool savepoint, dbk_error *err)
{
    dbk_row_work *work = model->work;

    if (model->in_entry) return dbk_fail(err, DBK_INTERNAL, "an entry is open already");
    if (sqlite3_get_autocommit(model->db)) return dbk_fail(err, DBK_INTERNAL, "no transaction is open");
    dbk_arena_clear(model->arena);
    dbk_buffer_clear(&work->named_keys);
    dbk_buffer_clear(&work->written);
    work->named_count = 0;
    work->event_index = 0;
    work->wrote = work->superseded = false;
    work->against[0] = '\0';
    dbk_entry_id_text(&work->id, work->id_text);
    model->sandbox.time_ms = work->time_ms;
    dbk_observer_entry_begin(model->observer);
    dbk_observer_keep_inserted(model->observer, model->deciding);
    model->in_entry = true;
    model->savepoint = model->bounded = false;
    return savepoint ? dbk_row_savepoint(model, err) : DBK_OK;
}

dbk_result dbk_model_entry_begin(dbk_model *model, dbk_draft *draft, bool single, dbk_error *err)
{
    dbk_row_work *work = model->work;

    work->id = draft->id;
    memcpy(work->order, draft->order, sizeof(work->order));
    work->position = draft->position;
    work->time_ms = draft->time_ms;
    work->command_id = draft->command_id;
    work->actor = draft->actor;
    work->correlation = draft->correlation;
    work->causation = draft->causation;
    model->deciding = true;
    model->undo = draft->undo;
    dbk_result result = dbk_row_entry_start(model, !single || model->budget_bytes, err);
    return result == DBK_OK ? dbk_budget_begin(model, err) : result;
}

/* Without a savepoint nothing but the failed statement can have changed something, and that undid
 * itself; if another failure came after a statement that went well, the transaction has to go. */
void dbk_row_entry_undo(dbk_model *model)
{
    dbk_error ignored;
    bool back = true;

    if (!model->in_entry) return;
    if (!sqlite3_get_autocommit(model->db)) {
        if (model->savepoint) {
            back = run_fixed(model, DBK_PLACE_ROLLBACK, "ROLLBACK TO _daybook_entry", &ignored) == DBK_OK &&
                   run_fixed(model, DBK_PLACE_RELEASE, "RELEASE _daybook_entry", &ignored) == DBK_OK;
        } else {
            back = !model->work->wrote;
        }
        if (!back) (void)sqlite3_exec(model->db, "ROLLBACK", NULL, NULL, NULL);
    }
    dbk_observer_entry_drop(model->observer);
    model->in_entry = model->savepoint = false;
}

void dbk_model_entry_drop(dbk_model *model)
{
    dbk_row_entry_undo(model);
}

/* A deferred key that does not hold passes every savepoint and would fail the COMMIT. */
static dbk_result check_deferred(dbk_model *model, dbk_error *err)
{
    int now = 0, highest = 0;

    if (sqlite3_get_autocommit(model->db)) return dbk_fail(err, DBK_INTERNAL, "SQLite gave up the transaction");
    (void)sqlite3_db_status(model->db, SQLITE_DBSTATUS_DEFERRED_FKS, &now, &highest, 0);
    if (now == 0) return DBK_OK;
    return dbk_fail(err, DBK_CONSTRAINT, "FOREIGN KEY: a deferred foreign key does not hold");
}

dbk_result dbk_row_entry_finish(dbk_model *model, dbk_error *err)
{
    dbk_result result = model->has_surplus ? dbk_row_drop_surplus(model, err) : DBK_OK;

    if (result == DBK_OK) result = check_deferred(model, err);
    if (result == DBK_OK && !dbk_row_is_async(model)) result = dbk_row_records_keep(model, err);
    if (result == DBK_OK && model->bounded) result = dbk_budget_check(model, err);
    if (result == DBK_OK && model->savepoint)
        result = run_fixed(model, DBK_PLACE_RELEASE, "RELEASE _daybook_entry", err);
    if (result != DBK_OK) return result;
    model->in_entry = model->savepoint = false;
    return DBK_OK;
}

dbk_result dbk_model_entry_end(dbk_model *model, dbk_draft *draft, dbk_error *err)
{
    dbk_slice rest;
    dbk_result result;
    dbk_event event;

    if (!model->in_entry) return dbk_fail(err, DBK_INTERNAL, "no entry is open");
    if (model->bounded && dbk_budget_spares(model, draft)) model->bounded = false;
    result = dbk_row_entry_finish(model, err);
    if (result != DBK_OK) return dbk_row_note_constraint(model, draft, result, err);
    rest = dbk_buffer_slice(&draft->events);
    while (dbk_event_next(&rest, &event)) {
        if (dbk_fresh_add(model->fresh, event.stream, &draft->id, draft->position)) continue;
        /* the entry is in the transaction, but a later one would not see that it names the stream
         */
        (void)sqlite3_exec(model->db, "ROLLBACK", NULL, NULL, NULL);
        return dbk_row_no_memory(err);
    }
    return DBK_OK;
}

dbk_result dbk_row_name(dbk_model *model, const dbk_table *table, dbk_slice key, bool wrote, dbk_error *err)
{
    dbk_row_work *work = model->work;
    size_t at = work->named_keys.size;

    if (work->named_count == work->named_room) {
        size_t room = work->named_room ? 2 * work->named_room : 16;
        dbk_row_named *named = model->port->resize(model->port->ctx, work->named, room * sizeof(*named));
        if (!named) return dbk_row_no_memory(err);
        work->named = named;
        work->named_room = room;
    }
    dbk_buffer_put_slice(&work->named_keys, key);
    if (work->named_keys.failed) return dbk_row_no_memory(err);
    work->named[work->named_count++] = (dbk_row_named){table, at, key.size, wrote};
    return DBK_OK;
}

dbk_result dbk_row_emit(dbk_model *model, dbk_draft *draft, const dbk_event *event, const dbk_json_node *data,
                        dbk_error *err)
{
    dbk_event_encode(&draft->events, event);
    if (draft->events.failed) return dbk_row_no_memory(err);
    model->work->event_index = draft->event_count++;
    return dbk_project_event(model, event, data, err);
}
