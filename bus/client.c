/* dbk_connect: the calls of daybook.h over a connection to a daemon. */
#include <stdio.h>

#include "bus/client.h"

enum { TIMEOUT_MS = 10000 };

static void client_free(dbk_client *client)
{
    const dbk_port *port = client->port;
    if (client->wake) port->cond_free(port->ctx, client->wake);
    if (client->mutex) port->mutex_free(port->ctx, client->mutex);
    dbk_free(port, client);
}

static void client_close(void *ctx)
{
    dbk_client *client = ctx;
    while (client->subscriptions) dbk_client_unsubscribe(client, client->subscriptions);
    dbk_client_link_close(client);
    client_free(client);
}

static dbk_result client_call_until(void *ctx, const char *json, size_t size, const bool *cancel, dbk_text *receipt,
                                    dbk_error *err)
{
    return dbk_client_call_until(ctx, json, size, cancel, receipt, err);
}

static void client_cancel(void *ctx, bool *cancel)
{
    dbk_client *client = ctx;
    dbk_hold(client->port, client->mutex);
    *cancel = true;
    dbk_client_cancel(client, cancel);
    dbk_let(client->port, client->mutex);
}

static const dbk_store_ops client_ops = {.close = client_close,
                                         .send = dbk_client_send,
                                         .call = dbk_client_call,
                                         .call_until = client_call_until,
                                         .cancel = client_cancel,
                                         .subscribe = dbk_client_subscribe,
                                         .unsubscribe = dbk_client_unsubscribe};

/* The commands url of what the caller named; *is_path: a store's folder. */
static dbk_result resolve(const dbk_port *port, const char *url, dbk_buffer *found, bool *is_path, dbk_error *err)
{
    *is_path = strncmp(url, "ipc:", 4) != 0;
    if (!*is_path) {
        dbk_buffer_put_text(found, url);
        return dbk_buffer_text(found) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    }
    dbk_result result = dbk_bus_find(port, url, found, err);
    if (result != DBK_NONE) return result;
    (void)dbk_fail(err, DBK_UNAVAILABLE, "no daemon serves '%s'", url);
    dbk_error_hint(err, "start one with 'daybook serve'");
    return DBK_UNAVAILABLE;
}

/* Whoever answers must serve this very folder: a copy of it has the same ids, and a note of where the
 * original is served. */
static dbk_result check_folder(dbk_client *client, const char *path, dbk_error *err)
{
    static const char hello[] = "{\"do\":\"hello\"}";
    const dbk_port *port = client->port;
    dbk_dir *dir = NULL;
    dbk_text answer = {0};
    char here[DBK_FOLDER_TEXT_SIZE];
    const dbk_json_node *root = NULL;
    dbk_json_parser *parser = dbk_json_parser_new(port);
    dbk_result result = parser ? dbk_io_open_dir(port, NULL, path, DBK_OPEN_READ, &dir, err)
                               : dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    if (result == DBK_OK) result = dbk_folder_text(port, dir, here, err);
    if (result == DBK_OK) result = dbk_client_call(client, hello, sizeof hello - 1, &answer, err);
    if (result == DBK_OK) result = dbk_json_parse(parser, dbk_slice_of(answer.data, answer.size), &root, err);
    if (result == DBK_OK) result = dbk_answer_result(root, err);
    const dbk_json_node *folder = result == DBK_OK ? dbk_json_member(root, "folder") : NULL;
    if (result == DBK_OK && !(folder && dbk_json_text_is(folder, here)))
        result = dbk_fail(err, DBK_UNAVAILABLE, "the daemon at '%s' serves another folder than '%s'", client->commands,
                          path);
    if (dir) port->close_dir(port->ctx, dir);
    dbk_text_free(&answer);
    dbk_json_parser_free(parser);
    return result;
}

static dbk_result open_client(dbk_client *client, const char *url, const char *path, dbk_error *err)
{
    const dbk_port *port = client->port;
    dbk_text nothing = {0};
    client->mutex = port->mutex_new(port->ctx);
    client->wake = port->cond_new(port->ctx);
    if (!client->mutex || !client->wake) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    if (!dbk_bus_changes_of(url, client->changes))
        return dbk_fail(err, DBK_USAGE, "'%s' is no address of the form ipc:///PATH", url);
    (void)snprintf(client->commands, sizeof client->commands, "%s", url);
    dbk_result result = dbk_client_link_open(client, err);
    /* An empty message is answered at once by whatever serves: now it is known that something does. */
    if (result == DBK_OK)
        result = path ? check_folder(client, path, err) : dbk_client_call(client, "", 0, &nothing, err);
    dbk_text_free(&nothing);
    if (result != DBK_OK) dbk_client_link_close(client);
    return result;
}

dbk_result dbk_connect(const char *url, const dbk_options *options, dbk_store **out, dbk_error *err)
{
    const dbk_port *port = dbk_port_system();
    dbk_buffer found;
    bool is_path;
    dbk_buffer_init(&found, port);
    dbk_client *client = dbk_alloc_zero(port, 1, sizeof *client);
    if (!client) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    client->port = port;
    client->user = dbk_platform_user();
    client->strict_timeout = options && options->timeout_ms;
    client->timeout_ms = options && options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    dbk_result result = resolve(port, url, &found, &is_path, err);
    if (result == DBK_OK) result = open_client(client, (const char *)found.data, is_path ? url : NULL, err);
    dbk_buffer_release(&found);
    if (result == DBK_OK && (result = dbk_store_wrap(&client_ops, client, out, err)) != DBK_OK)
        dbk_client_link_close(client);
    if (result != DBK_OK) client_free(client);
    return result;
}
