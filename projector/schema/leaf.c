/* Keywords that look at one value without a subschema, and how a judgement tells what it finds. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "projector/schema/internal.h"

#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MATCH_STEPS_MAX = 200000, MATCH_DEPTH_MAX = 1000, MATCH_HEAP_KIB = 4096, SHOWN_BYTES = 60 };

/* ---- findings */

bool dbk_judgement_wrong(dbk_judgement *j, const char *format, ...)
{
    char text[400];
    va_list args;

    if (j->quiet) return false;
    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (size < 0) text[0] = '\0';
    dbk_slice pointer = dbk_buffer_slice(&j->pointer);
    if (j->error_count++ == 0)
        (void)(pointer.size ? dbk_fail(j->err, DBK_SCHEMA, "'%.*s' %s", DBK_SLICE_ARG(pointer), text)
                            : dbk_fail(j->err, DBK_SCHEMA, "the value %s", text));
    if (!j->errors || j->error_count > DBK_SCHEMA_ERRORS_MAX) return false;
    size_t end = strlen(text); /* vsnprintf may have cut a character */
    while (end > 0 && !dbk_utf8_valid(dbk_slice_of(text, end))) end--;
    dbk_buffer_put_text(j->errors, j->error_count > 1 ? ",{\"pointer\":" : "{\"pointer\":");
    dbk_json_put_string(j->errors, pointer);
    dbk_buffer_put_text(j->errors, ",\"message\":");
    dbk_json_put_string(j->errors, dbk_slice_of(text, end));
    dbk_buffer_put_u8(j->errors, '}');
    return false;
}

bool dbk_judgement_spend(dbk_judgement *j, uint64_t work)
{
    if (j->work > DBK_SCHEMA_WORK_MAX) return false;
    j->work += work;
    if (j->work <= DBK_SCHEMA_WORK_MAX) return true;
    uint32_t quiet = j->quiet;
    j->quiet = 0; /* it decides the whole, wherever it happens */
    (void)dbk_judgement_wrong(j, "takes too much work to judge by this schema");
    j->quiet = quiet;
    return false;
}

void dbk_pointer_push(dbk_judgement *j, dbk_slice name)
{
    dbk_buffer_put_u8(&j->pointer, '/');
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '~') dbk_buffer_put_text(&j->pointer, "~0");
        else if (name.data[i] == '/') dbk_buffer_put_text(&j->pointer, "~1");
        else dbk_buffer_put_u8(&j->pointer, name.data[i]);
    }
}

void dbk_pointer_push_index(dbk_judgement *j, size_t index)
{
    dbk_buffer_printf(&j->pointer, "/%zu", index);
}

void dbk_pointer_pop(dbk_judgement *j, size_t size)
{
    if (j->pointer.size > size) j->pointer.size = size;
}

/* ---- types */

static const char *kind_words(const dbk_json_node *value)
{
    switch ((dbk_json_kind)value->kind) {
    case DBK_JSON_NULL: return "null";
    case DBK_JSON_FALSE: return "false";
    case DBK_JSON_TRUE: return "true";
    case DBK_JSON_NUMBER: return dbk_number_is_integer(value->text) ? "an integer" : "a number";
    case DBK_JSON_STRING: return "text";
    case DBK_JSON_ARRAY: return "an array";
    case DBK_JSON_OBJECT: return "an object";
    }
    return "";
}

static bool is_type(const dbk_json_node *value, dbk_slice type)
{
    static const struct {
        const char *name;
        int first, last;
    } types[] = {{"null", DBK_JSON_NULL, DBK_JSON_NULL},       {"boolean", DBK_JSON_FALSE, DBK_JSON_TRUE},
                 {"number", DBK_JSON_NUMBER, DBK_JSON_NUMBER}, {"string", DBK_JSON_STRING, DBK_JSON_STRING},
                 {"array", DBK_JSON_ARRAY, DBK_JSON_ARRAY},    {"object", DBK_JSON_OBJECT, DBK_JSON_OBJECT}};

    if (dbk_slice_equal(type, dbk_slice_text("integer")))
        return value->kind == DBK_JSON_NUMBER && dbk_number_is_integer(value->text);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (dbk_slice_equal(type, dbk_slice_text(types[i].name)))
            return value->kind >= types[i].first && value->kind <= types[i].last;
    return false;
}

static bool judge_type(dbk_judgement *j, const dbk_json_node *type, const dbk_json_node *value)
{
    char wanted[120] = "";
    size_t count = type->kind == DBK_JSON_ARRAY ? type->count : 1, at = 0;
    const dbk_json_node *one = type->kind == DBK_JSON_ARRAY ? type + 1 : type;

    for (size_t i = 0; i < count; i++, one = dbk_json_next(one)) {
        if (is_type(value, one->text)) return true;
        int size = snprintf(wanted + at, sizeof(wanted) - at, "%s%.*s", i ? " or " : "", DBK_SLICE_ARG(one->text));
        if (size > 0 && at + (size_t)size < sizeof(wanted)) at += (size_t)size;
    }
    return dbk_judgement_wrong(j, "is %s, not %s", kind_words(value), wanted);
}

/* ---- bounds */

typedef struct bound {
    const char *keyword;
    int refused[2]; /* results of compare(value, bound) that do not fit */
    const char *words;
} bound;

static bool judge_bound(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    static const bound bounds[] = {{"minimum", {-1, -1}, "under the minimum"},
                                   {"maximum", {1, 1}, "over the maximum"},
                                   {"exclusiveMinimum", {-1, 0}, "not above"},
                                   {"exclusiveMaximum", {1, 0}, "not below"}};

    if (value->kind != DBK_JSON_NUMBER) return true;
    int order = dbk_number_compare(value->text, keyword->text);
    for (size_t i = 0; i < 4; i++) {
        if (!dbk_slice_equal(keyword->name, dbk_slice_text(bounds[i].keyword))) continue;
        if (order != bounds[i].refused[0] && order != bounds[i].refused[1]) return true;
        return dbk_judgement_wrong(j, "is %.*s, %s %.*s",
                                   (int)(value->text.size < SHOWN_BYTES ? value->text.size : SHOWN_BYTES),
                                   (const char *)value->text.data, bounds[i].words, DBK_SLICE_ARG(keyword->text));
    }
    return true;
}

static bool judge_multiple(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    if (value->kind != DBK_JSON_NUMBER || dbk_number_is_multiple(value->text, keyword->text)) return true;
    return dbk_judgement_wrong(j, "is no multiple of %.*s", DBK_SLICE_ARG(keyword->text));
}

static uint64_t characters(dbk_slice text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.size; i++) count += (text.data[i] & 0xc0) != 0x80;
    return count;
}

typedef struct length {
    const char *keyword;
    dbk_json_kind of;
    bool least;
    const char *words;
} length;

static bool judge_length(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    static const length lengths[] = {
        {"minLength", DBK_JSON_STRING, true, "characters"},  {"maxLength", DBK_JSON_STRING, false, "characters"},
        {"minItems", DBK_JSON_ARRAY, true, "elements"},      {"maxItems", DBK_JSON_ARRAY, false, "elements"},
        {"minProperties", DBK_JSON_OBJECT, true, "members"}, {"maxProperties", DBK_JSON_OBJECT, false, "members"}};
    uint64_t wanted;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const length *l = &lengths[i];
        if (!dbk_slice_equal(keyword->name, dbk_slice_text(l->keyword))) continue;
        if (value->kind != l->of || !dbk_number_count(keyword, &wanted)) return true;
        uint64_t has = l->of == DBK_JSON_STRING ? characters(value->text) : value->count;
        if (l->least ? has >= wanted : has <= wanted) return true;
        return dbk_judgement_wrong(j, "has %llu %s, %s %llu", (unsigned long long)has, l->words,
                                   l->least ? "fewer than" : "more than", (unsigned long long)wanted);
    }
    return true;
}

/* ---- values */

static bool judge_const(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    dbk_buffer shown;

    if (dbk_schema_equal(j, keyword, value)) return true;
    if (j->quiet) return false;
    dbk_buffer_init(&shown, j->schema->port);
    dbk_json_put_minimal(&shown, keyword);
    bool small = !shown.failed && shown.size <= SHOWN_BYTES;
    (void)dbk_judgement_wrong(j, "is not %.*s", small ? (int)shown.size : 16,
                              small ? (const char *)shown.data : "the constant value");
    dbk_buffer_release(&shown);
    return false;
}

static bool judge_enum(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    const dbk_json_node *one = dbk_json_child(keyword);

    for (uint32_t i = 0; i < keyword->count; i++, one = dbk_json_next(one))
        if (dbk_schema_equal(j, one, value)) return true;
    if (j->quiet) return false;
    dbk_buffer shown;
    dbk_buffer_init(&shown, j->schema->port);
    one = dbk_json_child(keyword);
    for (uint32_t i = 0; i < keyword->count && shown.size <= 4 * SHOWN_BYTES; i++, one = dbk_json_next(one)) {
        if (i) dbk_buffer_put_text(&shown, ", ");
        dbk_json_put_minimal(&shown, one);
    }
    bool small = !shown.failed && shown.size <= 4 * SHOWN_BYTES;
    (void)dbk_judgement_wrong(j, "is none of %.*s", small ? (int)shown.size : 18,
                              small ? (const char *)shown.data : "the values allowed");
    dbk_buffer_release(&shown);
    return false;
}

static bool judge_unique(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    size_t one, other;

    if (keyword->kind != DBK_JSON_TRUE || value->kind != DBK_JSON_ARRAY) return true;
    if (!dbk_schema_twins(j, value, &one, &other)) return true;
    return dbk_judgement_wrong(j, "has equal elements, %zu and %zu", one, other);
}

static bool has_member(dbk_judgement *j, const dbk_json_node *object, dbk_slice name)
{
    const dbk_json_node *child = dbk_json_child(object);

    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child))
        if (dbk_slice_equal(child->name, name)) return dbk_judgement_spend(j, i / 16 + 1);
    (void)dbk_judgement_spend(j, object->count / 16 + 1);
    return false;
}

static bool judge_required(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    const dbk_json_node *name = dbk_json_child(keyword);
    bool all = true;

    if (value->kind != DBK_JSON_OBJECT) return true;
    for (uint32_t i = 0; i < keyword->count; i++, name = dbk_json_next(name)) {
        if (has_member(j, value, name->text)) continue;
        all = dbk_judgement_wrong(j, "has no '%.*s'", (int)(name->text.size < 200 ? name->text.size : 200),
                                  (const char *)name->text.data);
    }
    return all;
}

/* ---- patterns and formats */

static int compare_pattern(const void *text, const void *pattern)
{
    return dbk_slice_compare(*(const dbk_slice *)text, ((const dbk_schema_pattern *)pattern)->text);
}

bool dbk_schema_matches(dbk_judgement *j, dbk_slice pattern, dbk_slice text)
{
    const dbk_json_schema *schema = j->schema;
    const dbk_schema_pattern *found = schema->pattern_count ? bsearch(&pattern, schema->patterns, schema->pattern_count,
                                                                      sizeof(*found), compare_pattern)
                                                            : NULL;

    if (!found || !dbk_judgement_spend(j, 20 + text.size / 16)) return false;
    pcre2_match_data *match = pcre2_match_data_create(1, schema->pattern_memory);
    pcre2_match_context *limits = pcre2_match_context_create(schema->pattern_memory);
    int rc = PCRE2_ERROR_NOMEMORY;
    if (match && limits) {
        (void)pcre2_set_match_limit(limits, MATCH_STEPS_MAX);
        (void)pcre2_set_depth_limit(limits, MATCH_DEPTH_MAX);
        (void)pcre2_set_heap_limit(limits, MATCH_HEAP_KIB);
        /* the text was checked by the parser; an empty one has no address */
        rc = pcre2_match(found->code, text.size ? text.data : (PCRE2_SPTR) "", text.size, 0, PCRE2_NO_UTF_CHECK, match,
                         limits);
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(match);
    if (rc == PCRE2_ERROR_NOMEMORY) j->failed = true;
    if (rc >= 0 || rc == PCRE2_ERROR_NOMATCH) return rc >= 0;
    (void)dbk_judgement_spend(j, DBK_SCHEMA_WORK_MAX); /* undecided: the whole is refused */
    return false;
}

static bool judge_pattern(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    if (value->kind != DBK_JSON_STRING || dbk_schema_matches(j, keyword->text, value->text)) return true;
    return dbk_judgement_wrong(j, "does not match '%.*s'", (int)(keyword->text.size < 200 ? keyword->text.size : 200),
                               (const char *)keyword->text.data);
}

static bool judge_format(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value)
{
    if (j->schema->options.no_formats || value->kind != DBK_JSON_STRING || keyword->kind != DBK_JSON_STRING)
        return true;
    bool no_memory, fits = dbk_schema_format_fits(j->schema, keyword->text, value->text, &no_memory);
    if (no_memory) j->failed = true;
    if (fits || no_memory) return fits;
    return dbk_judgement_wrong(j, "is not %s", dbk_schema_format_words(keyword->text));
}

/* ---- all of a schema */

typedef struct leaf {
    const char *keyword;
    bool (*judge)(dbk_judgement *j, const dbk_json_node *keyword, const dbk_json_node *value);
} leaf;

static const leaf leaves[] = {
    {"type", judge_type},
    {"enum", judge_enum},
    {"const", judge_const},
    {"minimum", judge_bound},
    {"maximum", judge_bound},
    {"exclusiveMinimum", judge_bound},
    {"exclusiveMaximum", judge_bound},
    {"multipleOf", judge_multiple},
    {"minLength", judge_length},
    {"maxLength", judge_length},
    {"minItems", judge_length},
    {"maxItems", judge_length},
    {"minProperties", judge_length},
    {"maxProperties", judge_length},
    {"pattern", judge_pattern},
    {"format", judge_format},
    {"uniqueItems", judge_unique},
    {"required", judge_required},
};

bool dbk_schema_leaves(dbk_judgement *j, const dbk_json_node *schema, const dbk_json_node *value)
{
    const dbk_json_node *keyword = dbk_json_child(schema);
    bool fits = true;

    for (uint32_t i = 0; i < schema->count; i++, keyword = dbk_json_next(keyword)) {
        for (size_t k = 0; k < sizeof(leaves) / sizeof(leaves[0]); k++) {
            if (!dbk_slice_equal(keyword->name, dbk_slice_text(leaves[k].keyword))) continue;
            if (!dbk_judgement_spend(j, 1)) return false;
            fits = leaves[k].judge(j, keyword, value) && fits;
        }
        if (!fits && j->quiet) return false;
    }
    return (j->schema->options.no_formats || dbk_schema_content(j, schema, value)) && fits;
}
