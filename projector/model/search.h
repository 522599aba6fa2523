/* Internal to projector/: the full-text tables of `search` (docs/decisions/0022-search.md).
 *
 * A search `s` of table `t` is, in the model's file:
 *   s                    FTS5: the searched columns in their order, then those of the key, UNINDEXED
 *   _daybook_docs_s      docid of s -> key k0, k1 … of t, in order of the key
 *   _daybook_search_s_*  triggers of t: a row that comes, goes or changes takes both along */
#ifndef DBK_PROJECTOR_SEARCH_H
#define DBK_PROJECTOR_SEARCH_H

#include <sqlite3.h>

#include "projector/rules.h"

struct dbk_model;

typedef int (*dbk_search_token_fn)(void *arg, int flags, const char *token, int size, int start, int end);

/* Puts ours in the place of SQLite's functions of search whose time is no line (model/search_hits.c), and counts the
 * words of MATCH (model/search_words.c); once for each connection, before there is an authorizer. */
dbk_result dbk_search_bound(sqlite3 *db, dbk_error *err) DBK_MUST_USE;
int dbk_search_count_words(fts5_api *api);

/* Fills table_sql and upkeep_sql, in the arena; false: out of memory. */
bool dbk_search_write_sql(const dbk_port *port, dbk_arena *arena, dbk_search_rule *rule);
/* Is `name` a table, or the docids of one, that the triggers write? `app` may be NULL. */
bool dbk_search_keeps(const dbk_app *app, const char *name);
/* Is `name` a table that FTS5 keeps for itself? */
bool dbk_search_inner(const dbk_app *app, const char *name);

/* Wakes each search on a connection, under the engine's role: FTS5 declares its table and prepares a PRAGMA when it
 * is first asked, which other roles may not. A file without the tables is left as it is. */
dbk_result dbk_search_wake(sqlite3 *db, const dbk_port *port, const dbk_app *app, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_search_make(struct dbk_model *model, dbk_error *err) DBK_MUST_USE;
/* For a plain file: the tables stay, what keeps them goes. */
dbk_result dbk_search_leave(struct dbk_model *model, dbk_error *err) DBK_MUST_USE;
/* Every document against its row; DBK_CORRUPT: they differ. Reads only, inside a transaction of the caller's. */
dbk_result dbk_search_compare(struct dbk_model *model, dbk_error *err) DBK_MUST_USE;

#endif
