/* An event of the app goes back while the undone entry is the last one that said it or took it back, as a column does
 * while it is its last writer (semantics.md §7). An undo's events name in `base` the entry whose they take back, so
 * that undos and redos of one event form a chain: each link with the entry that it began with and its distance.
 *
 *   1. from each undone event back to where its chain begins
 *   2. from there through the log to its end: undos that take back a link are links
 *   3. what a later link stands behind, applied and not undone as well, stays as it is */
#include "store/undone.h"

enum { CHAIN_MAX = 10000 };

typedef struct dbk_undone_link {
    dbk_entry_id id, root;
    uint32_t distance; /* from the root; odd: it took back what the root said */
    bool target, left_out;
    uint8_t order[DBK_ORDER_KEY_SIZE];
} dbk_undone_link;

void dbk_undone_init(dbk_undone *undone, dbk_engine *engine)
{
    *undone = (dbk_undone){.engine = engine};
    dbk_buffer_init(&undone->links, engine->port);
    dbk_buffer_init(&undone->origin, engine->port);
}

void dbk_undone_release(dbk_undone *undone)
{
    dbk_buffer_release(&undone->links);
    dbk_buffer_release(&undone->origin);
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
        if (dbk_entry_id_equal(&links[i].id, id) && (!root || dbk_entry_id_equal(&links[i].root, root)))
            return &links[i];
    return NULL;
}

static dbk_result add(dbk_undone *undone, const dbk_entry *entry, const dbk_undone_link *before, dbk_error *err)
{
    dbk_undone_link link = {.id = entry->id, .root = entry->id};
    if (before) {
        link.root = before->root;
        link.distance = before->distance + 1;
    }
    if (find(undone, &link.id, &link.root)) return DBK_OK;
    dbk_entry_order_key(entry, link.order);
    dbk_buffer_put(&undone->links, &link, sizeof link);
    return undone->links.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo") : DBK_OK;
}

/* ---- back to the beginning */

static bool is_none(const dbk_entry_id *id)
{
    static const dbk_entry_id none;
    return dbk_entry_id_equal(id, &none);
}

static bool next_taken_back(const dbk_engine *engine, dbk_slice *events, dbk_entry_id *base)
{
    const dbk_table *table;
    dbk_row_op op;
    for (dbk_event event; dbk_event_next(events, &event);) {
        if (!event.has_base || dbk_definition_row_event(engine->definition, event.type, &table, &op)) continue;
        *base = event.base;
        return true;
    }
    return false;
}

/* The entry as it stands in the log; DBK_NONE: it is not there. */
static dbk_result read_entry(dbk_undone *undone, const dbk_entry_id *id, uint64_t *position, dbk_entry *entry,
                             dbk_error *err)
{
    *position = 0;
    dbk_result result = dbk_log_find_entry(undone->engine->log, id, position, err);
    if (result == DBK_OK && *position == 0) return DBK_NONE;
    if (result == DBK_OK) result = dbk_log_read(undone->engine->log, *position, &undone->origin, NULL, err);
    return result == DBK_OK ? dbk_entry_decode(dbk_buffer_slice(&undone->origin), entry, err) : result;
}

/* `base` is what the entry's event took back, none: it begins a chain. Ids of the way are kept and become links from
 * the beginning on. */
static dbk_result go_back(dbk_undone *undone, dbk_buffer *way, const dbk_entry_id *id, dbk_entry_id base,
                          dbk_error *err)
{
    dbk_buffer_put(way, id, sizeof *id);
    while (!is_none(&base) && !find(undone, &base, NULL) && way->size < CHAIN_MAX * sizeof base) {
        uint64_t position;
        dbk_entry entry;
        dbk_result result = read_entry(undone, &base, &position, &entry, err);
        if (result == DBK_NONE) return DBK_OK;
        if (result != DBK_OK) return result;
        dbk_slice events = entry.events;
        dbk_buffer_put(way, &base, sizeof base);
        if (entry.flags != DBK_ENTRY_UNDO || !next_taken_back(undone->engine, &events, &base)) break;
    }
    return way->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo") : DBK_OK;
}

static dbk_result add_chain(dbk_undone *undone, const dbk_entry_id *id, dbk_entry_id base, dbk_error *err)
{
    dbk_buffer way;
    const dbk_undone_link *known = is_none(&base) ? NULL : find(undone, &base, NULL);
    dbk_buffer_init(&way, undone->engine->port);
    dbk_result result = go_back(undone, &way, id, base, err);
    const dbk_entry_id *ids = (const dbk_entry_id *)(const void *)way.data;
    for (size_t i = way.size / sizeof *ids; result == DBK_OK && i-- > 0;) {
        uint64_t position;
        dbk_entry entry;
        dbk_entry_id root = known ? known->root : ids[i];
        result = read_entry(undone, &ids[i], &position, &entry, err);
        if (result == DBK_OK) result = add(undone, &entry, known, err);
        if (result == DBK_OK && (undone->next == 0 || position < undone->next)) undone->next = position;
        known = find(undone, &ids[i], &root);
    }
    dbk_buffer_release(&way);
    return result == DBK_NONE ? DBK_OK : result;
}

dbk_result dbk_undone_begin(dbk_undone *undone, dbk_undo *undo, dbk_error *err)
{
    dbk_result result = DBK_OK;
    undone->undo = undo;
    for (size_t i = 0; result == DBK_OK && i < dbk_undo_events(undo); i++) {
        dbk_entry_id entry, base;
        dbk_undo_event_of(undo, i, &entry, &base);
        result = add_chain(undone, &entry, base, err);
    }
    size_t count;
    dbk_undone_link *links = links_of(undone, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < dbk_undo_events(undo) && !links[i].target; j++) {
            dbk_entry_id entry, base;
            dbk_undo_event_of(undo, j, &entry, &base);
            links[i].target = dbk_entry_id_equal(&links[i].id, &entry);
        }
    return result;
}

/* ---- on to the end */

/* A link for each chain that the entry goes on with. */
static dbk_result take(dbk_undone *undone, const dbk_entry *entry, dbk_error *err)
{
    dbk_slice events = entry->events;
    dbk_result result = DBK_OK;
    for (dbk_entry_id base; result == DBK_OK && next_taken_back(undone->engine, &events, &base);) {
        size_t count = undone->links.size / sizeof(dbk_undone_link), grown;
        for (size_t i = 0; result == DBK_OK && i < count; i++) {
            dbk_undone_link before = links_of(undone, &grown)[i]; /* a copy: they move as they grow */
            if (dbk_entry_id_equal(&before.id, &base)) result = add(undone, entry, &before, err);
        }
    }
    return result;
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
        if (result == DBK_OK && entry.flags == DBK_ENTRY_UNDO) result = take(undone, &entry, err);
        if (result == DBK_OK) undone->next = position + 1;
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? DBK_OK : result;
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
    dbk_result result = dbk_model_skips(model, leave_out, undone, err);
    for (size_t i = 0; result == DBK_OK && i < dbk_undo_events(undone->undo); i++) {
        dbk_entry_id entry, base;
        dbk_undo_event_of(undone->undo, i, &entry, &base);
        const dbk_undone_link *before = is_none(&base) ? NULL : find(undone, &base, NULL);
        const dbk_undone_link *mine = find(undone, &entry, before ? &before->root : NULL);
        if (!mine) continue;
        const dbk_undone_link *last = last_of(undone, mine);
        bool again = (last->distance - mine->distance) % 2 == 0;
        if (last != mine) dbk_undo_keep_event(undone->undo, i, again ? "said again since" : "undone already");
    }
    return result;
}
