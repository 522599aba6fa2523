/* The commit queue under drawn schedules (tests/support/interleave.h): senders that wait, send with a callback or ask
 * for every stage, readers, a follower, the worker, the log's own threads, a close with answers outstanding; sometimes
 * a sync that fails, a disk without room, a model whose commit fails. Held against it:
 *
 *   each message is answered once, stages rise, the last comes last;
 *   who is told "durable" finds it on the disk, and what anybody could see is there too: the power is lost at a drawn
 *   answer, and all that was promised or visible by then is in the log;
 *   what one thread sends is decided in that order, and answered in it where all waits for the same stage;
 *   in the end the log has each accepted command once, at the position that was told, and no refused one.
 *
 * usage: test_queue_schedules --seeds A..B | --seed S */
#include "tests/sim/sim.h"
#include "tests/support/interleave.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/queue.h"
#include "store/turn.h"

enum { SENDERS = 3, OPERATIONS = 7, MESSAGES_MAX = 96, ENTRIES_MAX = 200 };

typedef enum message_kind { CALL, SEND, STAGED } message_kind;
typedef struct message {
    struct schedule *schedule;
    char id[16], json[200];
    int sender; /* -1: a callback */
    message_kind kind;
    dbk_stage wait, told; /* told: the last stage; 0: none yet */
    bool taken;           /* the queue took it */
    unsigned answers;     /* last ones */
    uint64_t answered_at; /* order of all answers */
    bool ok, again, unknown;
    uint64_t position;
    uint64_t stream;            /* number of its stream, from 1; 0: it puts a row */
    bool first;                 /* it expects none on its stream */
    const struct message *twin; /* the message that it says again, under the same id, maybe before that is answered */
} message;
typedef struct claim {
    const message *message;
    uint64_t position;
} claim;

typedef struct schedule {
    const char *program;
    uint64_t seed, trace, messages_all, switches_all;
    dbk_simdisk *disk;
    dbk_simdisk_image *peek;
    simvfs *vfs;
    dbk_definition *definition;
    interleave *threads;
    dbk_engine *engine;
    message messages[MESSAGES_MAX];
    unsigned count;
    unsigned asked, told; /* requests with a callback */
    uint64_t answers, peek_at;
    claim claims[MESSAGES_MAX * 3];
    unsigned claim_count, claims_then;
    uint64_t seen, seen_then; /* the highest position that anybody was shown */
    bool faulty;              /* calls may fail */
    int drops;                /* so many turns until the model's transaction is lost; -1: never */
    unsigned chains;          /* callbacks may still send so many */
    bool late;                /* much of it while the store closes */
    unsigned rows; /* of 4 messages so many put a row; the others append, and may be decided ahead of the log */
} schedule;

static schedule now;

static void say_again(void)
{
    printf("\n  again: %s --seed %llu\n", now.program, (unsigned long long)now.seed);
    fflush(stdout);
}

_Noreturn static void broke(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void broke(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("seed %llu: ", (unsigned long long)now.seed);
    vprintf(format, args);
    va_end(args);
    say_again();
    _exit(1);
}

static void on_stuck(const char *why)
{
    broke("%s", why);
}

static void on_abort(int number)
{
    (void)number;
    say_again();
    _exit(3);
}

static void note(schedule *s, uint64_t what)
{
    s->trace = sim_mix(s->trace, what);
}

/* ---- what is told */

static uint64_t number_behind(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

/* Whoever was shown a position may count on it. */
static void note_seen(schedule *s, const char *text)
{
    static const char *const words[] = {"\"position\":", "\"version\":"};
    for (size_t i = 0; i < 2; i++) {
        for (const char *at = text; (at = strstr(at, words[i])); at++) {
            uint64_t position = strtoull(at + strlen(words[i]), NULL, 10);
            if (position > s->seen) s->seen = position;
        }
    }
}

static void take_claim(schedule *s, const message *m, uint64_t position)
{
    s->claims[s->claim_count++] = (claim){m->twin ? m->twin : m, position};
    if (position > s->seen) s->seen = position;
}

/* The power could go now: what the disk has then is looked at when the schedule is over. */
static void count_answer(schedule *s)
{
    if (++s->answers != s->peek_at) return;
    s->peek = dbk_simdisk_snapshot(s->disk);
    s->claims_then = s->claim_count;
    s->seen_then = s->seen;
}

static void take_receipt(message *m, const char *receipt, bool last)
{
    schedule *s = m->schedule;
    bool ok = strstr(receipt, "\"ok\":true") != NULL;
    dbk_stage stage = ok ? dbk_receipt_stage(dbk_slice_text(receipt)) : m->told;
    if (m->answers) broke("'%s' is answered once more: %s", m->id, receipt);
    if (ok && stage < m->told) broke("'%s' falls back: %s", m->id, receipt);
    if (!last && !ok) broke("'%s' is refused before its last word: %s", m->id, receipt);
    m->told = stage;
    note(s, sim_mix((uint64_t)(m - s->messages), stage + (last ? 16u : 0)));
    if (ok) {
        uint64_t position = number_behind(receipt, "\"position\":");
        if (position == 0 || (m->position && m->position != position))
            broke("'%s' was at %d: %s", m->id, (int)m->position, receipt);
        m->position = position;
        if (stage != DBK_STAGE_ACCEPTED) take_claim(s, m, position);
        else if (m->kind != STAGED && m->wait != DBK_STAGE_ACCEPTED) broke("'%s' waits for more: %s", m->id, receipt);
    }
    if (last) {
        m->answers++;
        m->ok = ok;
        m->again = strstr(receipt, "\"again\":true") != NULL;
        m->unknown = strstr(receipt, "\"outcome\":\"unknown\"") != NULL;
        m->answered_at = s->answers + 1;
        bool told_why = strstr(receipt, "unknown_table") || (m->first && strstr(receipt, "version_conflict"));
        if (!ok && !s->faulty && !told_why) broke("'%s' is refused in good weather: %s", m->id, receipt);
    }
    count_answer(s);
}

/* ---- senders */

static message *new_message(schedule *s, int sender, message_kind kind)
{
    static const char *const waits[] = {"", ",\"wait\":\"accepted\"", ",\"wait\":\"projected\""};
    static const dbk_stage stages[] = {DBK_STAGE_DURABLE, DBK_STAGE_ACCEPTED, DBK_STAGE_PROJECTED};
    if (s->count == MESSAGES_MAX) return NULL;
    message *m = &s->messages[s->count++];
    uint64_t wait = interleave_draw(s->threads, 6), key = interleave_draw(s->threads, 6);
    if (wait > 2) wait = 0;
    *m = (message){.schedule = s, .sender = sender, .kind = kind, .wait = stages[wait]};
    const message *last = s->count > 1 ? m - 1 : NULL;
    if (last && last->sender == sender && !last->twin && interleave_draw(s->threads, 5) == 0) {
        m->twin = last;
        m->wait = last->wait;
        m->first = last->first;
        memcpy(m->id, last->id, sizeof m->id);
        memcpy(m->json, last->json, sizeof m->json);
        return m;
    }
    snprintf(m->id, sizeof m->id, "m%u", s->count);
    const char *table = interleave_draw(s->threads, 12) ? "notes" : "nothing";
    if (interleave_draw(s->threads, 4) >= s->rows) {
        m->first = interleave_draw(s->threads, 8) == 0;
        m->stream = key + 1;
        const char *expect = m->first ? ",\"expect\":\"none\"" : "";
        snprintf(
            m->json, sizeof m->json,
            "{\"id\":\"m%u\",\"do\":\"append\",\"stream\":\"job/%llu\",\"type\":\"job.noted\",\"data\":{\"n\":%u}%s%s}",
            s->count, (unsigned long long)key, s->count, expect, waits[wait]);
        return m;
    }
    snprintf(m->json, sizeof m->json,
             "{\"id\":\"m%u\",\"do\":\"put\",\"table\":\"%s\",\"key\":\"n%llu\",\"data\":{\"n\":%u}%s}", s->count,
             table, (unsigned long long)key, s->count, waits[wait]);
    return m;
}

static void on_done(void *arg, const char *receipt, size_t size);

/* From within a callback, also while the store closes. */
static void send_another(schedule *s)
{
    if (s->chains == 0 || (!s->late && interleave_draw(s->threads, 3))) return;
    s->chains--;
    message *m = new_message(s, -1, SEND);
    if (m) m->taken = dbk_queue_send(s->engine->queue, m->json, strlen(m->json), on_done, m, NULL) == DBK_OK;
}

static void on_done(void *arg, const char *receipt, size_t size)
{
    message *m = arg;
    (void)size;
    take_receipt(m, receipt, true);
    send_another(m->schedule);
}

static void on_asked(void *arg, const char *answer, size_t size)
{
    schedule *s = arg;
    (void)size;
    note_seen(s, answer);
    s->told++;
    count_answer(s);
    send_another(s);
}

static void on_each(void *arg, dbk_stage stage, const char *receipt, size_t size, bool last)
{
    (void)stage;
    (void)size;
    take_receipt(arg, receipt, last);
}

static void call(schedule *s, message *m)
{
    dbk_text receipt = {0};
    dbk_error err = {0};
    dbk_result result = dbk_queue_call(s->engine->queue, m->json, strlen(m->json), &receipt, &err);
    m->taken = result == DBK_OK;
    if (result != DBK_OK) broke("'%s' is not taken: %s", m->id, err.text);
    take_receipt(m, receipt.data, true);
    dbk_free(s->engine->port, receipt.data);
}

static void ask(schedule *s, const char *json)
{
    dbk_text answer = {0};
    dbk_error err = {0};
    if (dbk_queue_call(s->engine->queue, json, strlen(json), &answer, &err) != DBK_OK) broke("%s: %s", json, err.text);
    if (!strstr(answer.data, "\"ok\":true") && !strstr(answer.data, "not_found")) broke("%s: %s", json, answer.data);
    note_seen(s, answer.data);
    count_answer(s);
    dbk_free(s->engine->port, answer.data);
}

static void request(schedule *s)
{
    char json[120];
    uint64_t key = interleave_draw(s->threads, 6);
    switch (interleave_draw(s->threads, 3)) {
    case 0: snprintf(json, sizeof json, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n%d\"}", (int)key); break;
    case 1: snprintf(json, sizeof json, "{\"do\":\"log\",\"from\":%d}", 1 + (int)key * 2); break;
    default: snprintf(json, sizeof json, "{\"do\":\"log\",\"from\":%d,\"wait_ms\":40}", 1 + (int)s->seen); break;
    }
    ask(s, json);
}

static void send_request(schedule *s)
{
    static const char json[] = "{\"do\":\"log\",\"limit\":3}";
    if (dbk_queue_send(s->engine->queue, json, sizeof json - 1, on_asked, s, NULL) != DBK_OK)
        broke("a request is not taken");
    s->asked++;
}

/* Answered before a sync that may have failed: then it holds no position. */
static bool is_early(const schedule *s, const message *m)
{
    return s->faulty && m->told == DBK_STAGE_ACCEPTED;
}

/* An earlier message of the same sender once more. */
static void repeat(schedule *s, int sender)
{
    for (unsigned i = 0; i < s->count; i++) {
        message *old = &s->messages[i];
        if (old->sender != sender || !old->answers || !old->ok || is_early(s, old) || interleave_draw(s->threads, 3))
            continue;
        dbk_text answer = {0};
        if (dbk_queue_call(s->engine->queue, old->json, strlen(old->json), &answer, NULL) != DBK_OK) return;
        bool ok = strstr(answer.data, "\"ok\":true") != NULL;
        if (ok && number_behind(answer.data, "\"position\":") != old->position)
            broke("'%s' was at %d, again: %s", old->id, (int)old->position, answer.data);
        if (!ok && !s->faulty) broke("'%s' again: %s", old->id, answer.data);
        dbk_free(s->engine->port, answer.data);
        return;
    }
}

typedef struct sender {
    schedule *schedule;
    int number;
    dbk_thread *thread;
} sender;

static void run_sender(void *arg)
{
    sender *self = arg;
    schedule *s = self->schedule;
    dbk_queue *queue = s->engine->queue;
    for (int i = 0; i < OPERATIONS; i++) {
        uint64_t what = interleave_draw(s->threads, 12);
        if (s->late && i + 2 >= OPERATIONS) what = 9;
        message_kind kind = what < 4 ? CALL : what < 7 ? SEND : STAGED;
        if (what == 9) send_request(s);
        if (what == 10) request(s);
        if (what == 11) repeat(s, self->number);
        if (what >= 9) continue;
        message *m = new_message(s, self->number, kind);
        if (!m) return;
        m->taken = true;
        if (kind == CALL) call(s, m);
        if (kind == SEND) m->taken = dbk_queue_send(queue, m->json, strlen(m->json), on_done, m, NULL) == DBK_OK;
        if (kind == STAGED)
            m->taken = dbk_queue_send_staged(queue, m->json, strlen(m->json), on_each, m, NULL) == DBK_OK;
        if (!m->taken) broke("'%s' is not taken", m->id);
    }
}

/* ---- one schedule */

static void on_publish(void *arg, const char *table, const char *text, size_t size)
{
    (void)table;
    (void)size;
    note_seen(arg, text);
}

static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    schedule *s = arg;
    (void)id;
    if (strcmp(point, "logged") == 0 && s->drops >= 0 && s->drops-- == 0)
        (void)sqlite3_exec(dbk_model_handle(dbk_engine_model(engine)), "ROLLBACK", NULL, NULL, NULL);
    return 0;
}

static dbk_engine_options options_of(schedule *s, const dbk_port *port)
{
    dbk_engine_options options = {
        .port = port, .definition = s->definition, .given_ids = true, .incarnation = 1, .timeline = "t"};
    memset(options.replica, 'm', 16);
    memset(options.lineage, 'l', 16);
    options.disk.reserve_bytes = 16384;
    options.model.vfs = "schedules";
    options.log = (dbk_log_options){.segment_first_bytes = 16384, .segment_max_bytes = 16384};
    return options;
}

static void plan_faults(schedule *s)
{
    uint64_t plan = interleave_draw(s->threads, 8);
    dbk_simdisk_fault sync = {
        .kinds = DBK_SIM_SYNC, .path = ".seg", .skip = interleave_draw(s->threads, 12), .times = 1};
    dbk_simdisk_fault full = {
        .kinds = DBK_SIM_WRITE, .path = ".seg", .skip = interleave_draw(s->threads, 8), .times = 3, .error = 28};
    s->drops = plan == 5 ? (int)interleave_draw(s->threads, 4) : -1;
    s->faulty = plan >= 5;
    if (plan == 6) dbk_simdisk_add_fault(s->disk, &sync);
    if (plan == 7) dbk_simdisk_add_fault(s->disk, &full);
}

static void run_all(schedule *s)
{
    dbk_engine_options options = options_of(s, interleave_port(s->threads));
    dbk_error err = {0};
    sender senders[SENDERS];
    options.log.no_direct = interleave_draw(s->threads, 2);
    options.log.no_background = interleave_draw(s->threads, 2);
    options.hook = at_point;
    options.hook_arg = options.publish_arg = s;
    options.batch.count = (uint32_t)interleave_draw(s->threads, 5); /* 0: as many as there are */
    options.publish = on_publish;
    if (dbk_engine_open("/store", &options, &s->engine, &err) != DBK_OK) broke("open: %s", err.text);
    plan_faults(s);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (sender){.schedule = s, .number = i};
        if (options.port->thread_start(options.port->ctx, "sender", run_sender, &senders[i], &senders[i].thread) != 0)
            abort();
    }
    for (int i = 0; i < SENDERS; i++) options.port->thread_join(options.port->ctx, senders[i].thread);
    dbk_engine_close(s->engine); /* with answers outstanding */
    s->engine = NULL;
    dbk_simdisk_clear_faults(s->disk);
    if (s->told != s->asked) broke("%u requests, %u answers", s->asked, s->told);
}

/* ---- what is there afterwards */

static const message *message_of(const schedule *s, dbk_slice id)
{
    for (unsigned i = 0; i < s->count; i++)
        if (dbk_slice_equal(id, dbk_slice_text(s->messages[i].id))) return &s->messages[i];
    return NULL;
}

/* The messages whose entries the log has, by position. */
static uint64_t read_log(schedule *s, const message *found[ENTRIES_MAX], bool clean)
{
    dbk_simdisk *disk = s->disk;
    const dbk_port *port = dbk_simdisk_port(disk);
    dbk_engine_options options = options_of(s, port);
    dbk_log_options log_options = options.log;
    dbk_log *log = NULL;
    dbk_dir *dir = NULL;
    dbk_error err = {0};
    dbk_log_cursor *cursor;
    dbk_slice origin;
    uint64_t position, last = 0;
    memset(found, 0, ENTRIES_MAX * sizeof *found);
    log_options.no_background = true;
    if (port->open_dir(port->ctx, NULL, "/store/log", DBK_OPEN_DIRECTORY, &dir) != 0 ||
        dbk_log_identify(port, dir, log_options.store_id, log_options.lineage, &err) != DBK_OK ||
        dbk_log_open(port, dir, &log_options, &log, &err) != DBK_OK)
        broke("L1: the log does not open: %s", err.text);
    if (clean && !dbk_log_was_clean(log)) broke("the close left no mark");
    if (dbk_log_cursor_open(log, 1, 0, &cursor, NULL) != DBK_OK) abort();
    while (dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL) == DBK_OK) {
        dbk_entry entry;
        if (position >= ENTRIES_MAX || dbk_entry_decode(origin, &entry, NULL) != DBK_OK) abort();
        found[position] = message_of(s, entry.command_id);
        if (!found[position] && entry.command_id.size) broke("L2: position %d was never sent", (int)position);
        last = position;
    }
    dbk_log_cursor_close(cursor);
    dbk_log_close(log);
    port->close_dir(port->ctx, dir);
    return last;
}

/* The power was lost at one of the answers. */
static void check_peek(schedule *s)
{
    const message *found[ENTRIES_MAX];
    if (!s->peek) return;
    dbk_simdisk_restore(s->disk, s->peek);
    dbk_simdisk_crash(s->disk, DBK_SIM_ALL_OLD, s->seed);
    uint64_t last = read_log(s, found, false);
    if (last < s->seen_then) broke("L4: position %d was seen, the disk had %d", (int)s->seen_then, (int)last);
    for (unsigned i = 0; i < s->claims_then; i++)
        if (found[s->claims[i].position] != s->claims[i].message)
            broke("L1: '%s' was durable at %d and is not there", s->claims[i].message->id, (int)s->claims[i].position);
    dbk_simdisk_image_free(s->disk, s->peek);
    s->peek = NULL;
}

static void check_order(const schedule *s)
{
    uint64_t position[SENDERS] = {0}, answered[SENDERS] = {0};
    for (unsigned i = 0; i < s->count; i++) {
        const message *m = &s->messages[i];
        if (m->sender < 0 || !m->ok || m->twin || is_early(s, m)) continue;
        if (m->position <= position[m->sender]) broke("'%s' was decided before what was sent before it", m->id);
        position[m->sender] = m->position;
        if (m->kind != SEND || m->wait != DBK_STAGE_DURABLE || s->faulty) continue;
        if (m->answered_at < answered[m->sender]) broke("'%s' was answered before what was sent before it", m->id);
        answered[m->sender] = m->answered_at;
    }
}

static bool is_said_again(const schedule *s, const message *m)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->messages[i].twin == m && (s->messages[i].ok || s->messages[i].unknown)) return true;
    return false;
}

/* Two turns may not both find the stream empty. */
static void check_first(const message *m, const message *const found[ENTRIES_MAX])
{
    for (uint64_t at = 1; m->ok && m->first && found[m->position] == m && at < m->position; at++)
        if (found[at] && found[at]->stream == m->stream)
            broke("'%s' at %d was to be the first of its stream, '%s' is before it", m->id, (int)m->position,
                  found[at]->id);
}

static void check_end(schedule *s)
{
    const message *found[ENTRIES_MAX];
    uint64_t last = read_log(s, found, !s->faulty);
    for (unsigned i = 0; i < s->count; i++) {
        const message *m = &s->messages[i];
        unsigned times = 0;
        for (uint64_t at = 1; at <= last; at++) times += found[at] == m;
        if (m->taken != (m->answers == 1)) broke("'%s' was answered %u times", m->id, m->answers);
        if (m->twin && m->ok && m->told != DBK_STAGE_ACCEPTED && found[m->position] != m->twin)
            broke("L2: '%s' was said twice and told %d", m->id, (int)m->position);
        if (m->twin) continue;
        check_first(m, found);
        if (times > 1) broke("L2: '%s' is there %u times", m->id, times);
        bool promised = m->ok && m->told != DBK_STAGE_ACCEPTED;
        if (promised && found[m->position] != m) broke("L1: '%s' is not at %d", m->id, (int)m->position);
        if (!m->ok && !m->unknown && times && !is_said_again(s, m)) broke("'%s' was refused and is there", m->id);
        if (m->ok && !promised && !s->faulty && times != 1) broke("'%s' was accepted and is not there", m->id);
    }
    if (last < s->seen) broke("L4: position %d was seen, there are %d", (int)s->seen, (int)last);
    note(s, last);
}

static dbk_definition *definition_of_notes(void)
{
    static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);";
    dbk_source source = {"schema.sql", dbk_slice_text(schema)};
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    if (dbk_definition_parse(dbk_port_system(), &source, 1, "test", &definition, &findings, &err) != DBK_OK)
        broke("%s", err.text);
    dbk_findings_free(&findings);
    return definition;
}

/* A store on a disk of its own: nothing of another seed's run is left. */
static void make_store(schedule *s)
{
    dbk_error err = {0};
    s->disk = dbk_simdisk_new(s->seed);
    s->vfs = simvfs_register("schedules", dbk_simdisk_port(s->disk), NULL);
    if (!s->vfs) abort();
    dbk_engine_options options = options_of(s, dbk_simdisk_port(s->disk));
    options.no_threads = options.log.no_background = true;
    if (dbk_engine_create("/store", NULL, &options, NULL, &err) != DBK_OK) broke("%s", err.text);
    dbk_simdisk_sync_all(s->disk);
}

static void one_schedule(schedule *s, uint64_t seed)
{
    s->seed = seed;
    s->count = s->claim_count = s->claims_then = s->asked = s->told = 0;
    s->answers = s->seen = s->seen_then = 0;
    s->peek = NULL;
    make_store(s);
    s->threads = interleave_new(s->disk, seed, on_stuck);
    s->peek_at = 1 + interleave_draw(s->threads, 24);
    s->chains = (unsigned)interleave_draw(s->threads, 9);
    s->late = interleave_draw(s->threads, 3) == 0;
    s->rows = (unsigned)interleave_draw(s->threads, 5);
    run_all(s);
    note(s, interleave_switches(s->threads));
    s->switches_all += interleave_switches(s->threads);
    s->messages_all += s->count;
    interleave_free(s->threads);
    check_order(s);
    check_end(s);
    check_peek(s);
    simvfs_unregister(s->vfs);
    if (dbk_simdisk_memory_count(s->disk) != 0) broke("memory is not given back");
    dbk_simdisk_free(s->disk);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 200;
    schedule *s = &now;
    if (argc == 3) {
        char *end;
        first = last = strtoull(argv[2], &end, 0);
        if (strcmp(argv[1], "--seeds") == 0 && strncmp(end, "..", 2) == 0) last = strtoull(end + 2, NULL, 0);
    } else if (argc != 1) {
        return fprintf(stderr, "usage: %s --seeds A..B | --seed S\n", argv[0]), 2;
    }
    s->program = argv[0];
    (void)signal(SIGABRT, on_abort);
    s->definition = definition_of_notes();
    for (uint64_t seed = first; seed <= last; seed++) one_schedule(s, seed);
    printf("%llu schedules, %llu messages, %llu switches between threads, trace %016llx\n",
           (unsigned long long)(last - first + 1), (unsigned long long)s->messages_all,
           (unsigned long long)s->switches_all, (unsigned long long)s->trace);
    dbk_definition_free(s->definition);
    return 0;
}
