/* A log filled in large batches beside what cannot be saved: the leaves of its entries, hashed by as many
 * threads as there are processors, and one durable write of the bytes. In turns, so that both see the same
 * machine. usage: bulk_load [ENTRIES_PER_BATCH [BYTES_PER_PAYLOAD]] */
#include <pthread.h>
#include <unistd.h>

#include "bench/common.h"
#include "log/log.h"

enum { BATCHES = 24, ROUNDS = 15, THREADS_MAX = 4, SECTOR = 4096 };

static const dbk_port *port;

typedef struct batch {
    dbk_buffer bytes;
    dbk_slice *origins;
    size_t count;
} batch;

static void fill(batch *b, size_t count, size_t payload, uint64_t seq)
{
    dbk_buffer event_bytes;
    size_t *ends = calloc(count, sizeof *ends);
    char *data = malloc(payload);
    b->origins = calloc(count, sizeof *b->origins);
    b->count = count;
    if (!ends || !data || !b->origins) bench_die("memory", "none");
    dbk_buffer_init(&b->bytes, port);
    dbk_buffer_init(&event_bytes, port);
    for (size_t i = 0; i < count; i++, seq++) {
        char id[32], stream[32];
        for (size_t k = 0; k < payload; k++) data[k] = (char)('a' + bench_random() % 26);
        snprintf(id, sizeof id, "c%llu", (unsigned long long)seq);
        snprintf(stream, sizeof stream, "job/%llu", (unsigned long long)(seq % 5000));
        dbk_event event = {.stream = dbk_slice_text(stream),
                           .type = dbk_slice_text("job.noted"),
                           .type_version = 1,
                           .data = dbk_slice_of(data, payload)};
        dbk_entry entry = {.id = {{1}, 1, seq}, .hlc = seq << 16, .event_count = 1, .command_id = dbk_slice_text(id)};
        dbk_buffer_clear(&event_bytes);
        dbk_event_encode(&event_bytes, &event);
        entry.events = dbk_buffer_slice(&event_bytes);
        dbk_entry_encode(&b->bytes, &entry);
        ends[i] = b->bytes.size;
    }
    for (size_t i = 0, at = 0; i < count; at = ends[i++])
        b->origins[i] = dbk_slice_of(b->bytes.data + at, ends[i] - at);
    dbk_buffer_release(&event_bytes);
    free(data);
    free(ends);
}

static dbk_dir *folder_of(const char *name)
{
    char path[4400];
    dbk_dir *dir = NULL;
    dbk_error err = {0};
    snprintf(path, sizeof path, "%s/%s", bench_folder(), name);
    bench_must(dbk_io_open_dir(port, NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    return dir;
}

/* ---- the part that cannot be saved */

typedef struct bare {
    dbk_file *file;
    bool direct;
    uint8_t *block;
    uint64_t at, end;
    uint32_t threads;
    const batch *batch;
} bare;

typedef struct share {
    const bare *bare;
    uint32_t index;
} share;

static void *hash_share(void *arg)
{
    const share *s = arg;
    const batch *b = s->bare->batch;
    uint8_t leaf[DBK_LEAF_SIZE];
    for (size_t i = s->index; i < b->count; i += s->bare->threads) dbk_entry_leaf(b->origins[i], leaf);
    return NULL;
}

static void bare_open(bare *b, size_t largest)
{
    dbk_error err = {0};
    dbk_dir *dir = folder_of("bare");
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE;
    b->end = dbk_round_up(largest, SECTOR) * BATCHES;
    b->block = aligned_alloc(SECTOR, dbk_round_up(largest, SECTOR));
    if (!b->block) bench_die("memory", "none");
    memset(b->block, 0, dbk_round_up(largest, SECTOR));
    bench_must(dbk_io_open(port, dir, "file", flags, &b->file, &err), &err, "file");
    for (uint64_t at = 0; at < b->end; at += dbk_round_up(largest, SECTOR))
        bench_must(dbk_io_write(port, b->file, "file", at, b->block, dbk_round_up(largest, SECTOR), &err), &err,
                   "zeros");
    bench_must(dbk_io_sync(port, b->file, "file", &err), &err, "sync");
    port->close_file(port->ctx, b->file);
    b->direct = dbk_io_open(port, dir, "file", flags | DBK_OPEN_DIRECT, &b->file, &err) == DBK_OK;
    if (!b->direct) bench_must(dbk_io_open(port, dir, "file", flags, &b->file, &err), &err, "file");
    b->threads = port->processors(port->ctx);
    if (b->threads > THREADS_MAX) b->threads = THREADS_MAX;
    port->close_dir(port->ctx, dir);
}

static void bare_take(bare *b, const batch *of)
{
    pthread_t threads[THREADS_MAX];
    share shares[THREADS_MAX];
    dbk_error err = {0};
    size_t size = dbk_round_up(of->bytes.size, SECTOR);
    b->batch = of;
    for (uint32_t i = 0; i < b->threads; i++) {
        shares[i] = (share){b, i};
        if (i > 0 && pthread_create(&threads[i], NULL, hash_share, &shares[i]) != 0) bench_die("thread", "none");
    }
    hash_share(&shares[0]);
    for (uint32_t i = 1; i < b->threads; i++) pthread_join(threads[i], NULL);
    memcpy(b->block, of->bytes.data, of->bytes.size);
    if (b->at + size > b->end) b->at = 0;
    bench_must(dbk_io_write(port, b->file, "file", b->at, b->block, size, &err), &err, "write");
    if (!b->direct) bench_must(dbk_io_sync(port, b->file, "file", &err), &err, "sync");
    b->at += size;
}

/* ---- the log */

static dbk_log *log_open(void)
{
    dbk_dir *dir = folder_of("log");
    dbk_log_options options = {.keep_plain = true};
    dbk_error err = {0};
    dbk_log *log = NULL;
    bench_must(dbk_log_create(port, dir, &options, &err), &err, "create log");
    bench_must(dbk_log_open(port, dir, &options, &log, &err), &err, "open log");
    return log;
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, payload = argc > 2 ? strtoul(argv[2], NULL, 10) : 256;
    if (count == 0 || count > 100000 || payload == 0 || payload > 100000) bench_die("usage", "sizes out of range");
    static batch batches[BATCHES];
    double ours[ROUNDS], theirs[ROUNDS], bytes = 0;
    char name[80], detail[160];
    dbk_error err = {0};
    bare raw = {0};
    size_t largest = 0;
    port = dbk_port_system();
    for (size_t i = 0; i < BATCHES; i++) {
        fill(&batches[i], count, payload, 1 + i * count);
        if (batches[i].bytes.size > largest) largest = batches[i].bytes.size;
        bytes += (double)batches[i].bytes.size;
    }
    bare_open(&raw, largest);
    dbk_log *log = log_open();
    for (int round = 0; round < ROUNDS; round++) {
        double begin = bench_now();
        for (size_t i = 0; i < BATCHES; i++)
            bench_must(dbk_log_append(log, batches[i].origins, count, 0, NULL, &err), &err, "append");
        ours[round] = bench_now() - begin;
        begin = bench_now();
        for (size_t i = 0; i < BATCHES; i++) bare_take(&raw, &batches[i]);
        theirs[round] = bench_now() - begin;
    }
    dbk_log_close(log);
    double a = bench_median(ours, ROUNDS), b = bench_median(theirs, ROUNDS);
    snprintf(name, sizeof name, "bulk load, %zu a batch / write and leaves in parallel", count);
    snprintf(detail, sizeof detail, "%.0f MB/s, %.0f entries/s; the others %.0f MB/s on %u threads", bytes / a / 1e6,
             BATCHES * (double)count / a, bytes / b / 1e6, raw.threads);
    bench_figure(name, 0.7, b / a, true, detail);
    port->close_file(port->ctx, raw.file);
    return 0;
}
