/* The stage of the trace program with the oracle on it: what it says of the traces of the reference model. */
#include "tests/model/oracle.h"
#include "tests/trace/trace.h"

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_ENTRIES = 400 };

typedef struct message {
    const char *name;
    const o_entry *entries[MESSAGE_ENTRIES];
    int count;
} message;

typedef struct actor {
    o_replica *replica;
    int generation;
} actor;

static struct {
    o_definition *definitions[STAGE_DEFINITIONS];
    actor actors[STAGE_REPLICAS];
    message *messages;
    int definition_count, actor_count, message_count;
} on_stage;

static int64_t number_of(const dbk_json_node *op, const char *name)
{
    int64_t value = 0;
    const dbk_json_node *node = dbk_json_member(op, name);
    return node && dbk_json_is_integer(node, &value) ? value : 0;
}

static const char *text_at(const dbk_json_node *op, const char *name)
{
    const dbk_json_node *node = dbk_json_member(op, name);
    return node && node->kind == DBK_JSON_STRING ? o_intern(node->text) : o_text("");
}

static actor *actor_of(const char *name)
{
    for (int i = 0; i < on_stage.actor_count; i++)
        if (on_stage.actors[i].replica->name == name) return &on_stage.actors[i];
    o_die("no replica '%s'", name);
}

static o_definition *definition_of(const char *name)
{
    for (int i = 0; i < on_stage.definition_count; i++)
        if (on_stage.definitions[i]->name == name) return on_stage.definitions[i];
    return NULL;
}

bool stage_gives(dbk_slice member)
{
    static const char *const none[] = {"hash", "feed", "feed_head", "head", "order"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (dbk_slice_equal(member, dbk_slice_text(none[i]))) return false;
    return true;
}

dbk_result stage_open(trace_stage *stage)
{
    o_reset();
    memset(&on_stage, 0, sizeof on_stage);
    on_stage.messages = calloc(STAGE_MESSAGES, sizeof *on_stage.messages);
    stage->port = dbk_port_system();
    stage->parser = dbk_json_parser_new(stage->port);
    stage->inner = dbk_json_parser_new(stage->port);
    return stage->parser && stage->inner && on_stage.messages ? DBK_OK : DBK_NO_MEMORY;
}

void stage_close(trace_stage *stage)
{
    free(on_stage.messages);
    dbk_json_parser_free(stage->parser);
    dbk_json_parser_free(stage->inner);
    o_reset();
}

static void op_define(const dbk_json_node *op)
{
    if (on_stage.definition_count == STAGE_DEFINITIONS) o_die("too many definitions");
    o_definition *definition =
        o_define(text_at(op, "schema"), text_at(op, "projections"), NULL, NULL, definition_of(text_at(op, "previous")));
    o_define_rules(definition, dbk_json_member(op, "rules"));
    definition->name = text_at(op, "name");
    definition->put_keeps_unnamed = true;
    on_stage.definitions[on_stage.definition_count++] = definition;
}

static void add_actor(o_replica *replica, int generation)
{
    if (on_stage.actor_count == STAGE_REPLICAS) o_die("too many replicas");
    on_stage.actors[on_stage.actor_count++] = (actor){replica, generation};
}

static void op_new(const dbk_json_node *op)
{
    uint8_t id[16] = {0};
    const char *name = text_at(op, "at");
    memcpy(id, name, strlen(name));
    add_actor(o_replica_new(name, id, 1, definition_of(text_at(op, "definition"))), 1);
}

static void op_send(const dbk_json_node *op)
{
    const dbk_json_node *positions = dbk_json_member(op, "positions"), *one = dbk_json_child(positions);
    const o_replica *from = actor_of(text_at(op, "from"))->replica;
    message *m = &on_stage.messages[on_stage.message_count++];
    m->name = text_at(op, "message");
    for (uint32_t i = 0; i < positions->count; i++, one = dbk_json_next(one)) {
        int64_t position = 0;
        if (m->count == MESSAGE_ENTRIES || !dbk_json_is_integer(one, &position)) o_die("a message of too many entries");
        m->entries[m->count++] = from->log[position - 1];
    }
}

/* ---- outcomes */

static void put_cursor(const actor *a, uint64_t position, dbk_buffer *out)
{
    dbk_buffer_printf(out, "\"cursor\":[\"%s\",%d,%llu]", a->replica->name, a->generation,
                      (unsigned long long)position);
}

static const char *unquoted(const o_state *state, const o_kept *kept)
{
    o_value values[O_COLUMNS] = {{0}};
    const o_table *t = &state->definition->tables[o_table_of(state->definition, kept->table)];
    if (!o_key_values(t, kept->key, values)) o_die("no key: %s", kept->key);
    return values[t->keys[0]].text;
}

static void put_kept(const o_state *state, const o_receipt *receipt, dbk_buffer *out)
{
    dbk_buffer_put_text(out, ",\"kept\":[");
    for (int i = 0; i < receipt->kept_count; i++) {
        const o_kept *kept = &receipt->kept[i];
        dbk_buffer_printf(out, "%s[\"%s\",", i ? "," : "", kept->table);
        if (kept->by_columns) dbk_buffer_printf(out, "\"%s\",%s]", o_encoded(kept->key), kept->columns);
        else dbk_buffer_printf(out, "[\"%s\"],\"%s\"]", unquoted(state, kept), kept->columns);
    }
    dbk_buffer_put_u8(out, ']');
}

static void put_receipt(const actor *a, const o_receipt *receipt, dbk_buffer *out)
{
    if (!receipt->ok) {
        /* The reference model knows no types: what its driver cannot bind it calls internal. */
        const char *error = strcmp(receipt->error, "schema") == 0 ? "internal" : receipt->error;
        dbk_buffer_printf(out, "{\"ok\":false,\"outcome\":\"none\",\"error\":\"%s\"", error);
        if (receipt->versions) {
            dbk_buffer_put_text(out, ",\"expected\":");
            o_json_put(out, receipt->expected);
            dbk_buffer_printf(out, ",\"actual\":%llu", (unsigned long long)receipt->actual);
        }
    } else {
        dbk_buffer_printf(out, "{\"ok\":true,\"position\":%llu,\"entry\":\"%s\",",
                          (unsigned long long)receipt->position, receipt->entry->id);
        put_cursor(a, receipt->position, out);
        if (receipt->again) dbk_buffer_put_text(out, ",\"again\":true");
        else put_kept(a->replica->state, receipt, out);
    }
    dbk_buffer_put_u8(out, '}');
}

static void op_decide(actor *a, const dbk_json_node *op, dbk_buffer *out)
{
    static o_receipt receipt;
    const dbk_json_node *commands = dbk_json_member(op, "commands"), *command = dbk_json_child(commands);
    const dbk_json_node *fault = dbk_json_member(op, "fault"), *crash = fault ? dbk_json_member(fault, "crash") : NULL;
    a->replica->drop = fault && dbk_json_member(fault, "drop") ? text_at(fault, "drop") : NULL;
    dbk_buffer_put_text(out, "\"receipts\":[");
    for (uint32_t i = 0; i < commands->count; i++, command = dbk_json_next(command)) {
        if (i) dbk_buffer_put_u8(out, ',');
        o_decide(a->replica, command, number_of(op, "now"), &receipt);
        put_receipt(a, &receipt, out);
    }
    dbk_buffer_put_u8(out, ']');
    if (!crash) return;
    dbk_buffer_clear(out);
    dbk_buffer_put_text(out, "\"crashed\":true");
}

static void op_deliver(actor *a, const dbk_json_node *op, dbk_buffer *out)
{
    const char *name = text_at(op, "message");
    const dbk_json_node *fault = dbk_json_member(op, "fault"), *crash = fault ? dbk_json_member(fault, "crash") : NULL;
    int at = 0;
    while (at < on_stage.message_count && on_stage.messages[at].name != name) at++;
    int logged = o_import(a->replica, on_stage.messages[at].entries, on_stage.messages[at].count, number_of(op, "now"));
    if (crash && (logged || dbk_json_text_is(crash, "logged"))) dbk_buffer_put_text(out, "\"crashed\":true");
    else dbk_buffer_printf(out, "\"logged\":%d,\"parked\":%d", logged, a->replica->parked_count);
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const o_entry *const *)a)->id, (*(const o_entry *const *)b)->id);
}

static void op_upgrade(actor *a, const dbk_json_node *op, dbk_buffer *out)
{
    const o_entry *lost[O_ENTRIES];
    const dbk_json_node *accept = dbk_json_member(op, "accept");
    bool accepted = accept && accept->kind == DBK_JSON_TRUE;
    const o_definition *before = a->replica->definition;
    int count = o_upgrade(a->replica, definition_of(text_at(op, "definition")), number_of(op, "now"), accepted, lost,
                          O_ENTRIES);
    qsort(lost, (size_t)count, sizeof *lost, by_id);
    dbk_buffer_put_text(out, "\"lost\":[");
    for (int i = 0; i < count; i++) dbk_buffer_printf(out, "%s\"%s\"", i ? "," : "", lost[i]->id);
    dbk_buffer_put_u8(out, ']');
    if (a->replica->definition != before) a->generation++;
}

/* ---- looking */

static void put_hashed_text(dbk_buffer *out, const char *text)
{
    dbk_buffer_put_u16(out, (uint16_t)strlen(text));
    dbk_buffer_put_text(out, text);
}

static void put_hashed(dbk_buffer *out, o_value value)
{
    uint64_t bits;
    memcpy(&bits, &value.real, sizeof bits);
    dbk_buffer_put_u8(out, (uint8_t)value.kind);
    if (value.kind == O_INTEGER) dbk_buffer_put_u64(out, (uint64_t)value.integer);
    if (value.kind == O_REAL) dbk_buffer_put_u64(out, bits);
    if (value.kind != O_TEXT) return;
    dbk_buffer_put_u32(out, (uint32_t)strlen(value.text));
    dbk_buffer_put_text(out, value.text);
}

/* The reference model writes a set with a space behind each comma. */
static o_value spaced(const o_column *column, o_value value)
{
    dbk_buffer text;
    if (column->rule != O_SET || value.kind != O_TEXT) return value;
    dbk_buffer_init(&text, dbk_port_system());
    for (const char *at = value.text; *at; at++) {
        dbk_buffer_put_u8(&text, (uint8_t)*at);
        if (*at == ',') dbk_buffer_put_u8(&text, ' ');
    }
    value.text = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return value;
}

static void put_row(const o_table *t, const o_row *row, dbk_buffer *out, unsigned __int128 *sum)
{
    dbk_buffer hashed;
    unsigned __int128 hash;
    uint8_t digest[16];
    dbk_buffer_init(&hashed, dbk_port_system());
    put_hashed_text(&hashed, t->name);
    dbk_buffer_put_u16(&hashed, (uint16_t)t->column_count);
    dbk_json_put_string(out, dbk_slice_text(o_encoded(row->key)));
    dbk_buffer_put_text(out, ":{");
    for (int i = 0; i < t->column_count; i++) {
        o_value value = spaced(&t->columns[i], row->values[i]);
        put_hashed_text(&hashed, t->columns[i].name);
        put_hashed(&hashed, value);
        dbk_buffer_printf(out, "%s\"%s\":", i ? "," : "", t->columns[i].name);
        o_json_put(out, value);
    }
    dbk_buffer_put_u8(out, '}');
    dbk_digest(DBK_DIGEST_ROW, dbk_buffer_slice(&hashed), digest, sizeof digest);
    memcpy(&hash, digest, sizeof hash);
    *sum += hash;
    dbk_buffer_release(&hashed);
}

static void put_rows(const o_state *state, dbk_buffer *out)
{
    unsigned __int128 sum = 0;
    char fingerprint[33];
    dbk_buffer_put_text(out, "\"rows\":{");
    for (int i = 0; i < state->definition->table_count; i++) {
        dbk_buffer_printf(out, "%s\"%s\":{", i ? "," : "", state->definition->tables[i].name);
        for (int k = 0; k < state->core.row_count[i]; k++) {
            if (k) dbk_buffer_put_u8(out, ',');
            put_row(&state->definition->tables[i], state->core.rows[i][k], out, &sum);
        }
        dbk_buffer_put_u8(out, '}');
    }
    dbk_hex_encode(dbk_slice_of(&sum, sizeof sum), fingerprint);
    dbk_buffer_printf(out, "},\"fingerprint\":\"%s\"", fingerprint);
}

static void op_as_of(actor *a, const dbk_json_node *op, dbk_buffer *out)
{
    o_moment moment = {.by_position = dbk_json_member(op, "position") != NULL,
                       .by_received = dbk_json_member(op, "received") != NULL,
                       .by_order = dbk_json_member(op, "order_time") != NULL};
    moment.position = (uint64_t)number_of(op, "position");
    moment.time_ms = moment.by_received ? number_of(op, "received") : number_of(op, "order_time");
    o_state *state = o_as_of(a->replica, &moment, a->replica->definition);
    put_rows(state, out);
    o_state_free(state);
}

static int by_entry(const void *a, const void *b)
{
    return strcmp(((const o_skip *)a)->entry->id, ((const o_skip *)b)->entry->id);
}

static bool is_dismissed(const o_state *state, const char *id)
{
    for (int i = 0; i < state->core.dismissed_count; i++)
        if (state->dismissed[i] == id) return true;
    return false;
}

static void put_skips(const o_state *state, dbk_buffer *out)
{
    static o_skip skips[O_ENTRIES];
    int count = state->core.skip_count;
    bool first = true;
    memcpy(skips, state->skips, sizeof *skips * (size_t)count);
    qsort(skips, (size_t)count, sizeof *skips, by_entry);
    dbk_buffer_put_text(out, ",\"skips\":{");
    for (int i = 0; i < count; i++)
        dbk_buffer_printf(out, "%s\"%s\":[\"%s\",\"\"]", i ? "," : "", skips[i].entry->id, skips[i].state);
    dbk_buffer_put_text(out, "},\"inbox\":[");
    for (int i = 0; i < count; i++) {
        if (strcmp(skips[i].state, "duplicate") == 0 || is_dismissed(state, skips[i].entry->id)) continue;
        dbk_buffer_printf(out, "%s[\"%s\",\"%s\",\"\",\"%s\"]", first ? "" : ",", skips[i].entry->id, skips[i].state,
                          skips[i].against ? skips[i].against->id : "");
        first = false;
    }
    dbk_buffer_put_u8(out, ']');
}

static dbk_result at_actor(const dbk_json_node *op, const dbk_json_node *name, dbk_buffer *out)
{
    actor *a = actor_of(text_at(op, "at"));
    if (dbk_json_text_is(name, "changes")) return DBK_NONE; /* it has no journal */
    if (dbk_json_text_is(name, "decide")) op_decide(a, op, out);
    else if (dbk_json_text_is(name, "deliver")) op_deliver(a, op, out);
    else if (dbk_json_text_is(name, "as_of")) op_as_of(a, op, out);
    else if (dbk_json_text_is(name, "upgrade")) op_upgrade(a, op, out);
    else if (dbk_json_text_is(name, "state")) {
        put_cursor(a, a->replica->position, out);
        dbk_buffer_put_u8(out, ',');
        put_rows(a->replica->state, out);
        put_skips(a->replica->state, out);
    } else if (dbk_json_text_is(name, "restart")) {
        a->generation++;
        a->replica->parked_count = 0;
        o_refold(a->replica);
    }
    return DBK_OK;
}

dbk_result stage_perform(trace_stage *stage, dbk_slice line, dbk_buffer *out)
{
    const dbk_json_node *op;
    dbk_result result = dbk_json_parse(stage->parser, line, &op, &stage->err);
    if (result != DBK_OK) return result;
    const dbk_json_node *name = dbk_json_member(op, "op");
    if (dbk_json_text_is(name, "define")) op_define(op);
    else if (dbk_json_text_is(name, "send")) op_send(op);
    else if (dbk_json_text_is(name, "new")) op_new(op);
    else if (dbk_json_text_is(name, "copy"))
        add_actor(o_replica_copy(actor_of(text_at(op, "from"))->replica, (uint64_t)number_of(op, "upto"),
                                 (uint32_t)number_of(op, "incarnation"), text_at(op, "at")),
                  2);
    else return at_actor(op, name, out);
    return DBK_OK;
}
