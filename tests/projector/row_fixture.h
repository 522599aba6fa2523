/* For the tests of rows: a definition from text, a model with its log, commands as JSON text. */
#ifndef DBK_TEST_ROW_FIXTURE_H
#define DBK_TEST_ROW_FIXTURE_H

#include "tests/projector/fold_fixture.h"

#include "projector/rows/internal.h"

typedef struct row_bench {
    fold_place place;
    dbk_definition *definition;
    dbk_model *model;
    dbk_draft draft;
    dbk_json_parser *parser;
    uint64_t seq;
    int64_t time_ms; /* of the next command; 1700000000123 at first */
    dbk_buffer text; /* of the events of the last command, see decide() */
    dbk_error err;
} row_bench;

dbk_definition *definition_of(const char *schema, const char *projections);
/* The same with an app.json. */
dbk_definition *definition_with(const char *app, const char *schema, const char *projections);
dbk_definition *definition_of_all(const dbk_source *sources, size_t count);
void bench_open_definition(row_bench *bench, dbk_definition *definition); /* takes it */
void bench_open_with(row_bench *bench, const char *app, const char *schema, const char *projections);
void bench_open(row_bench *bench, const char *schema, const char *projections);
void bench_close(row_bench *bench);

/* Decides one command, or the elements of an array as a batch, in a transaction of its own:
 * {"do":"put","table":"t","key":"k","data":{…},"expect":1}. What is accepted is logged and committed.
 * The events are in bench->text as "stream type data[ +filled,…][ ^base's seq]" with newlines between. */
dbk_result decide(row_bench *bench, const char *command);
/* The same, inside a transaction that is open; nothing is logged. */
dbk_result decide_here(row_bench *bench, const char *command);
/* Accepted, with these events. */
void accept(row_bench *bench, const char *command, const char *events);
/* Refused so, with this text and detail (NULL: none). */
void refuse(row_bench *bench, const char *command, dbk_result code, const char *text, const char *detail);
/* The result of a query as text: values joined by '|', rows by newlines. */
void assert_rows(dbk_model *model, const char *sql, const char *expected);

/* A fact of another replica ('A' + author), logged at the end of the bench's log. */
typedef struct row_fact {
    int author;
    uint64_t seq, ms;
    const char *command_id;
    uint8_t hash;       /* fills the command hash */
    uint8_t definition; /* 0: the bench's; else fills the definition's hash */
    const char *stream, *type, *data;
    const char *filled;                     /* one name, NULL: none */
    const char *stream_2, *type_2, *data_2; /* a second event */
} row_fact;
uint64_t log_fact(row_bench *bench, const row_fact *fact); /* its position */
/* Catches up; where it needs a shadow, the shadow becomes the model. */
void fold(row_bench *bench);
/* The same history again gives the same model. */
void assert_replay(row_bench *bench);

#endif
