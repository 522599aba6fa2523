/* The disk alone: how many records a second one writer can make durable in batches, nothing around it.
 * usage: raw_sync FOLDER RECORDS_PER_BATCH BYTES_PER_RECORD      prints records per second (best of
 * pwrite + fdatasync and O_DIRECT|O_DSYNC on a prezeroed file; one second each) */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 64 * 1024 * 1024, SECTOR = 512 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int prezero(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char *zeros = calloc(1, 1 << 20);
    if (fd < 0 || !zeros) return perror(path), exit(1), -1;
    for (int i = 0; i < FILE_BYTES >> 20; i++)
        if (pwrite(fd, zeros, 1 << 20, (off_t)i << 20) != 1 << 20) return perror("pwrite"), exit(1), -1;
    if (fsync(fd) != 0) return perror("fsync"), exit(1), -1;
    free(zeros);
    close(fd);
    return 0;
}

/* Batches a second, 0 where the file system has no direct I/O. */
static double run(const char *path, const uint8_t *data, size_t size, int flags)
{
    prezero(path);
    int fd = open(path, O_RDWR | O_CLOEXEC | flags);
    if (fd < 0) return 0;
    size_t count = 0;
    off_t at = 0;
    double begin = now(), end = begin;
    while (end - begin < 1.0) {
        if (at + (off_t)size > FILE_BYTES) at = 0;
        if (pwrite(fd, data, size, at) != (ssize_t)size) {
            if (errno == EINVAL) break;
            return perror("pwrite"), exit(1), 0;
        }
        if (flags == 0 && fdatasync(fd) != 0) return perror("fdatasync"), exit(1), 0;
        at += (off_t)size;
        count++;
        end = now();
    }
    close(fd);
    return end > begin ? (double)count / (end - begin) : 0;
}

int main(int argc, char **argv)
{
    if (argc != 4) return fprintf(stderr, "usage: raw_sync FOLDER RECORDS_PER_BATCH BYTES_PER_RECORD\n"), 2;
    size_t records = strtoul(argv[2], NULL, 10), bytes = strtoul(argv[3], NULL, 10);
    size_t size = (records * bytes + SECTOR - 1) / SECTOR * SECTOR;
    if (records == 0 || bytes == 0 || size > FILE_BYTES / 2)
        return fprintf(stderr, "raw_sync: sizes out of range\n"), 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/raw_sync.tmp", argv[1]);
    uint8_t *data = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (!data) return perror("aligned_alloc"), 1;
    memset(data, 'd', size);
    double plain = run(path, data, size, 0), direct = run(path, data, size, O_DIRECT | O_DSYNC);
    unlink(path);
    free(data);
    printf("%.0f\n", (plain > direct ? plain : direct) * (double)records);
    return 0;
}
