/* An event of the app goes back while the undone entry is the last one that said it or took it back, as a column does
 * while it is its last writer (semantics.md §7). An undo's events name in `base` the entry whose they take back, so
 * that undos and redos of one event form a chain: each link with the entry that it began with and its distance.
 *
 *   1. from each undone event back to where its chain begins. An undo may have taken back events of several entries:
 *      then on with those of its events that are of the same stream, or, where none is, with all
 *   2. the log is read for undos, from where what sorts behind the beginnings may stand, to its end
 *   3. in canonical order, in which an undo comes behind what it takes back: undos that take back a link are links
 *   4. what a later link stands behind, applied and not undone as well, stays as it is */
#include "store/undone.h"

#include <stdlib.h>

enum { STEPS_MAX = 10000 };

typedef struct dbk_undone_link {
    dbk_entry_id id, root;
    uint32_t distance; /* from the root; odd: it took back what the root said */
    bool target, left_out;
    uint8_t order[DBK_ORDER_KEY_SIZE];
} dbk_undone_link;

typedef struct dbk_undone_undo {
    uint8_t order[DBK_ORDER_KEY_SIZE];
    dbk_entry_id id;
    size_t first, count; /* in `bases` */
} dbk_undone_undo;

typedef struct dbk_undone_way {
    size_t event; /* of the undo */
    dbk_entry_id root;
} dbk_undone_way;

typedef struct dbk_undone_step { /* an event of `entry` on a stream, that took back one of `base` */
    dbk_entry_id entry, base;
    uint64_t stream;
} dbk_undone_step;

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo");
}

static dbk_buffer *buffer_of(dbk_undone *undone, size_t i)
{
    dbk_buffer *all[] = {&undone->links, &undone->undos, &undone->bases, &undone->ways, &undone->origin};
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

void dbk_undone_init(dbk_undone *undone, dbk_engine *engine)
{
    *undone = (dbk_undone){.engine = engine};
    for (size_t i = 0; buffer_of(undone, i); i++) dbk_buffer_init(buffer_of(undone, i), engine->port);
}

void dbk_undone_release(dbk_undone *undone)
{
    for (size_t i = 0; buffer_of(undone, i); i++) dbk_buffer_release(buffer_of(undone, i));
}

static dbk_undone_link *links_of(const dbk_undone *undone, size_t *count)
{
    *count = undone->links.size / sizeof(dbk_undone_link);
    return (dbk_undone_link *)(void *)undone->links.data;
}

static dbk_undone_link *find(const dbk_undone *undone, const dbk_entry_id *id, const dbk_entry_id *root)
{
    size_t count;
    dbk_undone_link *links = links_of(undone, &count);
    for (size_t i = 0; i < count; i++)
        if (dbk_entry_id_equal(&links[i].id, id) && dbk_entry_id_equal(&links[i].root, root)) return &links[i];
    return NULL;
}

static dbk_result add(dbk_undone *undone, const dbk_undone_link *link, dbk_error *err)
{
    if (find(undone, &link->id, &link->root)) return DBK_OK;
    dbk_buffer_put(&undone->links, link, sizeof *link);
    return undone->links.failed ? no_memory(err) : DBK_OK;
}

/* ---- back to the beginning */

static bool is_none(const dbk_entry_id *id)
{
    static const dbk_entry_id none;
    return dbk_entry_id_equal(id, &none);
}

static uint64_t hash_of(dbk_slice stream)
{
    return dbk_checksum(stream, 0);
}

static bool next_taken_back(const dbk_engine *engine, dbk_slice *events, dbk_event *event)
{
    const dbk_table *table;
    dbk_row_op op;
    while (dbk_event_next(events, event))
        if (event->has_base && !dbk_definition_row_event(engine->definition, event->type, &table, &op)) return true;
    return false;
}

/* The entry as it stands in the log; DBK_NONE: it is not there. */
static dbk_result read_entry(dbk_undone *undone, const dbk_entry_id *id, dbk_entry *entry, dbk_error *err)
{
    uint64_t position = 0;
    if (is_none(id)) return DBK_NONE;
    dbk_result result = dbk_log_find_entry(undone->engine->log, id, &position, err);
    if (result == DBK_OK && position == 0) return DBK_NONE;
    if (result == DBK_OK) result = dbk_log_read(undone->engine->log, position, &undone->origin, NULL, err);
    return result == DBK_OK ? dbk_entry_decode(dbk_buffer_slice(&undone->origin), entry, err) : result;
}

static bool put_step(dbk_buffer *steps, const dbk_undone_step *step)
{
    const dbk_undone_step *all = (const dbk_undone_step *)(const void *)steps->data;
    for (size_t i = 0; i < steps->size / sizeof *all; i++)
        if (all[i].stream == step->stream && dbk_entry_id_equal(&all[i].entry, &step->entry) &&
            dbk_entry_id_equal(&all[i].base, &step->base))
            return true;
    dbk_buffer_put(steps, step, sizeof *step);
    return !steps->failed;
}

/* The events that an undo took back, and that the one of `stream` may have come from. */
static bool put_steps(dbk_undone *undone, const dbk_entry *entry, uint64_t stream, dbk_buffer *steps, size_t *count)
{
    dbk_event event;
    bool same = false, room = true;
    *count = 0;
    if (entry->flags != DBK_ENTRY_UNDO) return true;
    for (dbk_slice rest = entry->events; next_taken_back(undone->engine, &rest, &event);)
        same = same || hash_of(event.stream) == stream;
    for (dbk_slice rest = entry->events; room && next_taken_back(undone->engine, &rest, &event);) {
        uint64_t own = hash_of(event.stream);
        if (same && own != stream) continue;
        room = put_step(steps, &(dbk_undone_step){entry->id, event.base, own});
        ++*count;
    }
    return room;
}

static dbk_result add_root(dbk_undone *undone, size_t event, const dbk_entry_id *id, dbk_error *err)
{
    dbk_entry entry;
    dbk_undone_way way = {event, *id};
    dbk_undone_link link = {.id = *id, .root = *id};
    uint64_t below = 0;
    dbk_result result = read_entry(undone, id, &entry, err);
    if (result != DBK_OK) return result == DBK_NONE ? DBK_OK : result;
    dbk_entry_order_key(&entry, link.order);
    result = dbk_log_all_below(undone->engine->log, link.order, &below, err);
    if (result == DBK_OK) result = add(undone, &link, err);
    if (result == DBK_OK && (undone->next == 0 || below < undone->next)) undone->next = below + 1;
    dbk_buffer_put(&undone->ways, &way, sizeof way);
    return result == DBK_OK && undone->ways.failed ? no_memory(err) : result;
}

static dbk_result go_back(dbk_undone *undone, size_t event, const dbk_undone_step *first, dbk_buffer *steps,
                          dbk_error *err)
{
    dbk_result result = DBK_OK;
    dbk_buffer_clear(steps);
    if (!put_step(steps, first)) return no_memory(err);
    for (size_t i = 0; result == DBK_OK && i < steps->size / sizeof *first && i < STEPS_MAX; i++) {
        dbk_undone_step step = ((const dbk_undone_step *)(const void *)steps->data)[i];
        dbk_entry entry;
        size_t further = 0;
        result = read_entry(undone, &step.base, &entry, err);
        bool there = result == DBK_OK;
        if (there && !put_steps(undone, &entry, step.stream, steps, &further)) result = no_memory(err);
        if (result == DBK_NONE) result = DBK_OK;
        if (result == DBK_OK && further == 0) result = add_root(undone, event, there ? &step.base : &step.entry, err);
    }
    return result;
}

dbk_result dbk_undone_begin(dbk_undone *undone, dbk_undo *undo, dbk_error *err)
{
    dbk_result result = DBK_OK;
    dbk_buffer steps;
    dbk_buffer_init(&steps, undone->engine->port);
    undone->undo = undo;
    for (size_t i = 0; result == DBK_OK && i < dbk_undo_events(undo); i++) {
        dbk_undone_step step;
        dbk_slice stream;
        dbk_undo_event_of(undo, i, &step.entry, &step.base, &stream);
        step.stream = hash_of(stream);
        result = go_back(undone, i, &step, &steps, err);
    }
    dbk_buffer_release(&steps);
    (void)links_of(undone, &undone->roots);
    return result;
}

/* ---- on to the end */

static dbk_result note_undo(dbk_undone *undone, const dbk_entry *entry, dbk_error *err)
{
    dbk_undone_undo undo = {.id = entry->id, .first = undone->bases.size / sizeof entry->id};
    dbk_slice rest = entry->events;
    for (dbk_event event; next_taken_back(undone->engine, &rest, &event); undo.count++)
        dbk_buffer_put(&undone->bases, &event.base, sizeof event.base);
    if (undo.count == 0) return DBK_OK;
    dbk_entry_order_key(entry, undo.order);
    dbk_buffer_put(&undone->undos, &undo, sizeof undo);
    return undone->bases.failed || undone->undos.failed ? no_memory(err) : DBK_OK;
}

dbk_result dbk_undone_read(dbk_undone *undone, dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    uint64_t position;
    dbk_slice origin;
    if (undone->next == 0 || undone->next > dbk_log_position(undone->engine->log)) return DBK_OK;
    dbk_result result = dbk_log_cursor_open(undone->engine->log, undone->next, 0, &cursor, err);
    while (result == DBK_OK) {
        dbk_entry entry;
        result = dbk_log_cursor_next(cursor, &position, NULL, &origin, err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, err);
        if (result == DBK_OK && entry.flags == DBK_ENTRY_UNDO) result = note_undo(undone, &entry, err);
        if (result == DBK_OK) undone->next = position + 1;
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? DBK_OK : result;
}

static int compare_undos(const void *a, const void *b)
{
    return memcmp(((const dbk_undone_undo *)a)->order, ((const dbk_undone_undo *)b)->order, DBK_ORDER_KEY_SIZE);
}

/* A link for each chain that the undo goes on with. */
static dbk_result take(dbk_undone *undone, const dbk_undone_undo *undo, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t k = 0; result == DBK_OK && k < undo->count; k++) {
        const dbk_entry_id *base = (const dbk_entry_id *)(const void *)undone->bases.data + undo->first + k;
        size_t count = undone->links.size / sizeof(dbk_undone_link), grown;
        for (size_t i = 0; result == DBK_OK && i < count; i++) {
            dbk_undone_link link = links_of(undone, &grown)[i]; /* a copy: they move as they grow */
            if (!dbk_entry_id_equal(&link.id, base)) continue;
            link.id = undo->id;
            link.distance++;
            memcpy(link.order, undo->order, sizeof link.order);
            result = add(undone, &link, err);
        }
    }
    return result;
}

static dbk_result link_all(dbk_undone *undone, dbk_error *err)
{
    dbk_undone_undo *undos = (dbk_undone_undo *)(void *)undone->undos.data;
    size_t count = undone->undos.size / sizeof *undos, linked;
    dbk_result result = DBK_OK;
    undone->links.size = undone->roots * sizeof(dbk_undone_link);
    if (count) qsort(undos, count, sizeof *undos, compare_undos);
    for (size_t i = 0; result == DBK_OK && i < count; i++) result = take(undone, &undos[i], err);
    dbk_undone_link *links = links_of(undone, &linked);
    for (size_t i = 0; i < linked; i++) links[i].target = links[i].left_out = false;
    for (size_t i = 0; i < linked; i++)
        for (size_t j = 0; j < dbk_undo_events(undone->undo) && !links[i].target; j++) {
            dbk_entry_id entry, base;
            dbk_slice stream;
            dbk_undo_event_of(undone->undo, j, &entry, &base, &stream);
            links[i].target = dbk_entry_id_equal(&links[i].id, &entry);
        }
    return result;
}

/* ---- what stays */

static dbk_result leave_out(void *arg, const dbk_skip *skip)
{
    size_t count;
    dbk_undone_link *links = links_of(arg, &count);
    for (size_t i = 0; i < count && strcmp(skip->state, "suffixed") != 0; i++)
        if (dbk_entry_id_equal(&links[i].id, &skip->entry)) links[i].left_out = true;
    return DBK_OK;
}

static const dbk_undone_link *last_of(const dbk_undone *undone, const dbk_undone_link *mine)
{
    size_t count;
    const dbk_undone_link *links = links_of(undone, &count), *last = mine;
    for (size_t i = 0; i < count; i++)
        if (!links[i].target && !links[i].left_out && dbk_entry_id_equal(&links[i].root, &mine->root) &&
            memcmp(links[i].order, last->order, sizeof last->order) > 0)
            last = &links[i];
    return last;
}

dbk_result dbk_undone_tell(dbk_undone *undone, dbk_model *model, dbk_error *err)
{
    if (undone->links.size == 0) return DBK_OK;
    const dbk_undone_way *ways = (const dbk_undone_way *)(const void *)undone->ways.data;
    dbk_result result = link_all(undone, err);
    if (result == DBK_OK) result = dbk_model_skips(model, leave_out, undone, err);
    for (size_t i = 0; result == DBK_OK && i < undone->ways.size / sizeof *ways; i++) {
        dbk_entry_id entry, base;
        dbk_slice stream;
        dbk_undo_event_of(undone->undo, ways[i].event, &entry, &base, &stream);
        const dbk_undone_link *mine = find(undone, &entry, &ways[i].root);
        if (!mine) continue;
        const dbk_undone_link *last = last_of(undone, mine);
        bool again = (last->distance - mine->distance) % 2 == 0;
        if (last != mine)
            dbk_undo_keep_event(undone->undo, ways[i].event, again ? "said again since" : "undone already");
    }
    return result;
}
