/* Rules of time: rows whose time is over are deleted by commands like a client's, so that they are in the
 * log, on the feed, in the history.
 *
 *   1. the id of a delete says rule, row and the entry that wrote the row last: of several devices that
 *      come to it, one applies
 *   2. at most a tenth of a table's rows goes in a day (100 always may): a wrong rule is found in time
 *      (of rows that projections write it is a command of the app, with the same id and brake)
 *   3. a clock that jumped is not believed: rules rest until it has been steady again
 *   4. a rule with an archive has its rows in that file, durable, before they are deleted (archive.h) */
#include "store/retention.h"

#include <errno.h>
#include <stdio.h>

#include "store/archive.h"
#include "store/request.h"
#include "store/turn.h"

enum {
    FLOOR_ROWS = 100,
    TENTH = 10,
    LOOK_BACK_ENTRIES = 100000,
    PIECE = 1000,
    HELD_MAX = 2000,
    ARCHIVED_BYTES = 1024 * 1024, /* of a piece, but for its last row */
};
static const int64_t minute_ms = 60000, day_ms = 86400000, ms_ns = 1000000;
static const char actor[] = "daybook:retention";

typedef struct dbk_rule_state {
    int64_t next_ns; /* when it is due */
    dbk_archive archive;
    dbk_result failed; /* what the last look came to */
    int64_t failed_ms;
    char failure[DBK_ERROR_TEXT_SIZE];
} dbk_rule_state;

typedef struct dbk_brake { /* per table that has rules */
    const dbk_table *table;
    int64_t since_ns; /* of the day; 0: not begun */
    uint64_t allowed, gone;
} dbk_brake;

struct dbk_retention {
    dbk_engine *engine;
    dbk_mutex *mutex;
    dbk_cond *wanted;
    dbk_thread *thread;
    bool closing, woken; /* under the mutex; woken: looks at once */
    /* all below: the turn is held */
    const dbk_definition *definition; /* what the states belong to */
    dbk_rule_state *rules;
    size_t rule_count;
    dbk_brake *brakes;
    int64_t wall_ms, mono_ns; /* of the last look; 0: none yet */
    int64_t rest_until_ns;
};

/* ---- the clock */

/* A sleeping machine looks like a clock that jumped ahead by hours: it rests a while. Longer jumps, and
 * any back, cost a day. */
static bool is_steady(struct dbk_retention *r, int64_t wall_ms, int64_t mono_ns)
{
    int64_t drift = r->mono_ns ? (wall_ms - r->wall_ms) - (mono_ns - r->mono_ns) / ms_ns : 0;
    int64_t known_ms = (int64_t)(r->engine->hlc >> 16);

    r->wall_ms = wall_ms;
    r->mono_ns = mono_ns;
    if (drift > minute_ms) r->rest_until_ns = mono_ns + (drift > 3 * day_ms ? day_ms : 10 * minute_ms) * ms_ns;
    if (drift < -minute_ms) r->rest_until_ns = mono_ns + day_ms * ms_ns;
    return mono_ns >= r->rest_until_ns && wall_ms >= known_ms - minute_ms;
}

/* ---- states */

static void free_rules(struct dbk_retention *r)
{
    for (size_t i = 0; r->rules && i < r->rule_count; i++) dbk_buffer_release(&r->rules[i].archive.known);
    dbk_free(r->engine->port, r->rules);
    dbk_free(r->engine->port, r->brakes);
    r->rules = NULL;
    r->brakes = NULL;
}

static dbk_result take_definition(struct dbk_retention *r, int64_t mono_ns, dbk_error *err)
{
    const dbk_port *port = r->engine->port;
    const dbk_definition *definition = r->engine->definition;
    const dbk_app *app = definition->app;

    if (r->definition == definition) return DBK_OK;
    free_rules(r);
    r->definition = NULL;
    r->rule_count = app->retention_count;
    r->rules = dbk_alloc_zero(port, r->rule_count + 1, sizeof *r->rules);
    r->brakes = dbk_alloc_zero(port, app->retention_count + 1, sizeof *r->brakes);
    if (!r->rules || !r->brakes) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the rules of retention");
    for (size_t i = 0; i < app->retention_count; i++) {
        int64_t first =
            (int64_t)app->retention[i].every_ms < minute_ms ? (int64_t)app->retention[i].every_ms : minute_ms;
        r->rules[i].next_ns = mono_ns + first * ms_ns; /* not with the first commands */
        dbk_buffer_init(&r->rules[i].archive.known, port);
        size_t at = 0;
        while (r->brakes[at].table && r->brakes[at].table != app->retention[i].table) at++;
        r->brakes[at].table = app->retention[i].table;
    }
    r->definition = definition;
    return DBK_OK;
}

static dbk_brake *brake_of(struct dbk_retention *r, const dbk_table *table)
{
    size_t at = 0;
    while (r->brakes[at].table != table) at++;
    return &r->brakes[at];
}

/* ---- the brake */

static bool is_delete(const dbk_definition *definition, const dbk_event *event)
{
    const dbk_table *table;
    dbk_row_op op;
    return dbk_definition_row_event(definition, event->type, &table, &op) && op == DBK_OP_DELETED;
}

/* The command of a rule is known by its id alone. One with a digest in it may be of any rule that has a command: rather
 * one too many counts than one too few. */
static bool is_of_rule(const dbk_definition *definition, const dbk_entry *entry, const dbk_event *event,
                       const dbk_table *table)
{
    enum { RETAIN_SIZE = sizeof "retain/" - 1 };
    const dbk_app *app = definition->app;

    for (size_t i = 0; i < app->retention_count; i++) {
        const dbk_retention_rule *rule = &app->retention[i];
        size_t size = strlen(rule->name);
        dbk_slice id = entry->command_id;
        if (!rule->command || rule->table != table || id.size <= RETAIN_SIZE + size) continue;
        if (id.data[RETAIN_SIZE] == '#') return !is_delete(definition, event);
        if (memcmp(id.data + RETAIN_SIZE, rule->name, size) == 0 && id.data[RETAIN_SIZE + size] == '/') return true;
    }
    return false;
}

static bool is_own(const dbk_definition *definition, const dbk_entry *entry, const dbk_table *table)
{
    dbk_slice rest = entry->events;
    dbk_event event;
    size_t size = strlen(table->name);

    if (!dbk_slice_equal(entry->actor, dbk_slice_text(actor)) || !dbk_event_next(&rest, &event)) return false;
    return is_of_rule(definition, entry, &event, table) ||
           (event.stream.size > size && memcmp(event.stream.data, table->name, size) == 0 &&
            event.stream.data[size] == '/');
}

/* What went in the last day, by the log: a store that is opened again goes on counting. */
static dbk_result count_gone(dbk_engine *engine, const dbk_table *table, int64_t now_ms, uint64_t *gone, dbk_error *err)
{
    uint64_t position = dbk_log_position(engine->log);
    dbk_result result = DBK_OK;

    *gone = 0;
    for (int looked = 0; result == DBK_OK && position > 0 && looked < LOOK_BACK_ENTRIES; looked++, position--) {
        int64_t received_ms = 0;
        dbk_entry entry;
        result = dbk_log_read(engine->log, position, &engine->message, &received_ms, err);
        if (result == DBK_NONE) return DBK_OK;
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&engine->message), &entry, err);
        if (result == DBK_OK && received_ms < now_ms - day_ms) break;
        if (result == DBK_OK) *gone += is_own(engine->definition, &entry, table);
    }
    return result;
}

static dbk_result take_brake(struct dbk_retention *r, dbk_brake *brake, int64_t now_ms, int64_t mono_ns, dbk_error *err)
{
    uint64_t rows;
    dbk_result result;

    if (brake->since_ns && mono_ns - brake->since_ns < day_ms * ms_ns) return DBK_OK;
    bool first = brake->since_ns == 0;
    brake->gone = 0;
    result = dbk_model_count_rows(r->engine->model, brake->table, &rows, err);
    if (result == DBK_OK && first) result = count_gone(r->engine, brake->table, now_ms, &brake->gone, err);
    if (result != DBK_OK) return result;
    uint64_t tenth = (rows + brake->gone + TENTH - 1) / TENTH;
    brake->allowed = tenth > FLOOR_ROWS ? tenth : FLOOR_ROWS;
    brake->since_ns = mono_ns;
    return DBK_OK;
}

/* ---- deletes */

typedef struct dbk_due {
    dbk_engine *engine;
    const dbk_retention_rule *rule;
    dbk_archive *archive;
    dbk_json_parser *parser;
    dbk_buffer commands, id, key;
    size_t count;
    dbk_archive_piece piece; /* where the rule has an archive: a line for each command */
} dbk_due;

/* retain/<rule>/<key>/<base>; a key that leaves no room is named by its digest. */
static void put_id(dbk_due *due, dbk_slice key, const char *base)
{
    uint8_t digest[16];
    char hex[33];

    dbk_buffer_clear(&due->id);
    dbk_buffer_printf(&due->id, "retain/%s/%.*s/%s", due->rule->name, DBK_SLICE_ARG(key), base);
    if (due->id.size <= DBK_COMMAND_ID_MAX_BYTES) return;
    dbk_buffer_clear(&due->id);
    dbk_buffer_printf(&due->id, "%s/%.*s", due->rule->name, DBK_SLICE_ARG(key));
    dbk_digest(DBK_DIGEST_COMMAND, dbk_buffer_slice(&due->id), digest, sizeof digest);
    dbk_hex_encode(dbk_slice_of(digest, sizeof digest), hex);
    dbk_buffer_clear(&due->id);
    dbk_buffer_printf(&due->id, "retain/#%s/%s", hex, base);
}

/* "args": the columns of the key by their names. */
static dbk_result put_args(dbk_due *due, dbk_slice key, dbk_error *err)
{
    const dbk_table *table = due->rule->table;
    const dbk_json_node *root, *part;
    dbk_buffer *out = &due->commands;

    dbk_buffer_clear(&due->key);
    dbk_key_to_json(table, key, &due->key);
    if (due->key.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for what a retention rule ends");
    dbk_result result = dbk_json_parse(due->parser, dbk_buffer_slice(&due->key), &root, err);
    if (result != DBK_OK) return result;
    part = table->key_count > 1 ? dbk_json_child(root) : root;
    for (uint16_t i = 0; i < table->key_count; i++, part = dbk_json_next(part)) {
        dbk_buffer_put_text(out, i ? "," : ",\"args\":{");
        dbk_json_put_string(out, dbk_slice_text(table->columns[table->key_columns[i]].name));
        dbk_buffer_put_u8(out, ':');
        dbk_json_put_minimal(out, part);
    }
    dbk_buffer_put_u8(out, '}');
    return DBK_OK;
}

/* The row as it is before its command; DBK_END: the piece is full with it. */
static dbk_result add_line(dbk_due *due, dbk_slice key, const char *base, dbk_error *err)
{
    dbk_archive_piece *piece = &due->piece;

    dbk_buffer_clear(&piece->row);
    dbk_result result = dbk_model_row_json(due->engine->model, due->rule->table, key, &piece->row, err);
    if (result == DBK_NONE) result = dbk_fail(err, DBK_INTERNAL, "a row that a retention rule ends is not there");
    if (result == DBK_OK) result = dbk_archive_piece_add(piece, key, dbk_buffer_slice(&due->id), base, err);
    return result == DBK_OK && piece->lines.size >= ARCHIVED_BYTES ? DBK_END : result;
}

static dbk_result add_command(void *arg, dbk_slice key, const char *base, dbk_error *err)
{
    dbk_due *due = arg;
    const dbk_retention_rule *rule = due->rule;
    dbk_buffer *out = &due->commands;
    dbk_result result = DBK_OK;

    put_id(due, key, base);
    dbk_buffer_put_text(out, due->count++ ? ",{\"id\":" : "[{\"id\":");
    dbk_json_put_string(out, dbk_buffer_slice(&due->id));
    dbk_buffer_printf(out, ",\"actor\":\"%s\",\"do\":\"%s\"", actor, rule->command ? rule->command->name : "delete");
    if (rule->command) {
        result = put_args(due, key, err);
    } else {
        dbk_buffer_printf(out, ",\"table\":\"%s\",\"key\":", rule->table->name);
        dbk_key_to_json(rule->table, key, out);
    }
    dbk_buffer_put_u8(out, '}');
    if (result != DBK_OK) return result;
    if (out->failed || due->id.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for what a retention rule ends");
    return rule->archive ? add_line(due, key, base, err) : DBK_OK;
}

/* Receipts that cannot be read, for want of memory, count as accepted ones: the brake is for what goes wrong. */
static uint64_t count_deleted(dbk_due *due, dbk_slice receipts)
{
    const dbk_json_node *root, *one;
    uint64_t count = 0;

    if (dbk_json_parse(due->parser, receipts, &root, NULL) != DBK_OK || root->kind != DBK_JSON_ARRAY) {
        dbk_archive_doubt(due->archive);
        return due->count;
    }
    one = dbk_json_child(root);
    for (uint32_t i = 0; i < root->count; i++, one = dbk_json_next(one)) {
        const dbk_json_node *ok = dbk_json_member(one, "ok");
        bool gone = ok && ok->kind == DBK_JSON_TRUE && !dbk_json_member(one, "again");
        if (!gone && due->rule->archive && i < due->count) dbk_archive_stays(due->archive, &due->piece, i);
        count += gone;
    }
    return count;
}

/* Up to `most` rows in one turn, behind the first `held`. */
static dbk_result delete_due(dbk_due *due, int64_t now_ms, uint64_t held, uint64_t most, uint64_t *deleted,
                             dbk_error *err)
{
    dbk_engine *engine = due->engine;
    dbk_buffer answer;
    dbk_turn_item item = {.answer = &answer};
    dbk_result result;

    dbk_buffer_clear(&due->commands);
    dbk_archive_piece_clear(&due->piece);
    due->count = 0;
    *deleted = 0;
    result = dbk_model_due(engine->model, due->rule, now_ms, held, most, add_command, due, err);
    if (result == DBK_END) result = DBK_OK;
    if (result != DBK_OK || due->count == 0) return result;
    dbk_buffer_put_u8(&due->commands, ']');
    if (due->commands.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for what a retention rule ends");
    if (due->rule->archive) result = dbk_archive_keep(engine, due->archive, &due->piece, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&answer, engine->port);
    item.json = dbk_buffer_slice(&due->commands);
    result = dbk_turn_decide(engine, &item, 1, now_ms, err);
    if (result == DBK_OK) *deleted = count_deleted(due, dbk_buffer_slice(&answer));
    else dbk_archive_doubt(due->archive);
    dbk_buffer_release(&answer);
    return result;
}

static dbk_result run_rule(struct dbk_retention *r, size_t index, int64_t now_ms, int64_t mono_ns, uint64_t *deleted,
                           dbk_error *err)
{
    const dbk_port *port = r->engine->port;
    const dbk_retention_rule *rule = &r->definition->app->retention[index];
    dbk_brake *brake = brake_of(r, rule->table);
    dbk_due due = {.engine = r->engine, .rule = rule, .archive = &r->rules[index].archive, .parser = r->engine->parser};
    uint64_t left = rule->limit, held = 0;
    dbk_result result = take_brake(r, brake, now_ms, mono_ns, err);

    dbk_buffer_init(&due.commands, port);
    dbk_buffer_init(&due.id, port);
    dbk_buffer_init(&due.key, port);
    dbk_archive_piece_init(&due.piece, r->engine, rule, now_ms);
    /* a model that is behind still shows what went */
    while (result == DBK_OK && left > 0 && brake->gone < brake->allowed && held < HELD_MAX && !r->engine->behind) {
        uint64_t most = brake->allowed - brake->gone < left ? brake->allowed - brake->gone : left, some = 0;
        result = delete_due(&due, now_ms, held, most < PIECE ? most : PIECE, &some, err);
        if (due.count == 0) break;
        held += due.count - some; /* refused: they stay where they are, before those that were not looked at */
        brake->gone += some;
        *deleted += some;
        left -= some < left ? some : left;
    }
    dbk_buffer_release(&due.commands);
    dbk_buffer_release(&due.id);
    dbk_buffer_release(&due.key);
    dbk_archive_piece_release(&due.piece);
    return result;
}

/* ---- a look */

static void note_failure(dbk_rule_state *state, dbk_result result, int64_t now_ms, const dbk_error *error)
{
    state->failed = result;
    state->failed_ms = now_ms;
    memcpy(state->failure, error->text, sizeof state->failure);
}

/* A rule that fails is tried again when it is due, and the others go on; the first failure is the answer. */
static dbk_result look(struct dbk_retention *r, int64_t now_ms, int64_t mono_ns, uint64_t *deleted, dbk_error *err)
{
    dbk_engine *engine = r->engine;
    dbk_error error = {0};
    dbk_result result = DBK_OK;

    if (engine->dead || engine->reading || engine->behind || !engine->model) return DBK_OK;
    result = take_definition(r, mono_ns, err);
    if (result != DBK_OK || !is_steady(r, now_ms, mono_ns)) return result;
    for (size_t i = 0; i < r->rule_count && !engine->dead && !engine->behind; i++) {
        dbk_rule_state *state = &r->rules[i];
        if (mono_ns < state->next_ns) continue;
        dbk_result one = run_rule(r, i, now_ms, mono_ns, deleted, &error);
        note_failure(state, one, now_ms, &error);
        if (one != DBK_OK && result == DBK_OK && err) *err = error;
        if (result == DBK_OK) result = one;
        state->next_ns = mono_ns + (int64_t)r->definition->app->retention[i].every_ms * ms_ns;
    }
    return result;
}

void dbk_retention_put(const dbk_engine *engine, dbk_buffer *out)
{
    const struct dbk_retention *r = engine->retention;
    char time[DBK_TIME_TEXT_SIZE];
    bool first = true;

    for (size_t i = 0; r && r->definition && i < r->rule_count; i++) {
        const dbk_rule_state *state = &r->rules[i];
        if (state->failed == DBK_OK) continue;
        dbk_buffer_printf(out, "%s{\"rule\":\"%s\"", first ? ",\"retention_failed\":[" : ",",
                          r->definition->app->retention[i].name);
        dbk_request_put_text(out, "error", dbk_slice_text(dbk_result_wire_name(state->failed)));
        dbk_request_put_text(out, "class", dbk_slice_text(dbk_class_name(dbk_result_class(state->failed))));
        dbk_request_put_text(out, "message", dbk_slice_text(state->failure));
        dbk_time_rfc3339(state->failed_ms, time);
        dbk_request_put_text(out, "at", dbk_slice_text(time));
        dbk_buffer_put_u8(out, '}');
        first = false;
    }
    if (!first) dbk_buffer_put_u8(out, ']');
}

static struct dbk_retention *retention_of(dbk_engine *engine)
{
    if (!engine->retention) {
        engine->retention = dbk_alloc_zero(engine->port, 1, sizeof *engine->retention);
        if (engine->retention) engine->retention->engine = engine;
    }
    return engine->retention;
}

dbk_result dbk_engine_retain(dbk_engine *engine, int64_t now_ms, int64_t mono_ns, uint64_t *deleted, dbk_error *err)
{
    const dbk_port *port = engine->port;
    *deleted = 0;
    port->mutex_lock(port->ctx, engine->turn);
    struct dbk_retention *r = retention_of(engine);
    dbk_result result =
        r ? look(r, now_ms, mono_ns, deleted, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for retention");
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

/* ---- the thread */

static int64_t shortest_ns(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    int64_t shortest = minute_ms;

    port->mutex_lock(port->ctx, engine->turn);
    const dbk_app *app = engine->definition->app;
    for (size_t i = 0; i < app->retention_count; i++)
        if ((int64_t)app->retention[i].every_ms < shortest) shortest = (int64_t)app->retention[i].every_ms;
    port->mutex_unlock(port->ctx, engine->turn);
    return shortest * ms_ns;
}

/* A failure stands in the state of its rule; the rules look again later. */
static void run(void *arg)
{
    struct dbk_retention *r = arg;
    const dbk_port *port = r->engine->port;
    int64_t wait_ns = shortest_ns(r->engine);

    port->mutex_lock(port->ctx, r->mutex);
    while (!r->closing) {
        uint64_t deleted;
        if (!r->woken) (void)port->cond_wait(port->ctx, r->wanted, r->mutex, wait_ns);
        if (r->closing) break;
        r->woken = false;
        port->mutex_unlock(port->ctx, r->mutex);
        (void)!dbk_engine_retain(r->engine, dbk_engine_now(r->engine), port->monotonic_ns(port->ctx), &deleted, NULL);
        wait_ns = shortest_ns(r->engine);
        port->mutex_lock(port->ctx, r->mutex);
    }
    port->mutex_unlock(port->ctx, r->mutex);
}

static void wake(struct dbk_retention *r)
{
    const dbk_port *port = r->engine->port;
    port->mutex_lock(port->ctx, r->mutex);
    r->woken = true;
    port->cond_signal(port->ctx, r->wanted);
    port->mutex_unlock(port->ctx, r->mutex);
}

dbk_result dbk_retention_start(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (engine->options.no_threads || engine->definition->app->retention_count == 0) return DBK_OK;
    struct dbk_retention *r = retention_of(engine);
    if (r && r->thread) {
        wake(r); /* the rules may be others, and due more often */
        return DBK_OK;
    }
    if (r && !r->mutex) r->mutex = port->mutex_new(port->ctx);
    if (r && !r->wanted) r->wanted = port->cond_new(port->ctx);
    int rc = r && r->mutex && r->wanted ? port->thread_start(port->ctx, "dbk-retention", run, r, &r->thread) : -ENOMEM;
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the retention thread");
}

void dbk_retention_stop(dbk_engine *engine)
{
    struct dbk_retention *r = engine->retention;
    const dbk_port *port = engine->port;
    if (!r) return;
    if (r->thread) {
        port->mutex_lock(port->ctx, r->mutex);
        r->closing = true;
        port->cond_signal(port->ctx, r->wanted);
        port->mutex_unlock(port->ctx, r->mutex);
        port->thread_join(port->ctx, r->thread);
    }
    if (r->wanted) port->cond_free(port->ctx, r->wanted);
    if (r->mutex) port->mutex_free(port->ctx, r->mutex);
    free_rules(r);
    dbk_free(port, r);
    engine->retention = NULL;
}
