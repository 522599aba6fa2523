/* Internal to store/: settings of app.json as documents that are read and changed by path (docs/commands.md §5). */
#ifndef DBK_STORE_SETTINGS_H
#define DBK_STORE_SETTINGS_H

#include "store/turn.h"

enum { DBK_SETTING_PARTS_MAX = 32 };

/* What a path means: a row, and a place in the document of its value column. */
typedef struct dbk_setting_place {
    const dbk_setting_rule *rule;
    const dbk_port *port;
    dbk_slice name, value;                  /* of the namespace; what stands in it for the rule's variable */
    dbk_slice parts[DBK_SETTING_PARTS_MAX]; /* of the path in the document */
    size_t count;
    dbk_slice member; /* where each member is a row: its name; empty: all of them */
    bool of_members;  /* the namespace has a row per member */
} dbk_setting_place;
/* DBK_BAD_COMMAND: no such form; DBK_UNKNOWN_FIELD: no such namespace. `path` NULL: the whole namespace. The texts
 * stay those of the node. */
dbk_result dbk_setting_place_of(const dbk_engine *engine, const dbk_json_node *name, const dbk_json_node *path,
                                dbk_setting_place *place, dbk_error *err) DBK_MUST_USE;
/* SELECT of the value (columns "value", and "name" where all members are asked for) with its arguments :k0 …, as two
 * texts. */
void dbk_setting_put_select(const dbk_setting_place *place, dbk_buffer *sql, dbk_buffer *args);
const dbk_json_node *dbk_setting_at(const dbk_json_node *document,
                                    const dbk_setting_place *place); /* NULL: nothing there */

/* The merge patch that makes `value` of `old` (NULL: of nothing): what is to go is null. */
void dbk_setting_put_changes(dbk_buffer *out, const dbk_json_node *old, const dbk_json_node *value);
/* What is set in a namespace of the rule, as JSON; nothing is appended where there is nothing. */
dbk_result dbk_setting_stored(dbk_engine *engine, const dbk_setting_rule *rule, const char *name, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;
/* Of a template that has a row for each namespace: the names that have one, up to `most` in order, each with its NUL. */
dbk_result dbk_setting_names(dbk_engine *engine, const dbk_setting_rule *rule, size_t most, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;
/* The rows of the query that a namespace shows, as an array of objects; *position (may be NULL) is that of the model
 * that was read. */
dbk_result dbk_setting_rows(dbk_engine *engine, const dbk_setting_rule *rule, const dbk_reader_limits *limits,
                            dbk_buffer *out, uint64_t *position, dbk_error *err) DBK_MUST_USE;

/* set, unset, reset: inside the open entry. */
dbk_result dbk_settings_run(dbk_engine *engine, const dbk_command *command, dbk_error *err) DBK_MUST_USE;

#endif
