/* Facts: the fold's step (semantics.md §4). An entry projects whole, or is a row of the skip list:
 *
 *   suffixed     it applies, but a UNIQUE value was taken and had to change
 *   duplicate    another entry of the same command id and content applies
 *   superseded   a patch or delete found no row, or a projection changes none
 *   skipped      a constraint does not hold, or the command id was used with other content
 *   waiting      it was decided under a definition this one does not know, and fails here */
#include "projector/rows/rules.h"

typedef struct verdict {
    const char *state;
    const char *reason;
    char against[DBK_ENTRY_ID_TEXT_SIZE];
} verdict;

/* ---- rows */

/* DBK_NONE: it counts in a column that has no rule for it any more. */
static dbk_result take_values(dbk_model *model, const dbk_table *table, const dbk_json_node *data, dbk_mask *named,
                              dbk_error *err)
{
    dbk_row_work *work = model->work;
    const dbk_json_node *child;

    *named = (dbk_mask){0};
    if (data->kind != DBK_JSON_OBJECT) return dbk_fail(err, DBK_SCHEMA, "the data of a row event is an object");
    child = dbk_json_child(data);
    for (uint32_t i = 0, place = 0; i < data->count; i++, child = dbk_json_next(child)) {
        int column = dbk_table_column_sorted(table, child->name, &place);
        if (column < 0 || dbk_row_is_key(table, column)) continue;
        if (dbk_field_is_change(table, column, child)) return DBK_NONE;
        dbk_result result =
            dbk_cell_of_json(&table->columns[column], table->name, child, &work->made, &work->cells[column], err);
        if (result != DBK_OK) return result;
        dbk_mask_add(named, column);
    }
    return DBK_OK;
}

static dbk_result run_masked(dbk_model *model, const dbk_table *table, dbk_slice key, bool insert, const dbk_mask *mask,
                             int *changes, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_row_prepare_masked(model, table, insert, mask, &statement, err);

    *changes = 0;
    if (result == DBK_OK) result = dbk_row_bind(model, table, key, mask, insert, statement, err);
    if (result != DBK_OK) return result;
    return insert ? dbk_row_run(model, statement, "put the row", changes, err)
                  : dbk_row_run_update(model, table, mask, statement, changes, err);
}

static dbk_result superseded(dbk_model *model, const dbk_table *table, dbk_slice key, const char *reason,
                             dbk_error *err)
{
    dbk_result result = dbk_row_last_writer(model, table, key, model->work->against, err);

    if (result != DBK_OK) return result;
    model->work->superseded = true;
    return dbk_fail(err, DBK_REJECTED, "%s", reason);
}

static dbk_result row_exists(dbk_model *model, const dbk_table *table, dbk_slice key, bool *exists, dbk_error *err)
{
    sqlite3_stmt *row;
    dbk_result result = dbk_row_read(model, table, key, &row, err);

    *exists = result == DBK_OK;
    if (result == DBK_OK) (void)sqlite3_reset(row);
    return result == DBK_NONE ? DBK_OK : result;
}

static void remove_filled(const dbk_table *table, const dbk_event *event, dbk_mask *mask)
{
    dbk_slice rest = event->filled, name;

    while (dbk_name_next(&rest, &name)) {
        int column = dbk_table_column(table, name);
        if (column >= 0) mask->words[column >> 6] &= ~(UINT64_C(1) << (column & 63));
    }
}

/* A .put that meets a row sets what its author named, not what the engine filled in (F9). NOT NULL
 * and CHECK are looked at before SQLite finds the row, so their refusal counts only where there is
 * none. */
static dbk_result fact_put(dbk_model *model, const dbk_table *table, dbk_slice key, const dbk_event *event,
                           const dbk_mask *named, dbk_error *err)
{
    dbk_mask whole = *named, rest = *named;
    dbk_error other;
    bool exists;
    int changes;

    for (uint16_t i = 0; i < table->key_count; i++) dbk_mask_add(&whole, table->key_columns[i]);
    dbk_observer_statement_mark(model->observer);
    dbk_result refusal = run_masked(model, table, key, true, &whole, &changes, err);
    if (refusal != DBK_OK && refusal != DBK_CONSTRAINT) return refusal;
    if (changes > 0) return dbk_row_name(model, table, key, true, err);
    if (refusal == DBK_CONSTRAINT) dbk_observer_statement_drop(model->observer);
    dbk_result result = row_exists(model, table, key, &exists, &other);
    if (result == DBK_OK && !exists && refusal == DBK_OK) {
        return dbk_fail(err, DBK_INTERNAL, "'%.*s' neither was made nor is there", DBK_SLICE_ARG(event->stream));
    }
    if (result == DBK_OK && !exists) return refusal;
    remove_filled(table, event, &rest);
    if (result == DBK_OK && dbk_mask_is_empty(&rest)) return dbk_row_name(model, table, key, false, err);
    if (result == DBK_OK) result = run_masked(model, table, key, false, &rest, &changes, &other);
    if (result != DBK_OK && err) *err = other;
    return result == DBK_OK ? dbk_row_name(model, table, key, true, err) : result;
}

/* A column that was set later is not set, and still this entry wrote the row. */
static dbk_result fact_patch(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_mask *named, dbk_error *err)
{
    for (int i = 0; model->hidden && i < DBK_MASK_WORDS; i++) named->words[i] &= ~model->hidden->words[i];
    bool empty = dbk_mask_is_empty(named), exists = false;
    int changes = 0;
    dbk_result result = empty ? row_exists(model, table, key, &exists, err)
                              : run_masked(model, table, key, false, named, &changes, err);

    if (result != DBK_OK) return result;
    if (changes == 0 && !exists) return superseded(model, table, key, "no row to patch", err);
    return dbk_row_name(model, table, key, !empty || model->hidden, err);
}

static dbk_result fact_delete(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err)
{
    sqlite3_stmt *statement;
    int changes = 0;
    dbk_result result = dbk_row_prepare(model, table, DBK_ROW_DELETE, &statement, err);

    if (result != DBK_OK) return result;
    if (!dbk_key_bind(table, key, statement, 1, &model->work->part)) {
        return dbk_row_bad_key(model, table, key, err);
    }
    result = dbk_row_delete(model, table, key, statement, &changes, err);
    if (result != DBK_OK) return result;
    if (changes == 0) return superseded(model, table, key, "no row to delete", err);
    return dbk_row_name(model, table, key, true, err);
}

static dbk_result fact_row(dbk_model *model, const dbk_event *event, const dbk_table *table, dbk_row_op op,
                           dbk_error *err)
{
    const dbk_json_node *data = NULL;
    dbk_slice key;
    dbk_mask named;
    dbk_result result;

    if (!table->collection) return dbk_fail(err, DBK_REJECTED, "'%s' is written by projections", table->name);
    if (!dbk_row_key_of(table, event->stream, &key))
        return dbk_fail(err, DBK_SCHEMA, "the stream '%.*s' names no row", DBK_SLICE_ARG(event->stream));
    dbk_buffer_clear(&model->work->made);
    result = dbk_json_parse(model->work->parser, event->data, &data, err);
    if (result != DBK_OK) return result;
    bool ruled = dbk_rules_merge(table);
    if (!ruled && op != DBK_OP_DELETED) result = take_values(model, table, data, &named, err);
    if (ruled || result == DBK_NONE) {
        result = dbk_row_ruled_fact(model, event, table, op, key, data, err);
    } else if (result != DBK_OK) {
        return result;
    } else if (op == DBK_OP_PUT) {
        result = fact_put(model, table, key, event, &named, err);
    } else if (op == DBK_OP_PATCHED) {
        result = fact_patch(model, table, key, &named, err);
    } else {
        result = fact_delete(model, table, key, err);
    }
    return result == DBK_OK ? dbk_project_event(model, event, data, err) : result;
}

/* ---- the entry */

/* To an async model events of rows are events like others. */
static bool is_row_event(const dbk_model *model, const dbk_event *event, const dbk_table **table, dbk_row_op *op)
{
    return !dbk_row_is_async(model) && dbk_definition_row_event(model->definition, event->type, table, op);
}

/* The seqs of an author come in their order and begin with 1: where an entry's is its position, all before it is by
 * the same author, who was asked for the command id when it decided. */
static bool is_by_sole_author(const dbk_entry *entry, uint64_t position)
{
    return entry->id.seq == position;
}

/* The entry of the same command id that applies: the first in canonical order that projected (F2).
 */
static dbk_result find_first(dbk_model *model, uint64_t position, const dbk_entry *entry, bool *found, bool *same,
                             char against[DBK_ENTRY_ID_TEXT_SIZE], dbk_error *err)
{
    dbk_buffer *origin = &model->work->origin;
    uint64_t at = 0;

    *found = false;
    if (!model->log || entry->command_id.size == 0 || entry->event_count == 0) return DBK_OK;
    if (dbk_log_is_ordered(model->log)) at = position; /* what stands behind it is folded behind it */
    if (at > 0 && is_by_sole_author(entry, position)) return DBK_OK;
    for (;;) {
        dbk_entry other;
        int64_t received_ms;
        bool folded;
        dbk_result result = dbk_log_find_command(model->log, entry->command_id, at, &at, err);
        if (result != DBK_OK || at == 0) return result;
        if (at == position) continue;
        result = dbk_log_read(model->log, at, origin, &received_ms, err);
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(origin), &other, err);
        if (result != DBK_OK) return result;
        if (other.event_count == 0 || !dbk_slice_equal(other.command_id, entry->command_id)) continue;
        result = dbk_row_is_folded(model, at, &other, received_ms, &folded, err);
        if (result != DBK_OK) return result;
        if (!folded) continue;
        *found = true;
        *same = memcmp(other.command_hash, entry->command_hash, sizeof(other.command_hash)) == 0;
        dbk_entry_id_text(&other.id, against);
        return DBK_OK;
    }
}

static bool is_newer(const dbk_definition *definition, const dbk_entry *entry)
{
    if (memcmp(definition->hash, entry->definition, sizeof(definition->hash)) == 0) return false;
    for (uint32_t i = 0; i < definition->ancestor_count; i++) {
        if (memcmp(definition->ancestors[i], entry->definition, sizeof(definition->hash)) == 0) return false;
    }
    return true;
}

static dbk_result row_is_known(dbk_model *model, const dbk_event *event, const dbk_table *table, bool *known,
                               dbk_error *err)
{
    const dbk_json_node *data;
    dbk_slice rest = event->sealed, name, value;
    dbk_result result = dbk_json_parse(model->work->parser, event->data, &data, err);

    *known = result == DBK_OK && data->kind == DBK_JSON_OBJECT;
    if (result == DBK_NO_MEMORY) return result;
    const dbk_json_node *child = *known ? dbk_json_child(data) : NULL;
    for (uint32_t i = 0; *known && i < data->count; i++, child = dbk_json_next(child)) {
        *known = dbk_table_column(table, child->name) >= 0;
    }
    while (*known && dbk_sealed_next(&rest, &name, &value)) *known = dbk_table_column(table, name) >= 0;
    return DBK_OK;
}

/* Whether all its events mean something under this definition. */
static dbk_result is_known(dbk_model *model, const dbk_entry *entry, bool *known, dbk_error *err)
{
    dbk_slice rest = entry->events;
    const dbk_table *table;
    dbk_event event;
    dbk_row_op op;

    *known = true;
    while (*known && dbk_event_next(&rest, &event)) {
        if (dbk_event_is_engine(&event)) continue;
        if (dbk_definition_row_event(model->definition, event.type, &table, &op)) {
            dbk_result result = row_is_known(model, &event, table, known, err);
            if (result != DBK_OK) return result;
        } else {
            *known = dbk_project_count(model, event.type) > 0;
        }
    }
    return DBK_OK;
}

static dbk_result project_all(dbk_model *model, const dbk_entry *entry, dbk_error *err)
{
    dbk_slice rest = entry->events;
    const dbk_table *table;
    dbk_result result = DBK_OK;
    dbk_event event;
    dbk_row_op op;

    for (uint32_t i = 0; result == DBK_OK && dbk_event_next(&rest, &event); i++) {
        model->work->event_index = i;
        if (model->only.size > 0 && !dbk_slice_equal(event.stream, model->only)) continue;
        if (model->upcaster) result = dbk_upcast_event(model->upcaster, entry->time_ms, &event, err);
        if (result != DBK_OK) break;
        if (dbk_event_is_engine(&event)) {
            result = dbk_row_engine_event(model, &event, err);
        } else if (is_row_event(model, &event, &table, &op)) {
            result = fact_row(model, &event, table, op, err);
        } else {
            result = dbk_project_event(model, &event, NULL, err);
        }
    }
    return result == DBK_OK ? dbk_row_entry_finish(model, err) : result;
}

/* One event that one statement carries out undoes itself. */
static bool needs_savepoint(dbk_model *model, const dbk_entry *entry)
{
    dbk_slice rest = entry->events;
    const dbk_table *table;
    dbk_event event;
    dbk_row_op op;

    if (entry->event_count != 1 || !dbk_event_next(&rest, &event)) return entry->event_count != 0;
    if (dbk_event_is_engine(&event)) return false;
    if (!is_row_event(model, &event, &table, &op)) return dbk_project_count(model, event.type) > 0;
    return !table->self_contained || dbk_project_row(model, table, op);
}

static bool is_by_data(dbk_result result)
{
    switch (result) {
    case DBK_BAD_JSON:
    case DBK_BAD_COMMAND:
    case DBK_SCHEMA:
    case DBK_CONSTRAINT:
    case DBK_REJECTED:
    case DBK_TOO_BIG: return true;
    default: return false;
    }
}

static dbk_result write_skip(dbk_model *model, uint64_t position, const verdict *v, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result =
        dbk_model_statement(model, DBK_PLACE_SKIP_SET,
                            "INSERT OR REPLACE INTO _daybook_skips(entry,position,state,reason,against) "
                            "VALUES(?1,?2,?3,?4,?5)",
                            &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_text(statement, 1, model->work->id_text, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 2, (sqlite3_int64)position);
    (void)sqlite3_bind_text(statement, 3, v->state, -1, SQLITE_STATIC);
    int rc = sqlite3_bind_text(statement, 4, v->reason, -1, SQLITE_TRANSIENT);
    (void)sqlite3_bind_text(statement, 5, v->against, -1, SQLITE_STATIC);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "write the skip list", err);
    model->has_skips = true;
    return dbk_row_run(model, statement, "write the skip list", NULL, err);
}

dbk_result dbk_row_note_suffixed(dbk_model *model, const char *reason, dbk_error *err)
{
    verdict v = {.state = "suffixed", .reason = reason};

    return write_skip(model, model->work->position, &v, err);
}

static bool concerns(dbk_model *model, const dbk_entry *entry)
{
    dbk_event event;

    for (dbk_slice rest = entry->events; dbk_event_next(&rest, &event);)
        if (!dbk_event_is_engine(&event) && dbk_project_count(model, event.type) > 0) return true;
    return false;
}

/* As judge, for an async model: by whom an entry was decided says nothing about what it projects. */
static dbk_result judge_async(dbk_model *model, uint64_t position, const dbk_entry *entry, verdict *v,
                              dbk_error *failure)
{
    bool found, same;

    if (!concerns(model, entry)) return dbk_row_entry_finish(model, failure);
    if (dbk_orders_leave_out(model, &entry->id)) {
        v->state = "skipped";
        v->reason = DBK_ORDERED;
        return DBK_OK;
    }
    dbk_result result = find_first(model, position, entry, &found, &same, v->against, failure);
    if (result == DBK_OK && found) {
        v->state = same ? "duplicate" : "skipped";
        v->reason = same ? "" : "id_reused";
        return DBK_OK;
    }
    if (result == DBK_OK) result = dbk_budget_begin(model, failure);
    if (result == DBK_OK) result = project_all(model, entry, failure);
    if (is_by_data(result) || result == DBK_BUSY) dbk_row_stop(model, position, entry, failure->text);
    return result;
}

/* Projects the entry, or fills the verdict with a state (NULL: it projected). */
static dbk_result judge(dbk_model *model, uint64_t position, const dbk_entry *entry, verdict *v, dbk_error *failure)
{
    bool found, same, known = true, newer = is_newer(model->definition, entry);
    /* of one row alone it is known already which of several entries applied */
    dbk_result result = model->only.size > 0 ? (found = false, DBK_OK)
                                             : find_first(model, position, entry, &found, &same, v->against, failure);

    if (result != DBK_OK) return result;
    if (found) {
        v->state = same ? "duplicate" : newer ? "waiting" : "skipped";
        v->reason = same ? "" : "id_reused";
        return DBK_OK;
    }
    if (newer) result = is_known(model, entry, &known, failure);
    if (result == DBK_OK && known) result = dbk_step_bound_check(model, &entry->id, failure);
    if (result == DBK_OK && known) result = project_all(model, entry, failure);
    if (result == DBK_OK && !known) {
        v->state = "waiting";
        v->reason = "unknown";
    } else if (is_by_data(result)) {
        v->state = newer ? "waiting" : model->work->superseded ? "superseded" : "skipped";
        v->reason = failure->text;
        memcpy(v->against, model->work->against, sizeof(v->against));
        result = DBK_OK;
    }
    return result;
}

static void take_entry(dbk_row_work *work, uint64_t position, const dbk_entry *entry)
{
    work->id = entry->id;
    dbk_entry_order_key(entry, work->order);
    work->position = position;
    work->time_ms = entry->time_ms;
    work->command_id = entry->command_id;
    work->actor = entry->actor;
    work->correlation = entry->correlation;
    work->causation = entry->causation;
}

dbk_result dbk_model_apply(dbk_model *model, uint64_t position, dbk_slice origin, dbk_error *err)
{
    dbk_error failure = {0};
    verdict v = {0};
    dbk_entry entry;
    dbk_result result = dbk_entry_decode(origin, &entry, err);

    if (result != DBK_OK) return result;
    take_entry(model->work, position, &entry);
    model->deciding = false;
    model->undo = (entry.flags & DBK_ENTRY_UNDO) != 0;
    result = dbk_row_entry_start(model, needs_savepoint(model, &entry), &failure);
    if (result == DBK_OK)
        result = dbk_row_is_async(model) ? judge_async(model, position, &entry, &v, &failure)
                                         : judge(model, position, &entry, &v, &failure);
    if (result == DBK_OK && !v.state) return model->trail ? dbk_row_tell_trail(model, position, &entry, err) : DBK_OK;
    dbk_row_entry_undo(model);
    if (result == DBK_OK && sqlite3_get_autocommit(model->db)) {
        result = dbk_fail(&failure, DBK_INTERNAL, "SQLite gave up the transaction");
    }
    if (result == DBK_OK) result = write_skip(model, position, &v, &failure);
    if (result != DBK_OK && err) *err = failure;
    return result;
}
