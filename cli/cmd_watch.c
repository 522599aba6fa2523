/* daybook watch: the change feed, live, with catch-up. */
#include "cli/cli.h"

#include <stdatomic.h>

/* Runs on a thread of the client: one message, one line, at once. */
static void on_change(void *arg, const char *message, size_t size)
{
    (void)arg;
    flockfile(stdout);
    dbk_out_line(dbk_slice_of(message, size));
    bool good = dbk_out_flush();
    funlockfile(stdout);
    if (!good) dbk_signals_raise();
}

/* A bare position is one of this store's present life. */
static dbk_result cursor_of(dbk_cli_target *target, const char *from, dbk_buffer *cursor, dbk_error *err)
{
    if (from[0] == '[') {
        dbk_buffer_put_text(cursor, from);
        return dbk_buffer_text(cursor) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for the cursor");
    }
    uint64_t position = 0;
    dbk_buffer request;
    dbk_cli_answer answer = {0};
    dbk_buffer_init(&request, cursor->port);
    dbk_buffer_put_text(&request, "{\"do\":\"status\"}");
    dbk_result result = dbk_cli_position(from, "--from", &position, err);
    if (result == DBK_OK) result = dbk_cli_ask(target, &request, &answer, err);
    if (result == DBK_OK) {
        const dbk_json_node *timeline = dbk_json_member(answer.root, "timeline");
        const dbk_json_node *generation = dbk_json_member(answer.root, "generation");
        int64_t number = 0;
        if (!timeline || !generation || !dbk_json_is_integer(generation, &number)) {
            result = dbk_fail(err, DBK_INTERNAL, "a status without timeline and generation");
        } else {
            dbk_buffer_put_u8(cursor, '[');
            dbk_json_put_string(cursor, timeline->text);
            dbk_buffer_printf(cursor, ",%lld,%llu]", (long long)number, (unsigned long long)position);
        }
    }
    if (result == DBK_OK && !dbk_buffer_text(cursor)) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the cursor");
    dbk_cli_answer_release(&answer);
    dbk_buffer_release(&request);
    return result;
}

/* ---- is the daemon still there */

enum { LOOK_MS = 500, WAIT_S = 60, WAIT_MAX_S = 86400 };
typedef struct pulse {
    atomic_bool asked, lost; /* an empty message is on its way; the last one came back without an answer */
} pulse;

/* On a thread of the client. The daemon answers nothing with nothing. */
static void on_pulse(void *arg, const char *answer, size_t size)
{
    pulse *p = arg;
    (void)answer;
    p->lost = size > 0;
    p->asked = false;
}

/* Until a signal comes, or the daemon has been away for too long. The subscription connects again by itself. */
static int follow(const dbk_cli *cli, dbk_store *store, pulse *p, uint64_t wait_s)
{
    const dbk_port *port = cli->port;
    dbk_error err = {0};
    int64_t gone_ns = 0;
    while (!dbk_signals_came(LOOK_MS)) {
        bool lost = p->lost;
        int64_t now = port->monotonic_ns(port->ctx);
        if (lost && !gone_ns)
            dbk_cli_note("the daemon has ended; waiting %llu s for it to come back", (unsigned long long)wait_s);
        if (lost && !gone_ns) gone_ns = now;
        if (!lost && gone_ns && !p->asked) {
            dbk_cli_note("the daemon is back");
            gone_ns = 0;
        }
        if (gone_ns && now - gone_ns >= (int64_t)wait_s * 1000000000) {
            dbk_fail(&err, DBK_UNAVAILABLE, "the daemon has not come back in %llu s", (unsigned long long)wait_s);
            dbk_error_hint(&err, "start it with 'daybook serve', then watch again, with --from what was seen last");
            return dbk_cli_fail(&err, DBK_EXIT_FAILED);
        }
        if (p->asked) continue;
        p->asked = true;
        if (dbk_send(store, "", 0, on_pulse, p, NULL) != DBK_OK) p->asked = false;
    }
    return DBK_EXIT_DONE;
}

static int watch(const dbk_cli *cli, dbk_cli_target *target, pulse *p, uint64_t wait_s)
{
    const char *from = dbk_cli_value(cli, "from");
    dbk_error err = {0};
    dbk_subscription *subscription = NULL;
    dbk_buffer cursor;
    dbk_buffer_init(&cursor, cli->port);
    dbk_result result = from ? cursor_of(target, from, &cursor, &err) : DBK_OK;
    if (result == DBK_OK)
        result = dbk_subscribe(target->store, dbk_cli_value(cli, "table"), from ? (const char *)cursor.data : NULL,
                               on_change, NULL, &subscription, &err);
    dbk_buffer_release(&cursor);
    if (result != DBK_OK) return dbk_cli_fail(&err, result == DBK_USAGE ? DBK_EXIT_USAGE : DBK_EXIT_FAILED);
    int status = follow(cli, target->store, p, wait_s);
    dbk_unsubscribe(subscription);
    return status;
}

static int run(dbk_cli *cli)
{
    dbk_cli_target target;
    size_t used;
    dbk_error err = {0};
    uint64_t wait_s = WAIT_S;
    const char *wait = dbk_cli_value(cli, "wait");
    if (wait && (dbk_cli_position(wait, "--wait", &wait_s, NULL) != DBK_OK || wait_s > WAIT_MAX_S))
        return dbk_cli_usage(cli, "'--wait %s' is no number of seconds up to %d", wait, WAIT_MAX_S);
    int status = dbk_cli_store_word(cli, cli->args.word_count > 0, &target, &used);
    if (status) return status;
    dbk_signals_hold();
    const char *path = target.path ? target.path : target.found;
    if (dbk_connect(path, NULL, &target.store, &err) != DBK_OK) {
        if (!dbk_cli_is_url(path) && (status = dbk_cli_is_openable(cli, path)) != 0) return status;
        if (!err.hint[0]) dbk_error_hint(&err, "a daemon has to serve it: 'daybook serve STORE'");
        return dbk_cli_fail(&err, DBK_EXIT_FAILED);
    }
    pulse p = {false, false}; /* until the client is closed */
    status = watch(cli, &target, &p, wait_s);
    dbk_cli_close(&target);
    return status;
}

static const dbk_cli_option options[] = {
    {"table", 0, "TABLE", "only this table; default: all"},
    {"from", 0, "POS|CURSOR", "first what changed since then: a position or a cursor [timeline,generation,position]"},
    {"wait", 0, "SECONDS", "for a daemon that has ended to come back; default: 60"},
    {"json", 0, NULL, "as always: one JSON object per line"},
    {0},
};
const dbk_cli_command dbk_cmd_watch = {
    "watch",
    "[STORE|URL] [--table TABLE] [--from POS|CURSOR] [--wait SECONDS]",
    "prints every change as it happens",
    "One JSON object per commit and table. A message with \"reset\":true says: read the table anew. It follows the\n"
    "daemon across a restart and misses nothing; if none comes back in time, it ends with status 1.",
    "watch notes.daybook\nwatch notes.daybook --table notes --from 17",
    options,
    1,
    run,
};
