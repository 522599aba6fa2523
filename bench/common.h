/* What the benchmarks share: a clock, medians, a folder, plain SQLite, rows. Every figure is a ratio of
 * two things measured in turns in one run: the machine is shared and noisy. */
#ifndef DBK_BENCH_COMMON_H
#define DBK_BENCH_COMMON_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

double bench_now(void);                            /* seconds, monotonic */
double bench_median(double *values, size_t count); /* sorts them */
double bench_percentile(double *values, size_t count, double part);
void bench_die(const char *what, const char *why) __attribute__((noreturn));
void bench_must(dbk_result result, const dbk_error *err, const char *what);
const char *bench_folder(void); /* a fresh one, removed at exit; under $DAYBOOK_BENCH_DIR or the working folder */
uint64_t bench_random(void);    /* the same sequence in every run */

/* Prints one line of the table: figure, goal, reached; >= or <= by `at_least`. Returns whether it was met. */
bool bench_figure(const char *name, double goal, double reached, bool at_least, const char *detail);

sqlite3 *bench_sqlite(const char *path, const char *synchronous, const char *schema);
void bench_sql(sqlite3 *db, const char *sql);
sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql);

/* A store in the folder with this schema (and projections or NULL), opened by the embedding interface. */
dbk_store *bench_store(const char *name, const char *schema, const char *projections);
typedef struct bench_app { /* texts of a definition; NULL: no such file */
    const char *schema, *projections, *commands, *json;
} bench_app;
dbk_store *bench_store_of(const char *name, const bench_app *app);
void bench_write_app(const char *folder_path, const bench_app *app);
void bench_do(dbk_store *store, const char *json, size_t size); /* dies unless every receipt is ok */

#endif
