/* Projections: the statements that an event's type calls for, in file order, after the event's own
 * table has changed (app-format.md §2, §5.3). Which they are is worked out once per type; each is
 * prepared once, and what its parameters mean is read off their names then. */
#include "projector/rows/internal.h"

#include <stdio.h>

enum { TYPES_ROOM = 256, TYPES_MAX = 128 };

typedef enum parameter_kind {
    P_MEMBER,
    P_DATA,
    P_TYPE,
    P_STREAM,
    P_TIME,
    P_ACTOR,
    P_COMMAND,
    P_CORRELATION,
    P_CAUSATION,
    P_EVENT,
    P_ORDER
} parameter_kind;

typedef struct parameter {
    parameter_kind kind; /* the path of a member is read off the statement: the name moves when the
                            schema changes */
} parameter;

typedef struct prepared {
    const dbk_statement *source;
    sqlite3_stmt *statement;
    parameter *parameters;
    int parameter_count;
} prepared;

typedef struct typed {
    char *type; /* NULL: free */
    size_t size;
    prepared **list;
    size_t count;
} typed;

struct dbk_projections {
    prepared *items; /* of all projections, in file order */
    size_t item_count;
    typed types[TYPES_ROOM];
    size_t type_count;
};

/* What an event offers to its projections. */
typedef struct offer {
    dbk_model *model;
    const dbk_event *event;
    const dbk_json_node *data;
    const dbk_table *keyed; /* of a patch or delete: the key is in the stream; else NULL */
    dbk_slice key;
    char time[DBK_TIME_TEXT_SIZE];
    char id[DBK_ENTRY_ID_TEXT_SIZE + 12];
    char order[2 * DBK_ORDER_KEY_SIZE + 9];
} offer;

dbk_projections *dbk_projections_new(dbk_model *model)
{
    const dbk_definition *definition = model->definition;
    dbk_projections *projections = dbk_alloc_zero(model->port, 1, sizeof(*projections));
    size_t count = 0, at = 0;

    if (!projections) return NULL;
    for (size_t i = 0; i < definition->projection_count; i++) count += definition->projections[i].statement_count;
    projections->items = dbk_alloc_zero(model->port, count ? count : 1, sizeof(*projections->items));
    projections->item_count = count;
    for (size_t i = 0; projections->items && i < definition->projection_count; i++) {
        for (uint32_t j = 0; j < definition->projections[i].statement_count; j++) {
            projections->items[at++].source = &definition->projections[i].statements[j];
        }
    }
    if (projections->items) return projections;
    dbk_free(model->port, projections);
    return NULL;
}

static void release(const dbk_port *port, prepared *item)
{
    dbk_free(port, item->parameters);
    sqlite3_finalize(item->statement);
    *item = (prepared){.source = item->source};
}

static void forget_types(const dbk_port *port, dbk_projections *projections)
{
    for (size_t i = 0; i < TYPES_ROOM; i++) {
        dbk_free(port, projections->types[i].type);
        dbk_free(port, projections->types[i].list);
        projections->types[i] = (typed){0};
    }
    projections->type_count = 0;
}

void dbk_projections_free(dbk_model *model)
{
    dbk_projections *projections = model->projections;

    if (!projections) return;
    forget_types(model->port, projections);
    for (size_t i = 0; i < projections->item_count; i++) release(model->port, &projections->items[i]);
    dbk_free(model->port, projections->items);
    dbk_free(model->port, projections);
    model->projections = NULL;
}

/* ---- which statements a type has */

/* A block named by several patterns that match runs once: its statements are the same. */
static size_t list_items(dbk_model *model, dbk_slice type, prepared **list)
{
    const dbk_definition *definition = model->definition;
    size_t count = 0, at = 0;

    for (size_t i = 0; i < definition->projection_count; i++) {
        const dbk_projection *projection = &definition->projections[i];
        bool matches = dbk_pattern_matches(projection->pattern, type);
        for (uint32_t j = 0; j < projection->statement_count; j++, at++) {
            bool known = false;
            for (size_t k = 0; matches && k < count && list; k++) {
                known |= list[k]->source->sql == model->projections->items[at].source->sql;
            }
            if (matches && !known) {
                if (list) list[count] = &model->projections->items[at];
                count++;
            }
        }
    }
    return count;
}

static bool is_type(const typed *place, dbk_slice type)
{
    return place->size == type.size && memcmp(place->type, type.data, type.size) == 0;
}

/* NULL: out of memory. Types come from outside: when there are too many, all are forgotten. */
static typed *find_type(dbk_model *model, dbk_slice type)
{
    dbk_projections *projections = model->projections;
    size_t hash = (size_t)dbk_checksum(type, 0), at = hash % TYPES_ROOM;

    while (projections->types[at].type && !is_type(&projections->types[at], type)) at = (at + 1) % TYPES_ROOM;
    if (projections->types[at].type) return &projections->types[at];
    if (projections->type_count == TYPES_MAX) {
        forget_types(model->port, projections);
        at = hash % TYPES_ROOM;
    }
    size_t most = list_items(model, type, NULL);
    typed made = {.type = dbk_alloc(model->port, type.size + 1),
                  .size = type.size,
                  .list = dbk_alloc_zero(model->port, most + 1, sizeof(*made.list))};
    if (!made.type || !made.list) {
        dbk_free(model->port, made.type);
        dbk_free(model->port, made.list);
        return NULL;
    }
    memcpy(made.type, type.data, type.size);
    made.count = list_items(model, type, made.list);
    projections->types[at] = made;
    projections->type_count++;
    return &projections->types[at];
}

size_t dbk_project_count(dbk_model *model, dbk_slice type)
{
    if (model->projections->item_count == 0) return 0;
    const typed *found = find_type(model, type);
    return found ? found->count : model->projections->item_count; /* out of memory shows when they run */
}

bool dbk_project_row(dbk_model *model, const dbk_table *table, dbk_row_op op)
{
    static const char *const names[] = {"put", "patched", "deleted"};
    int8_t *is_projected = &dbk_row_statements_of(model, table)->is_projected[op];
    char type[80];

    if (*is_projected == 0) {
        int size = snprintf(type, sizeof(type), "%s.%s", table->name, names[op]);
        *is_projected = dbk_project_count(model, dbk_slice_of(type, (size_t)size)) > 0 ? 1 : -1;
    }
    return *is_projected > 0;
}

/* ---- parameters */

static bool read_parameter(const char *name, parameter *out)
{
    static const char *const names[] = {"member",  "data",        "type",      "stream", "time", "actor",
                                        "command", "correlation", "causation", "event",  "order"};

    if (name && name[0] == '$') {
        *out = (parameter){P_MEMBER};
        return true;
    }
    for (int kind = P_DATA; name && name[0] == ':' && kind <= P_ORDER; kind++) {
        if (strcmp(name + 1, names[kind]) != 0) continue;
        *out = (parameter){(parameter_kind)kind};
        return true;
    }
    return false;
}

static dbk_result prepare(dbk_model *model, prepared *item, dbk_error *err)
{
    dbk_sql_role role = model->sandbox.role;
    dbk_result result = DBK_OK;

    model->sandbox.role = DBK_SQL_PROJECTION;
    int rc = sqlite3_prepare_v3(model->db, item->source->sql, -1, SQLITE_PREPARE_PERSISTENT, &item->statement, NULL);
    model->sandbox.role = role;
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "prepare a projection", err);
    if (!item->statement)
        return dbk_fail(err, DBK_INTERNAL, "%s:%u holds no statement", item->source->file, item->source->line);
    int count = sqlite3_bind_parameter_count(item->statement);
    item->parameters = dbk_alloc_zero(model->port, (size_t)count + 1, sizeof(*item->parameters));
    if (!item->parameters) result = dbk_row_no_memory(err);
    item->parameter_count = item->parameters ? count : 0;
    for (int i = 0; i < count && result == DBK_OK; i++) {
        const char *name = sqlite3_bind_parameter_name(item->statement, i + 1);
        if (read_parameter(name, &item->parameters[i])) continue;
        result = dbk_fail(err, DBK_INTERNAL, "%s:%u: unknown parameter '%s'", item->source->file, item->source->line,
                          name ? name : "?");
    }
    if (result != DBK_OK) release(model->port, item);
    return result;
}

/* The member at the path "a::b", NULL where there is none. */
static const dbk_json_node *find_member(const dbk_json_node *data, const char *path)
{
    while (data) {
        const char *end = strstr(path, "::");
        dbk_slice name = dbk_slice_of(path, end ? (size_t)(end - path) : strlen(path));
        const dbk_json_node *child = data->kind == DBK_JSON_OBJECT ? dbk_json_child(data) : NULL, *found = NULL;
        for (uint32_t i = 0; child && i < data->count && !found; i++, child = dbk_json_next(child)) {
            if (dbk_slice_equal(child->name, name)) found = child;
        }
        if (!end) return found;
        data = found;
        path = end + 2;
    }
    return NULL;
}

static int bind_slice(sqlite3_stmt *statement, int at, dbk_slice text)
{
    return sqlite3_bind_text64(statement, at, text.size ? (const char *)text.data : "", text.size, SQLITE_TRANSIENT,
                               SQLITE_UTF8);
}

/* An absent text is no text: NULL. */
static int bind_optional(sqlite3_stmt *statement, int at, dbk_slice text)
{
    return text.size ? bind_slice(statement, at, text) : sqlite3_bind_null(statement, at);
}

int dbk_row_bind_json(dbk_model *model, sqlite3_stmt *statement, int at, const dbk_json_node *value)
{
    dbk_buffer *text = &model->work->scratch;
    int64_t integer;

    if (!value || value->kind == DBK_JSON_NULL) return sqlite3_bind_null(statement, at);
    if (value->kind == DBK_JSON_STRING) return bind_slice(statement, at, value->text);
    if (value->kind == DBK_JSON_TRUE || value->kind == DBK_JSON_FALSE) {
        return sqlite3_bind_int(statement, at, value->kind == DBK_JSON_TRUE);
    }
    if (value->kind == DBK_JSON_NUMBER) {
        bool whole = true;
        for (size_t i = 0; i < value->text.size; i++) whole &= !strchr(".eE", value->text.data[i]);
        if (whole && dbk_json_is_integer(value, &integer)) return sqlite3_bind_int64(statement, at, integer);
        return sqlite3_bind_double(statement, at, dbk_json_double(value));
    }
    dbk_buffer_clear(text);
    dbk_json_put_minimal(text, value);
    return text->failed ? SQLITE_NOMEM : bind_slice(statement, at, dbk_buffer_slice(text));
}

static int bind_member(const offer *o, sqlite3_stmt *statement, int at)
{
    const char *path = sqlite3_bind_parameter_name(statement, at) + 1;
    int column = o->keyed ? dbk_keyed_column(o->keyed, dbk_slice_text(path)) : -1;

    if (column >= 0) return dbk_keyed_bind(o->model, o->keyed, o->key, column, statement, at);
    return dbk_row_bind_json(o->model, statement, at, find_member(o->data, path));
}

static int bind_data(const offer *o, sqlite3_stmt *statement, int at)
{
    dbk_buffer *text = &o->model->work->scratch;

    if (!o->keyed) return bind_slice(statement, at, o->event->data);
    dbk_buffer_clear(text);
    dbk_keyed_data(o->keyed, o->key, o->data, text);
    return text->failed ? SQLITE_NOMEM : bind_slice(statement, at, dbk_buffer_slice(text));
}

static int bind_parameter(const offer *o, sqlite3_stmt *statement, int at, const parameter *p)
{
    const dbk_row_work *work = o->model->work;

    switch (p->kind) {
    case P_MEMBER: return bind_member(o, statement, at);
    case P_DATA: return bind_data(o, statement, at);
    case P_TYPE: return bind_slice(statement, at, o->event->type);
    case P_STREAM: return bind_slice(statement, at, o->event->stream);
    case P_TIME: return bind_slice(statement, at, dbk_slice_text(o->time));
    case P_ACTOR: return bind_optional(statement, at, work->actor);
    case P_COMMAND: return bind_optional(statement, at, work->command_id);
    case P_CORRELATION: return bind_optional(statement, at, work->correlation);
    case P_CAUSATION: return bind_optional(statement, at, work->causation);
    case P_EVENT: return bind_slice(statement, at, dbk_slice_text(o->id));
    case P_ORDER: return bind_slice(statement, at, dbk_slice_text(o->order));
    }
    return SQLITE_MISUSE;
}

/* ---- running */

/* What the data made SQLite refuse (bad JSON in a function, an overflow) is no failure of the
 * engine. */
static dbk_result judge(dbk_model *model, dbk_result result, const prepared *item, dbk_error *err)
{
    bool by_data = result == DBK_INTERNAL || result == DBK_SCHEMA || result == DBK_TOO_BIG || result == DBK_DENIED ||
                   (result == DBK_CONSTRAINT && dbk_row_is_async(model)); /* which says where it stands */

    if (!by_data || sqlite3_get_autocommit(model->db) || dbk_observer_failure(model->observer) != DBK_OK) return result;
    return err ? dbk_error_wrap(err, DBK_REJECTED, "%s:%u", item->source->file, item->source->line) : DBK_REJECTED;
}

static dbk_result run_bounded(dbk_model *model, const prepared *item, int *changes, dbk_error *err)
{
    dbk_step_bound bound;

    dbk_step_bound_begin(model, &bound);
    dbk_result result = dbk_row_run(model, item->statement, "project", changes, err);
    result = dbk_step_bound_end(model, &bound, item->statement, item->source, result, err);
    return result == DBK_OK || bound.refused ? result : judge(model, result, item, err);
}

static dbk_result run(const offer *o, prepared *item, dbk_error *err)
{
    dbk_result result = item->statement ? DBK_OK : prepare(o->model, item, err);
    int changes = 0;

    if (result != DBK_OK) return result;
    for (int i = 0; i < item->parameter_count; i++) {
        int rc = bind_parameter(o, item->statement, i + 1, &item->parameters[i]);
        if (rc != SQLITE_OK) return dbk_model_sql_failure(o->model, rc, "bind a projection's parameter", err);
    }
    result = run_bounded(o->model, item, &changes, err);
    if (result != DBK_OK) return result;
    if (changes > 0 || item->source->may_change_nothing) return DBK_OK;
    o->model->work->superseded = true;
    result = dbk_fail(err, DBK_REJECTED, "%.*s changes no row", DBK_SLICE_ARG(o->event->type));
    return dbk_row_is_async(o->model) ? judge(o->model, DBK_CONSTRAINT, item, err) : result;
}

static void fill_offer(offer *o)
{
    const dbk_row_work *work = o->model->work;

    o->keyed = dbk_keyed_table(o->model, o->event, &o->key);
    dbk_time_stored(work->time_ms, true, o->time);
    (void)snprintf(o->id, sizeof(o->id), "%s.%u", work->id_text, work->event_index);
    dbk_hex_encode(dbk_slice_of(work->order, sizeof(work->order)), o->order);
    (void)snprintf(o->order + 2 * sizeof(work->order), 9, "%08x", work->event_index);
}

dbk_result dbk_project_event(dbk_model *model, const dbk_event *event, const dbk_json_node *data, dbk_error *err)
{
    offer o = {.model = model, .event = event, .data = data};
    const typed *found;

    if (model->projections->item_count == 0 || model->only.size > 0 || dbk_event_is_engine(event)) return DBK_OK;
    found = find_type(model, event->type);
    if (!found) return dbk_row_no_memory(err);
    if (found->count == 0) return DBK_OK;
    if (!data) {
        dbk_result result = dbk_json_parse(model->work->parser, event->data, &o.data, err);
        if (result != DBK_OK) return result;
    }
    fill_offer(&o);
    for (size_t i = 0; i < found->count; i++) {
        dbk_result result = run(&o, found->list[i], err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}
