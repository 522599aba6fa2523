/* daybook stats and daybook rebuild: one request each. */
#include "cli/cli.h"

/* The answer to a rebuild of an async model has a list of that one: its members are shown as those of main are. */
static void show(const dbk_cli *cli, const dbk_json_node *root)
{
    const dbk_json_node *models = dbk_json_member(root, "models");
    bool one = cli->command == &dbk_cmd_rebuild && models && models->kind == DBK_JSON_ARRAY && models->count == 1;
    if (dbk_cli_flag(cli, "json")) dbk_out_line(root->text);
    else dbk_out_members(one ? models + 1 : root);
}

static int ask_and_show(dbk_cli *cli, dbk_cli_target *target, const char *text)
{
    dbk_cli_answer answer = {0};
    dbk_error err = {0};
    dbk_buffer request;
    int status = DBK_EXIT_DONE;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, text);
    dbk_result result = dbk_cli_ask(target, &request, &answer, &err);
    if (result != DBK_OK) status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    else show(cli, answer.root);
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
    return status;
}

static int run_stats(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_READ, &target);
    if (status) return status;
    status = ask_and_show(cli, &target, "{\"do\":\"stats\"}");
    dbk_cli_close(&target);
    return status;
}

/* What the request `rebuild` answers, of a rebuild that showed how far it was. */
static int put_rebuilt(const dbk_cli *cli, dbk_cli_target *target, int64_t took_ns)
{
    dbk_error err = {0};
    dbk_model_state state;
    dbk_buffer line;
    const char *timeline;
    char fingerprint[33];
    uint64_t generation, position;
    const dbk_json_node *root;
    dbk_model_get_state(dbk_engine_model(target->engine), &state);
    dbk_engine_cursor(target->engine, &timeline, &generation, &position);
    dbk_fingerprint_text(state.fingerprint, fingerprint);
    if (dbk_engine_definition(target->engine)->no_fingerprint) snprintf(fingerprint, sizeof fingerprint, "none");
    dbk_buffer_init(&line, cli->port);
    dbk_buffer_printf(&line,
                      "{\"ok\":true,\"timeline\":\"%s\",\"generation\":%llu,\"position\":%llu,\"fingerprint\":\"%s\","
                      "\"took_ms\":%lld}",
                      timeline, (unsigned long long)generation, (unsigned long long)state.position, fingerprint,
                      (long long)(took_ns / 1000000));
    dbk_json_parser *parser = dbk_json_parser_new(cli->port);
    dbk_result result = parser && !line.failed ? dbk_json_parse(parser, dbk_buffer_slice(&line), &root, &err)
                                               : dbk_fail(&err, DBK_NO_MEMORY, "no memory for an answer");
    if (result == DBK_OK) show(cli, root);
    dbk_json_parser_free(parser);
    dbk_buffer_release(&line);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_FAILED);
}

static int rebuild_here(dbk_cli *cli, dbk_cli_target *target)
{
    dbk_error err = {0};
    dbk_bar bar;
    int64_t begin_ns = cli->port->monotonic_ns(cli->port->ctx);
    dbk_bar_begin(&bar, cli->port, "rebuilding", "entries");
    dbk_result result = dbk_engine_rebuild(target->engine, dbk_bar_update, &bar, &err);
    dbk_bar_end(&bar);
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    return put_rebuilt(cli, target, cli->port->monotonic_ns(cli->port->ctx) - begin_ns);
}

/* Under the store's lock, with no log open: the opening that follows makes anew what is missing. */
static dbk_result drop_caches(const dbk_port *port, const char *path, uint64_t *dropped, dbk_error *err)
{
    dbk_dir *store = NULL, *log = NULL;
    dbk_lock *lock = NULL;
    dbk_result result = dbk_io_open_dir(port, NULL, path, 0, &store, err);
    if (result == DBK_OK) result = dbk_io_open_dir(port, store, "log", 0, &log, err);
    if (result == DBK_OK) result = dbk_lock_take(port, store, "LOCK", &lock, err);
    if (result == DBK_OK) result = dbk_log_drop_caches(port, log, dropped, err);
    dbk_lock_release(lock);
    if (log) port->close_dir(port->ctx, log);
    if (store) port->close_dir(port->ctx, store);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot make the index of '%s' anew", path);
}

static int rebuild_index(dbk_cli *cli, dbk_cli_target *target)
{
    const char *path = target->path ? target->path : target->found;
    uint64_t dropped = 0;
    dbk_error err = {0};
    if (dbk_cli_is_url(path) || cli->args.word_count > 1)
        return dbk_cli_usage(cli, "--index makes a log's own files anew: name its folder alone");
    if (drop_caches(cli->port, path, &dropped, &err) != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_STORE);
    int status = dbk_cli_open(cli, DBK_CLI_WRITE, target);
    if (status) return status;
    dbk_cli_close(target);
    if (dbk_cli_flag(cli, "json")) printf("{\"ok\":true,\"removed\":%llu}\n", (unsigned long long)dropped);
    else
        printf("index     made anew; %llu %s removed\n", (unsigned long long)dropped,
               dbk_plural(dropped, "file", "files"));
    return DBK_EXIT_DONE;
}

static int run_rebuild(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used, words = cli->args.word_count;
    const char *model = words > 1 ? cli->args.words[1] : "main";
    bool main = strcmp(model, "main") == 0;
    if (!dbk_utf8_valid(dbk_slice_text(model))) return dbk_cli_usage(cli, "the name of the model is not UTF-8");
    int status = dbk_cli_store_word(cli, words > 0, &target, &used);
    target.timeout_ms = DBK_CLI_LONG_MS;
    if (!status && dbk_cli_flag(cli, "index")) return rebuild_index(cli, &target);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_WRITE, &target);
    if (status) return status;
    if (main && target.engine) {
        status = rebuild_here(cli, &target);
    } else {
        dbk_buffer request;
        dbk_buffer_init(&request, cli->port);
        dbk_buffer_put_text(&request, "{\"do\":\"rebuild\",\"model\":");
        dbk_json_put_string(&request, dbk_slice_text(model));
        dbk_buffer_put_u8(&request, '}');
        const char *text = dbk_buffer_text(&request);
        if (!text) dbk_out_lacks_memory();
        status = text ? ask_and_show(cli, &target, text) : DBK_EXIT_DONE;
        dbk_buffer_release(&request);
    }
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {{"json", 0, NULL, "answers with one JSON object"}, {0}};
const dbk_cli_command dbk_cmd_stats = {
    "stats",
    "[STORE|URL]",
    "prints sizes and counts of a store",
    "'bytes' are the records of the log with the padding behind each, as 'verify' counts them; 'file_bytes' all files\n"
    "of the log, with indexes and preallocated space. 'since_open' counts what this opening, or the daemon, did.",
    "stats notes.daybook\nstats --json",
    options,
    1,
    run_stats,
};
static const dbk_cli_option rebuild_options[] = {
    {"index", 0, NULL, "not a model: the log's index, checkpoint and catalog; nobody may have the store open"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_rebuild = {
    "rebuild",
    "[STORE|URL] [MODEL] [--index]",
    "builds a read model, or the log's index, anew from the log",
    "The old model serves until the new one is complete. Without MODEL it is 'main', whose subscribers are told to\n"
    "begin anew. With --index it is what the log keeps beside its segments to find entries by: where 'verify' names\n"
    "such a file.",
    "rebuild notes.daybook\nrebuild notes.daybook stats --json\nrebuild notes.daybook --index",
    rebuild_options,
    2,
    run_rebuild,
};
