/* Internal to model/: what a model knows of its journal, and the fixed statements of these files. */
#ifndef DBK_PROJECTOR_MODEL_JOURNAL_H
#define DBK_PROJECTOR_MODEL_JOURNAL_H

#include "projector/model/internal.h"

/* The tables' last positions are written once in so many commits: the newest commit rows, whose keys name
 * their tables, say the rest at open. A write of its own for each commit costs one page of the WAL. */
enum { DBK_JOURNAL_ROWS_DEFAULT = 1000000, DBK_MODEL_FORMAT = 3, DBK_LASTS_EVERY = 64 };

enum { /* places in model->statements */
       DBK_SQL_BEGIN,
       DBK_SQL_BEGIN_READING,
       DBK_SQL_COMMIT,
       DBK_SQL_PUT_COMMIT,
       DBK_SQL_PUT_LAST,
       DBK_SQL_OLDEST,
       DBK_SQL_PRUNE,
       DBK_SQL_DROP_EMPTY,
       DBK_SQL_KEYS_AT,
       DBK_SQL_KEYS_ABOVE,
       DBK_SQL_SKIPS,
       DBK_SQL_PAGES,
       DBK_SQL_PLACES
};
_Static_assert((int)DBK_SQL_PLACES <= (int)DBK_STATEMENTS_OF_MODEL, "the other places belong to others");

#define DBK_COUNT_PAGES "PRAGMA main.page_count"

/* As committed; a commit works on a copy and puts it here when COMMIT has succeeded. */
typedef struct dbk_journal {
    uint64_t rows;         /* (position, table, key) at positions above the floor */
    uint64_t newest_rows;  /* of the newest commit row */
    uint32_t behind;       /* commit rows at or below the floor, not deleted yet */
    bool has_commit;       /* there is a newest commit row */
    uint64_t anew;         /* since it was opened it was begun anew there, and has all changes since; 0: it was not */
    dbk_buffer keys;       /* scratch: the encoded keys of a commit */
    int64_t *last;         /* per table of the definition: position of its last change, -1: never */
    int64_t *next_last;    /* the same with the commit in work */
    int64_t *written;      /* what _daybook_tables holds, which may lag behind: DBK_LASTS_EVERY */
    uint32_t unwritten;    /* commits since it was brought up to date */
    sqlite3_stmt **select; /* per table: one row by its key, made when first asked for */
} dbk_journal;

/* model/model.c: the file comes into being here, closed to other users, and goes with what SQLite puts beside it. */
dbk_result dbk_model_make_file(const dbk_port *port, const char *path, dbk_error *err) DBK_MUST_USE;
void dbk_model_remove_file(const dbk_port *port, const char *path);
void dbk_sqlite_configure(void); /* model/model.c; once per process, any thread */

/* model/schema.c */
dbk_result dbk_model_configure(dbk_model *model, dbk_error *err) DBK_MUST_USE; /* pragmas and settings */
dbk_result dbk_model_make_schema(dbk_model *model, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_check_schema(dbk_model *model,
                                  dbk_error *err) DBK_MUST_USE; /* is it ours and of this definition */
dbk_result dbk_model_exec(dbk_model *model, const char *sql, const char *what, dbk_error *err) DBK_MUST_USE;
/* One statement that gives no row; resets it. */
dbk_result dbk_model_run(dbk_model *model, sqlite3_stmt *statement, const char *what, dbk_error *err) DBK_MUST_USE;

/* model/sql_failure.c: as dbk_model_sql_failure, for any connection; db may be NULL */
dbk_result dbk_sql_failure(sqlite3 *db, int rc, const char *what, dbk_error *err);

/* model/select.c: SELECT of all columns of a table in its order */
void dbk_put_name(dbk_buffer *sql, const char *name); /* quoted */
dbk_result dbk_select_by_key(dbk_model *model, const dbk_table *table, sqlite3_stmt **out,
                             dbk_error *err) DBK_MUST_USE; /* cached */
/* All rows; `sorted`: in order of the key by SQLite's comparison. The caller finalizes. */
dbk_result dbk_select_all(dbk_model *model, const dbk_table *table, bool sorted, sqlite3_stmt **out,
                          dbk_error *err) DBK_MUST_USE;
void dbk_row_put_json(const dbk_table *table, sqlite3_stmt *row, dbk_buffer *out);
void dbk_row_put_values(const dbk_table *table, dbk_slice values,
                        dbk_buffer *out); /* the same, as the observer has it */
/* dbk_sandbox_install, with the codes of SQLite's failures */
dbk_result dbk_sql_guard(sqlite3 *db, dbk_sandbox *sandbox, dbk_error *err) DBK_MUST_USE;

/* model/path.c: the folder of a path, opened, and the name in it; close in any case */
typedef struct dbk_path_parts {
    const char *name; /* in the path given */
    char *folder;
} dbk_path_parts;
dbk_result dbk_path_open(const dbk_port *port, const char *path, dbk_path_parts *parts, dbk_dir **dir,
                         dbk_error *err) DBK_MUST_USE;
void dbk_path_close(const dbk_port *port, dbk_path_parts *parts, dbk_dir *dir);
dbk_result dbk_path_check(const dbk_port *port, const char *path, dbk_error *err) DBK_MUST_USE; /* a file is there */

/* model/state.c: state and journal as the file has them */
dbk_result dbk_journal_open(dbk_model *model, dbk_error *err) DBK_MUST_USE;
void dbk_journal_close(dbk_model *model);
dbk_result dbk_model_load_state(dbk_model *model, dbk_error *err) DBK_MUST_USE;

/* model/difference.c */
dbk_result dbk_model_difference(dbk_model *mine, dbk_model *other, dbk_error *err) DBK_MUST_USE;

/* model/narrow.c: `usable`: the rows named by the journals of both are all in which they may differ */
typedef struct dbk_narrow {
    bool usable;
    dbk_buffer keys; /* dbk_narrow_key … */
    dbk_arena *arena;
    uint64_t mine, other;      /* of a comparison before the switch: where both stood */
    struct dbk_narrow *before; /* that one; borrowed, or NULL */
} dbk_narrow;
void dbk_narrow_init(dbk_narrow *narrow, const dbk_port *port);
void dbk_narrow_release(dbk_narrow *narrow);
/* Before the shadow's journal goes. */
dbk_result dbk_narrow_collect(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err) DBK_MUST_USE;
/* The same, of what came behind dbk_model_compare_ahead, where that was. */
dbk_result dbk_narrow_collect_since(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err) DBK_MUST_USE;
void dbk_narrow_forget(dbk_model *shadow);
/* As dbk_model_difference. */
dbk_result dbk_narrow_note(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err) DBK_MUST_USE;

/* model/keys.c: the keys of a commit: per table u16 name length, name, u32 count, per key u32 length, key */
void dbk_keys_encode(dbk_buffer *out, const dbk_change *changes, size_t count);
typedef struct dbk_keys_walk {
    dbk_reader rest;
    uint32_t left; /* keys of the table in work */
    dbk_slice table;
} dbk_keys_walk;
void dbk_keys_begin(dbk_keys_walk *walk, dbk_slice keys);
bool dbk_keys_next(dbk_keys_walk *walk, dbk_slice *key); /* false: the end, or damage (walk->rest.failed) */
/* Each key of each commit above that position; key and table's name are the callback's until it returns. */
typedef dbk_result (*dbk_key_above_fn)(void *arg, dbk_slice table, dbk_slice key, dbk_error *err);
dbk_result dbk_model_keys_above(dbk_model *model, uint64_t above, dbk_key_above_fn each, void *arg,
                                dbk_error *err) DBK_MUST_USE;

#endif
