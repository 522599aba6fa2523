/* The argument of a test program that takes each n-th case only, where each is too many for one run. */
#ifndef DBK_TEST_STEP_H
#define DBK_TEST_STEP_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* 1 without that argument. Anything but a number above 0 ends the program: a step of 0 would never come to an end. */
static inline uint64_t step_argument(int argc, char **argv, int at)
{
    char *end = NULL;

    if (argc <= at) return 1;
    uint64_t step = strtoull(argv[at], &end, 10);
    if (*argv[at] >= '0' && *argv[at] <= '9' && *end == '\0' && step > 0) return step;
    fprintf(stderr, "%s: '%s' is no step: each n-th case is taken, n from 1\n", argv[0], argv[at]);
    exit(2);
}

#endif
