/* daybook history: what happened to one row. */
#include "cli/cli.h"

static void show(const dbk_json_node *root)
{
    const dbk_json_node *changes = dbk_json_member(root, "changes"), *earlier = dbk_json_member(root, "earlier");
    if (earlier)
        dbk_cli_note("changes before these, not shown: %.*s; ask for more with '--limit'",
                     DBK_SLICE_ARG(earlier->text));
    dbk_out_changes(changes, true);
    if (changes && changes->count == 0) dbk_cli_note("nothing happened to that row");
}

/* The key is JSON where it reads as JSON, else text, as the arguments of a query are. */
static dbk_result put_key(const dbk_cli *cli, const char *word, bool as_text, dbk_buffer *request, dbk_error *err)
{
    if (as_text) {
        dbk_json_put_string(request, dbk_slice_text(word));
        return DBK_OK;
    }
    dbk_json_parser *parser = dbk_json_parser_new(cli->port);
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_result result = dbk_cli_put_word(request, parser, dbk_slice_text(word), err);
    dbk_json_parser_free(parser);
    return result;
}

static dbk_result put_request(const dbk_cli *cli, bool as_text, dbk_buffer *request, dbk_error *err)
{
    size_t words = cli->args.word_count;
    if (words < 2) return dbk_fail(err, DBK_USAGE, "give a table and a key");
    const char *table = cli->args.words[words - 2], *key = cli->args.words[words - 1],
               *limit = dbk_cli_value(cli, "limit");
    uint64_t number = 0;
    if (!dbk_utf8_valid(dbk_slice_text(table)) || !dbk_utf8_valid(dbk_slice_text(key)))
        return dbk_fail(err, DBK_USAGE, "table and key must be UTF-8");
    dbk_result result = limit ? dbk_cli_position(limit, "--limit", &number, err) : DBK_OK;
    if (result != DBK_OK) return result;
    dbk_buffer_put_text(request, "{\"do\":\"history\",\"table\":");
    dbk_json_put_string(request, dbk_slice_text(table));
    dbk_buffer_put_text(request, ",\"key\":");
    result = put_key(cli, key, as_text, request, err);
    if (limit) dbk_buffer_printf(request, ",\"limit\":%llu", (unsigned long long)number);
    dbk_buffer_put_u8(request, '}');
    return result;
}

static dbk_result put_as_json(const dbk_cli *cli, dbk_buffer *request, dbk_error *err)
{
    return put_request(cli, false, request, err);
}

/* Keys of digits alone are common: a column of texts takes 7 as "7". */
static dbk_result put_as_text(const dbk_cli *cli, dbk_buffer *request, dbk_error *err)
{
    return put_request(cli, true, request, err);
}

static int run(dbk_cli *cli)
{
    return dbk_cli_request_either(cli, cli->args.word_count == 3, DBK_CLI_READ, put_as_json, put_as_text, show);
}

static const dbk_cli_option options[] = {
    {"limit", 0, "N", "the newest N changes; default: 100"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_history = {
    "history",
    "[STORE|URL] TABLE KEY",
    "shows what happened to one row: when, by whom, from what to what, by which command",
    "What a parent's delete or an event's projection did to the row is shown too. A key is JSON where it reads as\n"
    "JSON, else text: 7 is a number, or a text where the column is one; '[\"n1\",\"red\"]' has two parts.",
    "history notes.daybook notes n1\nhistory notes.daybook tags '[\"n1\",\"red\"]' --json",
    options,
    3,
    run,
};
