/* JSON in, strictly (RFC 8259), as a flat array of nodes; JSON out, canonically.
 *
 * Refused with a code and the byte offset: anything outside the grammar, bytes after the value, bad
 * UTF-8, lone surrogates, duplicate member names, nesting over 32, over 10,000 members or elements in
 * one container or 1,000,000 nodes in all, a number beyond a finite double (1e400). Number text is
 * kept as sent (1.10 stays 1.10, 12345678901234567890 stays). The first stage of simdjson finds the
 * tokens, a walk of our own checks every one (docs/decisions). A parser belongs to one thread at a
 * time and is reused. */
#ifndef DBK_JSON_H
#define DBK_JSON_H

#include "base/bytes.h"
#include "base/error.h"

enum { DBK_JSON_DEPTH_MAX = 32, DBK_JSON_MEMBERS_MAX = 10000 };

typedef enum dbk_json_kind {
    DBK_JSON_NULL,
    DBK_JSON_FALSE,
    DBK_JSON_TRUE,
    DBK_JSON_NUMBER,
    DBK_JSON_STRING,
    DBK_JSON_ARRAY,
    DBK_JSON_OBJECT
} dbk_json_kind;

/* One value. The members of an object or elements of an array follow their container in the array of
 * nodes, each with its own subtree: first child = node + 1, next sibling = node + node->span. */
typedef struct dbk_json_node {
    uint8_t kind;    /* dbk_json_kind */
    bool escaped;    /* STRING: its text was written with escapes */
    uint32_t span;   /* nodes of this value with all that is inside it, 1 for a scalar */
    uint32_t count;  /* members or elements */
    uint32_t offset; /* where the value begins in the input, from 0 */
    dbk_slice name;  /* of a member, unescaped; empty elsewhere */
    dbk_slice text;  /* STRING unescaped; NUMBER as sent; containers: their raw input text */
} dbk_json_node;

typedef struct dbk_json_parser dbk_json_parser;
dbk_json_parser *dbk_json_parser_new(const dbk_port *port); /* NULL: out of memory */
void dbk_json_parser_free(dbk_json_parser *parser);         /* accepts NULL */
/* Gives back what a large input took; nothing that was parsed is valid any more. The next small input
 * would do it too, but may go to another parser. */
void dbk_json_parser_relax(dbk_json_parser *parser);
/* From here on it takes containers and values of any number: for answers, which have limits of their own. */
void dbk_json_parser_any_count(dbk_json_parser *parser);

/* Parses one value; `input` is copied. *root and all it reaches belong to the parser until its next
 * parse. Codes: DBK_BAD_JSON (grammar, UTF-8, duplicate), DBK_TOO_BIG (a limit), DBK_NO_MEMORY. The
 * text of an error says what was found at which byte. */
dbk_result dbk_json_parse(dbk_json_parser *parser, dbk_slice input, const dbk_json_node **root,
                          dbk_error *err) DBK_MUST_USE;

static inline const dbk_json_node *dbk_json_child(const dbk_json_node *n)
{
    return n->count ? n + 1 : NULL;
}
static inline const dbk_json_node *dbk_json_next(const dbk_json_node *n)
{
    return n + n->span;
}
/* Iterates: for (size_t i = 0; i < n->count; i++, child = dbk_json_next(child)). */
const dbk_json_node *dbk_json_find(const dbk_json_node *object, dbk_slice name); /* NULL: none, or no object */
static inline const dbk_json_node *dbk_json_member(const dbk_json_node *object, const char *name)
{
    return dbk_json_find(object, dbk_slice_text(name));
}
bool dbk_json_is_integer(const dbk_json_node *node, int64_t *value); /* 5, -0, 5.0, 5e2: within i64 */
double dbk_json_double(const dbk_json_node *node);
/* A STRING with this text. */
static inline bool dbk_json_text_is(const dbk_json_node *node, const char *text)
{
    return node->kind == DBK_JSON_STRING && dbk_slice_equal(node->text, dbk_slice_text(text));
}

/* Writers, into a buffer. A string is escaped as RFC 8785 does: only ", \ and control characters,
 * with the short forms. */
void dbk_json_put_string(dbk_buffer *out, dbk_slice text);
void dbk_json_put_i64(dbk_buffer *out, int64_t value);
void dbk_json_put_u64(dbk_buffer *out, uint64_t value);
/* Shortest text that reads back as the same double; 2.0 is written 2.0 so that its type is kept. */
void dbk_json_put_double(dbk_buffer *out, double value);
/* The value with no spaces and order and number text kept ("as sent, minimised"). */
void dbk_json_put_minimal(dbk_buffer *out, const dbk_json_node *node);
/* The same with members sorted by the bytes of their names at every depth: equal for equal content,
 * what the command hash is taken over. Number text is content: 1.0 and 1.00 differ. */
void dbk_json_put_canonical(dbk_buffer *out, const dbk_json_node *node);

#endif
