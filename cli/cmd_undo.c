/* daybook undo: one entry that puts back what stood before others. */
#include "cli/cli.h"

static void show(const dbk_json_node *root)
{
    const dbk_json_node *position = dbk_json_member(root, "position"), *kept = dbk_json_member(root, "kept");
    const dbk_json_node *item = kept ? kept + 1 : NULL;
    bool terminal = dbk_terminal_is(stdout);
    if (position) printf("undone by position %.*s\n", DBK_SLICE_ARG(position->text));
    for (uint32_t i = 0; kept && i < kept->count; i++, item = dbk_json_next(item)) {
        static const char *const of_rows[] = {"table", "key", "columns", "reason", NULL};
        static const char *const of_events[] = {"stream", "type", "reason", NULL};
        const char *const *names = dbk_json_member(item, "stream") ? of_events : of_rows;
        fputs("kept", stdout);
        for (; *names; names++) {
            const dbk_json_node *node = dbk_json_member(item, *names);
            fputs("  ", stdout);
            if (node) dbk_out_shown(node->text, terminal);
        }
        putchar('\n');
    }
}

/* Numbers are positions, what has dots is an entry's id. */
static dbk_result put_targets(const dbk_cli *cli, size_t first, dbk_buffer *request, dbk_error *err)
{
    dbk_buffer entries;
    dbk_result result = DBK_OK;
    bool any = false;
    dbk_buffer_init(&entries, cli->port);
    dbk_buffer_put_text(request, ",\"position\":[");
    for (size_t i = first; result == DBK_OK && i < cli->args.word_count; i++) {
        const char *word = cli->args.words[i];
        dbk_entry_id id;
        uint64_t position = 0;
        if (dbk_entry_id_parse(dbk_slice_text(word), &id)) {
            dbk_buffer_printf(&entries, "%s\"%s\"", entries.size ? "," : "", word);
            continue;
        }
        result = dbk_cli_position(word, "undo", &position, err);
        dbk_buffer_printf(request, "%s%llu", any ? "," : "", (unsigned long long)position);
        any = true;
    }
    dbk_buffer_put_u8(request, ']');
    if (entries.size) dbk_buffer_printf(request, ",\"entry\":[%.*s]", DBK_SLICE_ARG(dbk_buffer_slice(&entries)));
    if (result == DBK_OK && entries.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_buffer_release(&entries);
    return result;
}

static bool first_is_store(const dbk_cli *cli)
{
    dbk_entry_id id;
    if (cli->args.word_count == 0) return false;
    const char *word = cli->args.words[0];
    return word[strspn(word, "0123456789")] != 0 && !dbk_entry_id_parse(dbk_slice_text(word), &id);
}

static dbk_result put_request(const dbk_cli *cli, dbk_buffer *request, dbk_error *err)
{
    size_t first = first_is_store(cli) ? 1 : 0;
    const char *correlation = dbk_cli_value(cli, "correlation");
    if (first >= cli->args.word_count && !correlation)
        return dbk_fail(err, DBK_USAGE, "give the positions of entries, or '--correlation'");
    if (correlation && !dbk_utf8_valid(dbk_slice_text(correlation)))
        return dbk_fail(err, DBK_USAGE, "the correlation is not UTF-8");
    dbk_result result = dbk_cli_put_command(cli, "undo", request, err);
    if (result != DBK_OK) return result;
    if (first < cli->args.word_count) result = put_targets(cli, first, request, err);
    if (correlation) {
        dbk_buffer_put_text(request, ",\"of_correlation\":");
        dbk_json_put_string(request, dbk_slice_text(correlation));
    }
    dbk_buffer_put_u8(request, '}');
    return result;
}

static int run(dbk_cli *cli)
{
    return dbk_cli_request(cli, first_is_store(cli), DBK_CLI_WRITE, put_request, show);
}

static const dbk_cli_option options[] = {
    {"correlation", 0, "TEXT", "all entries whose commands had this correlation"},
    {"json", 0, NULL, "the receipt as one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_undo = {
    "undo",
    "[STORE|URL] POS|ENTRY…",
    "puts back what stood before one or more entries",
    "One new entry puts back each column that was last written by them; what others wrote since stays and is\n"
    "listed. Rows that went by a cascade come back. Undoing the new entry is the redo.",
    "undo notes.daybook 17\nundo notes.daybook 17 18 23\nundo notes.daybook --correlation import-7",
    options,
    64,
    run,
};
