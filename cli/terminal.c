/* What depends on a terminal: colour, width, the progress bar. */
#include "cli/cli.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_AFTER_MS = 1000, BAR_EVERY_MS = 100, BAR_CELLS_MAX = 30 };

bool dbk_terminal_is(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

bool dbk_terminal_colour(FILE *stream)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return dbk_terminal_is(stream) && (!no || !*no) && term && strcmp(term, "dumb") != 0;
}

/* Of stderr, 80 where unknown. */
static unsigned terminal_width(void)
{
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

static void group_digits(uint64_t value, char out[32])
{
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
}

void dbk_bar_text(char *out, size_t size, unsigned width, const char *label, const char *unit, uint64_t done,
                  uint64_t all, double seconds)
{
    char rate[32], head[96], tail[96];
    double per_second = seconds > 0 ? (double)done / seconds : 0;
    if (per_second > 1e18) per_second = 1e18;
    group_digits((uint64_t)per_second, rate);
    if (all == 0) {
        snprintf(out, size, "%.*s  %s %s/s", (int)sizeof head / 2, label, rate, unit);
    } else {
        double left = per_second > 0 && all > done ? (double)(all - done) / per_second : 0;
        unsigned long rest = left < 359999 ? (unsigned long)(left + 0.5) : 359999;
        int percent = (int)(done >= all ? 100 : 100.0 * (double)done / (double)all);
        int a = snprintf(head, sizeof head, "%.40s %3d %% ", label, percent);
        int b = snprintf(tail, sizeof tail, " %s %.12s/s  %lu:%02lu left", rate, unit, rest / 60, rest % 60);
        int cells = (int)width - a - b - 3;
        if (cells > BAR_CELLS_MAX) cells = BAR_CELLS_MAX;
        if (cells < 4) {
            snprintf(out, size, "%s%s", head, tail);
        } else {
            char bar[BAR_CELLS_MAX + 1];
            for (int i = 0; i < cells; i++) bar[i] = i < cells * percent / 100 ? '#' : ' ';
            bar[cells] = 0;
            snprintf(out, size, "%s[%s]%s", head, bar, tail);
        }
    }
    if (width > 0 && strlen(out) >= width) out[width - 1] = 0;
}

void dbk_bar_begin(dbk_bar *bar, const dbk_port *port, const char *label, const char *unit)
{
    *bar = (dbk_bar){.port = port, .label = label, .unit = unit, .on = dbk_terminal_is(stderr)};
    if (bar->on) bar->started_ns = port->monotonic_ns(port->ctx);
}

void dbk_bar_update(void *arg, uint64_t done, uint64_t all)
{
    dbk_bar *bar = arg;
    if (!bar->on) return;
    int64_t now = bar->port->monotonic_ns(bar->port->ctx), taken = now - bar->started_ns;
    if (taken < BAR_AFTER_MS * 1000000LL || now - bar->drawn_ns < BAR_EVERY_MS * 1000000LL) return;
    char text[256];
    dbk_bar_text(text, sizeof text, terminal_width(), bar->label, bar->unit, done, all, (double)taken / 1e9);
    fprintf(stderr, "\r%s\033[K", text);
    fflush(stderr);
    bar->drawn = true;
    bar->drawn_ns = now;
}

void dbk_bar_end(dbk_bar *bar)
{
    if (!bar->drawn) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar->drawn = false;
}
