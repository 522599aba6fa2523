/* Internal to json_schema*: a schema taken apart, and one judgement in work. */
#ifndef DBK_PROJECTOR_JSON_SCHEMA_INTERNAL_H
#define DBK_PROJECTOR_JSON_SCHEMA_INTERNAL_H

#include "projector/json_schema.h"

enum {
    DBK_SCHEMA_CHAIN_MAX = 32,     /* subschemas about one and the same value, each inside the other */
    DBK_SCHEMA_NESTED_MAX = 300,   /* subschemas inside each other, with what references lead to */
    DBK_SCHEMA_PLACES_MAX = 10000, /* subschemas of a file */
    DBK_SCHEMA_PATTERN_MAX = 1000, /* bytes of a pattern */
    DBK_SCHEMA_ERRORS_MAX = 50,
    DBK_SCHEMA_WORK_MAX = 4000000 /* comparisons and subschemas of one judgement */
};

typedef struct dbk_schema_pattern { /* sorted by text */
    dbk_slice text;
    void *code; /* pcre2_code */
} dbk_schema_pattern;

typedef struct dbk_schema_ref { /* sorted by the address of the schema object that has the $ref */
    const dbk_json_node *from;
    uint32_t target; /* in `targets` */
} dbk_schema_ref;

struct dbk_json_schema {
    const dbk_port *port;
    dbk_json_schema_options options;
    dbk_json_parser *parser;   /* holds the text and its nodes */
    const dbk_json_node *all;  /* what was read: `root`, or an array of it and of what references lead to */
    const dbk_json_node *root; /* the schema itself */
    dbk_schema_pattern *patterns;
    size_t pattern_count, pattern_room;
    void *pattern_memory; /* pcre2_general_context */
    dbk_schema_ref *refs;
    size_t ref_count, ref_room;
    const dbk_json_node **targets; /* what references lead to, and the schemas of propertyNames */
    size_t target_count, target_room;
    void *built; /* schema/valijson.cpp */
};

/* A judgement. `quiet` while inner answers are only counted (anyOf, not …). */
typedef struct dbk_judgement {
    const dbk_json_schema *schema;
    dbk_buffer *errors;
    dbk_error *err;
    dbk_buffer pointer; /* of the value in work */
    uint32_t error_count;
    uint32_t quiet;
    uint64_t work; /* counts up to DBK_SCHEMA_WORK_MAX */
    bool failed;   /* out of memory */
} dbk_judgement;

/* ---- schema/leaf.c */
/* A finding about the value in work; always false, so that judges can return it. */
bool dbk_judgement_wrong(dbk_judgement *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* false when the judgement has done too much; said once. */
bool dbk_judgement_spend(dbk_judgement *j, uint64_t work);
/* All keywords of the schema object that are about the value itself and need no subschema. */
bool dbk_schema_leaves(dbk_judgement *j, const dbk_json_node *schema, const dbk_json_node *value);
/* Whether the text matches the pattern anywhere; a pattern that takes too long does not, and is said. */
bool dbk_schema_matches(dbk_judgement *j, dbk_slice pattern, dbk_slice text);
void dbk_pointer_push(dbk_judgement *j, dbk_slice name);
void dbk_pointer_push_index(dbk_judgement *j, size_t index);
void dbk_pointer_pop(dbk_judgement *j, size_t size); /* back to that length */

/* ---- schema/pattern.c */
typedef struct dbk_pattern_fault {
    bool no_memory; /* and nothing else is said */
    bool at_end;    /* the pattern as a whole */
    size_t offset;  /* in its bytes */
    char text[128];
} dbk_pattern_fault;
/* A pcre2_code for a regular expression of ECMA 262; NULL: *fault says why. */
void *dbk_schema_pattern_new(const dbk_json_schema *schema, dbk_slice text, dbk_pattern_fault *fault) DBK_MUST_USE;
void dbk_schema_pattern_free(void *code); /* accepts NULL */

/* ---- schema/number.c: texts of JSON numbers */
int dbk_number_compare(dbk_slice a, dbk_slice b);
bool dbk_number_is_integer(dbk_slice text);
bool dbk_number_is_positive(dbk_slice text);
bool dbk_number_divisor_fits(dbk_slice text);                     /* at most 18 digits that count */
bool dbk_number_is_multiple(dbk_slice number, dbk_slice divisor); /* of a divisor that fits */
/* A count as keywords have it: 0, 3, 3.0, 1e2; false: negative or no integer. Above 2^53 it is 2^53. */
bool dbk_number_count(const dbk_json_node *node, uint64_t *count);
uint64_t dbk_number_hash(dbk_slice text); /* equal for equal numbers */

/* ---- schema/equal.c */
bool dbk_schema_equal(dbk_judgement *j, const dbk_json_node *a, const dbk_json_node *b);
/* The indexes of two equal elements; false: all differ. */
bool dbk_schema_twins(dbk_judgement *j, const dbk_json_node *array, size_t *one, size_t *other);

/* ---- schema/format.c */
bool dbk_schema_format_known(dbk_slice format);
/* An unknown one fits; *no_memory: false says nothing. */
bool dbk_schema_format_fits(const dbk_json_schema *schema, dbk_slice format, dbk_slice text, bool *no_memory);
const char *dbk_schema_format_words(dbk_slice format); /* "a date like 2026-11-21" */

/* ---- schema/format_wide.c */
/* Puts a letter in the place of each character beyond ASCII; false: of an IRI, one that it may not have. */
bool dbk_schema_narrow(dbk_slice text, bool iri, dbk_buffer *out);
bool dbk_schema_is_uri_template(dbk_slice text);

/* ---- schema/content.c */
bool dbk_schema_content_known(const dbk_json_node *keyword); /* a contentEncoding or contentMediaType that is judged */
bool dbk_schema_content(dbk_judgement *j, const dbk_json_node *schema, const dbk_json_node *value);

/* ---- schema/uri.c */
void dbk_uri_resolve(dbk_buffer *out, dbk_slice base, dbk_slice reference); /* cleared first */
/* The parts before and behind '#'; no fragment: empty. */
void dbk_uri_split(dbk_slice uri, dbk_slice *document, dbk_slice *fragment);

/* ---- schema/check.c, schema/refs.c: one run */
typedef struct dbk_schema_place { /* a subschema where it stands */
    const dbk_json_node *node;
    dbk_slice base; /* URI that its references are relative to; in the arena */
} dbk_schema_place;
typedef struct dbk_schema_id {
    dbk_slice uri; /* without an empty fragment; anchors with theirs */
    const dbk_json_node *node;
} dbk_schema_id;
typedef struct dbk_schema_check {
    dbk_json_schema *schema;
    dbk_arena *arena;
    dbk_json_schema_fault_fn fault;
    void *fault_arg;
    size_t faults;
    dbk_schema_place *places;
    size_t place_count, place_room;
    dbk_schema_id *ids;
    size_t id_count, id_room;
    size_t *wanted; /* of the documents, in the order they were asked for */
    size_t wanted_count, wanted_room, read_count;
    bool again;    /* one more was asked for */
    bool too_many; /* subschemas; said */
    bool failed;   /* out of memory */
} dbk_schema_check;
void dbk_schema_fault(dbk_schema_check *check, const dbk_json_node *at, const char *advice, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* What a keyword holds, for walks over subschemas. */
typedef enum dbk_keyword_kind {
    DBK_KEYWORD_NONE,
    DBK_KEYWORD_NOTE,
    DBK_KEYWORD_LEAF,
    DBK_KEYWORD_SCHEMA,
    DBK_KEYWORD_LIST,
    DBK_KEYWORD_MAP,
    DBK_KEYWORD_ITEMS,
    DBK_KEYWORD_DEPENDENCIES
} dbk_keyword_kind;
dbk_keyword_kind dbk_schema_keyword(dbk_slice name,
                                    bool *about_same); /* about_same: its subschemas judge the same value */
void dbk_schema_link(dbk_schema_check *check);         /* resolves every $ref, refuses loops and depths */
/* ---- schema/documents.c */
bool dbk_schema_want(dbk_schema_check *check,
                     dbk_slice uri); /* false: there is no such document, or it is read already */
/* Reads the schema's text with all documents that are wanted. */
dbk_result dbk_schema_read_all(dbk_schema_check *check, dbk_slice text, dbk_error *err) DBK_MUST_USE;
/* The `at`-th of those that were read; NULL: no more. */
const dbk_json_node *dbk_schema_document(const dbk_schema_check *check, size_t at, const char **uri);
/* `room` grows so that items[count] exists; false: out of memory. */
bool dbk_schema_grow(const dbk_port *port, void **items, size_t count, size_t *room, size_t size);

/* ---- schema/valijson.cpp: the library behind these three calls */
dbk_result dbk_valijson_build(dbk_json_schema *schema, dbk_error *err) DBK_MUST_USE;
bool dbk_valijson_judge(dbk_judgement *judgement, const dbk_json_node *value); /* true: it fits */
void dbk_valijson_free(dbk_json_schema *schema);

#endif
