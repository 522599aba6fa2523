/* JSON Schema, draft 7: a schema read and checked whole, then values judged by it.
 *
 *   schema/check.c         keywords and their forms, what is refused by name
 *   schema/refs.c          $id and $ref inside the file, loops
 *   schema/documents.c     the other schemas that a $ref leads to
 *   schema/uri.c           URI references (RFC 3986 §5)
 *   schema/valijson.cpp    libvalijson: the schema as a tree of constraints, and their visitor
 *   schema/leaf.c          keywords about one value: types, bounds, lengths, enum, pattern
 *   schema/pattern.c       regular expressions of ECMA 262 in the words of PCRE2
 *   schema/number.c        numbers compared and divided by their text: exact at any size
 *   schema/equal.c         equality and uniqueness
 *   schema/format.c        formats
 *   schema/format_wide.c   those with characters beyond ASCII, URI templates
 *   schema/content.c       texts that carry bytes or JSON
 *
 * A schema never changes after it was made: any thread may judge by it. No schema and no value can make it
 * crash or run away: depth, references, patterns and work are bounded, and over a bound the value is refused. */
#ifndef DBK_PROJECTOR_JSON_SCHEMA_H
#define DBK_PROJECTOR_JSON_SCHEMA_H

#include "base/base.h"

typedef struct dbk_json_schema dbk_json_schema;

typedef struct dbk_json_schema_document { /* one that a $ref may lead to; borrowed for the call */
    const char *uri;                      /* as a $ref resolves to it: "common.json" */
    dbk_slice text;
} dbk_json_schema_document;

typedef struct dbk_json_schema_options { /* zero: as for an app's schemas/ */
    bool lenient;                        /* unknown keywords are left alone, as the draft has it */
    bool no_formats;                     /* `format` is a note and judges nothing */
    const char *uri;                     /* the schema's own, NULL: none */
    const dbk_json_schema_document *documents;
    size_t document_count;
} dbk_json_schema_options;

/* Something wrong in the schema: bytes of its text, what, and what to write (NULL: nothing to say). */
typedef void (*dbk_json_schema_fault_fn)(void *arg, size_t offset, size_t size, const char *text, const char *advice);

/* DBK_SCHEMA: `fault` was called for each thing that is wrong; *out is NULL then. DBK_BAD_JSON and DBK_TOO_BIG
 * come with one fault; DBK_NO_MEMORY. `text` is copied. */
dbk_result dbk_json_schema_new(const dbk_port *port, dbk_slice text, const dbk_json_schema_options *options,
                               dbk_json_schema_fault_fn fault, void *arg, dbk_json_schema **out,
                               dbk_error *err) DBK_MUST_USE;
void dbk_json_schema_free(dbk_json_schema *schema); /* accepts NULL */

/* Judges a value. DBK_SCHEMA: it does not fit; `errors` (may be NULL) then gets a JSON array of
 * {"pointer":"/a/0","message":"is 7, not text"}, at most 50, and err the first of them. DBK_NO_MEMORY. */
dbk_result dbk_json_schema_judge(const dbk_json_schema *schema, const dbk_json_node *value, dbk_buffer *errors,
                                 dbk_error *err) DBK_MUST_USE;

#endif
