/* Segments judged ahead by other threads. Each start record holds the range over all entries before it,
 * so a segment can be judged alone, as if all before it were sound. The verifier then goes through the
 * segments in order, and takes a finding over where the segment was without any fault and goes on exactly
 * from what is before it. Every other segment it judges itself: what is told, and its order, is the same
 * with any number of threads. The cost is that of one damaged segment read twice. */
#include "log/verify.h"

enum { THREADS_MAX = 4, PARTS = 2 * THREADS_MAX };

typedef struct part {
    uint64_t number; /* 0: nothing was found yet */
    bool sound;
    dbk_verifier verifier;
    dbk_log_report report;
    dbk_log_state state;
    dbk_verify_begun begun;
} part;

typedef struct ahead {
    dbk_verifier *v; /* of the asking thread; the others read what does not change while they run */
    dbk_mutex *mutex;
    dbk_cond *room, *found;
    dbk_thread *threads[THREADS_MAX];
    uint64_t next;  /* mutex, as the next two: the segment to be judged by who comes first */
    uint64_t taken; /* the last one that was taken over */
    bool stop;
    part parts[PARTS]; /* [number % PARTS] */
} ahead;

static void lock(const ahead *a)
{
    a->v->port->mutex_lock(a->v->port->ctx, a->mutex);
}
static void unlock(const ahead *a)
{
    a->v->port->mutex_unlock(a->v->port->ctx, a->mutex);
}

static void judge(const ahead *a, part *p, uint64_t number)
{
    dbk_verifier *own = &p->verifier;

    memset(&p->report, 0, sizeof(p->report));
    p->begun.known = false;
    *own = *a->v;
    own->watcher = NULL;
    own->report = &p->report;
    own->state = &p->state;
    own->begun = &p->begun;
    own->expect = (dbk_expect){own->firsts[number - 1], 0, true};
    own->linked = own->ended = own->doubted = false;
    own->done_bytes = 0;
    dbk_state_init(own->state);
    p->sound = own->firsts[number - 1] != 0 && dbk_verify_file(own, number, NULL) == DBK_OK && p->begun.known &&
               own->linked && !own->ended && !own->doubted && p->report.faults == 0;
}

static void run(void *arg)
{
    ahead *a = arg;
    const dbk_port *port = a->v->port;

    lock(a);
    while (!a->stop && a->next <= a->v->count) {
        if (a->next > a->taken + PARTS) {
            (void)port->cond_wait(port->ctx, a->room, a->mutex, -1);
            continue;
        }
        uint64_t number = a->next++;
        part *p = &a->parts[number % PARTS];
        unlock(a);
        judge(a, p, number);
        lock(a);
        p->number = number;
        port->cond_signal(port->ctx, a->found);
    }
    unlock(a);
}

static bool joins(const dbk_verifier *v, const part *p)
{
    if (!p->sound || v->doubted || p->begun.position != v->expect.position) return false;
    if (!v->expect.any_previous && p->begun.previous != v->expect.previous) return false;
    return dbk_verify_goes_on(v, &p->begun.range);
}

static void take_over(dbk_verifier *v, const part *p)
{
    v->report->entries += p->report.entries;
    v->report->batches += p->report.batches;
    v->report->segments += p->report.segments;
    v->report->bytes += p->report.bytes;
    memcpy(v->report->head, p->report.head, sizeof(v->report->head));
    v->expect = p->verifier.expect;
    *v->state = p->state;
    v->linked = true;
    dbk_verify_progress(v, p->verifier.done_bytes);
}

static dbk_result next_file(ahead *a, dbk_verifier *v, uint64_t number, dbk_error *err)
{
    const dbk_port *port = v->port;
    part *p = &a->parts[number % PARTS];
    dbk_result rc = DBK_OK;

    lock(a);
    while (p->number != number) (void)port->cond_wait(port->ctx, a->found, a->mutex, -1);
    unlock(a);
    if (joins(v, p)) {
        take_over(v, p);
    } else {
        rc = dbk_verify_file(v, number, err);
    }
    lock(a);
    a->taken = number;
    port->cond_broadcast(port->ctx, a->room);
    unlock(a);
    return rc;
}

static void stop(ahead *a)
{
    const dbk_port *port = a->v->port;

    if (a->mutex) {
        lock(a);
        a->stop = true;
        if (a->room) port->cond_broadcast(port->ctx, a->room);
        unlock(a);
    }
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (a->threads[i]) port->thread_join(port->ctx, a->threads[i]);
    }
    if (a->found) port->cond_free(port->ctx, a->found);
    if (a->room) port->cond_free(port->ctx, a->room);
    if (a->mutex) port->mutex_free(port->ctx, a->mutex);
    dbk_free(port, a);
}

/* NULL where it is not worth it, or not possible: then it goes without. */
static ahead *start(dbk_verifier *v, dbk_verifier *shared)
{
    const dbk_port *port = v->port;
    uint32_t count = port->processors(port->ctx);

    if (count < 2 || v->count < 2 || (v->watcher && v->watcher->entry)) return NULL;
    if (count > THREADS_MAX) count = THREADS_MAX;
    ahead *a = dbk_alloc_zero(port, 1, sizeof(*a));
    if (!a) return NULL;
    a->v = shared;
    a->next = 1;
    a->mutex = port->mutex_new(port->ctx);
    a->room = port->cond_new(port->ctx);
    a->found = port->cond_new(port->ctx);
    bool ready = a->mutex && a->room && a->found;
    for (uint32_t i = 0; i < count && ready; i++) {
        if (port->thread_start(port->ctx, "dbk-verify", run, a, &a->threads[i]) == 0) continue;
        a->threads[i] = NULL;
        ready = i > 0;
        break;
    }
    if (ready) return a;
    stop(a);
    return NULL;
}

dbk_result dbk_verify_files(dbk_verifier *v, dbk_error *err)
{
    dbk_verifier shared = *v; /* as it is now: the others must not see it change */
    ahead *a = start(v, &shared);
    dbk_result rc = DBK_OK;

    for (uint64_t number = 1; number <= v->count && rc == DBK_OK; number++)
        rc = a ? next_file(a, v, number, err) : dbk_verify_file(v, number, err);
    if (a) stop(a);
    return rc;
}
