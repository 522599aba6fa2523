/* daybook doctor: what this machine, or this store's place, means for a store, with advice. */
#include "cli/cli.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>

enum { SYNC_PROBES = 50, SYNC_BYTES = 4096, FILES_WANTED = 1024, SLOW_SYNC_MS = 20 };

typedef struct report {
    dbk_buffer members; /* "name":value,… */
    dbk_buffer advice;  /* lines; in JSON texts of an array */
    size_t advice_count;
    bool json;
} report;

static void put_name(report *r, const char *name)
{
    const dbk_buffer *m = &r->members;
    bool first = m->size > 0 && m->data[m->size - 1] == '{';
    dbk_buffer_printf(&r->members, "%s\"%s\":", first ? "" : ",", name);
}

static void put_text(report *r, const char *name, const char *text)
{
    put_name(r, name);
    dbk_cli_put_path(&r->members, text);
}

static void put_number(report *r, const char *name, uint64_t value)
{
    put_name(r, name);
    dbk_json_put_u64(&r->members, value);
}

static void begin_object(report *r, const char *name)
{
    put_name(r, name);
    dbk_buffer_put_u8(&r->members, '{');
}
static void end_object(report *r)
{
    dbk_buffer_put_u8(&r->members, '}');
}

static void advise(report *r, const char *text)
{
    if (r->advice_count++) dbk_buffer_put_u8(&r->advice, r->json ? ',' : '\n');
    if (r->json) dbk_json_put_string(&r->advice, dbk_slice_text(text));
    else dbk_buffer_printf(&r->advice, "advice: %s", text);
}

static void machine(const dbk_cli *cli, report *r)
{
    struct rlimit files;
    struct utsname system;
    char boot[37] = "", text[192];
    put_text(r, "daybook", dbk_version());
    put_text(r, "sqlite", sqlite3_libversion());
    if (uname(&system) == 0) {
        snprintf(text, sizeof text, "%.60s %.60s %.60s", system.sysname, system.release, system.machine);
        put_text(r, "system", text);
    }
    if (cli->port->boot_id(cli->port->ctx, boot) == 0) put_text(r, "boot", boot);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        put_number(r, "open_files_limit", files.rlim_cur);
        if (files.rlim_cur < FILES_WANTED)
            advise(r, "raise the limit of open files (ulimit -n 1024): a daemon with many clients needs them");
    }
}

/* What a command, a query and a definition may be at most. */
static void limits(report *r)
{
    begin_object(r, "limits");
    put_number(r, "command_bytes", DBK_COMMAND_MAX_BYTES);
    put_number(r, "batch_bytes", DBK_BATCH_MAX_BYTES);
    put_number(r, "batch_commands", DBK_BATCH_MAX_COMMANDS);
    put_number(r, "command_id_bytes", DBK_COMMAND_ID_MAX_BYTES);
    put_number(r, "json_depth", DBK_JSON_DEPTH_MAX);
    put_number(r, "json_members", DBK_JSON_MEMBERS_MAX);
    put_number(r, "key_bytes", DBK_KEY_MAX_BYTES);
    put_number(r, "stream_bytes", DBK_STREAM_MAX_BYTES);
    put_number(r, "tables", DBK_TABLES_MAX);
    put_number(r, "columns", DBK_COLUMNS_MAX);
    put_number(r, "definition_file_bytes", DBK_SOURCE_MAX_BYTES);
    put_number(r, "entry_rows", DBK_ENTRY_ROWS_MAX);
    put_number(r, "entry_written_mib", DBK_ENTRY_WRITTEN_MAX_MIB);
    put_number(r, "query_ms", DBK_QUERY_MAX_MS);
    put_number(r, "query_memory_mib", DBK_QUERY_MAX_MIB);
    put_number(r, "answer_bytes", DBK_ANSWER_MAX_BYTES);
    put_number(r, "answer_rows", DBK_ANSWER_MAX_ROWS);
    end_object(r);
}

/* A folder where a store, a temporary file or a socket would be. */
static void look_at(const dbk_port *port, const char *name, const char *path, report *r)
{
    dbk_dir *dir = NULL;
    dbk_space space;
    dbk_error err = {0};
    begin_object(r, name);
    put_text(r, "path", path);
    if (dbk_io_open_dir(port, NULL, path, 0, &dir, &err) != DBK_OK) {
        put_text(r, "problem", err.text);
    } else if (port->space(port->ctx, dir, &space) == 0) {
        put_text(r, "file_system", space.fs_name);
        put_number(r, "free_bytes", space.free_bytes);
        put_text(r, "holds_stores", space.suits_live_store ? "yes" : "no");
    }
    end_object(r);
    if (dir) port->close_dir(port->ctx, dir);
}

static void places(const dbk_port *port, report *r)
{
    const char *temporary = getenv("TMPDIR"), *sockets = getenv("XDG_RUNTIME_DIR");
    look_at(port, "here", ".", r);
    look_at(port, "temporary", temporary && *temporary ? temporary : "/tmp", r);
    look_at(port, "sockets", sockets && *sockets == '/' ? sockets : "/tmp", r);
}

/* Time of one write that is on the disk when it returns, in the store's own file system; the file is gone
 * afterwards. */
static dbk_result probe_sync(const dbk_port *port, dbk_dir *dir, uint64_t *per_second, dbk_error *err)
{
    static const char name[] = "doctor.tmp";
    uint8_t block[SYNC_BYTES] = {0};
    dbk_file *file = NULL;
    dbk_result result =
        dbk_io_open(port, dir, name, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &file, err);
    if (result != DBK_OK) return result;
    result = dbk_io_write(port, file, name, 0, block, sizeof block, err);
    if (result == DBK_OK) result = dbk_io_sync(port, file, name, err);
    int64_t begin = port->monotonic_ns(port->ctx);
    for (int i = 0; result == DBK_OK && i < SYNC_PROBES; i++) {
        result = dbk_io_write(port, file, name, 0, block, sizeof block, err);
        if (result == DBK_OK) result = dbk_io_sync(port, file, name, err);
    }
    int64_t taken = port->monotonic_ns(port->ctx) - begin;
    *per_second = taken > 0 ? (uint64_t)(SYNC_PROBES * 1000000000LL / taken) : 0;
    port->close_file(port->ctx, file);
    (void)port->unlink(port->ctx, dir, name);
    return result;
}

static void advise_error(const dbk_error *err, report *r)
{
    char text[sizeof err->text + sizeof err->hint + 4];
    snprintf(text, sizeof text, "%s%s%s", err->text, err->hint[0] ? ": " : "", err->hint);
    advise(r, text);
}

static void advise_room(const dbk_space *space, report *r)
{
    uint64_t min_free, alert_free;
    char text[160];
    dbk_disk_levels(NULL, space->total_bytes, &min_free, &alert_free);
    put_number(r, "min_free_bytes", min_free);
    put_number(r, "alert_free_bytes", alert_free);
    const char *state =
        space->free_bytes < min_free ? "are refused with no_space now" : "will be refused with no_space soon";
    snprintf(text, sizeof text, "only %llu MiB are free: commands %s; make room",
             (unsigned long long)(space->free_bytes >> 20), state);
    if (space->free_bytes < alert_free) advise(r, text);
}

static void place(const dbk_port *port, dbk_dir *dir, report *r)
{
    dbk_space space;
    dbk_error err = {0};
    uint64_t syncs = 0;
    if (port->space(port->ctx, dir, &space) == 0) {
        put_text(r, "file_system", space.fs_name);
        put_number(r, "free_bytes", space.free_bytes);
        put_number(r, "sector_bytes", space.sector_bytes);
        advise_room(&space, r);
    }
    if (dbk_location_check(port, dir, false, false, &err) != DBK_OK) advise_error(&err, r);
    memset(&err, 0, sizeof err);
    if (probe_sync(port, dir, &syncs, &err) == DBK_OK) {
        put_number(r, "synced_writes_per_second", syncs);
        if (syncs < 1000 / SLOW_SYNC_MS)
            advise(r, "a sync takes over 20 ms here: send commands in arrays, or with \"wait\":\"accepted\"");
    } else if (err.code == DBK_READ_ONLY) {
        put_text(r, "writable", "no");
        advise(r, "nothing can be written here: query, log, stats, verify, fingerprint and replay work, serve and send "
                  "do not");
    } else {
        advise_error(&err, r);
    }
}

/* Whether the next writer will give it a name of its own. */
static void origin(const dbk_port *port, dbk_dir *dir, report *r)
{
    bool copy = false;
    dbk_error err = {0};
    bool known = dbk_place_is_copy(port, dir, &copy, &err) == DBK_OK;
    put_text(r, "copied", !known ? err.text : copy ? "yes" : "no");
    if (copy)
        advise(
            r,
            "this folder is a copy, or was put back from one: its next writer begins a new incarnation and timeline");
}

static void file_text(const dbk_port *port, dbk_dir *dir, const char *file, const char *member, report *r)
{
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    if (dbk_io_read_file(port, dir, file, 64 * 1024, &text, NULL) == DBK_OK && text.size > 0) {
        while (text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == ' ')) text.size--;
        if (dbk_buffer_text(&text) && dbk_utf8_valid(dbk_buffer_slice(&text)))
            put_text(r, member, (const char *)text.data);
    }
    dbk_buffer_release(&text);
}

/* Whether somebody writes to it: the lock is tried and given back. */
static void holder(const dbk_port *port, const char *path, dbk_dir *dir, report *r)
{
    dbk_error err = {0};
    dbk_lock *lock = NULL;
    dbk_buffer url;
    dbk_identity identity;
    dbk_buffer_init(&url, port);
    bool found = dbk_bus_find(port, path, &url, NULL) == DBK_OK && dbk_buffer_text(&url);
    if (port->identify(port->ctx, dir, "LOCK", &identity) == 0) {
        dbk_result result = dbk_lock_take(port, dir, "LOCK", &lock, &err);
        put_text(r, "lock", result == DBK_OK ? "free" : err.text);
        dbk_lock_release(lock);
    }
    if (found) put_text(r, "daemon", (const char *)url.data);
    else if (err.code == DBK_LOCKED)
        advise(r, "a process that is no daemon has the store open: only reading works beside it");
    file_text(port, dir, "run.json", "run", r);
    dbk_buffer_release(&url);
}

/* What a daemon's scrub has last left in the log's folder. */
static void scrub(const dbk_port *port, dbk_dir *dir, report *r)
{
    dbk_dir *log = NULL;
    dbk_scrub_state found;
    char time[DBK_TIME_TEXT_SIZE];
    if (dbk_io_open_dir(port, dir, "log", 0, &log, NULL) != DBK_OK) return;
    if (dbk_scrub_read(port, log, &found, NULL) == DBK_OK) {
        dbk_time_rfc3339(found.last_full_ms, time);
        put_text(r, "scrubbed", found.last_full_ms ? time : "not yet once through");
        put_number(r, "scrub_faults", found.faults);
        if (found.fault[0]) {
            put_text(r, "scrub_fault", found.fault);
            advise(
                r,
                "the scrub found damage in the log: 'daybook verify' lists it all; --repair-from mends it from a copy");
        }
    }
    port->close_dir(port->ctx, log);
}

typedef struct models {
    const dbk_port *port;
    dbk_dir *dir;
    report *r;
    bool failed, unbuilt;
} models;

/* `current` names a folder that is there. */
static bool has_file(const dbk_port *port, dbk_dir *folder)
{
    enum { SERIAL_DIGITS = 8 };
    char serial[SERIAL_DIGITS + 1] = "";
    dbk_dir *dir = NULL;
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    if (dbk_io_read_file(port, folder, "current", 64, &text, NULL) == DBK_OK && text.size >= SERIAL_DIGITS)
        memcpy(serial, text.data, SERIAL_DIGITS);
    dbk_buffer_release(&text);
    if (strspn(serial, "0123456789") != SERIAL_DIGITS || dbk_io_open_dir(port, folder, serial, 0, &dir, NULL) != DBK_OK)
        return false;
    port->close_dir(port->ctx, dir);
    return true;
}

/* What the thread of an async model has last left in its folder. */
static int note_model(void *arg, const char *name)
{
    models *m = arg;
    dbk_dir *folder = NULL;
    dbk_buffer text;
    char member[96];
    if (!dbk_cli_is_async_folder(name)) return 0;
    if (dbk_io_open_dir(m->port, m->dir, name, 0, &folder, NULL) != DBK_OK) return 0;
    dbk_buffer_init(&text, m->port);
    if (dbk_io_read_file(m->port, folder, "state", 16 * 1024, &text, NULL) == DBK_OK && dbk_buffer_text(&text))
        m->failed |= strstr((const char *)text.data, "\"failed\":") != NULL;
    dbk_buffer_release(&text);
    snprintf(member, sizeof member, "model_%s", name + 6);
    file_text(m->port, folder, "state", member, m->r);
    if (!has_file(m->port, folder)) {
        snprintf(member, sizeof member, "model_%s_file", name + 6);
        put_text(m->r, member, "not built");
        m->unbuilt = true;
    }
    m->port->close_dir(m->port->ctx, folder);
    return 0;
}

static void async_models(const dbk_port *port, dbk_dir *dir, report *r)
{
    models m = {.port = port, .r = r};
    if (dbk_io_open_dir(port, dir, "models", 0, &m.dir, NULL) != DBK_OK) return;
    (void)port->list(port->ctx, m.dir, note_model, &m);
    port->close_dir(port->ctx, m.dir);
    if (m.failed)
        advise(r, "an async model stopped at an entry that it refuses: 'daybook model list' says where and why");
    if (m.unbuilt)
        advise(r,
               "an async model has no file: whoever next opens the store to write builds it, and 'daybook model list' "
               "says how far that is");
}

typedef struct asides {
    report *r;
    size_t count;
} asides;

static void note_aside(void *arg, const char *path)
{
    asides *a = arg;
    if (a->count++ == 0) put_name(a->r, "aside");
    dbk_buffer_put_u8(&a->r->members, a->count == 1 ? '[' : ',');
    dbk_json_put_string(&a->r->members, dbk_slice_text(path));
}

static void put_asides(const dbk_port *port, dbk_dir *dir, report *r)
{
    asides a = {.r = r};
    dbk_aside_each(port, dir, note_aside, &a);
    if (a.count == 0) return;
    dbk_buffer_put_u8(&r->members, ']');
    advise(r, "what is none of Daybook's lay where it keeps a cache, and was renamed: take it to another folder, or "
              "remove it");
}

static int examine_store(const dbk_cli *cli, const char *path, report *r)
{
    const dbk_port *port = cli->port;
    dbk_dir *dir = NULL;
    dbk_identity identity;
    dbk_error err = {0};
    if (dbk_io_open_dir(port, NULL, path, 0, &dir, &err) != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_STORE);
    if (port->identify(port->ctx, dir, "daybook.json", &identity) != 0 &&
        port->identify(port->ctx, dir, "log", &identity) != 0) {
        port->close_dir(port->ctx, dir);
        dbk_fail(&err, DBK_MISSING, "'%s' is no store: it has neither 'daybook.json' nor 'log'", path);
        return dbk_cli_fail(&err, DBK_EXIT_STORE);
    }
    put_text(r, "store", path);
    place(port, dir, r);
    holder(port, path, dir, r);
    origin(port, dir, r);
    scrub(port, dir, r);
    async_models(port, dir, r);
    put_asides(port, dir, r);
    port->close_dir(port->ctx, dir);
    return DBK_EXIT_DONE;
}

static int show(const dbk_cli *cli, report *r)
{
    dbk_error err = {0};
    const dbk_json_node *root;
    if (r->json) dbk_buffer_printf(&r->members, ",\"advice\":[%.*s]", DBK_SLICE_ARG(dbk_buffer_slice(&r->advice)));
    dbk_buffer_put_u8(&r->members, '}');
    dbk_json_parser *parser = dbk_json_parser_new(cli->port);
    dbk_result result = parser && !r->members.failed && !r->advice.failed
                            ? dbk_json_parse(parser, dbk_buffer_slice(&r->members), &root, &err)
                            : dbk_fail(&err, DBK_NO_MEMORY, "no memory for the report");
    if (result == DBK_OK && r->json) dbk_out_line(dbk_buffer_slice(&r->members));
    else if (result == DBK_OK) dbk_out_members(root);
    if (result == DBK_OK && !r->json && r->advice.size) dbk_out_line(dbk_buffer_slice(&r->advice));
    dbk_json_parser_free(parser);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_FAILED);
}

static int run(dbk_cli *cli)
{
    report r = {.json = dbk_cli_flag(cli, "json")};
    const char *path = cli->args.word_count > 0 ? cli->args.words[0] : NULL;
    int status = DBK_EXIT_DONE;
    if (path && dbk_cli_is_url(path)) return dbk_cli_usage(cli, "doctor looks at a store's folder, not at '%s'", path);
    dbk_buffer_init(&r.members, cli->port);
    dbk_buffer_init(&r.advice, cli->port);
    dbk_buffer_put_text(&r.members, "{\"ok\":true");
    machine(cli, &r);
    if (path) {
        status = examine_store(cli, path, &r);
    } else {
        places(cli->port, &r);
        limits(&r);
    }
    if (status == DBK_EXIT_DONE) status = show(cli, &r);
    dbk_buffer_release(&r.members);
    dbk_buffer_release(&r.advice);
    return status;
}

static const dbk_cli_option options[] = {{"json", 0, NULL, "answers with one JSON object"}, {0}};
const dbk_cli_command dbk_cmd_doctor = {
    "doctor",
    "[STORE]",
    "looks at this machine, or at a store's place, and advises",
    "Without a store: versions, limits, and the file systems of this folder, of temporary files and of sockets.\n"
    "With one: its file system, lock and daemon, and how long a sync takes there; for that it writes and removes\n"
    "a small file in the store's folder.",
    "doctor\ndoctor notes.daybook --json",
    options,
    1,
    run,
};
