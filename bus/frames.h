/* Inside bus/: the bytes of the Scalability Protocols over a stream, apart from any socket.
 *
 *   greeting   00 'S' 'P' 00, the sender's protocol as a big-endian u16, 00 00; once, each way
 *   frame      01, the length of the body as a big-endian u64, the body
 *   request    the body begins with big-endian u32 numbers: those of devices on the way, then the
 *              request's own, whose top bit is set; the answer begins with the same ones
 *
 * A reader is valid if and only if
 *   1. the greeting is as above, with the protocol that is expected of the peer;
 *   2. every frame begins with 01 and its length is no more than message_max.
 * What breaks a rule ends the connection; it is seen at the first byte that does. */
#ifndef DBK_BUS_FRAMES_H
#define DBK_BUS_FRAMES_H

#include "base/base.h"

enum {
    DBK_SP_PUB = 0x20,
    DBK_SP_SUB = 0x21,
    DBK_SP_REQ = 0x30,
    DBK_SP_REP = 0x31,
    DBK_GREETING_SIZE = 8,
    DBK_FRAME_HEAD = 9,
    DBK_HOPS_MAX = 8, /* numbers before a request, with its own; as many as nng lets through */
    DBK_FRAMES_BASE = 64 * 1024,
};

/* What several readers may hold together of frames that are incomplete, beyond DBK_FRAMES_BASE each. */
typedef struct dbk_frames_share {
    size_t max;
    size_t held; /* atomic */
} dbk_frames_share;

/* Owned by whoever initialised it. It holds at most one frame that is incomplete, and grows by what
 * really came: a length alone costs nothing. */
typedef struct dbk_frames {
    const dbk_port *port;
    uint16_t peer; /* the protocol that the peer must speak */
    size_t message_max;
    dbk_frames_share *share; /* NULL: no limit but message_max */
    uint64_t skip;           /* bytes still to come of a frame that was refused */
    bool greeted;
    uint8_t *data; /* capacity + 1 bytes */
    size_t capacity, begin, end;
    bool marked; /* the byte at `begin` is replaced by a NUL; it was `covered` */
    uint8_t covered;
} dbk_frames;

/* `share` must outlive it. False: no memory. */
bool dbk_frames_init(dbk_frames *frames, const dbk_port *port, uint16_t peer, size_t message_max,
                     dbk_frames_share *share);
void dbk_frames_release(dbk_frames *frames); /* accepts a zeroed one */
/* Where the next bytes go, at least one; NULL: no memory. Bodies handed out before are gone. */
uint8_t *dbk_frames_room(dbk_frames *frames, size_t *size);
void dbk_frames_add(dbk_frames *frames, size_t size); /* that many came */
/* The next body, with a NUL behind it, until the next call. DBK_NONE: more bytes are needed. DBK_FOREIGN:
 * no greeting, or of another protocol; DBK_CORRUPT: no frame; DBK_TOO_BIG; DBK_NO_MEMORY. DBK_BUSY: the
 * readers together hold too much for this one to grow; *body is what came of the body so far, the rest
 * will be skipped as it comes. */
dbk_result dbk_frames_next(dbk_frames *frames, dbk_slice *body) DBK_MUST_USE;

void dbk_greeting_put(uint8_t out[DBK_GREETING_SIZE], uint16_t protocol);
static inline void dbk_frame_head_put(uint8_t out[DBK_FRAME_HEAD], uint64_t body_size)
{
    out[0] = 1;
    dbk_store_be64(out + 1, body_size);
}
/* The size of the numbers that begin a request. DBK_NONE: more than DBK_HOPS_MAX, it is to be dropped;
 * DBK_CORRUPT: it ends before a number with the top bit. */
dbk_result dbk_request_head(dbk_slice body, size_t *size) DBK_MUST_USE;

#endif
