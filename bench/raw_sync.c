/* The disk alone: how many records a second one writer can make durable in batches, nothing around it.
 * usage: raw_sync FOLDER RECORDS_PER_BATCH BYTES_PER_RECORD      prints records per second (best of
 * pwrite + fdatasync and O_DIRECT|O_DSYNC on a prezeroed file; one second each)
 *        raw_sync --ways FOLDER      both beside each other (docs/decisions/0023-how-a-batch-is-synced.md) */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 64 * 1024 * 1024, SECTOR = 512, ROUNDS = 3 };
#define RUN_SECONDS 1.0

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
    while (end - begin < RUN_SECONDS) {
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

static double best(const char *path, const uint8_t *data, size_t records, size_t size)
{
    double plain = run(path, data, size, 0), direct = run(path, data, size, O_DIRECT | O_DSYNC);
    return (plain > direct ? plain : direct) * (double)records;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Both ways in turns, for a sector and for a batch; batches a second, medians. */
static void show_ways(const char *folder, const char *path, const uint8_t *data)
{
    static const size_t sizes[] = {SECTOR, 64 * SECTOR};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        double plain[ROUNDS], direct[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            plain[round] = run(path, data, sizes[i], 0);
            direct[round] = run(path, data, sizes[i], O_DIRECT | O_DSYNC);
        }
        qsort(plain, ROUNDS, sizeof *plain, compare);
        qsort(direct, ROUNDS, sizeof *direct, compare);
        printf("%-24s %6zu bytes   fdatasync %8.0f/s   ", folder, sizes[i], plain[ROUNDS / 2]);
        if (direct[ROUNDS / 2] > 0)
            printf("O_DIRECT|O_DSYNC %8.0f/s   %.2f\n", direct[ROUNDS / 2], direct[ROUNDS / 2] / plain[ROUNDS / 2]);
        else printf("O_DIRECT: refused\n");
    }
}

int main(int argc, char **argv)
{
    bool ways = argc == 3 && strcmp(argv[1], "--ways") == 0;
    if (argc != 4 && !ways)
        return fprintf(stderr, "usage: raw_sync FOLDER RECORDS_PER_BATCH BYTES_PER_RECORD | raw_sync --ways FOLDER\n"),
               2;
    size_t records = ways ? 64 : strtoul(argv[2], NULL, 10), bytes = ways ? SECTOR : strtoul(argv[3], NULL, 10);
    size_t size = (records * bytes + SECTOR - 1) / SECTOR * SECTOR;
    if (records == 0 || bytes == 0 || size > FILE_BYTES / 2)
        return fprintf(stderr, "raw_sync: sizes out of range\n"), 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/raw_sync.tmp", argv[ways ? 2 : 1]);
    uint8_t *data = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    if (!data) return perror("aligned_alloc"), 1;
    memset(data, 'd', size);
    if (ways) show_ways(argv[2], path, data);
    else printf("%.0f\n", best(path, data, records, size));
    unlink(path);
    free(data);
    return 0;
}
