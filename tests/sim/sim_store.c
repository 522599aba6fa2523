/* sim_store: crash states of a whole store.
 *   sim_store --seeds A..B [--states N]   N states in all, shared by the seeds
 *   sim_store --seed S --until K          one seed up to its state K, and the digest of all answers
 * Prints states and states per second; the first failure says how to see it again. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct arguments {
    uint64_t first, last, states, until;
} arguments;

static double seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s --seeds A..B [--states N] | --seed S [--until K]\n", program);
    return 2;
}

static bool read_arguments(int argc, char **argv, arguments *a)
{
    *a = (arguments){.first = 1, .last = 20, .states = 1000};
    for (int i = 1; i + 1 < argc; i += 2) {
        char *end = argv[i + 1];
        uint64_t value = strtoull(argv[i + 1], &end, 0);
        if (strcmp(argv[i], "--seeds") == 0 && strncmp(end, "..", 2) == 0) {
            a->first = value;
            a->last = strtoull(end + 2, &end, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            a->first = a->last = value;
        } else if (strcmp(argv[i], "--states") == 0) {
            a->states = value;
        } else if (strcmp(argv[i], "--until") == 0) {
            a->until = value;
        } else {
            return false;
        }
        if (*end) return false;
    }
    return argc % 2 == 1 && a->first <= a->last;
}

int main(int argc, char **argv)
{
    static sim_machine machine;
    arguments a;
    if (!read_arguments(argc, argv, &a)) return usage(argv[0]);
    dbk_definition *definition = sim_definition();
    uint64_t seeds = a.last - a.first + 1, trace = 0, seed = a.first;
    double begin = seconds();
    machine.program = argv[0];
    machine.until = a.until;
    /* How long a seed runs must not depend on the others: its states follow from the total alone. */
    uint64_t each = a.until ? a.until : (a.states + seeds - 1) / seeds;
    for (; seed <= a.last; seed++) {
        sim_machine_start(&machine, seed, definition);
        sim_run(&machine, (uint32_t)each);
        machine.earlier += machine.states;
        trace = sim_mix(trace, machine.trace);
        sim_machine_stop(&machine);
    }
    double took = seconds() - begin;
    dbk_definition_free(definition);
    printf("%llu crash states from %llu seeds in %.1f s, %.0f a second, trace %016llx\n",
           (unsigned long long)machine.earlier, (unsigned long long)seeds, took, (double)machine.earlier / took,
           (unsigned long long)trace);
    return 0;
}
