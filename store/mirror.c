/* Mirrors: a namespace of settings as a JSON file that people may edit (files/<mirror> in the store's folder). Those of
 * a query are in mirror_rows.c.
 *
 * What was last the same on both sides is the base, kept in mirrors/<namespace>.json. A file that differs from it was
 * edited: what the edit changed is laid over what is set now, judged, and set by a command of actor
 * daybook:mirror, so an edit and a change at the same time both stay. Settings that differ from the base are written
 * to the file, whole, by a rename. A file that cannot be taken (no JSON, no object, refused by the schema) is copied
 * aside as <mirror>.rejected and stays until somebody edits it or a setting changes; it never wipes one. What is no
 * ordinary file (a link, a folder) is left alone. A file that was deleted is written again. The first look is part of
 * opening and the last of closing: also a process that sets one thing leaves both sides the same.
 *
 * Crash between file and base: the file differs from an old base, and laying it over what is set changes nothing. */
#include <errno.h>
#include <stdio.h>

#include "store/mirror_look.h"
#include "store/switch.h"
#include "store/turn.h"

enum { EVERY_NS = 500 * 1000 * 1000, FRESH_MS = 2000 };

static dbk_result keep_base(dbk_mirror_step *s, dbk_slice document, dbk_error *err)
{
    s->mirror->shown = dbk_mirror_sum(s, document);
    return dbk_mirror_keep_base(s, document, err);
}

static dbk_result write_file(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror_forget(s->mirror);
    dbk_result result = dbk_mirror_render(s, err);
    if (result == DBK_OK && s->text.size > DBK_MIRROR_MAX_BYTES)
        return dbk_fail(err, DBK_TOO_BIG, "'%s' would have %zu bytes, over the %d of a mirror", s->mirror->path,
                        s->text.size, DBK_MIRROR_MAX_BYTES);
    if (result == DBK_OK) result = dbk_mirror_write(s, err);
    return result == DBK_OK ? keep_base(s, dbk_buffer_slice(&s->stored), err) : result;
}

/* ---- an edit */

/* What the edit changed of the base, as a merge patch. */
static dbk_result put_changes(dbk_mirror_step *s, const dbk_json_node *edited, dbk_buffer *changes, dbk_error *err)
{
    const dbk_json_node *base = NULL;
    dbk_result result = DBK_OK;
    if (s->mirror->base.size) result = dbk_json_parse(s->other, dbk_buffer_slice(&s->mirror->base), &base, err);
    if (result == DBK_OK) dbk_setting_put_changes(changes, base, edited);
    return result == DBK_OK && changes->failed ? dbk_mirror_no_memory(err) : result;
}

/* {"id":…,"do":"set",…} of what is set with the changes laid over it; s->text gets the whole document. */
static dbk_result put_command(dbk_mirror_step *s, dbk_slice changes, const char *id, dbk_error *err)
{
    const dbk_json_node *stored = NULL, *patch;
    dbk_result result = dbk_json_parse(s->one, changes, &patch, err);
    if (result == DBK_OK && s->stored.size)
        result = dbk_json_parse(s->other, dbk_buffer_slice(&s->stored), &stored, err);
    dbk_buffer_clear(&s->text);
    if (result == DBK_OK) dbk_json_merge_patch(&s->text, stored, patch);
    dbk_buffer_clear(&s->request);
    dbk_buffer_printf(&s->request,
                      "{\"id\":\"mirror-%s\",\"actor\":\"daybook:mirror\",\"do\":\"set\",\"namespace\":", id);
    dbk_json_put_string(&s->request, dbk_slice_text(s->mirror->name));
    dbk_buffer_put_text(&s->request, ",\"value\":");
    dbk_buffer_put_slice(&s->request, dbk_buffer_slice(&s->text));
    dbk_buffer_put_u8(&s->request, '}');
    return result == DBK_OK && (s->text.failed || s->request.failed) ? dbk_mirror_no_memory(err) : result;
}

/* In one turn: the command says the whole document, so what is set between reading and deciding would be taken back. */
static dbk_result decide(dbk_mirror_step *s, dbk_slice changes, dbk_buffer *receipt, dbk_error *err)
{
    dbk_engine *engine = s->engine;
    dbk_turn_item item = {.answer = receipt};
    dbk_result result = DBK_OK;
    uint8_t random[16];
    char id[DBK_UUID_TEXT_SIZE];
    int rc = engine->port->random(engine->port->ctx, random, sizeof random);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, rc, "the system gave no random bytes for a command id");
    dbk_uuid_text(random, id);
    dbk_engine_take_turn(engine);
    if (engine->dead) result = dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    else if (engine->behind) result = dbk_engine_catch_up(engine, err);
    dbk_buffer_clear(&s->stored);
    if (result == DBK_OK) result = dbk_setting_stored(engine, s->mirror->rule, s->mirror->name, &s->stored, err);
    if (result == DBK_OK) result = put_command(s, changes, id, err);
    item.json = dbk_buffer_slice(&s->request);
    if (result == DBK_OK) result = dbk_turn_decide(engine, &item, 1, dbk_engine_now(engine), err);
    dbk_engine_end_turn(engine);
    return result == DBK_OK && receipt->failed ? dbk_mirror_no_memory(err) : result;
}

static dbk_result set_edit(dbk_mirror_step *s, const dbk_json_node *edited, dbk_error *fault, dbk_error *err)
{
    dbk_buffer changes, receipt;
    dbk_buffer_init(&changes, s->engine->port);
    dbk_buffer_init(&receipt, s->engine->port);
    dbk_result result = put_changes(s, edited, &changes, err);
    if (result == DBK_OK) result = decide(s, dbk_buffer_slice(&changes), &receipt, err);
    if (result == DBK_OK) result = dbk_mirror_judge_receipt(s, dbk_buffer_slice(&receipt), fault, err);
    dbk_buffer_release(&changes);
    dbk_buffer_release(&receipt);
    return result;
}

/* The file stays as it was written, with its author's spaces, unless something else was set meanwhile: then it must not
 * look as if that had been taken out of it. */
static dbk_result settle(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror_forget(s->mirror);
    if (dbk_mirror_sum(s, dbk_buffer_slice(&s->file)) == dbk_mirror_sum(s, dbk_buffer_slice(&s->text)))
        return keep_base(s, dbk_buffer_slice(&s->text), err);
    dbk_buffer_clear(&s->stored);
    dbk_buffer_put_slice(&s->stored, dbk_buffer_slice(&s->text));
    if (s->stored.failed) return dbk_mirror_no_memory(err);
    dbk_result result = write_file(s, err);
    return result == DBK_NONE ? keep_base(s, dbk_buffer_slice(&s->file), err)
                              : result; /* it was edited on from there */
}

/* Broken or refused: aside with it. */
static dbk_result import(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_json_node *edited;
    dbk_error fault = {0};
    uint64_t sum = dbk_mirror_sum(s, dbk_buffer_slice(&s->file));
    dbk_result result = dbk_json_parse(s->one, dbk_buffer_slice(&s->file), &edited, &fault);
    if (result == DBK_NO_MEMORY || (result == DBK_OK && !sum)) return dbk_mirror_no_memory(err);
    if (sum && sum == dbk_mirror_sum(s, dbk_buffer_slice(&s->mirror->base)))
        return DBK_OK; /* there was no memory to see it */
    if (result == DBK_OK && edited->kind != DBK_JSON_OBJECT)
        result = dbk_fail(&fault, DBK_SCHEMA, "the settings '%s' are an object", s->mirror->name);
    if (result == DBK_OK && dbk_setting_has_null(edited))
        result = dbk_fail(&fault, DBK_SCHEMA, "null is no value of a setting");
    if (result != DBK_OK) return dbk_mirror_reject(s, &fault, err);
    result = set_edit(s, edited, &fault, err);
    if (result != DBK_OK) return result;
    return fault.text[0] ? dbk_mirror_reject(s, &fault, err) : settle(s, err);
}

/* ---- one look */

/* Neither a row nor a file: nobody asks for a mirror of it any more. */
static dbk_result forget(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_port *port = s->engine->port;
    int rc = port->unlink(port->ctx, s->bases, s->mirror->base_name);
    if (rc < 0 && rc != -ENOENT)
        return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot remove '%s'", s->mirror->base_name);
    s->mirror->gone = true;
    return DBK_OK;
}

/* Both sides say the same, or what differs is known and stays. A file changed a moment ago may change again within the
 * time that its clock can tell. */
static dbk_result rest(dbk_mirror_step *s)
{
    int64_t since_ms = s->engine->port->wall_ms(s->engine->port->ctx) - s->identity.modified_ms;
    s->mirror->still.known = since_ms > FRESH_MS;
    s->mirror->still.position = s->position;
    s->mirror->still.file = s->identity;
    return DBK_OK;
}

static dbk_result look(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    bool set = s->stored.size > 0;
    if (!set) dbk_buffer_put_text(&s->stored, "{}");
    dbk_result result = s->stored.failed ? dbk_mirror_no_memory(err) : dbk_mirror_read(s, err);
    if (result != DBK_OK) return result;
    if (!s->mirror->shown) s->mirror->shown = dbk_mirror_sum(s, dbk_buffer_slice(&s->mirror->base));
    bool changed = s->mirror->shown != dbk_mirror_sum(s, dbk_buffer_slice(&s->stored));
    if (!s->there) return set || !m->rule->variable ? write_file(s, err) : forget(s, err);
    uint64_t file = dbk_mirror_sum(s, dbk_buffer_slice(&s->file));
    bool edited = file == 0 || file != dbk_mirror_sum(s, dbk_buffer_slice(&s->mirror->base));
    bool known = s->mirror->rejected && s->mirror->rejected == dbk_checksum(dbk_buffer_slice(&s->file), 1);
    if (!known && !m->rule->no_watch && edited) {
        uint64_t sum = dbk_checksum(dbk_buffer_slice(&s->file), 1);
        return dbk_mirror_is_quiet(s, sum, &m->edit.sum, &m->edit.since_ns) ? import(s, err) : DBK_OK;
    }
    if (!changed) return rest(s);
    bool quiet =
        dbk_mirror_is_quiet(s, dbk_mirror_sum(s, dbk_buffer_slice(&s->stored)), &m->change.sum, &m->change.since_ns);
    return quiet || s->last ? write_file(s, err) : DBK_OK;
}

/* A folder that is a link, or cannot be opened, fails the look. What has no row needs no folder. */
static dbk_result open_dirs(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_port *port = s->engine->port;
    bool make = s->stored.size > 0 || !s->mirror->rule->variable;
    dbk_result result = dbk_io_open_dir(port, s->engine->dir, "mirrors", DBK_OPEN_DIRECTORY, &s->bases, err);
    if (result == DBK_OK) result = dbk_folders_open(s->engine, &s->folders, s->mirror->path, make, &s->file_name, err);
    if (result != DBK_MISSING || make) return result;
    result = forget(s, err);
    return result == DBK_OK ? DBK_NONE : result;
}

/* Without a base the settings are it: a file that stands there already was edited while nobody looked. What is no JSON
 * is none. */
static dbk_result load_base(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *mirror = s->mirror;
    const dbk_json_node *root;
    const dbk_port *port = s->engine->port;
    if (mirror->loaded) return DBK_OK;
    dbk_buffer_clear(&mirror->base);
    dbk_result result = dbk_io_read_file(port, s->bases, mirror->base_name, DBK_MIRROR_MAX_BYTES, &mirror->base, err);
    if (result == DBK_OK) result = dbk_json_parse(s->other, dbk_buffer_slice(&mirror->base), &root, err);
    if (result == DBK_MISSING || result == DBK_TOO_BIG || result == DBK_BAD_JSON) {
        dbk_buffer_clear(&mirror->base);
        result = DBK_OK;
    }
    if (result == DBK_OK && mirror->rule->query) result = dbk_mirror_take_rows_base(mirror, port, err);
    mirror->loaded = result == DBK_OK;
    return result;
}

/* Cheap, for there may be many: nothing was written since both sides were in step, and the file is as it was. */
static bool is_still(struct dbk_mirrors *m, dbk_mirror *mirror, uint64_t position)
{
    const dbk_port *port = m->engine->port;
    dbk_folders folders = {0};
    const char *name;
    dbk_identity now = {0}, *then = &mirror->still.file;
    if (!mirror->still.known || mirror->still.position != position) return false;
    bool same = dbk_folders_open(m->engine, &folders, mirror->path, false, &name, NULL) == DBK_OK &&
                port->identify(port->ctx, dbk_folders_last(&folders), name, &now) == 0 && now.kind == DBK_IS_FILE &&
                now.inode == then->inode && now.device == then->device && now.size_bytes == then->size_bytes &&
                now.modified_ms == then->modified_ms;
    dbk_folders_close(m->engine, &folders);
    return same;
}

static dbk_result look_at(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_setting_rule *rule = s->mirror->rule;
    dbk_result result = DBK_OK;
    if (rule->query) {
        dbk_json_parser_any_count(s->one); /* the file's size is the limit, and for a command the queue's are */
        dbk_json_parser_any_count(s->other);
    } else {
        result = dbk_setting_stored(s->engine, rule, s->mirror->name, &s->stored, err);
    }
    if (result == DBK_OK) result = open_dirs(s, err);
    if (result == DBK_OK) result = load_base(s, err);
    if (result == DBK_OK && s->mirror->unkept) result = dbk_mirror_write_base(s, err);
    if (result == DBK_OK) result = rule->query ? dbk_mirror_look_at_rows(s, err) : look(s, err);
    return result == DBK_NONE ? DBK_OK : result;
}

static dbk_result step(struct dbk_mirrors *m, dbk_mirror *mirror, uint64_t position, dbk_error *err)
{
    const dbk_port *port = m->engine->port;
    if (is_still(m, mirror, position)) return DBK_OK;
    dbk_mirror_step s = {.engine = m->engine,
                         .mirror = mirror,
                         .last = m->last,
                         .position = position,
                         .one = dbk_json_parser_new(port),
                         .other = dbk_json_parser_new(port)};
    dbk_buffer *buffers[] = {&s.file, &s.stored, &s.text, &s.request};
    for (size_t i = 0; i < 4; i++) dbk_buffer_init(buffers[i], port);
    dbk_buffer_clear(&mirror->failure);
    mirror->still.known = false;
    dbk_result result = s.one && s.other ? look_at(&s, err) : dbk_mirror_no_memory(err);
    for (size_t i = 0; i < 4; i++) dbk_buffer_release(buffers[i]);
    dbk_folders_close(s.engine, &s.folders);
    if (s.bases) port->close_dir(port->ctx, s.bases);
    dbk_json_parser_free(s.one);
    dbk_json_parser_free(s.other);
    return result;
}

/* ---- all of them */

/* A member more, where it finds room. */
static void put_listed(dbk_buffer *list, size_t room, const char *name, const dbk_buffer *text)
{
    size_t size = list->size;
    if (size) dbk_buffer_put_u8(list, ',');
    dbk_json_put_string(list, dbk_slice_text(name));
    if (text) dbk_buffer_put_u8(list, ':');
    if (text) dbk_json_put_string(list, dbk_buffer_slice(text));
    if (list->size >= room) list->size = size;
}

/* For status: which files were not taken, and what is wrong with which. */
static void report(struct dbk_mirrors *m)
{
    const dbk_port *port = m->engine->port;
    dbk_engine *engine = m->engine;
    dbk_buffer names, faults;
    dbk_buffer_init(&names, port);
    dbk_buffer_init(&faults, port);
    for (size_t i = 0; i < m->count; i++) {
        const char *name = m->items[i].path;
        if (m->items[i].aside) put_listed(&names, sizeof engine->mirrors_rejected, name, NULL);
        const dbk_buffer *fault = m->items[i].fault.size ? &m->items[i].fault : &m->items[i].failure;
        if (fault->size) put_listed(&faults, sizeof engine->mirror_faults, name, fault);
    }
    if (m->without.size && faults.size + m->without.size + 1 < sizeof engine->mirror_faults) {
        if (faults.size) dbk_buffer_put_u8(&faults, ',');
        dbk_buffer_put_slice(&faults, dbk_buffer_slice(&m->without));
    }
    const char *text = dbk_buffer_text(&names), *why = dbk_buffer_text(&faults);
    port->mutex_lock(port->ctx, engine->readers_lock);
    if (text) memcpy(engine->mirrors_rejected, text, names.size + 1);
    if (why) memcpy(engine->mirror_faults, why, faults.size + 1);
    port->mutex_unlock(port->ctx, engine->readers_lock);
    dbk_buffer_release(&names);
    dbk_buffer_release(&faults);
}

/* One that fails is tried again by the next look, and the others go on; the first failure is the answer. */
static dbk_result look_at_all(struct dbk_mirrors *m, uint64_t position, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; i < m->count; i++) {
        dbk_error error = {0};
        dbk_result one = step(m, &m->items[i], position, &error);
        if (one == DBK_OK) continue;
        atomic_fetch_add_explicit(&m->engine->counts.mirror_failures, 1, memory_order_relaxed);
        dbk_mirror_say(&m->items[i].failure, &error);
        if (result == DBK_OK && err) *err = error;
        if (result == DBK_OK) result = one;
    }
    dbk_mirrors_forget_gone(m);
    return result;
}

dbk_result dbk_engine_mirror(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (!engine->mirrors) engine->mirrors = dbk_alloc_zero(port, 1, sizeof *engine->mirrors);
    struct dbk_mirrors *m = engine->mirrors;
    if (!m) return dbk_mirror_no_memory(err);
    m->engine = engine;
    port->mutex_lock(port->ctx, engine->turn);
    const dbk_definition *definition = engine->definition;
    dbk_model_state state = {0};
    if (engine->model) dbk_model_get_state(engine->model, &state);
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_error error = {0};
    dbk_result result = dbk_mirrors_list(m, definition, state.position, &error);
    dbk_result looked = m->definition ? look_at_all(m, state.position, err) : DBK_OK;
    if (result == DBK_OK) result = looked;
    else if (err) *err = error;
    report(m);
    return result;
}

/* A failure (a full disk, a store that closes) is met again at the next look. */
static void run(void *arg)
{
    struct dbk_mirrors *m = arg;
    const dbk_port *port = m->engine->port;
    port->mutex_lock(port->ctx, m->mutex);
    while (!m->closing) {
        (void)port->cond_wait(port->ctx, m->wanted, m->mutex, EVERY_NS);
        if (m->closing) break;
        port->mutex_unlock(port->ctx, m->mutex);
        (void)!dbk_engine_mirror(m->engine, NULL);
        port->mutex_lock(port->ctx, m->mutex);
    }
    port->mutex_unlock(port->ctx, m->mutex);
}

static bool has_mirror(const dbk_engine *engine)
{
    const dbk_app *app = engine->definition->app;
    for (size_t i = 0; i < app->setting_count; i++)
        if (app->settings[i].mirror) return !engine->options.no_threads && !engine->options.read_only;
    return false;
}

static dbk_result make(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (!engine->mirrors) engine->mirrors = dbk_alloc_zero(port, 1, sizeof *engine->mirrors);
    struct dbk_mirrors *m = engine->mirrors;
    if (!m) return dbk_mirror_no_memory(err);
    m->engine = engine;
    if (!m->mutex) m->mutex = port->mutex_new(port->ctx);
    if (!m->wanted) m->wanted = port->cond_new(port->ctx);
    return m->mutex && m->wanted ? DBK_OK : dbk_mirror_no_memory(err);
}

static dbk_result start_thread(struct dbk_mirrors *m, dbk_error *err)
{
    const dbk_port *port = m->engine->port;
    int rc = port->thread_start(port->ctx, "dbk-mirror", run, m, &m->thread);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the thread of the mirrors");
}

dbk_result dbk_mirrors_start(dbk_engine *engine, dbk_error *err)
{
    if (!has_mirror(engine)) return DBK_OK;
    dbk_result result = make(engine, err);
    if (result != DBK_OK) return result;
    (void)!dbk_engine_mirror(engine, NULL); /* a failure is met again by the thread */
    return start_thread(engine->mirrors, err);
}

dbk_result dbk_mirrors_follow(dbk_engine *engine, dbk_error *err)
{
    if (engine->mirrors_over || !has_mirror(engine) || (engine->mirrors && engine->mirrors->thread)) return DBK_OK;
    dbk_result result = make(engine, err);
    return result == DBK_OK ? start_thread(engine->mirrors, err) : result;
}

void dbk_mirrors_stop(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    if (engine->turn) port->mutex_lock(port->ctx, engine->turn);
    engine->mirrors_over = true; /* an upgrade may be under way */
    struct dbk_mirrors *m = engine->mirrors;
    if (engine->turn) port->mutex_unlock(port->ctx, engine->turn);
    if (!m) return;
    if (m->thread) {
        port->mutex_lock(port->ctx, m->mutex);
        m->closing = true;
        port->cond_signal(port->ctx, m->wanted);
        port->mutex_unlock(port->ctx, m->mutex);
        port->thread_join(port->ctx, m->thread);
        m->last = true;
        (void)!dbk_engine_mirror(engine, NULL);
    }
    if (m->wanted) port->cond_free(port->ctx, m->wanted);
    if (m->mutex) port->mutex_free(port->ctx, m->mutex);
    m->engine = engine;
    dbk_mirrors_release(m);
    dbk_free(port, m);
    engine->mirrors = NULL;
}
