/* The shadow: the fold of a wanted set of entries into a file of its own (K8). Rebuild, late entries,
 * as of, upgrade and the source of undo all come through dbk_model_build.
 *
 * A transaction writes each page that it touched, and keeps it in memory as it was: long ones write less, and are for
 * files of which all pages may be kept. The states between them are none of the log: their position counts entries
 * and their head is zero, which no log compares equal to. A build that stops leaves a file that nobody opens; its
 * maker removes it. */
#include "projector/model/shadow_index.h"
#include "projector/rows/internal.h"

enum { ENTRIES_LARGE = 4096, ENTRIES_SMALL = 32768, SMALL_PAGES = 8192 }; /* of a transaction, by the file's size */

typedef struct dbk_build {
    const dbk_shadow_options *options;
    dbk_model *model;
    dbk_log_fold *fold;
    uint64_t committed, told; /* entries in the file; entries that the trail heard of */
    uint64_t begun;           /* position of the image, 0: none */
    uint64_t done, all, last;
    uint64_t highest; /* position among those done */
    uint8_t top[DBK_ORDER_KEY_SIZE];
    dbk_buffer indexes; /* SQL of those that were set aside */
} dbk_build;

/* The file: an image where there is one, else an empty one, whose indexes can wait; not where all that the file holds is
 * counted as it comes. */
static dbk_result open_file(dbk_build *build, const dbk_port *port, const char *path, const dbk_definition *definition,
                            dbk_log *log, dbk_error *err)
{
    dbk_model_options bulk = build->options->model;
    bulk.bulk = true;
    if (!build->options->image) {
        dbk_result result = dbk_model_create(port, path, definition, log, &bulk, &build->model, err);
        if (result == DBK_OK && bulk.budget_bytes == 0)
            result = dbk_indexes_set_aside(build->model, &build->indexes, err);
        if (result == DBK_OK) build->model->indexes_aside = build->indexes.size > 0;
        return result;
    }
    dbk_result result = dbk_model_open(port, path, definition, log, &bulk, &build->model, err);
    if (result == DBK_OK) result = dbk_indexes_take_note(build->model, &build->indexes, err);
    if (result != DBK_OK) return result;
    build->model->indexes_aside = build->indexes.size > 0;
    build->begun = build->model->state.position;
    memcpy(build->top, build->model->state.top, sizeof build->top);
    return DBK_OK;
}

static dbk_result open_start(dbk_build *build, const dbk_port *port, const char *path, const dbk_definition *definition,
                             dbk_log *log, dbk_error *err)
{
    const dbk_shadow_options *options = build->options;
    dbk_result result = open_file(build, port, path, definition, log, err);
    if (result != DBK_OK) return result;
    uint64_t end = dbk_log_position(log);
    build->last = options->last && options->last < end ? options->last : end;
    build->highest = build->begun;
    result = dbk_orders_read(build->model, NULL, err);
    if (result != DBK_OK) return result;
    build->model->wanted = options->wanted;
    build->model->wanted_arg = options->wanted_arg;
    build->model->wanted_last = build->last;
    dbk_model_follow(build->model, options->trail);
    if (build->last == 0) return DBK_OK; /* 0 would mean "all" to the walk */
    result = dbk_log_fold_open(log, build->begun, build->last, options->wanted, options->wanted_arg, &build->fold, err);
    if (result == DBK_OK) build->all = dbk_log_fold_count(build->fold);
    return result;
}

static dbk_result put_back(dbk_build *build, dbk_error *err)
{
    build->model->indexes_aside = false;
    return dbk_indexes_put_back(build->model, &build->indexes, err);
}

static dbk_result fold_some(dbk_build *build, uint64_t until, dbk_error *err)
{
    dbk_result result = DBK_OK;
    while (result == DBK_OK && build->done < until) {
        uint64_t position;
        dbk_slice origin;
        dbk_entry entry;
        result = dbk_log_fold_next(build->fold, &position, &origin, err);
        if (result == DBK_END) {
            return dbk_fail(err, DBK_GAP, "the fold ended after %llu of %llu entries", (unsigned long long)build->done,
                            (unsigned long long)build->all);
        }
        build->model->trail = build->done < build->told ? NULL : build->options->trail;
        if (result == DBK_OK) result = dbk_model_apply(build->model, position, origin, err);
        if (result == DBK_OK && position > build->highest) build->highest = position;
        if (result == DBK_OK && ++build->done == until) { /* only the last one's key is asked for */
            result = dbk_entry_decode(origin, &entry, err);
            if (result == DBK_OK) dbk_entry_order_key(&entry, build->top);
        }
    }
    return result;
}

/* An async model stopped at an entry. Where all below it in order of position are folded, that is where the build
 * ends; elsewhere nothing comes of it. */
static dbk_result end_below(dbk_build *build, dbk_log *log, dbk_result stopped, dbk_error *err)
{
    const dbk_model_stop *stop = &build->model->stop;
    dbk_buffer origin;
    dbk_entry entry;
    if (!build->options->stop || stop->position == 0) return stopped;
    *build->options->stop = *stop;
    if (!dbk_model_in_transaction(build->model) || build->options->wanted || build->highest != stop->position - 1 ||
        build->begun + build->done != stop->position - 1 || build->highest == 0)
        return stopped;
    dbk_buffer_init(&origin, build->model->port);
    dbk_result result = dbk_log_read(log, build->highest, &origin, NULL, err);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&origin), &entry, err);
    if (result == DBK_OK) dbk_entry_order_key(&entry, build->top);
    dbk_buffer_release(&origin);
    build->last = build->highest;
    build->all = build->done;
    return result;
}

static dbk_result entries_at_once(const dbk_build *build, uint64_t *entries, dbk_error *err)
{
    dbk_model *model = build->model;
    sqlite3_stmt *statement;
    *entries = build->options->at_once;
    if (*entries) return DBK_OK;
    dbk_result result = dbk_model_statement(model, DBK_SQL_PAGES, DBK_COUNT_PAGES, &statement, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_step(statement);
    *entries = rc == SQLITE_ROW && sqlite3_column_int64(statement, 0) <= SMALL_PAGES ? ENTRIES_SMALL : ENTRIES_LARGE;
    sqlite3_reset(statement);
    return rc == SQLITE_ROW ? DBK_OK : dbk_model_sql_failure(model, rc, "count the pages", err);
}

/* One transaction; the last one gives the state its position and head. */
static dbk_result fold_transaction(dbk_build *build, dbk_log *log, dbk_error *err)
{
    uint8_t head[DBK_LEAF_SIZE] = {0};
    dbk_changes changes;
    uint64_t until;
    dbk_result result = entries_at_once(build, &until, err);
    if (result == DBK_OK) result = dbk_model_begin(build->model, err);
    if (result != DBK_OK) return result;
    until += build->done;
    if (build->told > build->done) until = build->told + 1; /* what was stopped there is not met a third time */
    bool ends = build->all <= until;
    result = fold_some(build, ends ? build->all : until, err);
    if (result != DBK_OK) {
        result = end_below(build, log, result, err);
        ends = result == DBK_OK;
    }
    if (result == DBK_OK && ends) {
        result = dbk_log_head_at(log, build->last, head, err);
        if (result == DBK_NONE) {
            result = dbk_fail(err, DBK_GAP, "the log has no head at position %llu", (unsigned long long)build->last);
        }
    }
    if (result == DBK_OK && ends) result = put_back(build, err);
    /* Counts stay below `last` until the end, so positions of commits grow. */
    if (result == DBK_OK) {
        result = dbk_model_commit(build->model, ends ? build->last : build->begun + build->done, head, build->top,
                                  &changes, err);
    }
    if (result != DBK_OK) dbk_model_rollback(build->model);
    else build->committed = build->done;
    return result;
}

static bool is_halted(const dbk_model_options *options)
{
    return options->halt && atomic_load_explicit(options->halt, memory_order_relaxed);
}

/* A statement that had to be stopped took its transaction along: the fold goes back to the last one. */
static dbk_result go_back(dbk_build *build, dbk_log *log, dbk_error *err)
{
    const dbk_shadow_options *options = build->options;
    uint64_t position;
    dbk_slice origin;
    if (build->done > build->told) build->told = build->done;
    dbk_log_fold_close(build->fold);
    build->fold = NULL;
    dbk_result result =
        dbk_log_fold_open(log, build->begun, build->last, options->wanted, options->wanted_arg, &build->fold, err);
    for (build->done = 0; result == DBK_OK && build->done < build->committed; build->done++)
        result = dbk_log_fold_next(build->fold, &position, &origin, err);
    return result == DBK_END ? dbk_fail(err, DBK_GAP, "the log became shorter while it was folded") : result;
}

/* BUSY and something new is known of the entry that was stopped: another try leads further. */
static dbk_result fold_bounded(dbk_build *build, dbk_log *log, dbk_error *err)
{
    for (;;) {
        size_t known = build->model->endless.size;
        bool wanted = build->model->wants_indexes;
        dbk_result result = fold_transaction(build, log, err);
        if (result != DBK_BUSY || (build->model->endless.size == known && build->model->wants_indexes == wanted))
            return result;
        result = go_back(build, log, err);
        /* outside a transaction, which may be stopped as well */
        if (result == DBK_OK && build->model->wants_indexes) result = put_back(build, err);
        if (result != DBK_OK) return result;
    }
}

dbk_result dbk_model_build(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                           const dbk_shadow_options *options, dbk_model **out, dbk_error *err)
{
    dbk_build build = {.options = options};
    dbk_buffer_init(&build.indexes, port);
    dbk_result result = open_start(&build, port, path, definition, log, err);
    do {
        if (result == DBK_OK) result = fold_bounded(&build, log, err);
        if (result == DBK_OK && options->progress) options->progress(options->progress_arg, build.done, build.all);
        if (result == DBK_OK && build.done < build.all && is_halted(&options->model))
            result = dbk_fail(err, DBK_UNAVAILABLE, "the fold was halted");
    } while (result == DBK_OK && build.done < build.all);
    if (build.fold) dbk_log_fold_close(build.fold);
    dbk_buffer_release(&build.indexes);
    if (result != DBK_OK) {
        dbk_model_close(build.model);
        return result;
    }
    build.model->wanted = NULL;
    build.model->wanted_arg = NULL;
    build.model->wanted_last = 0;
    dbk_model_follow(build.model, NULL);
    *out = build.model;
    return DBK_OK;
}
