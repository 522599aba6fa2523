/* daybook upgrade: another definition for a store, shown before it is taken. */
#include "cli/cli.h"

#include <limits.h>
#include <stdlib.h>

static void put_tables(const dbk_json_node *tables)
{
    static const char *const names[] = {"table",      "rows_before",   "rows_after",  "only_before",
                                        "only_after", "writer_before", "writer_after"};
    const dbk_json_node *table = tables ? tables + 1 : NULL;
    if (tables && tables->count > 0) printf("table\tbefore\tafter\tonly before\tonly after\twritten by\tthen by\n");
    for (uint32_t i = 0; tables && i < tables->count; i++, table = dbk_json_next(table)) {
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            const dbk_json_node *node = dbk_json_member(table, names[k]);
            if (k) putchar('\t');
            if (node) dbk_out(node->text);
        }
        putchar('\n');
    }
}

static void put_column(const char *words, const dbk_json_node *table, const dbk_json_node *column)
{
    if (!table || !column) return;
    printf("%s column ", words);
    dbk_out(table->text);
    putchar('.');
    dbk_out(column->text);
}

/* The columns that go and come of one table, or that it goes; true: something goes. */
static bool put_columns(const dbk_json_node *table)
{
    const dbk_json_node *name = dbk_json_member(table, "table"), *gone = dbk_json_member(table, "columns_gone"),
                        *made = dbk_json_member(table, "columns_new"), *rows = dbk_json_member(table, "rows_before");
    const dbk_json_node *item = gone ? gone + 1 : NULL;
    for (uint32_t i = 0; gone && i < gone->count; i++, item = dbk_json_next(item)) {
        const dbk_json_node *values = dbk_json_member(item, "values");
        put_column("gone:", name, dbk_json_member(item, "column"));
        if (values) printf(", rows with a value of their own: %.*s\n", DBK_SLICE_ARG(values->text));
    }
    item = made ? made + 1 : NULL;
    for (uint32_t i = 0; made && i < made->count; i++, item = dbk_json_next(item)) {
        put_column("new:", name, item);
        putchar('\n');
    }
    bool whole = dbk_json_member(table, "gone") != NULL;
    if (whole && name && rows)
        printf("gone: table %.*s, rows: %.*s\n", DBK_SLICE_ARG(name->text), DBK_SLICE_ARG(rows->text));
    return whole || (gone && gone->count > 0);
}

static bool put_gone(const dbk_json_node *tables)
{
    bool any = false;
    const dbk_json_node *table = tables ? tables + 1 : NULL;
    for (uint32_t i = 0; tables && i < tables->count; i++, table = dbk_json_next(table))
        any = put_columns(table) || any;
    return any;
}

static void put_lost(const dbk_json_node *lost)
{
    bool terminal = dbk_terminal_is(stdout);
    const dbk_json_node *item = lost ? lost + 1 : NULL;
    for (uint32_t i = 0; lost && i < lost->count; i++, item = dbk_json_next(item)) {
        const dbk_json_node *position = dbk_json_member(item, "position"), *state = dbk_json_member(item, "state");
        const dbk_json_node *reason = dbk_json_member(item, "reason");
        if (position && state)
            printf("no longer projects: position %.*s, %.*s: ", DBK_SLICE_ARG(position->text),
                   DBK_SLICE_ARG(state->text));
        if (reason) dbk_out_shown(reason->text, terminal);
        putchar('\n');
    }
}

/* An async model serves up to the entry that its new projections refuse. */
static void put_failed(const dbk_json_node *failed)
{
    static const char *const names[] = {"position", "type", "error"};
    bool terminal = dbk_terminal_is(stdout);
    fputs("  stops at position ", stdout);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dbk_json_node *node = dbk_json_member(failed, names[i]);
        if (i) fputs(i == 1 ? ", " : ": ", stdout);
        if (node) dbk_out_shown(node->text, terminal);
    }
    putchar('\n');
}

static void show(const dbk_json_node *root)
{
    const dbk_json_node *upgraded = dbk_json_member(root, "upgraded"), *models = dbk_json_member(root, "models");
    if (dbk_json_member(root, "same")) {
        dbk_cli_note("the store has this definition already");
        return;
    }
    for (uint32_t i = 0; models && i < models->count; i++) {
        const dbk_json_node *model = models + 1;
        for (uint32_t k = 0; k < i; k++) model = dbk_json_next(model);
        const dbk_json_node *name = dbk_json_member(model, "name"), *entries = dbk_json_member(model, "entries"),
                            *took = dbk_json_member(model, "took_ms");
        if (name && entries && took)
            printf("model '%.*s': %.*s entries folded in %.*s ms\n", DBK_SLICE_ARG(name->text),
                   DBK_SLICE_ARG(entries->text), DBK_SLICE_ARG(took->text));
        if (dbk_json_member(model, "failed")) put_failed(dbk_json_member(model, "failed"));
    }
    put_tables(dbk_json_member(root, "tables"));
    bool goes = put_gone(dbk_json_member(root, "tables"));
    put_lost(dbk_json_member(root, "lost"));
    printf(upgraded && upgraded->kind == DBK_JSON_TRUE ? "upgraded\n" : "nothing was changed\n");
    if (!goes || !dbk_out_flush()) return;
    fputs("hint: the log keeps what goes; what only has another name now keeps its values by an upcast (upcasts.sql) "
          "and a "
          "higher version of the app\n",
          stderr);
}

/* The store's own process may stand elsewhere: it gets the whole path. */
static dbk_result put_request(const dbk_cli *cli, dbk_buffer *request, dbk_error *err)
{
    const char *app = dbk_cli_value(cli, "app");
    if (!app) return dbk_fail(err, DBK_USAGE, "give the new definition with '--app'");
    char whole[PATH_MAX];
    const char *path = realpath(app, whole) ? whole : app;
    dbk_result result =
        dbk_utf8_valid(dbk_slice_text(path)) ? DBK_OK : dbk_fail(err, DBK_USAGE, "the path is not UTF-8");
    dbk_buffer_put_text(request, "{\"do\":\"upgrade\",\"app\":");
    dbk_json_put_string(request, dbk_slice_text(path));
    if (dbk_cli_flag(cli, "dry-run")) dbk_buffer_put_text(request, ",\"dry_run\":true");
    if (dbk_cli_flag(cli, "accept")) dbk_buffer_put_text(request, ",\"accept\":true");
    dbk_buffer_put_u8(request, '}');
    return result;
}

static int run(dbk_cli *cli)
{
    return dbk_cli_request(cli, cli->args.word_count > 0, DBK_CLI_WRITE, put_request, show);
}

static const dbk_cli_option options[] = {
    {"app", 0, "DIR|FILE", "the new definition: a folder, or one schema.sql"},
    {"dry-run", 0, NULL, "shows what would change and changes nothing"},
    {"accept", 0, NULL, "also where entries that projected before would be skipped"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_upgrade = {
    "upgrade",
    "[STORE|URL] --app DIR|FILE [--dry-run] [--accept]",
    "takes another definition, and shows what it changes",
    "The whole log is folded with the new definition into a model beside the present one, which serves until the\n"
    "switch. Shown are rows, writers of tables, and entries that would no longer project: these need --accept.",
    "upgrade notes.daybook --app app/ --dry-run\nupgrade notes.daybook --app app/",
    options,
    1,
    run,
};
