/* Settings: documents that are changed by path, and merge patches (RFC 7396). */
#include "tests/model/oracle.h"

enum { PARTS = 8 };

static const dbk_json_node *parse(const char *text)
{
    static dbk_json_parser *parser;
    const dbk_json_node *root;
    if (!parser) parser = dbk_json_parser_new(dbk_port_system());
    if (!parser || !text || dbk_json_parse(parser, dbk_slice_text(text), &root, NULL) != DBK_OK) return NULL;
    return root;
}

static const dbk_json_node *member_of(const dbk_json_node *object, dbk_slice name)
{
    const dbk_json_node *one = object && object->kind == DBK_JSON_OBJECT ? dbk_json_child(object) : NULL;
    for (uint32_t i = 0; one && i < object->count; i++, one = dbk_json_next(one))
        if (dbk_slice_equal(one->name, name)) return one;
    return NULL;
}

static void put_name(dbk_buffer *out, const dbk_json_node *member, const char **comma)
{
    dbk_buffer_put_text(out, *comma);
    *comma = ",";
    dbk_json_put_string(out, member->name);
    dbk_buffer_put_u8(out, ':');
}

static void put_merged(dbk_buffer *out, const dbk_json_node *old, const dbk_json_node *patch)
{
    const char *comma = "";
    if (patch->kind != DBK_JSON_OBJECT) {
        dbk_json_put_minimal(out, patch);
        return;
    }
    bool is_object = old && old->kind == DBK_JSON_OBJECT;
    const dbk_json_node *one = is_object ? dbk_json_child(old) : NULL;
    dbk_buffer_put_u8(out, '{');
    for (uint32_t i = 0; is_object && i < old->count; i++, one = dbk_json_next(one)) {
        const dbk_json_node *change = member_of(patch, one->name);
        if (change && change->kind == DBK_JSON_NULL) continue;
        put_name(out, one, &comma);
        if (change) put_merged(out, one, change);
        else dbk_json_put_minimal(out, one);
    }
    one = dbk_json_child(patch);
    for (uint32_t i = 0; i < patch->count; i++, one = dbk_json_next(one)) {
        if (one->kind == DBK_JSON_NULL || (is_object && member_of(old, one->name))) continue;
        put_name(out, one, &comma);
        put_merged(out, NULL, one);
    }
    dbk_buffer_put_u8(out, '}');
}

static const char *text_of(dbk_buffer *buffer)
{
    const char *text = o_intern(dbk_buffer_slice(buffer));
    dbk_buffer_release(buffer);
    return text;
}

const char *o_json_merge(const char *old, const dbk_json_node *patch)
{
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    put_merged(&out, parse(old), patch);
    return text_of(&out);
}

const char *o_json_sorted(const char *document)
{
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    dbk_json_put_canonical(&out, parse(document));
    return text_of(&out);
}

/* ---- a place in a document */

typedef struct place {
    const o_setting *setting;
    dbk_slice parts[PARTS];
    int count;
    const char *member; /* of a row for each: its name; NULL: all of them */
} place;

static int split(const dbk_json_node *path, dbk_slice *parts)
{
    int count = 0;
    if (!path || path->kind == DBK_JSON_NULL) return 0;
    if (path->kind == DBK_JSON_ARRAY) {
        const dbk_json_node *one = dbk_json_child(path);
        for (uint32_t i = 0; i < path->count; i++, one = dbk_json_next(one)) parts[count++] = one->text;
        return count ? count : -1;
    }
    for (size_t at = 0, from = 0; at <= path->text.size; at++) {
        if (at < path->text.size && path->text.data[at] != '.') continue;
        if (at == from || count == PARTS) return -1;
        parts[count++] = dbk_slice_of(path->text.data + from, at - from);
        from = at + 1;
    }
    return count;
}

static const char *find_place(const o_definition *definition, const dbk_json_node *command, place *at)
{
    const dbk_json_node *name = dbk_json_member(command, "namespace");
    *at = (place){0};
    for (int i = 0; i < definition->setting_count; i++)
        if (definition->settings[i].name == o_intern(name->text)) at->setting = &definition->settings[i];
    if (!at->setting) return "unknown_field";
    at->count = split(dbk_json_member(command, "path"), at->parts);
    if (at->count < 0) return "bad_command";
    if (!at->setting->row && at->count) {
        at->member = o_intern(at->parts[0]);
        memmove(at->parts, at->parts + 1, sizeof *at->parts * (size_t)--at->count);
    }
    return NULL;
}

static const dbk_json_node *node_at(const dbk_json_node *document, const place *at)
{
    for (int i = 0; document && i < at->count; i++) document = member_of(document, at->parts[i]);
    return document;
}

/* The document with `value` in the place, NULL: without it. In one order of members: a value that takes the place of
 * another says nothing of theirs. */
static void put_with(dbk_buffer *out, const dbk_json_node *document, const place *at, int depth,
                     const dbk_json_node *value)
{
    const char *comma = "";
    bool placed = false;
    if (depth == at->count) {
        dbk_json_put_canonical(out, value);
        return;
    }
    bool is_object = document && document->kind == DBK_JSON_OBJECT, last = depth + 1 == at->count;
    const dbk_json_node *one = is_object ? dbk_json_child(document) : NULL;
    dbk_buffer_put_u8(out, '{');
    for (uint32_t i = 0; is_object && i < document->count; i++, one = dbk_json_next(one)) {
        bool here = dbk_slice_equal(one->name, at->parts[depth]);
        placed = placed || here;
        if (here && last && !value) continue;
        put_name(out, one, &comma);
        if (here) put_with(out, one, at, depth + 1, value);
        else dbk_json_put_canonical(out, one);
    }
    if (!placed && value) {
        dbk_buffer_put_text(out, comma);
        dbk_json_put_string(out, at->parts[depth]);
        dbk_buffer_put_u8(out, ':');
        put_with(out, NULL, at, depth + 1, value);
    }
    dbk_buffer_put_u8(out, '}');
}

static const char *document_with(const char *old, const place *at, const dbk_json_node *value)
{
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    put_with(&out, parse(old), at, 0, value);
    return o_json_sorted(text_of(&out));
}

/* ---- the three verbs */

static bool has_null(const dbk_json_node *value)
{
    const dbk_json_node *one = dbk_json_child(value);
    if (value->kind == DBK_JSON_NULL) return true;
    for (uint32_t i = 0; value->kind == DBK_JSON_OBJECT && i < value->count; i++, one = dbk_json_next(one))
        if (has_null(one)) return true;
    return false;
}

/* {"properties":{"size":{"maximum":most}}} */
static bool is_good(const o_setting *setting, const place *at, const char *document)
{
    const dbk_json_node *root = parse(document);
    const dbk_json_node *size = root && setting->row           ? member_of(root, dbk_slice_text("size"))
                                : at->member == o_text("size") ? root
                                                               : NULL;
    return !setting->most || !size || size->kind != DBK_JSON_NUMBER || dbk_json_double(size) <= (double)setting->most;
}

static const char *key_of(const o_setting *setting, const char *member)
{
    return setting->row ? setting->row : o_format("%s/%s", setting->scope, member);
}

static o_value stored(const o_table *t, const o_setting *setting, const char *document)
{
    return o_fit(&t->columns[o_column_of(t, setting->value)], o_string(document));
}

/* A row that somebody gave no value is there all the same. */
static const char *document_of(o_value value)
{
    switch (value.kind) {
    case O_INTEGER: return o_format("%lld", (long long)value.integer);
    case O_TEXT: return value.text;
    default: return o_text("null");
    }
}

bool o_setting_fits(const o_definition *definition, const o_table *t, const char *key, const o_value *values,
                    const bool *sent, bool is_put)
{
    for (int i = 0; i < definition->setting_count; i++) {
        const o_setting *setting = &definition->settings[i];
        const char *prefix = setting->row ? setting->row : o_format("%s/", setting->scope);
        int column = o_column_of(t, setting->value);
        place at = {.setting = setting};
        if (setting->table != t->name || strncmp(key, prefix, strlen(prefix)) != 0) continue;
        if (setting->row && key != setting->row) continue;
        if (!setting->row) at.member = o_text(key + strlen(prefix));
        const char *document = document_of(values[column]);
        const dbk_json_node *root = parse(document);
        if ((!root || root->kind == DBK_JSON_NULL) && sent[column]) return false;
        if (!root || root->kind == DBK_JSON_NULL) continue;
        if (setting->row && root->kind != DBK_JSON_OBJECT) return false;
        if (is_put && sent[column] && has_null(root)) return false;
        if (!is_good(setting, &at, document)) return false;
    }
    return true;
}

static const char *remove_all(o_draft *draft, int table, const place *at)
{
    const o_state *state = draft->replica->state;
    const char *keys[O_ROWS], *prefix = at->setting->row ? NULL : o_format("%s/", at->setting->scope);
    int count = 0;
    for (int i = 0; i < state->core.row_count[table]; i++) {
        const char *key = state->core.rows[table][i]->key;
        if (prefix ? strncmp(key, prefix, strlen(prefix)) == 0 : key == at->setting->row) keys[count++] = key;
    }
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++)
            if (strcmp(keys[k], keys[i]) < 0) {
                const char *other = keys[i];
                keys[i] = keys[k], keys[k] = other;
            }
    for (int i = 0; i < count; i++) {
        const char *error = o_change_row(draft, "delete", table, keys[i], NULL, 0, NULL);
        if (error) return error;
    }
    return NULL;
}

static const char *write_document(o_draft *draft, int table, const place *at, const o_row *row, const char *document)
{
    const o_table *t = &draft->replica->definition->tables[table];
    o_field field = {o_text(at->setting->value), stored(t, at->setting, document)};
    if (!is_good(at->setting, at, document)) return "schema";
    return o_change_row(draft, row ? "patch" : "put", table, key_of(at->setting, at->member), &field, 1, NULL);
}

const char *o_run_setting(o_draft *draft, const char *verb, const dbk_json_node *command)
{
    place at;
    const o_definition *definition = draft->replica->definition;
    const dbk_json_node *value = dbk_json_member(command, "value"), *path = dbk_json_member(command, "path");
    if (strcmp(verb, "unset") == 0 && !path) return "bad_command";
    const char *error = find_place(definition, command, &at);
    if (error) return error;
    int table = o_table_of(definition, at.setting->table);
    bool whole = at.count == 0 && !at.member, sets = strcmp(verb, "set") == 0;
    if (sets && whole && !at.setting->row) return "bad_command";
    if (sets && whole && value->kind != DBK_JSON_OBJECT) return "schema";
    if (sets && has_null(value)) return "schema";
    if (!sets && whole) return remove_all(draft, table, &at);
    const o_row *row = o_row_find(draft->replica->state, table, key_of(at.setting, at.member));
    const o_table *t = &definition->tables[table];
    const char *old = row ? document_of(row->values[o_column_of(t, at.setting->value)]) : NULL;
    if (sets) return write_document(draft, table, &at, row, document_with(old, &at, value));
    if (!old || !node_at(parse(old), &at)) return strcmp(verb, "reset") == 0 ? NULL : "not_found";
    if (at.count == 0) return o_change_row(draft, "delete", table, key_of(at.setting, at.member), NULL, 0, NULL);
    return write_document(draft, table, &at, row, document_with(old, &at, NULL));
}
