/* models of app.json, and the async ones among them: <model>/schema.sql, projections.sql and queries.sql, checked as
 * a definition of their own in a scratch database of their own, against the events of the whole. */
#include "projector/definition/models.h"

#include <stdio.h>
#include <strings.h>

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

enum { CACHE_PAGE_BYTES = 4096, CACHE_MAX_BYTES = 1 << 30 };

/* ---- models.<m> */

static bool is_main(const dbk_model_rule *rule)
{
    return strcmp(rule->name, "main") == 0;
}

static void read_mode(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"inline", "async"};
    dbk_model_rule *rule = into;
    size_t which;

    if (!dbk_app_choice(a, value, path, names, COUNT_OF(names), &which)) return;
    if (is_main(rule) && which == DBK_MODEL_ASYNC)
        dbk_app_wrong(a, value, "\"inline\"", "'%s': 'main' is what commands decide on", path);
    if (!is_main(rule) && which == DBK_MODEL_INLINE)
        dbk_app_wrong(a, value, "\"async\", or its tables in 'main'",
                      "'%s': 'main' is the one inline model, for one file is committed with the log", path);
}

static void read_on_error(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"park", "pause"};
    size_t which;

    if (dbk_app_choice(a, value, path, names, COUNT_OF(names), &which)) ((dbk_model_rule *)into)->pauses = which == 1;
}

static bool is_file_name(dbk_slice name)
{
    if (name.size < 1 || name.size > DBK_NAME_MAX || name.data[0] == '.' || name.data[0] == '-') return false;
    for (size_t i = 0; i < name.size; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-", name.data[i])) return false;
    return true;
}

/* What the engine and SQLite put beside a model's file, or above it. */
static bool is_taken_name(const char *name, bool of_main)
{
    static const char *const whole[] = {"current", "state", "boot"};
    static const char *const ends[] = {"-wal", "-shm", "-journal"};
    size_t size = strlen(name);

    for (size_t i = 0; i < COUNT_OF(whole) - !of_main; i++)
        if (strcasecmp(name, whole[i]) == 0) return true;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        size_t end = strlen(ends[i]);
        if (size >= end && strcasecmp(name + size - end, ends[i]) == 0) return true;
    }
    return false;
}

static void read_file(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    const char *text = NULL, *advice = is_main(rule) ? "\"notes.sqlite\"" : "\"stats.sqlite\"";

    if (!dbk_app_text(a, value, path, &text)) return;
    if (is_file_name(dbk_slice_text(text)) && is_taken_name(text, is_main(rule)))
        dbk_app_wrong(a, value, advice, "'%s': '%s' is what the engine or SQLite puts beside such a file", path, text);
    else if (is_file_name(dbk_slice_text(text))) rule->file = text;
    else dbk_app_wrong(a, value, advice, "'%s' is a file name of letters, digits, '_', '-' and '.', 63 at most", path);
}

static void read_readers(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    uint64_t count;

    if (dbk_app_count(a, value, path, 1, DBK_MODEL_READERS_MAX, &count)) rule->readers = (uint32_t)count;
}

static void read_cache(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    uint64_t bytes;

    if (!dbk_app_size(a, value, path, &bytes)) return;
    if (bytes > CACHE_MAX_BYTES) return dbk_app_wrong(a, value, "\"64 MiB\"", "'%s' is more than 1 GiB", path);
    rule->cache_pages = (uint32_t)((bytes + CACHE_PAGE_BYTES - 1) / CACHE_PAGE_BYTES);
}

/* The value that says what every model does is taken; the other one is named. */
static void read_logged(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    bool logged = true;

    (void)into;
    if (dbk_app_flag(a, value, path, &logged) && !logged)
        dbk_app_wrong(a, value, "leave it out",
                      "'%s': collections outside the log come with the key 'logged' of tables, in a later version",
                      path);
}

/* An async model takes either value: it has nothing of undo. */
static void read_undo(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    bool undo = true;

    if (dbk_app_flag(a, value, path, &undo)) rule->no_undo = !undo;
}

static void read_backup(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"rebuild", "image", "exclude"};
    size_t which;

    (void)into;
    if (dbk_app_choice(a, value, path, names, COUNT_OF(names), &which) && which > 0)
        dbk_app_wrong(a, value, "\"rebuild\"",
                      "'%s': '%s' says what a snapshot does with the model's file, and comes with 'backup' of app.json "
                      "in a later version",
                      path, names[which]);
}

/* Of an async model there is neither feed nor journal in any case. */
static void read_observed(dbk_app_reading *a, const dbk_json_node *value, const char *path, bool of_main, bool *off)
{
    bool on = true;

    if (!of_main) return dbk_app_wrong_name(a, value, "leave it out", "'%s': an async model has no change feed", path);
    if (dbk_app_flag(a, value, path, &on)) *off = !on;
}

static void read_feed(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    read_observed(a, value, path, is_main(rule), &rule->no_feed);
}

static void read_journal(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    read_observed(a, value, path, is_main(rule), &rule->no_journal);
}

static void read_fingerprint(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;
    read_observed(a, value, path, true, &rule->no_fingerprint);
}

static void read_budget(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_model_rule *rule = into;

    if (!dbk_app_size(a, value, path, &rule->budget_bytes)) return;
    if (rule->budget_bytes == UINT64_MAX) rule->budget_bytes = 0; /* "*" */
    rule->budget_at = value->offset;
    rule->budget_end = value->offset + value->text.size + 2;
}

static const dbk_app_key observe_keys[] = {
    {"feed", read_feed}, {"journal", read_journal}, {"fingerprint", read_fingerprint}};

static void read_observe(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_app_members(a, value, path, observe_keys, COUNT_OF(observe_keys), into);
}

static const dbk_app_key model_keys[] = {
    {"mode", read_mode},     {"on_error", read_on_error}, {"file", read_file},     {"readers", read_readers},
    {"cache", read_cache},   {"observe", read_observe},   {"logged", read_logged}, {"budget", read_budget},
    {"backup", read_backup}, {"undo", read_undo},
};

static bool is_twice(dbk_app_reading *a, const dbk_json_node *value, const dbk_model_rule *rule)
{
    for (size_t i = 0; i < a->app->model_count; i++) {
        if (strcasecmp(a->app->models[i].name, rule->name) != 0) continue;
        dbk_app_wrong_name(a, value, "another name", "'models.%s' stands twice, or differs from '%s' in case only",
                           rule->name, a->app->models[i].name);
        return true;
    }
    return false;
}

static bool has_file(const dbk_model_rule *rule, const char *name)
{
    static const char usual[] = ".sqlite";
    size_t size = strlen(rule->name);

    if (rule->file) return strcasecmp(rule->file, name) == 0;
    return strncasecmp(rule->name, name, size) == 0 && strcasecmp(name + size, usual) == 0;
}

/* They stand in folders of their own, but whoever copies them out of these is to have two files. Of a main without
 * `file` nothing is asked: its name came after those of others. */
static void check_file_of_main(dbk_app_reading *a, const dbk_json_node *value, const dbk_model_rule *main)
{
    for (size_t i = 0; main->file && i < a->app->model_count; i++) {
        const dbk_model_rule *rule = &a->app->models[i];
        if (rule == main || !has_file(rule, main->file)) continue;
        const dbk_json_node *node = dbk_json_member(dbk_json_member(value, main->name), "file");
        return dbk_app_wrong(a, node, "another name", "'models.main.file': '%s' is the file of the model '%s'",
                             main->file, rule->name);
    }
}

static void note_main(dbk_definition *definition, const dbk_model_rule *rule)
{
    definition->file = rule->file;
    definition->readers = rule->readers;
    definition->cache_pages = rule->cache_pages;
    definition->no_feed = rule->no_feed;
    definition->no_journal = rule->no_journal;
    definition->no_fingerprint = rule->no_fingerprint;
    definition->no_undo = rule->no_undo;
    definition->budget_bytes = rule->budget_bytes;
}

void dbk_app_read_models(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    if (value->count > DBK_MODELS_MAX)
        return dbk_app_wrong(a, value, "fewer models", "'%s' has more than %d models", path, DBK_MODELS_MAX);
    a->app->models = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(dbk_model_rule));
    for (uint32_t i = 0; a->app->models && i < value->count; i++, child = dbk_json_next(child)) {
        dbk_model_rule *rule = &a->app->models[a->app->model_count];
        const char *inner = dbk_app_path(a, path, child->name);
        if (!dbk_name_valid(child->name)) {
            dbk_app_wrong_name(a, child, "letters, digits and '_', 63 at most, no digit first", "'%s' is not a name",
                               inner);
            continue;
        }
        *rule = (dbk_model_rule){.name = dbk_check_text(a->check, child->name)};
        if (!rule->name) return;
        rule->mode = is_main(rule) ? DBK_MODEL_INLINE : DBK_MODEL_ASYNC;
        dbk_app_members(a, child, inner, model_keys, COUNT_OF(model_keys), rule);
        if (is_twice(a, child, rule)) continue;
        a->app->model_count++;
        if (is_main(rule)) note_main(a->check->definition, rule);
    }
    for (size_t i = 0; i < a->app->model_count; i++)
        if (is_main(&a->app->models[i])) check_file_of_main(a, value, &a->app->models[i]);
}

/* ---- which files are whose */

/* The rule of an async model of that name; NULL: there is none. */
static const dbk_model_rule *find_rule(const dbk_check *check, dbk_slice name)
{
    const dbk_app *app = check->definition->app;

    for (size_t i = 0; app && i < app->model_count; i++)
        if (app->models[i].mode == DBK_MODEL_ASYNC && dbk_slice_equal(dbk_slice_text(app->models[i].name), name))
            return &app->models[i];
    return NULL;
}

static dbk_span whole(const dbk_source *source)
{
    return (dbk_span){source, SIZE_MAX, 0};
}

void dbk_check_model_file(dbk_check *check, const dbk_source *source)
{
    static const char *const files[] = {"schema.sql", "projections.sql", "queries.sql"};
    static const char *const top[] = {"commands.sql", "upcasts.sql"};
    const char *slash = strchr(source->name, '/'), *file = slash + 1;
    dbk_slice folder = dbk_slice_of(source->name, (size_t)(slash - source->name));

    if (!find_rule(check, folder)) {
        dbk_report_error(
            check->report, whole(source),
            dbk_check_printf(check, "\"models\": {\"%.*s\": {\"mode\": \"async\"}} in app.json", DBK_SLICE_ARG(folder)),
            "the folder '%.*s' is of no model", DBK_SLICE_ARG(folder));
        return;
    }
    for (size_t i = 0; i < COUNT_OF(files); i++)
        if (strcmp(file, files[i]) == 0) return;
    for (size_t i = 0; i < COUNT_OF(top); i++) {
        if (strcmp(file, top[i]) != 0) continue;
        dbk_report_error(check->report, whole(source), "at the top, beside app.json",
                         "'%s' is not of one model: an async model follows the log and decides nothing", file);
        return;
    }
    dbk_report_error(check->report, whole(source),
                     dbk_check_nearest(check, dbk_slice_text(file), files, COUNT_OF(files)),
                     "'%s' is no file of a model", source->name);
}

/* ---- names are unique over all models */

static const char *clash_in(const dbk_object *objects, const char *name)
{
    for (const dbk_object *o = objects; o; o = o->next)
        if (o->name && strcasecmp(o->name, name) == 0) return o->name;
    return NULL;
}

static bool clashes(const dbk_definition *definition, const char *query)
{
    for (size_t i = 0; i < definition->query_count; i++)
        if (strcasecmp(definition->queries[i].name, query) == 0) return true;
    return false;
}

const char *dbk_check_taken(const dbk_check *check, const char *object)
{
    if (!check->whole) return NULL;
    if (clash_in(check->whole->objects, object)) return "main";
    for (const dbk_taken *taken = check->whole->taken; taken; taken = taken->next)
        if (clash_in(taken->objects, object)) return taken->definition->model;
    return NULL;
}

const char *dbk_check_query_taken(const dbk_check *check, const char *query)
{
    if (!check->whole) return NULL;
    if (clashes(check->whole->definition, query)) return "main";
    for (const dbk_taken *taken = check->whole->taken; taken; taken = taken->next)
        if (clashes(taken->definition, query)) return taken->definition->model;
    return NULL;
}

static void take_names(dbk_check *whole_check, const dbk_check *check)
{
    dbk_taken *taken = dbk_check_take(whole_check, 1, sizeof *taken);

    if (!taken) return;
    *taken = (dbk_taken){whole_check->taken, check->objects, check->definition};
    whole_check->taken = taken;
}

/* ---- one model */

/* The model's own files, in order of their names. */
static bool take_sources(dbk_check *check, const dbk_check *of)
{
    dbk_definition *definition = check->definition;
    size_t prefix = strlen(check->prefix);

    definition->sources = dbk_check_take(check, of->definition->source_count + 1, sizeof(dbk_source));
    for (size_t i = 0; definition->sources && i < of->definition->source_count; i++)
        if (strncmp(of->definition->sources[i].name, check->prefix, prefix) == 0)
            definition->sources[definition->source_count++] = of->definition->sources[i];
    return definition->sources != NULL;
}

/* What its rows follow from: tables, projections, and how old events are read; and whether they are counted. Queries
 * change no row. */
static bool hears(const dbk_definition *definition, const char *table, const char *op)
{
    char type[DBK_NAME_MAX + 16];
    int size = snprintf(type, sizeof type, "%s.%s", table, op);

    for (size_t i = 0; i < definition->projection_count; i++)
        if (dbk_pattern_matches(definition->projections[i].pattern, dbk_slice_of(type, (size_t)size))) return true;
    return false;
}

/* What the keys of the patches and deletes are that it hears of: they are read off streams. */
static const char *keys_heard(dbk_check *check, const dbk_definition *of)
{
    const char *keys = "";

    for (size_t i = 0; i < of->table_count && keys; i++) {
        const dbk_table *table = &of->tables[i];
        if (!hears(check->definition, table->name, "patched") && !hears(check->definition, table->name, "deleted"))
            continue;
        keys = dbk_check_printf(check, "%s%s:", keys, table->name);
        for (uint16_t k = 0; k < table->key_count && keys; k++) {
            const dbk_column *column = &table->columns[table->key_columns[k]];
            keys = dbk_check_printf(check, "%s%s %d,", keys, column->name, (int)column->type);
        }
    }
    return keys;
}

/* When its projections are known. */
static void hash_model(dbk_check *check, const dbk_check *of)
{
    static const char *const own[] = {"projections.sql", "schema.sql"};
    const char *keys = keys_heard(check, of->definition);
    dbk_source parts[5];
    size_t count = 0;

    for (size_t i = 0; i < COUNT_OF(own); i++) {
        const dbk_source *source = dbk_check_source(check, own[i]);
        if (source) parts[count++] = (dbk_source){own[i], source->text};
    }
    const dbk_source *upcasts = dbk_check_source(of, "upcasts.sql");
    if (upcasts) parts[count++] = *upcasts;
    if (check->definition->no_fingerprint) parts[count++] = (dbk_source){"observe", dbk_slice_text("no fingerprint")};
    if (keys && *keys) parts[count++] = (dbk_source){"keys", dbk_slice_text(keys)};
    dbk_check_hash(check, parts, count);
}

/* Only projections write here: a table that none writes stays empty for ever. */
static void check_written(dbk_check *check)
{
    for (size_t i = 0; i < check->definition->table_count; i++) {
        dbk_table *table = &check->definition->tables[i];
        const dbk_object *object = dbk_check_object(check, table->name);
        if (table->collection && object)
            dbk_report_warning(check->report, dbk_sql_span(object->sql, object->name_token),
                               "a projection that writes it", "no projection of '%s' writes '%s': it stays empty",
                               check->definition->model, table->name);
        table->collection = table->row_local = false;
    }
}

static void list_views(dbk_check *check)
{
    dbk_definition *definition = check->definition;
    size_t count = 0;

    for (const dbk_object *o = check->objects; o; o = o->next) count += o->kind == DBK_OBJECT_VIEW;
    definition->views = dbk_check_take(check, count + 1, sizeof *definition->views);
    for (const dbk_object *o = check->objects; definition->views && o; o = o->next)
        if (o->kind == DBK_OBJECT_VIEW) definition->views[definition->view_count++] = o->name;
}

static void require_files(dbk_check *check, const dbk_check *of)
{
    static const char *const must[] = {"schema.sql", "projections.sql"};

    for (size_t i = 0; i < COUNT_OF(must); i++) {
        if (dbk_check_source(check, must[i])) continue;
        dbk_report_error(check->report, whole(dbk_check_source(of, "app.json")),
                         i == 0 ? "its tables" : "what its tables hold of which events",
                         "the model '%s' has no file '%s%s'", check->definition->model, check->prefix, must[i]);
    }
}

/* The scratch database has what the app makes; the engine's own tables are a page each. */
static void check_budget(dbk_check *check, const dbk_check *of, const dbk_model_rule *rule)
{
    sqlite3_stmt *pages = NULL;
    const dbk_source *app = dbk_check_source(of, "app.json");
    uint64_t least = 0;

    if (rule->budget_bytes == 0 || check->report->errors > 0) return;
    int rc = sqlite3_prepare_v2(check->db, "PRAGMA page_count", -1, &pages, NULL);
    if (rc == SQLITE_OK && sqlite3_step(pages) == SQLITE_ROW)
        least = (uint64_t)(sqlite3_column_int64(pages, 0) + DBK_MODEL_OWN_PAGES) * DBK_MODEL_PAGE_BYTES;
    sqlite3_finalize(pages);
    if (rc == SQLITE_NOMEM) check->failed = true;
    if (rule->budget_bytes >= least) return;
    dbk_report_warning(
        check->report, (dbk_span){app, rule->budget_at, rule->budget_end},
        dbk_check_printf(check, "\"%llu kB\", better many times that", (unsigned long long)(least / 1000 + 1)),
        is_main(rule) ? "'models.%s.budget': the empty model takes %llu bytes, so next to nothing finds room"
                      : "'models.%s.budget': the empty model takes %llu bytes, so it stops at one of the first events",
        rule->name, (unsigned long long)least);
}

static void run_model(dbk_check *check, dbk_check *of, dbk_error *err)
{
    static void (*const steps[])(dbk_check *) = {
        dbk_check_scan, dbk_check_schema,      dbk_check_tables,  dbk_check_links, dbk_check_app_tables,
        dbk_check_rows, dbk_check_projections, dbk_check_queries, check_written,   list_views,
    };

    if (!take_sources(check, of)) return;
    require_files(check, of);
    if (!dbk_check_open(check, err)) {
        check->failed = true;
        return;
    }
    for (size_t i = 0; i < COUNT_OF(steps) && !check->failed; i++) steps[i](check);
    hash_model(check, of);
    if (!check->failed) check_budget(check, of, check->definition->rule);
    if (check->steps > DBK_CHECK_STEPS_MAX)
        dbk_report_error(check->report, (dbk_span){NULL, 0, 0}, "fewer tables, keys and columns",
                         "the model '%s' takes too long to check", check->definition->model);
}

static void check_one(dbk_check *of, const dbk_model_rule *rule)
{
    dbk_check check = {
        .port = of->port, .arena = dbk_arena_new(of->port, 16 * 1024), .report = of->report, .whole = of};
    dbk_definition *definition = check.arena ? dbk_check_take(&check, 1, sizeof *definition) : NULL;
    dbk_app *app = definition ? dbk_check_take(&check, 1, sizeof *app) : NULL;

    if (!app) {
        dbk_arena_free(check.arena);
        of->failed = true;
        return;
    }
    *definition = (dbk_definition){.owner = check.arena,
                                   .name = of->definition->name,
                                   .version = of->definition->version,
                                   .whole = of->definition,
                                   .model = rule->name,
                                   .rule = rule,
                                   .no_feed = true,
                                   .no_journal = true,
                                   .no_fingerprint = rule->no_fingerprint,
                                   .budget_bytes = rule->budget_bytes,
                                   .app = app,
                                   .upcasts = of->definition->upcasts,
                                   .upcast_count = of->definition->upcast_count};
    of->definition->models[of->definition->model_count++] = definition; /* freed with the whole, also after errors */
    check.definition = definition;
    check.prefix = dbk_check_printf(&check, "%s/", rule->name);
    if (check.prefix) run_model(&check, of, NULL);
    dbk_check_close(&check);
    if (!check.failed) take_names(of, &check);
    of->failed = of->failed || check.failed;
}

/* Rows of async models have no events: only projections write them. */
static void check_heard(dbk_check *check, const dbk_heard *heard)
{
    dbk_slice table = dbk_slice_of(heard->pattern, strcspn(heard->pattern, "."));

    for (size_t i = 0; i < check->definition->model_count; i++) {
        const dbk_definition *model = check->definition->models[i];
        if (!dbk_definition_table(model, table)) continue;
        dbk_report_error(check->report, heard->span, "the events that its projections read",
                         "'%s' never comes: '%.*s' is of the model '%s', which only projections write", heard->pattern,
                         DBK_SLICE_ARG(table), model->model);
        return;
    }
    if (heard->advice)
        dbk_report_warning(check->report, heard->span, heard->advice, "'%s' is of no table", heard->pattern);
}

void dbk_check_models(dbk_check *check)
{
    const dbk_app *app = check->definition->app;

    check->definition->models = dbk_check_take(check, app->model_count + 1, sizeof(*check->definition->models));
    for (size_t i = 0; check->definition->models && i < app->model_count && !check->failed; i++)
        if (app->models[i].mode == DBK_MODEL_ASYNC) check_one(check, &app->models[i]);
        else check_budget(check, check, &app->models[i]);
    for (const dbk_heard *heard = check->heard; heard && !check->failed; heard = heard->next) check_heard(check, heard);
}
