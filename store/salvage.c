/* Salvage: a new store from what is provably good of a damaged one.
 *   1. the old store is read through once: what there is, what is missing, whose it is
 *   2. a new store without daybook.json: nobody takes it for one
 *   3. the old store is read through again; its good entries, synced
 *   4. daybook.json; the new store is opened once, and names the definition it runs
 * Positions have no gaps in a store, so the entries are numbered anew; their origin bytes, and with them
 * ids, order and leaves, stay. The seqs that are missing stay missing: a replica that has them can still
 * bring them, since the new store writes under another incarnation. */
#include <stdio.h>

#include "store/carry.h"
#include "store/disk.h"
#include "store/unmake.h"

typedef struct dbk_author {
    uint8_t replica[16];
    uint32_t incarnation;
    uint64_t seq; /* the last one met */
} dbk_author;

typedef struct dbk_salvage {
    const dbk_port *port;
    const dbk_salvage_watcher *watcher;
    dbk_salvage_report *report;
    dbk_dir *log_dir; /* the old one */
    dbk_log_options log;
    dbk_identity_file old;
    bool identified;        /* by daybook.json */
    bool looking;           /* the first time: tells what is missing */
    uint64_t last, told_to; /* last good position; last one that is known to have been there */
    dbk_author *authors;
    size_t author_count, author_room;
    uint8_t definition[16]; /* that the log recorded last */
    bool recorded;
    dbk_carry *carry;
    uint8_t made[16]; /* the new store's id */
} dbk_salvage;

/* ---- what is met */

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    dbk_salvage *s = arg;
    if (!s->looking) return;
    s->report->faults++;
    s->report->damaged_bytes += fault->bytes;
    if (fault->last_position > s->told_to) s->told_to = fault->last_position;
    if (s->watcher->fault) s->watcher->fault(s->watcher->arg, fault);
}

static void tell_missing(dbk_salvage *s, uint64_t before)
{
    if (before <= s->last + 1) return;
    s->report->missing += before - s->last - 1;
    if (s->watcher->missing_positions) s->watcher->missing_positions(s->watcher->arg, s->last + 1, before - 1);
}

static dbk_author *author_of(dbk_salvage *s, const dbk_entry_id *id)
{
    for (size_t i = s->author_count; i-- > 0;) {
        dbk_author *author = &s->authors[i];
        if (author->incarnation == id->incarnation && memcmp(author->replica, id->replica, 16) == 0) return author;
    }
    if (s->author_count == s->author_room) {
        size_t room = s->author_room ? s->author_room * 2 : 16;
        dbk_author *grown = s->port->resize(s->port->ctx, s->authors, room * sizeof *grown);
        if (!grown) return NULL;
        s->authors = grown;
        s->author_room = room;
    }
    dbk_author *author = &s->authors[s->author_count++];
    *author = (dbk_author){.incarnation = id->incarnation};
    memcpy(author->replica, id->replica, 16);
    return author;
}

/* An author's seqs have no gaps: one in the log says which entries are gone. */
static dbk_result note_id(dbk_salvage *s, const dbk_entry_id *id, dbk_error *err)
{
    dbk_author *author = author_of(s, id);
    if (!author) return dbk_fail(err, DBK_NO_MEMORY, "no memory to salvage a store");
    if (id->seq > author->seq + 1 && s->watcher->missing_ids) {
        dbk_entry_id first = *id;
        first.seq = author->seq + 1;
        s->watcher->missing_ids(s->watcher->arg, &first, id->seq - first.seq);
    }
    if (id->seq > author->seq) author->seq = id->seq;
    return DBK_OK;
}

static void note_definition(dbk_salvage *s, const dbk_entry *entry)
{
    dbk_event event;
    dbk_slice rest = entry->events;
    if (!(entry->flags & DBK_ENTRY_ENGINE)) return;
    while (dbk_event_next(&rest, &event)) {
        if (!dbk_slice_equal(event.type, dbk_slice_text("daybook.definition"))) continue;
        memcpy(s->definition, entry->definition, 16);
        s->recorded = true;
    }
}

static dbk_result on_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    dbk_salvage *s = arg;
    dbk_entry entry;
    if (!s->looking) return dbk_carry_add(s->carry, origin, received_ms, err);
    dbk_result result = dbk_entry_decode(origin, &entry, err);
    if (result == DBK_OK) result = note_id(s, &entry.id, err);
    if (result != DBK_OK) return result;
    if (s->report->kept == 0) memcpy(s->old.lineage, entry.lineage, 16);
    tell_missing(s, position);
    note_definition(s, &entry);
    s->last = position;
    s->report->kept++;
    s->report->kept_bytes += origin.size;
    return DBK_OK;
}

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    dbk_salvage *s = arg;
    if (s->watcher->progress) s->watcher->progress(s->watcher->arg, done, all);
}

static dbk_result read_through(dbk_salvage *s, bool looking, dbk_log_report *found, dbk_error *err)
{
    dbk_log_watcher watcher = {.arg = s, .fault = on_fault, .progress = on_progress, .entry = on_entry};
    s->looking = looking;
    return dbk_log_verify(s->port, s->log_dir, &s->log, DBK_VERIFY_PROOF, &watcher, found, err);
}

/* ---- the old store */

static void note(dbk_salvage *s, const char *file, dbk_result code, const char *text)
{
    s->report->faults++;
    if (s->watcher->note) s->watcher->note(s->watcher->arg, file, code, text);
}

/* A newer format is not damage: nothing is made of it. */
static dbk_result identify(dbk_salvage *s, dbk_dir *dir, dbk_error *err)
{
    dbk_error local = {0};
    dbk_result result = dbk_identity_read(s->port, dir, &s->old, &local);
    s->identified = result == DBK_OK;
    if (result == DBK_VERSION || result == DBK_NO_MEMORY) {
        if (err) *err = local;
        return result;
    }
    if (!s->identified) {
        note(s, "daybook.json", result, local.text);
        result = dbk_log_identify(s->port, s->log_dir, s->old.store_id, s->old.lineage, err);
    }
    memcpy(s->log.store_id, s->old.store_id, 16);
    memcpy(s->log.lineage, s->old.lineage, 16);
    return result;
}

static dbk_result examine(dbk_salvage *s, const char *path, dbk_error *err)
{
    dbk_dir *dir = NULL;
    dbk_log_report found;
    dbk_result result = dbk_io_open_dir(s->port, NULL, path, 0, &dir, err);
    if (result == DBK_OK) result = dbk_io_open_dir(s->port, dir, "log", 0, &s->log_dir, err);
    if (result == DBK_OK) result = identify(s, dir, err);
    if (result == DBK_OK) result = read_through(s, true, &found, err);
    if (dir) s->port->close_dir(s->port->ctx, dir);
    if (result != DBK_OK) return result;
    s->report->left_out = found.left_out;
    if (s->told_to > s->last) tell_missing(s, s->told_to + 1);
    if (s->report->kept > 0) return DBK_OK;
    dbk_fail(err, DBK_LOST, "nothing in the log of '%s' can be salvaged", path);
    dbk_error_hint(err, "'daybook verify %s' says why", path);
    return DBK_LOST;
}

static dbk_result load_definition(const dbk_port *port, const char *path, const char *app, dbk_definition **out,
                                  dbk_error *err)
{
    dbk_findings findings = {0};
    dbk_buffer folder;
    dbk_buffer_init(&folder, port);
    dbk_buffer_printf(&folder, "%s%s", app ? app : path, app ? "" : "/app");
    dbk_result result = dbk_buffer_text(&folder)
                            ? dbk_definition_load(port, (const char *)folder.data, out, &findings, err)
                            : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_SCHEMA && findings.count > 0)
        (void)dbk_fail(err, result, "the definition in '%s' does not pass the check: %s", (const char *)folder.data,
                       findings.items[0].text);
    if (result != DBK_OK && !app) dbk_error_hint(err, "name the app's definition with --app");
    dbk_findings_free(&findings);
    dbk_buffer_release(&folder);
    return result;
}

/* ---- the new store */

static dbk_result fill(void *arg, const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                       const dbk_identity_file *identity, dbk_error *err)
{
    dbk_salvage *s = arg;
    dbk_log_report found;
    dbk_result result = dbk_carry_open(s->carry, port, dir, options, identity, err);
    if (result == DBK_OK) result = read_through(s, false, &found, err);
    if (result == DBK_OK) result = dbk_carry_flush(s->carry, err);
    dbk_carry_close(s->carry);
    dbk_uuid_text(identity->store_id, s->report->id);
    memcpy(s->made, identity->store_id, 16);
    return result;
}

static dbk_result make(dbk_salvage *s, const char *into, const dbk_definition *definition,
                       const dbk_engine_options *options, dbk_error *err)
{
    dbk_engine_options own = *options;
    char timeline[17];
    uint32_t incarnation = 0;
    dbk_result result = dbk_draw_life(s->port, s->old.incarnation, &incarnation, timeline, err);
    if (result != DBK_OK) return result;
    int rc = s->identified ? 0 : s->port->random(s->port->ctx, s->old.replica, 16);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, -rc, "the system gave no random bytes for the store's ids");
    own.given_ids = true;
    memcpy(own.lineage, s->old.lineage, 16);
    memcpy(own.replica, s->old.replica, 16);
    own.incarnation = s->identified ? incarnation : 1; /* a new replica begins with its first */
    own.timeline = timeline;
    s->report->new_replica = !s->identified;
    dbk_store_plan plan = {.definition = definition, .keep_sources = !own.definition, .fill = fill, .fill_arg = s};
    return dbk_store_make(into, &plan, &own, err);
}

static dbk_result count_skip(void *arg, const dbk_skip *skip)
{
    (void)skip;
    ++*(uint64_t *)arg;
    return DBK_OK;
}

/* Opening it folds the log; the definition that folds it is named there, where the log does not yet. */
static dbk_result finish(dbk_salvage *s, const char *into, const dbk_definition *definition,
                         const dbk_engine_options *options, dbk_error *err)
{
    dbk_engine *engine = NULL;
    dbk_result result = dbk_engine_open(into, options, &engine, err);
    if (result == DBK_OK)
        result = dbk_engine_may_write(engine, err); /* without room it opens for reading, without rows */
    s->report->new_definition = !s->recorded || memcmp(s->definition, definition->hash, 16) != 0;
    if (result == DBK_OK && s->report->new_definition) {
        char hash[33], data[64];
        dbk_hex_encode(dbk_slice_of(definition->hash, 16), hash);
        snprintf(data, sizeof data, "{\"hash\":\"%s\"}", hash);
        result = dbk_turn_engine_entry(engine, "daybook/definition", "daybook.definition", dbk_slice_text(data),
                                       dbk_engine_now(engine), err);
    }
    if (result == DBK_OK) result = dbk_model_skips(engine->model, count_skip, &s->report->inbox, err);
    if (result == DBK_OK) s->report->position = dbk_log_position(engine->log);
    dbk_engine_close(engine);
    return result;
}

/* The new store is whole and does not open: it goes, so that salvage can be run again. Not where another process has it,
 * who may have written to it by now. */
static void take_back(const dbk_salvage *s, const char *into, bool was_there)
{
    const dbk_port *port = s->port;
    dbk_identity_file found;
    dbk_dir *dir = NULL;
    dbk_lock *lock = NULL;
    if (dbk_io_open_dir(port, NULL, into, 0, &dir, NULL) != DBK_OK) return;
    dbk_result result = dbk_lock_take(port, dir, "LOCK", &lock, NULL);
    if (result == DBK_OK) result = dbk_identity_read(port, dir, &found, NULL);
    if (result == DBK_OK && memcmp(found.store_id, s->made, 16) == 0) dbk_store_unmake(port, dir);
    dbk_lock_release(lock);
    port->close_dir(port->ctx, dir);
    if (!was_there) dbk_folder_remove_empty(port, into);
}

/* The only one that opening for writing refuses with this code is an app before the log's newest. */
static void hint_app(const char *path, const char *app, dbk_error *err)
{
    if (app)
        dbk_error_hint(err, "'%s' is older than the app that '%s' ran last: name the newer one's folder with --app",
                       app, path);
    else
        dbk_error_hint(err,
                       "'%s/app' is older than the app that the log names last: name the newer one's folder with --app",
                       path);
}

static dbk_result make_and_open(dbk_salvage *s, const char *into, const dbk_definition *definition,
                                const dbk_engine_options *options, dbk_error *err)
{
    bool was_there = dbk_folder_is_there(s->port, into);
    dbk_result result = make(s, into, definition, options, err);
    if (result != DBK_OK) return result;
    result = finish(s, into, definition, options, err);
    if (result != DBK_OK && result != DBK_LOCKED) take_back(s, into, was_there);
    return result;
}

dbk_result dbk_engine_salvage(const char *path, const char *into, const char *app, const dbk_engine_options *options,
                              const dbk_salvage_watcher *watcher, dbk_salvage_report *report, dbk_error *err)
{
    static const dbk_engine_options none = {0};
    static const dbk_salvage_watcher nobody = {0};
    options = options ? options : &none;
    const dbk_port *port = options->port ? options->port : dbk_port_system();
    dbk_salvage s = {.port = port, .watcher = watcher ? watcher : &nobody, .report = report, .log = options->log};
    dbk_definition *loaded = NULL;
    memset(report, 0, sizeof *report);
    s.carry = dbk_alloc_zero(port, 1, sizeof *s.carry);
    dbk_result result = s.carry ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory to salvage a store");
    if (result == DBK_OK) result = examine(&s, path, err);
    if (result == DBK_OK && !options->definition) result = load_definition(port, path, app, &loaded, err);
    const dbk_definition *definition = loaded ? loaded : options->definition;
    if (result == DBK_OK) result = make_and_open(&s, into, definition, options, err);
    if (result == DBK_READ_ONLY) hint_app(path, app, err);
    dbk_definition_free(loaded);
    if (s.log_dir) port->close_dir(port->ctx, s.log_dir);
    dbk_free(port, s.authors);
    dbk_free(port, s.carry);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot salvage '%s' into '%s'", path, into);
}
