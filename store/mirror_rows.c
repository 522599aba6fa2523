/* Mirrors of a query: its rows as a file, and edits of it as a command of the app.
 *
 * Rows cannot be merged as settings can, so an edited file is handed to the command as a whole, and nothing may be
 * taken for an edit that is none. The base therefore holds no document, but the sums of what the file may show:
 *
 *   1. the base names what the file shows and what it is about to show      {"position":7,"shown":["…","…"]}
 *   2. the file is replaced
 *   3. the base names what it shows now                                     {"position":7,"shown":["…"]}
 *
 * After a crash at any step the file shows one of those, and is no edit. Without a base nobody knows whether it is one:
 * then it goes aside. A command's id is made of the base's position and of what the file says, so after a crash between
 * command and base the same edit is known by its id; the position has risen when the same is edited anew. */
#include <inttypes.h>
#include <stdio.h>

#include "store/mirror_look.h"

enum { ROWS_MAX = 10000, SUM_BYTES = 8 };
static const int64_t ASKED_ANEW_NS = INT64_C(60) * 1000 * 1000 * 1000; /* a query may look at the clock */
static const dbk_reader_limits limits = {
    .time_ms = 250, .memory_mib = DBK_QUERY_MAX_MIB, .answer_bytes = DBK_MIRROR_MAX_BYTES, .rows = ROWS_MAX};

/* ---- the base */

static uint64_t sum_of_text(const dbk_json_node *node)
{
    uint8_t bytes[SUM_BYTES];
    bool good = node && node->kind == DBK_JSON_STRING && dbk_hex_decode(node->text, bytes, sizeof bytes);
    return good ? dbk_load_be64(bytes) : 0;
}

/* One that says something else was left by settings of this name: it is none. */
dbk_result dbk_mirror_take_rows_base(dbk_mirror *m, const dbk_port *port, dbk_error *err)
{
    const dbk_json_node *root;
    int64_t position = 0;
    m->shown = m->rows.before = m->rows.position = 0;
    if (m->base.size == 0) return DBK_OK;
    dbk_json_parser *parser = dbk_json_parser_new(port);
    if (!parser) return dbk_mirror_no_memory(err);
    dbk_result result = dbk_json_parse(parser, dbk_buffer_slice(&m->base), &root, NULL);
    const dbk_json_node *shown =
        result == DBK_OK && root->kind == DBK_JSON_OBJECT ? dbk_json_member(root, "shown") : NULL;
    if (shown && shown->kind == DBK_JSON_ARRAY && shown->count > 0) {
        const dbk_json_node *at = dbk_json_member(root, "position"), *last = dbk_json_child(shown);
        if (at && dbk_json_is_integer(at, &position) && position > 0) m->rows.position = (uint64_t)position;
        if (shown->count > 1) m->rows.before = sum_of_text(last);
        m->shown = sum_of_text(shown->count > 1 ? dbk_json_next(last) : last);
    }
    dbk_json_parser_free(parser);
    return result == DBK_NO_MEMORY ? dbk_mirror_no_memory(err) : DBK_OK;
}

/* `before` 0: the file shows `sum` for sure. */
static dbk_result keep_base(dbk_mirror_step *s, uint64_t before, uint64_t sum, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    char text[120];
    int size = before ? snprintf(text, sizeof text,
                                 "{\"position\":%" PRIu64 ",\"shown\":[\"%016" PRIx64 "\",\"%016" PRIx64 "\"]}",
                                 s->position, before, sum)
                      : snprintf(text, sizeof text, "{\"position\":%" PRIu64 ",\"shown\":[\"%016" PRIx64 "\"]}",
                                 s->position, sum);
    dbk_result result = dbk_mirror_keep_base(s, dbk_slice_of(text, (size_t)size), err);
    if (result != DBK_OK) return result;
    m->rows.position = s->position;
    m->rows.before = before;
    m->shown = sum;
    return DBK_OK;
}

/* ---- what is shown */

/* Of what comes again with the same rows; status tells it, and other mirrors go on. */
static bool is_lasting(dbk_result result)
{
    return result == DBK_TOO_BIG || result == DBK_BUSY || result == DBK_BAD_COMMAND || result == DBK_SCHEMA ||
           result == DBK_BAD_JSON;
}

static dbk_result fail(dbk_mirror_step *s, dbk_result result, const dbk_error *fault, dbk_error *err)
{
    if (!is_lasting(result)) return dbk_fail(err, result, "%s", fault->text);
    s->mirror->rows.failed = true;
    dbk_mirror_say(&s->mirror->fault, fault);
    return DBK_OK;
}

/* The rows into s->stored, and as a file into s->text. */
static dbk_result ask(dbk_mirror_step *s, dbk_error *err)
{
    const dbk_port *port = s->engine->port;
    dbk_mirror *m = s->mirror;
    dbk_error fault = {0};
    m->rows.asked_at = s->position;
    m->rows.asked_ns = port->monotonic_ns(port->ctx);
    m->rows.sum = 0;
    if (m->rows.failed) dbk_buffer_clear(&m->fault);
    m->rows.failed = false;
    dbk_result result = dbk_setting_rows(s->engine, m->rule, &limits, &s->stored, NULL, &fault);
    if (result == DBK_OK) result = dbk_mirror_render(s, &fault);
    if (result == DBK_OK && s->text.size > DBK_MIRROR_MAX_BYTES)
        result = dbk_fail(&fault, DBK_TOO_BIG, "'%s' would have %zu bytes, over the %d of a mirror", m->rule->mirror,
                          s->text.size, DBK_MIRROR_MAX_BYTES);
    if (result != DBK_OK) return fail(s, result, &fault, err);
    m->rows.sum = dbk_mirror_sum(s, dbk_buffer_slice(&s->stored));
    return m->rows.sum ? DBK_OK : dbk_mirror_no_memory(err);
}

static bool is_asked(const dbk_mirror_step *s)
{
    const dbk_port *port = s->engine->port;
    const dbk_mirror *m = s->mirror;
    return (m->rows.sum || m->rows.failed) && m->rows.asked_at == s->position &&
           port->monotonic_ns(port->ctx) - m->rows.asked_ns < ASKED_ANEW_NS;
}

/* `before`: what the file shows now, 0 where it is nothing of ours. Where a file of others stands and there is no base,
 * that comes behind the file: beside the other it would make it an edit. */
static dbk_result write_rows(dbk_mirror_step *s, uint64_t before, bool base_last, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    dbk_result result = DBK_OK;
    if (s->stored.size == 0) result = ask(s, err);
    if (result != DBK_OK || m->rows.failed) return result;
    if (!base_last) result = keep_base(s, before, m->rows.sum, err);
    if (result == DBK_OK) result = dbk_mirror_write(s, err);
    return result == DBK_OK && (before || base_last) ? keep_base(s, 0, m->rows.sum, err) : result;
}

static dbk_result show(dbk_mirror_step *s, uint64_t file, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    bool there = s->there, ours = there && file && (file == m->shown || file == m->rows.before);
    dbk_result result = is_asked(s) ? DBK_OK : ask(s, err);
    if (result != DBK_OK || m->rows.failed) return result;
    bool changed = m->rows.sum != m->shown;
    if (there && !changed && (!ours || file == m->rows.sum)) return DBK_OK;
    bool quiet = !there || dbk_mirror_is_quiet(s, m->rows.sum, &m->change.sum, &m->change.since_ns);
    if (!quiet && !s->last) return DBK_OK;
    dbk_mirror_forget(m);
    return write_rows(s, ours ? file : 0, there && !m->shown, err);
}

/* ---- an edit */

/* Aside with it, and the rows in its place: nobody takes it, now or later. */
static dbk_result replace(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    dbk_error fault = {0};
    if (m->shown)
        (void)dbk_fail(&fault, DBK_DENIED, "'%s' shows a query and is read only: no 'import' takes an edit",
                       m->rule->mirror);
    else (void)dbk_fail(&fault, DBK_EXISTS, "'%s' stood there before rows were shown in it", m->rule->mirror);
    dbk_result result = dbk_mirror_reject(s, &fault, err);
    if (result == DBK_OK) result = write_rows(s, 0, !m->shown, err);
    if (result == DBK_OK && !m->rows.failed) m->rejected = 0; /* the same edit may come again */
    return result;
}

static dbk_result judge(dbk_mirror_step *s, const dbk_json_node *edited, dbk_error *fault)
{
    const dbk_setting_rule *rule = s->mirror->rule;
    const dbk_json_schema *schema =
        rule->schema ? dbk_definition_schema(s->engine->definition, dbk_slice_text(rule->schema)) : NULL;
    dbk_buffer errors;
    if (edited->kind != DBK_JSON_ARRAY) return dbk_fail(fault, DBK_SCHEMA, "the rows in '%s' are a list", rule->mirror);
    if (!schema) return DBK_OK;
    dbk_buffer_init(&errors, s->engine->port);
    dbk_result result = dbk_json_schema_judge(schema, edited, &errors, fault);
    dbk_buffer_release(&errors);
    return result;
}

/* {"id":…,"do":"jobs.import","args":{"rows":[…]}} */
static dbk_result put_command(dbk_mirror_step *s, const dbk_json_node *edited, dbk_error *err)
{
    const dbk_setting_rule *rule = s->mirror->rule;
    dbk_buffer_clear(&s->text);
    dbk_buffer_printf(&s->text, "%s %" PRIu64 " ", rule->name, s->mirror->rows.position);
    dbk_json_put_canonical(&s->text, edited);
    if (s->text.failed) return dbk_mirror_no_memory(err);
    dbk_hash128 hash = dbk_checksum128(dbk_buffer_slice(&s->text));
    dbk_buffer_clear(&s->request);
    dbk_buffer_printf(&s->request,
                      "{\"id\":\"mirror-%016" PRIx64 "%016" PRIx64
                      "\",\"actor\":\"daybook:mirror\",\"do\":\"%s\",\"args\":{\"%s\":",
                      hash.high, hash.low, rule->import->name, rule->import->arguments[0].name);
    dbk_json_put_minimal(&s->request, edited);
    dbk_buffer_put_text(&s->request, "}}");
    return s->request.failed ? dbk_mirror_no_memory(err) : DBK_OK;
}

/* What came of it is shown by the next look; until then the file stays as its author left it. */
static dbk_result import(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    const dbk_json_node *edited;
    dbk_error fault = {0};
    uint64_t sum = dbk_mirror_sum(s, dbk_buffer_slice(&s->file));
    dbk_result result = dbk_json_parse(s->one, dbk_buffer_slice(&s->file), &edited, &fault);
    if (result == DBK_OK && !sum) result = DBK_NO_MEMORY;
    if (result == DBK_OK) result = judge(s, edited, &fault);
    if (result == DBK_NO_MEMORY) return dbk_mirror_no_memory(err);
    if (result != DBK_OK) return dbk_mirror_reject(s, &fault, err);
    if (sum == m->shown || sum == m->rows.before) return DBK_OK; /* there was no memory to see it */
    result = put_command(s, edited, err);
    if (result == DBK_OK) result = dbk_mirror_send(s, &fault, err);
    if (result != DBK_OK) return result;
    if (fault.text[0]) return dbk_mirror_reject(s, &fault, err);
    dbk_mirror_forget(m);
    return keep_base(s, 0, sum, err);
}

dbk_result dbk_mirror_look_at_rows(dbk_mirror_step *s, dbk_error *err)
{
    dbk_mirror *m = s->mirror;
    dbk_result result = dbk_mirror_read(s, err);
    if (result != DBK_OK) return result;
    bool there = s->there;
    uint64_t file = there ? dbk_mirror_sum(s, dbk_buffer_slice(&s->file)) : 0;
    uint64_t bytes = there ? dbk_checksum(dbk_buffer_slice(&s->file), 1) : 0;
    bool ours = there && file && (file == m->shown || file == m->rows.before);
    bool known = m->rejected && m->rejected == bytes;
    if (!there || ours || known || m->rule->no_watch) return show(s, file, err);
    if (!dbk_mirror_is_quiet(s, bytes, &m->edit.sum, &m->edit.since_ns)) return DBK_OK;
    return m->rule->import && m->shown ? import(s, err) : replace(s, err);
}
