/* A schema before anything is judged by it: its JSON, its keywords and their forms, its patterns. Everything that
 * is wrong is told at once. What libvalijson would pass over in silence (an unknown keyword, a bad pattern in a
 * branch that no value reaches) is found here. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "projector/schema/internal.h"

#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct keyword {
    const char *name;
    dbk_keyword_kind kind;
    bool about_same;
    bool (*good)(const dbk_json_node *value); /* NULL: nothing to ask of the form */
    const char *form;
} keyword;

/* ---- forms */

static bool is_text(const dbk_json_node *v)
{
    return v->kind == DBK_JSON_STRING;
}
static bool is_number(const dbk_json_node *v)
{
    return v->kind == DBK_JSON_NUMBER;
}
static bool is_bool(const dbk_json_node *v)
{
    return v->kind == DBK_JSON_TRUE || v->kind == DBK_JSON_FALSE;
}
static bool is_array(const dbk_json_node *v)
{
    return v->kind == DBK_JSON_ARRAY;
}
static bool is_object(const dbk_json_node *v)
{
    return v->kind == DBK_JSON_OBJECT;
}
static bool is_schema(const dbk_json_node *v)
{
    return is_object(v) || is_bool(v);
}

static bool is_count(const dbk_json_node *v)
{
    uint64_t count;

    return dbk_number_count(v, &count);
}

static bool is_divisor(const dbk_json_node *v)
{
    return is_number(v) && dbk_number_is_positive(v->text) && dbk_number_divisor_fits(v->text);
}

static bool is_type_name(const dbk_json_node *v)
{
    static const char *const names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (dbk_json_text_is(v, names[i])) return true;
    return false;
}

static bool is_type(const dbk_json_node *v)
{
    const dbk_json_node *one = dbk_json_child(v);

    if (v->kind != DBK_JSON_ARRAY || v->count == 0) return is_type_name(v);
    for (uint32_t i = 0; i < v->count; i++, one = dbk_json_next(one))
        if (!is_type_name(one)) return false;
    return true;
}

static bool is_text_list(const dbk_json_node *v)
{
    const dbk_json_node *one = dbk_json_child(v);

    for (uint32_t i = 0; is_array(v) && i < v->count; i++, one = dbk_json_next(one))
        if (!is_text(one)) return false;
    return is_array(v);
}

static bool is_list(const dbk_json_node *v)
{
    return is_array(v) && v->count > 0;
}
static bool is_items(const dbk_json_node *v)
{
    return is_schema(v) || is_array(v);
}
static bool has_nul(dbk_slice name)
{
    return name.size && memchr(name.data, 0, name.size);
}

static const keyword keywords[] = {
    {"$schema", DBK_KEYWORD_NOTE, false, is_text, "text"},
    {"$id", DBK_KEYWORD_NOTE, false, is_text, "text"},
    {"$ref", DBK_KEYWORD_NOTE, false, is_text, "text: \"#/definitions/name\""},
    {"$comment", DBK_KEYWORD_NOTE, false, is_text, "text"},
    {"title", DBK_KEYWORD_NOTE, false, is_text, "text"},
    {"description", DBK_KEYWORD_NOTE, false, is_text, "text"},
    {"default", DBK_KEYWORD_NOTE, false, NULL, NULL},
    {"examples", DBK_KEYWORD_NOTE, false, is_array, "an array"},
    {"readOnly", DBK_KEYWORD_NOTE, false, is_bool, "true or false"},
    {"writeOnly", DBK_KEYWORD_NOTE, false, is_bool, "true or false"},
    {"type", DBK_KEYWORD_LEAF, false, is_type,
     "null, boolean, integer, number, string, array, object, or a list of these"},
    {"enum", DBK_KEYWORD_LEAF, false, is_array, "an array of values"},
    {"const", DBK_KEYWORD_LEAF, false, NULL, NULL},
    {"minimum", DBK_KEYWORD_LEAF, false, is_number, "a number"},
    {"maximum", DBK_KEYWORD_LEAF, false, is_number, "a number"},
    {"exclusiveMinimum", DBK_KEYWORD_LEAF, false, is_number, "a number"},
    {"exclusiveMaximum", DBK_KEYWORD_LEAF, false, is_number, "a number"},
    {"multipleOf", DBK_KEYWORD_LEAF, false, is_divisor, "a number above 0 of at most 18 digits"},
    {"minLength", DBK_KEYWORD_LEAF, false, is_count, "a count from 0 on"},
    {"maxLength", DBK_KEYWORD_LEAF, false, is_count, "a count from 0 on"},
    {"minItems", DBK_KEYWORD_LEAF, false, is_count, "a count from 0 on"},
    {"maxItems", DBK_KEYWORD_LEAF, false, is_count, "a count from 0 on"},
    {"minProperties", DBK_KEYWORD_LEAF, false, is_count, "a count from 0 on"},
    {"maxProperties", DBK_KEYWORD_LEAF, false, is_count, "a count from 0 on"},
    {"pattern", DBK_KEYWORD_LEAF, false, is_text, "text: a regular expression"},
    {"format", DBK_KEYWORD_LEAF, false, is_text, "text"},
    {"contentEncoding", DBK_KEYWORD_LEAF, false, is_text, "text"},
    {"contentMediaType", DBK_KEYWORD_LEAF, false, is_text, "text"},
    {"uniqueItems", DBK_KEYWORD_LEAF, false, is_bool, "true or false"},
    {"required", DBK_KEYWORD_LEAF, false, is_text_list, "an array of names"},
    {"definitions", DBK_KEYWORD_MAP, false, is_object, "an object of schemas"},
    {"allOf", DBK_KEYWORD_LIST, true, is_list, "an array of schemas, not empty"},
    {"anyOf", DBK_KEYWORD_LIST, true, is_list, "an array of schemas, not empty"},
    {"oneOf", DBK_KEYWORD_LIST, true, is_list, "an array of schemas, not empty"},
    {"not", DBK_KEYWORD_SCHEMA, true, is_schema, "a schema"},
    {"if", DBK_KEYWORD_SCHEMA, true, is_schema, "a schema"},
    {"then", DBK_KEYWORD_SCHEMA, true, is_schema, "a schema"},
    {"else", DBK_KEYWORD_SCHEMA, true, is_schema, "a schema"},
    {"items", DBK_KEYWORD_ITEMS, false, is_items, "a schema, or an array of schemas"},
    {"additionalItems", DBK_KEYWORD_SCHEMA, false, is_schema, "a schema"},
    {"contains", DBK_KEYWORD_SCHEMA, false, is_schema, "a schema"},
    {"properties", DBK_KEYWORD_MAP, false, is_object, "an object of schemas"},
    {"patternProperties", DBK_KEYWORD_MAP, false, is_object, "an object of schemas"},
    {"additionalProperties", DBK_KEYWORD_SCHEMA, false, is_schema, "a schema"},
    {"propertyNames", DBK_KEYWORD_SCHEMA, false, is_schema, "a schema"},
    {"dependencies", DBK_KEYWORD_DEPENDENCIES, true, is_object, "an object of schemas or arrays of names"},
};
enum { KEYWORD_COUNT = sizeof(keywords) / sizeof(keywords[0]) };

static const keyword *find(dbk_slice name)
{
    for (size_t i = 0; i < KEYWORD_COUNT; i++)
        if (dbk_slice_equal(name, dbk_slice_text(keywords[i].name))) return &keywords[i];
    return NULL;
}

dbk_keyword_kind dbk_schema_keyword(dbk_slice name, bool *about_same)
{
    const keyword *found = find(name);

    *about_same = found && found->about_same;
    return found ? found->kind : DBK_KEYWORD_NONE;
}

/* ---- findings */

void dbk_schema_fault(dbk_schema_check *check, const dbk_json_node *at, const char *advice, const char *format, ...)
{
    char text[300];
    va_list args;

    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t end = size < 0 ? 0 : strlen(text);
    while (end > 0 && !dbk_utf8_valid(dbk_slice_of(text, end))) end--;
    text[end] = '\0';
    size_t width = at->kind == DBK_JSON_STRING ? at->text.size + 2 : at->kind == DBK_JSON_NUMBER ? at->text.size : 1;
    const dbk_json_schema *schema = check->schema;
    bool alone = schema->all == schema->root;
    check->faults++;
    if (alone || at < schema->root + schema->root->span)
        check->fault(check->fault_arg, at->offset - (alone ? 0 : 1), width, text, advice);
    else if (check->faults == 1) /* its places are told where it is checked itself */
        check->fault(check->fault_arg, 0, 1, "what a '$ref' leads to is wrong", text);
}

/* ---- patterns */

static bool keep_pattern(dbk_schema_check *check, dbk_slice text, void *code)
{
    dbk_json_schema *schema = check->schema;

    if (!dbk_schema_grow(schema->port, (void **)&schema->patterns, schema->pattern_count, &schema->pattern_room,
                         sizeof(*schema->patterns))) {
        dbk_schema_pattern_free(code);
        check->failed = true;
        return false;
    }
    schema->patterns[schema->pattern_count++] = (dbk_schema_pattern){text, code};
    return true;
}

static void compile(dbk_schema_check *check, const dbk_json_node *at, dbk_slice pattern)
{
    dbk_pattern_fault fault;

    if (pattern.size > DBK_SCHEMA_PATTERN_MAX) {
        dbk_schema_fault(check, at, "a shorter one", "a pattern of %zu bytes is over %d", pattern.size,
                         DBK_SCHEMA_PATTERN_MAX);
        return;
    }
    void *code = dbk_schema_pattern_new(check->schema, pattern, &fault);
    if (code) (void)keep_pattern(check, pattern, code);
    else if (fault.no_memory) check->failed = true;
    else if (fault.at_end) dbk_schema_fault(check, at, NULL, "no regular expression: %s", fault.text);
    else dbk_schema_fault(check, at, NULL, "no regular expression, at its byte %zu: %s", fault.offset, fault.text);
}

static int compare_patterns(const void *a, const void *b)
{
    return dbk_slice_compare(((const dbk_schema_pattern *)a)->text, ((const dbk_schema_pattern *)b)->text);
}

/* ---- keywords */

static const char *nearest(dbk_schema_check *check, dbk_slice name)
{
    const char *names[KEYWORD_COUNT];
    char text[80];

    for (size_t i = 0; i < KEYWORD_COUNT; i++) names[i] = keywords[i].name;
    const char *near = dbk_nearest(name, names, KEYWORD_COUNT);
    int size = near ? snprintf(text, sizeof(text), "did you mean '%s'?", near) : 0;
    dbk_slice copy = size > 0 ? dbk_arena_copy(check->arena, dbk_slice_text(text)) : (dbk_slice){NULL, 0};
    return (const char *)copy.data;
}

static void unknown(dbk_schema_check *check, const dbk_json_node *value)
{
    static const char *const newer[] = {"$defs",
                                        "$anchor",
                                        "dependentRequired",
                                        "dependentSchemas",
                                        "prefixItems",
                                        "unevaluatedProperties",
                                        "unevaluatedItems",
                                        "minContains",
                                        "maxContains"};
    int size = (int)(value->name.size < 100 ? value->name.size : 100);
    const char *name = (const char *)value->name.data;

    for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++)
        if (dbk_slice_equal(value->name, dbk_slice_text(newer[i]))) {
            dbk_schema_fault(check, value, "the words of draft 7", "'%.*s' belongs to a later draft of JSON Schema",
                             size, name);
            return;
        }
    dbk_schema_fault(check, value, nearest(check, value->name), "'%.*s' is no keyword of JSON Schema draft 7", size,
                     name);
}

/* What has the right form and still cannot be. */
static void check_value(dbk_schema_check *check, const dbk_json_node *value)
{
    bool lenient = check->schema->options.lenient;

    if (dbk_slice_equal(value->name, dbk_slice_text("pattern"))) compile(check, value, value->text);
    if (dbk_slice_equal(value->name, dbk_slice_text("patternProperties"))) {
        const dbk_json_node *one = dbk_json_child(value);
        for (uint32_t i = 0; i < value->count; i++, one = dbk_json_next(one)) compile(check, one, one->name);
    }
    if (!lenient && dbk_slice_equal(value->name, dbk_slice_text("format")) && !dbk_schema_format_known(value->text))
        dbk_schema_fault(check, value,
                         "date, time, date-time, email, idn-email, hostname, ipv4, ipv6, uri, uri-reference, iri, "
                         "iri-reference, uri-template, uuid, json-pointer, relative-json-pointer or regex",
                         "format '%.*s' is not checked here", (int)(value->text.size < 100 ? value->text.size : 100),
                         (const char *)value->text.data);
    bool content = dbk_slice_equal(value->name, dbk_slice_text("contentEncoding")) ||
                   dbk_slice_equal(value->name, dbk_slice_text("contentMediaType"));
    if (!lenient && content && !dbk_schema_content_known(value))
        dbk_schema_fault(check, value, value->name.size == 15 ? "base64" : "application/json",
                         "'%.*s' is not checked here", (int)(value->text.size < 100 ? value->text.size : 100),
                         (const char *)value->text.data);
    if (!lenient && dbk_slice_equal(value->name, dbk_slice_text("$schema")) &&
        !dbk_json_text_is(value, "http://json-schema.org/draft-07/schema#") &&
        !dbk_json_text_is(value, "http://json-schema.org/draft-07/schema"))
        dbk_schema_fault(check, value, "\"http://json-schema.org/draft-07/schema#\"",
                         "'$schema' names another draft than 7");
}

static bool add_place(dbk_schema_check *check, const dbk_json_node *node, dbk_slice base)
{
    if (!dbk_schema_grow(check->schema->port, (void **)&check->places, check->place_count, &check->place_room,
                         sizeof(*check->places))) {
        check->failed = true;
        return false;
    }
    check->places[check->place_count++] = (dbk_schema_place){node, base};
    return true;
}

static bool add_id(dbk_schema_check *check, dbk_slice uri, const dbk_json_node *node)
{
    if (!dbk_schema_grow(check->schema->port, (void **)&check->ids, check->id_count, &check->id_room,
                         sizeof(*check->ids))) {
        check->failed = true;
        return false;
    }
    check->ids[check->id_count++] = (dbk_schema_id){uri, node};
    return true;
}

/* The base URI inside the schema; an $id that is only "#name" names the schema and leaves the base. */
static dbk_slice take_id(dbk_schema_check *check, const dbk_json_node *schema, dbk_slice base)
{
    const dbk_json_node *id = dbk_json_member(schema, "$id");
    dbk_slice document, fragment;
    dbk_buffer uri;

    if (!id || id->kind != DBK_JSON_STRING || dbk_json_member(schema, "$ref")) return base;
    dbk_buffer_init(&uri, check->schema->port);
    dbk_uri_resolve(&uri, base, id->text);
    dbk_slice copy = uri.failed ? (dbk_slice){NULL, 0} : dbk_arena_copy(check->arena, dbk_buffer_slice(&uri));
    dbk_buffer_release(&uri);
    if (!copy.data || !add_id(check, copy, schema)) {
        check->failed = true;
        return base;
    }
    dbk_uri_split(id->text, &document, &fragment);
    if (document.size == 0) return base;
    dbk_uri_split(copy, &document, &fragment);
    return document;
}

static void visit(dbk_schema_check *check, const dbk_json_node *node, dbk_slice base);

static void visit_inner(dbk_schema_check *check, const dbk_json_node *value, dbk_keyword_kind kind, dbk_slice base)
{
    const dbk_json_node *one = dbk_json_child(value);
    bool list = kind == DBK_KEYWORD_LIST || kind == DBK_KEYWORD_MAP || kind == DBK_KEYWORD_DEPENDENCIES ||
                (kind == DBK_KEYWORD_ITEMS && value->kind == DBK_JSON_ARRAY);

    if (kind == DBK_KEYWORD_SCHEMA || (kind == DBK_KEYWORD_ITEMS && !list)) visit(check, value, base);
    for (uint32_t i = 0; list && i < value->count; i++, one = dbk_json_next(one)) {
        if (has_nul(one->name)) dbk_schema_fault(check, one, "another name", "a NUL in a name");
        if (kind != DBK_KEYWORD_DEPENDENCIES || one->kind != DBK_JSON_ARRAY) visit(check, one, base);
        else if (!is_text_list(one))
            dbk_schema_fault(check, one, "an array of names", "'dependencies' has another form");
    }
}

/* Beside a $ref everything else is left alone by the draft: written there, it would only look as if it counted. */
static void check_beside_ref(dbk_schema_check *check, const dbk_json_node *node)
{
    const dbk_json_node *value = dbk_json_child(node);

    for (uint32_t i = 0; i < node->count; i++, value = dbk_json_next(value)) {
        const keyword *found = find(value->name);
        if (found && (found->kind == DBK_KEYWORD_NOTE || dbk_slice_equal(value->name, dbk_slice_text("definitions"))))
            continue;
        dbk_schema_fault(check, value, "allOf: [{\"$ref\": …}, {…}]",
                         "'%.*s' beside '$ref' counts for nothing in draft 7",
                         (int)(value->name.size < 100 ? value->name.size : 100), (const char *)value->name.data);
    }
}

/* As deep as the JSON is, which the parser bounds. */
static void visit(dbk_schema_check *check, const dbk_json_node *node, dbk_slice base)
{
    const dbk_json_node *value = dbk_json_child(node);
    bool is_ref = node->kind == DBK_JSON_OBJECT && dbk_json_member(node, "$ref");

    if (!is_schema(node)) {
        dbk_schema_fault(check, node, "{\"type\": \"object\"}", "a schema is an object, true or false");
        return;
    }
    base = node->kind == DBK_JSON_OBJECT ? take_id(check, node, base) : base;
    if (check->place_count == DBK_SCHEMA_PLACES_MAX) {
        if (!check->too_many)
            dbk_schema_fault(check, node, "less in one file", "more than %d schemas in one", DBK_SCHEMA_PLACES_MAX);
        check->too_many = true;
        return;
    }
    if (check->failed || !add_place(check, node, base) || node->kind != DBK_JSON_OBJECT) return;
    if (is_ref && !check->schema->options.lenient) check_beside_ref(check, node);
    for (uint32_t i = 0; i < node->count && !check->failed; i++, value = dbk_json_next(value)) {
        const keyword *found = find(value->name);
        if (is_ref && found && !(found->kind == DBK_KEYWORD_MAP || found->kind == DBK_KEYWORD_NOTE)) continue;
        if (!found && check->schema->options.lenient) continue;
        if (!found) {
            unknown(check, value);
        } else if (found->good && !found->good(value)) {
            dbk_schema_fault(check, value, found->form, "'%s' has another form", found->name);
        } else {
            check_value(check, value);
            visit_inner(check, value, found->kind, base);
        }
    }
}

/* ---- the whole */

static void *memory_take(size_t size, void *port)
{
    return dbk_alloc(port, size);
}
static void memory_free(void *memory, void *port)
{
    dbk_free(port, memory);
}

bool dbk_schema_grow(const dbk_port *port, void **items, size_t count, size_t *room, size_t size)
{
    if (count < *room) return true;
    size_t more = *room ? *room * 2 : 16;
    void *grown = port->resize(port->ctx, *items, more * size);
    if (!grown) return false;
    *items = grown;
    *room = more;
    return true;
}

static dbk_json_schema *new_schema(const dbk_port *port, const dbk_json_schema_options *options)
{
    dbk_json_schema *schema = dbk_alloc_zero(port, 1, sizeof(*schema));

    if (!schema) return NULL;
    schema->port = port;
    if (options) schema->options = *options;
    schema->parser = dbk_json_parser_new(port);
    schema->pattern_memory = pcre2_general_context_create(memory_take, memory_free, (void *)(uintptr_t)port);
    if (schema->parser && schema->pattern_memory) return schema;
    dbk_json_schema_free(schema);
    return NULL;
}

static void free_patterns(dbk_json_schema *schema)
{
    for (size_t i = 0; i < schema->pattern_count; i++) dbk_schema_pattern_free(schema->patterns[i].code);
    schema->pattern_count = 0;
}

void dbk_json_schema_free(dbk_json_schema *schema)
{
    if (!schema) return;
    dbk_valijson_free(schema);
    free_patterns(schema);
    dbk_free(schema->port, schema->patterns);
    dbk_free(schema->port, schema->refs);
    dbk_free(schema->port, schema->targets);
    pcre2_general_context_free(schema->pattern_memory);
    dbk_json_parser_free(schema->parser);
    dbk_free(schema->port, schema);
}

/* Once over all that was read; `again`: a reference leads to a document that is there and was not. */
static void check_once(dbk_schema_check *check)
{
    dbk_json_schema *schema = check->schema;
    dbk_slice nowhere = {(const uint8_t *)"", 0};
    const dbk_json_node *node;
    const char *uri;

    check->again = false;
    check->place_count = check->id_count = 0;
    schema->ref_count = schema->target_count = 0;
    free_patterns(schema);
    visit(check, schema->root, schema->options.uri ? dbk_slice_text(schema->options.uri) : nowhere);
    for (size_t i = 0; !check->failed && (node = dbk_schema_document(check, i, &uri)) != NULL; i++) {
        if (!add_id(check, dbk_slice_text(uri), node)) return;
        visit(check, node, dbk_slice_text(uri));
    }
    if (!check->failed && check->faults == 0) dbk_schema_link(check);
}

static dbk_result check_all(dbk_schema_check *check, dbk_slice text, dbk_error *err)
{
    dbk_json_schema *schema = check->schema;

    check_once(check);
    while (check->again && !check->failed && check->faults == 0) {
        dbk_result result = dbk_schema_read_all(check, text, err);
        if (result != DBK_OK) return result;
        check_once(check);
    }
    if (schema->pattern_count)
        qsort(schema->patterns, schema->pattern_count, sizeof(*schema->patterns), compare_patterns);
    if (check->failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a schema");
    if (check->faults == 0) return dbk_valijson_build(schema, err);
    return dbk_fail(err, DBK_SCHEMA, "the schema has %zu error%s", check->faults, check->faults == 1 ? "" : "s");
}

/* The parser says "… at byte n". */
static void fault_json(dbk_schema_check *check, dbk_slice text, const dbk_error *err)
{
    const char *at = strstr(err->text, "byte "), *colon = at == err->text ? strstr(at, ": ") : NULL;
    size_t offset = at ? (size_t)strtoull(at + 5, NULL, 10) : 0;

    if (offset >= text.size && text.size) offset = text.size - 1;
    check->fault(check->fault_arg, offset, 1, colon ? colon + 2 : err->text, NULL);
}

dbk_result dbk_json_schema_new(const dbk_port *port, dbk_slice text, const dbk_json_schema_options *options,
                               dbk_json_schema_fault_fn fault, void *arg, dbk_json_schema **out, dbk_error *err)
{
    dbk_error own = {0};
    dbk_schema_check check = {
        .schema = new_schema(port, options), .arena = dbk_arena_new(port, 4096), .fault = fault, .fault_arg = arg};
    dbk_result result = DBK_OK;

    *out = NULL;
    if (!check.schema || !check.arena) result = dbk_fail(&own, DBK_NO_MEMORY, "no memory for a schema");
    if (result == DBK_OK) result = dbk_json_parse(check.schema->parser, text, &check.schema->root, &own);
    if (result == DBK_BAD_JSON || result == DBK_TOO_BIG) fault_json(&check, text, &own);
    if (result == DBK_OK) {
        check.schema->all = check.schema->root;
        result = check_all(&check, text, &own);
        check.schema->options.documents = NULL; /* they were the caller's */
        check.schema->options.uri = NULL;
    }
    dbk_free(port, check.places);
    dbk_free(port, check.ids);
    dbk_free(port, check.wanted);
    dbk_arena_free(check.arena);
    if (result == DBK_OK) *out = check.schema;
    else dbk_json_schema_free(check.schema);
    if (result != DBK_OK && err) *err = own;
    return result;
}

dbk_result dbk_json_schema_judge(const dbk_json_schema *schema, const dbk_json_node *value, dbk_buffer *errors,
                                 dbk_error *err)
{
    dbk_error own = {0};
    dbk_judgement j = {.schema = schema, .errors = errors, .err = &own};

    dbk_buffer_init(&j.pointer, schema->port);
    if (errors) dbk_buffer_put_u8(errors, '[');
    bool fits = dbk_valijson_judge(&j, value);
    if (errors) dbk_buffer_put_u8(errors, ']');
    bool failed = j.failed || j.pointer.failed || (errors && errors->failed);
    dbk_buffer_release(&j.pointer);
    if (failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory to judge a value");
    if (fits && j.error_count == 0) return DBK_OK;
    if (j.error_count == 0) (void)dbk_fail(&own, DBK_SCHEMA, "the value does not fit its schema");
    if (err) *err = own;
    return DBK_SCHEMA;
}
