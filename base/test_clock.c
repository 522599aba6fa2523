/* The wall clock of debug builds: DAYBOOK_CLOCK moves it, so that rules of time can be tried.
 *
 *   2027-01-31T12:00:00Z   begins there when it is first looked at, and runs
 *   +40d, -90m             so much later or earlier than it is
 *   @FILE                  the file's text is one of these, read at every look; a time in it stands still */
#include "base/test_clock.h"

#ifndef NDEBUG

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static _Atomic int64_t started_ms; /* the real time of the first look at a time that runs; 0: none yet */

static int64_t unit_ms(char unit)
{
    switch (unit) {
    case 'd': return 86400000;
    case 'h': return 3600000;
    case 'm': return 60000;
    case 's': return 1000;
    default: return 0;
    }
}

static int64_t shifted(const char *text, int64_t real_ms)
{
    char *end = NULL;
    long long count = strtoll(text, &end, 10);
    int64_t unit = unit_ms(*end);

    if (end == text || unit == 0 || end[1] || count > 1000000 || count < -1000000) return real_ms;
    return real_ms + count * unit;
}

static bool read_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");

    if (!file) return false;
    bool got = fgets(out, (int)size, file) != NULL;
    (void)fclose(file);
    if (got) out[strcspn(out, "\r\n")] = '\0';
    return got;
}

int64_t dbk_test_clock(int64_t real_ms)
{
    const char *text = getenv("DAYBOOK_CLOCK");
    int64_t time_ms, none = 0;
    char line[64];
    bool stands = text && text[0] == '@';

    if (stands) text = read_text(text + 1, line, sizeof(line)) ? line : NULL;
    if (!text || !text[0]) return real_ms;
    if (text[0] == '+' || text[0] == '-') return shifted(text, real_ms);
    if (!dbk_time_parse(dbk_slice_text(text), &time_ms)) return real_ms;
    if (stands) return time_ms;
    (void)atomic_compare_exchange_strong(&started_ms, &none, real_ms);
    return time_ms + (real_ms - atomic_load(&started_ms));
}

#endif
