/* What app.json says beyond DDL (app-format.md §3): rules of tables, and of the app as a whole. All texts
 * and lists belong to the definition; column numbers are those of the table. */
#ifndef DBK_PROJECTOR_RULES_H
#define DBK_PROJECTOR_RULES_H

#include "projector/definition.h"

/* ---- tables.<t> */

/* How a column's recorded change meets its value in canonical order (semantics.md §4). */
typedef enum dbk_field_rule {
    DBK_FIELD_LWW,
    DBK_FIELD_FIRST,
    DBK_FIELD_MAX,
    DBK_FIELD_MIN,
    DBK_FIELD_COUNTER,
    DBK_FIELD_SET
} dbk_field_rule;
typedef enum dbk_key_maker {
    DBK_KEY_OF_CLIENT,
    DBK_KEY_UUID7,
    DBK_KEY_UUID4,
    DBK_KEY_INTEGER,
    DBK_KEY_TEXT
} dbk_key_maker;
enum { DBK_SANITIZE_CONTROL = 1, DBK_SANITIZE_TRAVERSAL = 2, DBK_SANITIZE_TRIM = 4, DBK_SANITIZE_NFC = 8 };

typedef struct dbk_state_move { /* NULL: no value */
    const char *from, *to;
} dbk_state_move;

typedef struct dbk_machine { /* the states of a column */
    uint16_t column;
    const char **start; /* values of a new row; NULL in it: no value */
    size_t start_count;
    dbk_state_move *moves;
    size_t move_count;
} dbk_machine;

typedef struct dbk_message { /* the app's words for a constraint */
    const char *constraint;  /* "UNIQUE notes.title", as receipts name it */
    const char *text;
} dbk_message;

struct dbk_rules {
    dbk_key_maker id;
    int created, updated, ttl; /* columns, -1: none */
    uint8_t *fields;           /* per column a dbk_field_rule; NULL: all lww */
    uint8_t *sanitize;         /* per column DBK_SANITIZE_…; NULL: none */
    bool *derived;             /* per column: projections write it; NULL: none */
    dbk_machine *machines;
    size_t machine_count;
    dbk_message *messages;
    size_t message_count;
    uint64_t max_row; /* bytes of a row's data; 0: none */
    bool no_history;
    bool guard;            /* every change needs a current base (F11) */
    bool edit_wins;        /* else delete_wins (F5) */
    bool suffix;           /* unique: suffix (F28) */
    uint64_t keep_last;    /* rows that stay; 0: all. Part of the fold */
    bool keep_chains;      /* a row that goes so may change others of the table */
    int keep_by, keep_per; /* columns; keep_per -1: of the whole table */
    bool records;          /* a row record is kept of every change: guard or edit_wins */
    bool decides;          /* put and patch have more to do than to write: stamps, states, fields … */
    bool merges;           /* facts have: fields, guard, edit_wins, suffix, keep_last */
};

/* ---- the app as a whole */

enum { DBK_MODEL_READERS_MAX = 64 };
typedef enum dbk_model_mode { DBK_MODEL_INLINE, DBK_MODEL_ASYNC } dbk_model_mode;
typedef struct dbk_model_rule { /* models.<m> */
    const char *name, *file;    /* file NULL: <name>.sqlite */
    dbk_model_mode mode;
    bool pauses;                              /* on_error: pause; else park */
    uint32_t readers, cache_pages;            /* 0: default */
    bool no_feed, no_journal, no_fingerprint; /* observe */
    bool no_undo;
    uint64_t budget_bytes;        /* 0: none */
    size_t budget_at, budget_end; /* where app.json says so */
} dbk_model_rule;

typedef struct dbk_setting_rule { /* settings.<ns>; texts NULL where absent */
    const char *name;             /* of a template with its variable, as "plugin:{id}" */
    const char *variable;         /* "{id}", also in row, mirror and where; NULL: the rule is of one namespace */
    const dbk_table *table;
    int key, value; /* columns; -1: none */
    const char *row, *mirror, *schema;
    const dbk_named_query *query;  /* in place of a table: its rows are shown */
    const dbk_app_command *import; /* takes an edited mirror of the query as its one argument; NULL: read only */
    const char *where, *defaults;  /* JSON objects as written */
    const char **secret;
    size_t secret_count;
    bool no_watch, omits_secrets;
    uint64_t debounce_ms; /* a side of the mirror is taken over when it was quiet for so long */
} dbk_setting_rule;
/* As a value or a member, at any depth outside arrays: in a setting that is no value, but the lack of one. */
bool dbk_setting_has_null(const dbk_json_node *value);

/* The rule of a namespace, and what stands in its name for the variable (else empty; within `name`): 1 to 64 of
 * [A-Za-z0-9_.-], the first neither '.' nor '-'. One that has this very name comes before templates. NULL: none. */
const dbk_setting_rule *dbk_definition_setting(const dbk_definition *definition, dbk_slice name, dbk_slice *value);
/* Of a template: whether `text` is `pattern` (its name or row) with something for the variable, and what. */
bool dbk_setting_value_in(const dbk_setting_rule *rule, const char *pattern, dbk_slice text, dbk_slice *value);
bool dbk_setting_may_mean(const dbk_setting_rule *rule, dbk_slice name); /* it is one but for what stands there */
/* A text of the rule with `value` in place of the variable, if it has one. */
void dbk_setting_fill(const dbk_setting_rule *rule, const char *pattern, dbk_slice value, dbk_buffer *out);

typedef struct dbk_search_rule { /* search.<name> */
    const char *name;
    const dbk_table *table;
    uint16_t *columns;
    size_t column_count;
    const char *tokenize;
    const char *table_sql;  /* the FTS5 table */
    const char *upkeep_sql; /* what keeps it: the table of docids, the triggers */
} dbk_search_rule;

/* retention[] and tables.<t>.ttl: rules of time, carried out as deletes, or by a command of the app */
typedef struct dbk_retention_rule {
    const char *name;
    const dbk_table *table;
    const char *where; /* SQL condition, NULL: none */
    int by;            /* with older_ms or ttl: a DATETIME column; -1: none */
    uint64_t older_ms; /* keep: {"for": …}; 0 with `by`: the column names the end itself */
    uint64_t every_ms, limit;
    const dbk_app_command *command; /* `do`: it takes the row's key as arguments; NULL: a delete */
    const char *archive;            /* path below files/ with {year}, {month}, {day}, {date} in it; NULL: none */
    bool archive_csv;               /* else .ndjson */
} dbk_retention_rule;

typedef struct dbk_role_scopes { /* permissions.<role> */
    const char *role;
    const char **scopes;
    size_t count;
} dbk_role_scopes;

typedef struct dbk_role_limits { /* limits.<role> */
    const char *role;
    uint64_t rate, burst, bytes; /* bytes 0: none */
} dbk_role_limits;

typedef struct dbk_disk_rule { /* disk; 0: default */
    uint64_t min_free_bytes, alert_free_bytes;
} dbk_disk_rule;

typedef enum dbk_unknown_events { DBK_EVENTS_KEEP, DBK_EVENTS_WARN, DBK_EVENTS_REFUSE } dbk_unknown_events;

struct dbk_app {
    dbk_model_rule *models;
    size_t model_count;
    dbk_setting_rule *settings;
    size_t setting_count;
    dbk_search_rule *searches;
    size_t search_count;
    dbk_retention_rule *retention;
    size_t retention_count;
    dbk_role_scopes *permissions;
    size_t permission_count;
    dbk_role_limits *limits;
    size_t limit_count;
    dbk_disk_rule disk;
    dbk_unknown_events unknown_events;
    const char **known_events;
    size_t known_event_count;
};

static inline bool dbk_rules_decide(const dbk_table *table)
{
    return table->rules && table->rules->decides;
}
static inline bool dbk_rules_merge(const dbk_table *table)
{
    return table->rules && table->rules->merges;
}

#endif
