/* Mirrors: the file itself, what it was last the same as, and what is put aside. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "store/mirror_look.h"
#include "store/queue.h"
#include "store/request.h"

enum { MS_NS = 1000000 };

dbk_result dbk_mirror_no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for a mirror");
}

uint64_t dbk_mirror_sum(dbk_mirror_step *s, dbk_slice document)
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

static dbk_result leave_alone(dbk_mirror_step *s, const char *why)
{
    dbk_error fault = {0};
    (void)dbk_fail(&fault, DBK_EXISTS, "'%s' %s: it is left alone, and nothing is shown in it", s->mirror->path, why);
    dbk_mirror_say(&s->mirror->failure, &fault);
    return DBK_NONE;
}

dbk_result dbk_mirror_read(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_port *port = s->engine->port;
    dbk_dir *folder = dbk_folders_last(&s->folders);
    int rc = port->identify(port->ctx, folder, s->file_name, &s->identity);
    s->there = rc == 0;
    if (rc == -ENOENT) return DBK_OK;
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at the mirror '%s'", s->mirror->path);
    if (s->identity.kind != DBK_IS_FILE) return leave_alone(s, "is no ordinary file");
    dbk_result result = dbk_io_read_file(port, folder, s->file_name, DBK_MIRROR_MAX_BYTES, &s->file, err);
    return result == DBK_TOO_BIG ? leave_alone(s, "is over the 1 MiB of a mirror") : result;
}

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

dbk_result dbk_mirror_write_base(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    m->loaded = m->loaded && !m->base.failed; /* the one on disk is read again */
    m->unkept = m->loaded && !m->rule->query;
    if (m->base.failed) return dbk_mirror_no_memory(err);
    dbk_result result = dbk_io_replace_file(s->engine->port, s->bases, m->base_name, dbk_buffer_slice(&m->base), err);
    if (result == DBK_OK) m->unkept = false;
    return result;
}

dbk_result dbk_mirror_keep_base(dbk_mirror_step *s, dbk_slice base, dbk_error *err)
{
    dbk_buffer_clear(&s->mirror->base);
    dbk_buffer_put_slice(&s->mirror->base, base);
    return dbk_mirror_write_base(s, err);
}

dbk_result dbk_mirror_render(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(s->one, dbk_buffer_slice(&s->stored), &root, err);
    if (result != DBK_OK) return result;
    dbk_buffer_clear(&s->text);
    put_pretty(&s->text, root, 0);
    dbk_buffer_put_u8(&s->text, '\n');
    return s->text.failed ? dbk_mirror_no_memory(err) : DBK_OK;
}

/* What cannot be read is no longer what was read. */
static bool is_as_it_was(void *arg)
{
    const dbk_mirror_step *s = arg;
    const dbk_port *port = s->engine->port;
    dbk_buffer now;
    dbk_buffer_init(&now, port);
    dbk_result result =
        dbk_io_read_file(port, dbk_folders_last(&s->folders), s->file_name, DBK_MIRROR_MAX_BYTES, &now, NULL);
    bool same = s->there ? result == DBK_OK && dbk_slice_equal(dbk_buffer_slice(&now), dbk_buffer_slice(&s->file))
                         : result == DBK_MISSING;
    dbk_buffer_release(&now);
    return same;
}

dbk_result dbk_mirror_write(dbk_mirror_step *s, dbk_error *err)
{
    dbk_result result = dbk_io_replace_file_if(s->engine->port, dbk_folders_last(&s->folders), s->file_name,
                                               dbk_buffer_slice(&s->text), is_as_it_was, s, err);
    if (result == DBK_OK && !s->mirror->kept) result = dbk_folders_sync(s->engine, &s->folders, err);
    s->mirror->kept = s->mirror->kept || result == DBK_OK;
    return result;
}

void dbk_mirror_say(dbk_buffer *into, const dbk_error *fault)
{
    dbk_buffer_clear(into);
    dbk_buffer_put_text(into, fault->text);
}

void dbk_mirror_forget(dbk_mirror *mirror)
{
    mirror->rejected = 0;
    mirror->aside = false;
    dbk_buffer_clear(&mirror->fault);
}

/* Aside, not away: the file itself stays as its author left it. */
dbk_result dbk_mirror_reject(dbk_mirror_step *s, const dbk_error *fault, dbk_error *err)
{
    dbk_buffer_clear(&s->request);
    dbk_buffer_printf(&s->request, "%s.rejected", s->file_name);
    const char *name = dbk_buffer_text(&s->request);
    if (!name) return dbk_mirror_no_memory(err);
    s->mirror->rejected = dbk_checksum(dbk_buffer_slice(&s->file), 1);
    s->mirror->aside = true;
    dbk_mirror_say(&s->mirror->fault, fault);
    return dbk_io_replace_file(s->engine->port, dbk_folders_last(&s->folders), name, dbk_buffer_slice(&s->file), err);
}

bool dbk_mirror_is_quiet(dbk_mirror_step *s, uint64_t sum, uint64_t *seen, int64_t *since_ns)
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

dbk_result dbk_mirror_judge_receipt(dbk_mirror_step *s, dbk_slice receipt, dbk_error *fault, dbk_error *err)
{
    const dbk_json_node *root;
    *fault = (dbk_error){0};
    dbk_result result = dbk_json_parse(s->one, receipt, &root, err);
    if (result != DBK_OK) return result;
    dbk_result answer = dbk_answer_result(root, fault);
    dbk_class class_ = dbk_result_class(answer);
    if (answer == DBK_OK || class_ == DBK_CLASS_VALIDATION || class_ == DBK_CLASS_PERSISTENT) return DBK_OK;
    return dbk_fail(err, answer, "%s", fault->text); /* it is tried again */
}

dbk_result dbk_mirror_send(dbk_mirror_step *s, dbk_error *fault, dbk_error *err)
{
    dbk_text receipt = {0};
    dbk_result result = dbk_queue_call(s->engine->queue, (const char *)s->request.data, s->request.size, &receipt, err);
    if (result == DBK_OK) result = dbk_mirror_judge_receipt(s, dbk_slice_of(receipt.data, receipt.size), fault, err);
    dbk_free(s->engine->port, receipt.data); /* the queue's */
    return result;
}
