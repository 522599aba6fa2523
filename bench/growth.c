/* What a log costs as it grows: appending, opening, a command id, one stream of 100 events. Segments are small, so that
 * a log of some 100 MB has as many of them, and of the files of the index, as one of 64 GiB with segments of 32 MiB.
 * Prints a line of JSON for each size: times are medians; calls are those of the file system, and no machine's noise
 * is in them. `growth --quick` stops at a quarter of the sizes.
 *
 * A stream of each size has 100 events spread evenly over the log; all other events have streams of their own. */
#include <stdatomic.h>
#include <unistd.h>

#include "bench/common.h"
#include "log/log.h"

enum {
    SEGMENT_BYTES = 64 * 1024,
    SEGMENTS_PER_GIB = 32,
    SIZES = 4,
    BATCH = 64,
    PAYLOAD = 96,
    STREAM_EVENTS = 100,
    STREAMS = 9, /* of each size, asked one after the other */
    ROUNDS = 9,
    APPENDS = 301,
    LOOKUPS = 301,
    ENTRIES_PER_SEGMENT = 160,
};

static const double sizes_gib[2][SIZES] = {{1, 4, 16, 64}, {0.25, 1, 4, 16}};
static dbk_port port;
static atomic_ulong opens, reads, written;
static const dbk_port *machine;
static bool quick;

static int count_open(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    atomic_fetch_add(&opens, 1);
    return machine->open_file(ctx, dir, name, flags, mode, out);
}

static int64_t count_read(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    atomic_fetch_add(&reads, 1);
    return machine->pread(ctx, file, out, size, offset);
}

static int64_t count_write(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset)
{
    atomic_fetch_add(&written, size);
    return machine->pwrite(ctx, file, data, size, offset);
}

static uint64_t calls(void)
{
    return atomic_load(&opens) + atomic_load(&reads);
}

static dbk_dir *folder(void)
{
    char path[4400];
    dbk_dir *dir = NULL;
    dbk_error err = {0};
    snprintf(path, sizeof path, "%s/growth", bench_folder());
    bench_must(dbk_io_open_dir(&port, NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    return dir;
}

static dbk_log_options options_of(bool read_only)
{
    return (dbk_log_options){
        .read_only = read_only, .segment_first_bytes = SEGMENT_BYTES, .segment_max_bytes = SEGMENT_BYTES};
}

static dbk_log *open_log(dbk_dir *dir, bool read_only)
{
    dbk_log_options options = options_of(read_only);
    dbk_error err = {0};
    dbk_log *log = NULL;
    bench_must(dbk_log_open(&port, dir, &options, &log, &err), &err, "open log");
    return log;
}

static uint64_t segments_of(int size)
{
    return (uint64_t)(sizes_gib[quick][size] * SEGMENTS_PER_GIB);
}

/* Every so many entries one is on the streams of that size. */
static uint64_t stride_of(int size)
{
    return segments_of(size) * ENTRIES_PER_SEGMENT / STREAM_EVENTS;
}

static void put_event(dbk_buffer *events, const char *stream)
{
    char data[PAYLOAD];
    for (int i = 0; i < PAYLOAD; i++) data[i] = i % 2 ? (char)('a' + i % 13) : (char)('a' + bench_random() % 26);
    dbk_event event = {.stream = dbk_slice_text(stream),
                       .type = dbk_slice_text("job.noted"),
                       .type_version = 1,
                       .data = dbk_slice_of(data, sizeof data)};
    dbk_event_encode(events, &event);
}

static void encode(dbk_buffer *events, dbk_buffer *out, uint64_t seq)
{
    char name[40];
    dbk_entry entry = {.id = {{1}, 1, seq}, .hlc = seq << 16, .event_count = 1};
    dbk_buffer_clear(events);
    dbk_buffer_clear(out);
    snprintf(name, sizeof name, "job/%llu", (unsigned long long)seq);
    put_event(events, name);
    for (int size = 0; size < SIZES; size++) {
        uint64_t at = seq % stride_of(size);
        if (at >= STREAMS || seq / stride_of(size) >= STREAM_EVENTS) continue;
        snprintf(name, sizeof name, "spread/%d/%u", size, (unsigned)at);
        put_event(events, name);
        entry.event_count++;
    }
    entry.events = dbk_buffer_slice(events);
    snprintf(name, sizeof name, "c%llu", (unsigned long long)seq);
    entry.command_id = dbk_slice_text(name);
    for (size_t i = 0; i < sizeof entry.command_hash; i++) entry.command_hash[i] = (uint8_t)bench_random();
    dbk_entry_encode(out, &entry);
}

/* Appends the entries that come next, `count` in one batch; how long that took. */
static double append(dbk_log *log, int count)
{
    dbk_buffer events, origins[BATCH];
    dbk_slice slices[BATCH];
    dbk_error err = {0};
    uint64_t seq = dbk_log_position(log);
    dbk_buffer_init(&events, &port);
    for (int i = 0; i < count; i++) {
        dbk_buffer_init(&origins[i], &port);
        encode(&events, &origins[i], seq + (uint64_t)i + 1);
        slices[i] = dbk_buffer_slice(&origins[i]);
    }
    double begin = bench_now();
    bench_must(dbk_log_append(log, slices, (size_t)count, (int64_t)seq, NULL, &err), &err, "append");
    double took = bench_now() - begin;
    for (int i = 0; i < count; i++) dbk_buffer_release(&origins[i]);
    dbk_buffer_release(&events);
    return took;
}

/* ---- what there is */

typedef struct files {
    unsigned index, segments;
} files;

static int count_file(void *arg, const char *name)
{
    files *f = arg;
    const char *dot = strrchr(name, '.');
    if (!dot) return 0;
    f->index += strcmp(dot, ".idx") == 0 || strcmp(dot, ".run") == 0;
    f->segments += strcmp(dot, ".seg") == 0;
    return 0;
}

static files files_in(dbk_dir *dir)
{
    files f = {0};
    (void)machine->list(machine->ctx, dir, count_file, &f);
    return f;
}

/* Packing and merging go on behind the appends: at most three files of each width are left. */
static void wait_until_settled(dbk_dir *dir, dbk_log *log)
{
    dbk_log_report report;
    unsigned most = 3;
    for (uint64_t width = 1; width < files_in(dir).segments; width *= 4) most += 3;
    for (int i = 0; i < 600; i++) {
        bench_must(dbk_log_stats(log, &report, NULL), NULL, "stats");
        if (report.packed_segments + 2 >= report.segments && files_in(dir).index <= most) return;
        usleep(50000);
    }
    bench_die("the index", "is not merged");
}

/* ---- what it costs */

typedef struct cost {
    double time[LOOKUPS];
    uint64_t begun, calls;
    size_t count;
    double started;
} cost;

static void begin(cost *c)
{
    c->begun = calls();
    c->started = bench_now();
}

static void end(cost *c)
{
    c->time[c->count++] = bench_now() - c->started;
    c->calls += calls() - c->begun;
}

static void put(const char *name, cost *c, double unit)
{
    printf(", \"%s\": %.3f, \"%s_calls\": %.1f", name, bench_median(c->time, c->count) * unit, name,
           (double)c->calls / (double)c->count);
}

static void measure_opening(dbk_dir *dir)
{
    cost reading = {0}, writing = {0};
    for (int i = 0; i < ROUNDS; i++) {
        begin(&reading);
        dbk_log *log = open_log(dir, true);
        end(&reading);
        dbk_log_close(log);
        begin(&writing);
        log = open_log(dir, false);
        end(&writing);
        dbk_log_close(log);
    }
    put("open_reading_ms", &reading, 1e3);
    put("open_writing_ms", &writing, 1e3);
}

/* All of one stream by an opening of its own; what opening costs is told apart. */
static void measure_streams(dbk_dir *dir, int size)
{
    cost stream = {0};
    for (unsigned at = 0; at < STREAMS; at++) {
        dbk_log *log = open_log(dir, true);
        char name[40];
        snprintf(name, sizeof name, "spread/%d/%u", size, at);
        dbk_log_wish wish = {.stream = dbk_slice_text(name)};
        dbk_log_selection *selection = NULL;
        uint64_t position, count = 0;
        dbk_slice origin;
        begin(&stream);
        bench_must(dbk_log_selection_open(log, &wish, &selection, NULL), NULL, "stream");
        while (dbk_log_selection_next(selection, &position, NULL, &origin, NULL) == DBK_OK) count++;
        end(&stream);
        if (count + 1 < STREAM_EVENTS) bench_die("a stream", "lacks events");
        dbk_log_selection_close(selection);
        dbk_log_close(log);
    }
    put("stream_ms", &stream, 1e3);
}

static void measure_ids(dbk_log *log)
{
    cost known = {0}, new_one = {0};
    uint64_t last = dbk_log_position(log);
    for (int i = 0; i < LOOKUPS; i++) {
        char id[32];
        uint64_t found, seq = 1 + bench_random() % last;
        snprintf(id, sizeof id, "c%llu", (unsigned long long)seq);
        begin(&known);
        bench_must(dbk_log_find_command(log, dbk_slice_text(id), 0, &found, NULL), NULL, "find");
        end(&known);
        if (found != seq) bench_die("an id", "was not found");
        snprintf(id, sizeof id, "n%llu", (unsigned long long)seq);
        begin(&new_one);
        bench_must(dbk_log_find_command(log, dbk_slice_text(id), 0, &found, NULL), NULL, "find");
        end(&new_one);
        if (found) bench_die("an id", "was found that is nowhere");
    }
    put("known_id_us", &known, 1e6);
    put("new_id_us", &new_one, 1e6);
}

static void measure_appends(dbk_log *log)
{
    cost one = {0};
    for (int i = 0; i < APPENDS; i++) one.time[one.count++] = append(log, 1);
    printf(", \"append_us\": %.2f", bench_median(one.time, one.count) * 1e6);
}

static void measure(dbk_dir *dir, int size)
{
    dbk_log *log = open_log(dir, false);
    double started = bench_now();
    uint64_t before = dbk_log_position(log), bytes = atomic_load(&written);
    while (dbk_log_position(log) < segments_of(size) * ENTRIES_PER_SEGMENT) (void)append(log, BATCH);
    double bulk = (bench_now() - started) / (double)(dbk_log_position(log) - before);
    wait_until_settled(dir, log);
    double each = (double)(atomic_load(&written) - bytes) / (double)(dbk_log_position(log) - before);
    files f = files_in(dir);
    printf("{\"gib\": %g, \"entries\": %llu, \"segments\": %u, \"index_files\": %u, \"bulk_us\": %.2f, \"bulk_bytes\": "
           "%.0f",
           sizes_gib[quick][size], (unsigned long long)dbk_log_position(log), f.segments, f.index, bulk * 1e6, each);
    measure_appends(log);
    wait_until_settled(dir, log);
    dbk_log_close(log);
    measure_opening(dir);
    measure_streams(dir, size);
    log = open_log(dir, false);
    measure_ids(log);
    dbk_log_close(log);
    printf("}\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    machine = dbk_port_system();
    port = *machine;
    port.open_file = count_open;
    port.pread = count_read;
    port.pwrite = count_write;
    dbk_dir *dir = folder();
    dbk_log_options options = options_of(false);
    dbk_error err = {0};
    bench_must(dbk_log_create(&port, dir, &options, &err), &err, "create log");
    for (int size = 0; size < SIZES; size++) measure(dir, size);
    port.close_dir(port.ctx, dir);
    return 0;
}
