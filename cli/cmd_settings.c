/* daybook set, get, unset, reset: settings of the app by path. */
#include "cli/cli.h"

/* STORE may be left out where the words that remain are what the command needs. */
static bool first_is_store(const dbk_cli *cli, size_t most)
{
    if (cli->args.word_count == 0) return false;
    return dbk_cli_is_store(cli, cli->args.words[0]) || cli->args.word_count > most;
}

static dbk_result put_word(dbk_buffer *request, const char *name, const char *word, dbk_error *err)
{
    if (!dbk_utf8_valid(dbk_slice_text(word))) return dbk_fail(err, DBK_USAGE, "the %s is not UTF-8", name);
    dbk_buffer_printf(request, ",\"%s\":", name);
    dbk_json_put_string(request, dbk_slice_text(word));
    return DBK_OK;
}

/* JSON where it reads as JSON, else text. */
static dbk_result put_value(const dbk_cli *cli, const char *word, dbk_buffer *request, dbk_error *err)
{
    if (!dbk_utf8_valid(dbk_slice_text(word))) return dbk_fail(err, DBK_USAGE, "the value is not UTF-8");
    dbk_json_parser *parser = dbk_json_parser_new(cli->port);
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a value");
    dbk_buffer_put_text(request, ",\"value\":");
    dbk_result result = dbk_cli_put_word(request, parser, dbk_slice_text(word), err);
    dbk_json_parser_free(parser);
    return result;
}

static dbk_result put_request(const dbk_cli *cli, size_t first, dbk_buffer *request, dbk_error *err)
{
    const char *verb = cli->command->name, *const *words = (const char *const *)cli->args.words + first;
    size_t count = cli->args.word_count - first;
    bool sets = strcmp(verb, "set") == 0, needs_path = sets || strcmp(verb, "unset") == 0;
    dbk_result result = DBK_OK;
    if (count < (needs_path ? 2U : 1U) + (sets ? 1U : 0U))
        return dbk_fail(err, DBK_USAGE, "give %s",
                        sets         ? "a namespace, a path and a value"
                        : needs_path ? "a namespace and a path"
                                     : "a namespace");
    if (strcmp(verb, "get") == 0) dbk_buffer_put_text(request, "{\"do\":\"get\"");
    else result = dbk_cli_put_command(cli, verb, request, err);
    if (result == DBK_OK) result = put_word(request, "namespace", words[0], err);
    if (result == DBK_OK && count > 1) result = put_word(request, "path", words[1], err);
    if (result == DBK_OK && sets) result = put_value(cli, words[2], request, err);
    dbk_buffer_put_u8(request, '}');
    return result;
}

static void show(const dbk_cli *cli, const dbk_cli_answer *answer)
{
    const dbk_json_node *value = dbk_json_member(answer->root, "value");
    if (dbk_cli_flag(cli, "json")) {
        dbk_out_line(dbk_slice_of(answer->text.data, answer->text.size));
    } else if (value && value->kind == DBK_JSON_STRING) {
        dbk_out_shown(value->text, dbk_terminal_is(stdout));
        putchar('\n');
    } else if (value) {
        dbk_buffer text;
        dbk_buffer_init(&text, cli->port);
        dbk_json_put_minimal(&text, value);
        (void)dbk_out_built_line(&text);
        dbk_buffer_release(&text);
    }
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    dbk_buffer request;
    size_t used;
    bool sets = strcmp(cli->command->name, "set") == 0, store = first_is_store(cli, sets ? 3 : 2);
    dbk_buffer_init(&request, cli->port);
    if (put_request(cli, store ? 1 : 0, &request, &err) != DBK_OK) {
        dbk_buffer_release(&request);
        return dbk_cli_wrong(cli, &err);
    }
    int status = dbk_cli_store_word(cli, store, &target, &used);
    if (!status)
        status = dbk_cli_open(cli, strcmp(cli->command->name, "get") == 0 ? DBK_CLI_READ : DBK_CLI_WRITE, &target);
    if (!status) {
        if (dbk_cli_ask(&target, &request, &answer, &err) == DBK_OK) show(cli, &answer);
        else status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
        dbk_cli_answer_release(&answer);
        dbk_cli_close(&target);
    }
    dbk_buffer_release(&request);
    return status;
}

static const dbk_cli_option options[] = {
    {"json", 0, NULL, "answers with the whole receipt as JSON"},
    {0},
};
const dbk_cli_command dbk_cmd_set = {
    "set",
    "[STORE|URL] NAMESPACE PATH VALUE",
    "sets a setting of the app",
    "The value is JSON where it reads as JSON, else text. An object takes the place of what stood there.",
    "set notes.daybook ui editor.size 14\nset notes.daybook ui theme dark",
    options,
    4,
    run,
};
const dbk_cli_command dbk_cmd_get = {
    "get",
    "[STORE|URL] NAMESPACE [PATH]",
    "prints a setting: what was set, else its default",
    "Exit status 1 where nothing was set and no default stands in the app.",
    "get notes.daybook ui editor.size\nget notes.daybook ui --json",
    options,
    3,
    run,
};
const dbk_cli_command dbk_cmd_unset = {
    "unset",
    "[STORE|URL] NAMESPACE PATH",
    "takes back a setting; its default counts again",
    "Refused where nothing was set.",
    "unset notes.daybook ui editor.size",
    options,
    3,
    run,
};
const dbk_cli_command dbk_cmd_reset = {
    "reset",
    "[STORE|URL] NAMESPACE [PATH]",
    "takes back all settings of a namespace, or below a path",
    "Nothing set there is fine.",
    "reset notes.daybook ui\nreset notes.daybook ui editor",
    options,
    3,
    run,
};
