/* The hybrid logical clock (semantics.md §5). */
#include "store/turn.h"

int64_t dbk_engine_now(const dbk_engine *engine)
{
    return engine->port->wall_ms(engine->port->ctx);
}

void dbk_clock_next(dbk_engine *engine, int64_t now_ms, uint32_t *epoch, uint64_t *hlc)
{
    uint64_t wall = now_ms > 0 ? (uint64_t)now_ms << 16 : 0;
    *epoch = engine->epoch;
    *hlc = wall > engine->hlc ? wall : engine->hlc + 1;
}
