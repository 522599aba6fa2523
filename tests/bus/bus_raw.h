/* A peer without nng: the bytes of docs/bus.md over a plain socket. */
#ifndef BUS_RAW_H
#define BUS_RAW_H

#include "bus_fixture.h"

static const uint8_t raw_req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
static const uint8_t raw_sub[8] = {0, 'S', 'P', 0, 0, 0x21, 0, 0};

static inline bool raw_write(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

static inline bool raw_read(int fd, void *data, size_t size)
{
    struct timeval limit = {20, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (size_t done = 0; done < size;) {
        ssize_t n = recv(fd, (char *)data + done, size - done, 0);
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* A frame with one request number; out has 13 bytes more than the body. Its size. */
static inline size_t raw_frame(uint8_t *out, uint32_t id, const char *body, size_t size)
{
    out[0] = 1;
    dbk_store_be64(out + 1, size + 4);
    dbk_store_be32(out + 9, id | 0x80000000u);
    if (size) memcpy(out + 13, body, size);
    return size + 13;
}

static inline bool raw_ask(int fd, uint32_t id, const char *body)
{
    uint8_t frame[4096];
    size_t size = strlen(body);
    assert_true(size < sizeof frame - 13);
    return raw_write(fd, frame, raw_frame(frame, id, body, size));
}

/* The answer to any request, as text; its number, or 0: the connection is over. */
static inline uint32_t raw_answer(int fd, char *body, size_t room)
{
    uint8_t head[13];
    if (!raw_read(fd, head, sizeof head) || head[0] != 1) return 0;
    uint64_t size = dbk_load_be64(head + 1) - 4;
    assert_true(size < room);
    if (!raw_read(fd, body, (size_t)size)) return 0;
    body[size] = '\0';
    return dbk_load_be32(head + 9);
}

static inline int raw_greet(const char *url, const uint8_t greeting[8])
{
    uint8_t answer[8];
    int fd = raw_connect(url);
    assert_true(fd >= 0);
    assert_true(raw_write(fd, greeting, 8) && raw_read(fd, answer, 8));
    return fd;
}

/* The peer ended it: end of stream or a reset, nothing else. */
static inline bool raw_is_ended(int fd)
{
    char byte[256];
    struct timeval limit = {20, 0};
    ssize_t n;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    while ((n = recv(fd, byte, sizeof byte, 0)) > 0) continue;
    return n == 0 || errno == ECONNRESET;
}

#endif
