/* For the tests of the model's file, observer, feed, switch and readers: a folder, a definition, SQL. */
#ifndef DBK_TEST_MODEL_FIXTURE_H
#define DBK_TEST_MODEL_FIXTURE_H

#include "tests/base/fixture.h"

#include "projector/model/internal.h"

typedef struct model_place {
    const dbk_port *port;
    dbk_definition *definition;
    char *folder;
    char path[256];
    dbk_error err;
} model_place;

/* notes (UNIQUE title, each kind of column), tags (WITHOUT ROWID, goes with its note), counts (INTEGER key,
 * loses its note), pairs (two-part key); queries by_stars(stars INTEGER, title TEXT?) and all_notes */
void place_init(model_place *place, const dbk_port *port);
void place_done(model_place *place);
const char *place_file(model_place *place, const char *name); /* its path; lives until the next call */
dbk_model *place_create(model_place *place, const char *name, const dbk_model_options *options);
dbk_model *place_open(model_place *place, const char *name, const dbk_model_options *options);
const dbk_table *table_of(const dbk_model *model, const char *name);

int sql_try(dbk_model *model, const char *sql); /* SQLite's code */
void sql(dbk_model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* BEGIN, the statements, COMMIT at the position. */
dbk_changes commit_sql(dbk_model *model, uint64_t position, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
dbk_result try_commit(dbk_model *model, uint64_t position, dbk_changes *changes, dbk_error *err);
void commit_at(dbk_model *model, uint64_t position, dbk_changes *changes);
void assert_recount(dbk_model *model);
/* The buffer's text equals; clears it. */
void assert_text(dbk_buffer *buffer, const char *expected);
void assert_result(dbk_result result, dbk_result expected, const dbk_error *err);
#define assert_ok(result, err) assert_result((result), DBK_OK, (err))
/* A port whose allocation number `fail_at` and all later ones fail; as thrifty_init, but free(NULL) is nothing. */
void thrifty_place(thrifty_port *thrifty, size_t fail_at);
uint64_t next_random(uint64_t *seed);

#endif
