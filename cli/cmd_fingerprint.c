/* daybook fingerprint: equal fingerprints mean equal models. */
#include "cli/cli.h"

/* 1: the rows are not those of the sum. */
static int put_recount(const dbk_json_node *root, bool json)
{
    const dbk_json_node *same = dbk_json_member(root, "same"), *counted = dbk_json_member(root, "recounted");
    const dbk_json_node *rows = dbk_json_member(root, "rows"), *tables = dbk_json_member(root, "tables");
    const dbk_json_node *table = tables ? tables + 1 : NULL;
    bool differs = !same || same->kind != DBK_JSON_TRUE;
    if (json) {
        dbk_out_line(root->text);
        return differs ? DBK_EXIT_FAILED : 0;
    }
    if (counted && rows)
        printf("recounted    %.*s  (%.*s rows)\n", DBK_SLICE_ARG(counted->text), DBK_SLICE_ARG(rows->text));
    for (uint32_t i = 0; tables && i < tables->count; i++, table = dbk_json_next(table)) {
        const dbk_json_node *name = dbk_json_member(table, "table"), *has = dbk_json_member(table, "rows"),
                            *log = dbk_json_member(table, "rows_of_log");
        if (name && has && log)
            printf("differs      table '%.*s': %.*s rows, %.*s by the log\n", DBK_SLICE_ARG(name->text),
                   DBK_SLICE_ARG(has->text), DBK_SLICE_ARG(log->text));
    }
    if (differs) dbk_cli_note("the rows are not those of the fingerprint: 'daybook rebuild' makes the model anew");
    return differs ? DBK_EXIT_FAILED : 0;
}

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
    if (dbk_cli_moment(when, "--at", order, &at, &err) != DBK_OK) return dbk_cli_wrong(cli, &err);
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (status) return status;
    /* A moment is folded anew from the log: that takes long in a big one, and needs no daemon. */
    bool past = when || order, url = target.path && dbk_cli_is_url(target.path);
    if (past || dbk_cli_flag(cli, "recount")) target.timeout_ms = DBK_CLI_LONG_MS;
    dbk_cli_need access = dbk_cli_flag(cli, "recount") ? DBK_CLI_WRITE : DBK_CLI_READ;
    status = dbk_cli_open(cli, past && !url ? DBK_CLI_LOCAL : access, &target);
    if (status) return status;
    dbk_buffer request;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, "{\"do\":\"fingerprint\"");
    dbk_moment_put(&request, &at);
    dbk_cli_put_model(cli, &request);
    bool recount = dbk_cli_flag(cli, "recount"), json = dbk_cli_flag(cli, "json");
    if (recount) dbk_buffer_put_text(&request, ",\"recount\":true");
    dbk_buffer_put_u8(&request, '}');
    if (dbk_cli_ask(&target, &request, &answer, &err) == DBK_OK) {
        if (!recount || !json) put(answer.root, json);
        if (recount) status = put_recount(answer.root, json);
    } else status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    dbk_buffer_release(&request);
    dbk_cli_answer_release(&answer);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {
    {"at", 0, "POS|TIME", "of the model at this position, or as this store showed it at this time"},
    {"order-time", 0, "TIME", "of what is known now to have happened by then"},
    {"model", 0, "MODEL", "of this model; default: main"},
    {"recount", 0, NULL, "reads every row, and compares with the sum that was kept as they changed"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_fingerprint = {
    "fingerprint",
    "[STORE|URL] [--at POS|TIME | --recount]",
    "prints the hash over all rows of the model",
    "Equal fingerprints mean equal models, whatever the order in which their rows came about. With a moment the\n"
    "model is folded anew from the log. It is a sum that is kept with each change; --recount reads all rows, names\n"
    "the tables that are not as the log makes them, and ends with 1 then.",
    "fingerprint notes.daybook\nfingerprint notes.daybook --recount\nfingerprint notes.daybook --at 17 --json",
    options,
    1,
    run,
};
