/* What is kept beside an async model's file, as JSON in `state`, and what is said of it: from its thread, or in a store
 * that is only read from what is in its folder. */
#include "store/async.h"
#include "store/request.h"

#include <stdio.h>

enum { NOTE_MAX_BYTES = 8192 };

/* ---- state */

static void read_text(const dbk_json_node *root, const char *name, char *out, size_t size)
{
    const dbk_json_node *node = dbk_json_member(root, name);
    if (!node || node->kind != DBK_JSON_STRING) return;
    (void)snprintf(out, size, "%.*s", (int)(node->text.size < size ? node->text.size : size - 1),
                   (const char *)node->text.data);
}

static void read_stop(const dbk_json_node *failed, dbk_model_stop *stop)
{
    const dbk_json_node *entry = dbk_json_member(failed, "entry"), *position = dbk_json_member(failed, "position");
    int64_t number;
    if (!entry || entry->kind != DBK_JSON_STRING || !dbk_entry_id_parse(entry->text, &stop->entry)) return;
    if (!position || !dbk_json_is_integer(position, &number) || number <= 0) return;
    stop->position = (uint64_t)number;
    read_text(failed, "type", stop->type, sizeof stop->type);
    read_text(failed, "error", stop->reason, sizeof stop->reason);
    const dbk_json_node *over = dbk_json_member(failed, "over_budget");
    stop->over_budget = over && over->kind == DBK_JSON_TRUE;
}

/* What cannot be read is as if it were not there: the log tells the rest. */
dbk_result dbk_async_note_read(const dbk_model_folder *folder, dbk_async_note *note, dbk_error *err)
{
    const dbk_json_node *root = NULL;
    dbk_buffer text;
    *note = (dbk_async_note){0};
    dbk_buffer_init(&text, folder->port);
    dbk_result result = dbk_io_read_file(folder->port, folder->dir, "state", NOTE_MAX_BYTES, &text, NULL);
    dbk_json_parser *parser = result == DBK_OK ? dbk_json_parser_new(folder->port) : NULL;
    if (result == DBK_OK && !parser) result = DBK_NO_MEMORY;
    if (result == DBK_OK) result = dbk_json_parse(parser, dbk_buffer_slice(&text), &root, NULL);
    if (result == DBK_OK && root->kind == DBK_JSON_OBJECT) {
        const dbk_json_node *paused = dbk_json_member(root, "paused"), *failed = dbk_json_member(root, "failed");
        note->paused = paused && paused->kind == DBK_JSON_TRUE;
        if (failed && failed->kind == DBK_JSON_OBJECT) read_stop(failed, &note->stop);
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    return result == DBK_NO_MEMORY ? dbk_fail(err, result, "no memory for the state of a model") : DBK_OK;
}

void dbk_async_put_stop(dbk_buffer *out, const dbk_model_stop *stop)
{
    char id[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(&stop->entry, id);
    dbk_buffer_printf(out, ",\"failed\":{\"position\":%llu", (unsigned long long)stop->position);
    dbk_request_put_text(out, "entry", dbk_slice_text(id));
    dbk_request_put_text(out, "type", dbk_slice_text(stop->type));
    dbk_request_put_text(out, "error", dbk_slice_text(stop->reason));
    if (stop->over_budget) dbk_buffer_put_text(out, ",\"over_budget\":true");
    dbk_buffer_put_u8(out, '}');
}

dbk_result dbk_async_note_write(const dbk_model_folder *folder, const dbk_async_note *note, dbk_error *err)
{
    dbk_buffer text;
    dbk_buffer_init(&text, folder->port);
    dbk_buffer_printf(&text, "{\"paused\":%s", note->paused ? "true" : "false");
    if (note->stop.position > 0) dbk_async_put_stop(&text, &note->stop);
    dbk_buffer_put_text(&text, "}\n");
    dbk_result result = text.failed
                            ? dbk_fail(err, DBK_NO_MEMORY, "no memory for the state of a model")
                            : dbk_io_replace_file(folder->port, folder->dir, "state", dbk_buffer_slice(&text), err);
    dbk_buffer_release(&text);
    return result;
}

/* ---- what is said */

typedef struct dbk_async_view {
    dbk_async_note note;
    dbk_model_state state;
    bool has_file, working, building; /* working: a thread is on it */
    uint64_t done, of, builds, end, used_bytes;
    dbk_error trouble;
    const char *healed;
} dbk_async_view;

static const char *condition_of(const dbk_async_view *view)
{
    if (view->note.paused || view->trouble.code == DBK_NO_SPACE) return "paused";
    if (view->building || (view->working && !view->has_file && view->trouble.code == DBK_OK)) return "building";
    if (view->note.stop.position > 0 || view->trouble.code != DBK_OK) return "failed";
    return view->has_file && view->state.position >= view->end ? "running" : "behind";
}

static void put_view(const dbk_definition *model, const dbk_async_view *view, dbk_buffer *out)
{
    char fingerprint[33];
    uint64_t behind = view->end > view->state.position ? view->end - view->state.position : 0;
    dbk_buffer_put_text(out, "{\"model\":");
    dbk_json_put_string(out, dbk_slice_text(model->model));
    dbk_request_put_text(out, "mode", dbk_slice_text("async"));
    dbk_request_put_text(out, "state", dbk_slice_text(condition_of(view)));
    dbk_request_put_u64(out, "position", view->state.position);
    dbk_request_put_u64(out, "behind", behind);
    if (view->note.stop.position > 0) dbk_async_put_stop(out, &view->note.stop);
    if (view->trouble.code != DBK_OK) {
        dbk_buffer_printf(out, ",\"trouble\":{\"error\":\"%s\"", dbk_result_name(view->trouble.code));
        dbk_request_put_text(out, "message", dbk_slice_text(view->trouble.text));
        dbk_buffer_put_u8(out, '}');
    }
    if (view->healed) dbk_request_put_text(out, "healed", dbk_slice_text(view->healed));
    if (view->building)
        dbk_buffer_printf(out, ",\"building\":{\"done\":%llu,\"of\":%llu}", (unsigned long long)view->done,
                          (unsigned long long)view->of);
    if (view->has_file && view->working && !model->no_fingerprint) {
        dbk_fingerprint_text(view->state.fingerprint, fingerprint);
        dbk_request_put_text(out, "fingerprint", dbk_slice_text(fingerprint));
    }
    if (model->budget_bytes) dbk_request_put_budget(out, model->budget_bytes, view->used_bytes);
    dbk_request_put_hex(out, "definition", dbk_slice_of(model->hash, 16));
    if (view->working) dbk_request_put_u64(out, "builds", view->builds);
    dbk_buffer_put_u8(out, '}');
}

static void view_of(const dbk_async *async, dbk_async_view *view)
{
    view->working = true;
    view->note = async->note;
    view->state = async->state;
    view->has_file = async->path != NULL;
    view->building = async->building || (async->needs_build && !async->note.paused);
    view->done = async->done;
    view->of = async->of;
    view->builds = async->builds;
    view->used_bytes = async->path ? async->used_bytes : 0;
    view->trouble = async->trouble;
    view->healed = async->healed;
}

dbk_result dbk_async_state(dbk_engine *engine, const dbk_definition *model, dbk_model_state *state, dbk_error *err)
{
    dbk_asyncs_settle(engine, DBK_ASYNCS_SETTLE_MS);
    dbk_asyncs *all = dbk_asyncs_enter(engine);
    dbk_async *async = dbk_asyncs_find(all, model->model);
    bool has_file = false;
    if (async) {
        dbk_asyncs_lock(all);
        has_file = async->path != NULL;
        *state = async->state;
        dbk_asyncs_unlock(all);
    }
    dbk_asyncs_leave(all);
    return has_file ? DBK_OK : dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' is not built yet", model->model);
}

/* A store that is only read has no threads: what is there was left by another process, or is its. */
static void look_at_folder(dbk_engine *engine, const dbk_definition *model, dbk_async_view *view)
{
    char below[96], file[80];
    dbk_dir *dir = NULL;
    dbk_model_folder folder;
    dbk_buffer path;
    dbk_buffer_init(&path, engine->port);
    dbk_result result = dbk_async_folder(engine, model, false, below, file, &dir, &folder, NULL);
    if (result == DBK_OK) result = dbk_async_note_read(&folder, &view->note, NULL);
    if (result == DBK_OK) result = dbk_model_folder_current(&folder, &path, NULL);
    if (result == DBK_OK)
        result = dbk_image_look(engine->port, engine->options.model.vfs, (const char *)path.data, &view->state, NULL);
    view->has_file = result == DBK_OK && memcmp(view->state.definition, model->hash, 16) == 0;
    if (!view->has_file) view->state = (dbk_model_state){0};
    dbk_buffer_release(&path);
    if (dir) engine->port->close_dir(engine->port->ctx, dir);
}

void dbk_async_put(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out)
{
    dbk_async_view view = {.end = dbk_log_position(engine->log)};
    dbk_asyncs *all = dbk_asyncs_enter(engine);
    dbk_async *async = dbk_asyncs_find(all, model->model);
    if (async) {
        dbk_asyncs_lock(all);
        view_of(async, &view);
        dbk_asyncs_unlock(all);
    } else {
        look_at_folder(engine, model, &view);
    }
    dbk_asyncs_leave(all);
    put_view(model, &view, out);
}

void dbk_async_put_all(dbk_engine *engine, dbk_buffer *out)
{
    const dbk_definition *definition = engine->definition;
    dbk_buffer_put_u8(out, '[');
    for (size_t i = 0; i < definition->model_count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_async_put(engine, definition->models[i], out);
    }
    dbk_buffer_put_u8(out, ']');
}
