/* SplitMix64: small, and the same everywhere. */
#include "tests/sim/sim.h"

uint64_t sim_mix(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u + b + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_draw(sim_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    return sim_mix(random->state, 0);
}

uint32_t sim_below(sim_random *random, uint32_t limit)
{
    return (uint32_t)(sim_draw(random) % limit);
}

bool sim_chance(sim_random *random, uint32_t one_in)
{
    return sim_below(random, one_in) == 0;
}
