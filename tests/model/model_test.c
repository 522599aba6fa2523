/* model_test --seed N --operations M [--skip LIST] [--shrink] [--show]
 *
 * Runs M operations in worlds of at most WORLD operations each, of the seeds N, N + 1 … A failure prints the world's
 * seed and the operations up to it. --skip leaves operations out ("3,7-9"); --shrink leaves out as many as it can
 * while the failure stays, and prints what is left; --show prints apps and commands too. */
#include "tests/model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORLD = 260 };

typedef struct arguments {
    uint64_t seed, operations;
    const char *skip;
    bool shrink, show;
} arguments;

static bool is_skipped(const char *list, uint32_t number)
{
    for (const char *at = list; *at;) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (*end == '-') last = strtoul(end + 1, &end, 10);
        if (number >= first && number <= last) return true;
        at = *end == ',' ? end + 1 : "";
    }
    return false;
}

static void run_world(m_world *w, uint64_t seed, uint32_t operations, const char *program)
{
    m_world_start(w, seed, program);
    for (w->number = 0; w->number < operations; w->number++)
        if (!is_skipped(w->skip, w->number)) m_operation(w);
    w->number = operations - 1;
    w->random.state = m_mix(seed, 99);
    m_finish(w);
    m_world_stop(w);
}

/* ---- shrinking: each attempt in a process of its own */

static bool still_fails(m_world *w, const arguments *a, const char *program, const bool *left_out)
{
    static char list[16384];
    size_t used = 0;
    list[0] = 0;
    for (uint32_t i = 0; i < a->operations; i++)
        if (left_out[i]) used += (size_t)snprintf(list + used, sizeof list - used, "%s%u", used ? "," : "", i);
    w->skip = list;
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout)) _Exit(3);
        run_world(w, a->seed, (uint32_t)a->operations, program);
        _Exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child) abort();
    return !WIFEXITED(status) || WEXITSTATUS(status) == 1;
}

static void shrink(m_world *w, const arguments *a, const char *program)
{
    bool *left_out = calloc(a->operations, sizeof *left_out), *tried = calloc(a->operations, sizeof *tried);
    if (!left_out || !tried) abort();
    if (!still_fails(w, a, program, left_out)) {
        printf("it does not fail\n");
    } else {
        for (uint64_t size = a->operations / 2; size; size /= 2) {
            for (uint64_t at = 0; at < a->operations; at += size) {
                memcpy(tried, left_out, a->operations * sizeof *tried);
                for (uint64_t i = at; i < at + size && i < a->operations; i++) tried[i] = true;
                if (still_fails(w, a, program, tried)) memcpy(left_out, tried, a->operations * sizeof *tried);
            }
        }
        (void)still_fails(w, a, program, left_out);
        fflush(stdout);
        w->shows = a->show;
        run_world(w, a->seed, (uint32_t)a->operations, program);
    }
    free(left_out);
    free(tried);
}

static bool read_arguments(int argc, char **argv, arguments *a)
{
    *a = (arguments){.seed = 1, .operations = 1000, .skip = ""};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--shrink") == 0) a->shrink = true;
        else if (strcmp(argv[i], "--show") == 0) a->show = true;
        else if (more && strcmp(argv[i], "--seed") == 0) a->seed = strtoull(argv[++i], NULL, 10);
        else if (more && strcmp(argv[i], "--operations") == 0) a->operations = strtoull(argv[++i], NULL, 10);
        else if (more && strcmp(argv[i], "--skip") == 0) a->skip = argv[++i];
        else return false;
    }
    return a->operations > 0;
}

int main(int argc, char **argv)
{
    static m_world world;
    arguments a;
    struct timespec begin, end;
    setenv("TZ", "UTC", 1);
    if (!read_arguments(argc, argv, &a)) {
        fprintf(stderr, "usage: %s --seed N --operations M [--skip LIST] [--shrink] [--show]\n", argv[0]);
        return 2;
    }
    world.skip = a.skip;
    world.shows = a.show && !a.shrink;
    if (a.shrink) {
        shrink(&world, &a, argv[0]);
        return 0;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    uint64_t worlds = 0, losses = 0, over = 0, stopped = 0;
    for (uint64_t left = a.operations; left; worlds++) {
        uint32_t operations = left < WORLD ? (uint32_t)left : WORLD;
        run_world(&world, a.seed + worlds, operations, argv[0]);
        left -= operations;
        losses += world.losses, over += world.over, stopped += world.stopped;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    printf("%llu operations in %llu worlds, %.0f a second\n", (unsigned long long)a.operations,
           (unsigned long long)worlds, (double)a.operations / seconds);
    printf("among them %llu power losses, %llu rows whose time was over, %llu looks at async models that had stopped\n",
           (unsigned long long)losses, (unsigned long long)over, (unsigned long long)stopped);
    return 0;
}
