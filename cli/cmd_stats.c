/* daybook stats and daybook rebuild: one request each. */
#include "cli/cli.h"

static int ask_and_show(dbk_cli *cli, dbk_cli_target *target, const char *text)
{
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    dbk_buffer request;
    int status = DBK_EXIT_DONE;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, text);
    dbk_result result = dbk_cli_ask(target, &request, &answer, &err);
    if (result != DBK_OK) status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    else if (dbk_cli_flag(cli, "json")) dbk_out_line(dbk_slice_of(answer.text.data, answer.text.size));
    else dbk_out_members(answer.root);
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
    return status;
}

static int run_stats(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_READ, &target);
    if (status) return status;
    status = ask_and_show(cli, &target, "{\"do\":\"stats\"}");
    dbk_cli_close(&target);
    return status;
}

static int rebuild_here(dbk_cli *cli, dbk_cli_target *target)
{
    dbk_error err = {0};
    dbk_bar bar;
    dbk_bar_begin(&bar, cli->port, "rebuilding", "entries");
    dbk_result result = dbk_engine_rebuild(target->engine, dbk_bar_update, &bar, &err);
    dbk_bar_end(&bar);
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    return ask_and_show(cli, target, "{\"do\":\"fingerprint\"}");
}

static int run_rebuild(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used, words = cli->args.word_count;
    const char *model = words > 1 ? cli->args.words[1] : "main";
    if (strcmp(model, "main") != 0) return dbk_cli_usage(cli, "there is no model '%s'; this version has 'main'", model);
    int status = dbk_cli_store_word(cli, words > 0, &target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_WRITE, &target);
    if (status) return status;
    status = target.engine ? rebuild_here(cli, &target) : ask_and_show(cli, &target, "{\"do\":\"rebuild\"}");
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {{"json", 0, NULL, "answers with one JSON object"}, {0}};
const dbk_cli_command dbk_cmd_stats = {
    "stats", "[STORE|URL]", "prints sizes and counts of a store", "", "stats notes.daybook\nstats --json", options, 1, run_stats,
};
const dbk_cli_command dbk_cmd_rebuild = {
    "rebuild", "[STORE|URL] [MODEL]", "builds the read model anew from the log",
    "The old model serves until the new one is complete. Subscribers are told to begin anew.",
    "rebuild notes.daybook\nrebuild notes.daybook main --json", options, 2, run_rebuild,
};
