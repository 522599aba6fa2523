/* daybook log: the events. */
#include <stdatomic.h>

#include "cli/log_proof.h"

typedef struct reading {
    dbk_json_parser *parser;
    bool json, terminal;
    /* of --follow, which runs on a thread beside the one that waits for signals */
    dbk_follower *follower;
    atomic_bool stopped;
    dbk_result result;
    dbk_error error;
} reading;

static dbk_slice member(const dbk_json_node *event, const char *name)
{
    const dbk_json_node *node = dbk_json_member(event, name);
    return node ? node->text : (dbk_slice){NULL, 0};
}

static void put_readable(const reading *r, const dbk_json_node *event)
{
    dbk_slice actor = member(event, "actor");
    const dbk_json_node *data = dbk_json_member(event, "data");
    dbk_out(member(event, "position"));
    putchar('.');
    dbk_out(member(event, "index"));
    printf("  %.*s  ", DBK_SLICE_ARG(member(event, "time")));
    dbk_out_shown(member(event, "subject"), r->terminal);
    fputs("  ", stdout);
    dbk_out_shown(member(event, "type"), r->terminal);
    if (actor.size) {
        fputs("  by ", stdout);
        dbk_out_shown(actor, r->terminal);
    }
    if (data && data->kind == DBK_JSON_STRING) {
        dbk_buffer text;
        dbk_buffer_init(&text, dbk_port_system());
        dbk_json_put_string(&text, data->text);
        fputs("  ", stdout);
        if (text.failed) dbk_out_lacks_memory();
        else dbk_out_shown(dbk_buffer_slice(&text), r->terminal);
        dbk_buffer_release(&text);
    } else if (data) {
        fputs("  ", stdout);
        dbk_out_shown(data->text, r->terminal);
    }
    putchar('\n');
}

static bool on_event(void *arg, const char *text, size_t size)
{
    reading *r = arg;
    const dbk_json_node *event;
    dbk_result result = dbk_json_parse(r->parser, dbk_slice_of(text, size), &event, NULL);
    if (result == DBK_NO_MEMORY) dbk_out_lacks_memory();
    if (result != DBK_OK || event->kind != DBK_JSON_OBJECT) return result != DBK_NO_MEMORY;
    if (r->json) dbk_out_line(dbk_slice_of(text, size));
    else put_readable(r, event);
    return (!r->follower || dbk_out_flush()) && !ferror(stdout) && !r->stopped;
}

/* Until it is stopped, `--to` is shown or nobody reads any more. */
static void run_follow(void *arg)
{
    reading *r = arg;
    r->result = dbk_follower_run(r->follower, on_event, r, &r->error);
    if (!r->stopped) dbk_signals_raise(); /* it ended by itself */
}

static dbk_result follow(const dbk_cli *cli, dbk_cli_target *target, const dbk_log_range *range, reading *r,
                         dbk_error *err)
{
    const dbk_port *port = cli->port;
    dbk_thread *thread = NULL;
    dbk_signals_hold();
    dbk_result result = dbk_follower_new(target->store, range, &r->follower, err);
    if (result != DBK_OK) return result;
    int rc = port->thread_start(port->ctx, "dbk-follow", run_follow, r, &thread);
    if (rc == 0) {
        dbk_signals_wait();
        r->stopped = true;
        dbk_follower_stop(r->follower);
        port->thread_join(port->ctx, thread);
        result = r->result;
        *err = r->error;
    } else {
        result = dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start a thread to follow the log");
    }
    dbk_follower_free(r->follower);
    return result;
}

static int show(const dbk_cli *cli, dbk_cli_target *target, const dbk_log_range *range)
{
    reading r = {.parser = dbk_json_parser_new(cli->port),
                 .json = dbk_cli_flag(cli, "json"),
                 .terminal = dbk_terminal_is(stdout)};
    dbk_error err = {0};
    dbk_result result = r.parser ? DBK_OK : dbk_fail(&err, DBK_NO_MEMORY, "no memory to read the log");
    if (result == DBK_OK && dbk_cli_flag(cli, "follow")) result = follow(cli, target, range, &r, &err);
    else if (result == DBK_OK) result = dbk_read_log_range(target->store, range, on_event, &r, &err);
    dbk_json_parser_free(r.parser);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_FAILED);
}

/* Silence would look like a log without events. */
static void note_end(const dbk_cli *cli, dbk_cli_target *target, uint64_t from)
{
    dbk_cli_answer answer = {0};
    dbk_buffer request;
    int64_t position = 0;
    dbk_buffer_init(&request, cli->port);
    dbk_buffer_put_text(&request, "{\"do\":\"log\",\"limit\":1}");
    const dbk_json_node *node =
        dbk_cli_ask(target, &request, &answer, NULL) == DBK_OK ? dbk_json_member(answer.root, "position") : NULL;
    if (node && dbk_json_is_integer(node, &position) && from > (uint64_t)position)
        dbk_cli_note("the log ends at position %lld", (long long)position);
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    dbk_error err = {0};
    size_t used;
    uint64_t from = 1, to = 0;
    const char *first = dbk_cli_value(cli, "from"), *last = dbk_cli_value(cli, "to"),
               *since = dbk_cli_value(cli, "since");
    dbk_log_range range = {.stream = dbk_cli_value(cli, "stream"),
                           .type = dbk_cli_value(cli, "type"),
                           .reverse = dbk_cli_flag(cli, "reverse")};
    const char *word = cli->args.word_count > 0 ? cli->args.words[0] : NULL;
    if (dbk_log_proof_is(cli)) return dbk_log_proof_run(cli);
    if (cli->args.word_count > 1) return dbk_cli_usage(cli, "'%s' is one word too many", cli->args.words[1]);
    if ((first && dbk_cli_position(first, "--from", &from, &err) != DBK_OK) ||
        (last && dbk_cli_position(last, "--to", &to, &err) != DBK_OK))
        return dbk_cli_wrong(cli, &err);
    if (since && dbk_cli_time(since, "--since", &range.since_ms, &err) != DBK_OK) return dbk_cli_wrong(cli, &err);
    if (range.reverse && dbk_cli_flag(cli, "follow"))
        return dbk_cli_usage(cli, "--follow goes forward, --reverse does not");
    range.from = from = from ? from : 1;
    range.to = to;
    int status = dbk_cli_store_word(cli, word != NULL, &target, &used);
    if (!status) status = dbk_cli_open(cli, DBK_CLI_LOG, &target);
    if (status) return status;
    bool nothing = last && to == 0; /* stands before the first */
    status = nothing ? DBK_EXIT_DONE : show(cli, &target, &range);
    if (!status && from > 1 && !nothing && !dbk_cli_flag(cli, "follow")) note_end(cli, &target, from);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {
    {"from", 0, "POS", "from this position; default: the first"},
    {"to", 0, "POS", "up to this position; default: the last"},
    {"stream", 0, "STREAM", "only this stream, e.g. notes/n1"},
    {"type", 0, "TYPE", "only this type, e.g. notes.put"},
    {"since", 0, "TIME", "received then or later, e.g. 2026-11-21 or 2026-11-21T04:05:06Z"},
    {"reverse", 'r', NULL, "the newest first"},
    {"follow", 'f', NULL, "goes on with what comes, until it is stopped"},
    {"json", 0, NULL, "CloudEvents 1.0, one per line; of a head, its statement"},
    {"into", 0, "FILE", "writes the head or the proof to this file"},
    {"sign", 0, NULL, "head: signs FILE; the signature is FILE.minisig"},
    {"key-file", 0, "KEY", "head --sign: the secret key, minisign's form without a password"},
    {"at", 0, "COUNT", "prove: under the head of so many entries; default: of all"},
    {"signed-head", 0, "FILE", "prove: under the head in this file; check-proof: it must be that one"},
    {"with-entry", 0, NULL, "prove: puts the entry's bytes into the proof"},
    {"public-key", 0, "KEY", "check-proof: the head must be signed by this key"},
    {0},
};
const dbk_cli_command dbk_cmd_log = {
    "log",
    "[STORE|URL] [--from POS] [--to POS] [--stream STREAM] [--type TYPE] [--since TIME] [--reverse] [--follow]",
    "prints the events, and proofs over them",
    "One line per event: position and index, time, stream, type, actor, data. With one of these words first it is\n"
    "about proofs, which anybody can check without the log (docs/format/proof.md):\n"
    "  log head [STORE]                the digest that stands for all entries; --sign signs it (Ed25519, minisign)\n"
    "  log prove [STORE] POS           that the entry at POS is under the head\n"
    "  log consistency [STORE] OLD [NEW]  that a head extends an older one: counts, or files of heads\n"
    "  log check-proof FILE            checks a head, proof of an entry, or of consistency\n"
    "  log key new FILE                makes a key to sign with; the public one is FILE.pub",
    "log notes.daybook --from 10\nlog notes.daybook --stream notes/n1 --json\nlog notes.daybook --since 2026-11-21 "
    "--reverse\nlog notes.daybook --follow\n"
    "log key new me.key\nlog head notes.daybook --into head.json --sign --key-file me.key\n"
    "log prove notes.daybook 17 --signed-head head.json --into proof.json\n"
    "log check-proof proof.json --signed-head head.json --public-key me.key.pub\nlog consistency notes.daybook "
    "head.json",
    options,
    4,
    run,
};
