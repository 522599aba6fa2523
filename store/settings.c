/* Settings: set, unset, reset (app.json `settings`). A namespace is a document: the value of one row, or, with `where`,
 * of a row per member. A change becomes the patch or put of that row, so it is logged, judged, undone and merged like
 * every other change of a row, and only what differs is written. */
#include "store/settings.h"

/* ---- places */

static dbk_result unknown_namespace(const dbk_app *app, dbk_slice name, dbk_error *err)
{
    const char *names[100] = {NULL}, *near;
    size_t count = 0;
    while (count < app->setting_count && count < 100) {
        names[count] = app->settings[count].name;
        count++;
    }
    near = dbk_nearest(name, names, count);
    const dbk_setting_rule *template = NULL;
    for (size_t i = 0; !template && i < app->setting_count; i++)
        if (app->settings[i].variable && dbk_setting_may_mean(&app->settings[i], name)) template = &app->settings[i];
    (void)dbk_fail(err, DBK_UNKNOWN_FIELD, "there are no settings '%.*s'", (int)(name.size < 128 ? name.size : 128),
                   (const char *)name.data);
    if (template)
        dbk_error_hint(err,
                       "of '%s', %s is 1 to 64 letters, digits, '_', '.' and '-', and begins with none of the last two",
                       template->name, template->variable);
    else if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    else if (count > 0) dbk_error_hint(err, "the app has '%s'%s", names[0], count > 1 ? " and others" : "");
    else dbk_error_hint(err, "app.json names none: see 'settings' in docs/definition.md");
    return DBK_UNKNOWN_FIELD;
}

static bool add_part(dbk_setting_place *place, dbk_slice part)
{
    if (part.size == 0 || place->count == DBK_SETTING_PARTS_MAX) return false;
    place->parts[place->count++] = part;
    return true;
}

/* "editor.font", or ["editor", "font"] where a name has a dot. */
static bool take_path(const dbk_json_node *path, dbk_setting_place *place)
{
    if (path->kind == DBK_JSON_ARRAY) {
        const dbk_json_node *part = path + 1;
        for (uint32_t i = 0; i < path->count; i++, part = dbk_json_next(part))
            if (part->kind != DBK_JSON_STRING || !add_part(place, part->text)) return false;
        return path->count > 0;
    }
    if (path->kind != DBK_JSON_STRING) return false;
    size_t from = 0;
    for (size_t at = 0; at <= path->text.size; at++) {
        if (at < path->text.size && path->text.data[at] != '.') continue;
        if (!add_part(place, dbk_slice_of(path->text.data + from, at - from))) return false;
        from = at + 1;
    }
    return true;
}

dbk_result dbk_setting_place_of(const dbk_engine *engine, const dbk_json_node *name, const dbk_json_node *path,
                                dbk_setting_place *place, dbk_error *err)
{
    *place = (dbk_setting_place){.port = engine->port};
    if (!name || name->kind != DBK_JSON_STRING) return dbk_fail(err, DBK_BAD_COMMAND, "'namespace' must be text");
    place->rule = dbk_definition_setting(engine->definition, name->text, &place->value);
    place->name = name->text;
    if (!place->rule) return unknown_namespace(engine->definition->app, name->text, err);
    if (path && path->kind != DBK_JSON_NULL && !take_path(path, place))
        return dbk_fail(err, DBK_BAD_COMMAND, "'path' is names with dots between, or an array of names, %d at most",
                        DBK_SETTING_PARTS_MAX);
    place->of_members = place->rule->where != NULL;
    if (place->of_members && place->count > 0) {
        place->member = place->parts[0];
        place->count--;
        memmove(place->parts, place->parts + 1, place->count * sizeof place->parts[0]);
    }
    return DBK_OK;
}

static void put_name(dbk_buffer *sql, const char *name)
{
    dbk_buffer_printf(sql, "\"%s\"", name);
}

/* What may stand for a variable needs no escapes in a JSON text. */
static void put_filled(const dbk_setting_place *place, const char *text, dbk_buffer *out)
{
    dbk_setting_fill(place->rule, text, place->value, out);
}

/* `where` is text of the definition: an object whose members are key columns. NULL: of a namespace of one row. */
static dbk_result where_of(const dbk_setting_place *place, dbk_json_parser *parser, const dbk_json_node **where,
                           dbk_error *err)
{
    dbk_buffer text;
    *where = NULL;
    if (!place->of_members) return DBK_OK;
    dbk_buffer_init(&text, place->port);
    put_filled(place, place->rule->where, &text);
    dbk_result result = text.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a setting")
                                    : dbk_json_parse(parser, dbk_buffer_slice(&text), where, err);
    dbk_buffer_release(&text);
    return result;
}

/* What the key column has that is for the name: of a row per member the member's name. */
static void put_key(const dbk_setting_place *place, dbk_buffer *out)
{
    dbk_buffer key;
    if (place->of_members || !place->rule->row) {
        dbk_json_put_string(out, place->of_members ? place->member : place->name);
        return;
    }
    dbk_buffer_init(&key, out->port);
    put_filled(place, place->rule->row, &key);
    if (key.failed) out->failed = true;
    else dbk_json_put_string(out, dbk_buffer_slice(&key));
    dbk_buffer_release(&key);
}

/* The members of the row's key: {"scope":"ui","name":"font"}, without the braces. */
static void put_key_members(const dbk_setting_place *place, dbk_buffer *out)
{
    const dbk_setting_rule *rule = place->rule;
    if (place->of_members) { /* the object as written, without its braces */
        bool fixes = strspn(rule->where + 1, " \t\r\n") + 2 < strlen(rule->where); /* else the name is the whole key */
        dbk_buffer where;
        dbk_buffer_init(&where, out->port);
        put_filled(place, rule->where, &where);
        if (where.failed) out->failed = true;
        else dbk_buffer_put(out, where.data + 1, where.size - 2);
        dbk_buffer_release(&where);
        if (fixes && place->member.size) dbk_buffer_put_u8(out, ',');
    }
    if (place->of_members && place->member.size == 0) return;
    dbk_json_put_string(out, dbk_slice_text(rule->table->columns[rule->key].name));
    dbk_buffer_put_u8(out, ':');
    put_key(place, out);
}

void dbk_setting_put_select(const dbk_setting_place *place, dbk_buffer *sql, dbk_buffer *args)
{
    const dbk_setting_rule *rule = place->rule;
    dbk_json_parser *parser = dbk_json_parser_new(sql->port);
    dbk_buffer key;
    const dbk_json_node *root = NULL;
    dbk_buffer_init(&key, sql->port);
    dbk_buffer_put_u8(&key, '{');
    put_key_members(place, &key);
    dbk_buffer_put_u8(&key, '}');
    if (!parser || key.failed || dbk_json_parse(parser, dbk_buffer_slice(&key), &root, NULL) != DBK_OK) {
        sql->failed = true;
    } else {
        dbk_buffer_put_text(sql, "SELECT ");
        put_name(sql, rule->table->columns[rule->value].name);
        dbk_buffer_put_text(sql, " AS value, ");
        put_name(sql, rule->table->columns[rule->key].name);
        dbk_buffer_put_text(sql, " AS name FROM ");
        put_name(sql, rule->table->name);
        const dbk_json_node *member = dbk_json_child(root);
        dbk_buffer_put_u8(args, '{');
        for (uint32_t i = 0; i < root->count; i++, member = dbk_json_next(member)) {
            dbk_buffer_printf(sql, "%s\"%.*s\" = :k%u", i ? " AND " : " WHERE ", DBK_SLICE_ARG(member->name), i);
            dbk_buffer_printf(args, "%s\"k%u\":", i ? "," : "", i);
            dbk_json_put_minimal(args, member);
        }
        dbk_buffer_put_u8(args, '}');
        dbk_buffer_put_text(sql, " ORDER BY 2");
    }
    dbk_buffer_release(&key);
    dbk_json_parser_free(parser);
}

const dbk_json_node *dbk_setting_at(const dbk_json_node *document, const dbk_setting_place *place)
{
    for (size_t i = 0; document && i < place->count; i++) document = dbk_json_find(document, place->parts[i]);
    return document;
}

/* ---- a change */

typedef struct dbk_setting_work {
    dbk_engine *engine;
    dbk_setting_place place;
    dbk_json_parser *old_parser, *parser; /* the stored document; what is made of it */
    const dbk_json_node *old;             /* NULL: no row */
    size_t rows;                          /* of a whole namespace of members */
    const dbk_json_node *all;
    dbk_buffer sql, args, rows_text, text;
} dbk_setting_work;

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for a setting");
}

static dbk_result read_old(dbk_setting_work *w, dbk_error *err)
{
    const dbk_json_node *root, *args;
    dbk_setting_put_select(&w->place, &w->sql, &w->args);
    if (w->sql.failed || w->args.failed) return no_memory(err);
    dbk_result result = dbk_json_parse(w->parser, dbk_buffer_slice(&w->args), &args, err);
    if (result == DBK_OK)
        result = dbk_model_select(w->engine->model, dbk_buffer_slice(&w->sql), args, &w->rows_text, err);
    if (result == DBK_OK) result = dbk_json_parse(w->old_parser, dbk_buffer_slice(&w->rows_text), &root, err);
    if (result != DBK_OK) return result;
    w->all = root;
    w->rows = root->count;
    w->old = root->count ? dbk_json_member(root + 1, "value") : NULL;
    return DBK_OK;
}

static bool is_same(const dbk_json_node *a, const dbk_json_node *b)
{
    const dbk_json_node *one = dbk_json_child(a), *other = dbk_json_child(b);
    if (a->kind != b->kind || a->count != b->count) return false;
    if (a->kind == DBK_JSON_NUMBER || a->kind == DBK_JSON_STRING) return dbk_slice_equal(a->text, b->text);
    for (uint32_t i = 0; i < a->count; i++, one = dbk_json_next(one)) {
        const dbk_json_node *same = a->kind == DBK_JSON_OBJECT ? dbk_json_find(b, one->name) : other;
        if (!same || !is_same(one, same)) return false;
        other = dbk_json_next(other);
    }
    return true;
}

static void put_member_name(dbk_buffer *out, const dbk_json_node *member, bool *first)
{
    if (!*first) dbk_buffer_put_u8(out, ',');
    *first = false;
    dbk_json_put_string(out, member->name);
    dbk_buffer_put_u8(out, ':');
}

void dbk_setting_put_changes(dbk_buffer *out, const dbk_json_node *old, const dbk_json_node *value)
{
    bool first = true;
    if (!old || old->kind != DBK_JSON_OBJECT || value->kind != DBK_JSON_OBJECT) {
        dbk_json_put_minimal(out, value);
        return;
    }
    dbk_buffer_put_u8(out, '{');
    const dbk_json_node *child = dbk_json_child(value);
    for (uint32_t i = 0; i < value->count; i++, child = dbk_json_next(child)) {
        const dbk_json_node *before = dbk_json_find(old, child->name);
        if (before && is_same(before, child)) continue;
        put_member_name(out, child, &first);
        dbk_setting_put_changes(out, before, child);
    }
    child = dbk_json_child(old);
    for (uint32_t i = 0; i < old->count; i++, child = dbk_json_next(child)) {
        if (dbk_json_find(value, child->name)) continue;
        put_member_name(out, child, &first);
        dbk_buffer_put_text(out, "null");
    }
    dbk_buffer_put_u8(out, '}');
}

/* {"a":{"b":…}} around what stands at the path; `value` NULL: null, which removes it. */
static void put_at_path(const dbk_setting_work *w, const dbk_json_node *value, bool replaces, dbk_buffer *out)
{
    for (size_t i = 0; i < w->place.count; i++) {
        dbk_buffer_put_u8(out, '{');
        dbk_json_put_string(out, w->place.parts[i]);
        dbk_buffer_put_u8(out, ':');
    }
    if (!value) dbk_buffer_put_text(out, "null");
    else dbk_setting_put_changes(out, replaces && w->old ? dbk_setting_at(w->old, &w->place) : NULL, value);
    for (size_t i = 0; i < w->place.count; i++) dbk_buffer_put_u8(out, '}');
}

/* {"key":…,"data":{…}} of the row, parsed; `document` empty: the key alone. */
static dbk_result make_row(dbk_setting_work *w, dbk_slice document, bool key_in_data, const dbk_json_node **key,
                           const dbk_json_node **data, dbk_error *err)
{
    const dbk_setting_rule *rule = w->place.rule;
    const dbk_json_node *root, *where;
    dbk_buffer row;
    dbk_result result = where_of(&w->place, w->parser, &where, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&row, w->engine->port);
    bool list = rule->table->key_count > 1;
    dbk_buffer_put_text(&row, list ? "{\"key\":[" : "{\"key\":");
    for (uint16_t i = 0; i < rule->table->key_count; i++) {
        uint16_t column = rule->table->key_columns[i];
        const dbk_json_node *fixed = where ? dbk_json_member(where, rule->table->columns[column].name) : NULL;
        if (i) dbk_buffer_put_u8(&row, ',');
        if (fixed) dbk_json_put_minimal(&row, fixed);
        else put_key(&w->place, &row);
    }
    dbk_buffer_put_text(&row, list ? "],\"data\":{" : ",\"data\":{");
    if (key_in_data) put_key_members(&w->place, &row);
    if (document.size) {
        if (key_in_data) dbk_buffer_put_u8(&row, ',');
        dbk_json_put_string(&row, dbk_slice_text(rule->table->columns[rule->value].name));
        dbk_buffer_put_u8(&row, ':');
        dbk_buffer_put_slice(&row, document);
    }
    dbk_buffer_put_text(&row, "}}");
    result = row.failed ? no_memory(err) : dbk_json_parse(w->parser, dbk_buffer_slice(&row), &root, err);
    dbk_buffer_release(&row);
    if (result != DBK_OK) return result;
    *key = dbk_json_member(root, "key");
    *data = dbk_json_member(root, "data");
    return DBK_OK;
}

static dbk_result write_row(dbk_setting_work *w, bool removes, dbk_error *err)
{
    dbk_engine *engine = w->engine;
    dbk_slice table = dbk_slice_text(w->place.rule->table->name),
              document = removes ? (dbk_slice){NULL, 0} : dbk_buffer_slice(&w->text);
    const dbk_json_node *key, *data;
    dbk_result result = make_row(w, document, !w->old && !removes, &key, &data, err);
    if (result != DBK_OK) return result;
    if (removes) return dbk_model_delete(engine->model, &engine->draft, table, key, NULL, err);
    if (w->old) return dbk_model_patch(engine->model, &engine->draft, table, key, data, NULL, err);
    return dbk_model_put(engine->model, &engine->draft, table, NULL, data, NULL, err);
}

/* ---- the three verbs */

static dbk_result set(dbk_setting_work *w, const dbk_json_node *value, dbk_error *err)
{
    if (w->place.of_members && w->place.member.size == 0)
        return dbk_fail(err, DBK_BAD_COMMAND, "'path' names a member of '%.*s'", DBK_SLICE_ARG(w->place.name));
    if (!w->place.of_members && w->place.count == 0 && value->kind != DBK_JSON_OBJECT)
        return dbk_fail(err, DBK_SCHEMA, "the settings '%.*s' are an object", DBK_SLICE_ARG(w->place.name));
    if (dbk_setting_has_null(value)) {
        (void)dbk_fail(err, DBK_SCHEMA, "null is no value of a setting");
        dbk_error_hint(err, "unset it: then its default counts");
        return DBK_SCHEMA;
    }
    put_at_path(w, value, true, &w->text);
    return w->text.failed ? no_memory(err) : write_row(w, false, err);
}

static dbk_result remove_all(dbk_setting_work *w, dbk_error *err)
{
    const dbk_json_node *row = w->all + 1;
    dbk_result result = DBK_OK;
    if (!w->place.of_members) return w->old ? write_row(w, true, err) : DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < w->rows; i++, row = dbk_json_next(row)) {
        w->place.member = dbk_json_member(row, "name")->text;
        w->old = dbk_json_member(row, "value");
        result = write_row(w, true, err);
    }
    return result;
}

/* Of a row that holds one member, the whole member is the row. */
static dbk_result unset(dbk_setting_work *w, bool may_be_missing, dbk_error *err)
{
    const dbk_json_node *found = w->old ? dbk_setting_at(w->old, &w->place) : NULL;
    if (w->place.count == 0 && (!w->place.of_members || w->place.member.size == 0)) return remove_all(w, err);
    if (!found && may_be_missing) return DBK_OK;
    if (!found) return dbk_fail(err, DBK_NOT_FOUND, "nothing is set there in '%.*s'", DBK_SLICE_ARG(w->place.name));
    if (w->place.count == 0) return write_row(w, true, err);
    put_at_path(w, NULL, false, &w->text);
    return w->text.failed ? no_memory(err) : write_row(w, false, err);
}

/* What a namespace of a query shows is changed where it comes from. */
static dbk_result refuse_rows(const dbk_setting_rule *rule, dbk_error *err)
{
    (void)dbk_fail(err, DBK_BAD_COMMAND, "'%s' shows the rows of the query '%s': nothing is set in it", rule->name,
                   rule->query->name);
    if (rule->import) dbk_error_hint(err, "send the command '%s', or edit '%s'", rule->import->name, rule->mirror);
    else dbk_error_hint(err, "change the rows of the tables that it reads");
    return DBK_BAD_COMMAND;
}

static dbk_result run(dbk_setting_work *w, const dbk_command *command, dbk_error *err)
{
    dbk_result result = dbk_setting_place_of(w->engine, command->space, command->path, &w->place, err);
    if (result == DBK_OK && w->place.rule->query) return refuse_rows(w->place.rule, err);
    if (result == DBK_OK && command->verb == DBK_DO_UNSET && (!command->path || command->path->kind == DBK_JSON_NULL))
        result = dbk_fail(err, DBK_BAD_COMMAND, "an unset command needs 'path'; reset takes back all");
    if (result == DBK_OK) result = read_old(w, err);
    if (result != DBK_OK) return result;
    return command->verb == DBK_DO_SET ? set(w, command->value, err) : unset(w, command->verb == DBK_DO_RESET, err);
}

dbk_result dbk_settings_run(dbk_engine *engine, const dbk_command *command, dbk_error *err)
{
    dbk_setting_work w = {
        .engine = engine, .old_parser = dbk_json_parser_new(engine->port), .parser = dbk_json_parser_new(engine->port)};
    dbk_buffer *buffers[] = {&w.sql, &w.args, &w.rows_text, &w.text};
    for (size_t i = 0; i < 4; i++) dbk_buffer_init(buffers[i], engine->port);
    dbk_result result = w.old_parser && w.parser ? run(&w, command, err) : no_memory(err);
    for (size_t i = 0; i < 4; i++) dbk_buffer_release(buffers[i]);
    dbk_json_parser_free(w.old_parser);
    dbk_json_parser_free(w.parser);
    return result;
}
