/* Daybook among the peers: the workloads A to F of the harness that measured the other stores (one writer,
 * 64 in flight, bulk load, replay, one stream, open), with its common.h for events, checks and result lines.
 *
 *   cfg=store     the embedding interface, daybook.h: JSON commands, receipts, idempotency, one SQLite transaction a
 *                 turn though no table of the app is projected; read back as CloudEvents, parsed as JSON
 *   cfg=callback  the same; in B one thread sends, and 64 commands are on their way
 *   cfg=arrays    the same; in B one thread sends arrays of 64 commands
 *   cfg=log       the log alone: origin bytes in and out, as a host of its own commit loop would use it
 *
 * Every acknowledged event is on disk, in every workload. */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>

#include "bench/peer_daybook.h"

static const char no_tables[] = "CREATE TABLE nodes(id TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;";

/* ---- the log alone */

static dbk_log *log_new(const char *dir)
{
    char *path = path_in(dir, "log");
    CHECK(mkdir(path, 0700) == 0);
    return log_at(path, true, false);
}

/* The origin bytes of event g at the end of `out`. */
static void put_origin(dbk_buffer *out, dbk_buffer *scratch, uint64_t g, const char *payload, size_t size)
{
    char name[STREAM_NAME_LEN + 1];
    stream_name(ev_stream(g), name);
    dbk_event event = {.stream = dbk_slice_of(name, STREAM_NAME_LEN),
                       .type = dbk_slice_text(ev_type(g)),
                       .type_version = 1,
                       .data = dbk_slice_of(payload, size)};
    dbk_entry entry = {.id = {{7}, 1, g + 1}, .hlc = (uint64_t)ev_ts(g) << 16, .time_ms = ev_ts(g), .event_count = 1};
    dbk_buffer_clear(scratch);
    dbk_event_encode(scratch, &event);
    entry.events = dbk_buffer_slice(scratch);
    dbk_entry_encode(out, &entry);
    CHECK(!out->failed && !scratch->failed);
}

enum { BATCH_MAX = 4096 };
typedef struct batch {
    dbk_buffer bytes, scratch;
    size_t ends[BATCH_MAX];
} batch;

static batch *batch_new(void)
{
    batch *b = calloc(1, sizeof *b);
    CHECK(b);
    dbk_buffer_init(&b->bytes, dbk_port_system());
    dbk_buffer_init(&b->scratch, dbk_port_system());
    return b;
}

static void append_events(dbk_log *log, batch *b, const arena_t *a, uint64_t from, size_t count)
{
    static _Thread_local dbk_slice origins[BATCH_MAX];
    dbk_error err = {0};
    CHECK(count <= BATCH_MAX);
    dbk_buffer_clear(&b->bytes);
    for (size_t i = 0; i < count; i++) {
        size_t size;
        const char *payload = arena_p(a, from + i, &size);
        put_origin(&b->bytes, &b->scratch, from + i, payload, size);
        b->ends[i] = b->bytes.size;
    }
    for (size_t i = 0, at = 0; i < count; at = b->ends[i++])
        origins[i] = dbk_slice_of(b->bytes.data + at, b->ends[i] - at);
    must(dbk_log_append(log, origins, count, ev_ts(from), NULL, &err), &err);
}

/* ---- the store */

static dbk_store *store_open(const char *dir)
{
    char *path = path_in(dir, "peer.daybook"), *app = path_in(dir, "schema.sql");
    dbk_options options = {0};
    dbk_store *store = NULL;
    dbk_error err = {0};
    FILE *file = fopen(app, "w");
    CHECK(file && fputs(no_tables, file) > 0 && fclose(file) == 0);
    must(dbk_create(path, app, &options, NULL, &err), &err);
    must(dbk_open(path, &options, &store, &err), &err);
    return store;
}

/* A payload as a JSON string, so that its bytes come back as they were: an object's members would be sorted. */
static arena_t as_strings(const arena_t *a)
{
    uint64_t bytes = 1 << 20;
    for (uint64_t i = 0; i < a->off[a->n]; i++) bytes += a->buf[i] == '"' || a->buf[i] == '\\' ? 2 : 1;
    arena_t out = {map_anon(bytes), map_anon((a->n + 1) * 8), a->n};
    uint64_t at = 0;
    for (uint64_t g = 0; g < a->n; g++) {
        out.off[g] = at;
        for (uint64_t i = a->off[g]; i < a->off[g + 1]; i++) {
            if (a->buf[i] == '"' || a->buf[i] == '\\') out.buf[at++] = '\\';
            out.buf[at++] = a->buf[i];
        }
    }
    out.off[a->n] = at;
    return out;
}

static size_t put_command(char *out, uint64_t g, const arena_t *strings)
{
    char *p = out;
    size_t size;
    const char *text = arena_p(strings, g, &size);
    p = put_s(p, "{\"id\":\"e");
    p = put_u(p, g);
    p = put_s(p, "\",\"do\":\"append\",\"stream\":\"");
    stream_name(ev_stream(g), p), p += STREAM_NAME_LEN;
    p = put_s(p, "\",\"type\":\"");
    p = put_s(p, ev_type(g));
    p = put_s(p, "\",\"data\":{\"e\":\"");
    memcpy(p, text, size), p += size;
    p = put_s(p, "\"}}");
    return (size_t)(p - out);
}

static void check_receipts(const char *text)
{
    if (strstr(text, "\"ok\":false")) die("refused: %.300s", strstr(text, "\"ok\":false"));
}

static void store_do(dbk_store *store, const char *json, size_t size)
{
    dbk_text receipt = {0};
    dbk_error err = {0};
    must(dbk_do(store, json, size, &receipt, &err), &err);
    check_receipts(receipt.data);
    dbk_text_free(&receipt);
}

/* ---- A and B */

static void append_a(const char *dir, bool log_only)
{
    arena_t a = arena_make(100000), strings = log_only ? a : as_strings(&a);
    dbk_log *log = log_only ? log_new(dir) : NULL;
    dbk_store *store = log_only ? NULL : store_open(dir);
    batch *b = batch_new();
    char *command = malloc(4 * g_size + 4096);
    lat_t l = {0};
    uint64_t t0 = 0, t = now_ns(), u, end = deadline();
    double c0 = 0;
    for (uint64_t g = 0; t < end; g++, t = u) {
        if (g == WARMUP) t0 = t, c0 = cpu_s();
        if (log_only) append_events(log, b, &a, g, 1);
        else store_do(store, command, put_command(command, g, &strings));
        u = now_ns();
        if (g >= WARMUP) lat_add(&l, u - t);
    }
    emit_a(&l, t0, t, cpu_s() - c0);
    dbk_log_close(log);
    dbk_close(store);
}

/* For the log alone, a host's group commit: one thread writes for all who wait, who sleep on the number of the round.
 * An event is its number here; its bytes are made by who writes. */
typedef struct group {
    _Atomic uint64_t next, durable; /* events asked for, events on disk */
    _Atomic uint32_t round, asked;
    _Atomic bool over;
} group;

static group b_group;
static arena_t b_arena, b_strings;
static dbk_log *b_log;
static dbk_store *b_store;
static batch *b_batch;
static uint64_t b_end;
static _Atomic uint64_t b_next, b_done;

static void sleep_on(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake_on(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static void *log_committer(void *arg)
{
    (void)arg;
    while (!b_group.over) {
        if (atomic_exchange(&b_group.asked, 0) == 0) {
            sleep_on(&b_group.asked, 0);
            continue;
        }
        uint64_t from = b_group.durable, to = b_group.next;
        if (to > from) append_events(b_log, b_batch, &b_arena, from, (size_t)(to - from));
        b_group.durable = to;
        b_group.round++;
        wake_on(&b_group.round, INT_MAX);
    }
    return NULL;
}

static void ask_committer(void)
{
    if (atomic_exchange(&b_group.asked, 1) == 0) wake_on(&b_group.asked, 1);
}

static void *log_writer(void *arg)
{
    (void)arg;
    while (now_ns() < b_end) {
        uint64_t mine = ++b_group.next;
        ask_committer();
        for (uint32_t round; round = b_group.round, b_group.durable < mine;) sleep_on(&b_group.round, round);
        b_done++;
    }
    return NULL;
}

static void *store_writer(void *arg)
{
    (void)arg;
    char *command = malloc(4 * g_size + 4096);
    while (now_ns() < b_end) {
        uint64_t g = b_next++;
        store_do(b_store, command, put_command(command, g, &b_strings));
        b_done++;
    }
    free(command);
    return NULL;
}

/* Completions by callback: a window of commands in flight. */
typedef struct window {
    pthread_mutex_t mutex;
    pthread_cond_t room;
    unsigned free, size;
} window;

static void completed(void *arg, const char *receipt, size_t size)
{
    window *w = arg;
    (void)size;
    check_receipts(receipt);
    pthread_mutex_lock(&w->mutex);
    w->free++;
    b_done++;
    if (w->free == w->size / 2 || w->free == w->size) pthread_cond_signal(&w->room); /* once for many */
    pthread_mutex_unlock(&w->mutex);
}

static void send_window(unsigned size)
{
    window w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, size, size};
    char *command = malloc(4 * g_size + 4096);
    dbk_error err = {0};
    while (now_ns() < b_end) {
        uint64_t g = b_next++;
        size_t bytes = put_command(command, g, &b_strings);
        pthread_mutex_lock(&w.mutex);
        while (w.free == 0) pthread_cond_wait(&w.room, &w.mutex);
        w.free--;
        pthread_mutex_unlock(&w.mutex);
        must(dbk_send(b_store, command, bytes, completed, &w, &err), &err);
    }
    pthread_mutex_lock(&w.mutex);
    while (w.free < size) pthread_cond_wait(&w.room, &w.mutex);
    pthread_mutex_unlock(&w.mutex);
    free(command);
}

static void send_arrays(unsigned count)
{
    char *array = malloc(count * (4 * (size_t)g_size + 512) + 16);
    while (now_ns() < b_end) {
        size_t size = 0;
        for (unsigned i = 0; i < count; i++) {
            array[size++] = i ? ',' : '[';
            size += put_command(array + size, b_next++, &b_strings);
        }
        array[size++] = ']';
        store_do(b_store, array, size);
        b_done += count;
    }
    free(array);
}

static void run_threads(unsigned count, void *(*run)(void *))
{
    pthread_t threads[256];
    CHECK(count <= 256);
    for (unsigned i = 0; i < count; i++) CHECK(pthread_create(&threads[i], NULL, run, NULL) == 0);
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void run_group(unsigned count)
{
    pthread_t committer;
    CHECK(pthread_create(&committer, NULL, log_committer, NULL) == 0);
    run_threads(count, log_writer);
    b_group.over = true;
    ask_committer();
    pthread_join(committer, NULL);
}

static void append_b(const char *dir, bool log_only)
{
    unsigned threads = (unsigned)arg_u("threads", 0), size = (unsigned)arg_u("batch", 64);
    b_arena = arena_make(100000);
    b_strings = log_only ? b_arena : as_strings(&b_arena);
    b_batch = batch_new();
    if (log_only) b_log = log_new(dir);
    else b_store = store_open(dir);
    b_end = deadline();
    double c0 = cpu_s();
    uint64_t t0 = now_ns();
    if (arg_is("cfg", "callback")) {
        send_window(64);
    } else if (arg_is("cfg", "arrays")) {
        send_arrays(64);
    } else if (threads && log_only) {
        run_group(threads);
    } else if (threads) {
        run_threads(threads, store_writer);
    } else if (log_only) {
        for (; now_ns() < b_end; b_done += size) append_events(b_log, b_batch, &b_arena, b_done, size);
    } else {
        send_window(size);
    }
    emit_b(b_done, t0, now_ns(), cpu_s() - c0);
    dbk_log_close(b_log);
    dbk_close(b_store);
}

/* ---- C: durable at every batch, so nothing is left for the end */

static void bulk_c(const char *dir, bool log_only)
{
    uint64_t total = arg_u("n", 2000000), size = arg_u("batch", 1000);
    arena_t a = arena_make(total), strings = log_only ? a : as_strings(&a);
    dbk_log *log = log_only ? log_new(dir) : NULL;
    dbk_store *store = log_only ? NULL : store_open(dir);
    batch *b = batch_new();
    char *array = malloc(size * (4 * (size_t)g_size + 512) + 16);
    double c0 = cpu_s();
    uint64_t t0 = now_ns();
    for (uint64_t g = 0; g < total;) {
        uint64_t count = total - g < size ? total - g : size;
        if (log_only) {
            append_events(log, b, &a, g, count);
        } else {
            size_t bytes = 0;
            for (uint64_t i = 0; i < count; i++) {
                array[bytes++] = i ? ',' : '[';
                bytes += put_command(array + bytes, g + i, &strings);
            }
            array[bytes++] = ']';
            store_do(store, array, bytes);
        }
        g += count;
    }
    uint64_t acknowledged = now_ns();
    dbk_log_close(log);
    dbk_close(store);
    emit_c(total, a.off[total], t0, acknowledged, now_ns(), cpu_s() - c0);
}

int main(int argc, char **argv)
{
    common_init(argc, argv);
    const char *dir = arg_s("dir", ".");
    bool log_only = arg_is("cfg", "log");
    switch (argv[1][0]) {
    case 'A': append_a(dir, log_only); break;
    case 'B': append_b(dir, log_only); break;
    case 'C': bulk_c(dir, log_only); break;
    case 'D':
    case 'E':
    case 'F': peer_read(argc, argv); break;
    default: die("no workload '%s'", argv[1]);
    }
    return 0;
}
