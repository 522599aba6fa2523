/* A thread reads lines ahead, up to AHEAD_LINES and AHEAD_BYTES; the list is handed over under the caller's mutex. */
#include "cli/lines.h"

#include <errno.h>

enum { AHEAD_LINES = 4096, AHEAD_BYTES = 32 * 1024 * 1024 };

/* false: the stream ended before a byte. */
static bool read_line(FILE *in, dbk_buffer *text, bool *too_long, uint64_t *bytes)
{
    int c = getc_unlocked(in);
    *too_long = false;
    *bytes = 0;
    dbk_buffer_clear(text);
    if (c == EOF) return false;
    for (; c != EOF && c != '\n'; c = getc_unlocked(in)) {
        ++*bytes;
        if (text->size < DBK_LINE_MAX_BYTES) dbk_buffer_put_u8(text, (uint8_t)c);
        else *too_long = true;
    }
    *bytes += c == '\n';
    if (*too_long) dbk_buffer_clear(text);
    return true;
}

/* false: nobody wants more. */
static bool push(dbk_lines *lines, dbk_line *line, uint64_t bytes)
{
    const dbk_port *port = lines->port;
    port->mutex_lock(port->ctx, lines->mutex);
    while (!lines->stop && lines->count > 0 && (lines->count >= AHEAD_LINES || lines->bytes >= AHEAD_BYTES))
        (void)port->cond_wait(port->ctx, lines->changed, lines->mutex, -1);
    bool wanted = !lines->stop;
    if (wanted) {
        if (lines->tail) lines->tail->next = line;
        else lines->head = line;
        lines->tail = line;
        lines->count++;
        lines->bytes += line->size;
        lines->read_bytes += bytes;
        port->cond_broadcast(port->ctx, lines->changed);
    }
    port->mutex_unlock(port->ctx, lines->mutex);
    return wanted;
}

static void read_all(void *arg)
{
    dbk_lines *lines = arg;
    const dbk_port *port = lines->port;
    dbk_buffer text;
    bool too_long;
    uint64_t bytes;
    int failure = 0;
    dbk_buffer_init(&text, port);
    for (uint64_t number = 1; read_line(lines->in, &text, &too_long, &bytes); number++) {
        dbk_line *line = text.failed ? NULL : dbk_alloc(port, sizeof *line + text.size);
        if (!line) {
            failure = ENOMEM;
            break;
        }
        *line = (dbk_line){.number = number, .too_long = too_long, .size = text.size};
        if (text.size) memcpy(line->text, text.data, text.size);
        if (push(lines, line, bytes)) continue;
        dbk_free(port, line);
        break;
    }
    if (!failure && ferror(lines->in)) failure = errno ? errno : EIO;
    dbk_buffer_release(&text);
    port->mutex_lock(port->ctx, lines->mutex);
    lines->os_errno = failure;
    lines->end = true;
    port->cond_broadcast(port->ctx, lines->changed);
    port->mutex_unlock(port->ctx, lines->mutex);
}

dbk_result dbk_lines_start(dbk_lines *lines, const dbk_port *port, FILE *in, dbk_mutex *mutex, dbk_cond *changed,
                           dbk_error *err)
{
    *lines = (dbk_lines){.port = port, .in = in, .mutex = mutex, .changed = changed};
    int rc = port->thread_start(port->ctx, "dbk-lines", read_all, lines, &lines->thread);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start a thread");
}

dbk_line *dbk_lines_pop(dbk_lines *lines)
{
    dbk_line *line = lines->head;
    if (!line) return NULL;
    lines->head = line->next;
    if (!lines->head) lines->tail = NULL;
    lines->count--;
    lines->bytes -= line->size;
    lines->port->cond_broadcast(lines->port->ctx, lines->changed);
    return line;
}

void dbk_lines_finish(dbk_lines *lines)
{
    const dbk_port *port = lines->port;
    port->mutex_lock(port->ctx, lines->mutex);
    bool ended = lines->end;
    lines->stop = true;
    for (dbk_line *line; (line = dbk_lines_pop(lines));) dbk_free(port, line);
    port->cond_broadcast(port->ctx, lines->changed);
    port->mutex_unlock(port->ctx, lines->mutex);
    if (ended) port->thread_join(port->ctx, lines->thread);
}
