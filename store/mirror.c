/* Mirrors: a namespace of settings as a JSON file that people may edit (files/<mirror> in the store's folder).
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
#include "store/mirror.h"

#include <errno.h>
#include <stdio.h>

#include "store/queue.h"
#include "store/request.h"
#include "store/settings.h"

enum { FILE_MAX_BYTES = 1024 * 1024, EVERY_NS = 500 * 1000 * 1000, MS_NS = 1000000 };

typedef struct dbk_mirror {
    const dbk_setting_rule *rule;
    dbk_buffer base;   /* document both sides had; empty: none yet */
    uint64_t rejected; /* checksum of a file that was refused; 0: none */
    uint64_t shown;    /* sum of the document that the file was last in step with; 0: not known */
    struct {
        uint64_t sum; /* what waits until it is quiet; 0: nothing */
        int64_t since_ns;
    } edit, change;
} dbk_mirror;

struct dbk_mirrors {
    dbk_engine *engine;
    const dbk_definition *definition;
    dbk_mirror *items;
    size_t count;
    dbk_mutex *mutex;
    dbk_cond *wanted;
    dbk_thread *thread;
    bool closing, last; /* last: what was set is written without waiting */
};

typedef struct dbk_mirror_step { /* one look at one mirror */
    dbk_engine *engine;
    dbk_mirror *mirror;
    dbk_dir *files, *bases;
    dbk_json_parser *one, *other;
    dbk_buffer file, stored, text, request;
    bool last;
} dbk_mirror_step;

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for a mirror");
}

/* Equal for equal documents, whatever the order of their members. */
static uint64_t sum_of(dbk_mirror_step *s, dbk_slice document)
{
    const dbk_json_node *root;
    dbk_buffer text;
    uint64_t sum = 0;
    dbk_buffer_init(&text, s->engine->port);
    if (dbk_json_parse(s->other, document, &root, NULL) == DBK_OK) {
        dbk_json_put_canonical(&text, root);
        sum = text.failed ? 0 : dbk_checksum(dbk_buffer_slice(&text), 1) | 1;
    }
    dbk_buffer_release(&text);
    return sum;
}

/* ---- the file */

/* Members below each other, two spaces in: for people and their editors. */
static void put_pretty(dbk_buffer *out, const dbk_json_node *node, int depth)
{
    bool object = node->kind == DBK_JSON_OBJECT;
    const dbk_json_node *child = dbk_json_child(node);
    if ((!object && node->kind != DBK_JSON_ARRAY) || node->count == 0) {
        dbk_json_put_minimal(out, node);
        return;
    }
    for (uint32_t i = 0; i < node->count; i++, child = dbk_json_next(child)) {
        dbk_buffer_printf(out, "%s\n%*s", i ? "," : object ? "{" : "[", 2 * depth + 2, "");
        if (object) dbk_json_put_string(out, child->name);
        if (object) dbk_buffer_put_text(out, ": ");
        put_pretty(out, child, depth + 1);
    }
    dbk_buffer_printf(out, "\n%*s%c", 2 * depth, "", object ? '}' : ']');
}

static dbk_result keep_base(dbk_mirror_step *s, dbk_slice document, dbk_error *err)
{
    dbk_buffer_clear(&s->request);
    dbk_buffer_printf(&s->request, "%s.json", s->mirror->rule->name);
    const char *name = dbk_buffer_text(&s->request);
    dbk_buffer_clear(&s->mirror->base);
    dbk_buffer_put_slice(&s->mirror->base, document);
    if (!name || s->mirror->base.failed) return no_memory(err);
    s->mirror->shown = sum_of(s, document);
    return dbk_io_replace_file(s->engine->port, s->bases, name, document, err);
}

static dbk_result write_file(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(s->one, dbk_buffer_slice(&s->stored), &root, err);
    if (result != DBK_OK) return result;
    dbk_buffer_clear(&s->text);
    put_pretty(&s->text, root, 0);
    dbk_buffer_put_u8(&s->text, '\n');
    if (s->text.failed) return no_memory(err);
    s->mirror->rejected = 0;
    result = dbk_io_replace_file(s->engine->port, s->files, s->mirror->rule->mirror, dbk_buffer_slice(&s->text), err);
    return result == DBK_OK ? keep_base(s, dbk_buffer_slice(&s->stored), err) : result;
}

/* Aside, not away: the file itself stays as its author left it. */
static dbk_result reject(dbk_mirror_step *s, dbk_error *err)
{
    dbk_buffer_clear(&s->request);
    dbk_buffer_printf(&s->request, "%s.rejected", s->mirror->rule->mirror);
    const char *name = dbk_buffer_text(&s->request);
    if (!name) return no_memory(err);
    s->mirror->rejected = dbk_checksum(dbk_buffer_slice(&s->file), 1);
    return dbk_io_replace_file(s->engine->port, s->files, name, dbk_buffer_slice(&s->file), err);
}

/* ---- an edit */

/* {"id":…,"do":"set",…} of what is set with the edit laid over it; s->text gets the whole document. */
static dbk_result put_command(dbk_mirror_step *s, const dbk_json_node *edited, dbk_error *err)
{
    const dbk_json_node *base = NULL, *stored, *patch;
    uint8_t random[16];
    char id[DBK_UUID_TEXT_SIZE];
    dbk_buffer changes;
    dbk_result result = DBK_OK;
    int rc = s->engine->port->random(s->engine->port->ctx, random, sizeof random);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, rc, "the system gave no random bytes for a command id");
    dbk_uuid_text(random, id);
    dbk_buffer_init(&changes, s->engine->port);
    if (s->mirror->base.size) result = dbk_json_parse(s->other, dbk_buffer_slice(&s->mirror->base), &base, err);
    if (result == DBK_OK) dbk_setting_put_changes(&changes, base, edited);
    if (result == DBK_OK && changes.failed) result = no_memory(err);
    if (result == DBK_OK)
        result = dbk_json_parse(s->one, dbk_buffer_slice(&changes), &patch, err); /* `edited` is gone now */
    if (result == DBK_OK) result = dbk_json_parse(s->other, dbk_buffer_slice(&s->stored), &stored, err);
    dbk_buffer_clear(&s->text);
    if (result == DBK_OK) dbk_json_merge_patch(&s->text, stored, patch);
    dbk_buffer_release(&changes);
    dbk_buffer_clear(&s->request);
    dbk_buffer_printf(&s->request,
                      "{\"id\":\"mirror-%s\",\"actor\":\"daybook:mirror\",\"do\":\"set\",\"namespace\":", id);
    dbk_json_put_string(&s->request, dbk_slice_text(s->mirror->rule->name));
    dbk_buffer_put_text(&s->request, ",\"value\":");
    dbk_buffer_put_slice(&s->request, dbk_buffer_slice(&s->text));
    dbk_buffer_put_u8(&s->request, '}');
    return result == DBK_OK && (s->text.failed || s->request.failed) ? no_memory(err) : result;
}

/* The file stays as it was written, with its author's spaces, unless something else was set meanwhile: then it must not
 * look as if that had been taken out of it. */
static dbk_result settle(dbk_mirror_step *s, dbk_error *err)
{
    s->mirror->rejected = 0;
    if (sum_of(s, dbk_buffer_slice(&s->file)) == sum_of(s, dbk_buffer_slice(&s->text)))
        return keep_base(s, dbk_buffer_slice(&s->text), err);
    dbk_buffer_clear(&s->stored);
    dbk_buffer_put_slice(&s->stored, dbk_buffer_slice(&s->text));
    return s->stored.failed ? no_memory(err) : write_file(s, err);
}

/* Broken or refused: aside with it. */
static dbk_result import(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_json_node *edited, *root;
    dbk_text receipt = {0};
    dbk_result result = dbk_json_parse(s->one, dbk_buffer_slice(&s->file), &edited, err);
    if (result == DBK_NO_MEMORY) return result;
    if (result != DBK_OK || edited->kind != DBK_JSON_OBJECT || dbk_setting_has_null(edited)) return reject(s, err);
    result = put_command(s, edited, err);
    if (result == DBK_OK)
        result = dbk_queue_call(s->engine->queue, (const char *)s->request.data, s->request.size, &receipt, err);
    if (result == DBK_OK) result = dbk_json_parse(s->one, dbk_slice_of(receipt.data, receipt.size), &root, err);
    if (result == DBK_OK) {
        dbk_result answer = dbk_answer_result(root, err);
        dbk_class class_ = dbk_result_class(answer);
        if (answer != DBK_OK && (class_ == DBK_CLASS_VALIDATION || class_ == DBK_CLASS_PERSISTENT))
            result = reject(s, err);
        else if (answer != DBK_OK) result = answer; /* it is tried again */
        else result = settle(s, err);
    }
    dbk_free(s->engine->port, receipt.data); /* the queue's */
    return result;
}

/* ---- one look */

/* *there false: nothing to read, and a file may be written; DBK_NONE: what stands there is left alone. */
static dbk_result read_file(dbk_mirror_step *s, bool *there, dbk_error *err)
{
    const dbk_port *port = s->engine->port;
    dbk_identity identity;
    int rc = port->identify(port->ctx, s->files, s->mirror->rule->mirror, &identity);
    *there = rc == 0;
    if (rc == -ENOENT) return DBK_OK;
    if (rc < 0)
        return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at the mirror '%s'", s->mirror->rule->mirror);
    if (identity.kind != DBK_IS_FILE) return DBK_NONE;
    dbk_result result = dbk_io_read_file(port, s->files, s->mirror->rule->mirror, FILE_MAX_BYTES, &s->file, err);
    return result == DBK_TOO_BIG ? DBK_NONE : result;
}

/* Whether a side has been as it is for the rule's `debounce`. */
static bool is_quiet(dbk_mirror_step *s, uint64_t sum, uint64_t *seen, int64_t *since_ns)
{
    const dbk_port *port = s->engine->port;
    if (!s->mirror->rule->debounce_ms) return true;
    int64_t now_ns = port->monotonic_ns(port->ctx);
    if (*seen != sum) {
        *seen = sum;
        *since_ns = now_ns;
    }
    return now_ns - *since_ns >= (int64_t)s->mirror->rule->debounce_ms * MS_NS;
}

static dbk_result look(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    bool there = false;
    dbk_result result = dbk_setting_stored(s->engine, s->mirror->rule, &s->stored, err);
    if (result == DBK_OK && s->stored.size == 0) dbk_buffer_put_text(&s->stored, "{}");
    if (result == DBK_OK) result = read_file(s, &there, err);
    if (result != DBK_OK) return result == DBK_NONE ? DBK_OK : result;
    if (!s->mirror->shown) s->mirror->shown = sum_of(s, dbk_buffer_slice(&s->mirror->base));
    bool changed = s->mirror->shown != sum_of(s, dbk_buffer_slice(&s->stored));
    if (!there) return write_file(s, err);
    uint64_t file = sum_of(s, dbk_buffer_slice(&s->file));
    bool edited = file == 0 || file != sum_of(s, dbk_buffer_slice(&s->mirror->base));
    bool known = s->mirror->rejected && s->mirror->rejected == dbk_checksum(dbk_buffer_slice(&s->file), 1);
    if (!known && !m->rule->no_watch && edited) {
        uint64_t sum = dbk_checksum(dbk_buffer_slice(&s->file), 1);
        return is_quiet(s, sum, &m->edit.sum, &m->edit.since_ns) ? import(s, err) : DBK_OK;
    }
    if (!changed) return DBK_OK;
    bool quiet = is_quiet(s, sum_of(s, dbk_buffer_slice(&s->stored)), &m->change.sum, &m->change.since_ns);
    return quiet || s->last ? write_file(s, err) : DBK_OK;
}

static dbk_result open_dirs(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_port *port = s->engine->port;
    dbk_result result = dbk_io_open_dir(port, s->engine->dir, "files", DBK_OPEN_DIRECTORY, &s->files, err);
    return result == DBK_OK ? dbk_io_open_dir(port, s->engine->dir, "mirrors", DBK_OPEN_DIRECTORY, &s->bases, err)
                            : result;
}

static dbk_result step(struct dbk_mirrors *m, dbk_mirror *mirror, dbk_error *err)
{
    const dbk_port *port = m->engine->port;
    dbk_mirror_step s = {.engine = m->engine,
                         .mirror = mirror,
                         .last = m->last,
                         .one = dbk_json_parser_new(port),
                         .other = dbk_json_parser_new(port)};
    dbk_buffer *buffers[] = {&s.file, &s.stored, &s.text, &s.request};
    for (size_t i = 0; i < 4; i++) dbk_buffer_init(buffers[i], port);
    dbk_result result = s.one && s.other ? open_dirs(&s, err) : no_memory(err);
    if (result == DBK_OK) result = look(&s, err);
    for (size_t i = 0; i < 4; i++) dbk_buffer_release(buffers[i]);
    if (s.files) port->close_dir(port->ctx, s.files);
    if (s.bases) port->close_dir(port->ctx, s.bases);
    dbk_json_parser_free(s.one);
    dbk_json_parser_free(s.other);
    return result;
}

/* ---- all of them */

static void release_items(struct dbk_mirrors *m)
{
    for (size_t i = 0; i < m->count; i++) dbk_buffer_release(&m->items[i].base);
    dbk_free(m->engine->port, m->items);
    m->items = NULL;
    m->count = 0;
}

/* Without a base the settings are it: a file that stands there already was edited while nobody looked. */
static dbk_result load_base(struct dbk_mirrors *m, dbk_mirror *mirror, dbk_error *err)
{
    const dbk_port *port = m->engine->port;
    dbk_dir *bases;
    char name[80];
    dbk_result result = dbk_io_open_dir(port, m->engine->dir, "mirrors", DBK_OPEN_DIRECTORY, &bases, err);
    if (result != DBK_OK) return result;
    (void)snprintf(name, sizeof name, "%.63s.json", mirror->rule->name);
    result = dbk_io_read_file(port, bases, name, FILE_MAX_BYTES, &mirror->base, err);
    port->close_dir(port->ctx, bases);
    if (result == DBK_MISSING) dbk_buffer_clear(&mirror->base);
    return result == DBK_MISSING ? DBK_OK : result;
}

/* A new definition has other rules: the lists begin anew, the bases are on disk. */
static dbk_result take_definition(struct dbk_mirrors *m, const dbk_definition *definition, dbk_error *err)
{
    const dbk_app *app = definition->app;
    dbk_result result = DBK_OK;
    if (m->definition == definition) return DBK_OK;
    release_items(m);
    m->items = dbk_alloc_zero(m->engine->port, app->setting_count + 1, sizeof *m->items);
    if (!m->items) return no_memory(err);
    for (size_t i = 0; result == DBK_OK && i < app->setting_count; i++) {
        if (!app->settings[i].mirror) continue;
        dbk_mirror *mirror = &m->items[m->count++];
        mirror->rule = &app->settings[i];
        dbk_buffer_init(&mirror->base, m->engine->port);
        result = load_base(m, mirror, err);
    }
    if (result == DBK_OK) m->definition = definition;
    return result;
}

/* For status: which files were not taken. */
static void report(struct dbk_mirrors *m)
{
    const dbk_port *port = m->engine->port;
    dbk_buffer names;
    dbk_buffer_init(&names, port);
    for (size_t i = 0; i < m->count; i++) {
        size_t size = names.size;
        if (!m->items[i].rejected) continue;
        if (size) dbk_buffer_put_u8(&names, ',');
        dbk_json_put_string(&names, dbk_slice_text(m->items[i].rule->mirror));
        if (names.size >= sizeof m->engine->mirrors_rejected) names.size = size;
    }
    const char *text = dbk_buffer_text(&names);
    port->mutex_lock(port->ctx, m->engine->readers_lock);
    if (text) memcpy(m->engine->mirrors_rejected, text, names.size + 1);
    port->mutex_unlock(port->ctx, m->engine->readers_lock);
    dbk_buffer_release(&names);
}

dbk_result dbk_engine_mirror(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (!engine->mirrors) engine->mirrors = dbk_alloc_zero(port, 1, sizeof *engine->mirrors);
    struct dbk_mirrors *m = engine->mirrors;
    if (!m) return no_memory(err);
    m->engine = engine;
    port->mutex_lock(port->ctx, engine->turn);
    const dbk_definition *definition = engine->definition;
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_result result = take_definition(m, definition, err);
    for (size_t i = 0; result == DBK_OK && i < m->count; i++) result = step(m, &m->items[i], err);
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

dbk_result dbk_mirrors_start(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    bool any = false;
    for (size_t i = 0; i < engine->definition->app->setting_count; i++)
        any |= engine->definition->app->settings[i].mirror != NULL;
    if (!any || engine->options.no_threads || engine->options.read_only) return DBK_OK;
    struct dbk_mirrors *m = engine->mirrors = dbk_alloc_zero(port, 1, sizeof *m);
    if (!m) return no_memory(err);
    m->engine = engine;
    m->mutex = port->mutex_new(port->ctx);
    m->wanted = port->cond_new(port->ctx);
    (void)!dbk_engine_mirror(engine, NULL); /* a failure is met again by the thread */
    int rc = m->mutex && m->wanted ? port->thread_start(port->ctx, "dbk-mirror", run, m, &m->thread) : -ENOMEM;
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the thread of the mirrors");
}

void dbk_mirrors_stop(dbk_engine *engine)
{
    struct dbk_mirrors *m = engine->mirrors;
    const dbk_port *port = engine->port;
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
    release_items(m);
    dbk_free(port, m);
    engine->mirrors = NULL;
}
