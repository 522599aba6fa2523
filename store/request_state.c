/* What a store says of itself, and the long works that are asked for by a request. */
#include <stdio.h>

#include "store/async.h"
#include "store/disk.h"
#include "store/replay.h"
#include "store/request.h"
#include "store/retention.h"
#include "store/turn.h"

static void put_bool(dbk_buffer *out, const char *name, bool value)
{
    dbk_buffer_printf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_fingerprint(dbk_buffer *out, const dbk_definition *definition, dbk_hash128 fingerprint)
{
    char text[33];
    if (definition->no_fingerprint) return;
    dbk_fingerprint_text(fingerprint, text);
    dbk_buffer_printf(out, ",\"fingerprint\":\"%s\"", text);
}

/* Only where it is off: whoever shows a button for it asks for this. */
static void put_undo(const dbk_engine *engine, dbk_buffer *out)
{
    if (engine->definition->no_undo) put_bool(out, "undo", false);
}

static void put_identity(dbk_engine *engine, dbk_buffer *out)
{
    dbk_request_put_text(out, "store", dbk_slice_text(engine->id_text));
    dbk_request_put_text(out, "app", dbk_slice_text(engine->definition->name));
    dbk_request_put_hex(out, "definition", dbk_slice_of(engine->definition->hash, 16));
}

/* ---- hello, status, stats */

dbk_result dbk_folder_text(const dbk_port *port, dbk_dir *dir, char out[DBK_FOLDER_TEXT_SIZE], dbk_error *err)
{
    dbk_identity found;
    int rc = port->identify_dir(port->ctx, dir, &found);
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at a store's folder");
    (void)snprintf(out, DBK_FOLDER_TEXT_SIZE, "%llu:%llu", (unsigned long long)found.device,
                   (unsigned long long)found.inode);
    return DBK_OK;
}

static void put_queries_of_models(const dbk_definition *definition, dbk_buffer *out)
{
    bool first = definition->query_count == 0;
    for (size_t i = 0; i < definition->model_count; i++) {
        for (size_t k = 0; k < definition->models[i]->query_count; k++, first = false) {
            if (!first) dbk_buffer_put_u8(out, ',');
            dbk_json_put_string(out, dbk_slice_text(definition->models[i]->queries[k].name));
        }
    }
}

/* The folder says which of several copies this is, for copies share every id. */
dbk_result dbk_request_hello(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_definition *definition = engine->definition;
    char folder[DBK_FOLDER_TEXT_SIZE];
    (void)request;
    dbk_result result = dbk_folder_text(engine->port, engine->dir, folder, err);
    if (result != DBK_OK) return result;
    dbk_request_put_text(out, "daybook", dbk_slice_text(dbk_version()));
    dbk_request_put_u64(out, "protocol", 1);
    put_identity(engine, out);
    dbk_request_put_text(out, "folder", dbk_slice_text(folder));
    dbk_request_put_cursor(engine, dbk_log_position(engine->log), out);
    dbk_buffer_put_text(out, ",\"tables\":[");
    for (size_t i = 0; i < definition->table_count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(definition->tables[i].name));
    }
    dbk_buffer_put_text(out, "],\"queries\":[");
    for (size_t i = 0; i < definition->query_count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(definition->queries[i].name));
    }
    put_queries_of_models(definition, out);
    dbk_buffer_put_text(out, "],\"commands\":[");
    for (size_t i = 0; i < definition->command_count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(definition->commands[i].name));
    }
    dbk_buffer_put_u8(out, ']');
    put_bool(out, "read_only", engine->options.read_only);
    put_undo(engine, out);
    return DBK_OK;
}

static const char *condition_of(const dbk_engine *engine)
{
    if (engine->options.read_only) return "read_only";
    if (dbk_log_poisoned(engine->log)) return "poisoned";
    if (engine->reading || engine->disk.full) return "no_space";
    if (engine->commit_failures >= 2) return "failed";
    return engine->behind ? "behind" : "ok";
}

/* Files of settings that were put aside, and what is wrong with which. */
static void put_mirrors(dbk_engine *engine, dbk_buffer *out)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->readers_lock);
    if (engine->mirrors_rejected[0]) dbk_buffer_printf(out, ",\"mirrors_rejected\":[%s]", engine->mirrors_rejected);
    if (engine->mirror_faults[0]) dbk_buffer_printf(out, ",\"mirror_faults\":{%s}", engine->mirror_faults);
    port->mutex_unlock(port->ctx, engine->readers_lock);
}

dbk_result dbk_request_status(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    uint8_t head[DBK_LEAF_SIZE];
    char opened[DBK_TIME_TEXT_SIZE];
    (void)request;
    (void)err;
    dbk_asyncs_settle(engine, DBK_ASYNCS_SETTLE_MS);
    port->mutex_lock(port->ctx, engine->turn);
    put_identity(engine, out);
    dbk_request_put_cursor(engine, dbk_log_position(engine->log), out);
    dbk_log_head(engine->log, head);
    dbk_request_put_hex(out, "head", dbk_slice_of(head, sizeof head));
    dbk_request_put_hex(out, "lineage", dbk_slice_of(engine->identity.lineage, 16));
    dbk_request_put_hex(out, "replica", dbk_slice_of(engine->identity.replica, 16));
    dbk_request_put_u64(out, "incarnation", engine->identity.incarnation);
    dbk_request_put_text(out, "condition", dbk_slice_text(condition_of(engine)));
    if (engine->model) {
        dbk_model_state state;
        dbk_model_get_state(engine->model, &state);
        dbk_request_put_u64(out, "model_position", state.position);
        put_fingerprint(out, engine->definition, state.fingerprint);
    }
    if (engine->definition->model_count > 0) {
        dbk_buffer_put_text(out, ",\"models\":");
        dbk_async_put_all(engine, out);
    }
    put_bool(out, "copied", engine->copied);
    put_undo(engine, out);
    dbk_request_put_u64(out, "parked", engine->parked.count);
    dbk_time_rfc3339(engine->opened_ms, opened);
    dbk_request_put_text(out, "opened", dbk_slice_text(opened));
    put_mirrors(engine, out);
    dbk_retention_put(engine, out);
    port->mutex_unlock(port->ctx, engine->turn);
    return DBK_OK;
}

/* Of a scrub that runs here, or as the last one left it. */
static void put_scrub(dbk_engine *engine, dbk_buffer *out)
{
    dbk_scrub_state scrub;
    char time[DBK_TIME_TEXT_SIZE];
    if (engine->scrub) dbk_scrub_get(engine->scrub, &scrub);
    else if (dbk_scrub_read(engine->port, engine->log_dir, &scrub, NULL) != DBK_OK) return;
    dbk_buffer_put_text(out, ",\"scrub\":{\"bytes_per_second\":");
    dbk_json_put_u64(out, engine->scrub ? scrub.bytes_per_second : 0);
    if (scrub.last_full_ms) {
        dbk_time_rfc3339(scrub.last_full_ms, time);
        dbk_request_put_text(out, "last_full", dbk_slice_text(time));
        dbk_request_put_u64(out, "full_bytes", scrub.full_bytes);
    }
    if (scrub.next_segment) dbk_request_put_u64(out, "round_bytes", scrub.round_bytes);
    dbk_request_put_u64(out, "faults", scrub.faults);
    if (scrub.fault[0]) dbk_request_put_text(out, "fault", dbk_slice_text(scrub.fault));
    dbk_buffer_put_u8(out, '}');
}

static void put_aside(void *arg, const char *path)
{
    dbk_buffer *names = arg;
    if (names->size > 0) dbk_buffer_put_u8(names, ',');
    dbk_json_put_string(names, dbk_slice_text(path));
}

static void put_asides(dbk_engine *engine, dbk_buffer *out)
{
    dbk_buffer names;
    dbk_buffer_init(&names, engine->port);
    dbk_aside_each(engine->port, engine->dir, put_aside, &names);
    if (names.failed) out->failed = true;
    else if (names.size > 0) dbk_buffer_printf(out, ",\"aside\":[%.*s]", DBK_SLICE_ARG(dbk_buffer_slice(&names)));
    dbk_buffer_release(&names);
}

dbk_result dbk_request_stats(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_log_report report = {0};
    (void)request;
    dbk_asyncs_settle(engine, DBK_ASYNCS_SETTLE_MS);
    port->mutex_lock(port->ctx, engine->turn);
    dbk_result result = dbk_log_stats(engine->log, &report, err);
    dbk_request_put_u64(out, "position", dbk_log_position(engine->log));
    dbk_request_put_u64(out, "entries", report.entries);
    dbk_request_put_u64(out, "batches", report.batches);
    dbk_request_put_u64(out, "segments", report.segments);
    dbk_request_put_u64(out, "packed_segments", report.packed_segments);
    dbk_request_put_u64(out, "packed_bytes", report.packed_file_bytes);
    if (report.packed_records_bytes)
        dbk_request_put_u64(out, "packed_percent", report.packed_file_bytes * 100 / report.packed_records_bytes);
    dbk_request_put_u64(out, "bytes", report.bytes);
    dbk_request_put_u64(out, "file_bytes", report.file_bytes);
    dbk_buffer_put_text(out, ",\"since_open\":{\"commands\":");
    dbk_json_put_u64(out, engine->counts.commands);
    dbk_request_put_u64(out, "refused", engine->counts.refused);
    dbk_request_put_u64(out, "entries", engine->counts.entries);
    dbk_request_put_u64(out, "batches", engine->counts.batches);
    dbk_request_put_u64(out, "bytes", engine->counts.bytes);
    dbk_request_put_u64(out, "imports", engine->counts.imports);
    dbk_request_put_u64(out, "rebuilds", engine->counts.rebuilds);
    dbk_request_put_u64(out, "mirror_failures", engine->counts.mirror_failures);
    dbk_buffer_put_u8(out, '}');
    dbk_buffer_printf(out, ",\"parked\":{\"facts\":%zu,\"bytes\":%zu,\"dropped\":%llu}", engine->parked.count,
                      engine->parked.bytes.size, (unsigned long long)engine->parked.dropped);
    put_scrub(engine, out);
    dbk_disk_look(engine);
    dbk_disk_put(engine, out);
    dbk_request_put_u64(out, "incarnation", engine->identity.incarnation);
    put_bool(out, "copied", engine->copied);
    put_asides(engine, out);
    dbk_slow_put(engine, out);
    put_mirrors(engine, out);
    dbk_retention_put(engine, out);
    if (engine->definition->model_count > 0) {
        dbk_buffer_put_text(out, ",\"models\":");
        dbk_async_put_all(engine, out);
    }
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

/* ---- fingerprint, replay, rebuild */

static dbk_result no_fingerprint(const dbk_definition *model, dbk_error *err)
{
    const char *name = model ? model->model : "main";
    dbk_fail(err, DBK_BAD_COMMAND,
             "the model '%s' has no fingerprint: 'models.%s.observe.fingerprint' of app.json is "
             "false",
             name, name);
    dbk_error_hint(err, "set it to true and upgrade");
    return DBK_BAD_COMMAND;
}

dbk_result dbk_request_fingerprint(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_moment at;
    dbk_model_state state;
    bool past;
    const dbk_definition *model = NULL;
    dbk_result result = dbk_request_moment(request, &at, &past, err);
    if (result == DBK_OK) result = dbk_request_model(engine, request, &model, err);
    if (result == DBK_OK && (model ? model : engine->definition)->no_fingerprint) result = no_fingerprint(model, err);
    if (result != DBK_OK) return result;
    const dbk_json_node *recount = dbk_json_member(request, "recount");
    if (recount && recount->kind == DBK_JSON_TRUE && !past) return dbk_request_recount(engine, model, out, err);
    if (recount && recount->kind != DBK_JSON_FALSE)
        return dbk_fail(err, DBK_BAD_COMMAND, "'recount' is true or false, and not for a moment of the past");
    if (past || !engine->model) {
        dbk_model_reader *reader;
        result = dbk_pasts_enter(engine, model, &at, &reader, &state, err);
        dbk_pasts_leave(engine);
    } else if (model) {
        result = dbk_async_state(engine, model, &state, err);
    } else {
        port->mutex_lock(port->ctx, engine->turn);
        dbk_model_get_state(engine->model, &state);
        port->mutex_unlock(port->ctx, engine->turn);
    }
    if (result != DBK_OK) return result;
    put_fingerprint(out, model ? model : engine->definition, state.fingerprint);
    dbk_request_put_u64(out, "position", state.position);
    dbk_request_put_hex(out, "definition", dbk_slice_of((model ? model : engine->definition)->hash, 16));
    return DBK_OK;
}

dbk_result dbk_request_replay(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_moment at;
    dbk_model_state state;
    dbk_slice into;
    bool past;
    dbk_buffer path;
    const dbk_definition *model = NULL;
    dbk_result result = dbk_request_moment(request, &at, &past, err);
    if (result == DBK_OK) result = dbk_request_text(request, "into", &into, err);
    if (result == DBK_OK) result = dbk_request_model(engine, request, &model, err);
    if (result != DBK_OK) return result;
    if (into.size == 0 || memchr(into.data, 0, into.size))
        return dbk_fail(err, DBK_BAD_COMMAND, "'into' must be the path of a new file");
    dbk_buffer_init(&path, engine->port);
    dbk_buffer_put_slice(&path, into);
    result = dbk_buffer_text(&path)
                 ? dbk_engine_replay_model(engine, model, &at, (const char *)path.data, true, NULL, NULL, &state, err)
                 : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    dbk_buffer_release(&path);
    if (result != DBK_OK) return result;
    dbk_request_put_text(out, "into", into);
    dbk_request_put_u64(out, "position", state.position);
    put_fingerprint(out, model ? model : engine->definition, state.fingerprint);
    return DBK_OK;
}

dbk_result dbk_request_rebuild(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    int64_t begin_ns = port->monotonic_ns(port->ctx);
    dbk_model_state state;
    const dbk_definition *model = NULL;
    dbk_result result = dbk_request_model(engine, request, &model, err);
    if (result != DBK_OK || model)
        return result == DBK_OK ? dbk_request_model_rebuild(engine, model, out, err) : result;
    result = dbk_engine_rebuild(engine, NULL, NULL, err);
    if (result != DBK_OK) return result;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_model_get_state(engine->model, &state);
    dbk_request_put_cursor(engine, state.position, out);
    port->mutex_unlock(port->ctx, engine->turn);
    put_fingerprint(out, engine->definition, state.fingerprint);
    dbk_request_put_u64(out, "took_ms", (uint64_t)(port->monotonic_ns(port->ctx) - begin_ns) / 1000000);
    return DBK_OK;
}

/* ---- verify */

enum { FAULTS_TOLD_MAX = 1000 };

typedef struct dbk_faults {
    dbk_buffer text;
    uint64_t count;
} dbk_faults;

static void note_fault(void *arg, const dbk_log_fault *fault)
{
    dbk_faults *faults = arg;
    if (faults->count++ >= FAULTS_TOLD_MAX) return;
    dbk_buffer *out = &faults->text;
    dbk_buffer_printf(out, "%s{\"error\":\"%s\"", out->size ? "," : "", dbk_result_name(fault->code));
    dbk_request_put_text(out, "file", dbk_slice_text(fault->file ? fault->file : ""));
    dbk_request_put_u64(out, "offset", fault->offset);
    if (fault->first_position) {
        dbk_request_put_u64(out, "first_position", fault->first_position);
        dbk_request_put_u64(out, "last_position", fault->last_position);
    }
    dbk_request_put_text(out, "message", dbk_slice_text(fault->text ? fault->text : ""));
    dbk_buffer_put_u8(out, '}');
}

static dbk_result verify(dbk_engine *engine, dbk_verify_depth depth, dbk_faults *faults, dbk_log_report *report,
                         dbk_error *err)
{
    dbk_log_options options = engine->options.log;
    dbk_log_watcher watcher = {.arg = faults, .fault = note_fault};
    memcpy(options.store_id, engine->identity.store_id, 16);
    memcpy(options.lineage, engine->identity.lineage, 16);
    dbk_buffer_clear(&faults->text);
    faults->count = 0;
    return dbk_log_verify(engine->port, engine->log_dir, &options, depth, &watcher, report, err);
}

/* A batch in flight can look like a fault: what is found is looked for again while nobody writes. */
static dbk_result verify_surely(dbk_engine *engine, dbk_verify_depth depth, dbk_faults *faults, dbk_log_report *report,
                                dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_result result = verify(engine, depth, faults, report, err);
    if (result == DBK_OK && report->faults == 0) return DBK_OK;
    port->mutex_lock(port->ctx, engine->turn);
    result = verify(engine, depth, faults, report, err);
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

dbk_result dbk_request_verify(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_json_node *depth = dbk_json_member(request, "depth");
    bool proof = !depth || dbk_json_text_is(depth, "proof");
    dbk_log_report report = {0};
    dbk_faults faults = {0};
    if (!proof && !dbk_json_text_is(depth, "checksums"))
        return dbk_fail(err, DBK_BAD_COMMAND, "'depth' must be \"checksums\" or \"proof\"");
    dbk_buffer_init(&faults.text, engine->port);
    dbk_result result = verify_surely(engine, proof ? DBK_VERIFY_PROOF : DBK_VERIFY_CHECKSUMS, &faults, &report, err);
    if (result == DBK_OK) {
        dbk_request_put_text(out, "depth", dbk_slice_text(proof ? "proof" : "checksums"));
        dbk_request_put_u64(out, "entries", report.entries);
        dbk_request_put_u64(out, "batches", report.batches);
        dbk_request_put_u64(out, "segments", report.segments);
        dbk_request_put_u64(out, "bytes", report.bytes);
        dbk_request_put_u64(out, "file_bytes", report.file_bytes);
        dbk_request_put_u64(out, "fault_count", report.faults);
        dbk_buffer_put_text(out, ",\"faults\":[");
        dbk_buffer_put_slice(out, dbk_buffer_slice(&faults.text));
        dbk_buffer_put_u8(out, ']');
        if (proof) dbk_request_put_hex(out, "head", dbk_slice_of(report.head, sizeof report.head));
    }
    dbk_buffer_release(&faults.text);
    return result;
}
