#include "tests/model/oracle.h"

#include <stdlib.h>

/* ---- what of a command is its content */

static bool is_outside(dbk_slice name)
{
    static const char *const names[] = {"id", "actor", "correlation", "causation", "wait"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (dbk_slice_equal(name, dbk_slice_text(names[i]))) return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return dbk_slice_compare((*(const dbk_json_node *const *)a)->name, (*(const dbk_json_node *const *)b)->name);
}

static const char *content_of(const dbk_json_node *command)
{
    const dbk_json_node *members[32], *member = dbk_json_child(command);
    size_t count = 0;
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    for (uint32_t i = 0; i < command->count && count < 32; i++, member = dbk_json_next(member))
        if (!is_outside(member->name)) members[count++] = member;
    qsort(members, count, sizeof *members, by_name);
    for (size_t i = 0; i < count; i++) {
        dbk_json_put_string(&text, members[i]->name);
        dbk_json_put_canonical(&text, members[i]);
    }
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

/* ---- values of a command */

static bool is_array_of_texts(const dbk_json_node *node)
{
    const dbk_json_node *item = dbk_json_child(node);
    if (node->kind != DBK_JSON_ARRAY) return false;
    for (uint32_t i = 0; i < node->count; i++, item = dbk_json_next(item))
        if (item->kind != DBK_JSON_STRING) return false;
    return true;
}

static bool take_change(const o_column *column, const dbk_json_node *node, o_value *out)
{
    const dbk_json_node *plus = dbk_json_member(node, "+"), *add = dbk_json_member(node, "add");
    const dbk_json_node *less = dbk_json_member(node, "remove");
    int64_t count;
    if (column->rule == O_COUNTER && plus && dbk_json_is_integer(plus, &count)) {
        *out = (o_value){.kind = O_PLUS, .integer = count};
        return true;
    }
    if (column->rule != O_SET || !add || !less) return false;
    *out = (o_value){
        .kind = O_CHANGE, .text = o_set_plus(o_json_text(add), NULL), .lost = o_set_plus(o_json_text(less), NULL)};
    return true;
}

/* False: not of the column's type. */
static bool take_value(const o_column *column, const dbk_json_node *node, o_value *out)
{
    int64_t integer;
    *out = (o_value){0};
    if (node->kind == DBK_JSON_NULL) return true;
    if (node->kind == DBK_JSON_OBJECT && column->rule >= O_COUNTER) return take_change(column, node, out);
    if (column->rule == O_SET) {
        if (!is_array_of_texts(node)) return false;
        *out = (o_value){.kind = O_TEXT, .text = o_set_plus(o_json_text(node), NULL)};
        return true;
    }
    bool whole = dbk_json_is_integer(node, &integer);
    switch (column->type) {
    case O_IS_INTEGER: *out = o_integer(integer); return whole;
    case O_IS_REAL:
        *out = (o_value){.kind = O_REAL, .real = dbk_json_double(node)};
        return node->kind == DBK_JSON_NUMBER;
    case O_IS_BOOLEAN:
        *out = o_of_json(node);
        return node->kind == DBK_JSON_TRUE || node->kind == DBK_JSON_FALSE || (whole && (integer == 0 || integer == 1));
    case O_IS_DATETIME:
        *out = o_of_json(node);
        return node->kind == DBK_JSON_STRING && node->text.size >= 10 && node->text.data[4] == '-';
    case O_IS_JSON: *out = o_fit(column, (o_value){.kind = O_TEXT, .text = o_json_text(node)}); return true;
    default: *out = o_of_json(node); return node->kind == DBK_JSON_STRING;
    }
}

/* The row's key, or NULL: not of the table's types. */
static const char *take_key(const o_table *table, const dbk_json_node *node)
{
    o_value values[O_COLUMNS] = {{0}};
    const dbk_json_node *part = node;
    bool many = table->key_count > 1;
    if (!node || (many != (node->kind == DBK_JSON_ARRAY))) return NULL;
    if (many && node->count != (uint32_t)table->key_count) return NULL;
    if (many) part = dbk_json_child(node);
    for (int i = 0; i < table->key_count; i++, part = dbk_json_next(part))
        if (!take_value(&table->columns[table->keys[i]], part, &values[table->keys[i]])) return NULL;
    return o_key_of(table, values);
}

/* ---- a row */

static const char *check_expect(o_draft *draft, const dbk_json_node *expect, uint64_t actual, bool exists)
{
    int64_t wanted;
    if (!expect || dbk_json_text_is(expect, "any")) return NULL;
    if (dbk_json_text_is(expect, "none") && !exists) return NULL;
    if (dbk_json_text_is(expect, "exists") && exists) return NULL;
    if (dbk_json_is_integer(expect, &wanted) && (uint64_t)wanted == actual) return NULL;
    draft->receipt->versions = true;
    draft->receipt->actual = actual;
    draft->receipt->expected = o_of_json(expect);
    return "version_conflict";
}

static o_event *next_event(o_draft *draft, o_event_kind kind, const char *stream)
{
    if (draft->event_count == O_EVENTS) o_die("an entry of too many events");
    o_event *event = &draft->events[draft->event_count];
    *event = (o_event){.kind = kind, .stream = stream, .version = draft->replica->definition->version};
    return event;
}

static const char *emit(o_draft *draft)
{
    o_context context = {.entry = draft->entry, .deciding = true};
    o_result result = o_project(draft->replica->state, &draft->events[draft->event_count], &context);
    if (result != O_DONE) return result == O_CONSTRAINT ? "constraint" : "rejected";
    draft->event_count++;
    return NULL;
}

static bool is_key(const o_table *t, int column)
{
    for (int i = 0; i < t->key_count; i++)
        if (t->keys[i] == column) return true;
    return false;
}

static o_rule rule_of(const o_draft *draft, const o_column *column)
{
    return draft->entry->undo && column->rule < O_COUNTER ? O_LWW : column->rule;
}

static bool may_move(const o_table *t, const o_row *row, o_value to)
{
    if (t->machine < 0) return true;
    if (!row) {
        for (int i = 0; i < t->start_count; i++)
            if (o_same(t->starts[i], to)) return true;
        return false;
    }
    if (o_same(row->values[t->machine], to)) return true;
    for (int i = 0; i < t->move_count; i++)
        if (o_same(t->moves[i].from, row->values[t->machine]) && o_same(t->moves[i].to, to)) return true;
    return false;
}

static o_value start_of(const o_draft *draft, const o_column *column)
{
    return column->default_now ? o_string(o_time_text(draft->entry->time_ms)) : column->start;
}

/* The row as it will be; what a put says of a column stands there even where it is null. */
static bool is_good(const o_table *t, const o_value *values, const bool *said)
{
    if (!t->judged) return true;
    int needed = t->judged_needs ? o_column_of(t, t->judged_needs) : -1;
    if (needed >= 0 && values[needed].kind == O_NULL && !(said && said[needed])) return false;
    o_value number = values[t->key_count];
    return number.kind != O_INTEGER || number.integer <= t->judged_most;
}

static const char *put_new(o_draft *draft, const o_table *t, o_event *event, o_value *values, bool *given)
{
    o_field *fields = o_take(sizeof *fields * (size_t)t->column_count);
    o_value row[O_COLUMNS] = {{0}};
    if (!o_key_values(t, event->key, values)) return "schema";
    for (int i = 0; i < t->column_count; i++) {
        const o_column *column = &t->columns[i];
        bool stamp = i == t->created || i == t->updated;
        if (stamp && !given[i]) values[i] = o_string(o_stamp_text(draft->entry->time_ms));
        else if (!given[i] && !is_key(t, i)) values[i] = start_of(draft, column);
        if (!given[i] && !is_key(t, i)) event->filled[event->filled_count++] = column->name;
        fields[i] = (o_field){column->name, o_change(rule_of(draft, column), (o_value){0}, values[i])};
    }
    for (int i = 0; i < t->column_count; i++)
        if (!draft->entry->undo) row[i] = o_merge(O_LWW, (o_value){0}, fields[i].value);
    const o_definition *definition = draft->replica->definition;
    if (!draft->entry->undo && !is_good(t, row, given)) return "schema";
    if (!draft->entry->undo && !o_setting_fits(definition, t, event->key, row, given, true)) return "schema";
    if (!draft->entry->undo && t->machine >= 0 && !may_move(t, NULL, values[t->machine])) return "rejected";
    event->kind = O_PUT;
    event->type = o_format("%s.put", t->name);
    event->fields = fields;
    event->field_count = t->column_count;
    return emit(draft);
}

static const char *change_old(o_draft *draft, const o_table *t, o_event *event, const o_row *row, bool is_put,
                              o_value *values, bool *given)
{
    o_field *fields = o_take(sizeof *fields * (size_t)t->column_count);
    o_value will[O_COLUMNS];
    int count = 0;
    bool moves = true, whole = is_put && !draft->replica->definition->put_keeps_unnamed && !draft->entry->undo;
    memcpy(will, row->values, sizeof will);
    for (int i = 0; i < t->column_count; i++) {
        const o_column *column = &t->columns[i];
        bool stamp = i == t->created || i == t->updated;
        if (is_key(t, i) || (!given[i] && (!whole || stamp))) continue;
        if (!given[i]) values[i] = start_of(draft, column);
        o_value change = o_change(rule_of(draft, column), row->values[i], values[i]);
        will[i] = o_merge(rule_of(draft, column), row->values[i], change);
        if (o_same(will[i], row->values[i])) continue;
        moves = moves && (i != t->machine || draft->entry->undo || may_move(t, row, values[i]));
        fields[count++] = (o_field){column->name, change};
    }
    const o_definition *definition = draft->replica->definition;
    if (!draft->entry->undo && !is_good(t, will, is_put ? given : NULL)) return "schema";
    if (!draft->entry->undo && !o_setting_fits(definition, t, event->key, will, given, is_put)) return "schema";
    if (!moves) return "rejected";
    if (!count) return NULL;
    if (t->updated >= 0 && !given[t->updated] && !draft->entry->undo)
        fields[count++] = (o_field){t->columns[t->updated].name, o_string(o_stamp_text(draft->entry->time_ms))};
    event->kind = O_PATCHED;
    event->type = o_format("%s.patched", t->name);
    event->fields = fields;
    event->field_count = count;
    event->base =
        o_last_writer(draft->replica->state, o_table_of(draft->replica->definition, t->name), event->key, draft->entry);
    return emit(draft);
}

const char *o_change_row(o_draft *draft, const char *verb, int table, const char *key, const o_field *data, int count,
                         const dbk_json_node *expect)
{
    const o_definition *definition = draft->replica->definition;
    const o_table *t = &definition->tables[table];
    const o_row *row = o_row_find(draft->replica->state, table, key);
    o_value values[O_COLUMNS] = {{0}};
    bool given[O_COLUMNS] = {false}, put = strcmp(verb, "put") == 0;
    for (int i = 0; i < count; i++) {
        int column = o_column_of(t, data[i].name);
        if (column < 0) return "unknown_field";
        values[column] = data[i].value;
        given[column] = true;
    }
    o_event *event = next_event(draft, O_DELETED, o_format("%s/%s", t->name, key));
    const char *error = check_expect(draft, expect, o_version(draft->replica, event->stream, table, key), row != NULL);
    if (error) return error;
    if (!row && !put) return "not_found";
    event->table = t->name;
    event->key = key;
    if (!row) return put_new(draft, t, event, values, given);
    if (strcmp(verb, "delete") != 0) {
        return change_old(draft, t, event, row, put, values, given);
    }
    event->type = o_format("%s.deleted", t->name);
    event->base = o_last_writer(draft->replica->state, table, key, draft->entry);
    return emit(draft);
}

/* ---- commands */

static const char *unknown_data(const o_table *t, const dbk_json_node *data)
{
    const dbk_json_node *member = data ? dbk_json_child(data) : NULL;
    for (uint32_t i = 0; data && i < data->count; i++, member = dbk_json_next(member))
        if (o_column_of(t, o_intern(member->name)) < 0) return "unknown_field";
    return NULL;
}

/* A patch of a document; of one that is none it makes one. */
static o_value merged(const o_draft *draft, int table, const char *key, int column, const dbk_json_node *patch)
{
    const o_row *row = o_row_find(draft->replica->state, table, key);
    const char *old = row && row->values[column].kind == O_TEXT ? row->values[column].text : NULL;
    const char *text = o_json_merge(old, patch);
    return o_string(draft->replica->definition->tables[table].unordered ? o_json_sorted(text) : text);
}

/* Types are looked at when row and version are as expected, so what was found there comes first. */
static const char *run_row(o_draft *draft, const char *verb, const dbk_json_node *command)
{
    const o_definition *definition = draft->replica->definition;
    const dbk_json_node *name = dbk_json_member(command, "table"), *data = dbk_json_member(command, "data");
    const dbk_json_node *expect = dbk_json_member(command, "expect");
    int table = name ? o_table_of(definition, o_intern(name->text)) : -1, count = 0;
    if (table < 0 || !definition->tables[table].collection) return "unknown_table";
    const o_table *t = &definition->tables[table];
    const char *error = unknown_data(t, data);
    const char *key = take_key(t, dbk_json_member(command, "key"));
    if (error) return error;
    if (!key) return "schema";
    o_field fields[O_COLUMNS];
    const dbk_json_node *member = data ? dbk_json_child(data) : NULL;
    bool fits = true;
    for (uint32_t i = 0; data && i < data->count && count < O_COLUMNS; i++, member = dbk_json_next(member)) {
        int column = o_column_of(t, o_intern(member->name));
        fields[count].name = t->columns[column].name;
        fits = take_value(&t->columns[column], member, &fields[count].value) && fits;
        if (verb[1] == 'a' && t->columns[column].type == O_IS_JSON && member->kind == DBK_JSON_OBJECT)
            fields[count].value = merged(draft, table, key, column, member);
        if (!is_key(t, column)) count++;
    }
    if (fits) return o_change_row(draft, verb, table, key, fields, count, expect);
    const o_row *row = o_row_find(draft->replica->state, table, key);
    const char *stream = o_format("%s/%s", t->name, key);
    error = check_expect(draft, expect, o_version(draft->replica, stream, table, key), row != NULL);
    return error ? error : !row && strcmp(verb, "put") != 0 ? "not_found" : "schema";
}

const char *o_append_event(o_draft *draft, const char *stream, const char *type, const o_field *fields, int count)
{
    o_event *event = next_event(draft, O_CUSTOM, stream);
    event->type = type;
    event->fields = fields;
    event->field_count = count;
    return emit(draft);
}

static const char *run_append(o_draft *draft, const dbk_json_node *command)
{
    const dbk_json_node *data = dbk_json_member(command, "data"), *member = data ? dbk_json_child(data) : NULL;
    const char *stream = o_intern(dbk_json_member(command, "stream")->text);
    const char *type = o_intern(dbk_json_member(command, "type")->text), *dot = strrchr(type, '.');
    static const char *const reserved[] = {".put", ".patched", ".deleted"};
    if (strncmp(type, "daybook.", 8) == 0) return "bad_command";
    for (int i = 0; i < 3 && dot; i++) {
        const char *head = o_intern(dbk_slice_of(type, (size_t)(dot - type)));
        if (strcmp(dot, reserved[i]) == 0 && o_table_of(draft->replica->definition, head) >= 0) return "bad_command";
    }
    uint64_t named = o_named(draft->replica, stream);
    const char *error = check_expect(draft, dbk_json_member(command, "expect"), named, named > 0);
    if (error) return error;
    o_field *fields = o_take(sizeof *fields * (data ? data->count : 1));
    for (uint32_t i = 0; data && i < data->count; i++, member = dbk_json_next(member))
        fields[i] = (o_field){o_intern(member->name), o_of_json(member)};
    return o_append_event(draft, stream, type, fields, data ? (int)data->count : 0);
}

static const char *run_dismiss(o_draft *draft, const dbk_json_node *command)
{
    o_event *event = next_event(draft, O_DISMISSED, o_text("daybook/inbox"));
    event->type = o_text("daybook.dismissed");
    event->names = o_intern(dbk_json_member(command, "entry")->text);
    return emit(draft);
}

const char *o_run_custom(o_draft *draft, const o_command *command, const dbk_json_node *node); /* oracle_command.c */

static const char *run(o_draft *draft, const dbk_json_node *command, bool inner)
{
    const dbk_json_node *verb = dbk_json_member(command, "do");
    const char *name = verb ? o_intern(verb->text) : "";
    if (strcmp(name, "put") == 0 || strcmp(name, "patch") == 0 || strcmp(name, "delete") == 0)
        return run_row(draft, name, command);
    if (strcmp(name, "append") == 0) return run_append(draft, command);
    if (strcmp(name, "set") == 0 || strcmp(name, "unset") == 0 || strcmp(name, "reset") == 0)
        return o_run_setting(draft, name, command);
    if (inner && (strcmp(name, "batch") == 0 || strcmp(name, "undo") == 0)) return "bad_command";
    if (strcmp(name, "undo") == 0) return o_undo(draft, command);
    if (strcmp(name, "dismiss") == 0) return run_dismiss(draft, command);
    if (strcmp(name, "batch") == 0) {
        const dbk_json_node *commands = dbk_json_member(command, "commands"), *one = dbk_json_child(commands);
        for (uint32_t i = 0; i < commands->count; i++, one = dbk_json_next(one)) {
            const char *error = run(draft, one, true);
            if (error) return error;
        }
        return NULL;
    }
    for (int i = 0; i < draft->replica->definition->command_count; i++)
        if (draft->replica->definition->commands[i].name == name)
            return o_run_custom(draft, &draft->replica->definition->commands[i], command);
    return "unknown_command";
}

static const char *text_member(const dbk_json_node *command, const char *name)
{
    const dbk_json_node *member = dbk_json_member(command, name);
    return member && member->kind == DBK_JSON_STRING ? o_intern(member->text) : o_text("");
}

static o_entry *begin(o_replica *replica, const dbk_json_node *command, const char *id, const char *content,
                      int64_t now_ms)
{
    o_entry *entry = o_take(sizeof *entry);
    memcpy(entry->replica, replica->id, 16);
    entry->incarnation = replica->incarnation;
    entry->seq = o_next_seq(replica, replica->id, replica->incarnation);
    entry->epoch = replica->epoch;
    entry->hlc = (uint64_t)now_ms << 16 > replica->hlc ? (uint64_t)now_ms << 16 : replica->hlc + 1;
    entry->time_ms = now_ms;
    entry->undo = dbk_json_text_is(dbk_json_member(command, "do"), "undo");
    entry->definition = replica->definition;
    entry->command_id = id;
    entry->command_text = content;
    entry->correlation = text_member(command, "correlation");
    o_entry_name(entry);
    return entry;
}

static bool answer_known(const o_replica *replica, const char *id, const char *content, o_receipt *receipt)
{
    for (uint64_t i = 0; i < replica->position; i++) {
        if (replica->log[i]->command_id != id) continue;
        receipt->ok = receipt->again = replica->log[i]->command_text == content;
        if (!receipt->ok) receipt->error = "id_reused";
        receipt->position = i + 1;
        receipt->entry = replica->log[i];
        return true;
    }
    return false;
}

void o_decide(o_replica *replica, const dbk_json_node *command, int64_t now_ms, o_receipt *receipt)
{
    static o_draft draft;
    o_core savepoint;
    const char *id = text_member(command, "id"), *content = content_of(command);
    *receipt = (o_receipt){0};
    if (!*id) {
        receipt->error = "bad_command";
        return;
    }
    if (answer_known(replica, id, content, receipt)) return;
    o_entry *entry = begin(replica, command, id, content, now_ms);
    draft = (o_draft){.replica = replica, .entry = entry, .receipt = receipt};
    o_begin_entry(replica->state, &savepoint);
    replica->state->time_ms = now_ms;
    receipt->error = run(&draft, command, false);
    if (!receipt->error && id == replica->drop) receipt->error = "internal";
    if (!receipt->error && !o_end_entry(replica->state, entry, replica->position + 1, draft.event_count > 0))
        receipt->error = "constraint";
    if (receipt->error) {
        o_drop_entry(replica->state, &savepoint);
        return;
    }
    o_event *events = o_take(sizeof *events * (size_t)draft.event_count);
    memcpy(events, draft.events, sizeof *events * (size_t)draft.event_count);
    entry->events = events;
    entry->event_count = draft.event_count;
    o_append(replica, entry, now_ms);
    replica->applied = replica->position;
    replica->top = entry;
    receipt->ok = true;
    receipt->position = replica->position;
    receipt->entry = entry;
}
