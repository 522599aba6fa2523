/* The half of peer_daybook that reads: replay, one stream, open. What lies in the folder says which of the two wrote
 * it, the store or the log alone, for the harness reads back what a work wrote without saying so. */
#include "bench/peer_daybook.h"

static bool is_log(const char *dir)
{
    return access(path_in(dir, "log"), F_OK) == 0;
}

static dbk_log *log_read(const char *dir)
{
    return log_at(path_in(dir, "log"), false, true);
}

static dbk_store *store_read(const char *dir)
{
    dbk_options options = {0};
    dbk_store *store = NULL;
    dbk_error err = {0};
    must(dbk_open(path_in(dir, "peer.daybook"), &options, &store, &err), &err);
    return store;
}

/* What a walk finds, hashed in its order; or, for the check of what 64 threads wrote, by the events' numbers: they
 * are drawn before the store orders the commands, and a store with keys would give them back sorted. */
typedef struct found {
    dbk_json_parser *parser;
    uint64_t hash, count, bytes;
    uint64_t *by_number, room; /* where it is by number; else NULL */
    dbk_buffer last;           /* the payload seen last, where it is kept */
    bool keep_last;
} found;

static void found_begin(found *f)
{
    f->hash = f->count = f->bytes = 0;
    if (f->parser) return;
    f->parser = dbk_json_parser_new(dbk_port_system());
    CHECK(f->parser);
    dbk_buffer_init(&f->last, dbk_port_system());
}

static void found_number(found *f, uint64_t number, uint64_t hash)
{
    CHECK(number < 1u << 30);
    if (number >= f->room) {
        f->room = 2 * (number + 1);
        f->by_number = realloc(f->by_number, f->room * sizeof *f->by_number);
        CHECK(f->by_number);
    }
    f->by_number[number] = hash;
}

static void found_add(found *f, uint64_t number, dbk_slice payload)
{
    uint64_t hash = XXH3_64bits(payload.data, payload.size);
    f->count++, f->bytes += payload.size;
    if (f->by_number) found_number(f, number, hash);
    else f->hash = hash_mix(f->hash, hash);
    if (!f->keep_last) return;
    dbk_buffer_clear(&f->last);
    dbk_buffer_put_slice(&f->last, payload);
    CHECK(!f->last.failed);
}

static uint64_t found_hash(const found *f)
{
    uint64_t hash = f->hash;
    for (uint64_t i = 0; f->by_number && i < f->count; i++) hash = hash_mix(hash, f->by_number[i]);
    return hash;
}

static void found_origin(found *f, dbk_slice origin)
{
    dbk_entry entry;
    dbk_event event;
    dbk_error err = {0};
    must(dbk_entry_decode(origin, &entry, &err), &err);
    dbk_slice events = entry.events;
    CHECK(dbk_event_next(&events, &event));
    found_add(f, entry.id.seq - 1, event.data);
}

/* One CloudEvent; those of the engine have no member "e". */
static bool found_event(void *arg, const char *text, size_t size)
{
    found *f = arg;
    const dbk_json_node *root;
    dbk_error err = {0};
    must(dbk_json_parse(f->parser, dbk_slice_of(text, size), &root, &err), &err);
    const dbk_json_node *data = dbk_json_member(root, "data"), *id = dbk_json_member(root, "commandid");
    const dbk_json_node *payload = data ? dbk_json_member(data, "e") : NULL;
    if (!payload) return true;
    CHECK(payload->kind == DBK_JSON_STRING && id && id->kind == DBK_JSON_STRING && id->text.size < 20);
    uint64_t number = 0;
    for (size_t i = 1; i < id->text.size; i++) number = number * 10 + (uint64_t)(id->text.data[i] - '0');
    found_add(f, number, payload->text);
    return true;
}

static bool found_last(void *arg, const char *text, size_t size)
{
    found *f = arg;
    return found_event(arg, text, size) && f->count == 0;
}

static void walk_log(dbk_log *log, found *f)
{
    dbk_log_cursor *cursor;
    dbk_slice origin;
    dbk_error err = {0};
    dbk_result result;
    uint64_t position;
    must(dbk_log_cursor_open(log, 1, 0, &cursor, &err), &err);
    while ((result = dbk_log_cursor_next(cursor, &position, NULL, &origin, &err)) == DBK_OK) found_origin(f, origin);
    if (result != DBK_END) must(result, &err);
    dbk_log_cursor_close(cursor);
}

static void replay_d(const char *dir)
{
    found f = {.by_number = calloc(1, sizeof(uint64_t)), .room = 1};
    dbk_error err = {0};
    CHECK(f.by_number);
    found_begin(&f);
    double c0 = cpu_s();
    uint64_t t0 = now_ns();
    dbk_log *log = is_log(dir) ? log_read(dir) : NULL;
    dbk_store *store = log ? NULL : store_read(dir);
    if (log) walk_log(log, &f);
    else must(dbk_read_log(store, 0, 0, NULL, NULL, found_event, &f, &err), &err);
    uint64_t hash = found_hash(&f);
    emit_read("D", f.count, f.bytes, (double)(now_ns() - t0) / 1e9, cpu_s() - c0, hash);
    dbk_log_close(log);
    dbk_close(store);
}

static void stream_of_log(dbk_log *log, const char *name, found *f)
{
    const dbk_log_wish wish = {.stream = dbk_slice_text(name)};
    dbk_log_selection *selection;
    dbk_slice origin;
    dbk_error err = {0};
    dbk_result result;
    uint64_t position;
    must(dbk_log_selection_open(log, &wish, &selection, &err), &err);
    while ((result = dbk_log_selection_next(selection, &position, NULL, &origin, &err)) == DBK_OK)
        found_origin(f, origin);
    if (result != DBK_END) must(result, &err);
    dbk_log_selection_close(selection);
}

static void streams_e(const char *dir)
{
    dbk_log *log = is_log(dir) ? log_read(dir) : NULL;
    dbk_store *store = log ? NULL : store_read(dir);
    found f = {0};
    lat_t l = {0};
    dbk_error err = {0};
    uint64_t *want = e_expect(), got = 0, end = deadline(), t0 = now_ns(), t = t0, u, s = arg_u("seed", 1);
    for (; t < end; t = u) {
        uint32_t stream = (uint32_t)((s = mix64(s)) % g_streams);
        char name[STREAM_NAME_LEN + 1];
        stream_name(stream, name);
        name[STREAM_NAME_LEN] = 0;
        found_begin(&f);
        if (log) stream_of_log(log, name, &f);
        else must(dbk_read_log(store, 0, 0, name, NULL, found_event, &f, &err), &err);
        got += f.count;
        CHECK(f.hash == want[stream]);
        u = now_ns();
        lat_add(&l, u - t);
    }
    emit_e(&l, t0, t, got);
    dbk_log_close(log);
    dbk_close(store);
}

/* Segments that have ended are compressed behind the writer's back: what was written last shall be, too. */
static void pack_all(const char *dir)
{
    dbk_log *log = log_at(path_in(dir, is_log(dir) ? "log" : "peer.daybook/log"), false, false);
    dbk_log_report report = {0};
    dbk_error err = {0};
    do {
        usleep(10000);
        must(dbk_log_stats(log, &report, &err), &err);
    } while (report.packed_segments + 2 < report.segments); /* the last, and a first without entries */
    dbk_log_close(log);
}

/* rewrite=1: compressed first, not timed; the harness counts the bytes on disk once more. */
static void open_f(const char *dir)
{
    if (arg_is("rewrite", "1")) pack_all(dir), g_start_ns = now_ns();
    found f = {.keep_last = true};
    dbk_error err = {0};
    found_begin(&f);
    dbk_log *log = is_log(dir) ? log_read(dir) : NULL;
    dbk_store *store = log ? NULL : store_read(dir);
    if (log) {
        dbk_buffer origin;
        dbk_buffer_init(&origin, dbk_port_system());
        must(dbk_log_read(log, dbk_log_position(log), &origin, NULL, &err), &err);
        found_origin(&f, dbk_buffer_slice(&origin));
    } else {
        const dbk_log_range last = {.reverse = true};
        must(dbk_read_log_range(store, &last, found_last, &f, &err), &err);
    }
    f_check(f.last.data, f.last.size);
    emit("F", "open_ms", since_start_ms(), NULL);
    dbk_log_close(log);
    dbk_close(store);
}

void peer_read(int argc, char **argv)
{
    common_init(argc, argv);
    const char *dir = arg_s("dir", ".");
    switch (argv[1][0]) {
    case 'D': replay_d(dir); break;
    case 'E': streams_e(dir); break;
    default: open_f(dir); break;
    }
}
