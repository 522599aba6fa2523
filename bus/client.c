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

static const dbk_store_ops client_ops = {client_close, dbk_client_send, dbk_client_call, dbk_client_subscribe, dbk_client_unsubscribe};

/* The commands url of what the caller named. */
static dbk_result resolve(const dbk_port *port, const char *url, dbk_buffer *found, dbk_error *err)
{
    if (strncmp(url, "ipc:", 4) == 0) {
        dbk_buffer_put_text(found, url);
        return dbk_buffer_text(found) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    }
    dbk_result result = dbk_bus_find(port, url, found, err);
    if (result != DBK_NONE) return result;
    (void)dbk_fail(err, DBK_UNAVAILABLE, "no daemon serves '%s'", url);
    dbk_error_hint(err, "start one with 'daybook serve'");
    return DBK_UNAVAILABLE;
}

static dbk_result open_client(dbk_client *client, const char *url, dbk_error *err)
{
    const dbk_port *port = client->port;
    dbk_text nothing = {0};
    client->mutex = port->mutex_new(port->ctx);
    client->wake = port->cond_new(port->ctx);
    if (!client->mutex || !client->wake) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    if (!dbk_bus_changes_of(url, client->changes)) return dbk_fail(err, DBK_USAGE, "'%s' is no address of the form ipc:///PATH", url);
    (void)snprintf(client->commands, sizeof client->commands, "%s", url);
    dbk_result result = dbk_client_link_open(client, err);
    /* An empty message is answered at once by whatever serves: now it is known that something does. */
    if (result == DBK_OK) result = dbk_client_call(client, "", 0, &nothing, err);
    dbk_text_free(&nothing);
    if (result != DBK_OK) dbk_client_link_close(client);
    return result;
}

dbk_result dbk_connect(const char *url, const dbk_options *options, dbk_store **out, dbk_error *err)
{
    const dbk_port *port = dbk_port_system();
    dbk_buffer found;
    dbk_buffer_init(&found, port);
    dbk_client *client = dbk_alloc_zero(port, 1, sizeof *client);
    if (!client) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    client->port = port;
    client->user = dbk_platform_user();
    client->timeout_ms = options && options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    dbk_result result = resolve(port, url, &found, err);
    if (result == DBK_OK) result = open_client(client, (const char *)found.data, err);
    dbk_buffer_release(&found);
    if (result == DBK_OK && (result = dbk_store_wrap(&client_ops, client, out, err)) != DBK_OK) dbk_client_link_close(client);
    if (result != DBK_OK) client_free(client);
    return result;
}
