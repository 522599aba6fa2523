/* Internal to store/: a store as daybook.h's functions see it. handle.c has most of them, read_log.c those that
 * read the log. */
#ifndef DBK_STORE_HANDLE_H
#define DBK_STORE_HANDLE_H

#include "store/store.h"

struct dbk_store {
    const dbk_store_ops *ops;
    void *ctx;
};

/* One request and its answer; a refusal is the result. *root is the parser's; `root` NULL: only whether it is
 * accepted. `cancel`: may be NULL; needs ops->call_until. The caller frees the answer in any case. */
dbk_result dbk_store_ask(dbk_store *store, dbk_buffer *request, const bool *cancel, dbk_json_parser *parser,
                         dbk_text *answer, const dbk_json_node **root, dbk_error *err) DBK_MUST_USE;

#endif
