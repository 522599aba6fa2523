/* What `verify` looks at beside the log, each for itself: one damaged part does not hide another. Nothing is
 * written, and SQLite is not opened, for it would write beside the file. */
#include "cli/verify_parts.h"

enum { SMALL_FILE = 64 * 1024, SQLITE_HEADER = 100 };

/* What is derived can only show less than was seen; without the rest, opening must refuse. */
static unsigned law_of(const char *file)
{
    return strncmp(file, "models", 6) == 0 ? 4 : 3;
}

/* What could not be looked at for want of memory is not found to be good: the command fails in the end. */
static dbk_result looked(dbk_result result)
{
    if (result == DBK_NO_MEMORY) dbk_out_lacks_memory();
    return result;
}

static void fault(dbk_verify_fn tell, void *arg, dbk_result code, const char *file, const char *text)
{
    if (!tell) return;
    tell(arg, &(dbk_verify_fault){.error = dbk_result_name(code), .file = file, .text = text, .law = law_of(file)});
}

/* ---- daybook.json */

static bool take_ids(const dbk_json_node *root, dbk_log_options *options)
{
    const dbk_json_node *store = dbk_json_member(root, "store"), *lineage = dbk_json_member(root, "lineage");
    return store && lineage && dbk_uuid_parse(store->text, options->store_id) &&
           dbk_hex_decode(lineage->text, options->lineage, sizeof options->lineage);
}

static const char *problem_of(const dbk_json_node *root, dbk_log_options *options, dbk_result *code)
{
    int64_t format;
    const dbk_json_node *node = root->kind == DBK_JSON_OBJECT ? dbk_json_member(root, "format") : NULL;
    *code = DBK_CORRUPT;
    if (!node || !dbk_json_is_integer(node, &format)) return "it has no format number";
    if (format != DBK_STORE_FORMAT) {
        *code = DBK_VERSION;
        return "it has a format that this Daybook does not read";
    }
    node = dbk_json_member(root, "needs");
    if (node && (node->kind != DBK_JSON_ARRAY || node->count > 0)) {
        *code = DBK_VERSION;
        return "it needs a feature that this Daybook does not know";
    }
    return take_ids(root, options) ? NULL : "it lacks the ids of the store";
}

int64_t dbk_verify_format(const dbk_port *port, dbk_dir *store)
{
    int64_t format = 0;
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    dbk_json_parser *parser = dbk_json_parser_new(port);
    const dbk_json_node *root = NULL;
    if (!parser) dbk_out_lacks_memory();
    if (parser && looked(dbk_io_read_file(port, store, "daybook.json", SMALL_FILE, &text, NULL)) == DBK_OK &&
        looked(dbk_json_parse(parser, dbk_buffer_slice(&text), &root, NULL)) == DBK_OK &&
        root->kind == DBK_JSON_OBJECT) {
        const dbk_json_node *node = dbk_json_member(root, "format");
        if (!node || !dbk_json_is_integer(node, &format)) format = 0;
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    return format;
}

bool dbk_verify_identity(const dbk_port *port, dbk_dir *store, dbk_log_options *options, dbk_verify_fn tell, void *arg)
{
    dbk_error err = {0};
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    dbk_json_parser *parser = dbk_json_parser_new(port);
    const dbk_json_node *root = NULL;
    dbk_result result = parser ? dbk_io_read_file(port, store, "daybook.json", SMALL_FILE, &text, &err)
                               : dbk_fail(&err, DBK_NO_MEMORY, "no memory");
    if (result == DBK_OK) result = dbk_json_parse(parser, dbk_buffer_slice(&text), &root, &err);
    const char *problem = result == DBK_OK ? problem_of(root, options, &result) : err.text;
    if (problem) {
        fault(tell, arg, result, "daybook.json", problem);
        memset(options->store_id, 0, sizeof options->store_id);
        memset(options->lineage, 0, sizeof options->lineage);
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    return problem == NULL;
}

void dbk_verify_borrow_id(const dbk_port *port, dbk_dir *log, dbk_log_options *options)
{
    if (dbk_log_identify(port, log, options->store_id, options->lineage, NULL) == DBK_OK) return;
    memset(options->store_id, 0, sizeof options->store_id);
    memset(options->lineage, 0, sizeof options->lineage);
}

/* ---- app/ */

/* The hash in the last daybook.definition event of the log; false: there is none, or it cannot be read. */
static bool recorded_hash(const dbk_port *port, dbk_log *log, char hash[33])
{
    uint64_t position = 0;
    dbk_buffer origin;
    dbk_entry entry;
    dbk_event event;
    bool found = false;
    dbk_buffer_init(&origin, port);
    dbk_json_parser *parser = dbk_json_parser_new(port);
    const dbk_json_node *root;
    if (!parser) dbk_out_lacks_memory();
    if (parser &&
        looked(dbk_log_find_stream(log, dbk_slice_text("daybook/definition"), 0, &position, NULL)) == DBK_OK &&
        position > 0 && looked(dbk_log_read(log, position, &origin, NULL, NULL)) == DBK_OK &&
        dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL) == DBK_OK) {
        dbk_slice rest = entry.events;
        while (dbk_event_next(&rest, &event)) {
            if (looked(dbk_json_parse(parser, event.data, &root, NULL)) != DBK_OK || root->kind != DBK_JSON_OBJECT)
                continue;
            const dbk_json_node *node = dbk_json_member(root, "hash");
            if (!node || node->kind != DBK_JSON_STRING || node->text.size != 32) continue;
            memcpy(hash, node->text.data, 32);
            hash[32] = 0;
            found = true;
        }
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&origin);
    return found;
}

static void compare(const dbk_port *port, dbk_dir *dir, const dbk_log_options *given, const dbk_definition *definition,
                    dbk_verify_fn tell, void *arg)
{
    dbk_log_options options = *given;
    dbk_log *log = NULL;
    char recorded[33], present[33];
    options.read_only = true;
    if (looked(dbk_log_open(port, dir, &options, &log, NULL)) != DBK_OK)
        return; /* the log's own faults are told already */
    dbk_hex_encode(dbk_slice_of(definition->hash, 16), present);
    if (recorded_hash(port, log, recorded) && memcmp(recorded, present, 32) != 0)
        fault(tell, arg, DBK_FOREIGN, "app", "the definition is not the one that the log recorded");
    dbk_log_close(log);
}

void dbk_verify_app(const dbk_port *port, const char *path, dbk_dir *log, const dbk_log_options *options,
                    dbk_verify_fn tell, void *arg, char file[DBK_VERIFY_FILE_SIZE])
{
    dbk_error err = {0};
    dbk_findings findings = {0};
    dbk_definition *definition = NULL;
    dbk_buffer folder;
    dbk_buffer_init(&folder, port);
    dbk_buffer_printf(&folder, "%s/app", path);
    dbk_result result = dbk_buffer_text(&folder)
                            ? dbk_definition_load(port, (const char *)folder.data, &definition, &findings, &err)
                            : dbk_fail(&err, DBK_NO_MEMORY, "no memory");
    if (result == DBK_SCHEMA && findings.count > 0) fault(tell, arg, DBK_CORRUPT, "app", findings.items[0].text);
    else if (result != DBK_OK) fault(tell, arg, result, "app", err.text);
    else if (log) compare(port, log, options, definition, tell, arg);
    (void)snprintf(file, DBK_VERIFY_FILE_SIZE, "%s",
                   !definition        ? ""
                   : definition->file ? definition->file
                                      : "main.sqlite");
    dbk_definition_free(definition);
    dbk_findings_free(&findings);
    dbk_buffer_release(&folder);
}

/* ---- models/ */

/* What opening for writing puts aside: such a thing is not opened here either. */
static const char *wrong_kind(const dbk_port *port, dbk_dir *dir, const char *name, int kind)
{
    dbk_identity found;
    if (port->identify(port->ctx, dir, name, &found) != 0 || (int)found.kind == kind) return NULL;
    return kind == DBK_IS_FILE ? "it is no file; the next opening puts it aside and builds the model anew"
                               : "it is no folder; the next opening puts it aside and builds the models anew";
}

static const char *sqlite_problem(const dbk_port *port, dbk_dir *dir, const char *name, char *text, size_t size)
{
    dbk_file *file = NULL;
    uint8_t header[SQLITE_HEADER];
    size_t got = 0;
    uint64_t bytes = 0;
    dbk_error err = {0};
    dbk_result result = dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, &err);
    if (result == DBK_OK) result = dbk_io_read(port, file, name, 0, header, sizeof header, &got, &err);
    if (result == DBK_OK) result = dbk_io_size(port, file, name, &bytes, &err);
    if (file) port->close_file(port->ctx, file);
    if (result != DBK_OK) {
        snprintf(text, size, "%s", err.text);
        return text;
    }
    if (got < sizeof header || memcmp(header, "SQLite format 3", 16) != 0) return "it is no SQLite file";
    uint32_t page = (uint32_t)header[16] << 8 | header[17];
    if (page == 1) page = 65536;
    return page < 512 || bytes % page != 0 ? "it ends within a page" : NULL;
}

typedef struct dbk_one_model {
    const dbk_port *port;
    dbk_dir *dir;
    const char *below; /* "models", or "models/async-<name>" */
    dbk_verify_fn tell;
    void *arg;
    char file[DBK_VERIFY_FILE_SIZE]; /* of the model; "": it is to be found */
} dbk_one_model;

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), tail = strlen(end);
    return size >= tail && strcmp(name + size - tail, end) == 0;
}

static bool has(const dbk_port *port, dbk_dir *dir, const char *name)
{
    dbk_identity found;
    return name[0] && port->identify(port->ctx, dir, name, &found) == 0;
}

/* app.json names the file of an async model; here it is what SQLite did not put beside it. */
static int find_file(void *arg, const char *name)
{
    dbk_one_model *model = arg;
    if (ends_with(name, "-wal") || ends_with(name, "-shm") || ends_with(name, "-journal")) return 0;
    snprintf(model->file, sizeof model->file, "%.79s", name);
    return 1;
}

static void verify_file(dbk_one_model *model, const char *serial)
{
    const dbk_port *port = model->port;
    dbk_dir *one = NULL;
    char file[256], text[DBK_ERROR_TEXT_SIZE];
    const char *problem = NULL;
    if (dbk_io_open_dir(port, model->dir, serial, 0, &one, NULL) != DBK_OK)
        problem = wrong_kind(port, model->dir, serial, DBK_IS_DIRECTORY);
    else if (!has(port, one, model->file) && port->list(port->ctx, one, find_file, model) != 1)
        problem = "it is missing";
    else problem = wrong_kind(port, one, model->file, DBK_IS_FILE);
    if (!one && !problem) problem = "it is missing";
    if (!problem) problem = sqlite_problem(port, one, model->file, text, sizeof text);
    snprintf(file, sizeof file, "%s/%s%s%s", model->below, serial, model->file[0] ? "/" : "", model->file);
    if (problem) fault(model->tell, model->arg, DBK_CORRUPT, file, problem);
    if (one) port->close_dir(port->ctx, one);
}

/* No pointer is no fault: the first opening makes the model. */
static void verify_model(dbk_one_model *model)
{
    char serial[64] = "", file[160];
    dbk_buffer pointer;
    dbk_buffer_init(&pointer, model->port);
    snprintf(file, sizeof file, "%s/current", model->below);
    const char *problem = wrong_kind(model->port, model->dir, "current", DBK_IS_FILE);
    if (problem) fault(model->tell, model->arg, DBK_CORRUPT, file, problem);
    else if (looked(dbk_io_read_file(model->port, model->dir, "current", sizeof serial - 1, &pointer, NULL)) ==
             DBK_OK) {
        memcpy(serial, pointer.data, pointer.size);
        if (pointer.size == 0 || strspn(serial, "0123456789") != pointer.size)
            fault(model->tell, model->arg, DBK_CORRUPT, file, "it names no model; the next opening builds one");
        else verify_file(model, serial);
    }
    dbk_buffer_release(&pointer);
}

static int verify_async(void *arg, const char *name)
{
    const dbk_one_model *all = arg;
    char below[128];
    dbk_one_model model = *all;
    if (!dbk_cli_is_async_folder(name)) return 0;
    snprintf(below, sizeof below, "models/%s", name);
    const char *problem = wrong_kind(all->port, all->dir, name, DBK_IS_DIRECTORY);
    if (problem) fault(all->tell, all->arg, DBK_CORRUPT, below, problem);
    if (looked(dbk_io_open_dir(all->port, all->dir, name, 0, &model.dir, NULL)) != DBK_OK) return 0;
    model.below = below;
    model.file[0] = 0;
    verify_model(&model);
    all->port->close_dir(all->port->ctx, model.dir);
    return 0;
}

void dbk_verify_models(const dbk_port *port, dbk_dir *store, const char *file, dbk_verify_fn tell, void *arg)
{
    dbk_one_model model = {.port = port, .below = "models", .tell = tell, .arg = arg};
    (void)snprintf(model.file, sizeof model.file, "%s", file);
    const char *problem = wrong_kind(port, store, "models", DBK_IS_DIRECTORY);
    if (problem) fault(tell, arg, DBK_CORRUPT, "models", problem);
    if (looked(dbk_io_open_dir(port, store, "models", 0, &model.dir, NULL)) != DBK_OK) return;
    verify_model(&model);
    (void)port->list(port->ctx, model.dir, verify_async, &model);
    port->close_dir(port->ctx, model.dir);
}
