/* daybook serve: the daemon. It opens the store (and so holds its lock) before it touches a socket, tells
 * its addresses, and closes in the reverse order when a signal asks for it. */
#include "cli/cli.h"

enum { SCRUB_MIB = 2, SCRUB_MIB_MAX = 100000 };

static bool put_addresses(const dbk_bus *bus, bool json)
{
    bool good = true;
    if (json) {
        dbk_buffer line;
        dbk_buffer_init(&line, dbk_port_system());
        dbk_buffer_put_text(&line, "{\"ok\":true,\"commands\":");
        dbk_json_put_string(&line, dbk_slice_text(dbk_bus_commands_url(bus)));
        dbk_buffer_put_text(&line, ",\"changes\":");
        dbk_json_put_string(&line, dbk_slice_text(dbk_bus_changes_url(bus)));
        dbk_buffer_put_text(&line, ",\"ready\":true}");
        good = dbk_out_built_line(&line);
        dbk_buffer_release(&line);
    } else {
        printf("commands  %s\nchanges   %s\nready\n", dbk_bus_commands_url(bus), dbk_bus_changes_url(bus));
    }
    (void)dbk_out_flush(); /* whoever waits for the word has to get it; if nobody does, we serve all the same */
    return good;
}

static int serve(const dbk_cli *cli, dbk_engine *engine, dbk_store *store, const char *path)
{
    dbk_error err = {0};
    dbk_bus *bus = NULL;
    dbk_bus_options options = {.port = cli->port, .listen = dbk_cli_value(cli, "listen")};
    if (dbk_bus_start(engine, store, path, &options, &bus, &err) != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    if (put_addresses(bus, dbk_cli_flag(cli, "json"))) {
        dbk_service_notify("READY=1");
        dbk_signals_wait();
        dbk_service_notify("STOPPING=1");
    }
    dbk_bus_stop(bus);
    return DBK_EXIT_DONE;
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    dbk_error err = {0};
    if (dbk_cli_flag(cli, "web")) return dbk_cli_usage(cli, "'--web' comes with a later version");
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (status) return status;
    const char *path = target.path ? target.path : target.found, *listen = dbk_cli_value(cli, "listen");
    if (dbk_cli_is_url(path)) return dbk_cli_usage(cli, "serve takes a store's folder, not '%s'", path);
    if (listen && strncmp(listen, "ipc://", 6) != 0)
        return dbk_cli_usage(cli, "'%s' is no address of the form ipc://PATH", listen);
    dbk_signals_hold();
    dbk_port_return_memory();
    dbk_bar bar;
    dbk_bar_begin(&bar, cli->port, "building the model", "entries");
    uint64_t rate = SCRUB_MIB;
    const char *scrub = dbk_cli_value(cli, "scrub");
    if (scrub && (dbk_cli_position(scrub, "--scrub", &rate, &err) != DBK_OK || rate > SCRUB_MIB_MAX))
        return dbk_cli_usage(cli, "'%s' is no rate for --scrub: MiB/s, 0 to %d", scrub, SCRUB_MIB_MAX);
    dbk_engine_options options = {.scrub_bytes_per_second = rate * 1024 * 1024,
                                  .force_fs = dbk_cli_flag(cli, "force-fs"),
                                  .force_location = dbk_cli_flag(cli, "force-location"),
                                  .progress = dbk_bar_update,
                                  .progress_arg = &bar};
    dbk_engine *engine = NULL;
    dbk_store *store = NULL;
    dbk_result result = dbk_engine_open(path, &options, &engine, &err);
    dbk_bar_end(&bar);
    if (result == DBK_OK) {
        result = dbk_engine_wrap(engine, &store, &err);
        if (result != DBK_OK) dbk_engine_close(engine);
    }
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_STORE);
    status = serve(cli, engine, store, path);
    dbk_close(store);
    return status;
}

static const dbk_cli_option options[] = {
    {"listen", 0, "ipc://PATH", "where commands are taken; default: a folder of $XDG_RUNTIME_DIR"},
    {"web", 0, "ADDRESS:PORT", "the gateway for browsers (comes with a later version)"},
    {"scrub", 0, "MIB", "reads ended segments again at so many MiB/s; default: 2, 0: does not"},
    {"force-fs", 0, NULL, "also on a network or FUSE file system"},
    {"force-location", 0, NULL, "the same, and in a folder that a cloud's client synchronizes"},
    {"json", 0, NULL, "the addresses as one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_serve = {
    "serve",
    "[STORE] [--listen ipc://PATH]",
    "runs the daemon: commands in, changes out",
    "Prints its addresses and 'ready' when it serves. SIGTERM and SIGINT close the store cleanly. Under systemd\n"
    "use Type=notify. In the background it reads the ended segments of the log again; 'daybook stats' and\n"
    "'daybook doctor' tell what it found.",
    "serve notes.daybook\nserve notes.daybook --listen ipc:///run/notes/commands",
    options,
    1,
    run,
};
