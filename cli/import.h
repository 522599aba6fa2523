/* What daybook import knows of an SQLite file. Internal to the command.
 *
 * import_source.c reads the file's structure, import_types.c looks at the values and chooses types that hold
 * every one of them unchanged, import_keys.c decides on keys, references and the order of tables,
 * import_schema.c writes the definition and takes out piece by piece what check refuses, import_rows.c sends
 * the rows. Texts live in the arena. */
#ifndef DBK_CLI_IMPORT_H
#define DBK_CLI_IMPORT_H

#include <sqlite3.h>

#include "cli/cli.h"

enum { DBK_IMPORT_NAME_MAX = 63 };

typedef struct dbk_import_column {
    const char *from, *name;          /* in the file, and here */
    const char *declared, *collation; /* "" : none */
    const char *type;                 /* "" : takes any plain value as it is */
    uint16_t key_part;                /* of the file's primary key; 0: not in it */
    bool not_null, late;              /* late: refers to rows that come after its own, so it is patched in */
    bool has_null, has_integer, has_real, has_text, has_blob;
    bool no_boolean, no_time, no_uuid, no_json; /* a value is none */
} dbk_import_column;

enum { DBK_IMPORT_REASONS_MAX = 3 };
typedef struct dbk_import_refusal { /* one reason, and the key of the first row that it met */
    char reason[256], row[64];      /* row as JSON, "": it cannot be shown */
    uint64_t rows;
} dbk_import_refusal;

typedef struct dbk_import_table {
    const char *from, *name, *sql;
    dbk_import_column *columns;
    size_t column_count;
    bool without_rowid, left_out, ranked;
    const char *rowid;      /* own key: the file's name for the rowid; NULL: the file's own primary key serves */
    const char *rowid_name; /* and the name here */
    uint64_t rows, fresh, again, refused;
    dbk_import_refusal reasons[DBK_IMPORT_REASONS_MAX];
    size_t reason_count;            /* of those; rows refused for more reasons count in `refused` alone */
    uint32_t first_line, last_line; /* in the definition */
} dbk_import_table;

typedef enum dbk_import_kind {
    DBK_IMPORT_DEFAULT,
    DBK_IMPORT_UNIQUE,
    DBK_IMPORT_CHECK,
    DBK_IMPORT_REFERENCE,
    DBK_IMPORT_INDEX,
    DBK_IMPORT_VIEW
} dbk_import_kind;
/* What can be taken out of the definition alone. */
typedef struct dbk_import_piece {
    dbk_import_kind kind;
    const char *name, *sql;
    dbk_import_table *table;   /* NULL: a view */
    dbk_import_column *column; /* of a default */
    dbk_import_table *parent;  /* of a reference, and its columns */
    dbk_import_column **children;
    size_t child_count;
    bool left_out;
    uint32_t first_line, last_line;
} dbk_import_piece;

typedef struct dbk_import_note {
    bool changed; /* else left out */
    const char *what, *name, *reason;
} dbk_import_note;

typedef struct dbk_import {
    const dbk_port *port;
    dbk_arena *arena;
    sqlite3 *db;
    dbk_json_parser *parser;
    dbk_buffer scratch;
    const char *name; /* of the app */
    dbk_import_table *tables;
    size_t table_count, piece_count, note_count, piece_room, note_room, name_count, name_room;
    dbk_import_piece *pieces;
    dbk_import_note *notes;
    const char **names;       /* of tables, indexes and views, taken */
    dbk_import_table **order; /* parents first */
    bool no_memory;
    uint64_t rows;
    size_t warnings;
    dbk_buffer schema, app;
} dbk_import;

/* import_source.c */
dbk_result dbk_import_open(dbk_import *import, const char *file, dbk_error *err) DBK_MUST_USE;
void dbk_import_close(dbk_import *import);
dbk_result dbk_import_read(dbk_import *import, dbk_error *err) DBK_MUST_USE;

/* import_types.c: one pass over all rows; counts them */
dbk_result dbk_import_choose_types(dbk_import *import, dbk_error *err) DBK_MUST_USE;

/* import_keys.c */
dbk_result dbk_import_choose_keys(dbk_import *import, dbk_error *err) DBK_MUST_USE;
/* Which references the rows hold, and the order of tables that meets them. */
dbk_result dbk_import_choose_order(dbk_import *import, dbk_error *err) DBK_MUST_USE;

/* import_schema.c: schema and app.json that check accepts */
dbk_result dbk_import_propose(dbk_import *import, dbk_error *err) DBK_MUST_USE;

/* import_rows.c: DBK_REJECTED: some rows were refused, each table says how many and why */
dbk_result dbk_import_rows(dbk_import *import, dbk_store *store, dbk_error *err) DBK_MUST_USE;

/* import_text.c: small things; what they return is in the arena, "" when there is no memory (no_memory is set) */
void *dbk_import_take(dbk_import *import, size_t count, size_t size); /* zeroed; NULL: no memory */
const char *dbk_import_copy(dbk_import *import, const char *text);
const char *dbk_import_printf(dbk_import *import, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A name that a definition may use, made of the file's; `taken` are those it must differ from. */
const char *dbk_import_name(dbk_import *import, const char *from, const char *const *taken, size_t count);
void dbk_import_keep_name(dbk_import *import, const char *name);     /* among those of tables, indexes, views */
void dbk_import_put_name(dbk_buffer *out, const char *name);         /* quoted where SQL has the word for itself */
const char *dbk_import_quoted(dbk_import *import, const char *from); /* "as the file says it" */
const char *dbk_import_shown(dbk_import *import, const char *text);  /* UTF-8, whatever a damaged file says */
void dbk_import_note_left_out(dbk_import *import, const char *what, const char *name, const char *reason);
void dbk_import_note_changed(dbk_import *import, const char *what, const char *name, const char *reason);
/* Whether a statement has the word, outside of names in quotes, texts and comments. */
bool dbk_import_says(const char *sql, const char *word);
dbk_import_piece *dbk_import_add_piece(dbk_import *import, dbk_import_kind kind, dbk_import_table *table,
                                       const char *name, const char *sql);
dbk_import_table *dbk_import_find_table(dbk_import *import, const char *from);
dbk_import_column *dbk_import_find_column(const dbk_import_table *table, const char *from);
sqlite3_stmt *dbk_import_prepare(dbk_import *import, const char *sql, dbk_error *err); /* NULL: failed */
dbk_result dbk_import_finish(dbk_import *import, sqlite3_stmt *statement, int rc,
                             dbk_error *err); /* rc of the last step */

#endif
