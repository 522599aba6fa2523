/* daybook verify: reads every byte of the log on disk, beside a daemon or not, and changes nothing (but
 * with --repair-from).
 *
 * A batch that a daemon is writing can look like a fault. While somebody has the lock, what is found is
 * looked for again, and only what stays is told. */
#include "cli/verify_parts.h"

enum { PASSES_MAX = 4 };

typedef struct verification {
    const dbk_cli *cli;
    dbk_buffer faults; /* lines as they will be printed */
    dbk_buffer mended; /* likewise, of --repair-from */
    dbk_buffer asides; /* what was in the way of a cache and was renamed: as JSON, or each with a NUL behind it */
    const char *repair_from;
    uint64_t count;
    bool json;
    dbk_bar bar;
    dbk_log_report report;
    dbk_verify_depth depth;
} verification;

static void note(void *arg, const dbk_verify_fault *fault)
{
    verification *v = arg;
    dbk_buffer *out = &v->faults;
    v->count++;
    if (v->json) {
        dbk_buffer_printf(out, "%s{\"error\":\"%s\",\"file\":", v->count > 1 ? "," : "", fault->error);
        dbk_json_put_string(out, dbk_slice_text(fault->file));
        dbk_buffer_printf(out, ",\"offset\":%llu,\"law\":%u", (unsigned long long)fault->offset, fault->law);
        if (fault->first_position)
            dbk_buffer_printf(out, ",\"first_position\":%llu,\"last_position\":%llu",
                              (unsigned long long)fault->first_position, (unsigned long long)fault->last_position);
        dbk_buffer_put_text(out, ",\"message\":");
        dbk_json_put_string(out, dbk_slice_text(fault->text));
        dbk_buffer_put_u8(out, '}');
        return;
    }
    dbk_buffer_printf(out, "%s: %s at offset %llu", fault->file, fault->error, (unsigned long long)fault->offset);
    if (fault->first_position)
        dbk_buffer_printf(out, ", positions %llu to %llu", (unsigned long long)fault->first_position,
                          (unsigned long long)fault->last_position);
    dbk_buffer_printf(out, ": %s (L%u)\n", fault->text, fault->law);
}

static void note_log(void *arg, const dbk_log_fault *fault)
{
    char file[128];
    snprintf(file, sizeof file, "log/%s", fault->file ? fault->file : "");
    note(arg, &(dbk_verify_fault){dbk_result_name(fault->code), file, fault->offset, fault->first_position,
                                  fault->last_position, fault->text ? fault->text : "", fault->law});
}

/* No fault: it is told so that somebody looks whether it can go. */
static void note_aside(void *arg, const char *path)
{
    verification *v = arg;
    if (v->json && v->asides.size > 0) dbk_buffer_put_u8(&v->asides, ',');
    if (v->json) dbk_json_put_string(&v->asides, dbk_slice_text(path));
    else dbk_buffer_put(&v->asides, path, strlen(path) + 1);
}

static void forward(void *arg, uint64_t done, uint64_t all)
{
    verification *v = arg;
    dbk_bar_update(&v->bar, done, all);
}

/* One look at everything. */
static dbk_result look(verification *v, const char *path, dbk_dir *store, dbk_error *err)
{
    const dbk_port *port = v->cli->port;
    dbk_log_options options = {0};
    dbk_dir *log = NULL;
    char file[DBK_VERIFY_FILE_SIZE];
    dbk_log_watcher watcher = {.arg = v, .fault = note_log, .progress = forward};
    dbk_buffer_clear(&v->faults);
    dbk_buffer_clear(&v->asides);
    dbk_aside_each(port, store, note_aside, v);
    v->count = 0;
    bool known = dbk_verify_identity(port, store, &options, note, v);
    dbk_result result = dbk_io_open_dir(port, store, "log", 0, &log, err);
    if (result == DBK_MISSING) {
        note(v, &(dbk_verify_fault){.error = dbk_result_name(DBK_LOST),
                                    .file = "log",
                                    .text = "the folder of the log is missing",
                                    .law = 1});
        result = DBK_OK;
    } else if (result == DBK_OK) {
        if (!known) dbk_verify_borrow_id(port, log, &options);
        dbk_bar_begin(&v->bar, port, "verifying", "bytes");
        result = dbk_log_verify(port, log, &options, v->depth, &watcher, &v->report, err);
        dbk_bar_end(&v->bar);
    }
    if (result == DBK_OK) dbk_verify_app(port, path, known ? log : NULL, &options, note, v, file);
    if (result == DBK_OK) dbk_verify_models(port, store, file, note, v);
    if (log) port->close_dir(port->ctx, log);
    return result;
}

static bool is_served(const dbk_port *port, const char *path)
{
    dbk_buffer url;
    dbk_buffer_init(&url, port);
    bool served = dbk_bus_find(port, path, &url, NULL) == DBK_OK;
    dbk_buffer_release(&url);
    return served;
}

static void show_json(const verification *v, const char *head)
{
    const dbk_log_report *r = &v->report;
    if (v->count)
        printf("{\"ok\":false,\"error\":\"corrupt\",\"class\":\"critical\",\"message\":\"%llu %s found\"",
               (unsigned long long)v->count, dbk_plural(v->count, "fault", "faults"));
    else printf("{\"ok\":true");
    printf(",\"depth\":\"%s\",\"entries\":%llu,\"batches\":%llu,\"segments\":%llu,\"bytes\":%llu,\"file_bytes\":%llu",
           v->depth == DBK_VERIFY_PROOF ? "proof" : "checksums", (unsigned long long)r->entries,
           (unsigned long long)r->batches, (unsigned long long)r->segments, (unsigned long long)r->bytes,
           (unsigned long long)r->file_bytes);
    if (v->depth == DBK_VERIFY_PROOF) printf(",\"head\":\"%s\"", head);
    if (v->repair_from) printf(",\"repairs\":[%.*s]", DBK_SLICE_ARG(dbk_buffer_slice(&v->mended)));
    if (v->asides.size) printf(",\"aside\":[%.*s]", DBK_SLICE_ARG(dbk_buffer_slice(&v->asides)));
    printf(",\"fault_count\":%llu,\"faults\":[", (unsigned long long)v->count);
    dbk_out(dbk_buffer_slice(&v->faults));
    puts("]}");
}

static void show(const verification *v)
{
    char head[2 * DBK_LEAF_SIZE + 1];
    const dbk_log_report *r = &v->report;
    dbk_hex_encode(dbk_slice_of(r->head, DBK_LEAF_SIZE), head);
    if (v->json) return show_json(v, head);
    dbk_out(dbk_buffer_slice(&v->mended));
    dbk_out(dbk_buffer_slice(&v->faults));
    printf("entries     %llu\nbatches     %llu\nsegments    %llu\nbytes       %llu\nfile_bytes  %llu\n",
           (unsigned long long)r->entries, (unsigned long long)r->batches, (unsigned long long)r->segments,
           (unsigned long long)r->bytes, (unsigned long long)r->file_bytes);
    if (v->depth == DBK_VERIFY_PROOF) printf("head        %s\n", head);
    for (size_t at = 0; at < v->asides.size; at += strlen((const char *)v->asides.data + at) + 1) {
        fputs("aside       ", stdout);
        dbk_out_shown(dbk_slice_text((const char *)v->asides.data + at), true); /* one line, whatever the name is */
        putchar('\n');
    }
    if (v->count) printf("%llu %s\n", (unsigned long long)v->count, dbk_plural(v->count, "fault", "faults"));
    else printf("no fault found\n");
}

/* A folder that is no store, or one of a newer format, has nothing that could be read through. */
static dbk_result check_kind(const dbk_port *port, dbk_dir *store, const char *path, dbk_error *err)
{
    dbk_identity identity;
    int64_t format = dbk_verify_format(port, store);
    dbk_result result = DBK_OK;
    if (format > DBK_STORE_FORMAT) {
        result = dbk_fail(err, DBK_VERSION, "store '%s' has format %lld, this Daybook reads %d", path,
                          (long long)format, DBK_STORE_FORMAT);
        dbk_error_hint(err, "verify it with a newer Daybook");
    } else if (port->identify(port->ctx, store, "daybook.json", &identity) != 0 &&
               port->identify(port->ctx, store, "log", &identity) != 0) {
        result = dbk_fail(err, DBK_MISSING, "'%s' is no store: it has neither 'daybook.json' nor 'log'", path);
    }
    return result;
}

static int verify(verification *v, const char *path)
{
    const dbk_port *port = v->cli->port;
    dbk_error err = {0};
    dbk_dir *store = NULL;
    dbk_result result = dbk_io_open_dir(port, NULL, path, 0, &store, &err);
    if (result != DBK_OK) {
        dbk_error_wrap(&err, result, "cannot open store '%s'", path);
        return dbk_cli_fail(&err, DBK_EXIT_STORE);
    }
    result = check_kind(port, store, path, &err);
    if (result == DBK_OK && v->repair_from)
        result = dbk_verify_repair(port, store, v->repair_from, v->json, &v->mended, &err);
    for (int pass = 0; result == DBK_OK && pass < PASSES_MAX; pass++) {
        result = look(v, path, store, &err);
        if (result != DBK_OK || v->count == 0 || !is_served(port, path)) break;
    }
    port->close_dir(port->ctx, store);
    if (result == DBK_OK && (v->faults.failed || v->mended.failed || v->asides.failed))
        result = dbk_fail(&err, DBK_NO_MEMORY, "no memory for the list of faults");
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_STORE);
    show(v);
    return v->count ? DBK_EXIT_FAILED : DBK_EXIT_DONE;
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    const char *depth = dbk_cli_value(cli, "depth");
    verification v = {.cli = cli, .json = dbk_cli_flag(cli, "json"), .depth = DBK_VERIFY_PROOF};
    if (depth && strcmp(depth, "checksums") == 0) v.depth = DBK_VERIFY_CHECKSUMS;
    else if (depth && strcmp(depth, "proof") != 0)
        return dbk_cli_usage(cli, "'%s' is no depth: checksums or proof", depth);
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (status) return status;
    const char *path = target.path ? target.path : target.found;
    if (dbk_cli_is_url(path))
        return dbk_cli_usage(cli, "verify reads the store's own files: name its folder instead of '%s'", path);
    v.repair_from = dbk_cli_value(cli, "repair-from");
    dbk_buffer_init(&v.faults, cli->port);
    dbk_buffer_init(&v.mended, cli->port);
    dbk_buffer_init(&v.asides, cli->port);
    status = verify(&v, path);
    dbk_buffer_release(&v.faults);
    dbk_buffer_release(&v.mended);
    dbk_buffer_release(&v.asides);
    return status;
}

static const dbk_cli_option options[] = {
    {"depth", 0, "checksums|proof", "how deep: checksums, or the hashes of all entries too (proof, the default)"},
    {"repair-from", 0, "DIR", "first mends damaged segments from a copy: a store, or a folder of segments"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_verify = {
    "verify",
    "[STORE] [--depth checksums|proof] [--repair-from DIR]",
    "reads every byte of a store and names every fault",
    "Works beside a daemon and changes nothing. Names file, offset and positions of each fault and which of the four\n"
    "laws it touches (L1 acknowledged entries are readable, L2 no hole and no invention, L3 refused where that fails,\n"
    "L4 what was seen stays), then the figures: 'bytes' are the records of the log,\n"
    "'file_bytes' all its files. Exit status 1 on any fault.\n"
    "With --repair-from nobody may have the store open. A segment is replaced only where this log proves the copy to\n"
    "be the one that was there; the damaged file stays beside it, and what is not proven is left as it is.\n"
    "Indexes, checkpoint and catalog of the log are looked at too; at the depth 'proof' they are held against the\n"
    "entries. None of them is a loss: 'daybook rebuild --index' has them made anew. Of a read model only its file is\n"
    "looked at: 'daybook fingerprint --recount' counts its rows anew and compares. 'aside' names what was in the way "
    "of a\n"
    "read model or image and was renamed: it is yours to look at and to delete.",
    "verify notes.daybook\nverify notes.daybook --depth checksums --json\nverify notes.daybook --repair-from "
    "backup/notes.daybook",
    options,
    1,
    run,
};
