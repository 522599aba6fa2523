/* An undo carried out within an entry: patches, deletes, puts, in the order of the tables, each in a
 * savepoint of its own. What a constraint stops waits for the others; a row that others depend on stays. */
#include "projector/rows/undo.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum dbk_undo_verb { DBK_UNDO_PATCH, DBK_UNDO_DELETE, DBK_UNDO_PUT } dbk_undo_verb;

typedef struct dbk_undo_step {
    dbk_undo_verb verb;
    const dbk_undo_row *row;
    long rank;
    size_t sort_at, sort_size; /* its key's parts, for the order */
    bool done;
} dbk_undo_step;

typedef struct dbk_undoing {
    dbk_model *model;
    dbk_draft *draft;
    const dbk_undo *undo;
    dbk_buffer steps, sort, command;
    dbk_buffer *kept;
    dbk_json_parser *parser;
} dbk_undoing;

/* ---- what there is to do */

typedef struct dbk_undo_count {
    unsigned mine, absent, lost, plus;
} dbk_undo_count;

static dbk_undo_count count_cells(const dbk_undo_row *row)
{
    dbk_undo_count count = {0};
    for (uint16_t i = 0; i < row->table->column_count; i++) {
        if (row->cells[i].mine) count.mine++;
        if (row->cells[i].mine && row->cells[i].absent) count.absent++;
        if (row->cells[i].lost) count.lost++;
        if (row->cells[i].plus != 0) count.plus++;
    }
    return count;
}

static void keep_row(dbk_undoing *u, const dbk_undo_row *row, bool lost_only, const char *reason)
{
    dbk_buffer *out = u->kept;
    bool first = true;
    dbk_buffer_put_text(out, out->size ? ",{\"table\":" : "{\"table\":");
    dbk_json_put_string(out, dbk_slice_text(row->table->name));
    dbk_buffer_put_text(out, ",\"key\":");
    dbk_key_to_json(row->table, row->key, out);
    dbk_buffer_put_text(out, ",\"columns\":[");
    for (uint16_t i = 0; i < row->table->column_count; i++) { /* in order of the names' bytes */
        uint16_t column = row->table->by_name[i];
        const dbk_undo_cell *cell = &row->cells[column];
        if (lost_only ? !cell->lost : (cell->mine && cell->absent)) continue;
        if (!first) dbk_buffer_put_u8(out, ',');
        first = false;
        dbk_json_put_string(out, dbk_slice_text(row->table->columns[column].name));
    }
    dbk_buffer_printf(out, "],\"reason\":\"%s\"}", reason);
}

static void plan_step(dbk_undoing *u, dbk_undo_verb verb, const dbk_undo_row *row)
{
    long rank = (long)(row->table - u->undo->definition->tables);
    dbk_undo_step step = {
        .verb = verb, .row = row, .rank = verb == DBK_UNDO_DELETE ? -rank : rank, .sort_at = u->sort.size};
    dbk_slice rest = row->key;
    dbk_buffer *part = &u->model->work->part;
    while (rest.size > 0 && dbk_key_next(&rest, part)) {
        dbk_buffer_put_slice(&u->sort, dbk_buffer_slice(part));
        dbk_buffer_put_u8(&u->sort, 0); /* below every byte of a key: parts compare one by one */
    }
    step.sort_size = u->sort.size - step.sort_at;
    dbk_buffer_put(&u->steps, &step, sizeof step);
}

static void plan_row(dbk_undoing *u, const dbk_undo_row *row)
{
    dbk_undo_count count = count_cells(row);
    if (row->exists && count.lost > 0 && count.absent == 0) keep_row(u, row, true, "written since");
    if (count.mine == 0 && count.plus == 0) return;
    if (!row->exists) {
        if (count.absent < count.mine) plan_step(u, DBK_UNDO_PUT, row);
        return;
    }
    if (count.absent == 0) plan_step(u, DBK_UNDO_PATCH, row);
    else if (count.absent == row->table->column_count) plan_step(u, DBK_UNDO_DELETE, row);
    else {
        keep_row(u, row, false, "others wrote to it");
        if (count.absent < count.mine) plan_step(u, DBK_UNDO_PATCH, row);
    }
}

static int compare_names(const void *a, const void *b)
{
    const dbk_undo_row *const *left = a, *const *right = b;
    int order = strcmp((*left)->table->name, (*right)->table->name);
    return order ? order : dbk_slice_compare((*left)->key, (*right)->key);
}

static int compare_steps(const void *a, const void *b, void *arg)
{
    const dbk_undo_step *left = a, *right = b;
    const dbk_undoing *u = arg;
    if (left->verb != right->verb) return left->verb < right->verb ? -1 : 1;
    if (left->rank != right->rank) return left->rank < right->rank ? -1 : 1;
    return dbk_slice_compare(dbk_slice_of(u->sort.data + left->sort_at, left->sort_size),
                             dbk_slice_of(u->sort.data + right->sort_at, right->sort_size));
}

static dbk_result plan(dbk_undoing *u, dbk_error *err)
{
    const dbk_undo_row *rows = (const dbk_undo_row *)(const void *)u->undo->rows.data;
    size_t count = u->undo->rows.size / sizeof *rows;
    const dbk_undo_row **sorted = dbk_alloc_zero(u->model->port, count + 1, sizeof *sorted);
    if (!sorted) return dbk_row_no_memory(err);
    for (size_t i = 0; i < count; i++) sorted[i] = &rows[i];
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (size_t i = 0; i < count; i++) plan_row(u, sorted[i]);
    dbk_free(u->model->port, (void *)sorted);
    if (u->steps.failed || u->sort.failed || u->kept->failed) return dbk_row_no_memory(err);
    size_t steps = u->steps.size / sizeof(dbk_undo_step);
    if (steps) qsort_r(u->steps.data, steps, sizeof(dbk_undo_step), compare_steps, u);
    return DBK_OK;
}

/* ---- one step */

static void put_cell(dbk_undoing *u, const dbk_undo_row *row, uint16_t column, dbk_slice value)
{
    if (row->table->columns[column].key_part) return;
    if (u->command.data[u->command.size - 1] != '{') dbk_buffer_put_u8(&u->command, ',');
    dbk_json_put_string(&u->command, dbk_slice_text(row->table->columns[column].name));
    dbk_buffer_put_u8(&u->command, ':');
    dbk_buffer_put_slice(&u->command, value);
}

/* A counter loses what was added, and keeps what others added. */
static void put_less(dbk_undoing *u, const dbk_undo_row *row, uint16_t column, double plus)
{
    char text[64];
    bool whole = plus > -9e15 && plus < 9e15 && plus == (double)(int64_t)plus;
    if (whole) snprintf(text, sizeof text, "{\"+\":%lld}", (long long)-(int64_t)plus);
    else snprintf(text, sizeof text, "{\"+\":%.17g}", -plus);
    put_cell(u, row, column, dbk_slice_text(text));
}

/* The row as it was before it went, where nothing older is to come back. */
static dbk_result put_gone(dbk_undoing *u, const dbk_undo_row *row, dbk_error *err)
{
    const dbk_json_node *gone, *value;
    dbk_result result = dbk_json_parse(u->parser, row->gone, &gone, err);
    if (result != DBK_OK) return result;
    value = gone + 1;
    for (uint16_t i = 0; i < row->table->column_count; i++, value = dbk_json_next(value)) {
        dbk_buffer text;
        dbk_buffer_init(&text, u->model->port);
        dbk_json_put_minimal(&text, value);
        bool older = row->cells[i].mine && !row->cells[i].absent;
        put_cell(u, row, i, older ? row->cells[i].value : dbk_buffer_slice(&text));
        if (text.failed) u->command.failed = true;
        dbk_buffer_release(&text);
    }
    return DBK_OK;
}

static dbk_result write_command(dbk_undoing *u, const dbk_undo_step *step, dbk_error *err)
{
    const dbk_undo_row *row = step->row;
    bool less =
        step->verb == DBK_UNDO_PATCH && count_cells(row).absent == 0; /* what they made stays as it is, or goes */
    dbk_result result = DBK_OK;
    dbk_buffer_clear(&u->command);
    dbk_buffer_put_text(&u->command, "{\"key\":");
    dbk_key_to_json(row->table, row->key, &u->command);
    dbk_buffer_put_text(&u->command, ",\"data\":{");
    if (u->command.failed) return dbk_row_no_memory(err);
    if (step->verb == DBK_UNDO_PUT && row->gone.size > 0) {
        result = put_gone(u, row, err);
    } else {
        for (uint16_t i = 0; i < row->table->column_count; i++) {
            const dbk_undo_cell *cell = &row->cells[i];
            if (cell->plus != 0 && less) put_less(u, row, i, cell->plus);
            else if (cell->mine && !cell->absent) put_cell(u, row, i, cell->value);
        }
    }
    dbk_buffer_put_text(&u->command, "}}");
    return result == DBK_OK && u->command.failed ? dbk_row_no_memory(err) : result;
}

static dbk_result exists(dbk_undoing *u, const dbk_undo_row *row, bool *yes, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_row_read(u->model, row->table, row->key, &statement, err);
    *yes = result == DBK_OK;
    if (result == DBK_OK) (void)sqlite3_reset(statement);
    return result == DBK_NONE ? DBK_OK : result;
}

static dbk_result run_step(dbk_undoing *u, const dbk_undo_step *step, dbk_error *err)
{
    const dbk_json_node *root;
    bool there = true;
    dbk_result result = write_command(u, step, err);
    if (result == DBK_OK && step->verb == DBK_UNDO_PATCH) result = exists(u, step->row, &there, err);
    if (result == DBK_OK && !there)
        return dbk_fail(err, DBK_CONSTRAINT, "the row of '%s' went", step->row->table->name);
    if (result == DBK_OK) result = dbk_json_parse(u->parser, dbk_buffer_slice(&u->command), &root, err);
    if (result != DBK_OK) return result;
    dbk_slice table = dbk_slice_text(step->row->table->name);
    const dbk_json_node *key = dbk_json_member(root, "key");
    if (step->verb == DBK_UNDO_DELETE) return dbk_model_delete(u->model, u->draft, table, key, NULL, err);
    return dbk_model_put(u->model, u->draft, table, key, dbk_json_member(root, "data"), NULL, err);
}

/* Whether a column of the row that differs from before the entry was written last by others. */
static dbk_result takes_from_others(dbk_undoing *u, const dbk_touched *touched, dbk_slice before, bool *foreign,
                                    dbk_error *err)
{
    const dbk_undo_row *row = dbk_undo_find(u->undo, touched->table, touched->key);
    const dbk_json_node *was, *old = NULL;
    sqlite3_stmt *statement;
    dbk_buffer value, earlier;
    if (!touched->table->collection || !touched->existed) return DBK_OK;
    dbk_result result = dbk_json_parse(u->parser, before, &was, err);
    if (result == DBK_OK) result = dbk_row_read(u->model, touched->table, touched->key, &statement, err);
    bool gone = result == DBK_NONE;
    if (result != DBK_OK && !gone) return result;
    dbk_buffer_init(&value, u->model->port);
    dbk_buffer_init(&earlier, u->model->port);
    for (uint16_t i = 0; i < touched->table->column_count; i++) {
        old = i ? dbk_json_next(old) : was + 1;
        dbk_buffer_clear(&value);
        dbk_buffer_clear(&earlier);
        dbk_json_put_minimal(&earlier, old);
        if (!gone) dbk_value_out(touched->table->columns[i].type, sqlite3_column_value(statement, i), true, &value);
        bool changed = gone || !dbk_slice_equal(dbk_buffer_slice(&value), dbk_buffer_slice(&earlier));
        if (changed && !(row && row->cells[i].mine)) *foreign = true;
    }
    bool failed = value.failed || earlier.failed;
    if (!gone) (void)sqlite3_reset(statement);
    dbk_buffer_release(&value);
    dbk_buffer_release(&earlier);
    return failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result is_foreign(dbk_undoing *u, size_t place, bool *foreign, dbk_error *err)
{
    dbk_result result = DBK_OK;
    size_t index;
    *foreign = false;
    for (size_t i = 0; result == DBK_OK && !*foreign && dbk_observer_step(u->model->observer, place + i, &index); i++) {
        size_t count;
        const dbk_touched *touched = dbk_observer_touched(u->model->observer, &count);
        result = takes_from_others(u, &touched[index], dbk_observer_before(u->model->observer, index), foreign, err);
    }
    return result;
}

/* ---- savepoints of steps */

typedef struct dbk_undo_mark {
    size_t place, events, named, named_keys;
    uint32_t event_count;
    dbk_hash128 difference;
} dbk_undo_mark;

static dbk_result set_mark(dbk_undoing *u, dbk_undo_mark *mark, dbk_error *err)
{
    dbk_model *model = u->model;
    mark->place = dbk_observer_place(model->observer, &mark->difference);
    mark->events = u->draft->events.size;
    mark->event_count = u->draft->event_count;
    mark->named = model->work->named_count;
    mark->named_keys = model->work->named_keys.size;
    int rc = sqlite3_exec(model->db, "SAVEPOINT _daybook_step", NULL, NULL, NULL);
    return rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(model, rc, "begin a step", err);
}

static dbk_result back_to_mark(dbk_undoing *u, const dbk_undo_mark *mark, dbk_error *err)
{
    dbk_model *model = u->model;
    int rc = sqlite3_exec(model->db, "ROLLBACK TO _daybook_step; RELEASE _daybook_step", NULL, NULL, NULL);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "take a step back", err);
    dbk_observer_back_to(model->observer, mark->place, mark->difference);
    u->draft->events.size = mark->events;
    u->draft->event_count = mark->event_count;
    dbk_buffer_clear(&u->draft->detail);
    model->work->named_count = mark->named;
    model->work->named_keys.size = mark->named_keys;
    return DBK_OK;
}

/* *done false: a constraint, or rows of others, stand in the way. */
static dbk_result try_step(dbk_undoing *u, const dbk_undo_step *step, bool *done, dbk_error *err)
{
    dbk_undo_mark mark;
    bool there = true, foreign = false;
    dbk_sql_role role = u->model->sandbox.role;
    *done = true;
    dbk_result result = step->verb == DBK_UNDO_DELETE ? exists(u, step->row, &there, err) : DBK_OK;
    if (result != DBK_OK || !there) return result; /* gone by a cascade of an earlier step */
    u->model->sandbox.role = DBK_SQL_ENGINE;
    result = set_mark(u, &mark, err);
    u->model->sandbox.role = role;
    if (result != DBK_OK) return result;
    dbk_result outcome = run_step(u, step, err);
    if (outcome == DBK_OK && step->verb == DBK_UNDO_DELETE) outcome = is_foreign(u, mark.place, &foreign, err);
    u->model->sandbox.role = DBK_SQL_ENGINE;
    if (outcome == DBK_OK && !foreign) {
        int rc = sqlite3_exec(u->model->db, "RELEASE _daybook_step", NULL, NULL, NULL);
        result = rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(u->model, rc, "end a step", err);
    } else if (outcome == DBK_OK || outcome == DBK_CONSTRAINT) {
        *done = false;
        result = back_to_mark(u, &mark, err);
    } else {
        result = outcome;
    }
    u->model->sandbox.role = role;
    return result;
}

/* ---- all of them */

static dbk_result refuse_rest(dbk_undoing *u, dbk_error *err)
{
    const dbk_undo_step *steps = (const dbk_undo_step *)(const void *)u->steps.data;
    size_t count = u->steps.size / sizeof *steps;
    for (size_t i = 0; i < count; i++) {
        if (steps[i].done || steps[i].verb == DBK_UNDO_DELETE) continue;
        (void)dbk_fail(err, DBK_CONSTRAINT, "'%s/%.*s' cannot be put back as it was", steps[i].row->table->name,
                       DBK_SLICE_ARG(steps[i].row->key));
        dbk_error_hint(err, "undo what stands in its way first");
        return DBK_CONSTRAINT;
    }
    for (size_t i = 0; i < count; i++)
        if (!steps[i].done) keep_row(u, steps[i].row, false, "rows of others depend on it");
    return u->kept->failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result run_all(dbk_undoing *u, dbk_error *err)
{
    dbk_undo_step *steps = (dbk_undo_step *)(void *)u->steps.data;
    size_t count = u->steps.size / sizeof *steps, left = count, before;
    do {
        before = left;
        for (size_t i = 0; i < count; i++) {
            if (steps[i].done) continue;
            dbk_result result = try_step(u, &steps[i], &steps[i].done, err);
            if (result != DBK_OK) return result;
            left -= steps[i].done;
        }
    } while (left > 0 && left < before);
    return left > 0 ? refuse_rest(u, err) : DBK_OK;
}

static dbk_result run_rows(dbk_undoing *u, dbk_error *err)
{
    dbk_result result = plan(u, err);
    return result == DBK_OK ? run_all(u, err) : result;
}

/* What the events had built on the rows goes before the rows; where that fails, the rows come back first. */
static dbk_result run_both(dbk_undoing *u, dbk_error *err)
{
    dbk_undo_mark mark;
    dbk_sql_role role = u->model->sandbox.role;
    size_t kept = u->kept->size;
    u->model->sandbox.role = DBK_SQL_ENGINE;
    dbk_result result = set_mark(u, &mark, err);
    u->model->sandbox.role = role;
    if (result != DBK_OK) return result;
    dbk_result outcome = dbk_undo_run_events(u->model, u->draft, u->undo, u->parser, u->kept, err);
    if (outcome == DBK_OK) outcome = run_rows(u, err);
    if (outcome != DBK_OK && outcome != DBK_CONSTRAINT && outcome != DBK_REJECTED) return outcome;
    u->model->sandbox.role = DBK_SQL_ENGINE;
    if (outcome == DBK_OK) {
        int rc = sqlite3_exec(u->model->db, "RELEASE _daybook_step", NULL, NULL, NULL);
        if (rc != SQLITE_OK) result = dbk_model_sql_failure(u->model, rc, "end a step", err);
    } else {
        result = back_to_mark(u, &mark, err);
    }
    u->model->sandbox.role = role;
    if (result != DBK_OK || outcome == DBK_OK) return result;
    u->kept->size = kept;
    dbk_buffer_clear(&u->steps);
    dbk_buffer_clear(&u->sort);
    result = run_rows(u, err);
    return result == DBK_OK ? dbk_undo_run_events(u->model, u->draft, u->undo, u->parser, u->kept, err) : result;
}

dbk_result dbk_model_undo(dbk_model *model, dbk_draft *draft, const dbk_undo *undo, dbk_buffer *kept, dbk_error *err)
{
    dbk_undoing u = {.model = model, .draft = draft, .undo = undo, .kept = kept};
    dbk_buffer_init(&u.steps, model->port);
    dbk_buffer_init(&u.sort, model->port);
    dbk_buffer_init(&u.command, model->port);
    u.parser = dbk_json_parser_new(model->port);
    dbk_result result = u.parser ? dbk_row_savepoint(model, err) : dbk_row_no_memory(err);
    draft->undo = model->undo = true;
    dbk_observer_keep_before(model->observer, true, false);
    if (result == DBK_OK) result = undo->events.size ? run_both(&u, err) : run_rows(&u, err);
    dbk_observer_keep_before(model->observer, false, false);
    dbk_json_parser_free(u.parser);
    dbk_buffer_release(&u.steps);
    dbk_buffer_release(&u.sort);
    dbk_buffer_release(&u.command);
    return result;
}
