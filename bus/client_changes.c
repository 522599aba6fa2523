/* A subscription over a connection: live messages of the feed, and what those miss asked for on
 * the command socket.
 *
 * A position is kept per table. A message is handed out if `previous` <= mine < position, dropped if
 * position <= mine; otherwise something is missing, and the rows touched since mine are asked for. A head
 * message does the same for messages whose loss no later one shows. So the caller sees each table move
 * forward only, and ends equal to the model whatever is lost. What cannot be asked for (no
 * connection) is asked for with the next message or head. */
#include "bus/client_changes.h"

/* ---- one table */

static dbk_track *track_of(dbk_client_subscription *s, dbk_slice table)
{
    for (dbk_track *track = s->tracks; track; track = track->next)
        if (dbk_slice_equal(dbk_slice_text(track->table), table)) return track;
    dbk_track *track = dbk_alloc_zero(s->client->port, 1, sizeof *track + table.size + 1);
    if (!track) return NULL;
    memcpy(track->table, table.data, table.size);
    track->cursor = s->start;
    track->next = s->tracks;
    s->tracks = track;
    return track;
}

static bool is_wanted(const dbk_client_subscription *s, dbk_slice table)
{
    return !s->table || dbk_slice_equal(dbk_slice_text(s->table), table);
}

static bool same_life(const dbk_cursor *a, const dbk_cursor *b)
{
    return a->generation == b->generation && strcmp(a->timeline, b->timeline) == 0;
}

static bool is_true(const dbk_json_node *node)
{
    return node && node->kind == DBK_JSON_TRUE;
}

/* {"do":"changes"} for the table; what it says goes to the caller when it says something. */
static dbk_result catch_up(dbk_client_subscription *s, dbk_track *track, bool hand_out, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_cursor now;
    dbk_text answer = {0};
    dbk_result result = dbk_changes_ask(s, track->table, &track->cursor, &answer, &root, err);
    if (result == DBK_OK && !dbk_cursor_read(root, &now))
        result = dbk_fail(err, DBK_INTERNAL, "changes without a position");
    if (result == DBK_OK) {
        const dbk_json_node *changes = dbk_json_member(root, "changes"), *reset = dbk_json_member(root, "reset");
        bool says_something = (changes && changes->count) || is_true(reset);
        if (hand_out && says_something) s->each(s->arg, answer.data, answer.size);
    }
    /* Behind a position of the same life it would be handed out twice. */
    if (result == DBK_OK && (!same_life(&now, &track->cursor) || now.position > track->cursor.position))
        track->cursor = now;
    dbk_text_free(&answer);
    return result;
}

/* ---- messages */

/* A message that was too big for its rows is treated as a gap, so that the caller always gets rows. */
static void take_change(dbk_client_subscription *s, const dbk_json_node *root, const char *json, size_t size)
{
    const dbk_json_node *table = dbk_json_member(root, "table"), *before = dbk_json_member(root, "previous");
    dbk_cursor now;
    int64_t previous;
    if (!table || table->kind != DBK_JSON_STRING || !is_wanted(s, table->text) || !dbk_cursor_read(root, &now)) return;
    if (!before || !dbk_json_is_integer(before, &previous) || previous < 0) return;
    dbk_track *track = track_of(s, table->text);
    if (!track) return; /* the next head shows it */
    bool is_same = same_life(&now, &track->cursor);
    if (is_same && now.position <= track->cursor.position) return;
    bool has_rows = !is_true(dbk_json_member(root, "keys")) && !is_true(dbk_json_member(root, "reset"));
    if (!is_same || !has_rows || (uint64_t)previous > track->cursor.position) {
        (void)catch_up(s, track, true, NULL);
        return;
    }
    s->each(s->arg, json, size);
    track->cursor = now;
}

/* A head that something is still missing for is not handed out: whoever keeps its position would skip it. */
static void take_head(dbk_client_subscription *s, const dbk_json_node *root, const char *json, size_t size)
{
    const dbk_json_node *last = dbk_json_member(root, "last");
    dbk_cursor now;
    bool is_whole = true;
    if (!last || last->kind != DBK_JSON_OBJECT || !dbk_cursor_read(root, &now)) return;
    const dbk_json_node *table = last + 1;
    for (uint32_t i = 0; i < last->count; i++, table = dbk_json_next(table)) {
        int64_t position;
        if (!is_wanted(s, table->name) || !dbk_json_is_integer(table, &position) || position < 0) continue;
        dbk_track *track = track_of(s, table->name);
        if (track && same_life(&now, &track->cursor) && (uint64_t)position <= track->cursor.position) continue;
        if (!track || catch_up(s, track, true, NULL) != DBK_OK) is_whole = false;
    }
    bool is_told = is_true(dbk_json_member(root, "reset")); /* of messages forgotten: to a caller "reset" means rows */
    if (is_whole && !is_told) s->each(s->arg, json, size);
}

/* topic NUL json. */
static void take_message(dbk_client_subscription *s, const dbk_heard *heard)
{
    const dbk_json_node *root;
    size_t head = strlen(heard->data);
    if (head >= heard->size) return; /* a loss like any other */
    const char *json = heard->data + head + 1;
    size_t json_size = heard->size - head - 1;
    if (dbk_json_parse(s->parser, dbk_slice_of(json, json_size), &root, NULL) != DBK_OK ||
        root->kind != DBK_JSON_OBJECT)
        return;
    if (strcmp(heard->data, DBK_BUS_HEAD_TOPIC) == 0) take_head(s, root, json, json_size);
    else take_change(s, root, json, json_size);
}

static void run_subscription(void *arg)
{
    dbk_client_subscription *s = arg;
    for (dbk_track *track = s->tracks; s->catches_up && track; track = track->next)
        (void)catch_up(s, track, true, NULL);
    for (dbk_heard *heard; (heard = dbk_feed_next(s)) != NULL; dbk_free(s->client->port, heard)) take_message(s, heard);
}

/* ---- life */

/* "From now" is after all that is visible: hello may run ahead of the model, so one table is asked, which
 * waits for the turn that decides; every table then starts where that turn ended. */
static dbk_result find_start(dbk_client_subscription *s, dbk_error *err)
{
    dbk_result result = DBK_OK;
    if (s->catches_up || !s->tracks) return DBK_OK;
    result = catch_up(s, s->tracks, false, err);
    if (result == DBK_OK) s->start = s->tracks->cursor;
    for (dbk_track *track = s->tracks; track; track = track->next) track->cursor = s->start;
    return result;
}

static void free_subscription(dbk_client_subscription *s)
{
    const dbk_port *port = s->client->port;
    dbk_feed_close(s);
    for (dbk_track *track = s->tracks, *next; track; track = next) {
        next = track->next;
        dbk_free(port, track);
    }
    dbk_json_parser_free(s->parser);
    dbk_json_parser_free(s->answer_parser);
    dbk_free(port, s->table);
    dbk_free(port, s);
}

static dbk_result start(dbk_client_subscription *s, const char *from, dbk_error *err)
{
    const dbk_port *port = s->client->port;
    s->parser = dbk_json_parser_new(port);
    s->answer_parser = dbk_json_parser_new(port);
    if (!s->parser || !s->answer_parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    dbk_json_parser_any_count(s->parser); /* what one batch or a long absence changed may be more than a command has */
    dbk_json_parser_any_count(s->answer_parser);
    dbk_result result = dbk_feed_open(s, err);
    if (result == DBK_OK) result = dbk_changes_hello(s, from, track_of, err);
    if (result == DBK_OK) result = find_start(s, err);
    if (result != DBK_OK) return result;
    dbk_hold(port, s->client->mutex);
    s->next = s->client->subscriptions;
    s->client->subscriptions = s;
    dbk_let(port, s->client->mutex);
    int rc = port->thread_start(port->ctx, "dbk-changes", run_subscription, s, &s->thread);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start a thread");
}

dbk_result dbk_client_subscribe(void *ctx, const char *table, const char *from, dbk_change_fn each, void *arg,
                                void **out, dbk_error *err)
{
    dbk_client *client = ctx;
    if (table && strlen(table) > DBK_TOPIC_MAX)
        return dbk_fail(err, DBK_UNKNOWN_TABLE, "there is no table '%.64s…'", table);
    dbk_client_subscription *s = dbk_alloc_zero(client->port, 1, sizeof *s);
    if (!s) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    *s = (dbk_client_subscription){.client = client, .each = each, .arg = arg, .catches_up = from != NULL};
    s->table = table ? dbk_copy_text(client->port, table) : NULL;
    dbk_result result =
        table && !s->table ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription") : start(s, from, err);
    if (result == DBK_OK) *out = s;
    else dbk_client_unsubscribe(client, s);
    return result;
}

void dbk_client_unsubscribe(void *ctx, void *subscription)
{
    dbk_client *client = ctx;
    dbk_client_subscription *s = subscription;
    dbk_hold(client->port, client->mutex);
    for (dbk_client_subscription **at = &client->subscriptions; *at; at = &(*at)->next) {
        if (*at != s) continue;
        *at = s->next;
        break;
    }
    s->stopping = true;
    dbk_client_cancel(client, &s->stopping);
    if (s->wake) client->port->cond_broadcast(client->port->ctx, s->wake);
    dbk_let(client->port, client->mutex);
    if (s->thread) client->port->thread_join(client->port->ctx, s->thread);
    free_subscription(s);
}
