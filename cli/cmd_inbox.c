/* daybook inbox: entries that were skipped or superseded, and what becomes of them. */
#include "cli/cli.h"

static void put_item(uint32_t number, const dbk_json_node *item)
{
    bool terminal = dbk_terminal_is(stdout);
    static const char *const names[] = {"state", "entry", "reason"};
    printf("%u", number);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dbk_json_node *node = dbk_json_member(item, names[i]);
        fputs("  ", stdout);
        if (node) dbk_out_shown(node->text, terminal);
    }
    putchar('\n');
}

static void put_member(const char *before, const dbk_json_node *object, const char *name)
{
    const dbk_json_node *node = dbk_json_member(object, name);
    if (!node) return;
    fputs(before, stdout);
    dbk_out_shown(node->text, dbk_terminal_is(stdout));
}

/* What was wanted, of which row or stream, by which command: a line for each event. */
static void put_wanted(const dbk_json_node *item)
{
    const dbk_json_node *events = dbk_json_member(item, "events");
    bool any = events && events->kind == DBK_JSON_ARRAY && events->count > 0;
    const dbk_json_node *event = any ? events + 1 : NULL;
    for (uint32_t i = 0; any && i < events->count; i++, event = dbk_json_next(event)) {
        put_member("   ", event, "type");
        put_member("  ", event, "subject");
        if (i == 0) {
            put_member("  command ", item, "commandid");
            put_member("  by ", item, "actor");
            put_member("  ", item, "time");
        }
        putchar('\n');
    }
}

static const dbk_json_node *items_of(const dbk_cli_answer *answer)
{
    const dbk_json_node *items = dbk_json_member(answer->root, "items");
    return items && items->kind == DBK_JSON_ARRAY ? items : NULL;
}

static dbk_result ask_list(const dbk_cli *cli, dbk_cli_target *target, dbk_cli_answer *answer, dbk_error *err)
{
    dbk_buffer request;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, dbk_cli_flag(cli, "all") ? "{\"do\":\"inbox\",\"all\":true}" : "{\"do\":\"inbox\"}");
    dbk_result result = dbk_cli_ask(target, &request, answer, err);
    if (result == DBK_OK && !items_of(answer)) result = dbk_fail(err, DBK_INTERNAL, "an answer without 'items'");
    dbk_buffer_release(&request);
    return result;
}

static int list(const dbk_cli *cli, dbk_cli_target *target)
{
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    int status = DBK_EXIT_DONE;
    if (ask_list(cli, target, &answer, &err) != DBK_OK) {
        status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    } else if (dbk_cli_flag(cli, "json")) {
        dbk_out_line(dbk_slice_of(answer.text.data, answer.text.size));
    } else {
        const dbk_json_node *items = items_of(&answer), *item = items + 1;
        for (uint32_t i = 0; i < items->count; i++, item = dbk_json_next(item)) {
            put_item(i + 1, item);
            put_wanted(item);
        }
        if (items->count == 0) dbk_cli_note("the inbox is empty");
    }
    dbk_cli_answer_release(&answer);
    return status;
}

/* N is a number of the list, or an entry's id. */
static dbk_result find_entry(const dbk_cli *cli, dbk_cli_target *target, const char *word, dbk_buffer *entry,
                             dbk_error *err)
{
    dbk_entry_id id;
    uint64_t number = 0;
    dbk_cli_answer answer = {0};
    if (dbk_entry_id_parse(dbk_slice_text(word), &id)) return dbk_buffer_put_text(entry, word), DBK_OK;
    dbk_result result = dbk_cli_position(word, "inbox", &number, err);
    if (result == DBK_OK) result = ask_list(cli, target, &answer, err);
    if (result == DBK_OK) {
        const dbk_json_node *items = items_of(&answer), *item = items + 1, *node = NULL;
        for (uint32_t i = 1; number > 0 && i <= items->count && !node; i++, item = dbk_json_next(item))
            if (i == number) node = dbk_json_member(item, "entry");
        if (node) dbk_buffer_put_slice(entry, node->text);
        else
            result = dbk_fail(err, DBK_NOT_FOUND, "the inbox has no number %llu; it holds %u",
                              (unsigned long long)number, items->count);
    }
    dbk_cli_answer_release(&answer);
    return result;
}

/* Refused, it stays in the inbox. */
static int fail_verb(dbk_error *err, dbk_result result, const char *verb, const char *word, const dbk_buffer *entry)
{
    int status = result == DBK_USAGE ? DBK_EXIT_USAGE : DBK_EXIT_FAILED;
    if (entry->size == 0 || result == DBK_USAGE) return dbk_cli_fail(err, status);
    dbk_slice id = dbk_buffer_slice(entry);
    (void)dbk_error_wrap(err, result, "cannot %s entry %.*s", verb, DBK_SLICE_ARG(id));
    if (!err->hint[0])
        dbk_error_hint(err, "'daybook inbox' shows what it wanted: make room for it, or 'daybook inbox dismiss %s'",
                       word);
    return dbk_cli_fail(err, status);
}

static int decide(const dbk_cli *cli, dbk_cli_target *target, const char *verb, const char *word)
{
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    dbk_buffer entry, request;
    dbk_buffer_init(&entry, cli->port);
    dbk_buffer_init(&request, cli->port);
    dbk_result result = find_entry(cli, target, word, &entry, &err);
    if (result == DBK_OK) result = dbk_cli_put_command(cli, verb, &request, &err);
    dbk_buffer_put_text(&request, ",\"entry\":");
    dbk_json_put_string(&request, dbk_buffer_slice(&entry));
    dbk_buffer_put_u8(&request, '}');
    if (result == DBK_OK) result = dbk_cli_ask(target, &request, &answer, &err);
    bool json = dbk_cli_flag(cli, "json"), told = json && answer.root && result != DBK_INTERNAL;
    if (result == DBK_OK || told) dbk_out_line(answer.root->text);
    int status = result == DBK_OK ? DBK_EXIT_DONE
                 : told           ? DBK_EXIT_FAILED
                                  : fail_verb(&err, result, verb, word, &entry);
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&entry);
    dbk_buffer_release(&request);
    return status;
}

static bool is_verb(const char *word)
{
    return strcmp(word, "apply") == 0 || strcmp(word, "dismiss") == 0;
}

static int no_verb(const dbk_cli *cli, const char *word)
{
    static const char *const verbs[] = {"apply", "dismiss"};
    const char *near = dbk_nearest(dbk_slice_text(word), verbs, 2);
    if (near) return dbk_cli_usage(cli, "'%s' is neither apply nor dismiss; did you mean '%s'?", word, near);
    return dbk_cli_usage(cli, "'%s' is neither apply nor dismiss", word);
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used, words = cli->args.word_count;
    bool first_is_store = words > 0 && !is_verb(cli->args.words[0]);
    size_t at = first_is_store ? 1 : 0;
    const char *verb = words > at ? cli->args.words[at] : NULL;
    if (verb && !is_verb(verb)) return no_verb(cli, verb);
    if (verb && words != at + 2) return dbk_cli_usage(cli, "'%s' needs one number of the list, or one entry id", verb);
    int status = dbk_cli_store_word(cli, first_is_store, &target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_WRITE, &target);
    if (status) return status;
    status = verb ? decide(cli, &target, verb, cli->args.words[at + 1]) : list(cli, &target);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {
    {"all", 0, NULL, "the dismissed ones too"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_inbox = {
    "inbox",
    "[STORE|URL] [apply|dismiss N]",
    "shows what was skipped or superseded, applies or dismisses it",
    "N is a number of the list, or an entry's id. Applying says again, as a new command, what the entry wanted.",
    "inbox notes.daybook\ninbox notes.daybook apply 1\ninbox notes.daybook dismiss 2",
    options,
    3,
    run,
};
