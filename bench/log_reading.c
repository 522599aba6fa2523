/* What reading a log costs in both forms of its sealed segments: a walk beside mapped memory and beside
 * zstd alone, one stream in a fresh process, opening, bytes per entry.
 * `log_reading --quick` takes a log a sixteenth as long; a file of JSON lines as last argument is measured too. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common.h"
#include "log/cells_read.h"
#include "log/internal.h"

enum { BATCH = 1000, STREAMS = 20000, PAYLOAD = 256, PROCESSES = 15, ROUNDS = 5 };

static const dbk_port *port;

static dbk_dir *folder_of(const char *name)
{
    char path[4400];
    dbk_dir *dir = NULL;
    dbk_error err = {0};
    snprintf(path, sizeof path, "%s/%s", bench_folder(), name);
    bench_must(dbk_io_open_dir(port, NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    return dir;
}

static dbk_log *open_log(dbk_dir *dir, bool keep_plain, bool read_only)
{
    dbk_log_options options = {.keep_plain = keep_plain, .read_only = read_only};
    dbk_error err = {0};
    dbk_log *log = NULL;
    bench_must(dbk_log_open(port, dir, &options, &log, &err), &err, "open log");
    return log;
}

static void create_log(dbk_dir *dir)
{
    dbk_log_options options = {0};
    dbk_error err = {0};
    bench_must(dbk_log_create(port, dir, &options, &err), &err, "create log");
}

static void encode(dbk_buffer *events, dbk_buffer *out, uint64_t seq, const char *stream, dbk_slice data)
{
    char id[32];
    dbk_event event = {
        .stream = dbk_slice_text(stream), .type = dbk_slice_text("job.noted"), .type_version = 1, .data = data};
    dbk_entry entry = {.id = {{1}, 1, seq}, .hlc = seq << 16, .event_count = 1};
    snprintf(id, sizeof id, "c%llu", (unsigned long long)seq);
    entry.command_id = dbk_slice_text(id);
    for (size_t i = 0; i < sizeof entry.command_hash; i++) entry.command_hash[i] = (uint8_t)bench_random();
    dbk_buffer_clear(events);
    dbk_buffer_clear(out);
    dbk_event_encode(events, &event);
    entry.events = dbk_buffer_slice(events);
    dbk_entry_encode(out, &entry);
}

/* Half of the payload repeats from entry to entry, as in JSON; half does not. */
static void fill(char *data)
{
    for (int i = 0; i < PAYLOAD; i++) data[i] = i % 2 ? (char)('a' + i % 13) : (char)('a' + bench_random() % 26);
}

static void append_entries(dbk_log *log, uint64_t count)
{
    dbk_buffer events, *origins = calloc(BATCH, sizeof *origins);
    dbk_slice *slices = calloc(BATCH, sizeof *slices);
    dbk_error err = {0};
    if (!origins || !slices) bench_die("memory", "none");
    dbk_buffer_init(&events, port);
    for (int i = 0; i < BATCH; i++) dbk_buffer_init(&origins[i], port);
    for (uint64_t seq = 1; seq <= count;) {
        for (int i = 0; i < BATCH; i++, seq++) {
            char stream[32], data[PAYLOAD];
            snprintf(stream, sizeof stream, "job/%u", (unsigned)((uint32_t)seq * 2654435761u % STREAMS));
            fill(data);
            encode(&events, &origins[i], seq, stream, dbk_slice_of(data, PAYLOAD));
            slices[i] = dbk_buffer_slice(&origins[i]);
        }
        bench_must(dbk_log_append(log, slices, BATCH, (int64_t)seq, NULL, &err), &err, "append");
    }
    for (int i = 0; i < BATCH; i++) dbk_buffer_release(&origins[i]);
    dbk_buffer_release(&events);
    free(origins);
    free(slices);
}

/* MB of origin bytes a second; *bytes of all. */
static double walk(dbk_log *log, uint64_t *bytes)
{
    dbk_log_cursor *cursor = NULL;
    dbk_error err = {0};
    dbk_slice origin;
    dbk_result rc;
    *bytes = 0;
    double begin = bench_now();
    bench_must(dbk_log_cursor_open(log, 1, 0, &cursor, &err), &err, "cursor");
    while ((rc = dbk_log_cursor_next(cursor, NULL, NULL, &origin, &err)) == DBK_OK) *bytes += origin.size;
    if (rc != DBK_END) bench_die("walk", err.text);
    dbk_log_cursor_close(cursor);
    return (double)*bytes / (bench_now() - begin) / 1e6;
}

/* All segment files as they are mapped: what memory itself gives, summed up or with the log's checksum. */
static double walk_memory(uint64_t segments, bool checksum)
{
    uint64_t sum = 0, bytes = 0;
    double begin = bench_now();
    for (uint64_t number = 1; number <= segments; number++) {
        char path[4400];
        struct stat st;
        snprintf(path, sizeof path, "%s/log/%016llx.seg", bench_folder(), (unsigned long long)number);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || fstat(fd, &st) != 0) bench_die("map", path);
        const uint64_t *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED) bench_die("map", path);
        if (checksum) sum += dbk_checksum(dbk_slice_of(at, (size_t)st.st_size), number);
        for (size_t i = 0; !checksum && i < (size_t)st.st_size / 8; i++) sum += at[i];
        munmap((void *)(uintptr_t)at, (size_t)st.st_size);
        close(fd);
        bytes += (uint64_t)st.st_size;
    }
    if (sum == 1) printf(" ");
    return (double)bytes / (bench_now() - begin) / 1e6;
}

/* The cells of one packed segment, from memory: what zstd itself takes. MB of the plain form a second. */
static double zstd_alone(dbk_dir *dir, uint64_t number)
{
    char name[32];
    dbk_image *image = NULL;
    dbk_error err = {0};
    dbk_segment_name(number, "seg", name);
    bench_must(dbk_image_open(port, dir, name, &image, &err), &err, "image");
    if (!image->packed) bench_die("image", "not packed");
    uint8_t *out = malloc(DBK_PACK_PLAIN_MAX);
    dbk_unpacker *unpacker = dbk_unpacker_new(port);
    if (!out || !unpacker) bench_die("memory", "none");
    double took = 0;
    for (uint32_t i = 0; i < image->head.block_count; i++) {
        dbk_open_block *block;
        bench_must(dbk_image_open_block(image, unpacker, i, &block, &err), &err, "block");
        double begin = bench_now();
        for (uint32_t k = 0; k < block->front.cell_count; k++) {
            const dbk_pack_cell *cell = dbk_block_cell(block, k);
            size_t apart = block->front.hashes_apart ? (size_t)cell->count * DBK_COMMAND_HASH_SIZE : 0;
            dbk_slice frame = dbk_slice_of(block->data.data + cell->offset, cell->stored - apart);
            if (!dbk_unpacker_run_cell(unpacker, frame, image->dictionary, out, cell->content))
                bench_die("zstd", "no cell");
        }
        took += bench_now() - begin;
    }
    double rate = (double)(image->head.end - DBK_SEGMENT_DATA_OFFSET) / took / 1e6;
    dbk_unpacker_free(unpacker);
    dbk_image_close(image);
    free(out);
    return rate;
}

static void wait_until_packed(dbk_log *log)
{
    dbk_log_report report;
    do {
        usleep(20000);
        bench_must(dbk_log_stats(log, &report, NULL), NULL, "stats");
    } while (report.packed_segments + 2 < report.segments); /* the last, and a first without entries */
}

/* Seconds from the begin of opening to the last event of one stream, in a process of its own. */
static double one_stream(unsigned stream, uint64_t least)
{
    int pipes[2];
    double took = 0;
    fflush(stdout);
    if (pipe(pipes) != 0) bench_die("pipe", "failed");
    pid_t child = fork();
    if (child < 0) bench_die("fork", "failed");
    if (child == 0) {
        char name[32];
        snprintf(name, sizeof name, "job/%u", stream);
        dbk_log_wish wish = {.stream = dbk_slice_text(name)};
        dbk_log_selection *selection = NULL;
        uint64_t position, count = 0;
        dbk_slice origin;
        dbk_dir *dir = folder_of("log");
        double begin = bench_now();
        dbk_log *log = open_log(dir, false, true);
        if (dbk_log_selection_open(log, &wish, &selection, NULL) != DBK_OK) _exit(1);
        while (dbk_log_selection_next(selection, &position, NULL, &origin, NULL) == DBK_OK) count++;
        took = bench_now() - begin;
        _exit(write(pipes[1], &took, sizeof took) == sizeof took && count >= least ? 0 : 2);
    }
    int status = 0;
    if (read(pipes[0], &took, sizeof took) != sizeof took || waitpid(child, &status, 0) != child || status != 0)
        bench_die("the reading process", "failed");
    close(pipes[0]);
    close(pipes[1]);
    return took;
}

static void open_figures(dbk_dir *dir, uint64_t bytes)
{
    double clean[5], unclean = 0;
    char detail[160];
    for (int i = 0; i < 5; i++) {
        double begin = bench_now();
        dbk_log *log = open_log(dir, false, false);
        clean[i] = bench_now() - begin;
        dbk_log_close(log);
    }
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) bench_die("fork", "failed");
    if (child == 0) {
        append_entries(open_log(folder_of("log"), false, false), BATCH);
        _exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) bench_die("the writing process", "failed");
    double begin = bench_now();
    dbk_log *log = open_log(dir, false, false);
    unclean = bench_now() - begin;
    dbk_log_close(log);
    snprintf(detail, sizeof detail, "a log of %.0f MB of records", (double)bytes / 1e6);
    bench_figure("open, closed in good order, ms", 20, bench_median(clean, 5) * 1e3, false, detail);
    bench_figure("open after a process that died, s", 0.3, unclean, false, detail);
}

static void size_figure(const char *name, dbk_log *log, double goal)
{
    dbk_log_report report;
    char detail[160];
    bench_must(dbk_log_stats(log, &report, NULL), NULL, "stats");
    if (report.packed_records_bytes == 0) return;
    double share = (double)report.packed_records_bytes / (double)report.bytes * (double)report.entries;
    snprintf(detail, sizeof detail, "%llu of %llu segments packed to %.1f %% of their records",
             (unsigned long long)report.packed_segments, (unsigned long long)report.segments,
             100.0 * (double)report.packed_file_bytes / (double)report.packed_records_bytes);
    bench_figure(name, goal, (double)report.packed_file_bytes / share, false, detail);
}

/* Each line an event, four times over so that segments fill; SQLite's table has the text and an index of its id. */
static void lines_figure(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file) return;
    char *line = NULL;
    size_t room = 0;
    uint64_t rows = 0, seq = 0;
    dbk_error err = {0};
    sqlite3 *db = bench_sqlite("lines", "OFF",
                               "CREATE TABLE event(position INTEGER PRIMARY KEY, stream TEXT, data TEXT);CREATE INDEX "
                               "event_stream ON event(stream);");
    sqlite3_stmt *insert = bench_prepare(db, "INSERT INTO event(stream,data) VALUES(?1,?2)");
    dbk_dir *dir = folder_of("lines-log");
    create_log(dir);
    dbk_log *log = open_log(dir, false, false);
    dbk_buffer events, origin;
    dbk_buffer_init(&events, port);
    dbk_buffer_init(&origin, port);
    bench_sql(db, "BEGIN");
    for (int round = 0; round < 4; round++) {
        rewind(file);
        for (ssize_t size; (size = getline(&line, &room, file)) > 0; rows++) {
            char stream[64];
            snprintf(stream, sizeof stream, "commits/%d-%.40s", round, size > 48 ? line + 8 : "x");
            encode(&events, &origin, ++seq, stream, dbk_slice_of(line, (size_t)size - 1));
            dbk_slice slice = dbk_buffer_slice(&origin);
            bench_must(dbk_log_append(log, &slice, 1, 0, NULL, &err), &err, "append");
            sqlite3_bind_text(insert, 1, stream, -1, SQLITE_STATIC);
            sqlite3_bind_text(insert, 2, line, (int)size - 1, SQLITE_STATIC);
            if (sqlite3_step(insert) != SQLITE_DONE) bench_die("insert", sqlite3_errmsg(db));
            sqlite3_reset(insert);
        }
    }
    bench_sql(db, "COMMIT");
    sqlite3_stmt *pages = bench_prepare(db, "SELECT page_count*page_size FROM pragma_page_count,pragma_page_size");
    if (sqlite3_step(pages) != SQLITE_ROW) bench_die("pages", sqlite3_errmsg(db));
    double each = (double)sqlite3_column_int64(pages, 0) / (double)rows;
    sqlite3_finalize(pages);
    sqlite3_finalize(insert);
    sqlite3_close(db);
    wait_until_packed(log);
    printf("  SQLite, table with index: %.0f bytes an entry\n", each);
    size_figure("bytes per entry, sealed, lines of JSON one by one", log, each / 5);
    dbk_log_close(log);
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
    free(line);
    fclose(file);
}

static void plain_figures(dbk_log *log, uint64_t segments)
{
    double plain[ROUNDS], memory[ROUNDS], sums[ROUNDS];
    char detail[160];
    uint64_t bytes;
    (void)walk(log, &bytes); /* direct writes leave nothing in the page cache */
    for (int round = 0; round < ROUNDS; round++) {
        plain[round] = walk(log, &bytes);
        memory[round] = walk_memory(segments, false);
        sums[round] = walk_memory(segments, true);
    }
    double rate = bench_median(plain, ROUNDS), mapped = bench_median(memory, ROUNDS);
    snprintf(detail, sizeof detail, "%.0f MB/s, mapped memory %.0f MB/s", rate, mapped);
    bench_figure("walk, plain / mapped memory", 0.5, rate / mapped, true, detail);
    mapped = bench_median(sums, ROUNDS);
    snprintf(detail, sizeof detail, "with the log's checksum over mapped memory: %.0f MB/s", mapped);
    bench_figure("walk, plain / mapped memory, checksummed", 0.5, rate / mapped, true, detail);
}

static void sealed_figure(dbk_dir *dir, dbk_log *log, double packed_mb_per_s)
{
    double sealed[ROUNDS], zstd[ROUNDS];
    char detail[160];
    uint64_t bytes;
    dbk_log_report report;
    bench_must(dbk_log_stats(log, &report, NULL), NULL, "stats");
    for (int round = 0; round < ROUNDS; round++) {
        sealed[round] = walk(log, &bytes) * (double)report.bytes / (double)bytes;
        zstd[round] = zstd_alone(dir, report.segments / 2 + (uint64_t)round % 2);
    }
    double rate = bench_median(sealed, ROUNDS), alone = bench_median(zstd, ROUNDS);
    snprintf(detail, sizeof detail, "%.0f MB/s of records, zstd alone %.0f MB/s; packed at %.0f MB/s", rate, alone,
             packed_mb_per_s);
    bench_figure("walk, sealed / zstd alone, one core", 0.8, rate / alone, true, detail);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    uint64_t count = quick ? 2000000 / 16 / BATCH * BATCH : 2000000;
    double streams[PROCESSES];
    char detail[160];
    dbk_log_report report;

    port = dbk_port_system();
    dbk_dir *dir = folder_of("log");
    create_log(dir);
    dbk_log *log = open_log(dir, true, false);
    append_entries(log, count);
    dbk_log_close(log);
    log = open_log(dir, true, false);
    bench_must(dbk_log_stats(log, &report, NULL), NULL, "stats");
    plain_figures(log, report.segments);
    dbk_log_close(log);
    log = open_log(dir, false, false);
    double begin = bench_now();
    wait_until_packed(log);
    sealed_figure(dir, log, (double)report.bytes / (bench_now() - begin) / 1e6);
    dbk_log_close(log);
    for (int i = 0; i < PROCESSES; i++) streams[i] = one_stream((unsigned)(i * 1237 % STREAMS), count / STREAMS / 2);
    snprintf(detail, sizeof detail, "about %llu events of %llu, open included", (unsigned long long)(count / STREAMS),
             (unsigned long long)count);
    bench_figure("one stream in a fresh process, ms", 2, bench_median(streams, PROCESSES) * 1e3, false, detail);
    open_figures(dir, report.bytes);
    if (argc > 1 && argv[argc - 1][0] != '-') lines_figure(argv[argc - 1]);
    port->close_dir(port->ctx, dir);
    return 0;
}
