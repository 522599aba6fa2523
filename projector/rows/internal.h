/* Internal to rows/: the entry in work, and what the files there share.
 *
 *   entry.c      begin, end, drop, savepoint        decide.c   put, patch, delete (put.c, patch.c, deep.c)
 *   key.c        keys of streams                    append.c   append, engine events
 *   keyed.c      keys in what projections are offered
 *   value.c      values by declared type            apply.c    facts: the fold's step
 *   cell.c       values between JSON and SQLite     merge.c    RFC 7396
 *   json.c       is a text JSON                     upcast.c   old versions of events
 *   statement.c  prepared statements of a table     project.c  projections, bounded by bound.c
 *   fresh.c      entries not yet in the log         history.c  versions and last writers
 *   judge.c      JSON Schema (judge_setting.c)      orders.c   async models: what they leave out, where they stop
 *   trail.c      what an entry changed, told        alone.c    one row's history by itself
 *   select.c     SELECTs of the embedding process
 *   command.c, command_values.c                     commands of the app (command.h)
 *   ruled.c, state.c, field.c, surplus.c, fact.c, make_key.c   tables with rules of app.json (rules.h)
 *   undo_rows.c, undo_steps.c, undo_events.c        undo (undo.h) */
#ifndef DBK_PROJECTOR_ROW_INTERNAL_H
#define DBK_PROJECTOR_ROW_INTERNAL_H

#include "projector/model/journal.h"
#include "projector/model/memory.h"

enum { DBK_MASK_WORDS = (DBK_COLUMNS_MAX + 63) / 64, DBK_ENGINE_STATEMENT_FIRST = 12 };

/* Places in model->statements that belong to rows/. */
enum {
    DBK_PLACE_SKIP_SET = DBK_ENGINE_STATEMENT_FIRST,
    DBK_PLACE_SKIP_GET,
    DBK_PLACE_DISMISS,
    DBK_PLACE_RECORD_SET,
    DBK_PLACE_RECORD_GET,
    DBK_PLACE_SAVEPOINT,
    DBK_PLACE_RELEASE,
    DBK_PLACE_ROLLBACK,
    DBK_PLACE_RECORD_GONE = 22,
    DBK_PLACE_ORDERED,
    DBK_PLACE_RECORD_DROP,
    DBK_PLACE_SKIP_DROP,
    DBK_PLACE_COMMIT_BELOW,
    DBK_PLACE_FREE_PAGES
};

/* A set of columns of one table, by column number. */
typedef struct dbk_mask { /* of columns */
    uint64_t words[DBK_MASK_WORDS];
} dbk_mask;
static inline void dbk_mask_add(dbk_mask *mask, int column)
{
    mask->words[column >> 6] |= UINT64_C(1) << (column & 63);
}
static inline bool dbk_mask_has(const dbk_mask *mask, int column)
{
    return mask->words[column >> 6] >> (column & 63) & 1;
}
static inline bool dbk_mask_is_empty(const dbk_mask *mask)
{
    uint64_t any = 0;
    for (int i = 0; i < DBK_MASK_WORDS; i++) any |= mask->words[i];
    return any == 0;
}

/* A value on its way into a row, as SQLite will hold it. Texts and bytes made here stand in work->made,
 * by offset because that grows; those of a JSON node are borrowed. */
typedef struct dbk_cell {
    uint8_t type; /* SQLITE_NULL, SQLITE_INTEGER … */
    bool made;
    union {
        int64_t integer;
        double real;
        size_t offset;       /* made */
        const uint8_t *data; /* else */
    };
    size_t size;
} dbk_cell;

/* A row that an event of the entry in work names. */
typedef struct dbk_row_named {
    const dbk_table *table;
    size_t at, size; /* of its key, in work->named_keys */
    bool wrote;      /* some such event went into the row */
} dbk_row_named;

/* Columns that an event of the entry in work wrote. */
typedef struct dbk_row_written {
    size_t touched; /* number of the row among those that the observer saw */
    dbk_mask columns;
} dbk_row_written;

/* The entry in work. Scratch buffers belong to the function that fills them and lose their content at
 * the next call of put, patch, delete, append or apply. */
typedef struct dbk_row_work {
    dbk_entry_id id;
    char id_text[DBK_ENTRY_ID_TEXT_SIZE];
    uint8_t order[DBK_ORDER_KEY_SIZE];
    uint64_t position;
    int64_t time_ms;
    dbk_slice command_id, actor, correlation, causation;
    uint32_t event_index;
    bool wrote;      /* a statement of the entry changed rows */
    bool superseded; /* the failure means that a fact found no row, or changes none */
    char against[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_row_named *named;
    size_t named_count, named_room;
    dbk_buffer named_keys;
    dbk_buffer key, stream, data, filled, scratch, part, made, origin, place, gone, wide;
    dbk_buffer written;             /* dbk_row_written, for the trail */
    dbk_json_parser *parser;        /* data of events */
    dbk_json_parser *judged;        /* rows and data on their way through a schema; NULL: not needed yet */
    dbk_json_parser *old_value;     /* JSON columns of a row, for merge patches */
    const dbk_entry_id *taken_back; /* what is appended takes back events of this entry; NULL: none */
    const dbk_json_node *values[DBK_COLUMNS_MAX]; /* by column number, NULL: not named */
    dbk_cell cells[DBK_COLUMNS_MAX];
    dbk_mask recorded; /* columns whose change says itself: its JSON in `made`. Only for tables with rules */
    struct {
        size_t at, size;
    } recorded_at[DBK_COLUMNS_MAX];
} dbk_row_work;

/* model/budget.c. From `begin` on the entry is bounded, where there is a budget; `check` says whether it stays below. */
dbk_result dbk_budget_begin(dbk_model *model, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_budget_check(dbk_model *model, dbk_error *err) DBK_MUST_USE;
bool dbk_budget_spares(const dbk_model *model, const dbk_draft *draft); /* an entry that is never refused for it */

/* rows/json.c */
bool dbk_json_text_valid(dbk_slice text); /* one JSON value, at most 32 deep, nothing behind it */

/* rows/key.c */
/* Takes the next part of an encoded key off *rest, decoded into `part` (cleared first). */
bool dbk_key_next(dbk_slice *rest, dbk_buffer *part);
bool dbk_key_part_bind(dbk_buffer *memory, const dbk_column *column, dbk_slice part, sqlite3_stmt *statement,
                       int parameter);
/* Takes the next part off *rest and appends it as JSON; what cannot be decoded is an empty text. */
void dbk_key_next_to_json(const dbk_column *column, dbk_slice *rest, dbk_buffer *out);
/* Appends one part; the error names table and column. */
dbk_result dbk_key_part_put(const dbk_table *table, const dbk_column *column, const dbk_json_node *value,
                            dbk_buffer *encoded, dbk_error *err) DBK_MUST_USE;

/* The key that a stream "table/key" names; false: it is another table's, or none. */
bool dbk_row_key_of(const dbk_table *table, dbk_slice stream, dbk_slice *key);

/* rows/keyed.c. The table whose `.patched` or `.deleted` the event is, and the key that its stream names; NULL: it is
 * another event. Of an async model: a table of the whole. */
const dbk_table *dbk_keyed_table(const dbk_model *model, const dbk_event *event, dbk_slice *key);
int dbk_keyed_column(const dbk_table *table, dbk_slice name); /* of the key, by its name; -1: none */
/* Binds the column of the key as `$column` of a put is bound; NULL where the stream has no such part. A code of SQLite. */
int dbk_keyed_bind(dbk_model *model, const dbk_table *table, dbk_slice key, int column, sqlite3_stmt *statement,
                   int at);
/* Appends the event's data with the key in front. */
void dbk_keyed_data(const dbk_table *table, dbk_slice key, const dbk_json_node *data, dbk_buffer *out);

/* rows/value.c. The texts made are appended to `made`. */
dbk_result dbk_cell_of_json(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_buffer *made,
                            dbk_cell *out, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_cell_bind(const dbk_cell *cell, const dbk_buffer *made, sqlite3_stmt *statement, int parameter,
                         dbk_error *err) DBK_MUST_USE;
/* rows/cell.c */
dbk_result dbk_cell_of_column(sqlite3_stmt *statement, int column, dbk_buffer *made, dbk_cell *out,
                              dbk_error *err) DBK_MUST_USE;
dbk_cell dbk_cell_of_made(const dbk_buffer *made, size_t from); /* the text from `from` to the end */
/* Whether the row on which the statement stands holds this in that column already. */
bool dbk_cell_equals_column(const dbk_cell *cell, const dbk_buffer *made, sqlite3_stmt *statement, int column);
void dbk_cell_out(const dbk_column *column, const dbk_cell *cell, const dbk_buffer *made,
                  dbk_buffer *out); /* as in events */

/* rows/statement.c. Parameters: column i is ?(i + 1); key part p (from 0) is ?(column_count + 1 + p) of an
 * UPDATE and ?(1 + p) of the others. */
typedef enum dbk_row_statement {
    DBK_ROW_SELECT,
    DBK_ROW_DELETE,
    DBK_ROW_MAX,
    DBK_ROW_DEFAULTS,
    DBK_ROW_SURPLUS,
    DBK_ROW_STATEMENTS
} dbk_row_statement;
struct dbk_row_statements {
    sqlite3_stmt *fixed[DBK_ROW_STATEMENTS];
    struct dbk_row_cached {
        dbk_mask mask;
        bool insert;
        uint64_t used;
        sqlite3_stmt *statement;
    } cached[16];
    uint64_t uses;
    int guess;              /* above 0: puts mostly meet existing rows */
    int patch_guess;        /* below 0: patches often name what stays as it is */
    int8_t is_projected[3]; /* by dbk_row_op: 0 unknown, 1 yes, -1 no */
};
dbk_result dbk_row_prepare(dbk_model *model, const dbk_table *table, dbk_row_statement which, sqlite3_stmt **out,
                           dbk_error *err) DBK_MUST_USE;
/* INSERT … ON CONFLICT(key) DO NOTHING, or UPDATE, of the columns of the mask. */
dbk_result dbk_row_prepare_masked(dbk_model *model, const dbk_table *table, bool insert, const dbk_mask *mask,
                                  sqlite3_stmt **out, dbk_error *err) DBK_MUST_USE;
dbk_row_statements *dbk_row_statements_of(dbk_model *model, const dbk_table *table);
/* Runs a statement that writes and resets it; *changes (may be NULL) is the number of rows. Looks at the
 * transaction and the observer afterwards. */
dbk_result dbk_row_run(dbk_model *model, sqlite3_stmt *statement, const char *what, int *changes,
                       dbk_error *err) DBK_MUST_USE;
/* The same for an UPDATE of the columns of the mask. */
dbk_result dbk_row_run_update(dbk_model *model, const dbk_table *table, const dbk_mask *mask, sqlite3_stmt *statement,
                              int *changes, dbk_error *err) DBK_MUST_USE;
/* Binds the key and steps a SELECT of the row: DBK_OK (on the row: the caller resets) or DBK_NONE (reset). */
dbk_result dbk_row_read(dbk_model *model, const dbk_table *table, dbk_slice key, sqlite3_stmt **out,
                        dbk_error *err) DBK_MUST_USE;

/* rows/entry.c */
dbk_result dbk_row_savepoint(dbk_model *model, dbk_error *err) DBK_MUST_USE; /* none where there is one */
dbk_result dbk_row_entry_start(dbk_model *model, bool savepoint, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_entry_finish(dbk_model *model,
                                dbk_error *err) DBK_MUST_USE; /* deferred keys, row records, RELEASE */
void dbk_row_entry_undo(dbk_model *model);
dbk_result dbk_row_name(dbk_model *model, const dbk_table *table, dbk_slice key, bool wrote,
                        dbk_error *err) DBK_MUST_USE;
/* Adds the event to the draft and runs its projections. */
dbk_result dbk_row_emit(dbk_model *model, dbk_draft *draft, const dbk_event *event, const dbk_json_node *data,
                        dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_no_memory(dbk_error *err);
/* After a key could not be bound by way of work->part: DBK_SCHEMA, or DBK_NO_MEMORY. */
dbk_result dbk_row_bad_key(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err);
/* Puts the name of a constraint that does not hold into the draft's detail, and the app's words for it
 * into the error; returns `result`. */
dbk_result dbk_row_note_constraint(dbk_model *model, dbk_draft *draft, dbk_result result, dbk_error *err);

/* rows/foreign.c. Where `err` says "FOREIGN KEY" and no more of a put or patch with `data`, or of a delete (`gone`), which
 * one it is, and what to do; the app's own words stay. Returns `result`. */
dbk_result dbk_row_name_foreign(dbk_model *model, dbk_slice table, const dbk_json_node *data, bool gone,
                                dbk_result result, dbk_error *err);
dbk_result dbk_row_engine_event(dbk_model *model, const dbk_event *event,
                                dbk_error *err) DBK_MUST_USE; /* rows/append.c */

/* rows/decide.c: a put, patch or delete being decided. */
typedef struct dbk_decision {
    dbk_model *model;
    dbk_draft *draft;
    const dbk_table *table;
    const char *op; /* "put", "patch", "delete" */
    const dbk_json_node *data, *expect;
    dbk_slice key, stream; /* in work->key, work->stream */
    dbk_entry_id base;     /* who wrote the row last, where `has_base` */
    bool has_base;
} dbk_decision;
dbk_result dbk_row_expect(dbk_model *model, dbk_draft *draft, dbk_slice stream, const dbk_json_node *expect,
                          bool exists, dbk_error *err) DBK_MUST_USE;
bool dbk_row_expect_asks_row(const dbk_json_node *expect); /* "none" or "exists" */
/* Makes a cell of every named value; objects for JSON columns are left to the merge where `merging`. */
dbk_result dbk_row_convert(dbk_decision *change, bool merging, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_take_base(dbk_decision *change, dbk_error *err) DBK_MUST_USE;
/* What every decision on a row begins with: form, table, named values, key, `expect`, savepoint where it needs one. */
dbk_result dbk_row_decision_begin(dbk_decision *change, dbk_slice table, const dbk_json_node *key, bool optional_key,
                                  dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_not_found(const dbk_decision *change, dbk_error *err);
dbk_result dbk_row_patch(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                         const dbk_json_node *data, const dbk_json_node *expect,
                         dbk_error *err) DBK_MUST_USE; /* rows/patch.c */
/* UPDATE of the changed columns and the .patched event; an empty mask: nothing. */
dbk_result dbk_row_patch_columns(dbk_decision *change, const dbk_mask *changed, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_emit_change(dbk_decision *change, const char *op, const dbk_event *parts,
                               dbk_error *err) DBK_MUST_USE;
/* The column's document with the patch applied, as a cell; `row` stands on the row. */
dbk_result dbk_row_merge_column(dbk_decision *change, int column, sqlite3_stmt *row, dbk_error *err) DBK_MUST_USE;
void dbk_put_member_name(dbk_buffer *out, bool first, const char *name);
void dbk_row_put_member(dbk_buffer *out, const char *name); /* `{"name":`, or `,"name":` behind others */
/* Binds the key, and the cells of the mask but not its key columns. */
dbk_result dbk_row_bind(dbk_model *model, const dbk_table *table, dbk_slice key, const dbk_mask *mask, bool insert,
                        sqlite3_stmt *statement, dbk_error *err) DBK_MUST_USE;
static inline bool dbk_row_is_key(const dbk_table *table, int column)
{
    return table->columns[column].key_part != 0;
}
/* rows/judge.c: JSON Schema. `row` is the row as it is, NULL: of a put. All that does not fit is in the
 * draft's detail. Nothing to judge by: DBK_OK. */
dbk_result dbk_row_judge(dbk_decision *change, sqlite3_stmt *row, dbk_error *err) DBK_MUST_USE;
/* The cells of the mask are what the row will have, beside `row`, or alone (NULL). */
dbk_result dbk_row_judge_cells(dbk_decision *change, sqlite3_stmt *row, const dbk_mask *cells,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_judge_event(dbk_model *model, dbk_draft *draft, dbk_slice type, dbk_slice data,
                               dbk_error *err) DBK_MUST_USE;
bool dbk_row_is_judged(const dbk_definition *definition, const dbk_table *table); /* whether there is something to do */
/* All findings go into the draft's detail, the first into the error. */
dbk_result dbk_row_judge_text(dbk_model *model, dbk_draft *draft, const struct dbk_json_schema *schema, dbk_slice text,
                              const char *what, dbk_slice name, dbk_error *err) DBK_MUST_USE;
/* *root holds until the next text is judged. */
dbk_result dbk_row_judged_parse(dbk_model *model, dbk_slice text, const dbk_json_node **root,
                                dbk_error *err) DBK_MUST_USE;
/* rows/judge_setting.c: the documents of `settings` that the row, given as JSON, holds. */
bool dbk_row_holds_settings(const dbk_definition *definition, const dbk_table *table);
dbk_result dbk_row_judge_settings(dbk_decision *change, dbk_slice row, dbk_error *err) DBK_MUST_USE;
/* rows/put.c */
dbk_result dbk_row_put(dbk_decision *change, dbk_error *err) DBK_MUST_USE;
/* The .put of the row that the observer saw inserted. */
dbk_result dbk_row_emit_put(dbk_decision *change, dbk_error *err) DBK_MUST_USE;
/* rows/apply.c: the entry in work applies, with a value that had to change (F28). */
dbk_result dbk_row_note_suffixed(dbk_model *model, const char *reason, dbk_error *err) DBK_MUST_USE;

/* rows/bound.c: between begin and end one statement of a projection runs. DBK_BUSY: it was stopped, the transaction is
 * gone, and begun again it meets an entry that is known. DBK_REJECTED: it took too much, and the entry is skipped. */
typedef struct dbk_step_bound {
    uint32_t thousands, thousands_max; /* of SQLite's steps */
    int length;                        /* SQLite's limit before */
    dbk_memory_bound memory;
    bool refused;            /* at the end: it had too much of something, and the text says where */
    const atomic_bool *halt; /* NULL: none */
} dbk_step_bound;
void dbk_step_bound_begin(dbk_model *model, dbk_step_bound *bound);
dbk_result dbk_step_bound_end(dbk_model *model, dbk_step_bound *bound, sqlite3_stmt *statement,
                              const dbk_statement *source, dbk_result result, dbk_error *err) DBK_MUST_USE;
/* DBK_REJECTED: a statement of the entry was stopped before. */
dbk_result dbk_step_bound_check(const dbk_model *model, const dbk_entry_id *id, dbk_error *err) DBK_MUST_USE;

/* rows/project.c */
bool dbk_project_row(dbk_model *model, const dbk_table *table,
                     dbk_row_op op);                        /* whether such events have projections */
size_t dbk_project_count(dbk_model *model, dbk_slice type); /* statements of the type */
dbk_result dbk_project_event(dbk_model *model, const dbk_event *event, const dbk_json_node *data,
                             dbk_error *err) DBK_MUST_USE;
/* A JSON value as SQL means it: numbers by their text, containers as JSON text. Returns SQLite's code. */
int dbk_row_bind_json(dbk_model *model, sqlite3_stmt *statement, int at, const dbk_json_node *value);
dbk_projections *dbk_projections_new(dbk_model *model); /* NULL: out of memory */
void dbk_projections_free(dbk_model *model);
/* rows/command.c */
dbk_commands *dbk_commands_new(dbk_model *model); /* NULL: out of memory */
void dbk_commands_free(dbk_model *model);

/* rows/fresh.c */
dbk_fresh *dbk_fresh_new(const dbk_port *port); /* NULL: out of memory */
void dbk_fresh_free(dbk_fresh *fresh);
void dbk_fresh_clear(dbk_fresh *fresh);
/* Remembers that the entry (a decision) names or changes the stream; false: out of memory. */
bool dbk_fresh_add(dbk_fresh *fresh, dbk_slice stream, const dbk_entry_id *id, uint64_t position);
bool dbk_fresh_find(const dbk_fresh *fresh, dbk_slice stream, dbk_entry_id *id, uint64_t *position);

/* rows/history.c */
/* The id text of the entry that last changed the row among what is folded before the one in work (F17
 * included: its own if it touched the row); "" when none. */
dbk_result dbk_row_last_writer(dbk_model *model, const dbk_table *table, dbk_slice key,
                               char out[DBK_ENTRY_ID_TEXT_SIZE], dbk_error *err) DBK_MUST_USE;
/* The same as an id; *found false: none. */
dbk_result dbk_row_last_entry(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_entry_id *out, bool *found,
                              dbk_error *err) DBK_MUST_USE;
/* For each row the entry touched without naming it, or named without touching it: its record. */
dbk_result dbk_row_records_keep(dbk_model *model, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_has_record(dbk_model *model, const dbk_table *table, dbk_slice key, bool *has,
                              dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_is_skipped(dbk_model *model, const char *entry, bool *skipped, dbk_error *err) DBK_MUST_USE;
/* Whether the entry at the position counts as folded before the one in work. */
dbk_result dbk_row_is_folded(dbk_model *model, uint64_t position, const dbk_entry *entry, int64_t received_ms,
                             bool *folded, dbk_error *err) DBK_MUST_USE;
void dbk_row_stream(dbk_buffer *out, const dbk_table *table, dbk_slice key); /* cleared first: "table/key" */

/* rows/deep.c: runs the DELETE of a row, its key bound; a cascade deeper than SQLite's limit from the bottom up. */
dbk_result dbk_row_delete(dbk_model *model, const dbk_table *table, dbk_slice key, sqlite3_stmt *statement,
                          int *changes, dbk_error *err) DBK_MUST_USE;

/* rows/orders.c: of async models. */
static inline bool dbk_row_is_async(const dbk_model *model)
{
    return model->definition->model != NULL;
}
dbk_result dbk_orders_new(dbk_model *model, dbk_error *err) DBK_MUST_USE; /* none for the inline model */
void dbk_orders_free(dbk_model *model);
/* Reads what the log has of them above what was read before. *contradict: the model, as it is, did otherwise. */
dbk_result dbk_orders_read(dbk_model *model, bool *contradict, dbk_error *err) DBK_MUST_USE;
bool dbk_orders_leave_out(const dbk_model *model, const dbk_entry_id *entry);
#define DBK_ORDERED "ordered" /* the reason in the skip list */
/* The fold ends at the entry in work. */
void dbk_row_stop(dbk_model *model, uint64_t position, const dbk_entry *entry, const char *reason);

/* rows/trail.c. Notes for model->trail, if there is one, which columns of a row with rules an event of the entry wrote:
 * before and after the entry do not show what a later event of it took back. Behind the statement. */
dbk_result dbk_row_note_written(dbk_model *model, const dbk_table *table, dbk_slice key, const dbk_mask *columns,
                                dbk_error *err) DBK_MUST_USE;
/* Tells model->trail what the entry, just applied, changed. */
dbk_result dbk_row_tell_trail(dbk_model *model, uint64_t position, const dbk_entry *entry, dbk_error *err) DBK_MUST_USE;

#endif
