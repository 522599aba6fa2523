/* verify --repair-from: what another folder has of a damaged log, where the log itself proves it. */
#include "cli/verify_parts.h"

typedef struct repair {
    dbk_buffer *out;
    bool json;
    uint64_t mended, refused;
} repair;

static void put_name(repair *r, const char *lead, const char *file)
{
    dbk_buffer_put_text(r->out, lead);
    dbk_json_put_string(r->out, dbk_slice_text(file));
}

static void on_mended(void *arg, const char *file, const char *kept, uint64_t bytes)
{
    repair *r = arg;
    if (r->json) {
        put_name(r, r->mended + r->refused ? ",{\"file\":" : "{\"file\":", file);
        if (kept) put_name(r, ",\"kept\":", kept);
        dbk_buffer_printf(r->out, ",\"mended\":true,\"bytes\":%llu}", (unsigned long long)bytes);
    } else {
        dbk_buffer_printf(r->out, "log/%s: mended, %llu bytes; %s%s\n", file, (unsigned long long)bytes,
                          kept ? "the damaged file is kept as log/" : "it was missing", kept ? kept : "");
    }
    r->mended++;
}

static void on_remade(void *arg, const char *file, uint64_t bytes)
{
    repair *r = arg;
    if (r->json) {
        put_name(r, r->mended + r->refused ? ",{\"file\":" : "{\"file\":", file);
        dbk_buffer_printf(r->out, ",\"remade\":true,\"mended\":true,\"bytes\":%llu}", (unsigned long long)bytes);
    } else {
        dbk_buffer_printf(r->out, "log/%s: mended from its own blocks, %llu bytes; nothing of it was lost\n", file,
                          (unsigned long long)bytes);
    }
    r->mended++;
}

static void on_refused(void *arg, const char *file, const char *why)
{
    repair *r = arg;
    if (r->json) {
        put_name(r, r->mended + r->refused ? ",{\"file\":" : "{\"file\":", file);
        put_name(r, ",\"mended\":false,\"message\":", why);
        dbk_buffer_put_u8(r->out, '}');
    } else {
        dbk_buffer_printf(r->out, "log/%s: not mended, the other folder's does not serve: %s\n", file, why);
    }
    r->refused++;
}

/* A store's folder, or one that holds the segments themselves. */
static dbk_result open_source(const dbk_port *port, const char *from, dbk_dir **out, dbk_error *err)
{
    dbk_dir *dir = NULL;
    dbk_result result = dbk_io_open_dir(port, NULL, from, 0, &dir, err);
    if (result != DBK_OK) return result;
    result = dbk_io_open_dir(port, dir, "log", 0, out, err);
    if (result == DBK_OK) {
        port->close_dir(port->ctx, dir);
        return DBK_OK;
    }
    *out = dir;
    return DBK_OK;
}

static bool is_same(const dbk_port *port, dbk_dir *a, dbk_dir *b)
{
    dbk_identity one, two;
    return port->identify_dir(port->ctx, a, &one) == 0 && port->identify_dir(port->ctx, b, &two) == 0 &&
           one.device == two.device && one.inode == two.inode;
}

dbk_result dbk_verify_repair(const dbk_port *port, dbk_dir *store, const char *from, bool json, dbk_buffer *out,
                             dbk_error *err)
{
    repair r = {.out = out, .json = json};
    dbk_mend_watcher watcher = {&r, on_mended, on_remade, on_refused};
    dbk_log_options options = {0};
    dbk_dir *log = NULL, *source = NULL;
    dbk_lock *lock = NULL;
    uint64_t mended;
    dbk_result result = open_source(port, from, &source, err);
    if (result == DBK_OK) result = dbk_lock_take(port, store, "LOCK", &lock, err);
    if (result == DBK_OK) result = dbk_io_open_dir(port, store, "log", 0, &log, err);
    if (result == DBK_OK && is_same(port, log, source))
        result = dbk_fail(err, DBK_USAGE, "'%s' is this store's own log", from);
    if (result == DBK_OK && !dbk_verify_identity(port, store, &options, NULL, NULL))
        dbk_verify_borrow_id(port, log, &options);
    if (result == DBK_OK) result = dbk_log_mend(port, log, source, &options, &watcher, &mended, err);
    if (log) port->close_dir(port->ctx, log);
    if (source) port->close_dir(port->ctx, source);
    dbk_lock_release(lock);
    return result;
}
