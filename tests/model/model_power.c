/* Power losses: somewhere within a call of one store the power goes. All stores stand on the same disk; of the others
 * nothing is lost, of this one what it had not promised, whole entries from the end. */
#include "tests/model/model.h"

#include <stdlib.h>

enum { CALLS = 60 };

void m_power_arm(m_world *w, m_store *store)
{
    store->held = store->acknowledged = dbk_log_position(dbk_engine_log(store->engine));
    if (store->powers) dbk_simdisk_power_off_at(w->disk, 1 + m_below(&w->random, CALLS));
}

static void come_back(m_world *w, m_store *store, bool hit)
{
    uint64_t highest = store->oracle->position;
    m_open(w, store);
    m_forget_memory(store);
    uint64_t position = dbk_log_position(dbk_engine_log(store->engine)), least = hit ? store->acknowledged : highest;
    if (position < least || position > highest)
        m_fail(w, "after a power loss the log of %s ends at %llu, not between %llu and %llu", store->timeline,
               (unsigned long long)position, (unsigned long long)least, (unsigned long long)highest);
    if (position == highest) return;
    o_forget_after(store->oracle, position);
    for (uint64_t i = position + 1; i <= O_ENTRIES; i++) store->known[i] = false;
}

void m_power_gone(m_world *w, m_store *store)
{
    static const dbk_simdisk_crash_mode modes[] = {DBK_SIM_RANDOM_MIX, DBK_SIM_RANDOM_MIX, DBK_SIM_ALL_OLD,
                                                   DBK_SIM_ALL_NEW,    DBK_SIM_ALL_ZERO,   DBK_SIM_ALL_GARBAGE};
    bool off = dbk_simdisk_power_is_off(w->disk);
    dbk_simdisk_power_off_at(w->disk, 0);
    if (!off) return;
    for (int i = 0; i < w->store_count; i++) m_close(w, &w->stores[i]);
    dbk_simdisk_crash(w->disk, modes[m_below(&w->random, 6)], m_mix(w->seed, w->number));
    w->losses++;
    for (int i = 0; i < w->store_count; i++) come_back(w, &w->stores[i], &w->stores[i] == store);
    store->died = true;
}
