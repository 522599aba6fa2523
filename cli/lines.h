/* Lines of a stream, read ahead by a thread of its own, so that whoever sends them takes what is there and
 * never waits for a full array while a single line is ready. Internal to cli/. */
#ifndef DBK_CLI_LINES_H
#define DBK_CLI_LINES_H

#include "cli/cli.h"

enum { DBK_LINE_MAX_BYTES = 17 * 1024 * 1024 };

typedef struct dbk_line {
    struct dbk_line *next;
    uint64_t number; /* from 1 */
    bool too_long;   /* its text is empty then */
    size_t size;
    uint8_t text[]; /* without the line end */
} dbk_line;

typedef struct dbk_lines { /* mutex and cond are the caller's; the members below them are under the mutex */
    const dbk_port *port;
    FILE *in;
    dbk_mutex *mutex;
    dbk_cond *changed;
    dbk_thread *thread;
    dbk_line *head, *tail;
    size_t count, bytes;
    uint64_t read_bytes;
    bool end;     /* no line comes after those in the list */
    bool stop;    /* nobody wants more */
    int os_errno; /* reading failed */
} dbk_lines;
/* From here on `in` is the thread's, until finish. Another result than DBK_OK: what the system says of a thread. */
dbk_result dbk_lines_start(dbk_lines *lines, const dbk_port *port, FILE *in, dbk_mutex *mutex, dbk_cond *changed,
                           dbk_error *err) DBK_MUST_USE;
/* Under the mutex: takes the first line; free it with dbk_free. NULL: none is there. */
dbk_line *dbk_lines_pop(dbk_lines *lines);
/* Without the mutex. A reader that waits for input is left behind: the process is about to end. */
void dbk_lines_finish(dbk_lines *lines);

#endif
