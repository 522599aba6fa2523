/* daybook bench: what this machine gives a store, beside what its disk gives alone.
 *
 * Two stores' works are measured in a folder of their own (one command at a time, and arrays of ARRAY), then
 * synced writes of just as many bytes as the store wrote for each, by the faster of write + fdatasync and
 * direct synced writes, in a file that has its blocks already. The folder is removed whatever happens. */
#include "cli/cli.h"

enum { ARRAY = 64, RUN_MS = 1500, RAW_MS = 1000, RAW_FILE_BYTES = 16 * 1024 * 1024, SECTOR = 4096, NAME_SIZE = 32 };
static const char schema[] =
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL);\n";

typedef struct figure {
    const char *name;
    uint32_t group;        /* commands in one message */
    double per_second;     /* commands */
    uint64_t sync_bytes;   /* written for one message */
    double raw_per_second; /* synced writes of so many bytes */
} figure;

typedef struct bench {
    const dbk_cli *cli;
    const dbk_port *port;
    dbk_dir *outer, *dir;
    char name[NAME_SIZE];
    dbk_buffer path; /* of the folder */
    uint64_t commands;
} bench;

static double seconds_since(const bench *b, int64_t begin_ns)
{
    return (double)(b->port->monotonic_ns(b->port->ctx) - begin_ns) / 1e9;
}

/* ---- the folder */

static int note_name(void *arg, const char *name)
{
    dbk_buffer *names = arg;
    dbk_buffer_put(names, name, strlen(name) + 1);
    return 0;
}

static void remove_inside(const dbk_port *port, dbk_dir *dir)
{
    dbk_buffer names;
    dbk_buffer_init(&names, port);
    (void)port->list(port->ctx, dir, note_name, &names);
    for (size_t at = 0; !names.failed && at < names.size; at += strlen((const char *)names.data + at) + 1) {
        const char *name = (const char *)names.data + at;
        dbk_dir *inner = NULL;
        if (port->unlink(port->ctx, dir, name) == 0 || port->open_dir(port->ctx, dir, name, 0, &inner) != 0) continue;
        remove_inside(port, inner);
        port->close_dir(port->ctx, inner);
        (void)port->remove_dir(port->ctx, dir, name);
    }
    dbk_buffer_release(&names);
}

static dbk_result make_folder(bench *b, const char *where, dbk_error *err)
{
    uint8_t random[8];
    char hex[17];
    int rc = b->port->random(b->port->ctx, random, sizeof random);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, rc, "the system gave no random bytes for a name");
    dbk_hex_encode(dbk_slice_of(random, sizeof random), hex);
    snprintf(b->name, sizeof b->name, "daybook-bench-%s", hex);
    dbk_buffer_printf(&b->path, "%s/%s", where, b->name);
    dbk_result result = dbk_io_open_dir(b->port, NULL, where, 0, &b->outer, err);
    if (result == DBK_OK && (rc = b->port->make_dir(b->port->ctx, b->outer, b->name, 0700)) != 0)
        result = dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot make folder '%s' in '%s'", b->name, where);
    if (result == DBK_OK) result = dbk_io_open_dir(b->port, b->outer, b->name, 0, &b->dir, err);
    if (result == DBK_OK) result = dbk_io_replace_file(b->port, b->dir, "schema.sql", dbk_slice_text(schema), err);
    if (result == DBK_OK && !dbk_buffer_text(&b->path)) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    return result;
}

static void remove_folder(bench *b)
{
    if (b->dir) {
        remove_inside(b->port, b->dir);
        b->port->close_dir(b->port->ctx, b->dir);
        (void)b->port->remove_dir(b->port->ctx, b->outer, b->name);
    }
    if (b->outer) b->port->close_dir(b->port->ctx, b->outer);
}

/* ---- the store */

static void put_message(bench *b, uint32_t group, dbk_buffer *out)
{
    dbk_buffer_clear(out);
    for (uint32_t i = 0; i < group; i++) {
        unsigned long long n = (unsigned long long)++b->commands;
        dbk_buffer_printf(out,
                          "%s{\"id\":\"b%llu\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%llu\",\"data\":{"
                          "\"title\":\"note %llu\",\"body\":"
                          "\"Some text of the length that a line or two of a note have, which is about this much.\"}}",
                          group == 1 ? ""
                          : i        ? ","
                                     : "[",
                          n, n, n);
    }
    if (group > 1) dbk_buffer_put_u8(out, ']');
}

static dbk_result bytes_of(bench *b, dbk_store *store, uint64_t *bytes, dbk_error *err)
{
    dbk_cli_target target = {.store = store};
    dbk_cli_answer answer = {0};
    dbk_buffer request;
    int64_t value = 0;
    dbk_buffer_init(&request, b->port);
    dbk_buffer_put_text(&request, "{\"do\":\"stats\"}");
    dbk_result result = dbk_cli_ask(&target, &request, &answer, err);
    const dbk_json_node *node = result == DBK_OK ? dbk_json_member(answer.root, "bytes") : NULL;
    if (result == DBK_OK && (!node || !dbk_json_is_integer(node, &value)))
        result = dbk_fail(err, DBK_INTERNAL, "stats without 'bytes'");
    *bytes = (uint64_t)value;
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
    return result;
}

static dbk_result measure_store(bench *b, dbk_store *store, figure *f, dbk_error *err)
{
    uint64_t messages = 0, before = 0, after = 0;
    double taken = 0;
    dbk_buffer message;
    dbk_buffer_init(&message, b->port);
    dbk_result result = bytes_of(b, store, &before, err);
    int64_t begin = b->port->monotonic_ns(b->port->ctx);
    while (result == DBK_OK && (taken = seconds_since(b, begin)) < RUN_MS / 1000.0) {
        dbk_text receipt = {0};
        put_message(b, f->group, &message);
        result = message.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a command")
                                : dbk_do(store, (const char *)message.data, message.size, &receipt, err);
        if (result == DBK_OK && strstr(receipt.data, "\"ok\":false"))
            result = dbk_fail(err, DBK_INTERNAL, "a command was refused: %.500s", receipt.data);
        dbk_text_free(&receipt);
        messages++;
    }
    if (result == DBK_OK) result = bytes_of(b, store, &after, err);
    dbk_buffer_release(&message);
    if (result != DBK_OK) return result;
    f->per_second = (double)messages * f->group / taken;
    f->sync_bytes = (after - before) / messages;
    return DBK_OK;
}

static dbk_result measure_stores(bench *b, figure *figures, size_t count, dbk_error *err)
{
    dbk_buffer store_path, app;
    dbk_store *store = NULL;
    dbk_buffer_init(&store_path, b->port);
    dbk_buffer_init(&app, b->port);
    dbk_buffer_printf(&store_path, "%s/bench.daybook", (const char *)b->path.data);
    dbk_buffer_printf(&app, "%s/schema.sql", (const char *)b->path.data);
    dbk_result result = dbk_buffer_text(&store_path) && dbk_buffer_text(&app)
                            ? DBK_OK
                            : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_OK) result = dbk_create((const char *)store_path.data, (const char *)app.data, NULL, NULL, err);
    if (result == DBK_OK) result = dbk_open((const char *)store_path.data, NULL, &store, err);
    for (size_t i = 0; result == DBK_OK && i < count; i++) result = measure_store(b, store, &figures[i], err);
    dbk_close(store);
    dbk_buffer_release(&store_path);
    dbk_buffer_release(&app);
    return result;
}

/* ---- the disk alone */

/* Writes a second long; DBK_UNSUPPORTED: no direct I/O here. */
static dbk_result write_raw(bench *b, const uint8_t *data, size_t size, bool direct, double *per_second, dbk_error *err)
{
    static const char name[] = "raw.tmp";
    dbk_file *file = NULL;
    uint64_t writes = 0, offset = 0;
    double taken = 0;
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE | (direct ? DBK_OPEN_DIRECT : 0);
    if (b->port->open_file(b->port->ctx, b->dir, name, flags, 0600, &file) != 0) return DBK_UNSUPPORTED;
    dbk_result result = DBK_OK;
    int64_t begin = b->port->monotonic_ns(b->port->ctx);
    while (result == DBK_OK && (taken = seconds_since(b, begin)) < RAW_MS / 1000.0) {
        if (offset + size > RAW_FILE_BYTES) offset = 0;
        result = dbk_io_write(b->port, file, name, offset, data, size, err);
        if (result == DBK_OK && !direct) result = dbk_io_sync(b->port, file, name, err);
        offset += size;
        writes++;
    }
    b->port->close_file(b->port->ctx, file);
    if (direct && result != DBK_OK) return DBK_UNSUPPORTED;
    if (result == DBK_OK && (double)writes / taken > *per_second) *per_second = (double)writes / taken;
    return result;
}

/* A file whose blocks are there and written: an append has no more to do than its bytes. */
static dbk_result make_raw_file(bench *b, const uint8_t *data, size_t size, dbk_error *err)
{
    dbk_file *file = NULL;
    dbk_result result =
        dbk_io_open(b->port, b->dir, "raw.tmp", DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file, err);
    for (uint64_t at = 0; result == DBK_OK && at + size <= RAW_FILE_BYTES; at += size)
        result = dbk_io_write(b->port, file, "raw.tmp", at, data, size, err);
    if (result == DBK_OK) result = dbk_io_sync(b->port, file, "raw.tmp", err);
    if (file) b->port->close_file(b->port->ctx, file);
    return result;
}

static dbk_result measure_raw(bench *b, figure *f, dbk_error *err)
{
    size_t size = (size_t)(f->sync_bytes + 511) / 512 * 512, room = (size + SECTOR - 1) / SECTOR * SECTOR;
    uint8_t *data = size > 0 && size < RAW_FILE_BYTES ? b->port->alloc_aligned(b->port->ctx, SECTOR, room) : NULL;
    if (!data) return dbk_fail(err, DBK_NO_MEMORY, "no memory for %zu bytes", size);
    memset(data, 'd', room);
    dbk_result result = make_raw_file(b, data, size, err);
    if (result == DBK_OK) result = write_raw(b, data, size, false, &f->raw_per_second, err);
    if (result == DBK_OK && write_raw(b, data, size, true, &f->raw_per_second, err) != DBK_OK && err)
        *err = (dbk_error){0};
    b->port->free_aligned(b->port->ctx, data);
    return result;
}

/* ---- what is told */

static void show(const bench *b, const figure *figures, size_t count)
{
    bool json = dbk_cli_flag(b->cli, "json");
    if (json) printf("{\"ok\":true");
    else printf("%-34s %14s %14s %8s\n", "durable, projected commands/s", "store", "disk alone", "ratio");
    for (size_t i = 0; i < count; i++) {
        const figure *f = &figures[i];
        double raw = f->raw_per_second * f->group, ratio = raw > 0 ? f->per_second / raw : 0;
        if (json)
            printf(
                ",\"%s\":{\"commands_per_second\":%.0f,\"bytes_per_sync\":%llu,\"raw_per_second\":%.0f,\"ratio\":%.3f}",
                f->group == 1 ? "single" : "array", f->per_second, (unsigned long long)f->sync_bytes, raw, ratio);
        else printf("%-34s %14.0f %14.0f %8.3f\n", f->name, f->per_second, raw, ratio);
    }
    if (json) puts("}");
    else
        printf("\ndisk alone: synced writes of the bytes that the store wrote for each message (%llu and %llu), times "
               "the\n"
               "commands in one; the faster of fdatasync and direct synced writes\n",
               (unsigned long long)figures[0].sync_bytes, (unsigned long long)figures[1].sync_bytes);
}

static int run(dbk_cli *cli)
{
    figure figures[] = {{.name = "one after the other", .group = 1}, {.name = "in arrays of 64", .group = ARRAY}};
    enum { COUNT = sizeof figures / sizeof *figures };
    bench b = {.cli = cli, .port = cli->port};
    dbk_error err = {0};
    dbk_buffer_init(&b.path, cli->port);
    dbk_signals_hold(); /* the folder is removed on an interrupt too */
    dbk_result result = make_folder(&b, cli->args.word_count ? cli->args.words[0] : ".", &err);
    if (result == DBK_OK) result = measure_stores(&b, figures, COUNT, &err);
    for (size_t i = 0; result == DBK_OK && i < COUNT; i++) result = measure_raw(&b, &figures[i], &err);
    remove_folder(&b);
    dbk_buffer_release(&b.path);
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    if (dbk_signals_came(0)) return DBK_EXIT_FAILED;
    show(&b, figures, COUNT);
    return DBK_EXIT_DONE;
}

static const dbk_cli_option options[] = {{"json", 0, NULL, "answers with one JSON object"}, {0}};
const dbk_cli_command dbk_cmd_bench = {
    "bench",
    "[FOLDER]",
    "measures this machine: a store's commands beside its disk",
    "Makes a store in a new folder inside FOLDER (default: here), removes it afterwards, and takes about eight\n"
    "seconds. The ratio is the share of what the disk could do alone with the same bytes in as many synced writes.",
    "bench\nbench /var/lib/notes --json",
    options,
    1,
    run,
};
