/* daybook fingerprint: equal fingerprints mean equal models. */
#include "cli/cli.h"

static void put(const dbk_json_node *root, bool json)
{
    const dbk_json_node *position = dbk_json_member(root, "position"), *text = dbk_json_member(root, "fingerprint");
    if (!position || !text) return;
    if (json)
        printf("{\"ok\":true,\"position\":%.*s,\"fingerprint\":\"%.*s\"}\n", DBK_SLICE_ARG(position->text),
               DBK_SLICE_ARG(text->text));
    else printf("position     %.*s\nfingerprint  %.*s\n", DBK_SLICE_ARG(position->text), DBK_SLICE_ARG(text->text));
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    dbk_cli_answer answer = {0};
    dbk_moment at;
    dbk_error err = {0};
    size_t used;
    const char *when = dbk_cli_value(cli, "at"), *order = dbk_cli_value(cli, "order-time");
    if (dbk_cli_moment(when, "--at", order, &at, &err) != DBK_OK) return dbk_cli_usage(cli, "%s", err.text);
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (status) return status;
    /* A moment is folded anew from the log: that takes long in a big one, and needs no daemon. */
    bool past = when || order, url = target.path && dbk_cli_is_url(target.path);
    if (past) target.timeout_ms = DBK_CLI_LONG_MS;
    status = dbk_cli_open(cli, past && !url ? DBK_CLI_LOCAL : DBK_CLI_READ, &target);
    if (status) return status;
    dbk_buffer request;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, "{\"do\":\"fingerprint\"");
    dbk_moment_put(&request, &at);
    dbk_cli_put_model(cli, &request);
    dbk_buffer_put_u8(&request, '}');
    if (dbk_cli_ask(&target, &request, &answer, &err) == DBK_OK) put(answer.root, dbk_cli_flag(cli, "json"));
    else status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    dbk_buffer_release(&request);
    dbk_cli_answer_release(&answer);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {
    {"at", 0, "POS|TIME", "of the model at this position, or as this store showed it at this time"},
    {"order-time", 0, "TIME", "of what is known now to have happened by then"},
    {"model", 0, "MODEL", "of this model; default: main"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_fingerprint = {
    "fingerprint",
    "[STORE|URL] [--at POS|TIME]",
    "prints the hash over all rows of the model",
    "Equal fingerprints mean equal models, whatever the order in which their rows came about. With a moment the\n"
    "model is folded anew from the log.",
    "fingerprint notes.daybook\nfingerprint notes.daybook --at 17 --json",
    options,
    1,
    run,
};
