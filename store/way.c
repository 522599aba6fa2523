/* Between the slices of an import commands are decided. The port's mutexes promise no order: a thread that unlocks the
 * turn and locks it at once mostly has it again. So it waits until one that wanted the turn has it, and then for the
 * turn itself. */
#include "store/engine.h"

static const int64_t WAY_NS = 1000000000; /* whoever takes longer to wake is not waited for */

void dbk_engine_take_turn(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    atomic_fetch_add(&engine->wanting, 1);
    port->mutex_lock(port->ctx, engine->turn);
    atomic_fetch_sub(&engine->wanting, 1);
    if (!atomic_load(&engine->importing)) return;
    port->mutex_lock(port->ctx, engine->way_lock);
    port->cond_signal(port->ctx, engine->way);
    port->mutex_unlock(port->ctx, engine->way_lock);
}

void dbk_engine_end_turn(dbk_engine *engine)
{
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
}

/* Whoever stops wanting signals under the lock, so that it is seen here, or waited for. */
void dbk_engine_let_others(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    if (atomic_load(&engine->wanting) == 0) return;
    port->mutex_lock(port->ctx, engine->way_lock);
    if (atomic_load(&engine->wanting) > 0) (void)port->cond_wait(port->ctx, engine->way, engine->way_lock, WAY_NS);
    port->mutex_unlock(port->ctx, engine->way_lock);
}
