/* For programs whose every step follows from a seed: numbers drawn, arguments, and the one command that
 * shows a failure again.
 *   PROGRAM --seeds A..B [--each N]   each seed up to N steps
 *   PROGRAM --seed S --until K        one seed up to its step K */
#ifndef DBK_TEST_LOG_SEEDED_H
#define DBK_TEST_LOG_SEEDED_H

#include <signal.h>
#include <unistd.h>

#include "log_fixture.h"

typedef struct seeded {
    const char *program;
    uint64_t first, last, each; /* seeds; steps of each */
    uint64_t seed, step;        /* now */
    uint64_t state;             /* of the numbers */
    uint64_t trace;             /* digest of all that was seen */
    bool done;
} seeded;

static seeded run_now;

/* SplitMix64. */
static inline uint64_t draw(seeded *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static inline uint64_t below(seeded *s, uint64_t limit)
{
    return draw(s) % limit;
}
static inline bool chance(seeded *s, uint64_t one_in)
{
    return below(s, one_in) == 0;
}
static inline void seeded_begin(seeded *s, uint64_t seed)
{
    s->seed = seed;
    s->step = 0;
    s->state = seed * 0x632be59bd9b4e019u + 1;
}
static inline void seeded_note(seeded *s, uint64_t what)
{
    s->trace = (s->trace ^ what) * 0x9e3779b97f4a7c15u;
    s->trace ^= s->trace >> 29;
}

static inline void say_again(void)
{
    char text[256];

    if (run_now.done) return;
    run_now.done = true;
    int size = snprintf(text, sizeof(text), "again: %s --seed %llu --until %llu\n", run_now.program,
                        (unsigned long long)run_now.seed, (unsigned long long)run_now.step + 1);
    if (write(STDOUT_FILENO, text, (size_t)size) != size) _exit(3);
}
static inline void on_abort(int number)
{
    (void)number;
    say_again();
    _exit(3);
}

/* What broke; ends the program. */
#define broke(...)                                                                                                     \
    do {                                                                                                               \
        printf("seed %llu step %llu: ", (unsigned long long)run_now.seed, (unsigned long long)run_now.step);           \
        printf(__VA_ARGS__);                                                                                           \
        printf("\n");                                                                                                  \
        fflush(stdout);                                                                                                \
        exit(1);                                                                                                       \
    } while (0)
#define holds(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) broke("line %d: %s", __LINE__, #condition);                                                  \
    } while (0)

static inline bool seeded_arguments(seeded *s, int argc, char **argv, uint64_t last, uint64_t each)
{
    *s = (seeded){.program = argv[0], .first = 1, .last = last, .each = each};
    for (int i = 1; i + 1 < argc; i += 2) {
        char *end;
        uint64_t value = strtoull(argv[i + 1], &end, 0);
        if (strcmp(argv[i], "--seeds") == 0 && strncmp(end, "..", 2) == 0) {
            s->first = value;
            s->last = strtoull(end + 2, &end, 0);
        } else if (strcmp(argv[i], "--seed") == 0) {
            s->first = s->last = value;
        } else if (strcmp(argv[i], "--each") == 0 || strcmp(argv[i], "--until") == 0) {
            s->each = value;
        } else {
            return false;
        }
        if (*end) return false;
    }
    if (argc % 2 == 0 || s->first > s->last) return false;
    (void)signal(SIGABRT, on_abort);
    return atexit(say_again) == 0;
}

#endif
