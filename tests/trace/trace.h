/* The trace program: performs the operations of a trace on real stores and says what came of them, in
 * the words of the reference model (docs of tests/data/traces). */
#ifndef DBK_TESTS_TRACE_H
#define DBK_TESTS_TRACE_H

#include "store/store.h"

#include <sqlite3.h>

enum { STAGE_REPLICAS = 16, STAGE_DEFINITIONS = 8, STAGE_MESSAGES = 4096 };

typedef struct stage_definition {
    char *name;
    dbk_definition *definition;
} stage_definition;

typedef struct stage_message { /* entries as captured by "send" */
    char *name;
    dbk_buffer bytes; /* u32 length + origin bytes, one behind the other */
    size_t count;
} stage_message;

typedef struct stage_replica {
    char *name, *path;
    const dbk_definition *definition;
    dbk_engine_options options;
    dbk_engine *engine;
    char *drop;        /* the command in which SQLite loses its transaction, or NULL */
    const char *crash; /* "logged", "committed" or NULL */
    bool crashed;
    dbk_buffer feed;     /* messages since the last operation, separated by commas */
    dbk_buffer received; /* facts delivered since the last restart, as in stage_message */
    size_t received_count;
    int64_t now_ms; /* of the last delivery */
} stage_replica;

typedef struct trace_stage {
    const dbk_port *port;
    char root[256]; /* temporary folder of all stores */
    stage_definition definitions[STAGE_DEFINITIONS];
    stage_replica replicas[STAGE_REPLICAS];
    stage_message *messages;
    size_t definition_count, replica_count, message_count, file_count;
    dbk_json_parser *parser, *inner;
    dbk_error err;
} trace_stage;

dbk_result stage_open(trace_stage *stage);
void stage_close(trace_stage *stage);
/* Performs one line; the outcome's members go to `out` (without braces). DBK_UNSUPPORTED: it needs
 * something this version does not have, named in stage->err; DBK_NONE: there is nothing to compare. */
dbk_result stage_perform(trace_stage *stage, dbk_slice line, dbk_buffer *out);

/* trace_dump.c: {"table":{"key":{"column":value}}} of a database, and its fingerprint as the model
 * computes it (BLAKE2b-128 of each row, summed). */
dbk_result dump_rows(sqlite3 *db, const dbk_definition *definition, dbk_buffer *out, char fingerprint[33]);

bool is_set(const dbk_table *table, int column); /* a column of the rule set: the model spaces its text */

/* Whether a stage of this kind gives that member of an outcome at all. */
bool stage_gives(dbk_slice member);

/* trace_compare.c: an expected and an actual outcome, apart from messages and the reasons of skips; of the
 * outcome's own members only those that `given` says. On a difference `where` receives the way to it. */
bool same_outcome(const dbk_json_node *expected, const dbk_json_node *actual, bool (*given)(dbk_slice member),
                  dbk_buffer *where);

#endif
