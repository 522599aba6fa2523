/* daybook diff: the rows in which two moments differ. */
#include "cli/cli.h"

static void show(const dbk_json_node *root)
{
    const dbk_json_node *rows = dbk_json_member(root, "rows"), *left_out = dbk_json_member(root, "left_out");
    dbk_out_changes(rows, false);
    if (left_out) dbk_cli_note("%.*s more rows differ; ask for more with '--limit'", DBK_SLICE_ARG(left_out->text));
    if (rows && rows->count == 0) dbk_cli_note("no row differs");
}

static dbk_result put_moment(const char *text, const char *option, const char *name, dbk_buffer *request,
                             dbk_error *err)
{
    dbk_moment at;
    if (!text) return DBK_OK;
    if (strcmp(text, "0") == 0) return dbk_buffer_printf(request, ",\"%s\":0", name), DBK_OK;
    dbk_result result = dbk_cli_moment(text, option, NULL, &at, err);
    if (result != DBK_OK) return result;
    dbk_buffer_printf(request, ",\"%s\":", name);
    if (at.position) dbk_buffer_printf(request, "%llu", (unsigned long long)at.position);
    else dbk_json_put_string(request, dbk_slice_text(text));
    return DBK_OK;
}

static dbk_result put_request(const dbk_cli *cli, dbk_buffer *request, dbk_error *err)
{
    const char *table = dbk_cli_value(cli, "table"), *limit = dbk_cli_value(cli, "limit"),
               *from = dbk_cli_value(cli, "from");
    uint64_t number = 0;
    if (!from) return dbk_fail(err, DBK_USAGE, "give a moment with '--from'");
    dbk_buffer_put_text(request, "{\"do\":\"diff\"");
    dbk_result result = put_moment(from, "--from", "from", request, err);
    if (result == DBK_OK) result = put_moment(dbk_cli_value(cli, "to"), "--to", "to", request, err);
    if (result == DBK_OK && limit) result = dbk_cli_position(limit, "--limit", &number, err);
    if (result != DBK_OK) return result;
    if (limit) dbk_buffer_printf(request, ",\"limit\":%llu", (unsigned long long)number);
    if (table && !dbk_utf8_valid(dbk_slice_text(table))) return dbk_fail(err, DBK_USAGE, "the table is not UTF-8");
    if (table) {
        dbk_buffer_put_text(request, ",\"table\":");
        dbk_json_put_string(request, dbk_slice_text(table));
    }
    dbk_buffer_put_u8(request, '}');
    return DBK_OK;
}

static int run(dbk_cli *cli)
{
    return dbk_cli_request(cli, cli->args.word_count > 0, DBK_CLI_READ, put_request, show);
}

static const dbk_cli_option options[] = {
    {"from", 0, "POS|TIME", "what was then; 0: nothing yet"},
    {"to", 0, "POS|TIME", "what was then; default: now"},
    {"table", 0, "TABLE", "only this one"},
    {"limit", 0, "N", "so many rows at most; default: 1,000"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_diff = {
    "diff",
    "[STORE|URL] --from POS|TIME [--to POS|TIME]",
    "shows the rows in which two moments differ",
    "Of a row that is in both only the columns that differ are shown. A time means what this store showed then.",
    "diff notes.daybook --from 17 --to 23\ndiff notes.daybook --from 2026-11-21T04:05:06Z --table notes --json",
    options,
    1,
    run,
};
