/* Bytes into frames (frames.h has the rules of validity). One buffer holds what came; a body is handed out where it
 * lies, with a NUL that covers the first byte behind it until the next call. */
#include "bus/frames.h"

bool dbk_frames_init(dbk_frames *frames, const dbk_port *port, uint16_t peer, size_t message_max,
                     dbk_frames_share *share)
{
    *frames = (dbk_frames){
        .port = port, .peer = peer, .message_max = message_max, .share = share, .capacity = DBK_FRAMES_BASE};
    frames->data = dbk_alloc(port, frames->capacity + 1);
    return frames->data != NULL;
}

static void give_back(dbk_frames *frames, size_t bytes)
{
    if (frames->share) __atomic_sub_fetch(&frames->share->held, bytes, __ATOMIC_RELAXED);
}

void dbk_frames_release(dbk_frames *frames)
{
    if (frames->data) give_back(frames, frames->capacity - DBK_FRAMES_BASE);
    if (frames->port) dbk_free(frames->port, frames->data);
    *frames = (dbk_frames){0};
}

static void unmark(dbk_frames *frames)
{
    if (frames->marked) frames->data[frames->begin] = frames->covered;
    frames->marked = false;
}

static void move_to_front(dbk_frames *frames)
{
    if (frames->begin == 0) return;
    frames->end -= frames->begin;
    memmove(frames->data, frames->data + frames->begin, frames->end);
    frames->begin = 0;
}

/* For less; where that fails, the larger one stays. */
static void shrink(dbk_frames *frames)
{
    uint8_t *data = frames->port->resize(frames->port->ctx, frames->data, DBK_FRAMES_BASE + 1);
    if (!data) return;
    give_back(frames, frames->capacity - DBK_FRAMES_BASE);
    frames->data = data;
    frames->capacity = DBK_FRAMES_BASE;
}

/* A full buffer holds a frame's head, hence its length, which was checked; twice the bytes that came bounds
 * what a peer can make us take. */
static dbk_result grow(dbk_frames *frames)
{
    uint64_t whole = DBK_FRAME_HEAD + dbk_load_be64(frames->data + 1);
    size_t doubled = frames->capacity * 2, capacity = whole < doubled ? (size_t)whole : doubled;
    size_t more = capacity - frames->capacity;
    bool is_over =
        frames->share && __atomic_add_fetch(&frames->share->held, more, __ATOMIC_RELAXED) > frames->share->max;
    uint8_t *data = is_over ? NULL : frames->port->resize(frames->port->ctx, frames->data, capacity + 1);
    if (!data) {
        give_back(frames, more);
        return is_over ? DBK_BUSY : DBK_NO_MEMORY;
    }
    frames->data = data;
    frames->capacity = capacity;
    return DBK_NONE;
}

/* Room is asked for after every frame was taken, so that at most a part of one is moved. */
uint8_t *dbk_frames_room(dbk_frames *frames, size_t *size)
{
    unmark(frames);
    move_to_front(frames);
    if (frames->end == 0 && frames->capacity > DBK_FRAMES_BASE) shrink(frames);
    *size = frames->capacity - frames->end;
    return frames->data + frames->end;
}

void dbk_frames_add(dbk_frames *frames, size_t size)
{
    size_t skipped = frames->skip < size ? (size_t)frames->skip : size;
    frames->skip -= skipped;
    frames->end += size;
    frames->begin += skipped; /* nothing else is there while something is to be skipped */
}

static dbk_result take_greeting(dbk_frames *frames)
{
    uint8_t expected[DBK_GREETING_SIZE];
    size_t left = frames->end - frames->begin, size = left < sizeof expected ? left : sizeof expected;
    dbk_greeting_put(expected, frames->peer);
    if (memcmp(frames->data + frames->begin, expected, size) != 0) return DBK_FOREIGN;
    if (size < sizeof expected) return DBK_NONE;
    frames->begin += size;
    frames->greeted = true;
    return DBK_OK;
}

/* Nothing but the frame's begin is there. */
static dbk_result full(dbk_frames *frames, uint64_t size, dbk_slice *body)
{
    dbk_result result = grow(frames);
    if (result != DBK_BUSY) return result;
    *body = dbk_slice_of(frames->data + DBK_FRAME_HEAD, frames->end - DBK_FRAME_HEAD);
    frames->skip = size - body->size;
    frames->begin = frames->end;
    return DBK_BUSY;
}

dbk_result dbk_frames_next(dbk_frames *frames, dbk_slice *body)
{
    unmark(frames);
    dbk_result result = frames->greeted ? DBK_OK : take_greeting(frames);
    if (result != DBK_OK) return result;
    if (frames->skip) return DBK_NONE;
    size_t left = frames->end - frames->begin;
    const uint8_t *at = frames->data + frames->begin;
    if (left > 0 && at[0] != 1) return DBK_CORRUPT;
    if (left < DBK_FRAME_HEAD) return DBK_NONE;
    uint64_t size = dbk_load_be64(at + 1);
    if (size > frames->message_max) return DBK_TOO_BIG;
    if (left - DBK_FRAME_HEAD < size) return left < frames->capacity ? DBK_NONE : full(frames, size, body);
    *body = dbk_slice_of(at + DBK_FRAME_HEAD, (size_t)size);
    frames->begin += DBK_FRAME_HEAD + (size_t)size;
    frames->covered = frames->data[frames->begin]; /* at the end the byte beyond the capacity */
    frames->data[frames->begin] = '\0';
    frames->marked = true;
    return DBK_OK;
}

void dbk_greeting_put(uint8_t out[DBK_GREETING_SIZE], uint16_t protocol)
{
    const uint8_t greeting[DBK_GREETING_SIZE] = {0, 'S', 'P', 0, (uint8_t)(protocol >> 8), (uint8_t)protocol, 0, 0};
    memcpy(out, greeting, sizeof greeting);
}

dbk_result dbk_request_head(dbk_slice body, size_t *size)
{
    for (size_t at = 0; at < (size_t)DBK_HOPS_MAX * 4; at += 4) {
        if (body.size - at < 4) return DBK_CORRUPT;
        if (body.data[at] & 0x80) {
            *size = at + 4;
            return DBK_OK;
        }
    }
    return DBK_NONE;
}
