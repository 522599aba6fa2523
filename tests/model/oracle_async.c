/* Async models: a fold of all entries, applied or not, by projections alone; of those with one command id the first
 * counts. The model is the fold of the positions below the entry that it fails on (docs/decisions/0021). */
#include "tests/model/oracle.h"

#include <stdlib.h>

static bool take(o_state *state, const o_entry *entry)
{
    state->time_ms = entry->time_ms;
    for (int i = 0; i < entry->event_count; i++)
        if (entry->events[i].type && o_run_projections(state, &entry->events[i]) != O_DONE) return false;
    return true;
}

static bool is_again(const o_wanted *all, size_t at)
{
    const o_entry *entry = all[at].entry;
    for (size_t i = 0; i < at && *entry->command_id && entry->event_count; i++)
        if (all[i].entry->command_id == entry->command_id && all[i].entry->event_count) return true;
    return false;
}

/* The position of the entry that it fails on; 0: none. */
static uint64_t fold(o_state *state, const o_replica *replica, uint64_t upto)
{
    static o_wanted all[O_ENTRIES];
    size_t count = o_wanted_of(replica, &(o_moment){.by_position = true, .position = upto}, all);
    o_state_init(state, replica->definition->async);
    for (size_t i = 0; i < count; i++) {
        o_core savepoint;
        o_begin_entry(state, &savepoint);
        if (!is_again(all, i) && !take(state, all[i].entry)) return all[i].position;
    }
    return 0;
}

o_state *o_async_state(const o_replica *replica)
{
    o_state *state = malloc(sizeof *state);
    if (!state) o_die("out of memory");
    for (uint64_t upto = replica->position, failed; (failed = fold(state, replica, upto)); upto = failed - 1) {
    }
    return state;
}
