/* Internal to store/: requests, one function each. A function appends the members of its answer behind
 * `{"ok":true`, each with a comma in front; what it appended before a failure is cut off by the caller. The turn is not
 * held; what of the model only its decider may touch is asked for in a turn of its own. DBK_BAD_COMMAND: the request is
 * not of its form (docs/commands.md); others as what they call has them. Most change nothing; rebuild, upgrade, undo,
 * apply and those about models do. */
#ifndef DBK_STORE_REQUEST_H
#define DBK_STORE_REQUEST_H

#include "store/engine.h"

typedef dbk_result (*dbk_request_fn)(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err);

dbk_result dbk_request_get(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                           dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_setting(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE; /* get with "namespace" */
dbk_result dbk_request_list(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                            dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_query(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_changes(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_log(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                           dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_inbox(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_status(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;
/* request_recount.c */
dbk_result dbk_request_recount(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_fingerprint(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                                   dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_stats(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_rebuild(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_verify(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_replay(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_history(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_explain(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_diff(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                            dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_upgrade(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                               dbk_error *err) DBK_MUST_USE;
/* request_models.c */
dbk_result dbk_request_models(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_model_do(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                                dbk_error *err) DBK_MUST_USE; /* model.retry, .pause, .resume */
dbk_result dbk_request_model_skip(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                                  dbk_error *err) DBK_MUST_USE;
/* The model from the beginning, while the one before it answers; waits for the switch. */
dbk_result dbk_request_model_rebuild(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out,
                                     dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_hello(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;
/* These write: *out is the whole receipt, as the commit loop gave it. */
dbk_result dbk_request_apply(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_undo(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                            dbk_error *err) DBK_MUST_USE;

/* Answers a message that holds a request: appends one answer, or an array of them to `out`. DBK_BAD_JSON,
 * DBK_NO_MEMORY; what an element of it fails with is in its answer. Any thread, without the turn. */
dbk_result dbk_request_answer_all(dbk_engine *engine, dbk_slice text, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;

/* The members of a changes answer; the caller holds engine->turn. `from` NULL: as if from another life. */
dbk_result dbk_changes_off(dbk_error *err); /* the refusal where the app has no feed */
dbk_result dbk_changes_answer(dbk_engine *engine, const dbk_table *table, const dbk_json_node *from, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;

/* ---- helpers */
/* The table that a request names: DBK_BAD_COMMAND, DBK_UNKNOWN_TABLE with the nearest right name. */
dbk_result dbk_request_table(dbk_engine *engine, const dbk_json_node *request, const dbk_table **table,
                             dbk_error *err) DBK_MUST_USE;
/* A member that is an integer from `low` to `high`; absent or null leaves *value as it is. */
dbk_result dbk_request_number(const dbk_json_node *request, const char *name, int64_t low, int64_t high, int64_t *value,
                              dbk_error *err) DBK_MUST_USE;
dbk_result dbk_request_text(const dbk_json_node *request, const char *name, dbk_slice *text,
                            dbk_error *err) DBK_MUST_USE;
/* A member that is true or false; absent or null leaves *value as it is. */
dbk_result dbk_request_flag(const dbk_json_node *request, const char *name, bool *value, dbk_error *err) DBK_MUST_USE;
/* A member that is a time, ms or text; likewise. */
dbk_result dbk_request_time(const dbk_json_node *request, const char *name, int64_t *time_ms,
                            dbk_error *err) DBK_MUST_USE;
/* "at" (a position or a time), "at_time", "order_time" (ms or text). *given: any of them. */
dbk_result dbk_request_moment(const dbk_json_node *request, dbk_moment *at, bool *given, dbk_error *err) DBK_MUST_USE;
/* A store that is only read looks again at how far the log reaches. */
dbk_result dbk_request_refresh(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
void dbk_request_put_hex(dbk_buffer *out, const char *name, dbk_slice bytes); /* ,"name":"0af…" */
void dbk_request_put_u64(dbk_buffer *out, const char *name, uint64_t value);
void dbk_request_put_budget(dbk_buffer *out, uint64_t bytes, uint64_t used); /* request_models.c; used 0: not known */
void dbk_request_put_text(dbk_buffer *out, const char *name, dbk_slice text);
void dbk_request_put_events(dbk_buffer *out, dbk_slice events); /* ,"events":[{"type":…,"subject":…},…] of an entry */
/* What a turn answered. One that was cut short makes `out` fail: the outcome is unknown, as of any lost answer. */
void dbk_request_put_receipt(dbk_buffer *out, const dbk_buffer *receipt);
void dbk_request_put_cursor(dbk_engine *engine, uint64_t position,
                            dbk_buffer *out); /* timeline, generation, position */

/* slow_queries.c: the last queries that took 50 ms or more, for stats. Calls from any thread. */
void dbk_slow_note(dbk_engine *engine, dbk_slice sql, dbk_slice name, int64_t took_ns, dbk_result result);
void dbk_slow_put(dbk_engine *engine, dbk_buffer *out); /* ,"slow_queries":{"count":…,"last":[…]} */

/* request_query.c: a reader of the current model, from the pool or new; leave it in any case of success. */
typedef struct dbk_lent_reader {
    dbk_model_reader *reader;
    uint64_t epoch;
    dbk_file *held;          /* keeps writers off while it lasts */
    bool past;               /* the reader is that of a moment: now, folded from the log */
    struct dbk_async *async; /* of an async model's pool */
} dbk_lent_reader;
dbk_result dbk_reader_borrow(dbk_engine *engine, dbk_lent_reader *lent, dbk_error *err) DBK_MUST_USE;
void dbk_reader_give_back(dbk_engine *engine, dbk_lent_reader *lent);
/* async_reader.c: the same of an async model. DBK_UNAVAILABLE: it has no file yet. `result`: what the reader gave. */
dbk_result dbk_async_borrow(dbk_engine *engine, const dbk_definition *model, dbk_lent_reader *lent,
                            dbk_error *err) DBK_MUST_USE;
void dbk_async_give_back(dbk_lent_reader *lent, dbk_result result);
/* The async model that a request names by "model"; NULL: the inline one, or none is named. DBK_NOT_FOUND. */
dbk_result dbk_request_model(dbk_engine *engine, const dbk_json_node *request, const dbk_definition **model,
                             dbk_error *err) DBK_MUST_USE;

#endif
