/* A bus: the sockets of one open store, and the note in its folder that says where they are.
 *
 * Start: folder, sockets (the store's lock is held, so that no other daemon's are touched), then run.json,
 * so that whoever reads it finds the sockets served. Stop: run.json first, for the same reason. */
#include <errno.h>

#include "bus/internal.h"

enum { RUN_FILE_MAX = 4096 };
static const char run_file[] = "run.json";

struct dbk_bus {
    const dbk_port *port;
    dbk_bus_paths paths;
    dbk_dir *store_dir;
    bool wrote_run_file;
    dbk_bus_commands *commands;
    dbk_bus_changes *changes;
};

static dbk_result write_run_file(dbk_bus *bus, dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = bus->port;
    dbk_buffer out;
    char folder[DBK_FOLDER_TEXT_SIZE];
    dbk_result result = dbk_folder_text(port, bus->store_dir, folder, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&out, port);
    dbk_buffer_printf(&out, "{\"pid\":%u,\"commands\":", port->process_id(port->ctx));
    dbk_json_put_string(&out, dbk_slice_text(bus->paths.commands));
    dbk_buffer_put_text(&out, ",\"changes\":");
    dbk_json_put_string(&out, dbk_slice_text(bus->paths.changes));
    dbk_buffer_put_text(&out, ",\"store\":");
    dbk_json_put_string(&out, dbk_slice_text(dbk_engine_id(engine)));
    dbk_buffer_put_text(&out, ",\"folder\":");
    dbk_json_put_string(&out, dbk_slice_text(folder));
    dbk_buffer_printf(&out, ",\"started_ms\":%lld}\n", (long long)port->wall_ms(port->ctx));
    result = out.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for '%s'", run_file)
                        : dbk_io_replace_file(port, bus->store_dir, run_file, dbk_buffer_slice(&out), err);
    bus->wrote_run_file = result == DBK_OK;
    dbk_buffer_release(&out);
    return result;
}

static dbk_result start(dbk_bus *bus, dbk_engine *engine, dbk_store *store, const char *store_path,
                        const dbk_bus_options *options, dbk_error *err)
{
    const dbk_port *port = bus->port;
    static const dbk_bus_options defaults = {0};
    if (!options) options = &defaults;
    dbk_result result = dbk_bus_paths_open(port, dbk_engine_own_name(engine), options->listen, &bus->paths, err);
    if (result == DBK_OK) result = dbk_io_open_dir(port, NULL, store_path, DBK_OPEN_READ, &bus->store_dir, err);
    if (result == DBK_OK)
        result = dbk_bus_commands_start(port, engine, store, &bus->paths, options, &bus->commands, err);
    if (result == DBK_OK) result = dbk_bus_changes_start(port, engine, &bus->paths, options, &bus->changes, err);
    if (result != DBK_OK) return result;
    result = write_run_file(bus, engine, err);
    return result == DBK_NO_SPACE ? DBK_OK : result; /* on a full disk it is found by its address alone */
}

dbk_result dbk_bus_start(dbk_engine *engine, dbk_store *store, const char *store_path, const dbk_bus_options *options,
                         dbk_bus **out, dbk_error *err)
{
    const dbk_port *port = options && options->port ? options->port : dbk_port_system();
    dbk_bus *bus = dbk_alloc_zero(port, 1, sizeof *bus);
    if (!bus) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    bus->port = port;
    dbk_result result = start(bus, engine, store, store_path, options, err);
    if (result == DBK_OK) {
        *out = bus;
        return DBK_OK;
    }
    dbk_bus_stop(bus);
    return dbk_error_wrap(err, result, "cannot serve '%s'", store_path);
}

void dbk_bus_stop(dbk_bus *bus)
{
    if (!bus) return;
    const dbk_port *port = bus->port;
    if (bus->wrote_run_file) (void)port->unlink(port->ctx, bus->store_dir, run_file);
    dbk_bus_commands_stop(bus->commands);
    dbk_bus_changes_stop(bus->changes);
    if (bus->store_dir) port->close_dir(port->ctx, bus->store_dir);
    dbk_bus_paths_release(port, &bus->paths);
    dbk_free(port, bus);
}

const char *dbk_bus_commands_url(const dbk_bus *bus)
{
    return bus->paths.commands;
}
const char *dbk_bus_changes_url(const dbk_bus *bus)
{
    return bus->paths.changes;
}

void dbk_bus_stats(dbk_bus *bus, dbk_buffer *out)
{
    dbk_endpoint_counts counts = {0};
    dbk_bus_commands_stats(bus->commands, out);
    dbk_buffer_put_u8(out, ',');
    dbk_bus_changes_stats(bus->changes, out);
    dbk_endpoint_stats(dbk_bus_commands_endpoint(bus->commands), &counts);
    dbk_endpoint_stats(dbk_bus_changes_endpoint(bus->changes), &counts);
    dbk_buffer_printf(out, ",\"refused_peers\":%llu,\"crowded\":%llu", (unsigned long long)counts.refused,
                      (unsigned long long)counts.crowded);
}

/* ---- finding one */

/* The note names the folder it was written for: a copy of a store takes the note along, and its daemon
 * serves the original. */
static dbk_result read_run_file(const dbk_port *port, dbk_dir *dir, dbk_json_parser *parser, dbk_slice text,
                                dbk_buffer *url)
{
    const dbk_json_node *root;
    int64_t pid;
    char here[DBK_FOLDER_TEXT_SIZE];
    if (dbk_json_parse(parser, text, &root, NULL) != DBK_OK || root->kind != DBK_JSON_OBJECT) return DBK_NONE;
    const dbk_json_node *process = dbk_json_member(root, "pid"), *commands = dbk_json_member(root, "commands");
    const dbk_json_node *folder = dbk_json_member(root, "folder");
    if (!process || !dbk_json_is_integer(process, &pid) || pid <= 0 || pid > INT32_MAX) return DBK_NONE;
    if (!commands || commands->kind != DBK_JSON_STRING || !port->process_alive(port->ctx, (uint32_t)pid))
        return DBK_NONE;
    if (!folder || dbk_folder_text(port, dir, here, NULL) != DBK_OK || !dbk_json_text_is(folder, here)) return DBK_NONE;
    dbk_buffer_put_slice(url, commands->text);
    return DBK_OK;
}

/* The process may be another one that got the number of a daemon that was killed: somebody must listen. */
static dbk_result check_listens(const char *url)
{
    nng_stream *stream = NULL;
    int rc = dbk_dial(url, &stream);
    dbk_stream_discard(stream);
    return rc == NNG_ECONNREFUSED || rc == NNG_EADDRINVAL || rc == NNG_ENOTSUP ? DBK_NONE : DBK_OK;
}

/* A run.json that cannot be read is a leftover: the answer is that nobody serves. */
dbk_result dbk_bus_find(const dbk_port *port, const char *path, dbk_buffer *url, dbk_error *err)
{
    dbk_dir *dir = NULL;
    dbk_buffer text;
    dbk_result result = dbk_io_open_dir(port, NULL, path, DBK_OPEN_READ, &dir, err);
    if (result != DBK_OK) return result == DBK_MISSING ? DBK_NONE : result;
    dbk_buffer_init(&text, port);
    dbk_buffer_clear(url);
    dbk_json_parser *parser = dbk_json_parser_new(port);
    result = parser ? dbk_io_read_file(port, dir, run_file, RUN_FILE_MAX, &text, err)
                    : dbk_fail(err, DBK_NO_MEMORY, "no memory for '%s'", run_file);
    if (result == DBK_MISSING || result == DBK_TOO_BIG) result = DBK_NONE;
    if (result == DBK_OK) result = read_run_file(port, dir, parser, dbk_buffer_slice(&text), url);
    if (result == DBK_OK && !dbk_buffer_text(url))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for '%s'", run_file);
    if (result == DBK_OK) result = check_listens((const char *)url->data);
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    port->close_dir(port->ctx, dir);
    return result;
}
