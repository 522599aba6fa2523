/* daybook check: an app definition, no store needed. */
#include "cli/cli.h"

static void put_findings(const dbk_cli *cli, const dbk_findings *findings, bool json)
{
    dbk_buffer text;
    dbk_buffer_init(&text, cli->port);
    if (json) dbk_findings_json(findings, &text);
    else dbk_findings_print(findings, &text);
    (void)dbk_out_built(&text);
    dbk_buffer_release(&text);
}

static void put_good(const dbk_cli *cli, const dbk_definition *d, size_t warnings, bool json)
{
    dbk_buffer line;
    dbk_buffer_init(&line, cli->port);
    if (json) {
        dbk_buffer_put_text(&line, "{\"ok\":true,\"app\":");
        dbk_json_put_string(&line, dbk_slice_text(d->name));
        dbk_buffer_printf(&line, ",\"tables\":%zu,\"projections\":%zu,\"queries\":%zu,\"warnings\":%zu}",
                          d->table_count, d->projection_count, d->query_count, warnings);
    } else {
        dbk_buffer_printf(&line, "'%s' is good: %zu %s, %zu %s, %zu %s", cli->args.words[0], d->table_count,
                          dbk_plural(d->table_count, "table", "tables"), d->projection_count,
                          dbk_plural(d->projection_count, "projection", "projections"), d->query_count,
                          dbk_plural(d->query_count, "query", "queries"));
        if (d->model_count > 0)
            dbk_buffer_printf(&line, ", %zu async %s", d->model_count, dbk_plural(d->model_count, "model", "models"));
    }
    (void)dbk_out_built_line(&line);
    dbk_buffer_release(&line);
}

static int run(dbk_cli *cli)
{
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    bool json = dbk_cli_flag(cli, "json");
    if (cli->args.word_count != 1) return dbk_cli_usage(cli, "name the app definition: a folder, or one schema.sql");
    char room[4096];
    const char *app = dbk_cli_app(cli, cli->args.words[0], room);
    dbk_result result = dbk_definition_load(cli->port, app, &definition, &findings, &err);
    put_findings(cli, &findings, json);
    size_t errors = findings.errors, warnings = findings.count - findings.errors;
    dbk_findings_free(&findings);
    if (result == DBK_OK) put_good(cli, definition, warnings, json);
    dbk_definition_free(definition);
    if (result == DBK_OK) return DBK_EXIT_DONE;
    if (result == DBK_SCHEMA && errors > 0 && !json) {
        dbk_out_flush();
        dbk_cli_note("%zu %s", errors, dbk_plural(errors, "error", "errors"));
        return DBK_EXIT_FAILED;
    }
    return dbk_cli_fail(&err, DBK_EXIT_FAILED);
}

static const dbk_cli_option options[] = {{"json", 0, NULL, "one JSON object per finding, then one that says \"ok\""},
                                         {0}};
const dbk_cli_command dbk_cmd_check = {
    "check",
    "APP",
    "checks an app definition, no store needed",
    "Shows every error at once, each with file, line, column, the offending text and what to write instead.\n"
    "Of a store it is the definition that it runs.",
    "check app/\ncheck schema.sql --json",
    options,
    1,
    run,
};
