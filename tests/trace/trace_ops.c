#include "tests/trace/trace_stage.h"

#include <stdio.h>
#include <stdlib.h>

static dbk_result malformed(trace_stage *stage, const char *what)
{
    return dbk_fail(&stage->err, DBK_BAD_COMMAND, "the operation has no usable '%s'", what);
}

static int64_t number_of(const dbk_json_node *op, const char *name)
{
    int64_t value = 0;
    const dbk_json_node *node = dbk_json_member(op, name);
    return node && dbk_json_is_integer(node, &value) ? value : 0;
}

static dbk_slice text_slice(const dbk_json_node *node)
{
    return node && node->kind == DBK_JSON_STRING ? node->text : dbk_slice_of("", 0);
}

static void put_member(const dbk_json_node *op, const char *name, dbk_buffer *out)
{
    const dbk_json_node *member = dbk_json_member(op, name);
    dbk_buffer_put_u8(out, ',');
    if (member && member->kind == DBK_JSON_OBJECT) dbk_json_put_canonical(out, member);
    else dbk_buffer_put_text(out, "{}");
}

/* The model's hash: over schema, projections, rules, subjects and ancestors as one JSON array. */
static void definition_hash(const dbk_json_node *op, const dbk_definition *previous, uint8_t hash[16])
{
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_put_u8(&text, '[');
    dbk_json_put_string(&text, text_slice(dbk_json_member(op, "schema")));
    dbk_buffer_put_u8(&text, ',');
    dbk_json_put_string(&text, text_slice(dbk_json_member(op, "projections")));
    put_member(op, "rules", &text);
    put_member(op, "subjects", &text);
    dbk_buffer_put_text(&text, ",[");
    for (uint32_t i = 0; previous && i <= previous->ancestor_count; i++) {
        char hex[33];
        const uint8_t *one = i < previous->ancestor_count ? previous->ancestors[i] : previous->hash;
        dbk_hex_encode(dbk_slice_of(one, 16), hex);
        dbk_buffer_printf(&text, "%s\"%s\"", i ? "," : "", hex);
    }
    dbk_buffer_put_text(&text, "]]");
    dbk_digest(DBK_DIGEST_DEFINITION, dbk_buffer_slice(&text), hash, 16);
    dbk_buffer_release(&text);
}

static dbk_result name_definition(dbk_definition *definition, const dbk_definition *previous, const uint8_t hash[16],
                                  dbk_error *err)
{
    uint8_t ancestors[STAGE_DEFINITIONS][16];
    uint32_t count = 0;
    for (; previous && count < previous->ancestor_count; count++)
        memcpy(ancestors[count], previous->ancestors[count], 16);
    if (previous) memcpy(ancestors[count++], previous->hash, 16);
    return dbk_definition_set_ancestors(definition, (const uint8_t(*)[16])ancestors, count, hash, err);
}

/* {"columns": {"stars": "counter"}, "guard": true} as tables.<t>.sync of app.json */
static void put_sync(const dbk_json_node *rules, dbk_buffer *out)
{
    const dbk_json_node *columns = dbk_json_member(rules, "columns"), *guard = dbk_json_member(rules, "guard");
    const dbk_json_node *gone = dbk_json_member(rules, "delete"), *unique = dbk_json_member(rules, "unique");
    const dbk_json_node *column = columns ? dbk_json_child(columns) : NULL;
    bool guarded = guard && guard->kind == DBK_JSON_TRUE;
    dbk_json_put_string(out, rules->name);
    dbk_buffer_put_text(out, ":{\"sync\":{\"conflict\":{");
    for (uint32_t i = 0; columns && i < columns->count; i++, column = dbk_json_next(column)) {
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, column->name);
        dbk_buffer_put_u8(out, ':');
        dbk_json_put_minimal(out, column);
    }
    if (guarded) dbk_buffer_put_text(out, columns && columns->count ? ",\"*\":\"guard\"" : "\"*\":\"guard\"");
    dbk_buffer_put_u8(out, '}');
    if (gone) dbk_buffer_printf(out, ",\"delete\":\"%.*s\"", DBK_SLICE_ARG(gone->text));
    if (unique) dbk_buffer_printf(out, ",\"unique\":\"%.*s\"", DBK_SLICE_ARG(unique->text));
    dbk_buffer_put_text(out, "}}");
}

static void put_app(const dbk_json_node *rules, dbk_buffer *out)
{
    const dbk_json_node *table = rules && rules->kind == DBK_JSON_OBJECT ? dbk_json_child(rules) : NULL;
    dbk_buffer_put_text(out, "{\"daybook\":1,\"name\":\"app\",\"tables\":{");
    for (uint32_t i = 0; table && i < rules->count; i++, table = dbk_json_next(table)) {
        if (i) dbk_buffer_put_u8(out, ',');
        put_sync(table, out);
    }
    dbk_buffer_put_text(out, "}}");
}

static dbk_result op_define(trace_stage *stage, const dbk_json_node *op, dbk_buffer *out)
{
    uint8_t hash[16];
    char hex[33];
    dbk_findings findings = {0};
    dbk_buffer app;
    dbk_buffer_init(&app, stage->port);
    put_app(dbk_json_member(op, "rules"), &app);
    dbk_source sources[3] = {{"schema.sql", text_slice(dbk_json_member(op, "schema"))},
                             {"projections.sql", text_slice(dbk_json_member(op, "projections"))},
                             {"app.json", dbk_buffer_slice(&app)}};
    const dbk_definition *previous = find_definition(stage, dbk_json_member(op, "previous"));
    if (stage->definition_count == STAGE_DEFINITIONS) return malformed(stage, "name");
    stage_definition *slot = &stage->definitions[stage->definition_count];
    dbk_result result = dbk_definition_parse(stage->port, sources, 3, "app", &slot->definition, &findings, &stage->err);
    dbk_buffer_release(&app);
    if (findings.errors) {
        dbk_buffer text;
        dbk_buffer_init(&text, stage->port);
        dbk_findings_print(&findings, &text);
        result = dbk_fail(&stage->err, DBK_SCHEMA, "%.*s", DBK_SLICE_ARG(dbk_buffer_slice(&text)));
        dbk_buffer_release(&text);
    }
    dbk_findings_free(&findings);
    if (result != DBK_OK) return result;
    slot->name = text_of(dbk_json_member(op, "name"));
    stage->definition_count++;
    definition_hash(op, previous, hash);
    dbk_hex_encode(dbk_slice_of(hash, 16), hex);
    dbk_buffer_printf(out, "\"hash\":\"%s\"", hex);
    return name_definition(slot->definition, previous, hash, &stage->err);
}

static dbk_result op_new(trace_stage *stage, const dbk_json_node *op, dbk_buffer *out)
{
    (void)out;
    const dbk_definition *definition = find_definition(stage, dbk_json_member(op, "definition"));
    if (!definition) return malformed(stage, "definition");
    stage_replica *replica = replica_add(stage, dbk_json_member(op, "at"), definition);
    if (!replica) return malformed(stage, "at");
    dbk_result result = dbk_engine_create(replica->path, NULL, &replica->options, NULL, &stage->err);
    return result == DBK_OK ? replica_open(stage, replica) : result;
}

static dbk_result op_copy(trace_stage *stage, const dbk_json_node *op, dbk_buffer *out)
{
    (void)out;
    stage_replica *from = find_replica(stage, dbk_json_member(op, "from"));
    if (!from) return malformed(stage, "from");
    stage_replica *replica = replica_add(stage, dbk_json_member(op, "at"), from->definition);
    if (!replica) return malformed(stage, "at");
    memcpy(replica->options.replica, from->options.replica, sizeof replica->options.replica);
    replica->options.incarnation = (uint32_t)number_of(op, "incarnation");
    dbk_result result = dbk_engine_copy(from->engine, (uint64_t)number_of(op, "upto"), replica->path,
                                        replica->options.incarnation, replica->name, &replica->options, &stage->err);
    if (result == DBK_OK) result = replica_open(stage, replica);
    /* The model makes an empty store and then fills it: two generations. */
    if (result == DBK_OK) result = dbk_engine_rebuild(replica->engine, NULL, NULL, &stage->err);
    return result;
}

/* ---- decisions */

/* As Python's quote does. */
static void put_quoted(const dbk_json_node *key, dbk_buffer *out)
{
    dbk_buffer_put_u8(out, '"');
    for (size_t i = 0; i < key->text.size; i++) {
        uint8_t c = key->text.data[i];
        if ((unsigned)((c | 32) - 'a') < 26u || (unsigned)(c - '0') < 10u || strchr("_.-~", c))
            dbk_buffer_put_u8(out, c);
        else dbk_buffer_printf(out, "%%%02X", c);
    }
    dbk_buffer_put_u8(out, '"');
}

/* The model lists what stays as [table, key, columns]; of what others wrote since it says nothing. */
static void put_kept(const dbk_json_node *kept, dbk_buffer *out)
{
    const dbk_json_node *item = kept ? kept + 1 : NULL;
    bool first = true;
    dbk_buffer_put_text(out, ",\"kept\":[");
    for (uint32_t i = 0; kept && i < kept->count; i++, item = dbk_json_next(item)) {
        const dbk_json_node *reason = dbk_json_member(item, "reason");
        if (dbk_json_text_is(reason, "written since")) continue;
        dbk_buffer_put_text(out, first ? "[" : ",[");
        first = false;
        dbk_json_put_minimal(out, dbk_json_member(item, "table"));
        dbk_buffer_put_u8(out, ',');
        bool by_columns = dbk_json_text_is(reason, "others wrote to it");
        if (by_columns) {
            put_quoted(dbk_json_member(item, "key"), out);
        } else {
            dbk_buffer_put_u8(out, '[');
            dbk_json_put_minimal(out, dbk_json_member(item, "key"));
            dbk_buffer_put_u8(out, ']');
        }
        dbk_buffer_put_u8(out, ',');
        dbk_json_put_minimal(out, by_columns ? dbk_json_member(item, "columns") : reason);
        dbk_buffer_put_u8(out, ']');
    }
    dbk_buffer_put_u8(out, ']');
}

/* The members of a receipt that the model has; "kept" belongs to undo and is empty elsewhere. */
static void put_receipt(const dbk_json_node *receipt, dbk_buffer *out)
{
    static const char *const names[] = {"ok",    "position", "entry",   "cursor",   "again",
                                        "error", "message",  "outcome", "expected", "actual"};
    const dbk_json_node *ok = dbk_json_member(receipt, "ok");
    bool first = true;
    dbk_buffer_put_u8(out, '{');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const dbk_json_node *member = dbk_json_member(receipt, names[i]);
        if (!member) continue;
        dbk_buffer_printf(out, "%s\"%s\":", first ? "" : ",", names[i]);
        /* The model knows no types: what its driver cannot bind it calls internal. */
        if (dbk_json_text_is(member, "schema")) dbk_buffer_put_text(out, "\"internal\"");
        else dbk_json_put_minimal(out, member);
        first = false;
    }
    if (ok && ok->kind == DBK_JSON_TRUE && !dbk_json_member(receipt, "again"))
        put_kept(dbk_json_member(receipt, "kept"), out);
    dbk_buffer_put_u8(out, '}');
}

static dbk_result put_receipts(trace_stage *stage, dbk_buffer *receipts, size_t count, dbk_buffer *out)
{
    dbk_result result = DBK_OK;
    dbk_buffer_put_text(out, "\"receipts\":[");
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        const dbk_json_node *receipt;
        if (i) dbk_buffer_put_u8(out, ',');
        result = dbk_json_parse(stage->inner, dbk_buffer_slice(&receipts[i]), &receipt, &stage->err);
        if (result == DBK_OK) put_receipt(receipt, out);
    }
    dbk_buffer_put_u8(out, ']');
    return result;
}

static void set_fault(stage_replica *replica, const dbk_json_node *op)
{
    const dbk_json_node *fault = dbk_json_member(op, "fault");
    const dbk_json_node *crash = fault ? dbk_json_member(fault, "crash") : NULL;
    replica->crashed = false;
    replica->drop = fault ? text_of(dbk_json_member(fault, "drop")) : NULL;
    replica->crash = !crash ? NULL : dbk_json_text_is(crash, "logged") ? "logged" : "committed";
}

static void clear_fault(stage_replica *replica)
{
    free(replica->drop);
    replica->drop = NULL;
    replica->crash = NULL;
}

/* Behind a point that it never came to (nothing to log, nothing to commit) it dies all the same. */
static void die(stage_replica *replica, dbk_buffer *out)
{
    replica_close(replica);
    dbk_buffer_clear(&replica->feed);
    dbk_buffer_put_text(out, "\"crashed\":true");
}

static dbk_result op_decide(trace_stage *stage, const dbk_json_node *op, stage_replica *replica, dbk_buffer *out)
{
    const dbk_json_node *commands = dbk_json_member(op, "commands");
    if (!commands || commands->kind != DBK_JSON_ARRAY) return malformed(stage, "commands");
    size_t count = commands->count;
    dbk_slice *texts = calloc(count + 1, sizeof *texts);
    dbk_buffer *receipts = calloc(count + 1, sizeof *receipts);
    if (!texts || !receipts) abort();
    const dbk_json_node *command = dbk_json_child(commands);
    for (size_t i = 0; i < count; i++, command = dbk_json_next(command)) {
        texts[i] = command->text;
        dbk_buffer_init(&receipts[i], stage->port);
    }
    set_fault(replica, op);
    const dbk_json_node *first = dbk_json_child(commands), *verb = count == 1 ? dbk_json_member(first, "do") : NULL;
    dbk_result result =
        verb && dbk_json_text_is(verb, "undo")
            ? dbk_engine_undo(replica->engine, texts[0], number_of(op, "now"), receipts, &stage->err)
            : dbk_engine_decide(replica->engine, texts, count, number_of(op, "now"), receipts, &stage->err);
    if (replica->crash && (result == DBK_OK || replica->crashed)) {
        die(replica, out);
        result = DBK_OK;
    } else if (result == DBK_OK) {
        result = put_receipts(stage, receipts, count, out);
    }
    clear_fault(replica);
    for (size_t i = 0; i < count; i++) dbk_buffer_release(&receipts[i]);
    free(receipts);
    free(texts);
    return result;
}

/* ---- facts */

static dbk_result op_send(trace_stage *stage, const dbk_json_node *op, dbk_buffer *out)
{
    (void)out;
    stage_replica *from = find_replica(stage, dbk_json_member(op, "from"));
    const dbk_json_node *positions = dbk_json_member(op, "positions");
    if (!from || !positions || stage->message_count == STAGE_MESSAGES) return malformed(stage, "from");
    stage_message *message = &stage->messages[stage->message_count++];
    message->name = text_of(dbk_json_member(op, "message"));
    message->count = positions->count;
    dbk_buffer_init(&message->bytes, stage->port);
    dbk_buffer origin;
    dbk_buffer_init(&origin, stage->port);
    dbk_result result = DBK_OK;
    const dbk_json_node *position = dbk_json_child(positions);
    for (uint32_t i = 0; result == DBK_OK && i < positions->count; i++, position = dbk_json_next(position)) {
        int64_t at = 0;
        dbk_json_is_integer(position, &at);
        result = dbk_log_read(dbk_engine_log(from->engine), (uint64_t)at, &origin, NULL, &stage->err);
        dbk_buffer_put_u32(&message->bytes, (uint32_t)origin.size);
        dbk_buffer_put_slice(&message->bytes, dbk_buffer_slice(&origin));
    }
    dbk_buffer_release(&origin);
    return result == DBK_NONE ? malformed(stage, "positions") : result;
}

static const stage_message *find_message(trace_stage *stage, const dbk_json_node *name)
{
    for (size_t i = 0; name && i < stage->message_count; i++) {
        if (dbk_json_text_is(name, stage->messages[i].name)) return &stage->messages[i];
    }
    return NULL;
}

static dbk_result op_deliver(trace_stage *stage, const dbk_json_node *op, stage_replica *replica, dbk_buffer *out)
{
    const stage_message *message = find_message(stage, dbk_json_member(op, "message"));
    uint64_t logged = 0, parked = 0;
    if (!message) return malformed(stage, "message");
    set_fault(replica, op);
    replica->now_ms = number_of(op, "now");
    dbk_buffer_put_slice(&replica->received, dbk_buffer_slice(&message->bytes));
    dbk_result result =
        replica_import(stage, replica, dbk_buffer_slice(&message->bytes), replica->now_ms, &logged, &parked);
    bool logs = replica->crash && !strcmp(replica->crash, "logged");
    if (replica->crashed || (result == DBK_OK && logs)) {
        die(replica, out);
        result = DBK_OK;
    } else if (result == DBK_OK) {
        dbk_buffer_printf(out, "\"logged\":%llu,\"parked\":%llu", (unsigned long long)logged,
                          (unsigned long long)parked);
    }
    clear_fault(replica);
    return result;
}

/* ---- a store's life */

/* What was parked is in memory only; the model keeps it over a crash, so it is delivered again. */
static dbk_result op_reopen(trace_stage *stage, stage_replica *replica)
{
    uint64_t logged, parked;
    if (replica->engine) replica_close(replica);
    dbk_result result = replica_open(stage, replica);
    if (result == DBK_OK && replica->received.size) {
        result =
            replica_import(stage, replica, dbk_buffer_slice(&replica->received), replica->now_ms, &logged, &parked);
    }
    return result;
}

static dbk_result op_restart(trace_stage *stage, stage_replica *replica)
{
    char models[400];
    replica_close(replica);
    snprintf(models, sizeof models, "%s/models", replica->path);
    remove_tree(models);
    dbk_buffer_clear(&replica->received);
    return replica_open(stage, replica);
}

/* ---- looking */

static dbk_result put_rows_of(trace_stage *stage, sqlite3 *db, const dbk_definition *definition, dbk_buffer *out)
{
    char fingerprint[33];
    dbk_buffer_put_text(out, "\"rows\":");
    if (dump_rows(db, definition, out, fingerprint) != DBK_OK) {
        return dbk_fail(&stage->err, DBK_INTERNAL, "cannot dump the rows: %s", sqlite3_errmsg(db));
    }
    dbk_buffer_printf(out, ",\"fingerprint\":\"%s\"", fingerprint);
    return DBK_OK;
}

static bool never(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)arg, (void)position, (void)received_ms, (void)key;
    return false;
}

/* Position 0 means "now" to the engine, so the empty state is built here. */
static dbk_result replay(trace_stage *stage, const dbk_json_node *op, stage_replica *replica, const char *path)
{
    dbk_moment at = {0};
    const dbk_json_node *position = dbk_json_member(op, "position");
    at.position = (uint64_t)number_of(op, "position");
    at.time_ms = number_of(op, "received");
    at.order_time_ms = number_of(op, "order_time");
    uint64_t end = dbk_log_position(dbk_engine_log(replica->engine));
    if (at.position > end) at.position = end;
    if (at.position == 0 && position && position->kind == DBK_JSON_NUMBER) {
        dbk_model *model = NULL;
        dbk_shadow_options options = {.wanted = never};
        dbk_result result = dbk_model_build(stage->port, path, replica->definition, dbk_engine_log(replica->engine),
                                            &options, &model, &stage->err);
        if (result == DBK_OK) result = dbk_model_finish(model, true, &stage->err);
        dbk_model_close(model);
        return result;
    }
    return dbk_engine_replay(replica->engine, &at, path, true, NULL, NULL, NULL, &stage->err);
}

static dbk_result op_as_of(trace_stage *stage, const dbk_json_node *op, stage_replica *replica, dbk_buffer *out)
{
    char path[320];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/as-of-%zu.db", stage->root, stage->file_count++);
    dbk_result result = replay(stage, op, replica, path);
    if (result == DBK_OK && sqlite3_open(path, &db) != SQLITE_OK)
        result = dbk_fail(&stage->err, DBK_IO, "cannot open '%s'", path);
    if (result == DBK_OK) result = put_rows_of(stage, db, replica->definition, out);
    sqlite3_close(db);
    remove(path);
    return result;
}

static dbk_result op_changes(trace_stage *stage, const dbk_json_node *op, stage_replica *replica, dbk_buffer *out)
{
    const dbk_json_node *name = dbk_json_member(op, "table"), *cursor = dbk_json_member(op, "cursor");
    const dbk_table *table = name ? dbk_definition_table(replica->definition, name->text) : NULL;
    const char *timeline;
    uint64_t generation, position;
    int64_t its_generation = 0, its_position = 0;
    if (!table || !cursor || cursor->count != 3) return malformed(stage, "cursor");
    const dbk_json_node *part = dbk_json_child(cursor);
    dbk_engine_cursor(replica->engine, &timeline, &generation, &position);
    bool other_life = !dbk_json_text_is(part, timeline);
    part = dbk_json_next(part);
    other_life |= !dbk_json_is_integer(part, &its_generation) || (uint64_t)its_generation != generation;
    dbk_json_is_integer(dbk_json_next(part), &its_position);
    dbk_buffer answer;
    const dbk_json_node *message;
    dbk_buffer_init(&answer, stage->port);
    dbk_buffer_put_u8(&answer, '{');
    dbk_result result = dbk_model_catch_up_rows(dbk_engine_model(replica->engine), table, (uint64_t)its_position,
                                                other_life, &answer, &stage->err);
    dbk_buffer_put_u8(&answer, '}');
    if (result == DBK_OK) result = dbk_json_parse(stage->inner, dbk_buffer_slice(&answer), &message, &stage->err);
    if (result == DBK_OK) {
        const dbk_json_node *reset = dbk_json_member(message, "reset");
        put_cursor(replica, out);
        put_changes(replica->definition, message, out);
        if (reset && reset->kind == DBK_JSON_TRUE) dbk_buffer_put_text(out, ",\"reset\":true");
    }
    dbk_buffer_release(&answer);
    return result;
}

typedef struct skip_lists {
    dbk_buffer skips, inbox;
} skip_lists;

static dbk_result put_skip(void *arg, const dbk_skip *skip)
{
    skip_lists *lists = arg;
    char entry[DBK_ENTRY_ID_TEXT_SIZE], against[DBK_ENTRY_ID_TEXT_SIZE] = "";
    dbk_entry_id_text(&skip->entry, entry);
    if (skip->has_against) dbk_entry_id_text(&skip->against, against);
    dbk_buffer_printf(&lists->skips, "%s\"%s\":[\"%s\",", lists->skips.size ? "," : "", entry, skip->state);
    dbk_json_put_string(&lists->skips, dbk_slice_text(skip->reason ? skip->reason : ""));
    dbk_buffer_put_u8(&lists->skips, ']');
    if (skip->dismissed || !strcmp(skip->state, "duplicate")) return DBK_OK;
    dbk_buffer_printf(&lists->inbox, "%s[\"%s\",\"%s\",", lists->inbox.size ? "," : "", entry, skip->state);
    dbk_json_put_string(&lists->inbox, dbk_slice_text(skip->reason ? skip->reason : ""));
    dbk_buffer_printf(&lists->inbox, ",\"%s\"]", against);
    return DBK_OK;
}

static dbk_result put_skips(trace_stage *stage, stage_replica *replica, dbk_buffer *out)
{
    skip_lists lists;
    dbk_buffer_init(&lists.skips, stage->port);
    dbk_buffer_init(&lists.inbox, stage->port);
    dbk_result result = dbk_model_skips(dbk_engine_model(replica->engine), put_skip, &lists, &stage->err);
    dbk_buffer_put_text(out, ",\"skips\":{");
    dbk_buffer_put_slice(out, dbk_buffer_slice(&lists.skips));
    dbk_buffer_put_text(out, "},\"inbox\":[");
    dbk_buffer_put_slice(out, dbk_buffer_slice(&lists.inbox));
    dbk_buffer_put_u8(out, ']');
    dbk_buffer_release(&lists.skips);
    dbk_buffer_release(&lists.inbox);
    return result;
}

/* A table that never changed is named with 0, as the model does. */
static dbk_result put_feed_head(trace_stage *stage, stage_replica *replica, dbk_buffer *out)
{
    dbk_buffer last;
    const dbk_json_node *tables;
    const dbk_definition *definition = replica->definition;
    dbk_buffer_init(&last, stage->port);
    dbk_result result = dbk_model_last_json(dbk_engine_model(replica->engine), &last, &stage->err);
    if (result == DBK_OK) result = dbk_json_parse(stage->inner, dbk_buffer_slice(&last), &tables, &stage->err);
    dbk_buffer_put_text(out, ",\"feed_head\":{\"head\":true,");
    put_cursor(replica, out);
    dbk_buffer_put_text(out, ",\"last\":{");
    for (size_t i = 0; result == DBK_OK && i < definition->table_count; i++) {
        const dbk_json_node *at = dbk_json_member(tables, definition->tables[i].name);
        dbk_buffer_printf(out, "%s\"%s\":", i ? "," : "", definition->tables[i].name);
        if (at) dbk_json_put_minimal(out, at);
        else dbk_buffer_put_u8(out, '0');
    }
    dbk_buffer_put_text(out, "}}");
    dbk_buffer_release(&last);
    return result;
}

static dbk_result put_order(trace_stage *stage, stage_replica *replica, dbk_buffer *out)
{
    dbk_log_fold *fold = NULL;
    uint64_t position;
    dbk_slice origin;
    bool first = true;
    dbk_buffer_put_text(out, ",\"order\":[");
    dbk_result result = dbk_log_fold_open(dbk_engine_log(replica->engine), 0, 0, NULL, NULL, &fold, &stage->err);
    while (result == DBK_OK) {
        dbk_entry entry;
        uint8_t key[DBK_ORDER_KEY_SIZE];
        char hex[2 * DBK_ORDER_KEY_SIZE + 1];
        result = dbk_log_fold_next(fold, &position, &origin, &stage->err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, &stage->err);
        if (result != DBK_OK) break;
        dbk_entry_order_key(&entry, key);
        dbk_hex_encode(dbk_slice_of(key, sizeof key), hex);
        dbk_buffer_printf(out, "%s\"%s\"", first ? "" : ",", hex);
        first = false;
    }
    dbk_buffer_put_u8(out, ']');
    if (fold) dbk_log_fold_close(fold);
    return result == DBK_END ? DBK_OK : result;
}

static dbk_result op_state(trace_stage *stage, stage_replica *replica, dbk_buffer *out)
{
    uint8_t head[DBK_LEAF_SIZE];
    char hex[2 * DBK_LEAF_SIZE + 1];
    dbk_log_head(dbk_engine_log(replica->engine), head);
    dbk_hex_encode(dbk_slice_of(head, sizeof head), hex);
    put_cursor(replica, out);
    dbk_buffer_printf(out, ",\"head\":\"%s\",", hex);
    dbk_result result =
        put_rows_of(stage, dbk_model_handle(dbk_engine_model(replica->engine)), replica->definition, out);
    if (result == DBK_OK) result = put_skips(stage, replica, out);
    if (result == DBK_OK) result = put_feed_head(stage, replica, out);
    if (result == DBK_OK) result = put_order(stage, replica, out);
    return result;
}

static void put_lost(void *arg, const dbk_entry_id *lost)
{
    dbk_buffer *out = arg;
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(lost, text);
    dbk_buffer_printf(out, "%s\"%s\"", out->data[out->size - 1] == '[' ? "" : ",", text);
}

static dbk_result op_upgrade(trace_stage *stage, const dbk_json_node *op, stage_replica *replica, dbk_buffer *out)
{
    int64_t now_ms = 0;
    uint64_t lost = 0;
    const dbk_json_node *now = dbk_json_member(op, "now"), *accept = dbk_json_member(op, "accept");
    const dbk_definition *definition = find_definition(stage, dbk_json_member(op, "definition"));
    bool accepted = accept && accept->kind == DBK_JSON_TRUE;
    if (!definition) return malformed(stage, "definition");
    if (!now || !dbk_json_is_integer(now, &now_ms)) return malformed(stage, "now");
    dbk_buffer_put_text(out, "\"lost\":[");
    dbk_result result =
        dbk_engine_upgrade(replica->engine, definition, now_ms, accepted, put_lost, out, &lost, &stage->err);
    dbk_buffer_put_u8(out, ']');
    if (result == DBK_OK && (accepted || lost == 0)) replica->definition = replica->options.definition = definition;
    return result;
}

static void put_feed(stage_replica *replica, dbk_buffer *out)
{
    dbk_buffer_printf(out, "%s\"feed\":[", out->size ? "," : "");
    dbk_buffer_put_slice(out, dbk_buffer_slice(&replica->feed));
    dbk_buffer_put_u8(out, ']');
    dbk_buffer_clear(&replica->feed);
}

static dbk_result at_replica(trace_stage *stage, const dbk_json_node *op, const dbk_json_node *name,
                             stage_replica *replica, dbk_buffer *out)
{
    if (dbk_json_text_is(name, "reopen")) return op_reopen(stage, replica);
    if (!replica->engine)
        return dbk_fail(&stage->err, DBK_UNAVAILABLE, "'%s' has crashed and was not reopened", replica->name);
    if (dbk_json_text_is(name, "decide")) return op_decide(stage, op, replica, out);
    if (dbk_json_text_is(name, "deliver")) return op_deliver(stage, op, replica, out);
    if (dbk_json_text_is(name, "restart")) return op_restart(stage, replica);
    if (dbk_json_text_is(name, "as_of")) return op_as_of(stage, op, replica, out);
    if (dbk_json_text_is(name, "changes")) return op_changes(stage, op, replica, out);
    if (dbk_json_text_is(name, "state")) return op_state(stage, replica, out);
    if (dbk_json_text_is(name, "upgrade")) return op_upgrade(stage, op, replica, out);
    return dbk_fail(&stage->err, DBK_UNSUPPORTED, "it needs '%.*s'", DBK_SLICE_ARG(name->text));
}

/* The engine's own, kept with every row that changes, is that of all rows counted anew. */
static dbk_result check_fingerprint(trace_stage *stage, stage_replica *replica)
{
    dbk_model_state state;
    dbk_hash128 counted = {0};
    uint64_t rows;
    dbk_model *model = dbk_engine_model(replica->engine);
    dbk_model_get_state(model, &state);
    dbk_result result = dbk_model_recount(model, &counted, &rows, &stage->err);
    if (result != DBK_OK || memcmp(&counted, &state.fingerprint, sizeof counted) == 0) return result;
    return dbk_fail(&stage->err, DBK_CORRUPT, "the fingerprint is not that of the rows");
}

dbk_result stage_perform(trace_stage *stage, dbk_slice line, dbk_buffer *out)
{
    const dbk_json_node *op;
    dbk_result result = dbk_json_parse(stage->parser, line, &op, &stage->err);
    if (result != DBK_OK) return result;
    const dbk_json_node *name = op->kind == DBK_JSON_OBJECT ? dbk_json_member(op, "op") : NULL;
    if (!name || name->kind != DBK_JSON_STRING) return malformed(stage, "op");
    if (dbk_json_text_is(name, "define")) return op_define(stage, op, out);
    if (dbk_json_text_is(name, "send")) return op_send(stage, op, out);
    stage_replica *replica = find_replica(stage, dbk_json_member(op, "at"));
    if (dbk_json_text_is(name, "new")) result = op_new(stage, op, out);
    else if (dbk_json_text_is(name, "copy")) result = op_copy(stage, op, out);
    else if (!replica) return malformed(stage, "at");
    else result = at_replica(stage, op, name, replica, out);
    replica = find_replica(stage, dbk_json_member(op, "at"));
    if (result == DBK_OK && replica) put_feed(replica, out);
    if (result == DBK_OK && replica && replica->engine && !dbk_json_text_is(name, "send"))
        result = check_fingerprint(stage, replica);
    return result;
}
