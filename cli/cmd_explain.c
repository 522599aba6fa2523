/* daybook explain: which rows an entry changed. */
#include "cli/cli.h"

static void show(const dbk_json_node *root)
{
    const dbk_json_node *state = dbk_json_member(root, "state"), *reason = dbk_json_member(root, "reason");
    const dbk_json_node *left_out = dbk_json_member(root, "left_out");
    dbk_out_entry(root);
    dbk_out_changes(dbk_json_member(root, "rows"), false);
    if (left_out) dbk_cli_note("%.*s more rows are not shown", DBK_SLICE_ARG(left_out->text));
    if (reason && state)
        dbk_cli_note("the entry is %.*s: %.*s", DBK_SLICE_ARG(state->text), DBK_SLICE_ARG(reason->text));
}

static dbk_result put_request(const dbk_cli *cli, dbk_buffer *request, dbk_error *err)
{
    uint64_t position = 0;
    size_t words = cli->args.word_count;
    if (words == 0) return dbk_fail(err, DBK_USAGE, "give the position of an entry");
    dbk_result result = dbk_cli_position(cli->args.words[words - 1], "explain", &position, err);
    if (result == DBK_OK)
        dbk_buffer_printf(request, "{\"do\":\"explain\",\"position\":%llu}", (unsigned long long)position);
    return result;
}

static int run(dbk_cli *cli)
{
    return dbk_cli_request(cli, cli->args.word_count == 2, DBK_CLI_READ, put_request, show);
}

static const dbk_cli_option options[] = {
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_explain = {
    "explain",
    "[STORE|URL] POS",
    "shows which rows the entry at a position changed",
    "Rows that a cascade or a projection changed are among them. An entry that was skipped or superseded changed\n"
    "none; why is said.",
    "explain notes.daybook 17\nexplain notes.daybook 17 --json",
    options,
    2,
    run,
};
