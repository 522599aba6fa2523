/* daybook replay: the recovery tool. The read model anew from the log alone, at any moment, into an ordinary
 * SQLite file. Reads the store's own files, beside a daemon too. */
#include "cli/cli.h"

/* Events among the entries up to a position. */
static dbk_result count_events(dbk_log *log, uint64_t upto, uint64_t *events, dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    uint64_t position;
    int64_t received_ms;
    dbk_slice origin;
    dbk_entry entry;
    *events = 0;
    if (upto == 0) return DBK_OK;
    dbk_result result = dbk_log_cursor_open(log, 1, upto, &cursor, err);
    while (result == DBK_OK) {
        result = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, err);
        if (result == DBK_OK) *events += entry.event_count;
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? DBK_OK : result;
}

static dbk_result find_model(const dbk_cli *cli, dbk_cli_target *target, const dbk_definition **model, dbk_error *err)
{
    const char *name = dbk_cli_value(cli, "model");
    if (!name || strcmp(name, "main") == 0) return DBK_OK;
    *model = dbk_definition_model(dbk_engine_definition(target->engine), dbk_slice_text(name));
    return *model ? DBK_OK : dbk_fail(err, DBK_NOT_FOUND, "there is no model '%s'", name);
}

static int replay(const dbk_cli *cli, dbk_cli_target *target, const dbk_moment *at, bool past, const char *into)
{
    dbk_model_state state = {0};
    dbk_error err = {0};
    dbk_bar bar;
    uint64_t events = 0;
    char fingerprint[33];
    dbk_bar_begin(&bar, cli->port, "replaying", "entries");
    const dbk_definition *model = NULL;
    dbk_result result = find_model(cli, target, &model, &err);
    if (result == DBK_OK)
        result = dbk_engine_replay_model(target->engine, model, past ? at : NULL, into, true, dbk_bar_update, &bar,
                                         &state, &err);
    dbk_bar_end(&bar);
    if (result == DBK_OK) result = count_events(dbk_engine_log(target->engine), state.position, &events, &err);
    if (result == DBK_EXISTS) dbk_error_hint(&err, "name a file that does not exist yet");
    if (result != DBK_OK) return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    dbk_fingerprint_text(state.fingerprint, fingerprint);
    if ((model ? model : dbk_engine_definition(target->engine))->no_fingerprint)
        snprintf(fingerprint, sizeof fingerprint, "none");
    unsigned long long position = (unsigned long long)state.position, count = (unsigned long long)events;
    if (dbk_cli_flag(cli, "json"))
        printf("{\"ok\":true,\"position\":%llu,\"events\":%llu,\"fingerprint\":\"%s\"}\n", position, count,
               fingerprint);
    else printf("position     %llu\nevents       %llu\nfingerprint  %s\n", position, count, fingerprint);
    return DBK_EXIT_DONE;
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    dbk_moment at;
    dbk_error err = {0};
    size_t used;
    const char *into = dbk_cli_value(cli, "into"), *to = dbk_cli_value(cli, "to"),
               *order = dbk_cli_value(cli, "order-time");
    if (!into) return dbk_cli_usage(cli, "name the new file with '--into'");
    if (dbk_cli_moment(to, "--to", order, &at, &err) != DBK_OK) return dbk_cli_wrong(cli, &err);
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_LOCAL, &target);
    if (status) return status;
    status = replay(cli, &target, &at, to || order, into);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {
    {"to", 0, "POS|TIME", "up to this position, or as this store showed it at this time; default: now"},
    {"order-time", 0, "TIME", "what is known now to have happened by then"},
    {"model", 0, "MODEL", "this model; default: main"},
    {"into", 0, "FILE.sqlite", "the file to make; it must not exist"},
    {"json", 0, NULL, "answers with one JSON object"},
    {0},
};
const dbk_cli_command dbk_cmd_replay = {
    "replay",
    "[STORE] [--to POS|TIME] --into FILE.sqlite",
    "builds the model anew from the log, into an SQLite file",
    "The recovery tool: needs nothing but the log and the app definition, changes nothing in the store, and works\n"
    "beside a daemon. Prints position, events and fingerprint.",
    "replay notes.daybook --into fresh.sqlite\nreplay notes.daybook --to 2026-11-21T04:05:06Z --into monday.sqlite",
    options,
    1,
    run,
};
