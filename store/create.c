/* Making a store: folders, app definition, empty log; daybook.json comes last, so that a folder without
 * one is known to be unfinished. */
#include "store/identity.h"
#include "store/place.h"
#include "store/unmake.h"

static int note_entry(void *arg, const char *name)
{
    if (strcmp(name, "LOCK") == 0) return 0;
    *(bool *)arg = true;
    return 1;
}

/* Empty but for LOCK, which tells by itself whether somebody is at work there. */
static dbk_result check_empty(const dbk_port *port, const char *path, dbk_dir *dir, dbk_error *err)
{
    bool any = false;
    int rc = port->list(port->ctx, dir, note_entry, &any);
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot list '%s'", path);
    if (any) {
        dbk_fail(err, DBK_EXISTS, "'%s' exists and is not empty", path);
        dbk_error_hint(err, "choose another path, or remove what is there");
        return DBK_EXISTS;
    }
    return DBK_OK;
}

static dbk_result make_folder(const dbk_port *port, dbk_dir *dir, const char *name, dbk_dir **out, dbk_error *err)
{
    int rc = port->make_dir(port->ctx, dir, name, 0700);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot make folder '%s'", name);
    return dbk_io_open_dir(port, dir, name, 0, out, err);
}

/* "schemas/notes.json" goes into a folder of its own. */
static dbk_result copy_source(const dbk_port *port, dbk_dir *app, const dbk_source *source, dbk_error *err)
{
    const char *slash = strchr(source->name, '/');
    char folder[64];
    dbk_dir *inner;
    if (!slash) return dbk_io_replace_file(port, app, source->name, source->text, err);
    if ((size_t)(slash - source->name) >= sizeof folder)
        return dbk_fail(err, DBK_INTERNAL, "the folder of '%s' has too long a name", source->name);
    memcpy(folder, source->name, (size_t)(slash - source->name));
    folder[slash - source->name] = 0;
    dbk_result result = dbk_io_open_dir(port, app, folder, DBK_OPEN_DIRECTORY, &inner, err);
    if (result != DBK_OK) return result;
    result = dbk_io_replace_file(port, inner, slash + 1, source->text, err);
    if (result == DBK_OK) result = dbk_io_sync_dir(port, app, "app", err);
    port->close_dir(port->ctx, inner);
    return result;
}

dbk_result dbk_store_copy_sources(const dbk_port *port, dbk_dir *dir, const char *name,
                                  const dbk_definition *definition, dbk_error *err)
{
    dbk_dir *app = NULL;
    dbk_result result = make_folder(port, dir, name, &app, err);
    for (size_t i = 0; result == DBK_OK && i < definition->source_count; i++)
        result = copy_source(port, app, &definition->sources[i], err);
    if (app) port->close_dir(port->ctx, app);
    return result;
}

static dbk_result make_log(const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                           const dbk_identity_file *identity, dbk_error *err)
{
    dbk_log_options log = options->log;
    memcpy(log.store_id, identity->store_id, 16);
    memcpy(log.lineage, identity->lineage, 16);
    log.no_background = log.no_background || options->no_threads;
    dbk_dir *folder = NULL;
    dbk_result result = make_folder(port, dir, "log", &folder, err);
    if (result == DBK_OK) result = dbk_log_create(port, folder, &log, err);
    if (folder) port->close_dir(port->ctx, folder);
    return result;
}

static dbk_result fill(const dbk_port *port, dbk_dir *dir, const dbk_store_plan *plan,
                       const dbk_engine_options *options, dbk_error *err)
{
    dbk_identity_file identity;
    dbk_dir *models = NULL;
    dbk_result result = dbk_identity_fresh(options, port, &identity, err);
    if (result == DBK_OK && plan->keep_sources)
        result = dbk_store_copy_sources(port, dir, "app", plan->definition, err);
    if (result == DBK_OK) result = make_log(port, dir, options, &identity, err);
    if (result == DBK_OK) result = make_folder(port, dir, "models", &models, err);
    if (models) port->close_dir(port->ctx, models);
    if (result == DBK_OK && plan->fill) result = plan->fill(plan->fill_arg, port, dir, options, &identity, err);
    if (result == DBK_OK && !options->ignore_place) dbk_place_begin(port, dir);
    if (result == DBK_OK) result = dbk_io_sync_dir(port, dir, "the store", err);
    if (result == DBK_OK) result = dbk_identity_write(port, dir, &identity, err);
    return result;
}

/* The folder's own name is durable only after its parent was synced: else a power loss soon after takes
 * the whole store. A parent that may not be read was made by another, and earlier. */
dbk_result dbk_store_open_parent(const dbk_port *port, const char *path, dbk_dir **dir, dbk_error *err)
{
    char *parent = dbk_copy_text(port, path);
    if (!parent) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    size_t size = strlen(parent);
    while (size > 1 && parent[size - 1] == '/') size--;
    while (size > 0 && parent[size - 1] != '/') size--;
    while (size > 1 && parent[size - 1] == '/') size--;
    parent[size] = 0;
    dbk_result result = dbk_io_open_dir(port, NULL, size ? parent : ".", 0, dir, err);
    dbk_free(port, parent);
    return result;
}

static dbk_result sync_parent(const dbk_port *port, const char *path, dbk_error *err)
{
    dbk_dir *dir = NULL;
    dbk_result result = dbk_store_open_parent(port, path, &dir, err);
    if (result != DBK_OK) return result == DBK_NO_MEMORY ? result : DBK_OK;
    result = dbk_io_sync_dir(port, dir, path, err);
    port->close_dir(port->ctx, dir);
    return result;
}

/* Before anything is made there. */
static dbk_result check_location(const dbk_port *port, const char *path, const dbk_engine_options *options,
                                 dbk_error *err)
{
    dbk_dir *dir = NULL;
    if (dbk_store_open_parent(port, path, &dir, NULL) != DBK_OK) return DBK_OK; /* making it will tell */
    dbk_result result = dbk_location_check(port, dir, options->force_fs, options->force_location, err);
    port->close_dir(port->ctx, dir);
    return result;
}

static dbk_result load(const dbk_port *port, const char *app, dbk_definition **out, dbk_text *report, dbk_error *err)
{
    dbk_findings findings = {0};
    dbk_result result = dbk_definition_load(port, app, out, &findings, err);
    if (report && findings.count > 0) {
        dbk_buffer text;
        dbk_buffer_init(&text, dbk_port_system());
        dbk_findings_print(&findings, &text);
        if (dbk_buffer_text(&text)) *report = (dbk_text){(char *)text.data, text.size};
    }
    dbk_findings_free(&findings);
    return result;
}

/* The folder is looked at again under the lock: from there on all that is in it was made here. */
static dbk_result make_locked(const dbk_port *port, dbk_dir *dir, const char *path, const dbk_store_plan *plan,
                              const dbk_engine_options *options, dbk_error *err)
{
    dbk_lock *lock = NULL;
    dbk_result result = dbk_lock_take(port, dir, "LOCK", &lock, err);
    if (result == DBK_OK) result = check_empty(port, path, dir, err);
    bool own = result == DBK_OK;
    if (result == DBK_OK) result = sync_parent(port, path, err);
    if (result == DBK_OK) result = fill(port, dir, plan, options, err);
    if (own && result != DBK_OK) dbk_store_unmake(port, dir);
    dbk_lock_release(lock);
    return result;
}

dbk_result dbk_store_make(const char *path, const dbk_store_plan *plan, const dbk_engine_options *options,
                          dbk_error *err)
{
    const dbk_port *port = options->port ? options->port : dbk_port_system();
    dbk_dir *dir = NULL;
    dbk_result result = check_location(port, path, options, err);
    bool was_there = dbk_folder_is_there(port, path);
    if (result == DBK_OK) result = dbk_io_open_dir(port, NULL, path, DBK_OPEN_DIRECTORY, &dir, err);
    if (result == DBK_OK) result = check_empty(port, path, dir, err);
    if (result == DBK_OK) result = dbk_location_check(port, dir, options->force_fs, options->force_location, err);
    if (result == DBK_OK) result = make_locked(port, dir, path, plan, options, err);
    if (dir) port->close_dir(port->ctx, dir);
    if (result != DBK_OK && dir && !was_there) dbk_folder_remove_empty(port, path);
    return result;
}

dbk_result dbk_engine_create(const char *path, const char *app, const dbk_engine_options *options, dbk_text *report,
                             dbk_error *err)
{
    static const dbk_engine_options none = {0};
    options = options ? options : &none;
    const dbk_port *port = options->port ? options->port : dbk_port_system();
    dbk_definition *loaded = NULL;
    if (report) *report = (dbk_text){0};
    dbk_result result = options->definition ? DBK_OK : load(port, app, &loaded, report, err);
    if (result == DBK_OK) {
        dbk_store_plan plan = {.definition = loaded ? loaded : options->definition, .keep_sources = loaded != NULL};
        result = dbk_store_make(path, &plan, options, err);
    }
    dbk_definition_free(loaded);
    if (result != DBK_OK) dbk_error_wrap(err, result, "cannot create store '%s'", path);
    return result;
}
