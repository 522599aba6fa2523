/* What an entry changed, for history, explain and undo: its touched rows as the observer kept them from
 * before it, and as they stand behind it. */
#include "projector/rows/internal.h"

#include <stdlib.h>

dbk_result dbk_row_note_written(dbk_model *model, const dbk_table *table, dbk_slice key, const dbk_mask *columns,
                                dbk_error *err)
{
    dbk_buffer *written = &model->work->written;
    size_t count;

    if (!model->trail) return DBK_OK;
    const dbk_touched *touched = dbk_observer_touched(model->observer, &count);
    const dbk_touched *row = dbk_observer_find(model->observer, table, key);
    if (!row) return DBK_OK; /* nothing of it is told */
    dbk_buffer_put(written, &(dbk_row_written){(size_t)(row - touched), *columns}, sizeof(dbk_row_written));
    return written->failed ? dbk_row_no_memory(err) : DBK_OK;
}

static int compare_written(const void *a, const void *b)
{
    const dbk_row_written *left = a, *right = b;
    return (left->touched > right->touched) - (left->touched < right->touched);
}

/* In order of the rows, each once. */
static void sort_written(dbk_buffer *written)
{
    dbk_row_written *items = (dbk_row_written *)(void *)written->data;
    size_t count = written->size / sizeof *items, kept = 0;

    if (count) qsort(items, count, sizeof *items, compare_written);
    for (size_t i = 0; i < count; i++) {
        if (kept && items[kept - 1].touched == items[i].touched) {
            for (int k = 0; k < DBK_MASK_WORDS; k++) items[kept - 1].columns.words[k] |= items[i].columns.words[k];
        } else {
            items[kept++] = items[i];
        }
    }
    written->size = kept * sizeof *items;
}

/* The next of those that are sorted, if it is of that row. */
static const dbk_mask *next_written(const dbk_buffer *written, size_t *next, size_t touched)
{
    const dbk_row_written *items = (const dbk_row_written *)(const void *)written->data;
    if (*next == written->size / sizeof *items || items[*next].touched != touched) return NULL;
    return &items[(*next)++].columns;
}

static void put_row(const dbk_table *table, sqlite3_stmt *row, bool stored, dbk_buffer *out)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        dbk_buffer_put_u8(out, i ? ',' : '{');
        dbk_json_put_string(out, dbk_slice_text(table->columns[i].name));
        dbk_buffer_put_u8(out, ':');
        dbk_value_out(table->columns[i].type, sqlite3_column_value(row, i), stored, out);
    }
    dbk_buffer_put_u8(out, '}');
}

/* Appends the row as it stands; nothing where there is none. */
static dbk_result put_after(dbk_model *model, const dbk_touched *row, dbk_buffer *out, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_row_read(model, row->table, row->key, &statement, err);
    if (result == DBK_NONE) return DBK_OK;
    if (result != DBK_OK) return result;
    put_row(row->table, statement, !model->trail->shown, out);
    (void)sqlite3_reset(statement);
    return out->failed ? dbk_row_no_memory(err) : DBK_OK;
}

static bool is_asked(const dbk_trail *trail, const dbk_touched *row)
{
    if (!row->existed && !row->exists && !trail->passing) return false; /* it came and went within the entry */
    return !trail->table || (trail->table == row->table && dbk_slice_equal(trail->key, row->key));
}

/* The texts of `after` move while they are gathered: their places are noted and become slices at the end. */
static dbk_result gather(dbk_model *model, dbk_buffer *rows, dbk_buffer *after, dbk_error *err)
{
    size_t count, previous = 0, next = 0;
    const dbk_touched *touched = dbk_observer_touched(model->observer, &count);
    dbk_result result = DBK_OK;
    sort_written(&model->work->written);
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        const dbk_mask *written = next_written(&model->work->written, &next, i);
        if (!is_asked(model->trail, &touched[i])) continue;
        result = put_after(model, &touched[i], after, err);
        dbk_trail_row row = {.table = touched[i].table,
                             .key = touched[i].key,
                             .before = dbk_observer_before(model->observer, i),
                             .after = {NULL, after->size - previous},
                             .anew = touched[i].existed && touched[i].exists && touched[i].went,
                             .written = written};
        previous = after->size;
        dbk_buffer_put(rows, &row, sizeof row);
    }
    return result == DBK_OK && rows->failed ? dbk_row_no_memory(err) : result;
}

dbk_result dbk_row_tell_trail(dbk_model *model, uint64_t position, const dbk_entry *entry, dbk_error *err)
{
    const dbk_trail *trail = model->trail;
    dbk_buffer rows, after;
    if (trail->position && trail->position != position) return DBK_OK;
    if (trail->bounded && memcmp(model->work->order, trail->first, sizeof trail->first) < 0) return DBK_OK;
    dbk_buffer_init(&rows, model->port);
    dbk_buffer_init(&after, model->port);
    dbk_result result = gather(model, &rows, &after, err);
    dbk_trail_row *items = (dbk_trail_row *)(void *)rows.data;
    size_t count = rows.size / sizeof *items, at = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].after.size) items[i].after.data = after.data + at;
        at += items[i].after.size;
    }
    if (result == DBK_OK && count > 0) result = trail->each(trail->arg, position, entry, items, count, err);
    dbk_buffer_release(&rows);
    dbk_buffer_release(&after);
    return result;
}

void dbk_model_follow(dbk_model *model, const dbk_trail *trail)
{
    model->trail = trail;
    dbk_observer_keep_before(model->observer, trail != NULL, trail && trail->shown);
}
