/* For the tests of fold and shadow: facts of made-up replicas, a log to put them into, models of it. */
#ifndef DBK_TEST_FOLD_FIXTURE_H
#define DBK_TEST_FOLD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "projector/projector.h"

enum { FACTS_MAX = 8192 };

typedef struct fact {
    dbk_slice origin;
    int author; /* 0 … */
} fact;

/* A log in a temporary folder, and as many model files beside it as a test asks for. */
typedef struct fold_place {
    const dbk_port *port;
    const dbk_definition *definition;
    char folder[128];
    dbk_dir *dir, *log_dir;
    dbk_log *log;
    unsigned files;
    dbk_error err;
} fold_place;

/* settings: row-local; notes: UNIQUE; tags: child of notes; jobs: of projections, which read lists; lists */
dbk_definition *fold_definition(void);
void place_open(fold_place *place, const dbk_definition *definition);
void place_close(fold_place *place);
void place_append(fold_place *place, const fact *facts, size_t count);
/* The next file of the place: an empty model, or the fold of the log. */
dbk_model *place_model(fold_place *place);
dbk_model *place_build(fold_place *place, dbk_shadow_options options);
void place_path(fold_place *place, char path[192]);

/* One entry with one event. `author` names the replica; data NULL: no event at all. Memory of the arena. */
typedef struct fact_text {
    int author;
    uint64_t seq, ms;
    const char *command_id, *stream, *type, *data;
} fact_text;
fact make_fact(dbk_arena *arena, const dbk_definition *definition, const fact_text *text);
/* The same with other events than the one of `text`, of any number. */
fact make_entry(dbk_arena *arena, const dbk_definition *definition, const fact_text *text, const dbk_event *events,
                size_t count);
/* A history of `count` entries by `authors` replicas, in which each has its own clock and all work on
 * few rows. */
void make_history(dbk_arena *arena, const dbk_definition *definition, uint64_t seed, int authors, fact *facts,
                  size_t count);
/* A random order in which the entries of an author stay in theirs. */
void shuffle_history(uint64_t *seed, int authors, const fact *facts, fact *out, size_t count);
uint64_t next_random(uint64_t *seed);

/* All rows of the table, a line each, in order of its first two columns. */
void put_rows(dbk_model *model, const char *table, dbk_buffer *out);
/* Position, fingerprint, all rows in order of their keys, the skip list: equal text, equal model. */
char *model_text(dbk_model *model, bool with_position);
void assert_same_model(dbk_model *one, dbk_model *other, bool with_position);

#endif
