/* One connection (conn.h has the rules it keeps with nng).
 *
 * Out: frames go into blocks of BLOCK_BYTES while the one before is on its way, and one gathered write takes what is
 * there; a message for many subscribers is one block with a reference for each. At any time one send and one receive
 * are under way. In: what came is cut into frames, each handed to the rules; then the next receive begins. The end
 * comes once, from the receiving side: closing fails the receive under way, which ends the connection. */
#include "bus/conn.h"

enum { BLOCK_BYTES = 16 * 1024, GATHER_MAX = 8 /* what an nng aio takes */ };

static void hold(dbk_conn *conn)
{
    conn->port->mutex_lock(conn->port->ctx, conn->mutex);
}
static void let(dbk_conn *conn)
{
    conn->port->mutex_unlock(conn->port->ctx, conn->mutex);
}

/* ---- blocks */

static dbk_block *block_new(const dbk_port *port, size_t capacity)
{
    dbk_block *block = dbk_alloc(port, sizeof *block + capacity);
    if (block) *block = (dbk_block){.refs = 1, .capacity = capacity};
    return block;
}

dbk_block *dbk_block_frame(const dbk_port *port, size_t body_size)
{
    dbk_block *block = block_new(port, DBK_FRAME_HEAD + body_size);
    if (!block) return NULL;
    dbk_frame_head_put(block->data, body_size);
    block->size = block->capacity;
    block->frames = 1;
    return block;
}

void dbk_block_drop(const dbk_port *port, dbk_block *block)
{
    if (block && __atomic_sub_fetch(&block->refs, 1, __ATOMIC_ACQ_REL) == 0) dbk_free(port, block);
}

/* ---- the queue; the mutex is held */

/* A block of the usual size that nobody else has is kept for the next answer. */
static void retire(dbk_conn *conn, dbk_block *block)
{
    if (!conn->spare && block->capacity == BLOCK_BYTES && __atomic_load_n(&block->refs, __ATOMIC_ACQUIRE) == 1) {
        block->size = block->frames = 0;
        conn->spare = block;
    } else {
        dbk_block_drop(conn->port, block);
    }
}

static void pop(dbk_conn *conn)
{
    dbk_out *out = conn->first;
    conn->first = out->next;
    if (!conn->first) conn->last = NULL;
    conn->out_frames -= out->block->frames;
    retire(conn, out->block);
    dbk_free(conn->port, out);
}

static bool push(dbk_conn *conn, dbk_block *block)
{
    dbk_out *out = dbk_alloc(conn->port, sizeof *out);
    if (!out) return false;
    *out = (dbk_out){.block = block};
    if (conn->last) conn->last->next = out;
    else conn->first = out;
    if (!conn->first->next) conn->moved_ns = conn->port->monotonic_ns(conn->port->ctx);
    conn->last = out;
    conn->out_bytes += block->size;
    conn->out_frames += block->frames;
    return true;
}

static size_t queued(const dbk_conn *conn)
{
    size_t count = 0;
    for (const dbk_out *out = conn->first; out && count <= GATHER_MAX; out = out->next) count++;
    return count;
}

/* The block at the end, if it is ours, not on its way, and has room. */
static dbk_block *open_block(dbk_conn *conn, size_t size)
{
    if (!conn->last || (conn->flying && queued(conn) == conn->flying)) return NULL;
    dbk_block *block = conn->last->block;
    return block->capacity == BLOCK_BYTES && block->capacity - block->size >= size ? block : NULL;
}

/* ---- sending */

/* Hands the first blocks to nng in one gathered write. The mutex is held. */
static void fly(dbk_conn *conn)
{
    nng_iov parts[GATHER_MAX];
    unsigned count = 0;
    for (dbk_out *out = conn->first; out && count < GATHER_MAX; out = out->next) {
        size_t begin = count == 0 ? conn->flown_bytes : 0;
        parts[count++] = (nng_iov){out->block->data + begin, out->block->size - begin};
    }
    conn->flying = count;
    (void)nng_aio_set_iov(conn->send, count, parts); /* fails only for more than GATHER_MAX */
    nng_stream_send(conn->stream, conn->send);
}

/* The mutex is held; the send under way has a reference. */
static void start_send(dbk_conn *conn)
{
    if (conn->sending || conn->closed || !conn->first) return;
    conn->sending = true;
    dbk_conn_hold(conn);
    fly(conn);
}

static void close_held(dbk_conn *conn)
{
    if (conn->closed) return;
    conn->closed = true;
    nng_stream_close(conn->stream);
}

static void land(dbk_conn *conn, size_t size)
{
    conn->out_bytes -= size;
    conn->moved_ns = conn->port->monotonic_ns(conn->port->ctx);
    size += conn->flown_bytes;
    while (conn->first && conn->flying && size >= conn->first->block->size) {
        size -= conn->first->block->size;
        conn->flying--;
        pop(conn);
    }
    conn->flown_bytes = size;
    conn->flying = 0;
}

static void sent(void *arg)
{
    dbk_conn *conn = arg;
    hold(conn);
    if (nng_aio_result(conn->send) == 0) land(conn, nng_aio_count(conn->send));
    else close_held(conn);
    bool more = !conn->closed && conn->first;
    if (more) fly(conn);
    else conn->sending = false;
    let(conn);
    if (!more) dbk_conn_drop(conn);
}

/* Puts a frame into the block at the end, or into one of its own. The mutex is held. */
static bool put_frame(dbk_conn *conn, dbk_slice head, dbk_slice body)
{
    size_t size = DBK_FRAME_HEAD + head.size + body.size;
    dbk_block *block = open_block(conn, size);
    bool is_new = !block;
    if (is_new && size <= BLOCK_BYTES && conn->spare) block = conn->spare, conn->spare = NULL;
    else if (is_new) block = block_new(conn->port, size <= BLOCK_BYTES ? BLOCK_BYTES : size);
    if (!block) return false;
    uint8_t *at = block->data + block->size;
    dbk_frame_head_put(at, head.size + body.size);
    if (head.size) memcpy(at + DBK_FRAME_HEAD, head.data, head.size);
    if (body.size) memcpy(at + DBK_FRAME_HEAD + head.size, body.data, body.size);
    block->size += size;
    block->frames++;
    if (!is_new) {
        conn->out_bytes += size;
        conn->out_frames++;
    } else if (!push(conn, block)) {
        dbk_block_drop(conn->port, block);
        return false;
    }
    return true;
}

bool dbk_conn_send(dbk_conn *conn, dbk_slice head, dbk_slice body)
{
    hold(conn);
    bool good = !conn->closed && put_frame(conn, head, body);
    if (good) start_send(conn);
    let(conn);
    return good;
}

bool dbk_conn_share(dbk_conn *conn, dbk_block *frame)
{
    hold(conn);
    bool good = !conn->closed && push(conn, frame);
    if (good) {
        __atomic_add_fetch(&frame->refs, 1, __ATOMIC_RELAXED);
        start_send(conn);
    }
    let(conn);
    return good;
}

/* A block that was written in part must be finished: the peer would take what follows for its rest. */
void dbk_conn_forget(dbk_conn *conn)
{
    hold(conn);
    dbk_out *keep = conn->first;
    for (size_t i = 1; keep && i < conn->flying; i++) keep = keep->next;
    while (keep && keep->next) {
        dbk_out *out = keep->next;
        keep->next = out->next;
        conn->out_bytes -= out->block->size;
        conn->out_frames -= out->block->frames;
        dbk_block_drop(conn->port, out->block);
        dbk_free(conn->port, out);
    }
    conn->last = keep;
    let(conn);
}

/* ---- receiving */

/* Every frame that is there. False: the connection is over. */
static bool take_frames(dbk_conn *conn)
{
    dbk_slice body;
    dbk_result result;
    const dbk_conn_rules *rules = conn->rules;
    do {
        result = dbk_frames_next(&conn->frames, &body);
        if (conn->frames.greeted && !conn->opened) {
            hold(conn);
            conn->opened = true;
            let(conn);
            rules->opened(rules->arg, conn);
        }
        if (result == DBK_OK && !rules->received(rules->arg, conn, body)) return false;
        if (result == DBK_BUSY && !rules->crowded(rules->arg, conn, body)) return false;
    } while (result == DBK_OK || result == DBK_BUSY);
    return result == DBK_NONE;
}

/* False: it was closed, or there is no memory. A stream that is closed would never answer. */
static bool start_receive(dbk_conn *conn)
{
    nng_iov part;
    part.iov_buf = dbk_frames_room(&conn->frames, &part.iov_len);
    if (!part.iov_buf || nng_aio_set_iov(conn->receive, 1, &part) != 0) return false;
    hold(conn);
    bool good = !conn->closed;
    if (good) nng_stream_recv(conn->stream, conn->receive);
    let(conn);
    return good;
}

static void end(dbk_conn *conn)
{
    dbk_conn_close(conn);
    conn->rules->ended(conn->rules->arg, conn);
    dbk_conn_drop(conn);
}

static void came(void *arg)
{
    dbk_conn *conn = arg;
    bool good = nng_aio_result(conn->receive) == 0;
    if (good) dbk_frames_add(&conn->frames, nng_aio_count(conn->receive));
    if (!good || !take_frames(conn) || !start_receive(conn)) end(conn);
}

/* ---- life */

static void conn_free(dbk_conn *conn)
{
    const dbk_port *port = conn->port;
    while (conn->first) pop(conn);
    dbk_block_drop(port, conn->spare);
    dbk_stream_discard(conn->stream);
    nng_aio_reap(conn->receive);
    nng_aio_reap(conn->send);
    dbk_frames_release(&conn->frames);
    if (conn->mutex) port->mutex_free(port->ctx, conn->mutex);
    dbk_free(port, conn);
}

dbk_result dbk_conn_new(const dbk_port *port, nng_stream *stream, const dbk_conn_rules *rules, dbk_conn **out,
                        dbk_error *err)
{
    dbk_conn *conn = dbk_alloc_zero(port, 1, sizeof *conn);
    if (!conn) {
        dbk_stream_discard(stream);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    }
    *conn = (dbk_conn){
        .port = port, .rules = rules, .stream = stream, .refs = 1, .begun_ns = port->monotonic_ns(port->ctx)};
    conn->mutex = port->mutex_new(port->ctx);
    bool good = conn->mutex && dbk_frames_init(&conn->frames, port, rules->peer, rules->message_max, rules->share) &&
                nng_aio_alloc(&conn->receive, came, conn) == 0 && nng_aio_alloc(&conn->send, sent, conn) == 0;
    if (!good) {
        conn_free(conn);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for a connection");
    }
    *out = conn;
    return DBK_OK;
}

void dbk_conn_start(dbk_conn *conn)
{
    dbk_block *greeting = block_new(conn->port, DBK_GREETING_SIZE);
    dbk_conn_hold(conn); /* of the receive */
    hold(conn);
    if (greeting) {
        dbk_greeting_put(greeting->data, conn->rules->protocol);
        greeting->size = DBK_GREETING_SIZE;
        if (push(conn, greeting)) start_send(conn);
        else dbk_block_drop(conn->port, greeting), greeting = NULL;
    }
    let(conn);
    if (!greeting || !start_receive(conn)) end(conn);
}

void dbk_conn_close(dbk_conn *conn)
{
    hold(conn);
    close_held(conn);
    let(conn);
}

void dbk_conn_hold(dbk_conn *conn)
{
    __atomic_add_fetch(&conn->refs, 1, __ATOMIC_RELAXED);
}

void dbk_conn_drop(dbk_conn *conn)
{
    if (__atomic_sub_fetch(&conn->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    const dbk_conn_rules *rules = conn->rules;
    conn_free(conn);
    rules->freed(rules->arg);
}

/* ---- what is going on */

void dbk_conn_backlog(dbk_conn *conn, size_t *frames, size_t *bytes)
{
    hold(conn);
    *frames = conn->out_frames;
    *bytes = conn->out_bytes;
    let(conn);
}

int64_t dbk_conn_stalled_ns(dbk_conn *conn, int64_t now_ns)
{
    hold(conn);
    int64_t stalled = conn->first ? now_ns - conn->moved_ns : 0;
    let(conn);
    return stalled;
}

bool dbk_conn_is_open(dbk_conn *conn)
{
    hold(conn);
    bool is_open = conn->opened && !conn->closed;
    let(conn);
    return is_open;
}
