/* Which inodes hold the store: of the file "place" itself and of the folder "log", by the time they were
 * made, or by their number where the file system does not tell that time. No copy, archive or restore keeps
 * them; a reboot, a remount and a rename do. Devices are left out, since a reboot may change them.
 *
 * The file is made anew whenever a writer opens or closes, so that a backup put back into the same folder
 * is told from what was there, too. A file that cannot be read proves nothing: what a power loss leaves of
 * it is no copy. So it needs no sync. */
#include "store/place.h"

#include <stdio.h>

#include "store/carry.h"

static const char name[] = "place";
enum { PLACE_MAX_BYTES = 1024, PLACE_SIZE = 128 };

static dbk_result write_place(const dbk_port *port, dbk_dir *store, dbk_dir *log, dbk_error *err)
{
    static const char temporary[] = "place.tmp";
    char text[2 * DBK_IDENTITY_TEXT_SIZE + PLACE_SIZE], own[DBK_IDENTITY_TEXT_SIZE], folder[DBK_IDENTITY_TEXT_SIZE];
    dbk_identity file_is, log_is;
    dbk_file *file = NULL;
    (void)port->unlink(port->ctx, store, temporary);
    dbk_result result =
        dbk_io_open(port, store, temporary, DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &file, err);
    if (result != DBK_OK) return result;
    int rc = port->identify_file(port->ctx, file, &file_is);
    if (rc == 0) rc = port->identify_dir(port->ctx, log, &log_is);
    if (rc == 0) {
        dbk_identity_text(&file_is, own);
        dbk_identity_text(&log_is, folder);
        int size = snprintf(text, sizeof text, "{\"place\":\"%s\",\"log\":\"%s\"}\n", own, folder);
        result = dbk_io_write(port, file, temporary, 0, text, (size_t)size, err);
    } else {
        result = dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at '%s'", temporary);
    }
    port->close_file(port->ctx, file);
    if (result == DBK_OK && (rc = port->rename(port->ctx, store, temporary, store, name)) != 0)
        result = dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot rename '%s'", temporary);
    if (result != DBK_OK) (void)port->unlink(port->ctx, store, temporary);
    return result;
}

void dbk_place_begin(const dbk_port *port, dbk_dir *store)
{
    dbk_dir *log = NULL;
    if (dbk_io_open_dir(port, store, "log", 0, &log, NULL) != DBK_OK) return;
    (void)!write_place(port, store, log, NULL);
    port->close_dir(port->ctx, log);
}

static bool is_here(const dbk_json_node *root, const char *member, const dbk_identity *found)
{
    char text[DBK_IDENTITY_TEXT_SIZE];
    const dbk_json_node *noted = dbk_json_member(root, member);
    dbk_identity_text(found, text);
    return noted && dbk_json_text_is(noted, text);
}

dbk_result dbk_place_is_copy(const dbk_port *port, dbk_dir *store, bool *copy, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_identity file_is, log_is;
    dbk_dir *log = NULL;
    dbk_buffer text;
    *copy = false;
    if (port->identify(port->ctx, store, name, &file_is) != 0) return DBK_OK;
    dbk_json_parser *parser = dbk_json_parser_new(port);
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for '%s'", name);
    dbk_buffer_init(&text, port);
    dbk_result result = dbk_io_read_file(port, store, name, PLACE_MAX_BYTES, &text, err);
    if (result == DBK_OK) result = dbk_json_parse(parser, dbk_buffer_slice(&text), &root, err);
    bool readable = result == DBK_OK && root->kind == DBK_JSON_OBJECT && dbk_json_member(root, "place");
    if (result == DBK_TOO_BIG || result == DBK_MISSING || result == DBK_BAD_JSON) result = DBK_OK;
    if (readable) result = dbk_io_open_dir(port, store, "log", 0, &log, err);
    if (log) {
        int rc = port->identify_dir(port->ctx, log, &log_is);
        if (rc == 0) *copy = !is_here(root, "place", &file_is) || !is_here(root, "log", &log_is);
        else result = dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at the log's folder");
        port->close_dir(port->ctx, log);
    }
    dbk_buffer_release(&text);
    dbk_json_parser_free(parser);
    return result;
}

/* ---- a copy becomes a store of its own */

static dbk_result note(dbk_engine *engine, uint32_t before, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_buffer line;
    dbk_buffer_init(&line, port);
    dbk_buffer_printf(&line,
                      "{\"time_ms\":%lld,\"case\":\"copy\",\"position\":%llu,\"incarnation_before\":%u,\"incarnation\":"
                      "%u,\"timeline\":\"%s\"}",
                      (long long)port->wall_ms(port->ctx), (unsigned long long)dbk_log_position(engine->log), before,
                      engine->identity.incarnation, engine->identity.timeline);
    dbk_result result = line.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory to note the copy")
                                    : dbk_log_note(port, engine->log_dir, dbk_buffer_slice(&line), err);
    dbk_buffer_release(&line);
    return result;
}

/* daybook.json first: from there on nothing is written under the old name. */
static dbk_result become_own(dbk_engine *engine, dbk_error *err)
{
    dbk_identity_file identity = engine->identity;
    uint32_t before = identity.incarnation;
    char timeline[17];
    dbk_result result = DBK_OK;
    do { /* never one that the log knows */
        identity.incarnation = 0;
        result = dbk_draw_life(engine->port, before, &identity.incarnation, timeline, err);
    } while (result == DBK_OK && dbk_log_next_seq(engine->log, identity.replica, identity.incarnation) > 1);
    memcpy(identity.timeline, timeline, sizeof timeline);
    if (result == DBK_OK) result = dbk_identity_write(engine->port, engine->dir, &identity, err);
    if (result != DBK_OK) return dbk_error_wrap(err, result, "this folder is a copy");
    engine->identity = identity;
    engine->copied = true;
    return note(engine, before, err);
}

dbk_result dbk_place_check(dbk_engine *engine, dbk_error *err)
{
    bool copy = false;
    if (engine->options.ignore_place) return DBK_OK;
    dbk_result result = dbk_place_is_copy(engine->port, engine->dir, &copy, err);
    if (result == DBK_OK && copy) result = become_own(engine, err);
    if (result == DBK_OK) (void)!write_place(engine->port, engine->dir, engine->log_dir, NULL); /* next time, then */
    return result;
}

void dbk_place_leave(dbk_engine *engine)
{
    if (!engine->options.ignore_place) dbk_place_begin(engine->port, engine->dir);
}
