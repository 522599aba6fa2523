/* Words of MATCH. FTS5 reads a text of MATCH within one step of SQL, and takes time that grows with its words
 * multiplied: a megabyte of them is seconds in which neither clock nor steps are looked at. Each word goes through the
 * tokenizer, so the tokenizers count what they are asked for a query; documents pass.
 *
 * Only the call that cuts a text is ours: FTS5 knows trigram, whose tables answer LIKE, by the call that makes it. */
#include "projector/model/memory.h"
#include "projector/model/search.h"

#include <stdatomic.h>

typedef int (*cut_fn)(Fts5Tokenizer *, void *, int, const char *, int, dbk_search_token_fn);

enum { TOKENIZERS = 3 };

static const char *const names[TOKENIZERS] = {"unicode61", "ascii", "trigram"}; /* porter cuts by one of these */
static _Atomic(cut_fn) usual[TOKENIZERS]; /* SQLite's; the same in all connections */

static int cut(size_t which, Fts5Tokenizer *tokenizer, void *arg, int flags, const char *text, int size,
               dbk_search_token_fn each)
{
    if ((flags & FTS5_TOKENIZE_QUERY) && !dbk_memory_take_words(size)) return SQLITE_TOOBIG;
    return atomic_load(&usual[which])(tokenizer, arg, flags, text, size, each);
}

static int cut_unicode(Fts5Tokenizer *tokenizer, void *arg, int flags, const char *text, int size,
                       dbk_search_token_fn each)
{
    return cut(0, tokenizer, arg, flags, text, size, each);
}

static int cut_ascii(Fts5Tokenizer *tokenizer, void *arg, int flags, const char *text, int size,
                     dbk_search_token_fn each)
{
    return cut(1, tokenizer, arg, flags, text, size, each);
}

static int cut_trigram(Fts5Tokenizer *tokenizer, void *arg, int flags, const char *text, int size,
                       dbk_search_token_fn each)
{
    return cut(2, tokenizer, arg, flags, text, size, each);
}

int dbk_search_count_words(fts5_api *api)
{
    static const cut_fn own[TOKENIZERS] = {cut_unicode, cut_ascii, cut_trigram};
    int rc = SQLITE_OK;

    for (size_t i = 0; rc == SQLITE_OK && i < TOKENIZERS; i++) {
        fts5_tokenizer tokenizer;
        void *arg;
        rc = api->xFindTokenizer(api, names[i], &arg, &tokenizer);
        if (rc != SQLITE_OK || tokenizer.xTokenize == own[i]) continue;
        atomic_store(&usual[i], tokenizer.xTokenize);
        tokenizer.xTokenize = own[i];
        rc = api->xCreateTokenizer(api, names[i], arg, &tokenizer, NULL);
    }
    return rc;
}
