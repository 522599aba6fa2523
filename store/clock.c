/* The hybrid logical clock (semantics.md §5). */
#include "store/turn.h"

int64_t dbk_engine_now(const dbk_engine *engine)
{
    return engine->port->wall_ms(engine->port->ctx);
}

/* 48 bits of milliseconds, 16 of a counter: beyond either end a later entry would sort below the ones before. */
dbk_result dbk_clock_next(const dbk_engine *engine, int64_t now_ms, uint32_t *epoch, uint64_t *hlc, dbk_error *err)
{
    static const int64_t END_MS = INT64_C(1) << 48;
    if (now_ms >= END_MS) {
        (void)dbk_fail(err, DBK_UNAVAILABLE,
                       "the clock of this machine is beyond the year 10889, which no entry can bear");
        dbk_error_hint(err, "set the clock");
        return DBK_UNAVAILABLE;
    }
    if (engine->hlc == UINT64_MAX) {
        (void)dbk_fail(err, DBK_CORRUPT, "the log has an entry with the last clock there is: nothing sorts behind it");
        dbk_error_hint(err, "its writer's clock was broken: go back to a backup of before it");
        return DBK_CORRUPT;
    }
    uint64_t wall = now_ms > 0 ? (uint64_t)now_ms << 16 : 0;
    *epoch = engine->epoch;
    *hlc = wall > engine->hlc ? wall : engine->hlc + 1;
    return DBK_OK;
}
