/* The table of commands and the rules for all of them. */
#include "cli/cli.h"

#include <assert.h>

const dbk_cli_command *const dbk_cli_commands[] = {
    &dbk_cmd_init,
    &dbk_cmd_check,
    &dbk_cmd_upgrade,
    &dbk_cmd_serve,
    &dbk_cmd_send,
    &dbk_cmd_query,
    &dbk_cmd_log,
    &dbk_cmd_history,
    &dbk_cmd_explain,
    &dbk_cmd_diff,
    &dbk_cmd_undo,
    &dbk_cmd_set,
    &dbk_cmd_get,
    &dbk_cmd_unset,
    &dbk_cmd_reset,
    &dbk_cmd_watch,
    &dbk_cmd_inbox,
    &dbk_cmd_model,
    &dbk_cmd_replay,
    &dbk_cmd_rebuild,
    &dbk_cmd_fingerprint,
    &dbk_cmd_verify,
    &dbk_cmd_salvage,
    &dbk_cmd_stats,
    &dbk_cmd_doctor,
    &dbk_cmd_types,
    &dbk_cmd_import,
    &dbk_cmd_bench,
    &dbk_cmd_help,
    &dbk_cmd_version,
    NULL,
};
enum { COMMANDS_MAX = 64 };

/* Named in the interface, part of a later version. */
static const char *const later[] = {
    "secret", "key", "erase", "snapshot", "restore", "sync", "export", "metrics",
};

const char *dbk_cli_value(const dbk_cli *cli, const char *option)
{
    for (size_t i = 0; cli->command->options[i].name; i++) {
        if (strcmp(cli->command->options[i].name, option) == 0) return cli->args.values[i];
    }
    assert(false && "an option that the command's table has");
    return NULL;
}

static const dbk_cli_command *find(const char *name)
{
    for (size_t i = 0; dbk_cli_commands[i]; i++) {
        if (strcmp(dbk_cli_commands[i]->name, name) == 0) return dbk_cli_commands[i];
    }
    return NULL;
}

static int no_such(const char *name)
{
    const char *names[COMMANDS_MAX];
    size_t count = 0;
    dbk_error err = {0};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (strcmp(later[i], name) != 0) continue;
        dbk_fail(&err, DBK_USAGE, "'%s' comes with a later version", name);
        dbk_error_hint(&err, "this is version %s; 'daybook help' lists what it has", dbk_version());
        return dbk_cli_fail(&err, DBK_EXIT_USAGE);
    }
    for (size_t i = 0; dbk_cli_commands[i] && count < COMMANDS_MAX; i++) names[count++] = dbk_cli_commands[i]->name;
    const char *near = dbk_nearest(dbk_slice_text(name), names, count);
    if (near) dbk_fail(&err, DBK_USAGE, "unknown command '%s'; did you mean '%s'?", name, near);
    else dbk_fail(&err, DBK_USAGE, "unknown command '%s'", name);
    dbk_error_hint(&err, "'daybook help' lists the commands");
    return dbk_cli_fail(&err, DBK_EXIT_USAGE);
}

static bool has_option(int argc, char **argv, const char *name, const char *letter)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], name) == 0 || (letter && strcmp(argv[i], letter) == 0)) return true;
    }
    return false;
}

static int run(const dbk_cli_command *command, int argc, char **argv)
{
    dbk_cli cli = {.port = dbk_port_system(), .command = command};
    dbk_error err = {0};
    if (has_option(argc, argv, "--help", "-h")) return dbk_help_command(command, stdout), DBK_EXIT_DONE;
    if (dbk_cli_parse(command->options, argc, argv, &cli.args, &err) != DBK_OK)
        return dbk_cli_usage(&cli, "%s", err.text);
    if (cli.args.word_count > command->words_max)
        return dbk_cli_usage(&cli, "'%s' is one word too many", cli.args.words[command->words_max]);
    return command->run(&cli);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) return dbk_help_all(stderr), DBK_EXIT_USAGE;
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    if (strcmp(name, "--version") == 0) name = "version";
    /* What is wrong with the options themselves is told in the form that was asked for, too. */
    if (has_option(argc - 2, argv + 2, "--json", NULL)) dbk_cli_fail_in_json();
    const dbk_cli_command *command = find(name);
    return command ? run(command, argc - 2, argv + 2) : no_such(name);
}

static int run_help(dbk_cli *cli)
{
    if (cli->args.word_count == 0) return dbk_help_all(stdout), DBK_EXIT_DONE;
    const dbk_cli_command *command = find(cli->args.words[0]);
    if (!command) return no_such(cli->args.words[0]);
    dbk_help_command(command, stdout);
    return DBK_EXIT_DONE;
}

static int run_version(dbk_cli *cli)
{
    if (dbk_cli_flag(cli, "json")) printf("{\"ok\":true,\"version\":\"%s\"}\n", dbk_version());
    else printf("daybook %s\n", dbk_version());
    return DBK_EXIT_DONE;
}

static const dbk_cli_option help_options[] = {{0}};
const dbk_cli_command dbk_cmd_help = {
    "help",
    "[COMMAND]",
    "shows the commands, or all about one",
    "The same as '--help' behind the command.",
    "help\nhelp query",
    help_options,
    1,
    run_help,
};
static const dbk_cli_option version_options[] = {{"json", 0, NULL, "answers with one JSON object"}, {0}};
const dbk_cli_command dbk_cmd_version = {
    "version", "", "prints the version", "", "version\nversion --json", version_options, 0, run_version,
};

int main(int argc, char **argv)
{
    dbk_signals_as_errors();
    return dbk_out_finish(dispatch(argc, argv));
}
