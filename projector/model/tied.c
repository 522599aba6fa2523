/* Late entries about tables with foreign keys and UNIQUE (dbk_table.tied) that change nothing of what came behind them, and
 * that nothing behind them could have kept from applying. They are applied as they come.
 *
 * A row that is there, and that no entry behind the late one put, was there then: rows of collections come by puts alone.
 *   put       in a table without UNIQUE; the rows it refers to are there, and were then. Of a row that the log never named:
 *             nothing behind it refers to it, or it would have failed. Or of a row that is there, was then, and is named by
 *             nothing behind it: what it referred to before is there too, or its delete would have been left out, or have
 *             taken the row along
 *   patched   a row that is there and was then; columns that tie it stay as they are (under.c for patches behind it)
 *   deleted   a row that is there, was then, and is named by nothing behind it; of a table to which nobody refers
 * What was left out behind a late put or delete might apply now, so there must be nothing of the kind. Rows that only
 * entries of this round name are made and changed in their order: of these all is as it would have been.
 *
 * An entry applies whole or not at all, so each of its events must fit. Of several events none may have others behind it. */
#include "projector/model/amend.h"
#include "projector/rows/rules.h"

enum { SKIPS_MOST = 1000 };

void dbk_tied_init(dbk_tied *tied, dbk_model *model, uint64_t *looked)
{
    *tied = (dbk_tied){.model = model, .done = model->state.position, .looked = looked};
    dbk_buffer_init(&tied->origin, model->port);
    dbk_buffer_init(&tied->stream, model->port);
    dbk_buffer_init(&tied->skips, model->port);
}

void dbk_tied_release(dbk_tied *tied)
{
    dbk_fresh_free(tied->made);
    dbk_buffer_release(&tied->origin);
    dbk_buffer_release(&tied->stream);
    dbk_buffer_release(&tied->skips);
}

bool dbk_event_is_tied(dbk_model *model, const dbk_event *event)
{
    const dbk_table *table;
    dbk_row_op op;
    dbk_slice key;
    return dbk_definition_row_event(model->definition, event->type, &table, &op) && table->tied &&
           dbk_project_count(model, event->type) == 0 && dbk_row_key_of(table, event->stream, &key);
}

/* A put whose values others may have, a delete of a row to which others refer: never applied as it comes. */
static bool may_be_tied(dbk_model *model, const dbk_event *event)
{
    const dbk_table *table;
    dbk_row_op op;
    if (model->upcaster || !dbk_event_is_tied(model, event) ||
        !dbk_definition_row_event(model->definition, event->type, &table, &op))
        return false;
    return !(op == DBK_OP_PUT && table->unique) && !(op == DBK_OP_DELETED && table->referenced);
}

bool dbk_model_may_amend(dbk_model *model, const dbk_entry *entry)
{
    dbk_slice rest = entry->events;
    for (dbk_event event; dbk_event_next(&rest, &event);)
        if (!dbk_event_is_engine(&event) && !dbk_event_is_local(model, &event) && !may_be_tied(model, &event))
            return false;
    return true;
}

static bool is_made(const dbk_tied *tied, dbk_slice stream)
{
    dbk_entry_id id;
    uint64_t position;
    return tied->made && dbk_fresh_find(tied->made, stream, &id, &position);
}

static dbk_result remember(dbk_tied *tied, dbk_slice stream, dbk_error *err)
{
    static const dbk_entry_id nobody;
    if (!tied->made) tied->made = dbk_fresh_new(tied->model->port);
    return tied->made && dbk_fresh_add(tied->made, stream, &nobody, 1) ? DBK_OK : dbk_row_no_memory(err);
}

static dbk_result read_entry(dbk_tied *tied, uint64_t position, dbk_entry *entry, uint8_t key[DBK_ORDER_KEY_SIZE],
                             dbk_error *err)
{
    dbk_result result = dbk_log_read(tied->model->log, position, &tied->origin, NULL, err);
    if (result == DBK_NONE)
        result = dbk_fail(err, DBK_GAP, "entry at position %llu is missing", (unsigned long long)position);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&tied->origin), entry, err);
    if (result == DBK_OK) dbk_entry_order_key(entry, key);
    ++*tied->looked;
    return result;
}

/* ---- what was left out */

static dbk_result note_skip(void *arg, const dbk_skip *skip)
{
    dbk_tied *tied = arg;
    if (strcmp(skip->state, "suffixed") != 0) dbk_buffer_put_u64(&tied->skips, skip->position);
    return tied->skips.failed ? DBK_NO_MEMORY : DBK_OK;
}

/* Whether it applies depends on rows of row-local tables alone, and on command ids. */
static bool is_all_local(dbk_model *model, const dbk_entry *entry)
{
    dbk_slice rest = entry->events;
    for (dbk_event event; dbk_event_next(&rest, &event);)
        if (!dbk_event_is_local(model, &event)) return false;
    return true;
}

/* The highest order key among what the model left out and what a row of a tied table may help. */
static dbk_result find_left_out(dbk_tied *tied, dbk_error *err)
{
    dbk_result result = DBK_OK;
    tied->asked_left_out = true;
    if (!tied->model->has_skips) return DBK_OK;
    result = dbk_model_skips(tied->model, note_skip, tied, err);
    if (result != DBK_OK) return tied->skips.failed ? dbk_row_no_memory(err) : result;
    size_t count = tied->skips.size / sizeof(uint64_t);
    if (count > SKIPS_MOST) memset(tied->left_out, 0xff, sizeof tied->left_out);
    for (size_t i = 0; result == DBK_OK && i < count && count <= SKIPS_MOST; i++) {
        uint8_t key[DBK_ORDER_KEY_SIZE];
        dbk_entry entry;
        result = read_entry(tied, dbk_load_u64(tied->skips.data + i * sizeof(uint64_t)), &entry, key, err);
        if (result != DBK_OK || is_all_local(tied->model, &entry)) continue;
        if (memcmp(key, tied->left_out, sizeof key) > 0) memcpy(tied->left_out, key, sizeof key);
    }
    return result;
}

static dbk_result is_last_left_out_below(dbk_tied *tied, const uint8_t *key, bool *below, dbk_error *err)
{
    dbk_result result = tied->asked_left_out ? DBK_OK : find_left_out(tied, err);
    *below = result == DBK_OK && memcmp(tied->left_out, key, DBK_ORDER_KEY_SIZE) < 0;
    return result;
}

/* ---- rows and those who name them */

static bool has_put(const dbk_model *model, const dbk_entry *entry, dbk_slice stream)
{
    const dbk_table *table;
    dbk_row_op op;
    dbk_event event;
    for (dbk_slice rest = entry->events; dbk_event_next(&rest, &event);)
        if (dbk_slice_equal(event.stream, stream) &&
            (!dbk_definition_row_event(model->definition, event.type, &table, &op) || op == DBK_OP_PUT))
            return true;
    return false;
}

/* Of the entries that the model has and that sort above `key`: *named, some name the row; *put, some put it. */
static dbk_result ask_later(dbk_tied *tied, dbk_slice stream, const uint8_t *key, bool *named, bool *put,
                            dbk_error *err)
{
    *named = *put = false;
    for (uint64_t position = tied->done + 1; !*put;) {
        uint8_t other[DBK_ORDER_KEY_SIZE];
        dbk_entry entry;
        dbk_result result = dbk_log_find_stream(tied->model->log, stream, position, &position, err);
        if (result != DBK_OK || position <= tied->below) return result;
        result = read_entry(tied, position, &entry, other, err);
        if (result != DBK_OK) return result;
        if (memcmp(other, key, sizeof other) < 0) continue;
        *named = true;
        *put = has_put(tied->model, &entry, stream);
    }
    return DBK_OK;
}

/* It is there, nothing but its events changed it, and it was there at `key`. */
static dbk_result is_there(dbk_tied *tied, const dbk_table *table, dbk_slice stream, const uint8_t *key, bool *named,
                           bool *there, dbk_error *err)
{
    sqlite3_stmt *row;
    dbk_slice row_key;
    bool put, recorded = false;
    *there = false;
    if (dbk_rules_merge(table) || !dbk_row_key_of(table, stream, &row_key)) return DBK_OK;
    dbk_result result = dbk_row_read(tied->model, table, row_key, &row, err);
    if (result != DBK_OK) return result == DBK_NONE ? DBK_OK : result;
    (void)sqlite3_reset(row);
    result = dbk_row_has_record(tied->model, table, row_key, &recorded, err);
    if (result == DBK_OK && !recorded) result = ask_later(tied, stream, key, named, &put, err);
    *there = result == DBK_OK && !recorded && !put;
    return result;
}

/* ---- the rows that a new one refers to */

/* The stream of the row; *fits false: its key is none. *none: a column is NULL, so there is no such row to ask for. */
static dbk_result name_parent(dbk_tied *tied, const dbk_table *table, const dbk_reference *reference,
                              const dbk_json_node *data, bool *none, bool *fits, dbk_error *err)
{
    const dbk_table *parent = reference->parent;
    *none = false;
    dbk_buffer_clear(&tied->stream);
    dbk_buffer_put_text(&tied->stream, parent->name);
    for (uint16_t i = 0; *fits && i < parent->key_count; i++) {
        const dbk_json_node *value = dbk_json_member(data, table->columns[reference->columns[i]].name);
        *fits = value != NULL; /* a default is not looked into */
        if (!value) break;
        if (value->kind == DBK_JSON_NULL) *none = true;
        if (*none) break;
        dbk_buffer_put_u8(&tied->stream, '/');
        dbk_result result =
            dbk_key_part_put(parent, &parent->columns[parent->key_columns[i]], value, &tied->stream, NULL);
        if (result == DBK_NO_MEMORY || tied->stream.failed) return dbk_row_no_memory(err);
        *fits = result == DBK_OK;
    }
    return tied->stream.failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result has_parents(dbk_tied *tied, const dbk_table *table, const dbk_event *event, const uint8_t *key,
                              bool *fits, dbk_error *err)
{
    const dbk_json_node *data;
    dbk_result result = dbk_json_parse(tied->model->work->parser, event->data, &data, NULL);
    if (result == DBK_NO_MEMORY) return dbk_row_no_memory(err);
    *fits = result == DBK_OK && data->kind == DBK_JSON_OBJECT;
    result = DBK_OK;
    for (uint16_t i = 0; result == DBK_OK && *fits && i < table->reference_count; i++) {
        bool none, named;
        result = name_parent(tied, table, &table->references[i], data, &none, fits, err);
        dbk_slice stream = dbk_buffer_slice(&tied->stream);
        if (result != DBK_OK || !*fits || none || is_made(tied, stream)) continue;
        result = is_there(tied, table->references[i].parent, stream, key, &named, fits, err);
    }
    return result;
}

/* ---- the events */

static dbk_result put_fits(dbk_tied *tied, const dbk_table *table, const dbk_event *event, const uint8_t *key,
                           bool *named, bool *fits, dbk_error *err)
{
    uint64_t position = 0;
    bool may = true;
    *fits = false;
    if (table->unique) return DBK_OK;
    dbk_result result = dbk_log_find_stream(tied->model->log, event->stream, tied->done + 1, &position, err);
    if (result == DBK_OK && position > 0) result = is_there(tied, table, event->stream, key, named, &may, err);
    if (result == DBK_OK && may && !*named) result = is_last_left_out_below(tied, key, fits, err);
    if (result == DBK_OK && *fits) result = has_parents(tied, table, event, key, fits, err);
    return result == DBK_OK && *fits && position == 0 ? remember(tied, event->stream, err) : result;
}

static dbk_result event_fits(dbk_tied *tied, const dbk_event *event, const uint8_t *key, bool *named, bool *fits,
                             dbk_error *err)
{
    const dbk_table *table;
    dbk_row_op op;
    dbk_result result = DBK_OK;
    *named = *fits = false;
    (void)dbk_definition_row_event(tied->model->definition, event->type, &table, &op);
    if (!table->tied) { /* row-local */
        bool put;
        result = ask_later(tied, event->stream, key, named, &put, err);
        *fits = !*named;
    } else if (op == DBK_OP_PUT) {
        result = put_fits(tied, table, event, key, named, fits, err);
    } else {
        bool may = !table->referenced;
        if (op == DBK_OP_PATCHED) result = dbk_under_may(tied->model, table, event, &may, err);
        *fits = result == DBK_OK && may && is_made(tied, event->stream);
        if (result == DBK_OK && may && !*fits) result = is_there(tied, table, event->stream, key, named, fits, err);
        if (result == DBK_OK && *fits && op == DBK_OP_DELETED) result = is_last_left_out_below(tied, key, fits, err);
    }
    return result;
}

dbk_result dbk_tied_fits(dbk_tied *tied, const dbk_entry *entry, const uint8_t *key, uint64_t below, dbk_under *under,
                         bool *fits, bool *named, dbk_error *err)
{
    dbk_event event;
    dbk_result result = dbk_under_begin(tied->model, entry, under, err);
    tied->below = below;
    *fits = !tied->model->upcaster;
    *named = false;
    for (dbk_slice rest = entry->events; result == DBK_OK && *fits && dbk_event_next(&rest, &event);) {
        if (dbk_event_is_engine(&event)) continue;
        result = event_fits(tied, &event, key, named, fits, err);
        *fits = *fits && (!*named || under->possible);
    }
    return result;
}
