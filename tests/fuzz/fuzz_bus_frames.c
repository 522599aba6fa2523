/* Any bytes, cut anywhere, through the reader of the bus. What it hands out is held against a plain
 * reader that has all the bytes at once: the same bodies in the same order, the same verdict, however the
 * stream was cut; and memory stays bounded by what came.
 *
 * The first byte of the input says how the rest is cut; 0xf? puts a long body of zeros where a frame's
 * length asks for it, so that the buffer grows. */
#include <stdlib.h>

#include "bus/frames.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { MESSAGE_MAX = 300 * 1024, FILL_MAX = 256 * 1024 };
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct plain {
    const uint8_t *at, *end;
    bool greeted;
} plain;

/* DBK_OK with a body, or the verdict on what follows. */
static dbk_result plain_next(plain *p, dbk_slice *body)
{
    static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, DBK_SP_REQ, 0, 0};
    if (!p->greeted) {
        for (size_t i = 0; i < 8; i++) {
            if (p->at + i == p->end) return DBK_NONE;
            if (p->at[i] != greeting[i]) return DBK_FOREIGN;
        }
        p->at += 8;
        p->greeted = true;
    }
    if (p->at == p->end) return DBK_NONE;
    if (*p->at != 1) return DBK_CORRUPT;
    if (p->end - p->at < 9) return DBK_NONE;
    uint64_t size = 0;
    for (int i = 1; i < 9; i++) size = size << 8 | p->at[i];
    if (size > MESSAGE_MAX) return DBK_TOO_BIG;
    if ((uint64_t)(p->end - p->at - 9) < size) return DBK_NONE;
    *body = dbk_slice_of(p->at + 9, (size_t)size);
    p->at += 9 + size;
    return DBK_OK;
}

static void check_head(dbk_slice body)
{
    size_t size = 0, at = 0;
    dbk_result result = dbk_request_head(body, &size);
    while (at + 4 <= body.size && at < (size_t)DBK_HOPS_MAX * 4 && !(body.data[at] & 0x80)) at += 4;
    if (at == (size_t)DBK_HOPS_MAX * 4) REQUIRE(result == DBK_NONE);
    else if (at + 4 > body.size) REQUIRE(result == DBK_CORRUPT);
    else REQUIRE(result == DBK_OK && size == at + 4);
}

/* Everything the reader has after a piece. True: it goes on. */
static bool take(dbk_frames *frames, plain *p, size_t fed)
{
    dbk_slice body, expected;
    dbk_result result;
    const uint8_t *end = p->end;
    p->end = p->at + fed; /* the plain one knows no more than the other */
    while ((result = dbk_frames_next(frames, &body)) == DBK_OK) {
        REQUIRE(plain_next(p, &expected) == DBK_OK);
        REQUIRE(dbk_slice_equal(body, expected) && body.data[body.size] == '\0');
        check_head(body);
    }
    REQUIRE(plain_next(p, &expected) == result);
    p->end = end;
    return result == DBK_NONE;
}

static void run(const uint8_t *stream, size_t size, uint8_t how)
{
    dbk_frames frames;
    plain p = {stream, stream + size, false};
    size_t step = how & 7 ? (size_t)1 << (how & 7) * 2 : 1;
    REQUIRE(dbk_frames_init(&frames, dbk_port_system(), DBK_SP_REQ, MESSAGE_MAX, NULL));
    for (size_t done = 0; done < size;) {
        size_t room, left = size - done;
        uint8_t *at = dbk_frames_room(&frames, &room);
        REQUIRE(at && room > 0 && frames.capacity <= 2 * (frames.end - frames.begin + DBK_FRAMES_BASE));
        size_t piece = step < room ? step : room;
        if (piece > left) piece = left;
        memcpy(at, stream + done, piece);
        dbk_frames_add(&frames, piece);
        done += piece;
        if (!take(&frames, &p, (size_t)(stream + done - p.at))) break;
    }
    dbk_frames_release(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint8_t how = data[0];
    size_t fill = how >= 0xf0 ? FILL_MAX : 0;
    uint8_t *stream = calloc(1, size + fill);
    REQUIRE(stream);
    memcpy(stream, data + 1, size - 1);
    run(stream, size - 1 + fill, how);
    free(stream);
    return 0;
}
