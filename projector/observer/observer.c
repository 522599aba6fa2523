/* The preupdate hook. For every row that comes, goes or changes, by a statement, a cascade or a trigger:
 *   1. find the table; rows of the engine's and of search tables are nobody's business
 *   2. encode its key, hash it as it was and as it will be
 *   3. record it among the entry's and the transaction's rows, move the fingerprint's difference
 * A changed key is one row that goes and one that comes. Undone statements and savepoints call nothing:
 * the caller cuts back to a mark. After a failure the hook does nothing until it is cut back. */
#include "projector/observer/internal.h"
#include "projector/rules.h"

enum { ARENA_BLOCK_BYTES = 16 * 1024 };

typedef struct dbk_preupdate { /* one call of the hook */
    sqlite3 *db;
    bool failed;
} dbk_preupdate;

static sqlite3_value *old_column(void *arg, int column)
{
    dbk_preupdate *call = arg;
    sqlite3_value *value = NULL;
    if (sqlite3_preupdate_old(call->db, column, &value) != SQLITE_OK) call->failed = true;
    return value;
}

static sqlite3_value *new_column(void *arg, int column)
{
    dbk_preupdate *call = arg;
    sqlite3_value *value = NULL;
    if (sqlite3_preupdate_new(call->db, column, &value) != SQLITE_OK) call->failed = true;
    return value;
}

static const dbk_tracked *find_table(dbk_observer *observer, const char *name)
{
    const dbk_table *table;

    if (observer->last_tracked && strcmp(observer->last_tracked->table->name, name) == 0) {
        return observer->last_tracked;
    }
    table = dbk_definition_table(observer->definition, dbk_slice_text(name));
    if (!table) return NULL;
    observer->last_tracked = &observer->tracked[table - observer->definition->tables];
    return observer->last_tracked;
}

static void drop_inserted(dbk_observer *observer)
{
    observer->inserted_table = NULL;
}

/* What the hash of the row was taken of: the values behind the table's prefix. */
static dbk_result keep_inserted(dbk_observer *observer, const dbk_table *table)
{
    dbk_buffer_clear(&observer->inserted);
    dbk_buffer_put(&observer->inserted, observer->row.data + sizeof(dbk_hash128),
                   observer->row.size - sizeof(dbk_hash128));
    if (observer->inserted.failed) return DBK_NO_MEMORY;
    observer->inserted_table = table;
    return DBK_OK;
}

/* Encodes the key and, where asked for, hashes the row of one side; the key stands in observer->key from `*at` on. */
static dbk_result read_side(dbk_observer *observer, const dbk_tracked *tracked, dbk_column_fn get, dbk_preupdate *call,
                            size_t *at, dbk_hash128 *hash)
{
    *at = observer->key.size;
    bool is_key = dbk_key_from_row(tracked->table, get, call, &observer->key);
    if (hash) *hash = dbk_row_hash_with(&observer->row, tracked->prefix, tracked->table, get, call);
    if (call->failed || observer->key.failed || observer->row.failed) return DBK_NO_MEMORY;
    return is_key ? DBK_OK : DBK_INTERNAL;
}

/* `row`: what was hashed of it as it will be. A row that is changed again and again counts each time: the entry keeps a
 * step of each change. */
static dbk_result record(dbk_observer *observer, dbk_row_change *change, const dbk_buffer *row, dbk_preupdate *call)
{
    uint32_t touched = dbk_touched_count(observer);
    observer->bytes += sizeof(dbk_step) + (change->exists ? row->size : 0);
    change->seen = true;
    if (change->exists && row->size > sizeof(dbk_hash128))
        change->values = dbk_buffer_part(row, sizeof(dbk_hash128), row->size - sizeof(dbk_hash128));
    if (dbk_observer_is_heavy(observer)) return DBK_TOO_BIG;
    dbk_result result = dbk_observer_record(observer, change);
    if (result == DBK_OK && observer->keep_before && dbk_touched_count(observer) > touched)
        result = dbk_observer_take_before(observer, change->table, change->existed, old_column, call);
    if (result != DBK_OK) return result;
    if (observer->unhashed) return DBK_OK;
    dbk_hash128 difference = observer->difference;
    if (change->existed) difference = dbk_hash128_subtract(difference, change->before);
    if (change->exists) difference = dbk_hash128_add(difference, change->now);
    observer->difference = difference;
    return DBK_OK;
}

/* An UPDATE of which the columns are known: the others, and with them the key, are the old ones, which SQLite
 * would copy once more. */
static dbk_result observe_set(dbk_observer *observer, const dbk_tracked *tracked, dbk_row_change *change,
                              dbk_preupdate *call)
{
    dbk_mask changed;
    change->exists = true;
    change->key = dbk_buffer_slice(&observer->key);
    change->now = dbk_row_hash_changed(&observer->changed, &observer->row, tracked->table, &observer->set, new_column,
                                       call, &changed);
    if (call->failed || observer->changed.failed) return DBK_NO_MEMORY;
    if (observer->set_changed) *observer->set_changed = changed;
    return observer->set_changed && dbk_mask_is_empty(&changed) ? DBK_OK
                                                                : record(observer, change, &observer->changed, call);
}

static dbk_result observe(dbk_observer *observer, const dbk_tracked *tracked, int op, dbk_preupdate *call)
{
    size_t old_at = 0, new_at = 0;
    dbk_row_change gone = {.table = tracked->table, .existed = op != SQLITE_INSERT};
    dbk_row_change came = {.table = tracked->table, .exists = op != SQLITE_DELETE};
    dbk_result result = DBK_OK;
    /* what comes did change, unless it went before; and what its hash is taken of is the copy of it */
    bool plain = observer->unhashed && op == SQLITE_INSERT && !observer->keep_inserted && !observer->keep_rows;

    dbk_buffer_clear(&observer->key);
    if (gone.existed) result = read_side(observer, tracked, old_column, call, &old_at, &gone.before);
    size_t old_end = observer->key.size;
    if (result == DBK_OK && op == SQLITE_UPDATE && observer->set_table == tracked->table &&
        sqlite3_preupdate_depth(call->db) == 0)
        return observe_set(observer, tracked, &gone, call);
    if (result == DBK_OK && came.exists) {
        result = read_side(observer, tracked, new_column, call, &new_at, plain ? NULL : &came.now);
        if (result == DBK_OK && plain &&
            dbk_observer_find(observer, tracked->table, dbk_buffer_slice(&observer->key))) {
            came.now = dbk_row_hash_with(&observer->row, tracked->prefix, tracked->table, new_column, call);
            if (call->failed || observer->row.failed) result = DBK_NO_MEMORY;
        }
    }
    if (result != DBK_OK) return result;
    gone.key = dbk_buffer_part(&observer->key, old_at, old_end - old_at); /* the key of an empty text has no bytes */
    came.key = dbk_buffer_part(&observer->key, new_at, observer->key.size - new_at);
    if (op == SQLITE_UPDATE && dbk_slice_equal(gone.key, came.key)) {
        gone.exists = true;
        gone.now = came.now;
        return record(observer, &gone, &observer->row, call);
    }
    if (gone.existed) result = record(observer, &gone, &observer->row, call);
    if (result == DBK_OK && gone.existed && tracked->table->rules && tracked->table->rules->edit_wins)
        result = dbk_observer_take_gone(observer, tracked->table, old_column, call);
    if (result == DBK_OK && came.exists) result = record(observer, &came, &observer->row, call);
    return result;
}

static void hook(void *arg, sqlite3 *db, int op, const char *database, const char *name, sqlite3_int64 old_rowid,
                 sqlite3_int64 new_rowid)
{
    dbk_observer *observer = arg;
    dbk_preupdate call = {.db = db};
    const dbk_tracked *tracked;

    (void)old_rowid;
    (void)new_rowid;
    if (observer->failure != DBK_OK || strcmp(database, "main") != 0) return;
    tracked = find_table(observer, name);
    if (!tracked) return;
    observer->failure = observe(observer, tracked, op, &call);
    if (observer->failure == DBK_OK && observer->keep_inserted && op == SQLITE_INSERT &&
        sqlite3_preupdate_depth(db) == 0) {
        observer->failure = keep_inserted(observer, tracked->table);
    } else if (observer->inserted_table && sqlite3_preupdate_depth(db) == 0) {
        drop_inserted(observer);
    }
    if (observer->failure == DBK_TOO_BIG && observer->stops) sqlite3_interrupt(db);
}

/* ---- made and freed */

dbk_observer *dbk_observer_new(const dbk_port *port, sqlite3 *db, const dbk_definition *definition)
{
    dbk_observer *observer = dbk_alloc_zero(port, 1, sizeof *observer);

    if (!observer) return NULL;
    observer->port = port;
    observer->db = db;
    observer->definition = definition;
    observer->keep_inserted = true;
    observer->entry = 1;
    observer->bytes_max = (uint64_t)DBK_ENTRY_WRITTEN_MAX_MIB << 20;
    dbk_buffer *buffers[] = {&observer->dirty, &observer->touched, &observer->hashes,  &observer->steps,
                             &observer->key,   &observer->row,     &observer->before,  &observer->before_at,
                             &observer->gone,  &observer->gone_at, &observer->changed, &observer->inserted,
                             &observer->rows};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_init(buffers[i], port);
    observer->arena = dbk_arena_new(port, ARENA_BLOCK_BYTES);
    observer->changes_arena = dbk_arena_new(port, ARENA_BLOCK_BYTES);
    observer->tracked = dbk_alloc_zero(port, definition->table_count + 1, sizeof *observer->tracked);
    if (!observer->arena || !observer->changes_arena || !observer->tracked) {
        dbk_observer_free(observer);
        return NULL;
    }
    return observer;
}

void dbk_observer_free(dbk_observer *observer)
{
    if (!observer) return;
    sqlite3_preupdate_hook(observer->db, NULL, NULL);
    dbk_buffer *buffers[] = {&observer->dirty, &observer->touched, &observer->hashes,  &observer->steps,
                             &observer->key,   &observer->row,     &observer->before,  &observer->before_at,
                             &observer->gone,  &observer->gone_at, &observer->changed, &observer->inserted,
                             &observer->rows};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_release(buffers[i]);
    dbk_arena_free(observer->arena);
    dbk_arena_free(observer->changes_arena);
    dbk_free(observer->port, observer->tracked);
    dbk_free(observer->port, observer->slots);
    dbk_free(observer->port, observer);
}

dbk_result dbk_observer_start(dbk_observer *observer, dbk_error *err)
{
    for (size_t i = 0; i < observer->definition->table_count; i++) {
        observer->tracked[i].table = &observer->definition->tables[i];
        observer->tracked[i].prefix = dbk_row_hash_prefix(&observer->row, observer->tracked[i].table);
        if (observer->row.failed) return dbk_fail(err, DBK_NO_MEMORY, "cannot watch the tables: out of memory");
    }
    sqlite3_preupdate_hook(observer->db, hook, observer);
    return DBK_OK;
}

/* ---- marks */

static dbk_mark mark_here(const dbk_observer *observer)
{
    return (dbk_mark){observer->steps.size / sizeof(dbk_step), observer->difference, observer->failure};
}

void dbk_observer_begin_entry(dbk_observer *observer)
{
    observer->entry++;
    observer->bytes = 0;
    dbk_buffer_clear(&observer->touched);
    dbk_buffer_clear(&observer->hashes);
    dbk_buffer_clear(&observer->steps);
    dbk_buffer_clear(&observer->before);
    dbk_buffer_clear(&observer->before_at);
    dbk_buffer_clear(&observer->gone);
    dbk_buffer_clear(&observer->gone_at);
    observer->entry_mark = observer->statement_mark = mark_here(observer);
}

void dbk_observer_transaction_begin(dbk_observer *observer)
{
    dbk_observer_forget_rows(observer);
    observer->difference = (dbk_hash128){0};
    observer->failure = DBK_OK;
    observer->has_added = false;
    dbk_observer_begin_entry(observer);
}

void dbk_observer_entry_begin(dbk_observer *observer)
{
    if (observer->bulk) dbk_observer_forget_rows(observer);
    dbk_observer_begin_entry(observer);
}

void dbk_observer_entry_drop(dbk_observer *observer)
{
    dbk_observer_cut(observer, &observer->entry_mark);
    observer->statement_mark = observer->entry_mark;
    drop_inserted(observer);
}

void dbk_observer_statement_mark(dbk_observer *observer)
{
    observer->statement_mark = mark_here(observer);
    drop_inserted(observer);
}

void dbk_observer_statement_drop(dbk_observer *observer)
{
    dbk_observer_cut(observer, &observer->statement_mark);
    drop_inserted(observer);
}

bool dbk_observer_step(const dbk_observer *observer, size_t place, size_t *touched)
{
    const dbk_step *steps = (const dbk_step *)(const void *)observer->steps.data;
    if (place >= observer->steps.size / sizeof *steps) return false;
    *touched = steps[place].touched;
    return true;
}

size_t dbk_observer_place(const dbk_observer *observer, dbk_hash128 *difference)
{
    *difference = observer->difference;
    return observer->steps.size / sizeof(dbk_step);
}

void dbk_observer_back_to(dbk_observer *observer, size_t place, dbk_hash128 difference)
{
    dbk_mark mark = {.steps = place, .difference = difference};
    dbk_observer_cut(observer, &mark);
    observer->statement_mark = mark;
    drop_inserted(observer);
}

void dbk_observer_set_bulk(dbk_observer *observer, bool bulk)
{
    observer->bulk = bulk;
}

void dbk_observer_set_unhashed(dbk_observer *observer, bool unhashed)
{
    observer->unhashed = unhashed;
}

void dbk_observer_sets(dbk_observer *observer, const dbk_table *table, const dbk_mask *mask, dbk_mask *changed)
{
    observer->set_table = mask ? table : NULL;
    observer->set_changed = changed;
    if (mask) observer->set = *mask;
}

void dbk_observer_set_written_max(dbk_observer *observer, uint32_t mib)
{
    observer->bytes_max = (uint64_t)mib << 20;
}

void dbk_observer_keep_rows(dbk_observer *observer, bool keep)
{
    observer->keep_rows = keep;
}

void dbk_observer_keep_inserted(dbk_observer *observer, bool keep)
{
    observer->keep_inserted = keep;
}

/* ---- what was gathered */

dbk_result dbk_observer_failure(const dbk_observer *observer)
{
    return observer->failure;
}

void dbk_observer_stops(dbk_observer *observer, bool stops)
{
    observer->stops = stops;
}

bool dbk_observer_is_heavy(const dbk_observer *observer)
{
    return observer->bytes > observer->bytes_max;
}

const dbk_touched *dbk_observer_touched(const dbk_observer *observer, size_t *count)
{
    *count = dbk_touched_count(observer);
    return *count ? dbk_touched_at(observer, 0) : NULL;
}

const dbk_touched *dbk_observer_find(const dbk_observer *observer, const dbk_table *table, dbk_slice key)
{
    const dbk_dirty *dirty = dbk_observer_dirty(observer, table, key);
    if (!dirty || dirty->entry != observer->entry || dirty->touched >= dbk_touched_count(observer)) return NULL;
    return dbk_touched_at(observer, dirty->touched);
}

dbk_hash128 dbk_observer_difference(const dbk_observer *observer)
{
    return observer->difference;
}

dbk_slice dbk_observer_inserted(const dbk_observer *observer, const dbk_table *table)
{
    return observer->inserted_table == table ? dbk_buffer_slice(&observer->inserted) : (dbk_slice){NULL, 0};
}
