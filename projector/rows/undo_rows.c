/* What undone entries wrote and who wrote since: heard from a trail that begins with the first of them. A
 * column is theirs while the last writer is one of them; then it goes back to what stood there before the
 * first of them in a row (semantics.md §7, F15). */
#include "projector/rows/undo.h"

#include <stdlib.h>

enum { ARENA_BLOCK_BYTES = 64 * 1024 };

static uint64_t hash_of(const dbk_table *table, dbk_slice key)
{
    return dbk_checksum(key, (uint64_t)(uintptr_t)table);
}

static dbk_undo_row *find(const dbk_undo *undo, const dbk_table *table, dbk_slice key)
{
    dbk_undo_row *rows = (dbk_undo_row *)(void *)undo->rows.data;
    uint64_t hash = hash_of(table, key);
    for (uint32_t at = undo->slots[hash % DBK_UNDO_SLOTS]; at; at = rows[at - 1].next)
        if (rows[at - 1].hash == hash && rows[at - 1].table == table && dbk_slice_equal(rows[at - 1].key, key))
            return &rows[at - 1];
    return NULL;
}

const dbk_undo_row *dbk_undo_find(const dbk_undo *undo, const dbk_table *table, dbk_slice key)
{
    return find(undo, table, key);
}

static dbk_undo_row *add(dbk_undo *undo, const dbk_table *table, dbk_slice key)
{
    uint64_t hash = hash_of(table, key);
    dbk_undo_row row = {.table = table, .hash = hash, .next = undo->slots[hash % DBK_UNDO_SLOTS]};
    row.key = dbk_arena_copy(undo->arena, key);
    row.cells = dbk_arena_take(undo->arena, table->column_count * sizeof *row.cells);
    if (!row.key.data || !row.cells) return NULL;
    memset(row.cells, 0, table->column_count * sizeof *row.cells);
    dbk_buffer_put(&undo->rows, &row, sizeof row);
    if (undo->rows.failed) return NULL;
    size_t count = undo->rows.size / sizeof row;
    undo->slots[hash % DBK_UNDO_SLOTS] = (uint32_t)count;
    return (dbk_undo_row *)(void *)undo->rows.data + count - 1;
}

static bool is_target(const dbk_undo *undo, const dbk_entry_id *id)
{
    const dbk_entry_id *targets = (const dbk_entry_id *)(const void *)undo->targets.data;
    for (size_t i = 0; i < undo->targets.size / sizeof *targets; i++)
        if (dbk_entry_id_equal(&targets[i], id)) return true;
    return false;
}

static bool is_of(const dbk_event *event, const dbk_trail_row *row)
{
    size_t prefix = strlen(row->table->name);
    return event->stream.size == prefix + 1 + row->key.size &&
           memcmp(event->stream.data, row->table->name, prefix) == 0 && event->stream.data[prefix] == '/' &&
           memcmp(event->stream.data + prefix + 1, row->key.data, row->key.size) == 0;
}

static bool is_type(const dbk_event *event, const char *end)
{
    size_t size = strlen(end);
    return event->type.size > size && memcmp(event->type.data + event->type.size - size, end, size) == 0;
}

static void add_mask(dbk_mask *mask, const dbk_mask *more)
{
    for (size_t i = 0; i < sizeof mask->words / sizeof *mask->words; i++) mask->words[i] |= more->words[i];
}

/* What the engine filled in was not meant, unless it made a row that the same entry had taken away; a column
 * whose rule lets it lose is written only where an event changed it: the trail knows. */
static void add_named(const dbk_table *table, const dbk_json_node *data, dbk_slice filled, bool all, bool ruled,
                      dbk_mask *named)
{
    dbk_mask event = {0};
    const dbk_json_node *member = data + 1;
    dbk_slice name;
    for (uint32_t i = 0; i < data->count; i++, member = dbk_json_next(member)) {
        int column = dbk_table_column(table, member->name);
        if (column >= 0 && (all || !ruled || dbk_field_of(table, column) == DBK_FIELD_LWW))
            dbk_mask_add(&event, column);
    }
    while (!all && dbk_name_next(&filled, &name)) {
        int column = dbk_table_column(table, name);
        if (column >= 0) event.words[column >> 6] &= ~(UINT64_C(1) << (column & 63));
    }
    add_mask(named, &event);
}

/* The columns that events of the entry on this row name. */
static dbk_result named_columns(dbk_undo *undo, const dbk_entry *entry, const dbk_trail_row *row, dbk_mask *named,
                                dbk_error *err)
{
    dbk_slice rest = entry->events;
    bool ruled = entry->flags != DBK_ENTRY_UNDO, taken_away = row->anew; /* a cascade has no event */
    *named = (dbk_mask){0};
    for (dbk_event event; dbk_event_next(&rest, &event);) {
        const dbk_json_node *data;
        if (!is_of(&event, row)) continue;
        dbk_result result = dbk_upcast_event(undo->upcaster, entry->time_ms, &event, err);
        if (result != DBK_OK) return result;
        result = dbk_json_parse(undo->data, event.data, &data, err);
        if (result == DBK_NO_MEMORY) return result;
        if (result != DBK_OK || data->kind != DBK_JSON_OBJECT) continue;
        bool deletes = is_type(&event, ".deleted");
        if (!deletes) add_named(row->table, data, event.filled, taken_away && is_type(&event, ".put"), ruled, named);
        taken_away = deletes;
    }
    if (row->written) add_mask(named, row->written);
    return DBK_OK;
}

static bool same_value(const dbk_json_node *a, const dbk_json_node *b)
{
    return a->kind == b->kind && dbk_slice_equal(a->text, b->text);
}

static dbk_result keep_value(dbk_undo *undo, dbk_undo_cell *cell, const dbk_json_node *value, dbk_error *err)
{
    dbk_buffer text;
    cell->absent = value == NULL;
    cell->value = (dbk_slice){NULL, 0};
    if (!value) return DBK_OK;
    dbk_buffer_init(&text, undo->port);
    dbk_json_put_minimal(&text, value);
    cell->value = dbk_arena_copy(undo->arena, dbk_buffer_slice(&text));
    bool failed = text.failed || !cell->value.data;
    dbk_buffer_release(&text);
    return failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result write_cell(dbk_undo *undo, dbk_undo_cell *cell, bool mine, const dbk_json_node *before,
                             dbk_error *err)
{
    dbk_result result = DBK_OK;
    if (mine && !cell->mine) result = keep_value(undo, cell, before, err);
    if (!mine && cell->mine) cell->lost = true;
    cell->mine = mine;
    if (mine) cell->lost = false;
    return result;
}

/* What projections make of an event is undone by what they make of its opposite. */
static bool is_derived(const dbk_table *table, uint16_t column)
{
    return table->rules && table->rules->derived && table->rules->derived[column];
}

static dbk_result follow(dbk_undo *undo, dbk_undo_row *known, bool mine, const dbk_mask *named,
                         const dbk_trail_row *row, dbk_error *err)
{
    const dbk_json_node *was = NULL, *is = NULL, *old = NULL, *now = NULL;
    dbk_result result = row->before.size ? dbk_json_parse(undo->before, row->before, &was, err) : DBK_OK;
    if (result == DBK_OK && row->after.size) result = dbk_json_parse(undo->after, row->after, &is, err);
    if (result != DBK_OK) return result;
    for (uint16_t i = 0; result == DBK_OK && i < known->table->column_count; i++) {
        if (was) old = i ? dbk_json_next(old) : was + 1;
        if (is) now = i ? dbk_json_next(now) : is + 1;
        if (was && is && same_value(old, now) && !dbk_mask_has(named, i)) continue;
        if (was && is && undo->events.size && is_derived(known->table, i)) continue;
        result = write_cell(undo, &known->cells[i], mine, old, err);
    }
    known->exists = is != NULL;
    if (mine && was && !is) {
        known->gone = dbk_arena_copy(undo->arena, row->before);
        if (!known->gone.data) return dbk_row_no_memory(err);
    }
    return result;
}

static dbk_result add_counters(dbk_undo *undo, dbk_undo_row *known, const dbk_entry *entry, const dbk_trail_row *row,
                               dbk_error *err)
{
    dbk_slice rest = entry->events;
    for (dbk_event event; dbk_event_next(&rest, &event);) {
        const dbk_json_node *data, *member;
        if (!is_type(&event, ".patched") || !is_of(&event, row)) continue;
        dbk_result result = dbk_upcast_event(undo->upcaster, entry->time_ms, &event, err);
        if (result != DBK_OK) return result;
        result = dbk_json_parse(undo->data, event.data, &data, err);
        if (result == DBK_NO_MEMORY) return result;
        if (result != DBK_OK || data->kind != DBK_JSON_OBJECT) continue;
        member = data + 1;
        for (uint32_t i = 0; i < data->count; i++, member = dbk_json_next(member)) {
            int column = dbk_table_column(row->table, member->name);
            const dbk_json_node *plus =
                column >= 0 && member->kind == DBK_JSON_OBJECT ? dbk_json_member(member, "+") : NULL;
            char text[40];
            if (!plus || plus->kind != DBK_JSON_NUMBER || plus->text.size >= sizeof text ||
                dbk_field_of(row->table, column) != DBK_FIELD_COUNTER)
                continue;
            memcpy(text, plus->text.data, plus->text.size);
            text[plus->text.size] = 0;
            known->cells[column].plus += strtod(text, NULL);
        }
    }
    return DBK_OK;
}

static dbk_result hear(void *arg, uint64_t position, const dbk_entry *entry, const dbk_trail_row *rows, size_t count,
                       dbk_error *err)
{
    dbk_undo *undo = arg;
    bool mine = is_target(undo, &entry->id);
    dbk_result result = DBK_OK;
    (void)position;
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        dbk_mask named;
        dbk_undo_row *known = find(undo, rows[i].table, rows[i].key);
        bool passing = !rows[i].before.size && !rows[i].after.size; /* who wrote it and took it away is its writer */
        if (!rows[i].table->collection) continue;                   /* projections follow the undo's own events */
        if (!known && (!mine || passing)) continue;
        if (!known) known = add(undo, rows[i].table, rows[i].key);
        if (!known) return dbk_row_no_memory(err);
        result = named_columns(undo, entry, &rows[i], &named, err);
        if (result == DBK_OK) result = follow(undo, known, mine, &named, &rows[i], err);
        if (result == DBK_OK && mine) result = add_counters(undo, known, entry, &rows[i], err);
    }
    return result;
}

dbk_result dbk_undo_new(const dbk_port *port, const dbk_definition *definition, dbk_undo **out, dbk_error *err)
{
    dbk_undo *undo = *out = dbk_alloc_zero(port, 1, sizeof *undo);
    if (!undo) return dbk_row_no_memory(err);
    undo->port = port;
    undo->definition = definition;
    undo->arena = dbk_arena_new(port, ARENA_BLOCK_BYTES);
    undo->said = dbk_arena_new(port, ARENA_BLOCK_BYTES);
    undo->before = dbk_json_parser_new(port);
    undo->after = dbk_json_parser_new(port);
    undo->data = dbk_json_parser_new(port);
    dbk_buffer_init(&undo->targets, port);
    dbk_buffer_init(&undo->rows, port);
    dbk_buffer_init(&undo->events, port);
    dbk_buffer_init(&undo->arguments, port);
    undo->trail = (dbk_trail){.each = hear, .arg = undo, .bounded = true, .passing = true};
    memset(undo->trail.first, 0xff, sizeof undo->trail.first);
    if (!undo->arena || !undo->said || !undo->before || !undo->after || !undo->data) return dbk_row_no_memory(err);
    return dbk_upcaster_new(port, definition, &undo->upcaster, err);
}

void dbk_undo_free(dbk_undo *undo)
{
    if (!undo) return;
    dbk_arena_free(undo->arena);
    dbk_arena_free(undo->said);
    dbk_json_parser_free(undo->before);
    dbk_json_parser_free(undo->after);
    dbk_json_parser_free(undo->data);
    dbk_buffer_release(&undo->targets);
    dbk_buffer_release(&undo->rows);
    dbk_buffer_release(&undo->events);
    dbk_buffer_release(&undo->arguments);
    dbk_upcaster_free(undo->upcaster);
    dbk_free(undo->port, undo);
}

dbk_result dbk_undo_add(dbk_undo *undo, const dbk_entry *entry, dbk_error *err)
{
    uint8_t key[DBK_ORDER_KEY_SIZE];
    dbk_entry_order_key(entry, key);
    if (memcmp(key, undo->trail.first, sizeof key) < 0) memcpy(undo->trail.first, key, sizeof key);
    dbk_buffer_put(&undo->targets, &entry->id, sizeof entry->id);
    return undo->targets.failed ? dbk_row_no_memory(err) : dbk_undo_add_events(undo, entry, err);
}

void dbk_undo_forget_rows(dbk_undo *undo)
{
    dbk_buffer_clear(&undo->rows);
    dbk_arena_clear(undo->arena);
    memset(undo->slots, 0, sizeof undo->slots);
}

const dbk_trail *dbk_undo_trail(const dbk_undo *undo)
{
    return &undo->trail;
}
