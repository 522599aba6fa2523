/* Internal to reader/: a connection that only reads. */
#ifndef DBK_PROJECTOR_READER_INTERNAL_H
#define DBK_PROJECTOR_READER_INTERNAL_H

#include "projector/model/journal.h"
#include "projector/model/memory.h"

enum {
    PARAMETERS_MAX = 100,
    DBK_NAME_MAX_BYTES = 63
}; /* parameters of a client's statement; bytes of a table's name */

struct dbk_model_reader {
    const dbk_port *port;
    const dbk_definition *definition; /* may be NULL */
    sqlite3 *db;
    dbk_sandbox sandbox;
    int usual_limits[SQLITE_LIMIT_WORKER_THREADS + 1];
    sqlite3_stmt *begin, *end, *position; /* position NULL: a plain file */
    int64_t deadline_ns, time_ms;         /* of the query in work, 0: none */
    bool out_of_time;
    dbk_memory_bound memory; /* of the query in work */
    dbk_buffer scratch;
    dbk_log *log; /* of the virtual table `events`; NULL: there is none */
    uint64_t now; /* the model's position in the read transaction in work */
    char missing[DBK_NAME_MAX_BYTES + 1];
    dbk_upcaster *upcaster;
};

/* Of `events` and `daybook_schema`: reader/table.c. */
typedef struct dbk_reader_table {
    sqlite3_vtab base; /* first: SQLite's part */
    dbk_model_reader *reader;
} dbk_reader_table;
int dbk_reader_table_new(sqlite3 *db, dbk_model_reader *reader, const char *declaration, sqlite3_vtab **out);
int dbk_reader_table_free(sqlite3_vtab *table);
/* From here on a query finds the name; a table of the app hides it. */
dbk_result dbk_reader_table_show(dbk_model_reader *reader, const char *name, const sqlite3_module *module,
                                 dbk_error *err) DBK_MUST_USE;
const char *dbk_reader_events_column(size_t index); /* reader/events.c: its name; NULL: there are no more */

/* One statement prepared for a client. The caller finalizes. */
dbk_result dbk_reader_prepare(dbk_model_reader *reader, dbk_slice sql, sqlite3_stmt **out, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_reader_failure(dbk_model_reader *reader, int rc, dbk_error *err);
/* reader/advice.c: a hint beside SQLite's message, where it knows no such table or column. */
void dbk_reader_advise(const dbk_model_reader *reader, const char *message, dbk_error *err);
dbk_result dbk_reader_show_schema(dbk_model_reader *reader, dbk_error *err) DBK_MUST_USE; /* reader/schema.c */
bool dbk_reader_out_of_time(dbk_model_reader *reader); /* reader/reader.c: the clock of the query in work */
/* reader/plan.c: `"columns":["plan"],"rows":[[…],…]` */
dbk_result dbk_reader_put_plan(dbk_model_reader *reader, dbk_slice sql, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
/* reader/values.c: `args` into the parameters of a client's statement, or of a named query. */
dbk_result dbk_reader_bind(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_json_node *args,
                           dbk_error *err) DBK_MUST_USE;
dbk_result dbk_reader_bind_named(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_named_query *query,
                                 const dbk_json_node *args, dbk_error *err) DBK_MUST_USE;
/* `"columns":[…],"rows":[[…],…]`; `returns` may be NULL. */
dbk_result dbk_reader_put_answer(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_named_query *query,
                                 const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;

#endif
