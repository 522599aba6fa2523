/* 64 entries outstanding at the log itself, bytes in, told by callback when they are durable: what a host with a
 * commit loop of its own gets, without JSON, ids, receipts or a model (those are in many_callers). In turns with it the
 * same payloads written raw, 64 with one sync, the better of both ways to sync.
 * usage: outstanding [ENTRIES]    (no figure: only the log, for who counts instructions) */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/common.h"

enum { OUTSTANDING = 64, PAYLOAD = 256, TURNS = 100, ROUNDS = 15, RAW_BYTES = 16 * 1024 * 1024, ALIGNMENT = 4096 };

static const dbk_port *port;
static char payloads[OUTSTANDING][PAYLOAD];

/* ---- the log */

typedef struct host {
    dbk_log *log;
    dbk_buffer events, bytes;
    uint64_t seq, told;
} host;

static void open_host(host *h)
{
    char path[4400];
    dbk_error err = {0};
    dbk_dir *dir = NULL;
    dbk_log_options options = {0};
    snprintf(path, sizeof path, "%s/log", bench_folder());
    bench_must(dbk_io_open_dir(port, NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    bench_must(dbk_log_create(port, dir, &options, &err), &err, "create log");
    bench_must(dbk_log_open(port, dir, &options, &h->log, &err), &err, "open log");
    dbk_buffer_init(&h->events, port);
    dbk_buffer_init(&h->bytes, port);
}

static void encode(host *h, const char *payload)
{
    char stream[32];
    uint64_t seq = ++h->seq;
    snprintf(stream, sizeof stream, "job/%u", (unsigned)(seq % 1000));
    dbk_event event = {.stream = dbk_slice_text(stream),
                       .type = dbk_slice_text("job.noted"),
                       .type_version = 1,
                       .data = dbk_slice_of(payload, PAYLOAD)};
    dbk_entry entry = {.id = {{1}, 1, seq}, .hlc = seq << 16, .time_ms = (int64_t)seq, .event_count = 1};
    dbk_buffer_clear(&h->events);
    dbk_event_encode(&h->events, &event);
    entry.events = dbk_buffer_slice(&h->events);
    dbk_entry_encode(&h->bytes, &entry);
}

static void completed(void *arg, uint64_t position)
{
    host *h = arg;
    h->told += position > 0;
}

/* What is outstanding goes into the log at once, and each of it is told. */
static void take_turn(host *h, void (*done)(void *arg, uint64_t position))
{
    dbk_slice origins[OUTSTANDING];
    size_t ends[OUTSTANDING];
    uint64_t first = 0;
    dbk_error err = {0};
    dbk_buffer_clear(&h->bytes);
    for (int i = 0; i < OUTSTANDING; i++) {
        encode(h, payloads[i]);
        ends[i] = h->bytes.size;
    }
    for (size_t i = 0, at = 0; i < OUTSTANDING; at = ends[i++])
        origins[i] = dbk_slice_of(h->bytes.data + at, ends[i] - at);
    bench_must(dbk_log_append(h->log, origins, OUTSTANDING, (int64_t)h->seq, &first, &err), &err, "append");
    for (uint64_t i = 0; i < OUTSTANDING; i++) done(h, first + i);
}

static double log_seconds(host *h, int turns)
{
    double begin = bench_now();
    for (int i = 0; i < turns; i++) take_turn(h, completed);
    return bench_now() - begin;
}

/* ---- the disk alone */

typedef struct raw {
    int fd;
    bool direct;
    uint8_t *block;
    off_t at;
} raw;

static void open_raw(raw *r, const char *name, int flags)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", bench_folder(), name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    r->block = aligned_alloc(ALIGNMENT, RAW_BYTES);
    if (fd < 0 || !r->block) bench_die(path, "cannot make it");
    memset(r->block, 0, RAW_BYTES);
    if (pwrite(fd, r->block, RAW_BYTES, 0) != RAW_BYTES || fsync(fd) != 0) bench_die(path, "cannot prezero");
    close(fd);
    r->direct = flags != 0;
    r->fd = open(path, O_RDWR | O_CLOEXEC | flags);
}

static double raw_seconds(raw *r, int turns)
{
    double begin = bench_now();
    for (int i = 0; i < turns && r->fd >= 0; i++) {
        memcpy(r->block, payloads, sizeof payloads);
        if (pwrite(r->fd, r->block, sizeof payloads, r->at) != (ssize_t)sizeof payloads) bench_die("pwrite", "short");
        if (!r->direct && fdatasync(r->fd) != 0) bench_die("fdatasync", "failed");
        r->at = (r->at + (off_t)sizeof payloads) % RAW_BYTES;
    }
    return r->fd >= 0 ? bench_now() - begin : 1e9;
}

static void figures(host *h)
{
    double ours[ROUNDS], synced[ROUNDS], direct[ROUNDS];
    char detail[160];
    raw plain = {0}, past = {0};
    open_raw(&plain, "raw", 0);
    open_raw(&past, "raw-direct", O_DIRECT | O_DSYNC);
    for (int round = 0; round < ROUNDS; round++) {
        ours[round] = log_seconds(h, TURNS);
        synced[round] = raw_seconds(&plain, TURNS);
        direct[round] = raw_seconds(&past, TURNS);
    }
    double a = bench_median(ours, ROUNDS), b = bench_median(synced, ROUNDS), c = bench_median(direct, ROUNDS);
    double rate = TURNS * OUTSTANDING / a, bare = TURNS * OUTSTANDING / (b < c ? b : c);
    snprintf(detail, sizeof detail, "%.0f us for 64; raw %.0f us", a / TURNS * 1e6, (b < c ? b : c) / TURNS * 1e6);
    bench_figure("the log alone, 64 outstanding of 256 bytes, entries/s", 400000, rate, true, detail);
    bench_figure("the log alone, 64 outstanding / raw batches of 64", 0.45, rate / bare, true, detail);
    free(plain.block);
    free(past.block);
}

int main(int argc, char **argv)
{
    host h = {0};
    port = dbk_port_system();
    for (int i = 0; i < OUTSTANDING; i++)
        for (int k = 0; k < PAYLOAD; k++)
            payloads[i][k] = (char)(k % 2 ? 'a' + k % 13 : 'a' + (int)(bench_random() % 26));
    open_host(&h);
    if (argc > 1) (void)log_seconds(&h, atoi(argv[1]) / OUTSTANDING);
    else figures(&h);
    if (h.told != h.seq) bench_die("an entry", "was not told");
    dbk_log_close(h.log);
    dbk_buffer_release(&h.events);
    dbk_buffer_release(&h.bytes);
    return 0;
}
