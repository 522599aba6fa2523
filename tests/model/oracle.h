/* The oracle: what semantics.md says, over plain rows in memory. No SQLite, nothing of projector/ or store/.
 *
 *   oracle_value.c   texts, values, sets          oracle_fold.c     an entry applied, or skipped
 *   oracle_sql.c     the little SQL it reads      oracle_decide.c   a command decided
 *   oracle_ddl.c     a definition's texts         oracle_undo.c     an entry undone
 *   oracle_eval.c    expressions, statements      oracle_replica.c  a log, facts, moments
 *   oracle_rows.c    rows, constraints, cascades  oracle_settings.c documents by path, merge patches
 *   oracle_time.c    rules of time, last n        oracle_async.c    async models
 *
 * It knows only so much SQL as the grammar of the model test writes and the traces of the reference model have, and
 * stops the program on any other. All texts are interned, so that equal texts have equal addresses; all memory goes
 * with o_reset. */
#ifndef DBK_TESTS_MODEL_ORACLE_H
#define DBK_TESTS_MODEL_ORACLE_H

#include "base/base.h"

enum {
    O_TABLES = 20,
    O_COLUMNS = 16,
    O_KEYS = 3,
    O_RULES = 18,    /* of time */
    O_ROWS = 128,    /* of one table */
    O_RECORDS = 900, /* rows that ever were */
    O_ENTRIES = 1400,
    O_PARKED = 400,
    O_EVENTS = 200, /* of one entry */
    O_TOUCHED = 400,
    O_KEPT = 200,
};

/* ---- oracle_value.c */
typedef enum o_kind {
    O_NULL,
    O_INTEGER,
    O_REAL,
    O_TEXT,
    O_PLUS,   /* recorded: what a counter gains */
    O_CHANGE, /* recorded: what a set gains (text) and loses (lost), as JSON arrays */
} o_kind;
typedef struct o_value {
    o_kind kind;
    int64_t integer;
    double real;
    const char *text, *lost;
} o_value;
typedef struct o_field {
    const char *name;
    o_value value;
} o_field;

void o_reset(void);        /* forgets everything */
void *o_take(size_t size); /* zeroed; lives until o_reset */
const char *o_intern(dbk_slice text);
/* A key whose ASCII is written as streams have it already: the rest, too. */
const char *o_encoded(const char *key);
const char *o_text(const char *text);
const char *o_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void o_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
o_value o_integer(int64_t value);
o_value o_string(const char *text);
bool o_same(o_value a, o_value b);   /* kind and content */
int o_compare(o_value a, o_value b); /* SQLite's order of values */
bool o_true(o_value value);
o_value o_of_json(const dbk_json_node *node);       /* as a parameter of SQL has it */
const char *o_json_text(const dbk_json_node *node); /* minimised */
const char *o_time_text(int64_t time_ms);           /* as CURRENT_TIMESTAMP has it */
const char *o_stamp_text(int64_t time_ms);          /* with milliseconds */
void o_json_put(dbk_buffer *out, o_value value);
/* JSON arrays of texts as sets, sorted */
const char *o_set_plus(const char *a, const char *b);
const char *o_set_minus(const char *a, const char *b);
bool o_set_is_empty(const char *set);

/* ---- oracle_sql.c */
typedef enum o_op {
    O_LITERAL,
    O_COLUMN, /* name; in UPSERT also excluded.name */
    O_EXCLUDED,
    O_PARAMETER, /* $name or :name */
    O_NOW,       /* CURRENT_TIMESTAMP */
    O_CALL,      /* name(items) */
    O_AND,
    O_OR,
    O_NOT,
    O_EQUAL,
    O_UNEQUAL,
    O_LESS,
    O_LESS_EQUAL,
    O_MORE,
    O_MORE_EQUAL,
    O_IS_NULL,
    O_NOT_NULL,
    O_IN,
    O_ADD,
    O_SUBTRACT,
    O_TIMES,
    O_JOIN_TEXT,
} o_op;
typedef struct o_expr {
    o_op op;
    o_value literal;
    const char *name;
    struct o_expr *left, *right, *items[8];
    int count;
} o_expr;
typedef enum o_verb { O_INSERT, O_UPDATE, O_DELETE, O_SELECT } o_verb;
typedef struct o_sql {
    o_verb verb;
    const char *table; /* NULL: a SELECT without FROM */
    const char *columns[O_COLUMNS];
    o_expr *values[O_COLUMNS]; /* VALUES, SET, or what is selected */
    int count;
    o_expr *where;
    bool ignore, nothing;               /* OR IGNORE; ON CONFLICT DO NOTHING */
    const char *set_columns[O_COLUMNS]; /* ON CONFLICT DO UPDATE SET */
    o_expr *set_values[O_COLUMNS];
    int set_count;
    const char *order; /* a column, NULL: none */
    bool descending;
    int64_t limit; /* -1: none */
} o_sql;
typedef struct o_reader { /* of SQL text */
    const char *at;
    char token[200];
    enum { O_END, O_NAME, O_NUMBER, O_QUOTED, O_SIGIL, O_SIGN } kind;
} o_reader;
void o_read_start(o_reader *reader, const char *text);
void o_read_next(o_reader *reader);
bool o_read_is(const o_reader *reader, const char *word); /* a name, in any case, or a sign */
bool o_read_take(o_reader *reader, const char *word);
void o_read_expect(o_reader *reader, const char *word);
const char *o_read_name(o_reader *reader);
o_value o_read_literal(o_reader *reader);
o_expr *o_read_expr(o_reader *reader);
o_sql *o_read_statement(o_reader *reader); /* up to and with its ';' */

/* ---- oracle_ddl.c */
typedef enum o_type { O_IS_TEXT, O_IS_INTEGER, O_IS_REAL, O_IS_BOOLEAN, O_IS_DATETIME, O_IS_JSON } o_type;
typedef enum o_rule { O_LWW, O_FIRST, O_MAX, O_MIN, O_COUNTER, O_SET } o_rule;
typedef struct o_column {
    const char *name;
    o_type type;
    bool not_null, has_default, default_now;
    o_value start; /* DEFAULT */
    o_rule rule;
} o_column;
typedef enum o_action { O_NO_ACTION, O_CASCADE, O_SET_NULL } o_action;
typedef struct o_foreign {
    int column;
    const char *parent; /* its single key column is meant */
    o_action action;
    bool deferred;
} o_foreign;
typedef struct o_unique {
    int columns[O_KEYS], count;
} o_unique;
typedef struct o_move {
    o_value from, to;
} o_move;
typedef struct o_table {
    const char *name;
    o_column columns[O_COLUMNS];
    int column_count;
    int keys[O_KEYS], key_count;
    o_expr *checks[O_COLUMNS];
    int check_count;
    o_foreign foreigns[O_COLUMNS];
    int foreign_count;
    o_unique uniques[O_COLUMNS];
    int unique_count;
    bool collection, guard, edit_wins, suffix;
    int created, updated;     /* stamps; -1: none */
    int keep_last;            /* rows that stay, 0: all */
    int keep_by, keep_per;    /* columns; per -1: of the table */
    bool unordered;           /* its documents are settings: nobody promises an order of members */
    bool judged;              /* by a schema: */
    int64_t judged_most;      /* the greatest number in the first column behind the key */
    const char *judged_needs; /* a column that must have a value; NULL: none */
    int machine;              /* the column whose states are listed; -1: none */
    o_value starts[8];
    int start_count;
    o_move moves[16];
    int move_count;
} o_table;
typedef struct o_statement {
    o_sql *sql;
    bool may_change_nothing;
} o_statement;
typedef struct o_projection {
    const char *type;
    o_statement statements[8];
    int count;
} o_projection;
typedef enum o_step_kind {
    O_REQUIRE,
    O_LET,
    O_STEP_PUT,
    O_STEP_PATCH,
    O_STEP_DELETE,
    O_STEP_APPEND,
    O_RETURN
} o_step_kind;
typedef struct o_step {
    o_step_kind kind;
    const char *name; /* what -- let binds, or the table */
    bool may_be_empty;
    o_sql *sql;
} o_step;
typedef struct o_argument {
    const char *name;
    o_type type;
    bool optional, has_default;
    o_value start;
} o_argument;
typedef struct o_command {
    const char *name;
    o_argument arguments[8];
    int argument_count;
    o_step steps[8];
    int count;
} o_command;
typedef struct o_setting {            /* a namespace */
    const char *name, *table, *value; /* value: the column */
    const char *row;                  /* key of its row; NULL: a row for each member */
    const char *scope;                /* of a row for each member: the key's first part */
    int64_t most;                     /* by its schema: the greatest number of member "size", 0: no schema */
} o_setting;
typedef struct o_upcast { /* from a version to the next: a member of the data grows */
    const char *type, *member;
    int from;
    int64_t add;
} o_upcast;
typedef struct o_undo_rule { /* -- undo: what is appended, with one member's sign turned */
    const char *type, *to, *negated;
} o_undo_rule;
typedef struct o_time_rule { /* rows that go by themselves */
    const char *name;
    int table, by; /* by -1: a condition */
    o_expr *where;
    int64_t older_ms, every_ms;
} o_time_rule;
typedef struct o_definition {
    const char *name;
    int version;
    o_setting settings[3];
    o_upcast upcasts[8];
    o_undo_rule undos[4];
    o_time_rule times[O_RULES];
    int setting_count, upcast_count, undo_count, time_count;
    const struct o_definition *async; /* its tables and projections, or NULL */
    const struct o_definition *whole; /* of an async one: what it is part of */
    o_table tables[O_TABLES];
    int table_count;
    o_projection projections[24];
    int projection_count;
    o_command commands[12];
    int command_count;
    const struct o_definition *ancestors[8];
    int ancestor_count;
    bool put_keeps_unnamed; /* as the reference model's put */
    bool has_deferred;
} o_definition;
/* Reads the texts; `commands` and `app` may be NULL. `previous`: what came before it, or NULL. */
o_definition *o_define(const char *schema, const char *projections, const char *commands, const dbk_json_node *app,
                       const o_definition *previous);
void o_define_rules(o_definition *definition, const dbk_json_node *rules); /* as the traces say them */
int o_table_of(const o_definition *definition, const char *name);          /* -1: none */
int o_column_of(const o_table *table, const char *name);                   /* -1: none */

/* ---- entries */
typedef enum o_event_kind { O_PUT, O_PATCHED, O_DELETED, O_CUSTOM, O_DISMISSED, O_OF_ENGINE } o_event_kind;
struct o_entry;
typedef struct o_event {
    o_event_kind kind;
    const char *stream, *type;
    const char *table, *key; /* of collections */
    const o_field *fields;   /* columns, or members of the data */
    int field_count;
    const char *filled[O_COLUMNS];
    int filled_count;
    const struct o_entry *base;
    int version;       /* of its type */
    const char *names; /* DISMISSED: an entry's id */
} o_event;
typedef struct o_entry {
    uint8_t replica[16];
    uint32_t incarnation, epoch;
    uint64_t seq, hlc;
    int64_t time_ms;
    bool undo;
    const o_definition *definition;
    const char *command_id, *command_text; /* "" : none; what counts of the command, canonically */
    const char *correlation;
    const o_event *events;
    int event_count;
    const char *id; /* as text */
} o_entry;
int o_entry_order(const o_entry *a, const o_entry *b);
void o_entry_name(o_entry *entry); /* its id, from its author and seq */

/* ---- oracle_rows.c */
typedef struct o_row { /* never changes */
    const char *key;
    o_value values[O_COLUMNS];
} o_row;
typedef struct o_record { /* who wrote a row; never changes */
    int table;
    const char *key;
    const o_entry *last;
    uint64_t version;
    const o_entry *writers[O_COLUMNS]; /* NULL: nobody */
    const o_row *gone;                 /* as it was deleted */
} o_record;
typedef struct o_skip {
    const o_entry *entry, *against;
    const char *state;
} o_skip;
typedef struct o_id {
    const char *command;
    const o_entry *entry;
} o_id;
typedef struct o_core { /* what a savepoint keeps */
    const o_row *rows[O_TABLES][O_ROWS];
    int row_count[O_TABLES];
    const o_record *records[O_RECORDS];
    int record_count, skip_count, id_count, dismissed_count;
} o_core;
typedef struct o_touched { /* by the entry in work */
    int table;
    const char *key;
    const o_row *before, *now, *gone;
    bool changed, named[O_COLUMNS];
} o_touched;
typedef struct o_state {
    const o_definition *definition;
    o_core core;
    o_skip skips[O_ENTRIES];
    o_id ids[O_ENTRIES];
    const char *dismissed[O_ENTRIES];
    o_touched touched[O_TOUCHED];
    int touched_count;
    int64_t time_ms;   /* of the entry in work */
    const char *taken; /* after a clash: the column that UNIQUE named, NULL: none */
} o_state;
void o_state_init(o_state *state, const o_definition *definition);
const o_row *o_row_find(const o_state *state, int table, const char *key);
const o_record *o_record_find(const o_state *state, int table, const char *key); /* NULL: never written */
/* One statement on rows; false: a constraint. What it did before stays: the caller puts the core back. */
bool o_row_fits(const o_state *state, int table, const o_row *row); /* NOT NULL and CHECK, not UNIQUE */
bool o_row_insert(o_state *state, int table, const o_row *row);
bool o_row_update(o_state *state, int table, const o_row *row); /* the row of its key */
bool o_row_delete(o_state *state, int table, const char *key);
bool o_statement_end(const o_state *state); /* foreign keys that are not deferred */
bool o_deferred_hold(const o_state *state);
o_touched *o_touch(o_state *state, int table, const char *key);
const char *o_key_of(const o_table *table, const o_value *values);
bool o_key_values(const o_table *table, const char *key, o_value *values); /* puts the key's columns */
o_value o_fit(const o_column *column, o_value value);                      /* SQLite's affinity */

/* ---- oracle_eval.c */
typedef struct o_scope {
    const o_state *state;
    const o_field *fields;
    int field_count;
    int table; /* of the rows below */
    const o_row *row, *excluded;
} o_scope;
o_value o_eval(const o_scope *scope, const o_expr *expr);
bool o_check(const o_state *state, int table, const o_row *row); /* the CHECKs */
/* INSERT, UPDATE, DELETE: rows changed, or -1: a constraint. */
int o_run(o_state *state, const o_sql *sql, const o_field *fields, int field_count);
/* SELECT: rows of sql->count values each; returns how many, at most `limit`. */
int o_select(const o_state *state, const o_sql *sql, const o_field *fields, int field_count, o_value *out, int limit);

/* ---- oracle_fold.c */
typedef enum o_result { O_DONE, O_CONSTRAINT, O_SUPERSEDED } o_result;
typedef struct o_context {
    const o_entry *entry; /* the one in work */
    bool deciding;
    const o_entry *against; /* out: of SUPERSEDED */
} o_context;
o_result o_project(o_state *state, const o_event *event, o_context *context);
const o_entry *o_last_writer(const o_state *state, int table, const char *key, const o_entry *entry);
void o_begin_entry(o_state *state, o_core *savepoint);
bool o_end_entry(o_state *state, const o_entry *entry, uint64_t position, bool keep_id);
void o_drop_entry(o_state *state, const o_core *savepoint);
void o_apply(o_state *state, const o_entry *entry, uint64_t position);
const char *o_state_of(const o_state *state, const o_entry *entry); /* "applied" … */
o_value o_change(o_rule rule, o_value before, o_value after);
o_value o_merge(o_rule rule, o_value before, o_value recorded);
o_event o_upcast_event(const o_definition *definition, const o_event *event); /* as today's definition has it */
o_result o_run_projections(o_state *state, const o_event *event);

/* ---- oracle_replica.c */
typedef struct o_replica {
    const char *name;
    uint8_t id[16];
    uint32_t incarnation;
    const o_definition *definition;
    const o_entry *log[O_ENTRIES];
    int64_t received[O_ENTRIES];
    uint64_t position;
    uint32_t epoch;
    uint64_t hlc;
    const o_entry *top; /* highest applied */
    uint64_t applied;   /* position of the state */
    const o_entry *parked[O_PARKED];
    int parked_count;
    o_state *state;
    const char *drop; /* the command under which the transaction is lost, or NULL */
} o_replica;
o_replica *o_replica_new(const char *name, const uint8_t id[16], uint32_t incarnation, const o_definition *definition);
void o_append(o_replica *replica, const o_entry *entry, int64_t now_ms);
uint64_t o_position_of(const o_replica *replica, const o_entry *entry); /* 0: not there */
uint64_t o_next_seq(const o_replica *replica, const uint8_t id[16], uint32_t incarnation);
uint64_t o_named(const o_replica *replica, const char *stream); /* highest position that names it */
uint64_t o_version(const o_replica *replica, const char *stream, int table, const char *key);
void o_catch_up(o_replica *replica);
void o_refold(o_replica *replica);
int o_import(o_replica *replica, const o_entry *const *facts, int count, int64_t now_ms);
o_replica *o_replica_copy(const o_replica *from, uint64_t upto, uint32_t incarnation, const char *name);
void o_forget_after(o_replica *replica, uint64_t position); /* a crash lost what came after */
typedef struct o_moment {                                   /* zero: now */
    bool by_position, by_received, by_order, below;
    uint64_t position;
    int64_t time_ms;
    const o_entry *entry; /* below: entries that sort below it */
} o_moment;
o_state *o_as_of(const o_replica *replica, const o_moment *moment, const o_definition *definition);
void o_state_free(o_state *state);
typedef struct o_wanted {
    const o_entry *entry;
    uint64_t position;
} o_wanted;
size_t o_wanted_of(const o_replica *replica, const o_moment *moment, o_wanted *out); /* in canonical order */
int o_upgrade(o_replica *replica, const o_definition *definition, int64_t now_ms, bool accept, const o_entry **lost,
              int limit);

/* ---- oracle_decide.c */
typedef struct o_kept {
    const char *table, *key, *columns; /* columns: JSON, or a reason */
    bool by_columns;
} o_kept;
typedef struct o_receipt {
    bool ok, again;
    const char *error; /* by its wire name */
    uint64_t position;
    const o_entry *entry;
    bool versions;
    uint64_t actual;
    o_value expected;
    int kept_count;
    o_kept kept[O_KEPT];
    const char *result; /* of -- return, as JSON; NULL: none */
} o_receipt;
typedef struct o_draft { /* the entry while it is decided */
    o_replica *replica;
    o_entry *entry;
    o_event events[O_EVENTS];
    int event_count;
    o_receipt *receipt;
} o_draft;
void o_decide(o_replica *replica, const dbk_json_node *command, int64_t now_ms, o_receipt *receipt);
/* One put, patch or delete of a draft: NULL, or the error. */
const char *o_change_row(o_draft *draft, const char *verb, int table, const char *key, const o_field *data, int count,
                         const dbk_json_node *expect);
const char *o_append_event(o_draft *draft, const char *stream, const char *type, const o_field *fields, int count);
const char *o_undo(o_draft *draft, const dbk_json_node *command); /* oracle_undo.c */

/* ---- oracle_settings.c */
/* Whether the row, as it will be, holds a document that a set would leave; `sent`: the columns named. */
bool o_setting_fits(const o_definition *definition, const o_table *t, const char *key, const o_value *values,
                    const bool *sent, bool is_put);
const char *o_run_setting(o_draft *draft, const char *verb, const dbk_json_node *command);
/* The document with a merge patch applied; old NULL: none. */
const char *o_json_merge(const char *old, const dbk_json_node *patch);
const char *o_json_sorted(const char *document); /* its members in one order */

/* ---- oracle_time.c */
bool o_drop_surplus(o_state *state); /* the last n of what the entry in work touched; false: a constraint */
typedef struct o_clock {             /* what the rules of time know of time; zero when a store opens */
    const o_definition *definition;
    int64_t wall_ms, mono_ms, rest_until_ms, next_ms[O_RULES];
    bool begun;
} o_clock;
/* Which rules run at this look; a set of bits. */
unsigned o_due_rules(o_clock *clock, const o_replica *replica, int64_t wall_ms, int64_t mono_ms);
/* Rows whose time is over; their keys. */
int o_due_rows(const o_replica *replica, const o_time_rule *rule, int64_t now_ms, const char **keys, int limit);

/* ---- oracle_async.c */
/* The async model's rows over the whole log. */
o_state *o_async_state(const o_replica *replica);

#endif
