/* The fold's walk. A log whose order keys only grow is walked as it lies; otherwise keys and
 * positions are sorted in memory and the entries read one by one, batches being kept by read.c. */
#include "log/internal.h"

#include <stdlib.h>

typedef struct fold_key {
    uint8_t key[DBK_ORDER_KEY_SIZE];
    uint64_t position;
} fold_key;
_Static_assert(sizeof(fold_key) == 48, "the header promises 48 bytes an entry");

struct dbk_log_fold {
    dbk_log *log;
    dbk_log_cursor *cursor; /* ordered and unfiltered */
    dbk_buffer keys;        /* else: of fold_key, sorted */
    dbk_buffer entry;
    uint64_t count, next;
};

static int compare_keys(const void *a, const void *b)
{
    const fold_key *left = a, *right = b;
    int order = memcmp(left->key, right->key, sizeof(left->key));

    if (order != 0) return order;
    return (left->position > right->position) - (left->position < right->position);
}

static dbk_result collect_key(dbk_log_fold *fold, uint64_t position, int64_t received_ms, dbk_slice origin,
                              dbk_log_wanted_fn wanted, void *arg, dbk_error *err)
{
    fold_key item = {.position = position};
    dbk_entry entry;

    dbk_result rc = dbk_entry_decode(origin, &entry, err);
    if (rc != DBK_OK) return dbk_error_wrap(err, rc, "position %llu", (unsigned long long)position);
    dbk_entry_order_key(&entry, item.key);
    if (!wanted || wanted(arg, position, received_ms, item.key)) dbk_buffer_put(&fold->keys, &item, sizeof(item));
    return fold->keys.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot sort the log: out of memory") : DBK_OK;
}

static dbk_result collect(dbk_log_fold *fold, uint64_t first, uint64_t last, dbk_log_wanted_fn wanted, void *arg,
                          dbk_error *err)
{
    dbk_log_cursor *cursor;
    uint64_t position;
    int64_t received_ms;
    dbk_slice origin;

    dbk_result rc = dbk_log_cursor_open(fold->log, first, last, &cursor, err);
    while (rc == DBK_OK) {
        rc = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, err);
        if (rc == DBK_OK) rc = collect_key(fold, position, received_ms, origin, wanted, arg, err);
    }
    dbk_log_cursor_close(cursor);
    if (rc != DBK_END) return rc;
    fold->count = fold->keys.size / sizeof(fold_key);
    if (fold->count) qsort(fold->keys.data, fold->count, sizeof(fold_key), compare_keys);
    return DBK_OK;
}

dbk_result dbk_log_fold_open(dbk_log *log, uint64_t behind, uint64_t last, dbk_log_wanted_fn wanted, void *arg,
                             dbk_log_fold **out, dbk_error *err)
{
    dbk_log_fold *fold = dbk_alloc_zero(log->port, 1, sizeof(*fold));
    uint64_t end = dbk_log_position(log);
    dbk_result rc;

    *out = NULL;
    if (!fold) return dbk_fail(err, DBK_NO_MEMORY, "cannot fold the log: out of memory");
    fold->log = log;
    dbk_buffer_init(&fold->keys, log->port);
    dbk_buffer_init(&fold->entry, log->port);
    if (last == 0 || last > end) last = end;
    if (last <= behind) {
        rc = DBK_OK; /* nothing to walk */
    } else if (!wanted && dbk_log_is_ordered(log)) {
        rc = dbk_log_cursor_open(log, behind + 1, last, &fold->cursor, err);
        fold->count = last - behind;
    } else {
        rc = collect(fold, behind + 1, last, wanted, arg, err);
    }
    if (rc == DBK_OK) {
        *out = fold;
    } else {
        dbk_log_fold_close(fold);
    }
    return rc;
}

uint64_t dbk_log_fold_count(const dbk_log_fold *fold)
{
    return fold->count;
}

dbk_result dbk_log_fold_next(dbk_log_fold *fold, uint64_t *position, dbk_slice *origin, dbk_error *err)
{
    uint64_t at;
    fold_key item;

    if (fold->cursor) return dbk_log_cursor_next(fold->cursor, position, NULL, origin, err);
    if (fold->next == fold->count) return DBK_END;
    memcpy(&item, fold->keys.data + fold->next * sizeof(item), sizeof(item));
    at = item.position;
    dbk_result rc = dbk_log_read(fold->log, at, &fold->entry, NULL, err);
    if (rc != DBK_OK) return rc;
    fold->next++;
    if (position) *position = at;
    *origin = dbk_buffer_slice(&fold->entry);
    return DBK_OK;
}

void dbk_log_fold_close(dbk_log_fold *fold)
{
    if (!fold) return;
    dbk_log_cursor_close(fold->cursor);
    dbk_buffer_release(&fold->keys);
    dbk_buffer_release(&fold->entry);
    dbk_free(fold->log->port, fold);
}
