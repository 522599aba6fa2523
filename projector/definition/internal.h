/* Internal to projector/: how a definition is read and checked.
 *   load.c                             sources from a folder, a file or memory
 *   findings.c                         what was found
 *   token.c                            SQL tokens
 * *   scan.c, misspelt.c                 blocks and statements of a file; comments that are nearly directives
 *   schema.c                           DDL into the scratch database
 *   table.c                            tables, keys, indexes
 *   link.c                             foreign keys
 *   hash.c                             what a definition is known by
 *   models.c                           async models: each a run of its own within that of the whole (models.h)
 *   app.c                              app.json, with value.c and one file for each part of it (app.h)
 *   search.c                           search of app.json; model/search.c makes its tables
 *   projection.c, query.c, command.c   the files of directives
 *   upcast.c                           upcasts.sql
 *   schemas.c                          schemas/<name>.json
 *   argument.c                         arguments of commands and queries
 *   check.c                            prepares under the authorizer (model/sandbox.c)
 *   answer.c                           columns that a SELECT answers with
 *   unfold.c                           bounds views and WITH
 *   lint.c                             what only tokens show
 *   type.c                             declared types
 *   lookup.c                           questions to the result
 *
 * One run is one dbk_check. Nothing stops at the first error: every step adds findings and goes on.
 * Out of memory sets `failed` and is looked at between the steps. */
#ifndef DBK_PROJECTOR_DEFINITION_INTERNAL_H
#define DBK_PROJECTOR_DEFINITION_INTERNAL_H

#include <sqlite3.h>

#include "projector/definition.h"
#include "projector/json_schema.h"

enum {
    DBK_FINDINGS_MAX = 200,
    DBK_NAME_MAX = 63,
    DBK_UNFOLD_MAX = 1000,
    DBK_UNFOLD_ALL_MAX = 100000,
    DBK_OBJECTS_MAX = 2000,
    DBK_QUERIES_MAX = 1000,
    DBK_CHECK_STEPS_MAX = 20000,
    DBK_LINKS_MAX = 1000,
    DBK_INDEXES_MAX = 64,
    DBK_ARGUMENTS_MAX = 100
};

/* ---- definition/findings.c */
typedef struct dbk_span { /* bytes of a source; source NULL: of no file */
    const dbk_source *source;
    size_t begin, end;
} dbk_span;

typedef struct dbk_report {
    dbk_arena *arena;
    dbk_finding *items;
    size_t count, errors;
    const char *schema_name; /* what findings call schema.sql; NULL: so */
    bool failed;             /* out of memory */
    bool lacks;              /* a statement of a schema.sql was refused that would have made a table or view */
} dbk_report;

dbk_report *dbk_report_new(const dbk_port *port); /* NULL: out of memory */
/* At the end of a check: where a schema lacks a table for an error of its own, what other files say of tables and columns
 * that are not there says nothing of them: it is left out, which is said once. */
void dbk_report_settle(dbk_report *report);
/* `advice` may be NULL; it is copied. */
void dbk_report_error(dbk_report *report, dbk_span at, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void dbk_report_warning(dbk_report *report, dbk_span at, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Sorted by file, line, column; ownership of the report moves into *out. */
void dbk_report_take(dbk_report *report, dbk_findings *out);

/* ---- definition/token.c */
typedef enum dbk_token_kind {
    DBK_TOKEN_WORD,
    DBK_TOKEN_STRING,
    DBK_TOKEN_QUOTED,
    DBK_TOKEN_NUMBER,
    DBK_TOKEN_PARAMETER,
    DBK_TOKEN_PUNCTUATION,
    DBK_TOKEN_BROKEN
} dbk_token_kind;
typedef struct dbk_token {
    dbk_token_kind kind;
    uint32_t begin, end; /* bytes of the source */
} dbk_token;
/* The size of the white space or comment at `at`, 0: none there. */
size_t dbk_token_blank(dbk_slice text, size_t at);
/* Reads the token at `at`, which is no blank and not the end. */
dbk_token dbk_token_read(dbk_slice text, size_t at);

/* One statement of a source with its tokens (without the ';'). */
typedef struct dbk_sql {
    struct dbk_sql *next;
    const dbk_source *source;
    const char *text; /* from the first token on, NUL-terminated */
    size_t begin, end;
    dbk_token *tokens;
    uint32_t count;
    uint32_t line;
    size_t swallowed; /* where a directive of the file stands inside it, 0: none */
    bool may_change_nothing;
    bool broken; /* said already; not prepared */
} dbk_sql;

dbk_slice dbk_sql_slice(const dbk_sql *sql, uint32_t token);
bool dbk_sql_is(const dbk_sql *sql, uint32_t token, const char *word);   /* a word, either case, or punctuation */
bool dbk_sql_are(const dbk_sql *sql, uint32_t token, const char *words); /* consecutive, "on conflict" */
dbk_span dbk_sql_span(const dbk_sql *sql, uint32_t token);               /* beyond the end: the first token */
/* The token behind the bracket that closes the one at `token`; count when it is not closed. */
uint32_t dbk_sql_skip(const dbk_sql *sql, uint32_t token);
/* The first token that is `name` as an identifier, quoted or not, either case; count: none. */
uint32_t dbk_sql_find(const dbk_sql *sql, uint32_t from, const char *name);
/* An identifier without its quotes, in the arena; NULL when the token is none or out of memory. */
const char *dbk_sql_name(dbk_arena *arena, const dbk_sql *sql, uint32_t token);
bool dbk_sql_named(const dbk_sql *sql, uint32_t token, const char *name); /* that token is `name` so */
bool dbk_name_valid(dbk_slice name);                                      /* [A-Za-z_][A-Za-z0-9_]{0,62} */

/* ---- definition/scan.c */
typedef struct dbk_block {
    struct dbk_block *next;
    const char *word; /* of its directive, static; NULL: what stands before the first one */
    dbk_span line;    /* the directive, without the line's end */
    dbk_sql *first, *last;
} dbk_block;

typedef struct dbk_script {
    dbk_block *first, *last;
} dbk_script;

/* ---- one run */
typedef struct dbk_object { /* a CREATE TABLE, INDEX or VIEW that the scratch database took */
    struct dbk_object *next;
    const char *name;
    const char *on; /* of an index: its table */
    const dbk_sql *sql;
    uint32_t name_token;
    uint32_t body_token; /* the '(' of a table's or index's body, the AS of a view; 0: none */
    enum { DBK_OBJECT_TABLE = 1, DBK_OBJECT_INDEX, DBK_OBJECT_VIEW } kind;
    bool crowded; /* more than DBK_INDEXES_MAX indexes: no more is asked about it */
    bool doubted; /* an error was found in it: its DML is not prepared */
} dbk_object;

typedef struct dbk_link { /* a foreign key between two tables of the definition */
    struct dbk_link *next;
    dbk_table *child, *parent;
    bool acts;     /* CASCADE, SET NULL or SET DEFAULT on delete or update */
    bool deferred; /* DEFERRABLE INITIALLY DEFERRED */
} dbk_link;

typedef struct dbk_check {
    const dbk_port *port;
    dbk_arena *arena; /* becomes the definition's */
    dbk_definition *definition;
    dbk_report *report;
    dbk_script schema, projections, queries, commands, upcasts;
    dbk_object *objects, *last_object;
    dbk_object *refused; /* CREATEs that failed: what misses them is not said again */
    dbk_link *links;
    uint32_t link_count;
    sqlite3 *db;
    dbk_sandbox sandbox;
    bool *read;                  /* per table: a projection reads it */
    bool track;                  /* the authorizer notes what is read */
    bool syntax;                 /* the last refusal was one of the grammar */
    uint32_t steps;              /* thousands of SQLite's instructions run so far */
    uint64_t unfolded;           /* SELECTs of all statements so far */
    struct dbk_bodies *bodies;   /* definition/unfold.c */
    struct dbk_app_reading *app; /* definition/app.h; while app.json is read */
    struct dbk_check *whole;     /* of an async model: the run that this one is part of; else NULL */
    const char *prefix;          /* likewise: its folder with '/'; else NULL */
    struct dbk_taken *taken;     /* definition/models.h: names of the models that were checked already */
    struct dbk_heard *heard;     /* likewise, of the whole: row events that projections name and `main` does not have */
    bool failed;
} dbk_check;

/* The run whose tables have commands, and so events: projections are checked against it. */
static inline dbk_check *dbk_check_of_events(dbk_check *check)
{
    return check->whole ? check->whole : check;
}

void *dbk_check_take(dbk_check *check, size_t count, size_t size); /* zeroed; NULL sets failed */
const char *dbk_check_text(dbk_check *check, dbk_slice text);      /* a copy; NULL sets failed */
const char *dbk_check_printf(dbk_check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
const dbk_source *dbk_check_source(const dbk_check *check, const char *name); /* NULL: none */
/* "did you mean 'x'?" or NULL */
const char *dbk_check_nearest(dbk_check *check, dbk_slice name, const char *const *names, size_t count);
const char *dbk_check_nearest_table(dbk_check *check, dbk_slice name);
const char *dbk_check_nearest_column(dbk_check *check, const dbk_table *table, dbk_slice name);

/* `words` are the directive words of this kind of file, ended by NULL. */
/* Warns of a comment line (source->text from `at` to `end`) that is nearly a directive: misspelt.c. */
void dbk_scan_doubt(dbk_check *check, const dbk_source *source, const char *const *words, size_t at, size_t end);
void dbk_scan(dbk_check *check, const dbk_source *source, const char *const *words, dbk_script *script);

/* A cursor over a directive's line. */
typedef struct dbk_line {
    const char *at, *end;
} dbk_line;
bool dbk_line_take(dbk_line *line, const char *text); /* false: something else stands there */
bool dbk_line_name(dbk_line *line, dbk_slice *name);
bool dbk_line_string(dbk_line *line, dbk_slice *literal); /* an SQL string with its quotes */
void dbk_line_lookalike(dbk_check *check, const dbk_block *block, const char *advice);

/* ---- definition/argument.c */
typedef struct dbk_signature {
    dbk_argument items[DBK_ARGUMENTS_MAX];
    uint16_t count;
} dbk_signature;
dbk_span dbk_line_span(const dbk_block *block, dbk_slice part); /* a part of the directive's line */
bool dbk_line_type(dbk_check *check, const dbk_block *block, dbk_line *line, dbk_column_type *type);
/* "(name TYPE?, …)"; `given`, ended by NULL, are names that the engine binds itself. */
bool dbk_line_signature(dbk_check *check, const dbk_block *block, dbk_line *line, const char *const *given,
                        dbk_signature *signature);
dbk_argument *dbk_signature_keep(dbk_check *check, const dbk_signature *signature); /* a copy */
/* "did you mean 'x'?" or NULL */
const char *dbk_signature_nearest(dbk_check *check, const dbk_signature *signature, const char *name);
/* The token of a parameter (":name"); 0: not found. */
uint32_t dbk_sql_parameter(const dbk_sql *sql, const char *name);

/* definition/models.c: another model has a table or view, or a query, of that name: the model's name; else NULL. */
const char *dbk_check_taken(const dbk_check *check, const char *object);
const char *dbk_check_query_taken(const dbk_check *check, const char *query);

/* ---- the steps, in their order */
void dbk_check_scan(dbk_check *check);                 /* the sources' texts into blocks and statements */
bool dbk_check_open(dbk_check *check, dbk_error *err); /* the scratch database */
void dbk_check_close(dbk_check *check);
void dbk_check_app(dbk_check *check);                               /* app.json: name and version */
void dbk_check_app_tables(dbk_check *check);                        /* rules of tables */
bool dbk_check_is_search(const dbk_check *check, const char *name); /* app.json declares such a search */
void dbk_check_app_search(dbk_check *check); /* search: behind the projections, before what may ask it */
void dbk_check_app_rest(dbk_check *check);   /* what needs the whole definition */
void dbk_check_app_close(dbk_check *check);
void dbk_check_schema(dbk_check *check); /* runs the DDL */
void dbk_check_tables(dbk_check *check); /* fills definition->tables */
void dbk_check_links(dbk_check *check);
void dbk_check_projections(dbk_check *check);
void dbk_check_queries(dbk_check *check);
void dbk_check_rows(dbk_check *check);    /* INSERT, UPDATE, DELETE of each table */
void dbk_check_classes(dbk_check *check); /* collection, row_local, self_contained … */
void dbk_check_ties(dbk_check *check);    /* tied; behind what the classes rest on */
void dbk_check_upcasts(dbk_check *check);
void dbk_check_schemas(dbk_check *check);
void dbk_check_commands(dbk_check *check); /* after the classes: only collections are written */

/* The token of a column's definition in its table's DDL; 0: not found. */
uint32_t dbk_object_column(const dbk_object *object, const char *column);
dbk_table *dbk_check_table(dbk_check *check, const char *name);   /* either case; NULL: none */
dbk_object *dbk_check_object(dbk_check *check, const char *name); /* a table or view; NULL: none */
/* Prepares SQL of the check's own with SQLite's formats (%Q); NULL: out of memory (sets failed). */
sqlite3_stmt *dbk_check_ask(dbk_check *check, const char *format, ...);
/* Prepares under the authorizer; says what is wrong and gives NULL when it fails. */
sqlite3_stmt *dbk_check_prepare(dbk_check *check, const dbk_sql *sql, dbk_sql_role role);
/* SQLite's last refusal of `sql` as a finding. */
void dbk_check_refused(dbk_check *check, const dbk_sql *sql);
void dbk_check_plan(dbk_check *check, const dbk_sql *sql); /* warns of scans */
/* false: it unfolds views or WITH to more than DBK_UNFOLD_MAX; said. */
bool dbk_check_unfold(dbk_check *check, const dbk_sql *sql);

/* ---- definition/lint.c: of one statement */
void dbk_lint_table(dbk_check *check, const dbk_object *object);
void dbk_lint_index(dbk_check *check, const dbk_object *object);
void dbk_lint_projection(dbk_check *check, const dbk_sql *sql);
/* The table that an INSERT, UPDATE or DELETE writes: its token; count: none found. */
uint32_t dbk_lint_target(const dbk_sql *sql);

/* ---- definition/type.c */
typedef enum dbk_affinity {
    DBK_AFFINITY_INTEGER,
    DBK_AFFINITY_TEXT,
    DBK_AFFINITY_BLOB,
    DBK_AFFINITY_REAL,
    DBK_AFFINITY_NUMERIC
} dbk_affinity;
dbk_affinity dbk_affinity_of_declared(const char *declared);

/* ---- model/sandbox.c, model/sandbox_date.c */
int dbk_sandbox_authorize(void *sandbox, int action, const char *first, const char *second, const char *database,
                          const char *inside);
dbk_result dbk_sandbox_texts(sqlite3 *db, dbk_error *err) DBK_MUST_USE;   /* model/sandbox_text.c */
dbk_result dbk_sandbox_formats(sqlite3 *db, dbk_error *err) DBK_MUST_USE; /* model/sandbox_format.c */
dbk_result dbk_sandbox_dates(sqlite3 *db, dbk_sandbox *sandbox, dbk_error *err) DBK_MUST_USE;

#endif
