/* The app definition: plain text in, checked tables, projections and queries out (app-format.md).
 *
 * A definition never changes once it is loaded (dbk_definition_set_ancestors comes before it is shared): any thread
 * may read it. All that it points to is its own, until dbk_definition_free. */
#ifndef DBK_PROJECTOR_DEFINITION_H
#define DBK_PROJECTOR_DEFINITION_H

#include "base/base.h"

enum {
    DBK_TABLES_MAX = 200,
    DBK_MODELS_MAX = 32,
    DBK_COLUMNS_MAX = 200,
    DBK_KEY_MAX_BYTES = 1024,
    DBK_STREAM_MAX_BYTES = 2048,
    DBK_SOURCE_MAX_BYTES = 1024 * 1024,
    DBK_ENTRY_ROWS_MAX = 100000,    /* rows changed by one entry */
    DBK_ENTRY_WRITTEN_MAX_MIB = 256 /* … and what these changes write, together */
};

typedef enum dbk_column_type {
    DBK_TYPE_TEXT,
    DBK_TYPE_INTEGER,
    DBK_TYPE_REAL,
    DBK_TYPE_BOOLEAN,
    DBK_TYPE_DATETIME,
    DBK_TYPE_UUID,
    DBK_TYPE_JSON,
    DBK_TYPE_BLOB,
    DBK_TYPE_ANY
} dbk_column_type;

typedef struct dbk_column {
    const char *name;
    const char *declared;    /* as written, "" when none */
    const char *default_sql; /* NULL: none */
    dbk_column_type type;
    bool not_null;
    bool real_affinity; /* SQLite would store 2 as 2.0 */
    uint16_t key_part;  /* 1, 2 … in the primary key; 0: not in it */
} dbk_column;

typedef struct dbk_rules dbk_rules; /* projector/rules.h */

enum { DBK_REFERENCES_MAX = 16 };
typedef struct dbk_table dbk_table;
typedef struct dbk_reference { /* a foreign key */
    const dbk_table *parent;
    uint16_t *columns; /* of the child, in the order of the parent's key */
} dbk_reference;

struct dbk_table {
    const char *name;
    dbk_column *columns; /* in order of the DDL: index = SQLite's column number */
    uint16_t column_count, key_count;
    uint16_t *key_columns; /* column numbers in order of the key */
    uint16_t *by_name;     /* column numbers in order of the names' bytes */
    bool without_rowid;
    bool collection;   /* no projection writes it: put, patch, delete work on it */
    bool integer_key;  /* one INTEGER key column: the engine may make it (max + 1) */
    bool row_local;    /* F6: collection, no foreign key to or from it, no UNIQUE but its key,
                                read by no projection */
    bool free_columns; /* no CHECK, no index of expressions or of some rows: what one column holds is no other's
                                matter */
    bool tied;         /* foreign keys to or from it and UNIQUE are all that keeps it from being row_local; of such
                               a table, and only of it: */
    bool referenced;   /* - others have foreign keys to it */
    bool unique;       /* - it has a UNIQUE beside its key */
    bool *ties;        /* - per column: it is of a foreign key or a UNIQUE; NULL: not asked */
    dbk_reference *references;
    uint16_t reference_count;
    bool deferrable;        /* a deferrable foreign key can be reached from a change of it */
    bool self_contained;    /* no other row or table can change with it (no cascade, no deferrable key) */
    uint32_t version;       /* type version of its events */
    const dbk_rules *rules; /* what app.json says of it; NULL: nothing */
};

typedef struct dbk_statement {
    const char *sql;         /* one statement, without the directive */
    bool may_change_nothing; /* marked -- may change nothing */
    const char *file;
    uint32_t line;
} dbk_statement;

typedef struct dbk_projection { /* one "-- on pattern" with its block; a block with several patterns gives several */
    const char *pattern;        /* "job.progressed", "job.*", "*" */
    dbk_statement *statements;
    uint32_t statement_count;
} dbk_projection;

typedef struct dbk_argument {
    const char *name;
    dbk_column_type type;
    bool optional;           /* name? */
    const char *default_sql; /* = literal, NULL: none */
} dbk_argument;

typedef struct dbk_named_query {
    const char *name;
    const char *sql;
    dbk_argument *arguments;
    uint16_t argument_count;
    dbk_column_type *returns; /* of `returns (…)`, NULL: none */
    uint16_t return_count;
} dbk_named_query;

typedef struct dbk_app dbk_app; /* what app.json says of the whole: projector/rules.h */
/* One step of a command of commands.sql: a SELECT whose rows are asked or emitted. */
typedef enum dbk_command_step_kind {
    DBK_STEP_REQUIRE,
    DBK_STEP_LET,
    DBK_STEP_PUT,
    DBK_STEP_PATCH,
    DBK_STEP_DELETE,
    DBK_STEP_APPEND
} dbk_command_step_kind;
typedef struct dbk_command_step {
    dbk_command_step_kind kind;
    const char *sql;
    const char *text;       /* of -- require and -- else, {name} inserts a value; NULL: none */
    bool may_be_empty;      /* -- else ok */
    const char *name;       /* -- let: what it binds */
    const dbk_table *table; /* PUT, PATCH, DELETE */
    int16_t *columns;       /* what each column of the result is: a column of the table, or DBK_STEP_… below */
    uint16_t column_count;
    uint32_t line; /* in commands.sql */
} dbk_command_step;
enum { DBK_STEP_EXPECT = -1, DBK_STEP_TYPE = -2, DBK_STEP_STREAM = -3, DBK_STEP_DATA = -4 };

typedef struct dbk_app_command {
    const char *name; /* "job.start" */
    dbk_argument *arguments;
    uint16_t argument_count;
    dbk_command_step *steps;
    uint32_t step_count;
    const char *returns_sql; /* -- return; NULL: none */
    uint32_t line, returns_line;
} dbk_app_command;

typedef struct dbk_upcast { /* the data of a type, one version on */
    const char *type;
    uint32_t from, to;
    const char *sql;
    uint32_t line;      /* in upcasts.sql */
    uint32_t span_line; /* byte of its directive */
} dbk_upcast;

struct dbk_json_schema;
typedef struct dbk_named_schema { /* schemas/<name>.json: of a table's rows, else of a type's data */
    const char *name;
    struct dbk_json_schema *schema; /* projector/json_schema.h */
} dbk_named_schema;

typedef struct dbk_source { /* a file of the definition as it was read */
    const char *name;       /* "schema.sql", "app.json" … */
    dbk_slice text;
} dbk_source;

/* Of a model's file; and how many of them the engine's own tables are, while they are empty. */
enum { DBK_MODEL_PAGE_BYTES = 4096, DBK_MODEL_OWN_PAGES = 6 };

typedef struct dbk_definition {
    uint8_t hash[16]; /* digest "def" over the sources in order of name: (u32 length, name, u32 length, text)… */
    uint8_t (*ancestors)[16]; /* hashes of the definitions before it, oldest first */
    uint32_t ancestor_count;
    const char *name; /* app.json's, else the file's or folder's */
    uint32_t version; /* app.json's, else 1: type version of collection events */
    dbk_source *sources;
    size_t source_count;
    const char *schema_sql; /* the DDL, verbatim */
    dbk_table *tables;      /* in order of the DDL; those of search are not among them */
    size_t table_count;
    dbk_projection *projections; /* in file order */
    size_t projection_count;
    dbk_named_query *queries;
    size_t query_count;
    const dbk_app *app;        /* never NULL; empty without app.json */
    dbk_app_command *commands; /* in file order */
    size_t command_count;
    size_t undo_count;   /* behind the commands, in file order: -- undo; the name is the type */
    dbk_upcast *upcasts; /* sorted by type and version */
    size_t upcast_count;
    dbk_named_schema *schemas; /* sorted by name */
    size_t schema_count;
    /* Async models. Each is a definition of its own: tables that only projections write, projections, queries; the
     * upcasts of the whole; a hash over what its rows follow from. That of the whole is the same with and without
     * them. */
    struct dbk_definition **models; /* in order of app.json; theirs are none */
    size_t model_count;
    const struct dbk_definition *whole; /* of an async model: what it is part of, freed with it; else NULL */
    const char *model;                  /* of an async model: its name; NULL: this is the whole, and its inline model */
    const struct dbk_model_rule *rule;  /* likewise: what app.json says of it */
    bool no_feed, no_journal, no_fingerprint; /* what the model's row observer is not asked for */
    uint32_t readers, cache_pages;            /* of the inline model; 0: default */
    const char *file;                         /* of the inline model; NULL: main.sqlite */
    bool no_undo;                             /* the inline model's entries are not undone */
    uint64_t budget_bytes;                    /* of the model's file; 0: none */
    const char **views;                       /* of an async model */
    size_t view_count;
    void *owner; /* memory: dbk_definition_free */
} dbk_definition;

/* One thing that check found. Texts live as long as the report; they are UTF-8 whatever bytes the names of files are. */
typedef struct dbk_finding {
    bool warning; /* else an error */
    const char *file;
    uint32_t line, column;   /* from 1; 0: the whole file */
    const char *source_line; /* the offending line, "" when none */
    uint32_t caret_length;
    const char *text;   /* what is wrong */
    const char *advice; /* what to write instead, "" when none */
} dbk_finding;

typedef struct dbk_findings {
    const dbk_finding *items;
    size_t count, errors;
    void *owner;
} dbk_findings;
void dbk_findings_free(dbk_findings *findings);
/* "file:line:column: error: text", the line, a caret, "  write: advice"; plain text. */
void dbk_findings_print(const dbk_findings *findings, dbk_buffer *out);
void dbk_findings_json(const dbk_findings *findings, dbk_buffer *out); /* one JSON object per line */

/* Reads a folder (schema.sql, projections.sql, commands.sql, queries.sql, upcasts.sql, app.json, schemas/) or one
 * file ending in .sql from `path`. Everything that is wrong is in *findings (always filled; free it); *out is set only
 * when there is no error. DBK_SCHEMA: findings->errors > 0; DBK_MISSING, DBK_IO: it could not be read. What cannot be
 * carried out here (files, jobs, …) is an error that names it. */
dbk_result dbk_definition_load(const dbk_port *port, const char *path, dbk_definition **out, dbk_findings *findings,
                               dbk_error *err) DBK_MUST_USE;
/* The same from texts in memory; the sources are copied. */
dbk_result dbk_definition_parse(const dbk_port *port, const dbk_source *sources, size_t count, const char *name,
                                dbk_definition **out, dbk_findings *findings, dbk_error *err) DBK_MUST_USE;
/* Names what came before it (oldest first); copied. For tests `hash` may replace the computed one (NULL: keep). */
dbk_result dbk_definition_set_ancestors(dbk_definition *definition, const uint8_t (*ancestors)[16], uint32_t count,
                                        const uint8_t *hash, dbk_error *err) DBK_MUST_USE;
void dbk_definition_free(dbk_definition *definition); /* accepts NULL */

/* The type that a declared type means (app-format.md §5.6): by name, else by SQLite's affinity rules. */
dbk_column_type dbk_type_of_declared(const char *declared);
const dbk_table *dbk_definition_table(const dbk_definition *definition, dbk_slice name); /* NULL: none */
int dbk_table_column(const dbk_table *table, dbk_slice name);                            /* -1: none */
/* The same for names in their own order, as events have them: *place begins at 0. */
int dbk_table_column_sorted(const dbk_table *table, dbk_slice name, uint32_t *place);
/* The same for names that come in the order of the columns: *guess is where to look first, then the one behind. */
int dbk_table_column_near(const dbk_table *table, dbk_slice name, uint16_t *guess);
const dbk_named_query *dbk_definition_query(const dbk_definition *definition, dbk_slice name); /* NULL: none */
/* The async model of that name; the one that has a table or view, or a query, of that name. NULL: none. */
const dbk_definition *dbk_definition_model(const dbk_definition *definition, dbk_slice name);
const dbk_definition *dbk_definition_model_with(const dbk_definition *definition, dbk_slice table);
const dbk_definition *dbk_definition_model_asked(const dbk_definition *definition, dbk_slice query);
const dbk_app_command *dbk_definition_command(const dbk_definition *definition, dbk_slice name);       /* NULL: none */
const dbk_app_command *dbk_definition_undo(const dbk_definition *definition, dbk_slice type);          /* NULL: none */
const struct dbk_json_schema *dbk_definition_schema(const dbk_definition *definition, dbk_slice name); /* NULL: none */
/* The version that events of the type are written with: the table's, else the app's. */
uint32_t dbk_definition_type_version(const dbk_definition *definition, dbk_slice type);
bool dbk_pattern_matches(const char *pattern, dbk_slice type); /* app-format.md §2 */
/* "notes.put" -> table and DBK_OP_…; false: not the event type of a table of the definition. */
typedef enum dbk_row_op { DBK_OP_PUT, DBK_OP_PATCHED, DBK_OP_DELETED } dbk_row_op;
bool dbk_definition_row_event(const dbk_definition *definition, dbk_slice type, const dbk_table **table,
                              dbk_row_op *op);

/* The columns of what a SELECT of the definition answers, found in a scratch database with its schema. */
typedef struct dbk_answer_column {
    const char *name;
    dbk_column_type type;   /* ANY: SQLite knows none */
    const dbk_table *table; /* where it comes from as it is; NULL: computed, or from a view */
    int column;             /* of that table */
    bool not_null;          /* only where it is certain */
} dbk_answer_column;
typedef struct dbk_answers dbk_answers;
dbk_result dbk_answers_open(const dbk_port *port, const dbk_definition *definition, dbk_answers **out,
                            dbk_error *err) DBK_MUST_USE;
void dbk_answers_close(dbk_answers *answers); /* accepts NULL */
/* `returns` (NULL: none) names types as `-- query … returns` does. Texts given to `each` live for the call. */
dbk_result dbk_answers_of(dbk_answers *answers, const char *sql, const dbk_column_type *returns, size_t return_count,
                          void (*each)(void *arg, const dbk_answer_column *column), void *arg,
                          dbk_error *err) DBK_MUST_USE;

/* Registers on an SQLite connection (sqlite3 *) what makes SQL deterministic: the functions of §8 with
 * the event's time, refusal of random and clocks, the authorizer for the role. Used by check on its
 * scratch database and by the model. *time_ms is read at each call and must outlive the connection. */
typedef enum dbk_sql_role { DBK_SQL_DDL, DBK_SQL_PROJECTION, DBK_SQL_QUERY, DBK_SQL_ENGINE } dbk_sql_role;
struct sqlite3;
typedef struct dbk_sandbox {
    dbk_sql_role role;  /* may be changed between statements; ENGINE allows all */
    const dbk_app *app; /* its search tables are there, and kept right; NULL: none */
    bool answering;     /* a query runs: what is compiled now is FTS5's own */
    bool by_client;     /* the query is a client's text, not the definition's */
    int64_t time_ms;    /* what CURRENT_TIMESTAMP and datetime('now') mean */
    char denied[160];   /* why the authorizer said no, "" if it did not */
} dbk_sandbox;
dbk_result dbk_sandbox_install(struct sqlite3 *db, dbk_sandbox *sandbox, dbk_error *err) DBK_MUST_USE;

#endif
