/* Sources in (a folder, one file, memory), the steps of a check in their order, lookups. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "projector/definition/models.h"

static const char *const known_files[] = {"app.json",    "commands.sql", "projections.sql",
                                          "queries.sql", "schema.sql",   "upcasts.sql"};
enum { KNOWN_FILES = 6, NAME_BYTES = 600 };

const dbk_source *dbk_check_source(const dbk_check *check, const char *name)
{
    const char *prefix = check->prefix ? check->prefix : "";
    size_t size = strlen(prefix);

    for (size_t i = 0; i < check->definition->source_count; i++) {
        const char *own = check->definition->sources[i].name;
        if (strncmp(own, prefix, size) == 0 && strcmp(own + size, name) == 0) return &check->definition->sources[i];
    }
    return NULL;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name), more = strlen(suffix);

    return size > more && strcasecmp(name + size - more, suffix) == 0;
}

static dbk_span whole(const dbk_source *source)
{
    return (dbk_span){source, SIZE_MAX, 0};
}

/* A file that belongs to a later version, or whose name is nearly one of ours. */
static void check_source_name(dbk_check *check, const dbk_source *source)
{
    const char *name = source->name, *slash = strchr(name, '/');
    dbk_report *report = check->report;

    for (size_t i = 0; i < KNOWN_FILES; i++)
        if (strcmp(name, known_files[i]) == 0) return;
    if (strncmp(name, "schemas/", 8) == 0) return; /* definition/schemas.c */
    if (slash && !has_suffix(name, ".sql"))
        dbk_report_error(report, whole(source), "did you mean 'schemas/'?", "'%.*s/' is no folder of a definition",
                         (int)(slash - name), name);
    else if (slash) dbk_check_model_file(check, source);
    else
        dbk_report_error(report, whole(source),
                         dbk_check_nearest(check, dbk_slice_text(name), known_files, KNOWN_FILES),
                         "'%s' is no file of a definition", name);
}

/* false: nothing in it can be read. */
static bool check_source_text(dbk_check *check, const dbk_source *source)
{
    const uint8_t *nul = source->text.size ? memchr(source->text.data, 0, source->text.size) : NULL;

    if (source->text.size > DBK_SOURCE_MAX_BYTES) {
        dbk_report_error(check->report, whole(source), "less, or split the app", "over 1 MiB");
        return false;
    }
    if (nul) {
        size_t at = (size_t)(nul - source->text.data);
        dbk_report_error(check->report, (dbk_span){source, at, at + 1}, "plain text", "a NUL byte");
        return false;
    }
    if (dbk_utf8_valid(source->text)) return true;
    size_t low = 0, high = source->text.size; /* the longest valid prefix, but for a cut character */
    while (low < source->text.size && source->text.data[low] < 0x80) low++;
    for (size_t at = low; at < high; at++) {
        size_t end = at + 1;
        while (end < source->text.size && (source->text.data[end] & 0xc0) == 0x80) end++;
        if (!dbk_utf8_valid(dbk_slice_of(source->text.data + at, end - at))) {
            low = at;
            break;
        }
        at = end - 1;
    }
    dbk_report_error(check->report, (dbk_span){source, low, low + 1}, "save the file as UTF-8", "not UTF-8");
    return false;
}

static int compare_sources(const void *a, const void *b)
{
    return strcmp(((const dbk_source *)a)->name, ((const dbk_source *)b)->name);
}

static bool copy_sources(dbk_check *check, const dbk_source *sources, size_t count)
{
    dbk_definition *definition = check->definition;

    definition->sources = dbk_check_take(check, count + 1, sizeof(dbk_source));
    for (size_t i = 0; i < count && !check->failed; i++) {
        dbk_source *copy = &definition->sources[i];
        copy->name = dbk_check_text(check, dbk_slice_text(sources[i].name));
        copy->text = dbk_arena_copy(check->arena, sources[i].text);
        if (!copy->name || !copy->text.data) check->failed = true;
        definition->source_count++;
    }
    if (!check->failed) qsort(definition->sources, count, sizeof(dbk_source), compare_sources);
    return !check->failed;
}

static void check_names(dbk_check *check)
{
    for (size_t i = 0; i < check->definition->source_count && !check->failed; i++) {
        const dbk_source *source = &check->definition->sources[i];
        if (i > 0 && strcmp(source->name, source[-1].name) == 0)
            dbk_report_error(check->report, whole(source), NULL, "the file stands twice");
        check_source_name(check, source);
    }
    if (!dbk_check_source(check, "schema.sql"))
        dbk_report_error(check->report, (dbk_span){NULL, 0, 0}, "a file schema.sql with CREATE TABLE statements",
                         "there is no schema.sql");
}

/* Files of async models are those of runs of their own. */
void dbk_check_scan(dbk_check *check)
{
    static const char *const none[] = {NULL}, *const on[] = {"on", NULL}, *const query[] = {"query", NULL},
                             *const upcast[] = {"upcast", NULL}, *const command[] = {"command", "undo",   "require",
                                                                                     "let",     "else",   "put",
                                                                                     "patch",   "delete", "return",
                                                                                     NULL};
    const struct {
        const char *name, *const *words;
        dbk_script *script;
    } files[] = {{"schema.sql", none, &check->schema},
                 {"projections.sql", on, &check->projections},
                 {"queries.sql", query, &check->queries},
                 {"commands.sql", command, &check->commands},
                 {"upcasts.sql", upcast, &check->upcasts}};
    size_t prefix = check->prefix ? strlen(check->prefix) : 0;

    for (size_t i = 0; i < check->definition->source_count && !check->failed; i++) {
        const dbk_source *source = &check->definition->sources[i];
        const char *name = source->name + prefix, *slash = strchr(name, '/');
        if (slash && strncmp(name, "schemas/", 8) != 0) continue;
        if (!check_source_text(check, source)) continue;
        if (strcmp(name, "schema.sql") == 0) check->definition->schema_sql = (const char *)source->text.data;
        for (size_t k = 0; k < sizeof files / sizeof *files; k++)
            if (strcmp(name, files[k].name) == 0) dbk_scan(check, source, files[k].words, files[k].script);
    }
}

static dbk_result run_check(dbk_check *check, dbk_error *err)
{
    static void (*const steps[])(dbk_check *) = {
        dbk_check_app,        check_names,       dbk_check_hash_whole, dbk_check_scan,     dbk_check_schema,
        dbk_check_tables,     dbk_check_links,   dbk_check_app_tables, dbk_check_rows,     dbk_check_projections,
        dbk_check_app_search, dbk_check_queries, dbk_check_classes,    dbk_check_commands, dbk_check_upcasts,
        dbk_check_schemas,    dbk_check_models,  dbk_check_app_rest,
    };

    if (!dbk_check_open(check, err)) return err ? err->code : DBK_INTERNAL;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !check->failed; i++) steps[i](check);
    if (check->failed || check->report->failed) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    if (check->steps > DBK_CHECK_STEPS_MAX)
        dbk_report_error(check->report, (dbk_span){NULL, 0, 0}, "fewer tables, keys and columns",
                         "the definition takes too long to check");
    dbk_report_settle(check->report);
    if (check->report->errors == 0) return DBK_OK;
    return dbk_fail(err, DBK_SCHEMA, "the definition has %zu error%s", check->report->errors,
                    check->report->errors == 1 ? "" : "s");
}

static dbk_result begin_check(dbk_check *check, const dbk_port *port, const char *schema_name, const char *name,
                              dbk_findings *findings, dbk_error *err)
{
    *findings = (dbk_findings){NULL, 0, 0, NULL};
    *check = (dbk_check){.port = port, .arena = dbk_arena_new(port, 16 * 1024), .report = dbk_report_new(port)};
    check->definition = check->arena ? dbk_check_take(check, 1, sizeof(dbk_definition)) : NULL;
    if (check->definition) *check->definition = (dbk_definition){.owner = check->arena, .version = 1};
    if (!check->definition || !check->report) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    check->definition->name = dbk_check_text(check, dbk_slice_text(name ? name : "app"));
    check->report->schema_name = schema_name;
    return DBK_OK;
}

static dbk_result parse(const dbk_port *port, const dbk_source *sources, size_t count, const char *schema_name,
                        const char *name, dbk_definition **out, dbk_findings *findings, dbk_error *err)
{
    dbk_check check;
    dbk_result result = begin_check(&check, port, schema_name, name, findings, err);

    *out = NULL;
    if (result == DBK_OK && !copy_sources(&check, sources, count))
        result = dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    if (result == DBK_OK) result = run_check(&check, err);
    dbk_check_app_close(&check);
    dbk_check_close(&check);
    if (check.report && result != DBK_NO_MEMORY) dbk_report_take(check.report, findings);
    else if (check.report) dbk_arena_free(check.report->arena);
    if (result == DBK_OK) *out = check.definition;
    else if (check.definition) dbk_definition_free(check.definition);
    else dbk_arena_free(check.arena);
    return result;
}

dbk_result dbk_definition_parse(const dbk_port *port, const dbk_source *sources, size_t count, const char *name,
                                dbk_definition **out, dbk_findings *findings, dbk_error *err)
{
    return parse(port, sources, count, NULL, name, out, findings, err);
}

/* ---- reading a folder or a file */
typedef struct reading {
    const dbk_port *port;
    dbk_dir *dir;
    dbk_arena *arena;
    dbk_source *sources;
    size_t count, capacity;
    dbk_result result;
} reading;

static bool add_source(reading *r, const char *name, dbk_slice text)
{
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : 8;
        dbk_source *grown = dbk_arena_take(r->arena, capacity * sizeof(*grown));
        if (!grown) return false;
        if (r->count) memcpy(grown, r->sources, r->count * sizeof(*grown));
        r->sources = grown;
        r->capacity = capacity;
    }
    dbk_slice copied = dbk_arena_copy(r->arena, dbk_slice_text(name)), body = dbk_arena_copy(r->arena, text);
    if (!copied.data || !body.data) return false;
    r->sources[r->count++] = (dbk_source){(const char *)copied.data, body};
    return true;
}

/* Files of a folder that are sources: *.json of schemas/, *.sql of the others, which are models. */
typedef struct folder {
    reading *r;
    const char *name, *suffix;
    bool holds_json, holds_sql;
} folder;

static int note_inside(void *arg, const char *name)
{
    folder *f = arg;
    char path[NAME_BYTES];

    if (name[0] == '.') return 0;
    f->holds_json |= has_suffix(name, ".json");
    f->holds_sql |= has_suffix(name, ".sql");
    if (!has_suffix(name, f->suffix)) return 0;
    if (snprintf(path, sizeof path, "%s/%s", f->name, name) >= (int)sizeof path) return 0;
    return add_source(f->r, path, (dbk_slice){NULL, 0}) ? 0 : 1;
}

static bool is_nearly_schemas(const char *name)
{
    static const char *const ours[] = {"schemas"};

    return dbk_nearest(dbk_slice_text(name), ours, 1) != NULL;
}

/* A folder that is nearly schemas/ is kept as a source without text, so that the check names it. */
static bool note_folder(reading *r, const char *name)
{
    bool schemas = strcmp(name, "schemas") == 0;
    folder f = {.r = r, .name = name, .suffix = schemas ? ".json" : ".sql"};
    char inner[NAME_BYTES];
    dbk_dir *dir;

    if (dbk_io_open_dir(r->port, r->dir, name, 0, &dir, NULL)) return true;
    int rc = r->port->list(r->port->ctx, dir, note_inside, &f);
    r->port->close_dir(r->port->ctx, dir);
    if (rc == 1) return false;
    if (schemas || !is_nearly_schemas(name) || (f.holds_sql && !f.holds_json)) return true;
    if (snprintf(inner, sizeof(inner), "%s/", name) >= (int)sizeof(inner)) return true;
    return add_source(r, inner, (dbk_slice){NULL, 0});
}

/* Nobody would hear that "app.jsn" is not read. A program's own file may be near by chance. */
static bool is_nearly_ours(const char *name)
{
    return !has_suffix(name, ".js") && dbk_nearest(dbk_slice_text(name), known_files, KNOWN_FILES) != NULL;
}

/* Names only: files are read after the listing. */
static int note_name(void *arg, const char *name)
{
    reading *r = arg;
    dbk_identity identity;

    if (name[0] == '.') return 0;
    int rc = r->port->identify(r->port->ctx, r->dir, name, &identity);
    if (rc < 0) return rc;
    bool ok = true;
    if (identity.kind == DBK_IS_DIRECTORY) ok = note_folder(r, name);
    else if (has_suffix(name, ".sql") || is_nearly_ours(name)) ok = add_source(r, name, (dbk_slice){NULL, 0});
    return ok ? 0 : 1;
}

static dbk_result read_inner(reading *r, const char *path, const char *slash, dbk_buffer *text, dbk_error *err)
{
    char outer[NAME_BYTES];
    dbk_dir *dir;

    (void)snprintf(outer, sizeof outer, "%.*s", (int)(slash - path), path);
    dbk_result result = dbk_io_open_dir(r->port, r->dir, outer, 0, &dir, err);
    if (result != DBK_OK) return result;
    result = dbk_io_read_file(r->port, dir, slash + 1, DBK_SOURCE_MAX_BYTES, text, err);
    r->port->close_dir(r->port->ctx, dir);
    return result;
}

static dbk_result read_sources(reading *r, const char *path, dbk_error *err)
{
    dbk_buffer text;
    dbk_result result = DBK_OK;

    dbk_buffer_init(&text, r->port);
    for (size_t i = 0; i < r->count && result == DBK_OK; i++) {
        const char *name = r->sources[i].name, *slash = strchr(name, '/');
        if (slash && slash[1] == 0) continue;
        result = slash ? read_inner(r, name, slash, &text, err)
                       : dbk_io_read_file(r->port, r->dir, name, DBK_SOURCE_MAX_BYTES, &text, err);
        if (result != DBK_OK) {
            (void)dbk_error_wrap(err, result, "cannot read the definition '%s'", path);
            break;
        }
        r->sources[i].text = dbk_arena_copy(r->arena, dbk_buffer_slice(&text));
        if (!r->sources[i].text.data) result = dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    }
    dbk_buffer_release(&text);
    return result;
}

static dbk_result read_folder(reading *r, const char *path, dbk_error *err)
{
    dbk_result result = dbk_io_open_dir(r->port, NULL, path, 0, &r->dir, err);

    if (result) return dbk_error_wrap(err, result, "cannot read the definition '%s'", path);
    int rc = r->port->list(r->port->ctx, r->dir, note_name, r);
    if (rc > 0) result = dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    else if (rc < 0) result = dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot list the definition '%s'", path);
    else result = read_sources(r, path, err);
    r->port->close_dir(r->port->ctx, r->dir);
    return result;
}

/* One file is the schema, whatever its name; findings call it by its own. */
static dbk_result read_single(reading *r, const char *path, const char *base, dbk_error *err)
{
    dbk_slice parent = base == path ? dbk_slice_text(".") : dbk_slice_of(path, (size_t)(base - path));
    dbk_slice copied = dbk_arena_copy(r->arena, parent);
    dbk_result result;

    if (!copied.data) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    result = dbk_io_open_dir(r->port, NULL, (const char *)copied.data, 0, &r->dir, err);
    if (result) return dbk_error_wrap(err, result, "cannot read the definition '%s'", path);
    if (!add_source(r, base, (dbk_slice){NULL, 0}))
        result = dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    else result = read_sources(r, path, err);
    if (result == DBK_OK) r->sources[0].name = "schema.sql";
    r->port->close_dir(r->port->ctx, r->dir);
    return result;
}

/* The last component of a path without '/' at its end and, for files, without ".sql". */
static const char *name_of(dbk_arena *arena, const char *path, bool file)
{
    size_t end = strlen(path), begin;

    while (end > 1 && path[end - 1] == '/') end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';) begin--;
    if (file) end -= 4;
    if (end <= begin || strncmp(path + begin, ".", end - begin) == 0) return "app";
    return (const char *)dbk_arena_copy(arena, dbk_slice_of(path + begin, end - begin)).data;
}

dbk_result dbk_definition_load(const dbk_port *port, const char *path, dbk_definition **out, dbk_findings *findings,
                               dbk_error *err)
{
    reading r = {.port = port, .arena = dbk_arena_new(port, 16 * 1024)};
    bool file = has_suffix(path, ".sql");
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

    *out = NULL;
    *findings = (dbk_findings){NULL, 0, 0, NULL};
    if (!r.arena) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for a definition");
    const char *name = name_of(r.arena, path, file);
    dbk_result result = file ? read_single(&r, path, base, err) : read_folder(&r, path, err);
    if (result == DBK_OK) result = parse(port, r.sources, r.count, file ? base : NULL, name, out, findings, err);
    dbk_arena_free(r.arena);
    return result;
}

dbk_result dbk_definition_set_ancestors(dbk_definition *definition, const uint8_t (*ancestors)[16], uint32_t count,
                                        const uint8_t *hash, dbk_error *err)
{
    uint8_t(*copy)[16] = dbk_arena_take(definition->owner, ((size_t)count + 1) * 16);

    if (!copy) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for the definitions before this one");
    if (count) memcpy(copy, ancestors, (size_t)count * 16);
    definition->ancestors = copy;
    definition->ancestor_count = count;
    if (hash) memcpy(definition->hash, hash, 16);
    return DBK_OK;
}

void dbk_definition_free(dbk_definition *definition)
{
    if (!definition) return;
    for (size_t i = 0; i < definition->schema_count; i++) dbk_json_schema_free(definition->schemas[i].schema);
    for (size_t i = 0; i < definition->model_count; i++) dbk_definition_free(definition->models[i]);
    dbk_arena_free(definition->owner);
}
