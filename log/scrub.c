/* A round goes through the ended segments in order. Each is read past the cache, record by record, and each
 * record checked as recovery would; behind the first damage of a segment nothing of it is read. A read is
 * followed by the pause that keeps the rate.
 *
 * Before that, once: heads and tables of the packed ones, a thousandth of their bytes. Opening does not look at those
 * that the catalog knows. A table that is damaged is made again by the log, where the blocks give it. */
#include "log/scrub.h"

#include "log/internal.h"

#include <stdio.h>

static const uint64_t default_rate = 2 * 1024 * 1024;
static const int64_t default_every_ms = 30LL * 24 * 3600 * 1000;
enum { SCRUB_FILE_MAX = 4096, SCRUB_CHUNK = 256 * 1024, GLANCE_PAUSE_NS = 2 * 1000 * 1000 };
#define SCRUB_NAME "SCRUB"

struct dbk_scrub {
    dbk_log *log;
    const dbk_port *port;
    dbk_scrub_options options;
    dbk_mutex *mutex;
    dbk_cond *wake;
    dbk_thread *thread;
    bool closing;          /* mutex */
    dbk_scrub_state state; /* mutex */
    int64_t begun_ns;      /* of the segment under way */
    uint64_t begun_bytes;
    bool glancing; /* faults that a round has met are not counted again; what is cached is believed */
};

static void lock(dbk_scrub *s)
{
    s->port->mutex_lock(s->port->ctx, s->mutex);
}
static void unlock(dbk_scrub *s)
{
    s->port->mutex_unlock(s->port->ctx, s->mutex);
}

/* ---- the file */

static bool take_number(const dbk_json_node *root, const char *name, uint64_t *out)
{
    const dbk_json_node *node = dbk_json_member(root, name);
    int64_t value;

    if (!node || !dbk_json_is_integer(node, &value) || value < 0) return false;
    *out = (uint64_t)value;
    return true;
}

static bool take_members(const dbk_json_node *root, dbk_scrub_state *out)
{
    uint64_t last = 0;

    if (root->kind != DBK_JSON_OBJECT) return false;
    const dbk_json_node *fault = dbk_json_member(root, "fault");
    bool good = take_number(root, "last_full_ms", &last) && take_number(root, "full_bytes", &out->full_bytes) &&
                take_number(root, "next_segment", &out->next_segment) &&
                take_number(root, "round_bytes", &out->round_bytes) && take_number(root, "faults", &out->faults) &&
                take_number(root, "bytes_per_second", &out->bytes_per_second) && fault &&
                fault->kind == DBK_JSON_STRING;
    if (!good) return false;
    out->last_full_ms = (int64_t)last;
    snprintf(out->fault, sizeof(out->fault), "%.*s", DBK_SLICE_ARG(fault->text));
    return true;
}

dbk_result dbk_scrub_read(const dbk_port *port, dbk_dir *dir, dbk_scrub_state *out, dbk_error *err)
{
    dbk_json_parser *parser = dbk_json_parser_new(port);
    const dbk_json_node *root = NULL;
    dbk_buffer text;

    memset(out, 0, sizeof(*out));
    dbk_buffer_init(&text, port);
    dbk_result rc = parser ? dbk_io_read_file(port, dir, SCRUB_NAME, SCRUB_FILE_MAX, &text, err)
                           : dbk_fail(err, DBK_NO_MEMORY, "no memory to read '%s'", SCRUB_NAME);
    if (rc == DBK_OK) rc = dbk_json_parse(parser, dbk_buffer_slice(&text), &root, err);
    if (rc == DBK_OK && !take_members(root, out)) {
        memset(out, 0, sizeof(*out));
        rc = dbk_fail(err, DBK_CORRUPT, "'%s' lacks a member", SCRUB_NAME);
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    return rc;
}

/* A failure only costs reading again. */
static void keep(dbk_scrub *s)
{
    dbk_scrub_state state;
    dbk_buffer text;

    dbk_scrub_get(s, &state);
    dbk_buffer_init(&text, s->port);
    dbk_buffer_printf(&text,
                      "{\"last_full_ms\":%lld,\"full_bytes\":%llu,\"next_segment\":%llu,"
                      "\"round_bytes\":%llu,\"faults\":%llu,\"bytes_per_second\":%llu,\"fault\":",
                      (long long)state.last_full_ms, (unsigned long long)state.full_bytes,
                      (unsigned long long)state.next_segment, (unsigned long long)state.round_bytes,
                      (unsigned long long)state.faults, (unsigned long long)state.bytes_per_second);
    dbk_json_put_string(&text, dbk_slice_text(state.fault));
    dbk_buffer_put_text(&text, "}\n");
    if (!text.failed) (void)!dbk_io_replace_file(s->port, s->log->dir, SCRUB_NAME, dbk_buffer_slice(&text), NULL);
    dbk_buffer_release(&text);
}

/* ---- reading */

static void note_fault(dbk_scrub *s, const dbk_segment *segment, uint64_t offset, uint64_t position, const char *text)
{
    lock(s);
    if (s->glancing && s->state.faults) {
        unlock(s);
        return;
    }
    if (s->state.faults++ == 0) {
        char positions[64] = "";
        if (position <= segment->last_position)
            snprintf(positions, sizeof(positions), ", positions %llu to %llu", (unsigned long long)position,
                     (unsigned long long)segment->last_position);
        snprintf(s->state.fault, sizeof(s->state.fault), "log/%s at offset %llu%s: %s", segment->name,
                 (unsigned long long)offset, positions, text);
    }
    unlock(s);
}

/* Waits until so many bytes are due. False: it is to end. */
static bool pace(dbk_scrub *s, uint64_t bytes)
{
    lock(s);
    s->state.round_bytes += bytes;
    uint64_t read = s->state.round_bytes - s->begun_bytes;
    int64_t due = s->begun_ns + (int64_t)(read / s->state.bytes_per_second * 1000000000u +
                                          read % s->state.bytes_per_second * 1000000000u / s->state.bytes_per_second);
    while (s->thread && !s->closing) {
        int64_t left = due - s->port->monotonic_ns(s->port->ctx);
        if (left <= 0) break;
        (void)s->port->cond_wait(s->port->ctx, s->wake, s->mutex, left);
    }
    bool go_on = !s->closing;
    unlock(s);
    return go_on;
}

/* *ended false: it was stopped on the way. */
static dbk_result read_records(dbk_scrub *s, dbk_scanner *scanner, const dbk_segment *segment, bool *ended,
                               dbk_error *err)
{
    dbk_expect expect = {segment->first_position, 0, true};
    uint64_t at = DBK_SEGMENT_DATA_OFFSET;

    *ended = true;
    while (at <= segment->seal_offset) {
        const uint8_t *whole;
        dbk_record record;
        uint64_t bytes = 0;
        dbk_head head = DBK_HEAD_BAD;
        dbk_error local = {0};
        dbk_result rc = dbk_scan_record(scanner, at, &expect, &record, &whole, &bytes, &head, &local);
        if (rc == DBK_NO_MEMORY) {
            if (err) *err = local;
            return rc;
        }
        if (rc != DBK_OK || head != DBK_HEAD_RECORD) {
            note_fault(s, segment, dbk_image_place(scanner->image, at), expect.position,
                       rc != DBK_OK ? local.text : "the record is damaged");
            return DBK_OK;
        }
        expect = (dbk_expect){record.first_position + record.count, record.checksum, false};
        at += bytes;
        if (!pace(s, bytes)) {
            *ended = false;
            return DBK_OK;
        }
    }
    return DBK_OK;
}

/* The log packs it again at its next chance. */
static void want_table(dbk_scrub *s, dbk_segment *segment)
{
    dbk_log_lock(s->log);
    segment->table_lost = s->log->parts_wanting = true;
    dbk_log_unlock(s->log);
}

/* Of a packed segment, what the records do not show. */
static dbk_result check_parts(dbk_scrub *s, dbk_image *image, dbk_segment *segment, dbk_error *err)
{
    dbk_pack_faults faults = {0};

    if (image->table_lost) want_table(s, segment);

    dbk_result rc = dbk_pack_check(image, &faults, err);
    for (unsigned i = 0; rc == DBK_OK && i < faults.count; i++)
        note_fault(s, segment, faults.list[i].offset, segment->last_position + 1, faults.list[i].text);
    if (rc == DBK_OK || rc == DBK_NO_MEMORY) return rc;
    note_fault(s, segment, 0, segment->first_position, err ? err->text : "it cannot be read");
    return DBK_OK;
}

/* Not the image that readers share, which knows parts of the file by heart. *image NULL: a fault was noted. */
static dbk_result open_own(dbk_scrub *s, dbk_segment *segment, dbk_image **image, dbk_error *err)
{
    dbk_error local = {0};
    dbk_file *file;

    *image = NULL;
    dbk_result rc = dbk_io_open(s->port, s->log->dir, segment->name, DBK_OPEN_READ, &file, &local);
    if (rc == DBK_OK) {
        if (!s->glancing) (void)s->port->drop_cache(s->port->ctx, file, 0, DBK_SEGMENT_SIZE_MAX);
        rc = dbk_image_of(s->port, file, segment->name, image, &local);
    }
    if (rc == DBK_NO_MEMORY && err) *err = local;
    if (rc == DBK_OK || rc == DBK_NO_MEMORY) return rc;
    note_fault(s, segment, 0, segment->first_position, local.text);
    return DBK_OK;
}

static dbk_result read_segment(dbk_scrub *s, dbk_segment *segment, bool *ended, dbk_error *err)
{
    dbk_scanner scanner;
    dbk_image *image;

    *ended = true;
    dbk_result rc = open_own(s, segment, &image, err);
    if (rc != DBK_OK || !image) return rc;
    dbk_scanner_init(&scanner, image, segment);
    scanner.chunk = SCRUB_CHUNK;
    rc = read_records(s, &scanner, segment, ended, err);
    dbk_scanner_release(&scanner);
    if (rc == DBK_OK && *ended && image->packed) rc = check_parts(s, image, segment, err);
    dbk_image_close(image);
    return rc;
}

/* ---- rounds */

static dbk_segment *ended_segment(dbk_log *log, uint64_t number)
{
    dbk_segment *segment = NULL;

    dbk_log_lock(log);
    if (number <= log->segment_count && log->segments[number - 1]->seal_offset) segment = log->segments[number - 1];
    dbk_log_unlock(log);
    return segment;
}

static bool is_packed(const dbk_log *log, const dbk_segment *segment)
{
    dbk_log_lock(log);
    bool packed = segment->packed;
    dbk_log_unlock(log);
    return packed;
}

dbk_result dbk_scrub_glance(dbk_scrub *s, dbk_error *err)
{
    uint64_t faults = s->state.faults;
    dbk_segment *segment;
    dbk_result rc = DBK_OK;
    bool stop = false;

    s->glancing = true;
    for (uint64_t number = 1; rc == DBK_OK && !stop && (segment = ended_segment(s->log, number)) != NULL; number++) {
        dbk_image *image = NULL;
        if (!is_packed(s->log, segment)) continue;
        rc = open_own(s, segment, &image, err);
        if (image) rc = check_parts(s, image, segment, err);
        dbk_image_close(image);
        lock(s);
        if (s->thread && !s->closing) (void)s->port->cond_wait(s->port->ctx, s->wake, s->mutex, GLANCE_PAUSE_NS);
        stop = s->closing;
        unlock(s);
    }
    s->glancing = false;
    if (s->state.faults != faults) keep(s);
    return rc;
}

static void end_round(dbk_scrub *s)
{
    lock(s);
    s->state.last_full_ms = s->port->wall_ms(s->port->ctx);
    s->state.full_bytes = s->state.round_bytes;
    s->state.next_segment = 0;
    s->state.round_bytes = 0;
    unlock(s);
    keep(s);
}

/* A clock that was set back does not put the next round off for ever. */
static bool is_time(dbk_scrub *s)
{
    int64_t now = s->port->wall_ms(s->port->ctx);

    return s->state.last_full_ms == 0 || now < s->state.last_full_ms ||
           now - s->state.last_full_ms >= s->options.every_ms;
}

dbk_result dbk_scrub_step(dbk_scrub *s, dbk_error *err)
{
    bool ended;

    lock(s);
    if (s->state.next_segment == 0) {
        if (!is_time(s)) {
            unlock(s);
            return DBK_END;
        }
        s->state.next_segment = 1;
        s->state.round_bytes = s->state.faults = 0;
        s->state.fault[0] = 0;
    }
    s->begun_ns = s->port->monotonic_ns(s->port->ctx);
    s->begun_bytes = s->state.round_bytes;
    uint64_t number = s->state.next_segment;
    unlock(s);
    dbk_segment *segment = ended_segment(s->log, number);
    if (!segment) {
        end_round(s);
        return DBK_OK;
    }
    dbk_result rc = read_segment(s, segment, &ended, err);
    if (rc != DBK_OK || !ended) return rc;
    lock(s);
    s->state.next_segment++;
    unlock(s);
    keep(s);
    return DBK_OK;
}

static void run(void *arg)
{
    static const int64_t look_again_ns = 600LL * 1000000000;
    dbk_scrub *s = arg;

    (void)!dbk_scrub_glance(s, NULL); /* what it could not look at, the round does */
    lock(s);
    while (!s->closing) {
        unlock(s);
        dbk_result rc = dbk_scrub_step(s, NULL);
        lock(s);
        if (rc != DBK_OK && !s->closing) (void)s->port->cond_wait(s->port->ctx, s->wake, s->mutex, look_again_ns);
    }
    unlock(s);
}

dbk_result dbk_scrub_start(dbk_log *log, const dbk_scrub_options *options, dbk_scrub **out, dbk_error *err)
{
    const dbk_port *port = log->port;
    dbk_scrub *s = dbk_alloc_zero(port, 1, sizeof(*s));
    int rc = 0;

    *out = NULL;
    if (!s) return dbk_fail(err, DBK_NO_MEMORY, "no memory to scrub the log");
    s->log = log;
    s->port = port;
    if (options) s->options = *options;
    if (s->options.every_ms == 0) s->options.every_ms = default_every_ms;
    if (s->options.bytes_per_second == 0) s->options.bytes_per_second = default_rate;
    (void)!dbk_scrub_read(port, log->dir, &s->state, NULL);
    s->state.bytes_per_second = s->options.bytes_per_second;
    s->mutex = port->mutex_new(port->ctx);
    s->wake = port->cond_new(port->ctx);
    if (!s->mutex || !s->wake) {
        dbk_scrub_stop(s);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory to scrub the log");
    }
    lock(s); /* until s->thread is set */
    if (!s->options.no_thread) rc = port->thread_start(port->ctx, "dbk-scrub", run, s, &s->thread);
    unlock(s);
    if (rc != 0) {
        s->thread = NULL;
        dbk_scrub_stop(s);
        return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start the scrub's thread");
    }
    *out = s;
    return DBK_OK;
}

void dbk_scrub_stop(dbk_scrub *s)
{
    if (!s) return;
    if (s->thread) {
        lock(s);
        s->closing = true;
        s->port->cond_signal(s->port->ctx, s->wake);
        unlock(s);
        s->port->thread_join(s->port->ctx, s->thread);
    }
    if (s->wake) s->port->cond_free(s->port->ctx, s->wake);
    if (s->mutex) s->port->mutex_free(s->port->ctx, s->mutex);
    dbk_free(s->port, s);
}

void dbk_scrub_get(dbk_scrub *s, dbk_scrub_state *out)
{
    lock(s);
    *out = s->state;
    unlock(s);
}
