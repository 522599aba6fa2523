/* daybook init: a new store from an app definition. */
#include "cli/cli.h"

static void put_made(const dbk_port *port, const char *path, bool json)
{
    dbk_buffer line;
    dbk_buffer_init(&line, port);
    if (json) {
        dbk_buffer_put_text(&line, "{\"ok\":true,\"store\":");
        dbk_cli_put_path(&line, path);
        dbk_buffer_put_u8(&line, '}');
    } else {
        dbk_buffer_printf(&line, "made store '%s'", path);
    }
    (void)dbk_out_built_line(&line);
    dbk_buffer_release(&line);
}

static int run(dbk_cli *cli)
{
    const char *app = dbk_cli_value(cli, "app");
    dbk_options options = {.force_fs = dbk_cli_flag(cli, "force-fs"),
                           .force_location = dbk_cli_flag(cli, "force-location")};
    dbk_error err = {0};
    dbk_text report = {0};
    if (cli->args.word_count != 1) return dbk_cli_usage(cli, "name the store to make");
    if (!app) return dbk_cli_usage(cli, "name the app definition with '--app'");
    dbk_result result = dbk_create(cli->args.words[0], app, &options, &report, &err);
    if (report.size > 0) fwrite(report.data, 1, report.size, stderr);
    dbk_text_free(&report);
    if (result == DBK_SCHEMA && dbk_cli_flag(cli, "json"))
        dbk_error_hint(&err, "'daybook check %s --json' lists them", app);
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    put_made(cli->port, cli->args.words[0], dbk_cli_flag(cli, "json"));
    return DBK_EXIT_DONE;
}

static const dbk_cli_option options[] = {
    {"app", 0, "FOLDER|FILE", "the app definition: a folder, or one schema.sql"},
    {"force-fs", 0, NULL, "also on a network or FUSE file system"},
    {"force-location", 0, NULL, "the same, and in a folder that a cloud's client synchronizes"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_init = {
    "init",
    "STORE --app FOLDER|FILE",
    "makes a store from an app definition",
    "The definition is checked whole first: every error is shown with its place and what to write instead.\n"
    "An existing store is refused.",
    "init notes.daybook --app schema.sql\ninit notes.daybook --app app/",
    options,
    1,
    run,
};
