#include "tests/model/model.h"

#include <stdio.h>
#include <stdlib.h>

enum { CORRELATED = 12 }; /* operations whose commands belong together */

/* ---- values */

static const char *const key_texts[] = {"k0", "k1", "k2", "a/b", "50%", "\xc3\xbc", "k6"};
enum { KEY_TEXTS = sizeof key_texts / sizeof *key_texts };

static void put_key(m_random *random, m_key kind, dbk_buffer *out)
{
    const char *text = key_texts[m_below(random, KEY_TEXTS)];
    uint32_t number = m_below(random, 5);
    if (kind == M_KEY_TEXT) dbk_json_put_string(out, dbk_slice_text(text));
    else if (kind == M_KEY_INTEGER) dbk_buffer_printf(out, "%u", number);
    else dbk_buffer_printf(out, "[\"%s\",%u]", key_texts[number % 4], m_below(random, 2));
}

static void put_set(m_random *random, dbk_buffer *out)
{
    uint32_t words = m_below(random, 8);
    const char *comma = "";
    dbk_buffer_put_u8(out, '[');
    for (uint32_t i = 0; i < 3; i++) {
        if (!(words & (1u << i))) continue;
        dbk_buffer_printf(out, "%s\"%c\"", comma, (char)('p' + i));
        comma = ",";
    }
    dbk_buffer_put_u8(out, ']');
}

static bool put_change(m_random *random, o_rule rule, dbk_buffer *out)
{
    if (rule == O_COUNTER && m_chance(random, 3)) {
        dbk_buffer_printf(out, "{\"+\":%d}", (int)m_below(random, 7) - 3);
        return true;
    }
    if (rule != O_SET) return false;
    if (!m_chance(random, 3)) {
        put_set(random, out);
        return true;
    }
    dbk_buffer_put_text(out, "{\"add\":");
    put_set(random, out);
    dbk_buffer_put_text(out, ",\"remove\":[\"q\"]}");
    return true;
}

static void put_value(m_random *random, const m_column *column, dbk_buffer *out)
{
    static const char *const texts[] = {"\"a\"", "\"b\"",  "\"bad\"", "\"it's\"", "\"l\xc3\xa4nger\"",
                                        "\"\"",  "\"x~2\""};
    static const char *const times[] = {"\"2024-02-29 12:00:00\"", "\"1999-12-31 23:59:59\"",
                                        "\"2030-01-01 00:00:00.5\"", "\"2023-11-14 22:20:00\"",
                                        "\"2023-11-15 01:00:00.25\""};
    static const char *const jsons[] = {"1",
                                        "\"x\"",
                                        "[1,2]",
                                        "true",
                                        "{\"k\":[1,null]}",
                                        "37",
                                        "[]",
                                        "{\"a\":1}",
                                        "{\"b\":2}",
                                        "{\"a\":null}",
                                        "{\"a\":{\"b\":null,\"c\":3}}",
                                        "{}"};
    static const char *const wrong[] = {"\"no\"", "17.5", "[]", "false"};
    uint32_t draw = m_below(random, 40);
    if (draw == 0) dbk_buffer_put_text(out, wrong[m_below(random, 4)]);
    else if (draw < 4) dbk_buffer_put_text(out, "null");
    else if (column->parent >= 0) put_key(random, M_KEY_TEXT, out);
    else if (!put_change(random, column->rule, out)) {
        switch (column->type) {
        case O_IS_TEXT: dbk_buffer_put_text(out, texts[m_below(random, 7)]); break;
        case O_IS_INTEGER:
            dbk_buffer_printf(out, "%d", (int)m_below(random, 12) - (m_chance(random, 6) ? 4 : 0));
            break;
        case O_IS_REAL: dbk_buffer_printf(out, "%d.%d", (int)m_below(random, 10), 25 * (int)m_below(random, 4)); break;
        case O_IS_BOOLEAN: dbk_buffer_put_text(out, m_chance(random, 2) ? "true" : "0"); break;
        case O_IS_DATETIME: dbk_buffer_put_text(out, times[m_below(random, 5)]); break;
        default: dbk_buffer_put_text(out, jsons[m_below(random, 12)]);
        }
    }
}

static void put_data(m_random *random, const m_table *table, bool patch, dbk_buffer *out)
{
    const char *comma = "";
    dbk_buffer_put_text(out, ",\"data\":{");
    for (int i = 0; i < table->column_count; i++) {
        const m_column *column = &table->columns[i];
        if (m_chance(random, patch || !column->not_null ? 2 : 12)) continue;
        dbk_buffer_printf(out, "%s\"%s\":", comma, column->name);
        put_value(random, column, out);
        comma = ",";
    }
    if (m_chance(random, 60)) dbk_buffer_printf(out, "%s\"strange\":1", comma);
    dbk_buffer_put_u8(out, '}');
}

/* ---- commands */

static void put_expect(m_world *w, const m_store *store, const char *stream, dbk_buffer *out)
{
    if (!m_chance(&w->random, 5)) return;
    dbk_buffer_put_text(out, ",\"expect\":");
    switch (m_below(&w->random, 5)) {
    case 0: dbk_buffer_put_text(out, "\"none\""); break;
    case 1: dbk_buffer_put_text(out, "\"exists\""); break;
    case 2: dbk_buffer_put_text(out, "\"any\""); break;
    case 3: dbk_buffer_printf(out, "%u", m_below(&w->random, (uint32_t)store->oracle->position + 2)); break;
    default: {
        const char *slash = strchr(stream, '/');
        int table = o_table_of(store->oracle->definition, o_intern(dbk_slice_of(stream, (size_t)(slash - stream))));
        dbk_buffer_printf(out, "%llu",
                          (unsigned long long)o_version(store->oracle, o_text(stream), table, o_text(slash + 1)));
    }
    }
}

/* The stream of a row whose key stands at the end of the text, as JSON. */
static const char *stream_of(const m_world *w, const char *table, const char *key)
{
    const dbk_json_node *node, *part;
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_printf(&text, "%s/", table);
    if (dbk_json_parse(w->answers, dbk_slice_text(key), &node, NULL) != DBK_OK) abort();
    part = node->kind == DBK_JSON_ARRAY ? dbk_json_child(node) : node;
    for (uint32_t i = 0, count = node->kind == DBK_JSON_ARRAY ? node->count : 1; i < count;
         i++, part = dbk_json_next(part)) {
        if (i) dbk_buffer_put_u8(&text, '/');
        for (size_t k = 0; k < part->text.size; k++) {
            uint8_t c = part->text.data[k];
            if (c == '/' || c == '%') dbk_buffer_printf(&text, "%%%02X", c);
            else dbk_buffer_put_u8(&text, c);
        }
    }
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

static void put_row_command(m_world *w, const m_store *store, dbk_buffer *out)
{
    static const char *const verbs[] = {"put", "put", "put", "patch", "patch", "delete"};
    const m_app *app = &w->versions[store->version].app;
    const m_table *table = &app->tables[m_below(&w->random, (uint32_t)app->table_count)];
    const char *verb = verbs[m_below(&w->random, 6)], *name = m_chance(&w->random, 80) ? "p0" : table->name;
    dbk_buffer key;
    dbk_buffer_init(&key, dbk_port_system());
    put_key(&w->random, table->key, &key);
    dbk_buffer_printf(out, "\"do\":\"%s\",\"table\":\"%s\",\"key\":%s", verb, name, dbk_buffer_text(&key));
    put_expect(w, store, stream_of(w, table->name, dbk_buffer_text(&key)), out);
    if (strcmp(verb, "delete") != 0) put_data(&w->random, table, verb[1] == 'a', out);
    dbk_buffer_release(&key);
}

static void put_append(m_world *w, const m_store *store, dbk_buffer *out)
{
    static const char *const types[] = {"job.started", "job.started", "job.moved", "job.moved",
                                        "job.moved",   "job.swept",   "job.other", "job.ended"};
    const char *type = types[m_below(&w->random, 8)];
    char stream[16];
    snprintf(stream, sizeof stream, "job/%u", m_below(&w->random, 4));
    dbk_buffer_printf(out, "\"do\":\"append\",\"stream\":\"%s\",\"type\":\"%s\"", stream, type);
    put_expect(w, store, stream, out);
    dbk_buffer_printf(out, ",\"data\":{\"id\":\"%s\",\"n\":%u,\"note\":%s}", stream + 4, m_below(&w->random, 15),
                      m_chance(&w->random, 2)   ? "null"
                      : m_chance(&w->random, 2) ? "\"x\""
                                                : "\"y\"");
}

static void put_custom(m_world *w, dbk_buffer *out)
{
    const char *key = key_texts[m_below(&w->random, KEY_TEXTS)];
    switch (m_below(&w->random, 6)) {
    case 0: dbk_buffer_printf(out, "\"do\":\"all.sweep\",\"args\":{\"most\":%u}", m_below(&w->random, 12)); break;
    case 1: dbk_buffer_printf(out, "\"do\":\"one.raise\",\"args\":{\"id\":\"%s\"}", key); break;
    case 2:
        dbk_buffer_printf(out, "\"do\":\"one.raise\",\"args\":{\"id\":\"%s\",\"by\":%u}", key, m_below(&w->random, 4));
        break;
    case 3: dbk_buffer_put_text(out, "\"do\":\"all.raise\""); break;
    case 4:
        dbk_buffer_printf(out, "\"do\":\"many.make\",\"args\":{\"id\":\"%s\",\"least\":%u}", key,
                          m_below(&w->random, 4));
        break;
    default:
        dbk_buffer_printf(out, "\"do\":\"many.make\",\"args\":{%s}",
                          m_chance(&w->random, 2) ? "" : "\"id\":\"k1\",\"more\":1");
    }
}

/* The rows of settings are rows like others. */
static void put_setting_row(m_world *w, dbk_buffer *out)
{
    static const char *const keys[] = {"one", "two", "[\"plug\",\"size\"]", "[\"plug\",\"font\"]",
                                       "[\"other\",\"font\"]"};
    static const char *const values[] = {"{\"size\":7}", "{\"editor\":{\"size\":null}}", "3", "null"};
    static const char *const verbs[] = {"put", "patch", "delete"};
    uint32_t key = m_below(&w->random, 5), verb = m_below(&w->random, 3);
    dbk_buffer_printf(out, "\"do\":\"%s\",\"table\":\"s%d\",\"key\":", verbs[verb], key > 1);
    if (key > 1) dbk_buffer_put_text(out, keys[key]);
    else dbk_buffer_printf(out, "\"%s\"", keys[key]);
    if (verb < 2) dbk_buffer_printf(out, ",\"data\":{\"value\":%s}", values[m_below(&w->random, 4)]);
}

static void put_one(m_world *w, const m_store *store, dbk_buffer *out)
{
    bool commands = w->versions[store->version].app.commands;
    uint32_t draw = m_below(&w->random, 11);
    if (draw == 10 && w->versions[store->version].app.settings && m_chance(&w->random, 5)) put_setting_row(w, out);
    else if (draw == 10 && w->versions[store->version].app.settings) m_put_setting(&w->random, out);
    else if (draw < 2) put_append(w, store, out);
    else if (draw == 2 && commands) put_custom(w, out);
    else put_row_command(w, store, out);
}

static void put_batch(m_world *w, const m_store *store, dbk_buffer *out)
{
    dbk_buffer_put_text(out, "\"do\":\"batch\",\"commands\":[");
    for (uint32_t i = 0, count = 1 + m_below(&w->random, 4); i < count; i++) {
        dbk_buffer_put_text(out, i ? ",{" : "{");
        put_one(w, store, out);
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, ']');
}

static void remember(m_world *w, const dbk_buffer *command)
{
    dbk_buffer *slot = &w->sent[w->sent_count++ % M_SENT];
    dbk_buffer_clear(slot);
    dbk_buffer_put_slice(slot, dbk_buffer_slice(command));
}

void m_command(m_world *w, const m_store *store, dbk_buffer *out)
{
    dbk_buffer_clear(out);
    if (w->sent_count && m_chance(&w->random, 12)) { /* one that was sent before, perhaps elsewhere */
        size_t kept = w->sent_count < M_SENT ? w->sent_count : M_SENT;
        dbk_buffer_put_slice(out, dbk_buffer_slice(&w->sent[m_below(&w->random, (uint32_t)kept)]));
        return;
    }
    uint64_t id =
        m_chance(&w->random, 50) ? m_below(&w->random, 50) : 1000 * (uint64_t)w->number + w->commands++ % 1000;
    dbk_buffer_printf(out, "{\"id\":\"c%llu\",", (unsigned long long)id);
    if (m_chance(&w->random, 2)) dbk_buffer_printf(out, "\"correlation\":\"r%u\",", w->number / CORRELATED);
    if (m_chance(&w->random, 6)) put_batch(w, store, out);
    else put_one(w, store, out);
    dbk_buffer_put_u8(out, '}');
    remember(w, out);
}

/* ---- decisions */

static bool text_is(const dbk_json_node *receipt, const char *member, const char *text)
{
    const dbk_json_node *node = dbk_json_member(receipt, member);
    return node && dbk_json_text_is(node, text);
}

static bool number_is(const dbk_json_node *receipt, const char *member, uint64_t number)
{
    const dbk_json_node *node = dbk_json_member(receipt, member);
    int64_t found;
    return node && dbk_json_is_integer(node, &found) && (uint64_t)found == number;
}

static const char *said(const o_receipt *receipt)
{
    if (!receipt->ok) return o_format("the error '%s'", receipt->error);
    return o_format("position %llu, entry %s%s", (unsigned long long)receipt->position, receipt->entry->id,
                    receipt->again ? ", again" : "");
}

static void compare_receipt(m_world *w, const char *command, const char *receipt, const o_receipt *expected)
{
    const dbk_json_node *root;
    if (dbk_json_parse(w->answers, dbk_slice_text(receipt), &root, &w->error) != DBK_OK)
        m_fail(w, "a receipt that cannot be read: %s", receipt);
    const dbk_json_node *ok = dbk_json_member(root, "ok");
    bool good = ok && (ok->kind == DBK_JSON_TRUE) == expected->ok;
    if (good && expected->ok)
        good = number_is(root, "position", expected->position) && text_is(root, "entry", expected->entry->id) &&
               (dbk_json_member(root, "again") != NULL) == expected->again;
    if (good && !expected->ok) good = text_is(root, "error", expected->error);
    if (good && !expected->ok && expected->versions) good = number_is(root, "actual", expected->actual);
    if (!good) m_fail(w, "%s\n  got %s\n  not %s", command, receipt, said(expected));
}

/* What a receipt promises has to be there when the power comes back. */
static void note_accepted(m_world *w, m_store *store, const char *receipt)
{
    const dbk_json_node *root;
    int64_t position;
    if (!receipt || dbk_json_parse(w->answers, dbk_slice_text(receipt), &root, NULL) != DBK_OK) return;
    const dbk_json_node *ok = dbk_json_member(root, "ok"), *at = dbk_json_member(root, "position");
    if (!ok || ok->kind != DBK_JSON_TRUE || !at || !dbk_json_is_integer(at, &position)) return;
    if ((uint64_t)position > store->acknowledged) store->acknowledged = (uint64_t)position;
}

static const char *id_of(m_world *w, const char *command)
{
    const dbk_json_node *root;
    if (dbk_json_parse(w->answers, dbk_slice_text(command), &root, NULL) != DBK_OK) abort();
    return o_intern(dbk_json_member(root, "id")->text);
}

/* The process dies in the turn: nobody has the receipts, the log has all of it. */
static void decide_oracle(m_world *w, m_store *store, const dbk_buffer *commands, size_t count, o_receipt *expected)
{
    for (size_t i = 0; i < count; i++) {
        const dbk_json_node *root;
        if (dbk_json_parse(w->parser, dbk_buffer_slice(&commands[i]), &root, &w->error) != DBK_OK)
            m_fail(w, "a command that cannot be read: %s", w->error.text);
        o_decide(store->oracle, root, store->now_ms, &expected[i]);
    }
}

void m_decide(m_world *w, m_store *store, const dbk_buffer *commands, size_t count)
{
    static o_receipt expected[M_TURN];
    dbk_slice texts[M_TURN];
    dbk_buffer receipts[M_TURN];
    for (size_t i = 0; i < count; i++) {
        texts[i] = dbk_buffer_slice(&commands[i]);
        dbk_buffer_init(&receipts[i], dbk_port_system());
    }
    if (store->drop[0]) {
        const char *id = id_of(w, (const char *)commands[0].data);
        snprintf(store->drop, sizeof store->drop, "%s", id);
        store->oracle->drop = id;
    }
    decide_oracle(w, store, commands, count, expected);
    for (size_t i = 0; i < count && w->shows; i++)
        printf("%u: at %s %lld %s -> %s\n", w->number, store->timeline, (long long)store->now_ms,
               (const char *)commands[i].data, said(&expected[i]));
    bool undo = strstr((const char *)commands[0].data, "\"do\":\"undo\"") != NULL;
    m_power_arm(w, store);
    dbk_result result = undo ? dbk_engine_undo(store->engine, texts[0], store->now_ms, receipts, &w->error)
                             : dbk_engine_decide(store->engine, texts, count, store->now_ms, receipts, &w->error);
    for (size_t i = 0; i < count; i++) note_accepted(w, store, dbk_buffer_text(&receipts[i]));
    m_power_gone(w, store);
    if (result != DBK_OK && !store->died) m_fail(w, "decide: %s", w->error.text);
    for (size_t i = 0; i < count; i++) {
        if (!store->died)
            compare_receipt(w, (const char *)commands[i].data, dbk_buffer_text(&receipts[i]), &expected[i]);
        dbk_buffer_release(&receipts[i]);
    }
    store->oracle->drop = NULL;
    store->drop[0] = 0;
}

/* ---- undo */

static const o_entry *draw_entry(m_world *w, const m_store *store)
{
    uint64_t position = store->oracle->position, back = m_below(&w->random, 12);
    return store->oracle->log[back < position ? position - 1 - back : position - 1];
}

static void put_undo(m_world *w, const o_entry *entry, dbk_buffer *out)
{
    dbk_buffer_clear(out);
    dbk_buffer_printf(out, "{\"id\":\"u%u.%llu\",\"do\":\"undo\",\"entry\":\"%s\"}", w->number,
                      (unsigned long long)w->commands++, entry->id);
    (void)dbk_buffer_text(out);
}

/* One, some, by position, or by what they belong to. */
static void put_some_undo(m_world *w, const m_store *store, dbk_buffer *out)
{
    uint32_t draw = m_below(&w->random, 8), many = 1 + m_below(&w->random, 4);
    if (draw < 3) {
        put_undo(w, draw_entry(w, store), out);
        return;
    }
    dbk_buffer_clear(out);
    dbk_buffer_printf(out, "{\"id\":\"u%u.%llu\",\"do\":\"undo\"", w->number, (unsigned long long)w->commands++);
    if (draw < 5) {
        uint32_t group = w->number / CORRELATED, back = m_below(&w->random, 4);
        dbk_buffer_printf(out, ",\"of_correlation\":\"r%u\"", back < group ? group - back : group);
    } else if (draw < 7) {
        for (uint32_t i = 0; i < many; i++)
            dbk_buffer_printf(out, "%s\"%s\"", i ? "," : ",\"entry\":[", draw_entry(w, store)->id);
        dbk_buffer_put_u8(out, ']');
    } else {
        uint64_t position = store->oracle->position;
        for (uint32_t i = 0; i < many; i++)
            dbk_buffer_printf(out, "%s%llu", i ? "," : ",\"position\":[",
                              (unsigned long long)(position + 1 - m_below(&w->random, (uint32_t)position + 1)));
        dbk_buffer_put_u8(out, ']');
    }
    dbk_buffer_put_u8(out, '}');
    (void)dbk_buffer_text(out);
}

void m_undo(m_world *w, m_store *store)
{
    dbk_buffer command;
    if (store->oracle->position == 0) return;
    w->what = "undo";
    dbk_buffer_init(&command, dbk_port_system());
    put_some_undo(w, store, &command);
    store->powers = m_chance(&w->random, 20);
    m_decide(w, store, &command, 1);
    store->died = false;
    dbk_buffer_release(&command);
}

void m_redo(m_world *w, m_store *store)
{
    dbk_buffer command;
    if (store->oracle->position == 0) return;
    w->what = "undo and redo";
    dbk_buffer_init(&command, dbk_port_system());
    for (int i = 0; i < 2; i++) {
        uint64_t before = store->oracle->position;
        put_undo(w, i ? store->oracle->log[before - 1] : draw_entry(w, store), &command);
        m_decide(w, store, &command, 1);
        if (store->oracle->position == before) break;
        m_look(w, store);
    }
    dbk_buffer_release(&command);
}
