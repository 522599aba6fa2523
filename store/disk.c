/* Room on the disk. Commands are refused with `no_space` while some is left, so that what is under way, the
 * model's checkpoint and the other programs of the machine can still finish. What the disk refuses in
 * spite of that is rolled back (R15).
 *
 * The file "reserve" holds room for a store that meets a full disk: it is removed when opening or closing
 * finds none, and made again as soon as there is enough. It is never read, so it need not be durable. */
#include "store/disk.h"

#include <stdio.h>

static const uint64_t MIB = 1024 * 1024;
static const int64_t LOOK_NS = 1000000000;
enum { BLOCK_BYTES = 4096, MIN_PERCENT = 2, ALERT_PERCENT = 5, RESERVE_PERCENT = 1 };

static uint64_t level(uint64_t given, uint64_t most, unsigned percent, uint64_t total)
{
    uint64_t share = total / 100 * percent;
    if (given) return given;
    return share < most ? share : most;
}

void dbk_disk_levels(const dbk_disk_limits *limits, uint64_t total_bytes, uint64_t *min_free, uint64_t *alert_free)
{
    *min_free = level(limits ? limits->min_free_bytes : 0, 64 * MIB, MIN_PERCENT, total_bytes);
    *alert_free = level(limits ? limits->alert_free_bytes : 0, 256 * MIB, ALERT_PERCENT, total_bytes);
    if (*alert_free < *min_free) *alert_free = *min_free;
}

/* What the host says, else what the app says. */
static dbk_disk_limits limits_of(const dbk_engine *engine)
{
    dbk_disk_limits limits = engine->options.disk;
    const dbk_disk_rule *rule = &engine->definition->app->disk;
    if (!limits.min_free_bytes) limits.min_free_bytes = rule->min_free_bytes;
    if (!limits.alert_free_bytes) limits.alert_free_bytes = rule->alert_free_bytes;
    return limits;
}

static uint64_t reserve_size(const dbk_engine *engine)
{
    uint64_t size = level(engine->options.disk.reserve_bytes, 8 * MIB, RESERVE_PERCENT, engine->disk.total_bytes);
    return size / BLOCK_BYTES * BLOCK_BYTES;
}

/* ---- the reserve */

bool dbk_disk_free_reserve(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    if (engine->options.disk.off || engine->options.read_only || !engine->lock) return false;
    engine->disk.has_reserve = false;
    return port->unlink(port->ctx, engine->dir, "reserve") == 0;
}

/* Best effort: without it a full disk costs the commands earlier, never what was acknowledged. */
void dbk_disk_take_reserve(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    dbk_identity found;
    dbk_file *file = NULL;
    uint64_t size = reserve_size(engine);
    if (engine->options.disk.off || engine->disk.has_reserve || size == 0) return;
    if (port->identify(port->ctx, engine->dir, "reserve", &found) == 0) {
        engine->disk.has_reserve = found.size_bytes >= size;
        if (engine->disk.has_reserve) return;
        (void)port->unlink(port->ctx, engine->dir, "reserve");
    }
    if (dbk_io_open(port, engine->dir, "reserve", DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &file, NULL) !=
        DBK_OK)
        return;
    engine->disk.has_reserve = port->allocate(port->ctx, file, 0, size) == 0;
    port->close_file(port->ctx, file);
    if (!engine->disk.has_reserve) (void)port->unlink(port->ctx, engine->dir, "reserve");
}

/* ---- the guard */

static bool is_due(const dbk_engine *engine, int64_t now_ns)
{
    const dbk_disk *disk = &engine->disk;
    uint64_t written = engine->counts.bytes - disk->counted_bytes;
    return !disk->known || disk->full || written >= disk->budget_bytes || now_ns - disk->looked_ns >= LOOK_NS;
}

void dbk_disk_look(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    dbk_disk *disk = &engine->disk;
    uint64_t min_free, alert_free;
    dbk_space space;
    if (engine->options.disk.off) return;
    int64_t now_ns = port->monotonic_ns(port->ctx);
    if (!is_due(engine, now_ns)) return;
    disk->looked_ns = now_ns;
    disk->counted_bytes = engine->counts.bytes;
    if (port->space(port->ctx, engine->dir, &space) != 0) return; /* the write itself will tell */
    dbk_disk_limits limits = limits_of(engine);
    dbk_disk_levels(&limits, space.total_bytes, &min_free, &alert_free);
    disk->known = true;
    disk->free_bytes = space.free_bytes;
    disk->total_bytes = space.total_bytes;
    disk->min_free_bytes = min_free;
    disk->alert_free_bytes = alert_free;
    disk->full = space.free_bytes < min_free;
    disk->low = space.free_bytes < alert_free;
    disk->budget_bytes = disk->full ? 0 : (space.free_bytes - min_free) / 4;
    bool writes = engine->lock && !engine->reading;
    if (writes && !disk->has_reserve && space.free_bytes >= alert_free + reserve_size(engine))
        dbk_disk_take_reserve(engine);
}

/* "12.3 MiB" */
static void put_size(char out[24], uint64_t bytes)
{
    if (bytes >= MIB)
        snprintf(out, 24, "%llu.%llu MiB", (unsigned long long)(bytes / MIB),
                 (unsigned long long)(bytes % MIB * 10 / MIB));
    else snprintf(out, 24, "%llu KiB", (unsigned long long)(bytes / 1024));
}

void dbk_disk_hint(const dbk_engine *engine, dbk_error *err)
{
    char free[24], needed[24];
    if (!err || err->code != DBK_NO_SPACE || err->hint[0]) return;
    put_size(free, engine->disk.free_bytes);
    put_size(needed, engine->disk.min_free_bytes);
    if (engine->disk.known)
        dbk_error_hint(err, "make room: %s were free when last looked, %s are needed; then send it again", free,
                       needed);
    else dbk_error_hint(err, "make room on the disk, then send it again");
}

dbk_result dbk_disk_refuse(dbk_engine *engine, dbk_error *err)
{
    char free[24];
    put_size(free, engine->disk.free_bytes);
    engine->disk.refused++;
    dbk_fail(err, DBK_NO_SPACE, "%s are left on the disk of '%s': too little to store a command", free, engine->path);
    dbk_disk_hint(engine, err);
    return DBK_NO_SPACE;
}

dbk_result dbk_engine_may_write(dbk_engine *engine, dbk_error *err)
{
    if (engine->options.read_only) return dbk_fail(err, DBK_READ_ONLY, "the store was opened for reading only");
    return engine->reading ? dbk_disk_refuse(engine, err) : DBK_OK;
}

void dbk_disk_put(const dbk_engine *engine, dbk_buffer *out)
{
    const dbk_disk *disk = &engine->disk;
    const char *state = engine->reading && !engine->options.read_only ? "full"
                        : disk->full                                  ? "full"
                        : disk->low                                   ? "low"
                                                                      : "ok";
    dbk_buffer_printf(out, ",\"disk\":{\"state\":\"%s\"", disk->known ? state : "unknown");
    dbk_buffer_printf(out, ",\"free_bytes\":%llu,\"total_bytes\":%llu", (unsigned long long)disk->free_bytes,
                      (unsigned long long)disk->total_bytes);
    dbk_buffer_printf(out, ",\"min_free_bytes\":%llu,\"alert_free_bytes\":%llu",
                      (unsigned long long)disk->min_free_bytes, (unsigned long long)disk->alert_free_bytes);
    dbk_buffer_printf(out, ",\"reserve_bytes\":%llu,\"refused\":%llu}",
                      (unsigned long long)(disk->has_reserve ? reserve_size(engine) : 0),
                      (unsigned long long)disk->refused);
}
