/* Internal to definition/: the frame in which app.json is read.
 *
 * Every object of the file is a list of keys with the function that reads each; what is in no list is
 * refused with the nearest key, what is listed as `later` is refused by its name. A reader that finds a
 * value wrong says so and leaves its result as it was, so that all errors are found at once.
 *
 *   app.c        the file, its top keys        value.c   values by kind
 *   rules.c      tables.<t>                    fields.c  tables.<t>.sync, states
 *   messages.c   tables.<t>.messages
 *   settings.c   settings                      roles.c   events, permissions, limits, disk
 *   retention.c  retention, ttl                models.c  models
 *   archive.c    retention[].archive          mirror.c  settings.<ns>.mirror
 *   path.c       paths below files/           template.c  names of settings with {…} in them */
#ifndef DBK_PROJECTOR_DEFINITION_APP_H
#define DBK_PROJECTOR_DEFINITION_APP_H

#include "projector/definition/internal.h"
#include "projector/rules.h"

typedef struct dbk_app_variable { /* env.<NAME> */
    const char *name, *value;
} dbk_app_variable;

typedef struct dbk_app_reading {
    dbk_check *check;
    const dbk_source *source;
    const dbk_json_node *root; /* NULL: no app.json, or none that can be read */
    dbk_json_parser *parser;
    dbk_app_variable *variables;
    size_t variable_count;
    dbk_app *app;
} dbk_app_reading;

typedef void (*dbk_app_read_fn)(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
typedef struct dbk_app_key {
    const char *name;
    dbk_app_read_fn read; /* NULL: comes with a later version */
} dbk_app_key;
/* Reads the members of `object`, which `path` names ("tables.notes"; "" is the file). */
void dbk_app_members(dbk_app_reading *a, const dbk_json_node *object, const char *path, const dbk_app_key *keys,
                     size_t count, void *into);
/* `path`.`name` in the arena; never NULL. */
const char *dbk_app_path(dbk_app_reading *a, const char *path, dbk_slice name);
/* An error at a value, or at the name before it. */
void dbk_app_wrong(dbk_app_reading *a, const dbk_json_node *value, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A warning at the member's name. */
void dbk_app_doubt_name(dbk_app_reading *a, const dbk_json_node *value, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void dbk_app_wrong_name(dbk_app_reading *a, const dbk_json_node *value, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- definition/value.c: false: said what is wrong, *out untouched */
bool dbk_app_object(dbk_app_reading *a, const dbk_json_node *value, const char *path);
bool dbk_app_array(dbk_app_reading *a, const dbk_json_node *value, const char *path);
bool dbk_app_text(dbk_app_reading *a, const dbk_json_node *value, const char *path,
                  const char **out); /* with ${NAME} filled in */
bool dbk_app_flag(dbk_app_reading *a, const dbk_json_node *value, const char *path, bool *out);
bool dbk_app_count(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint64_t lowest, uint64_t highest,
                   uint64_t *out);
bool dbk_app_choice(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char *const *names,
                    size_t count, size_t *out);
bool dbk_app_span(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint64_t *ms);
bool dbk_app_size(dbk_app_reading *a, const dbk_json_node *value, const char *path,
                  uint64_t *bytes); /* "*" is UINT64_MAX */
bool dbk_app_texts(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char ***out, size_t *count);
/* A table that is there; a column of a table. */
bool dbk_app_table(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_table **out);
bool dbk_app_column(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_table *table, int *out);
int dbk_app_column_named(dbk_app_reading *a, const dbk_json_node *member, const char *path,
                         const dbk_table *table); /* -1: said */

/* ---- the top keys that other files read */
void dbk_app_read_tables(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_models(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_settings(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_search(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_retention(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_events(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_permissions(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_disk(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_limits(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
/* of tables.<t>, `into` a dbk_table_reading */
typedef struct dbk_table_reading {
    dbk_table *table;
    dbk_rules *rules;
} dbk_table_reading;
void dbk_app_read_states(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_sync(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_messages(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
void dbk_app_read_ttl(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into);
/* retention[].archive, when name and table of the rule are known. Whether a file of that path, or a folder on it, can
 * be one of those. */
void dbk_app_archive(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_retention_rule *rule);
bool dbk_app_archive_may_be(const dbk_app *app, const char *path);
/* settings.<ns>.mirror: the value alone; behind the other keys what it is beside, of the rules read so far. */
void dbk_app_read_mirror(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_setting_rule *rule);
void dbk_app_check_mirror(dbk_app_reading *a, const dbk_json_node *member, const char *path,
                          const dbk_setting_rule *rule);

/* ---- definition/template.c */
void dbk_app_name_setting(dbk_app_reading *a, const dbk_json_node *member, const char *path, dbk_setting_rule *rule);
/* Behind the other keys: that each namespace of a template has a row and a file of its own, also beside the rules read
 * so far. */
void dbk_app_check_template(dbk_app_reading *a, const dbk_json_node *member, const char *path, dbk_setting_rule *rule);
/* Of two mirrors that meet: a namespace and the template that it comes before, with the file it would have there. */
bool dbk_app_mirror_comes_before(const dbk_setting_rule *one, const dbk_setting_rule *other, dbk_check *check);

/* ---- definition/path.c */
enum { DBK_APP_PART_MAX_BYTES = 120, DBK_APP_PARTS_MAX = 8 };
bool dbk_app_is_path(const char *text);
/* Whether two paths may be one, or one a folder of the other, whatever stands for what they have between braces; also
 * where a file system takes letters of either case for one. */
bool dbk_app_paths_meet(const char *one, const char *other);
/* Rules of a table, made when first asked for; NULL: out of memory. */
dbk_rules *dbk_app_rules(dbk_app_reading *a, dbk_table *table);
/* Marks what the rules of all tables come to; behind the last reader. */
void dbk_app_settle(dbk_app_reading *a);

#endif
