/* Queries that took long: the last few, with what they were and how they ended. Texts are kept, arguments not. */
#include "store/request.h"

enum { SLOW_MS = 50, NS_PER_MS = 1000000, KEPT = 16 };

void dbk_slow_note(dbk_engine *engine, dbk_slice sql, dbk_slice name, int64_t took_ns, dbk_result result)
{
    const dbk_port *port = engine->port;
    dbk_slice text = name.size ? name : sql;
    int64_t took_ms = took_ns / NS_PER_MS;
    if (took_ms < SLOW_MS) return;
    port->mutex_lock(port->ctx, engine->readers_lock);
    size_t at = engine->slow.count++ % KEPT, size = text.size;
    if (size >= sizeof engine->slow.last[at].text) size = sizeof engine->slow.last[at].text - 1;
    while (size > 0 && !dbk_utf8_valid(dbk_slice_of(text.data, size))) size--;
    if (size) memcpy(engine->slow.last[at].text, text.data, size);
    engine->slow.last[at].text[size] = 0;
    engine->slow.last[at].named = name.size > 0;
    engine->slow.last[at].took_ms = took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX;
    engine->slow.last[at].result = result;
    engine->slow.last[at].at_ms = port->wall_ms(port->ctx);
    port->mutex_unlock(port->ctx, engine->readers_lock);
}

/* The newest first. */
void dbk_slow_put(dbk_engine *engine, dbk_buffer *out)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->readers_lock);
    dbk_buffer_printf(out, ",\"slow_queries\":{\"over_ms\":%d,\"count\":%llu,\"last\":[", SLOW_MS,
                      (unsigned long long)engine->slow.count);
    for (uint64_t i = 0; i < engine->slow.count && i < KEPT; i++) {
        size_t at = (engine->slow.count - 1 - i) % KEPT;
        char time[DBK_TIME_TEXT_SIZE];
        dbk_time_rfc3339(engine->slow.last[at].at_ms, time);
        dbk_buffer_printf(out, "%s{\"%s\":", i ? "," : "", engine->slow.last[at].named ? "name" : "sql");
        dbk_json_put_string(out, dbk_slice_text(engine->slow.last[at].text));
        dbk_buffer_printf(out, ",\"ms\":%u,\"at\":\"%s\",\"ended\":\"%s\"}", engine->slow.last[at].took_ms, time,
                          dbk_result_wire_name(engine->slow.last[at].result));
    }
    dbk_buffer_put_text(out, "]}");
    port->mutex_unlock(port->ctx, engine->readers_lock);
}
