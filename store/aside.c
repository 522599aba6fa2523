/* Names that stand in the way of a cache. */
#include "store/aside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ASIDE_TRIES = 1000, ASIDE_NAME_SIZE = 192, TOLD_SIZE = 640 };

static const char mark[] = ".aside-";

bool dbk_aside_is(const char *name)
{
    const char *at = strstr(name, mark), *number = at ? at + sizeof mark - 1 : "";
    return at && at > name && number[0] && strspn(number, "0123456789") == strlen(number);
}

bool dbk_aside_is_kind(const dbk_port *port, dbk_dir *dir, const char *name, int kind)
{
    dbk_identity found;
    return port->identify(port->ctx, dir, name, &found) == 0 && (int)found.kind == kind;
}

/* A name may be any bytes, what is told of it is JSON. */
static void put_name(dbk_buffer *out, const char *name)
{
    uint8_t text[DBK_UTF8_READABLE * TOLD_SIZE];
    dbk_slice known = dbk_slice_of(name, strnlen(name, TOLD_SIZE));
    dbk_json_put_string(out, dbk_slice_of(text, dbk_utf8_readable(known, text)));
}

/* Best effort: the new name tells it too. */
static void tell(const dbk_port *port, dbk_dir *notes, const char *below, const char *name, const char *aside)
{
    dbk_buffer line;
    if (!notes) return;
    dbk_buffer_init(&line, port);
    dbk_buffer_printf(&line, "{\"time_ms\":%lld,\"case\":\"aside\",\"folder\":", (long long)port->wall_ms(port->ctx));
    put_name(&line, below);
    dbk_buffer_put_text(&line, ",\"name\":");
    put_name(&line, name);
    dbk_buffer_put_text(&line, ",\"aside\":");
    put_name(&line, aside);
    dbk_buffer_put_u8(&line, '}');
    if (!line.failed) (void)!dbk_log_note(port, notes, dbk_buffer_slice(&line), NULL);
    dbk_buffer_release(&line);
}

/* A rename would replace what has the name already. */
static bool find_free(const dbk_port *port, dbk_dir *dir, const char *name, char aside[ASIDE_NAME_SIZE])
{
    dbk_identity found;
    for (int i = 1; i <= ASIDE_TRIES; i++) {
        (void)snprintf(aside, ASIDE_NAME_SIZE, "%.160s%s%d", name, mark, i);
        if (port->identify(port->ctx, dir, aside, &found) == -ENOENT) return true;
    }
    return false;
}

dbk_result dbk_aside_put(const dbk_port *port, dbk_dir *dir, const char *below, const char *name, int kind,
                         dbk_dir *notes, dbk_error *err)
{
    dbk_identity found;
    char aside[ASIDE_NAME_SIZE];
    const char *folder = below[0] ? below : ".";
    int rc = port->identify(port->ctx, dir, name, &found);
    if (rc == -ENOENT || (rc == 0 && (int)found.kind == kind)) return DBK_OK;
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot look at '%s/%s'", folder, name);
    if (!find_free(port, dir, name, aside))
        return dbk_fail(err, DBK_EXISTS, "'%s/%s' is in the way, and %d of its kind were put aside already", folder,
                        name, (int)ASIDE_TRIES);
    rc = port->rename(port->ctx, dir, name, dir, aside);
    if (rc != 0)
        return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "'%s/%s' is in the way, and cannot be renamed", folder,
                           name);
    tell(port, notes, below, name, aside);
    return dbk_io_sync_dir(port, dir, folder, err);
}

/* ---- what was put aside */

typedef struct dbk_asides {
    const dbk_port *port;
    dbk_dir *dir;
    const char *below;
    dbk_aside_fn each;
    void *arg;
    bool deeper; /* into models/, and there into those of async models */
} dbk_asides;

static int look_at(void *arg, const char *name);

static void look_into(const dbk_asides *asides, const char *name, bool deeper)
{
    char below[320];
    dbk_asides inner = *asides;
    (void)snprintf(below, sizeof below, "%.60s%s%.250s", asides->below, asides->below[0] ? "/" : "", name);
    inner.below = below;
    inner.deeper = deeper;
    if (dbk_io_open_dir(asides->port, asides->dir, name, 0, &inner.dir, NULL) != DBK_OK) return;
    (void)asides->port->list(asides->port->ctx, inner.dir, look_at, &inner);
    asides->port->close_dir(asides->port->ctx, inner.dir);
}

static int look_at(void *arg, const char *name)
{
    const dbk_asides *asides = arg;
    char path[TOLD_SIZE], text[DBK_UTF8_READABLE * TOLD_SIZE];
    (void)snprintf(path, sizeof path, "%s%s%s", asides->below, asides->below[0] ? "/" : "", name);
    text[dbk_utf8_readable(dbk_slice_text(path), (uint8_t *)text)] = 0;
    if (dbk_aside_is(name)) asides->each(asides->arg, text);
    else if (!asides->below[0] && strcmp(name, "models") == 0) look_into(asides, name, true);
    else if (asides->deeper && strncmp(name, "async-", 6) == 0) look_into(asides, name, false);
    return 0;
}

void dbk_aside_each(const dbk_port *port, dbk_dir *store, dbk_aside_fn each, void *arg)
{
    dbk_asides asides = {.port = port, .dir = store, .below = "", .each = each, .arg = arg};
    (void)port->list(port->ctx, store, look_at, &asides);
}
