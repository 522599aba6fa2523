/* daybook query: read-only SQL over the model, now or at any moment. */
#include "cli/cli.h"

/* name=value: the value is JSON where it reads as JSON, else text. */
static dbk_result put_argument(dbk_buffer *request, dbk_json_parser *parser, const char *word, bool first,
                               dbk_error *err)
{
    const char *equals = strchr(word, '=');
    if (!equals || equals == word) return dbk_fail(err, DBK_USAGE, "'%s' is no argument of the form name=value", word);
    dbk_slice name = dbk_slice_of(word, (size_t)(equals - word)), value = dbk_slice_text(equals + 1);
    if (!dbk_utf8_valid(name) || !dbk_utf8_valid(value)) return dbk_fail(err, DBK_USAGE, "an argument is not UTF-8");
    if (!first) dbk_buffer_put_u8(request, ',');
    dbk_json_put_string(request, name);
    dbk_buffer_put_u8(request, ':');
    return dbk_cli_put_word(request, parser, value, err);
}

static dbk_result put_request(const dbk_cli *cli, size_t used, dbk_buffer *request, dbk_error *err)
{
    const char *name = dbk_cli_value(cli, "name");
    dbk_moment at;
    dbk_result result = dbk_cli_moment(dbk_cli_value(cli, "at"), "--at", dbk_cli_value(cli, "order-time"), &at, err);
    if (result != DBK_OK) return result;
    if (!name && used >= cli->args.word_count)
        return dbk_fail(err, DBK_USAGE, "give a SELECT, or a query of the app with '--name'");
    const char *text = name ? name : cli->args.words[used++];
    if (text[strspn(text, " \t\r\n;")] == 0)
        return dbk_fail(err, DBK_USAGE, name ? "the name of the query is empty" : "the SELECT is empty");
    if (!dbk_utf8_valid(dbk_slice_text(text))) return dbk_fail(err, DBK_USAGE, "the query is not UTF-8");
    dbk_buffer_put_text(request, name ? "{\"do\":\"query\",\"name\":" : "{\"do\":\"query\",\"sql\":");
    dbk_json_put_string(request, dbk_slice_text(text));
    dbk_moment_put(request, &at);
    dbk_cli_put_model(cli, request);
    if (dbk_cli_flag(cli, "explain")) dbk_buffer_put_text(request, ",\"explain\":true");
    if (used < cli->args.word_count) {
        dbk_json_parser *parser = dbk_json_parser_new(cli->port);
        if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the arguments");
        dbk_buffer_put_text(request, ",\"args\":{");
        for (size_t i = used; result == DBK_OK && i < cli->args.word_count; i++)
            result = put_argument(request, parser, cli->args.words[i], i == used, err);
        dbk_buffer_put_u8(request, '}');
        dbk_json_parser_free(parser);
    }
    dbk_buffer_put_u8(request, '}');
    return result;
}

static int show(const dbk_cli *cli, const dbk_cli_answer *answer)
{
    dbk_error err = {0};
    if (dbk_cli_flag(cli, "json")) {
        dbk_out_line(dbk_slice_of(answer->text.data, answer->text.size));
        return DBK_EXIT_DONE;
    }
    dbk_out_form form = dbk_cli_flag(cli, "csv") ? DBK_OUT_CSV : dbk_terminal_is(stdout) ? DBK_OUT_TABLE : DBK_OUT_TABS;
    if (dbk_out_rows(cli->port, answer->root, form, &err) != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    return DBK_EXIT_DONE;
}

/* The first word is the store where a SELECT follows, or where it looks like one. */
static bool first_is_store(const dbk_cli *cli)
{
    if (cli->args.word_count == 0) return false;
    const char *word = cli->args.words[0];
    if (dbk_cli_is_store(cli, word)) return true;
    if (dbk_cli_flag(cli, "name")) return !strchr(word, '=');
    return cli->args.word_count > 1 && !strchr(word, ' ');
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    size_t used;
    if (dbk_cli_flag(cli, "json") && dbk_cli_flag(cli, "csv")) return dbk_cli_usage(cli, "either '--json' or '--csv'");
    dbk_buffer request;
    dbk_buffer_init(&request, cli->port);
    if (put_request(cli, first_is_store(cli) ? 1 : 0, &request, &err) != DBK_OK) {
        dbk_buffer_release(&request);
        return dbk_cli_wrong(cli, &err);
    }
    int status = dbk_cli_store_word(cli, first_is_store(cli), &target, &used);
    if (dbk_cli_flag(cli, "at") || dbk_cli_flag(cli, "order-time")) target.timeout_ms = DBK_CLI_LONG_MS;
    if (!status) status = dbk_cli_open(cli, DBK_CLI_READ, &target);
    if (!status) {
        if (dbk_cli_ask(&target, &request, &answer, &err) == DBK_OK) status = show(cli, &answer);
        else status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
        dbk_cli_answer_release(&answer);
        dbk_cli_close(&target);
    }
    dbk_buffer_release(&request);
    return status;
}

static const dbk_cli_option options[] = {
    {"name", 0, "QUERY", "a query of the app instead of SQL"},
    {"at", 0, "POS|TIME", "the model at this position, or as this store showed it at this time"},
    {"order-time", 0, "TIME", "what is known now to have happened by then"},
    {"model", 0, "MODEL", "of this model; default: the one that has the tables"},
    {"explain", 0, NULL, "how it would be carried out: which indexes, what is read whole"},
    {"json", 0, NULL, "one JSON object: columns, rows, position"},
    {"csv", 0, NULL, "RFC 4180, with a header"},
    {0},
};
const dbk_cli_command dbk_cmd_query = {
    "query",
    "[STORE|URL] SQL|--name QUERY [name=value …] [--at POS|TIME]",
    "runs read-only SQL over the model, now or as of then",
    "A table on a terminal, else columns parted by tabs. Arguments fill :name in the SQL; a value is JSON where it\n"
    "reads as JSON, else text: id=7 is a number, id='\"7\"' is text. The log is a table too: events, with position,\n"
    "\"index\", id, type, stream, time, received, actor, command, correlation, causation, typeversion, data.",
    "query notes.daybook 'SELECT id, title FROM notes'\nquery notes.daybook 'SELECT * FROM notes WHERE id = :id' id=n1 "
    "--json\n"
    "query notes.daybook --name recent top=5 --at 2026-11-21T04:05:06Z\n"
    "query notes.daybook \"SELECT position, data FROM events WHERE stream = 'job/7'\"",
    options,
    64,
    run,
};
