/* Definitions of a store. Each one that decided is named by an entry on the stream daybook/definition, so the
 * log tells which came before which; the sources of today's stand in app/.
 *
 * An upgrade: sources to app.new, synced → the entry, synced → app to app.old, app.new to app → the model. The
 * entry decides: at open an app.new whose hash is that of the newest entry goes on to become app, another one
 * is removed. */
#include "store/definitions.h"

#include <errno.h>
#include <stdio.h>

#include "store/unmake.h"

enum { PAGE = 64 };

/* ---- what the log says */

static dbk_result hash_in(dbk_engine *engine, dbk_json_parser *parser, uint64_t position, dbk_buffer *origin,
                          uint8_t hash[16], bool *found, dbk_error *err)
{
    dbk_entry entry;
    dbk_result result = dbk_log_read(engine->log, position, origin, NULL, err);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(origin), &entry, err);
    if (result != DBK_OK || memcmp(entry.id.replica, engine->identity.replica, 16) != 0) return result;
    dbk_slice rest = entry.events;
    for (dbk_event event; dbk_event_next(&rest, &event);) {
        const dbk_json_node *root, *text;
        if (!dbk_slice_equal(event.type, dbk_slice_text("daybook.definition"))) continue;
        result = dbk_json_parse(parser, event.data, &root, err);
        if (result == DBK_NO_MEMORY) return result;
        if (result != DBK_OK || root->kind != DBK_JSON_OBJECT) continue;
        text = dbk_json_member(root, "hash");
        if (text && text->kind == DBK_JSON_STRING && dbk_hex_decode(text->text, hash, 16)) *found = true;
    }
    return DBK_OK;
}

int dbk_definitions_find(const dbk_definition_list *list, const uint8_t hash[16])
{
    for (uint32_t i = 0; i < list->count; i++)
        if (memcmp(list->hashes[i], hash, 16) == 0) return (int)i;
    return -1;
}

/* Walked from the newest down; what stands in the list already was meant again later. */
dbk_result dbk_definitions_known(dbk_engine *engine, dbk_definition_list *list, dbk_error *err)
{
    dbk_buffer origin;
    dbk_json_parser *parser = dbk_json_parser_new(engine->port);
    dbk_result result = parser ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for the list of definitions");
    *list = (dbk_definition_list){0};
    dbk_buffer_init(&origin, engine->port);
    for (uint64_t position = 0; result == DBK_OK && position != 1;) {
        uint8_t hash[16];
        bool found = false;
        result = dbk_log_find_stream(engine->log, dbk_slice_text("daybook/definition"), position, &position, err);
        if (result != DBK_OK || position == 0) break;
        result = hash_in(engine, parser, position, &origin, hash, &found, err);
        if (result != DBK_OK || !found || dbk_definitions_find(list, hash) >= 0) continue;
        if (list->count % PAGE == 0) {
            void *grown =
                engine->port->resize(engine->port->ctx, list->hashes, (list->count + PAGE) * sizeof *list->hashes);
            if (!grown) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the list of definitions");
            else list->hashes = grown;
        }
        if (result == DBK_OK) memcpy(list->hashes[list->count++], hash, 16);
    }
    for (uint32_t i = 0; i < list->count / 2; i++) {
        uint8_t other[16];
        memcpy(other, list->hashes[i], 16);
        memcpy(list->hashes[i], list->hashes[list->count - 1 - i], 16);
        memcpy(list->hashes[list->count - 1 - i], other, 16);
    }
    dbk_buffer_release(&origin);
    dbk_json_parser_free(parser);
    return result;
}

void dbk_definitions_release(dbk_engine *engine, dbk_definition_list *list)
{
    dbk_free(engine->port, list->hashes);
    *list = (dbk_definition_list){0};
}

dbk_result dbk_definitions_inherit(const dbk_definition_list *list, dbk_definition *definition, dbk_error *err)
{
    int own = dbk_definitions_find(list, definition->hash);
    uint32_t count = own < 0 ? list->count : (uint32_t)own;
    return dbk_definition_set_ancestors(definition, (const uint8_t(*)[16])list->hashes, count, NULL, err);
}

/* ---- the folder */

/* Best effort: what stays is removed by the next one. */
static void remove_folder(dbk_engine *engine, const char *name)
{
    dbk_folder_remove(engine->port, engine->dir, name);
}

static bool is_there(dbk_engine *engine, const char *name)
{
    dbk_identity identity;
    return engine->port->identify(engine->port->ctx, engine->dir, name, &identity) == 0;
}

void dbk_app_unstage(dbk_engine *engine)
{
    remove_folder(engine, "app.new");
    remove_folder(engine, "app.old");
}

dbk_result dbk_app_stage(dbk_engine *engine, const dbk_definition *definition, dbk_error *err)
{
    dbk_app_unstage(engine);
    dbk_result result = dbk_store_copy_sources(engine->port, engine->dir, "app.new", definition, err);
    return result == DBK_OK ? dbk_io_sync_dir(engine->port, engine->dir, "the store", err) : result;
}

static dbk_result rename_folder(dbk_engine *engine, const char *from, const char *to, dbk_error *err)
{
    int rc = engine->port->rename(engine->port->ctx, engine->dir, from, engine->dir, to);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot rename '%s' to '%s'", from, to);
}

dbk_result dbk_app_switch(dbk_engine *engine, dbk_error *err)
{
    remove_folder(engine, "app.old");
    dbk_result result = rename_folder(engine, "app", "app.old", err);
    return result == DBK_OK ? rename_folder(engine, "app.new", "app", err) : result;
}

dbk_result dbk_app_sync(dbk_engine *engine, dbk_error *err)
{
    dbk_result result = dbk_io_sync_dir(engine->port, engine->dir, "the store", err);
    if (result == DBK_OK) remove_folder(engine, "app.old");
    return result;
}

/* The entry is in the log: the renames come behind it. */
dbk_result dbk_app_mend(dbk_engine *engine, dbk_error *err)
{
    if (engine->options.definition || engine->options.read_only || is_there(engine, "app") ||
        !is_there(engine, "app.new"))
        return DBK_OK;
    dbk_result result = rename_folder(engine, "app.new", "app", err);
    return result == DBK_OK ? dbk_io_sync_dir(engine->port, engine->dir, "the store", err) : result;
}

/* ---- at open */

static dbk_result load_staged(dbk_engine *engine, dbk_definition **staged, dbk_error *err)
{
    dbk_findings findings = {0};
    dbk_buffer path;
    dbk_buffer_init(&path, engine->port);
    dbk_buffer_printf(&path, "%s/app.new", engine->path);
    dbk_result result = dbk_buffer_text(&path)
                            ? dbk_definition_load(engine->port, (const char *)path.data, staged, &findings, err)
                            : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    dbk_findings_free(&findings);
    dbk_buffer_release(&path);
    return result;
}

static dbk_result settle_staged(dbk_engine *engine, const dbk_definition_list *list, bool *again, dbk_error *err)
{
    dbk_definition *staged = NULL;
    if (engine->options.read_only || !is_there(engine, "app.new")) return DBK_OK;
    dbk_result result = load_staged(engine, &staged, NULL);
    bool decided = result == DBK_OK && list->count > 0 && memcmp(list->hashes[list->count - 1], staged->hash, 16) == 0;
    dbk_definition_free(staged);
    if (result == DBK_NO_MEMORY) return dbk_fail(err, result, "no memory for a definition");
    if (decided && memcmp(engine->definition->hash, list->hashes[list->count - 1], 16) != 0) {
        *again = true;
        result = dbk_app_switch(engine, err);
        return result == DBK_OK ? dbk_app_sync(engine, err) : result;
    }
    dbk_app_unstage(engine);
    return DBK_OK;
}

dbk_result dbk_definitions_settle(dbk_engine *engine, bool *again, dbk_error *err)
{
    dbk_definition_list list;
    *again = false;
    if (!engine->own_definition) return DBK_OK;
    dbk_result result = dbk_definitions_known(engine, &list, err);
    if (result == DBK_OK) result = settle_staged(engine, &list, again, err);
    int place = dbk_definitions_find(&list, engine->definition->hash);
    if (result == DBK_OK && !*again && !engine->options.read_only && place >= 0 && place + 1 < (int)list.count) {
        result =
            dbk_fail(err, DBK_READ_ONLY, "the store was upgraded to a definition that came after the one in 'app'");
        dbk_error_hint(err, "put the newer app's folder back to '%s/app', or look at the store for reading only",
                       engine->path);
    }
    if (result == DBK_OK && !*again) result = dbk_definitions_inherit(&list, engine->own_definition, err);
    dbk_definitions_release(engine, &list);
    return result;
}
