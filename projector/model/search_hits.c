/* snippet and highlight of FTS5, for documents with any number of hits. SQLite's own compare all hits of a document
 * with each other, and copy what is written so far for each hit, all within one step of SQL: a document of some hundred
 * thousand hits took minutes. These look at each hit twice and at each token once, and answer the same, byte for
 * byte. */
#include "projector/model/journal.h"
#include "projector/model/search.h"

#include <string.h>

enum { FIRST_OF_PHRASE = 1000, AT_BEGIN = 120, AT_SENTENCE = 100 }; /* scores of FTS5; a hit more of a phrase: 1 */

typedef struct document {
    const Fts5ExtensionApi *api;
    Fts5Context *fts;
    int hits; /* in all columns, in order */
} document;

/* Hits of a column that overlap are one range of tokens. */
typedef struct ranges {
    const document *document;
    int column, next;
    int start, end; /* -1: there is none any more */
} ranges;

static int next_range(ranges *r)
{
    const document *d = r->document;
    int rc = SQLITE_OK;

    r->start = r->end = -1;
    for (; r->next < d->hits; r->next++) {
        int phrase, column, at;
        rc = d->api->xInst(d->fts, r->next, &phrase, &column, &at);
        if (rc != SQLITE_OK) break;
        if (column != r->column) continue;
        int end = at - 1 + d->api->xPhraseSize(d->fts, phrase);
        if (r->start >= 0 && at > r->end) break;
        if (r->start < 0) r->start = at;
        if (r->end < end) r->end = end;
    }
    return rc;
}

/* ---- writing a column out, with its hits marked */

typedef struct marking {
    ranges ranges;
    const char *open, *close, *text;
    int size, at;     /* bytes of the text; up to where it is written */
    int token;        /* number of the next one */
    int64_t from, to; /* tokens that are wanted; all where `to` is not above 0 */
    sqlite3_str *out;
} marking;

/* As far as a NUL, like SQLite. Trigrams overlap, so a hit can begin in front of where the one before ended: nothing is
 * written twice there, where SQLite writes the rest of the document for each. */
static void put_up_to(marking *m, int end)
{
    int size = end - m->at;
    if (size <= 0) return;
    sqlite3_str_append(m->out, m->text + m->at, (int)strnlen(m->text + m->at, (size_t)size));
    m->at = end;
}

static void put_word(marking *m, const char *word)
{
    if (word) sqlite3_str_appendall(m->out, word);
}

static int mark_token(void *arg, int flags, const char *token, int token_size, int start, int end)
{
    marking *m = arg;
    int rc = SQLITE_OK;

    (void)token, (void)token_size;
    if (flags & FTS5_TOKEN_COLOCATED) return SQLITE_OK;
    int number = m->token++;
    if (m->to > 0) {
        if (number < m->from || number > m->to) return SQLITE_OK;
        if (m->from && number == m->from) m->at = start;
    }
    if (number == m->ranges.start) {
        put_up_to(m, start);
        put_word(m, m->open);
    }
    if (number == m->ranges.end) {
        if (m->to && m->ranges.start < m->from) put_word(m, m->open);
        put_up_to(m, end);
        put_word(m, m->close);
        rc = next_range(&m->ranges);
    }
    if (m->to > 0 && number == m->to) {
        put_up_to(m, end);
        if (number >= m->ranges.start && number < m->ranges.end) put_word(m, m->close);
    }
    return rc;
}

static void answer(sqlite3_context *context, marking *m, int rc)
{
    int size = sqlite3_str_length(m->out);
    if (rc == SQLITE_OK) rc = sqlite3_str_errcode(m->out);
    char *text = sqlite3_str_finish(m->out);
    if (rc != SQLITE_OK) sqlite3_result_error_code(context, rc);
    else if (m->text) sqlite3_result_text(context, text ? text : "", size, SQLITE_TRANSIENT);
    sqlite3_free(text);
}

static void highlight(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context, int count,
                      sqlite3_value **values)
{
    document d = {.api = api, .fts = fts};

    if (count != 3) {
        sqlite3_result_error(context, "wrong number of arguments to function highlight()", -1);
        return;
    }
    marking m = {.ranges = {.document = &d, .column = sqlite3_value_int(values[0])},
                 .open = (const char *)sqlite3_value_text(values[1]),
                 .close = (const char *)sqlite3_value_text(values[2]),
                 .out = sqlite3_str_new(sqlite3_context_db_handle(context))};
    int rc = api->xColumnText(fts, m.ranges.column, &m.text, &m.size);
    if (m.text) {
        if (rc == SQLITE_OK) rc = api->xInstCount(fts, &d.hits);
        if (rc == SQLITE_OK) rc = next_range(&m.ranges);
        if (rc == SQLITE_OK) rc = api->xTokenize(fts, m.text, m.size, &m, mark_token);
        put_up_to(&m, m.size);
    }
    answer(context, &m, rc);
}

/* ---- the part of a document that has most */

typedef struct hit {
    int phrase, at;
} hit;

/* The hits of a column within some tokens. It only moves forward, so each hit comes and goes once. */
typedef struct window {
    int low, high; /* of the column's hits */
    int distinct;
    int *seen; /* hits in it, by phrase */
} window;

typedef struct search {
    document document;
    int64_t tokens; /* wanted */
    hit *hits;
    int count;
    int *sentences; /* numbers of the tokens that begin one */
    int sentence_count, sentence_room, sentence;
    window here, before;
    int phrases;
    const char *text;
    int token, scanned, last_at;
    char last;          /* that is no white space, up to `scanned` */
    int64_t best_score; /* and what has it */
    int64_t best_start;
    int best_column, best_size;
} search;

static int add_sentence(search *s)
{
    if (s->sentence_count == s->sentence_room) {
        int room = s->sentence_room ? s->sentence_room * 2 : 64;
        int *grown = sqlite3_realloc64(s->sentences, (sqlite3_uint64)room * sizeof *grown);
        if (!grown) return SQLITE_NOMEM;
        s->sentences = grown;
        s->sentence_room = room;
    }
    s->sentences[s->sentence_count++] = s->token;
    return SQLITE_OK;
}

/* The first token, and those behind a full stop or a colon with white space. */
static int find_sentence(void *arg, int flags, const char *token, int token_size, int start, int end)
{
    search *s = arg;
    int rc = SQLITE_OK;

    (void)token, (void)token_size, (void)end;
    if (flags & FTS5_TOKEN_COLOCATED) return SQLITE_OK;
    for (; s->scanned < start; s->scanned++) {
        char c = s->text[s->scanned];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') continue;
        s->last = c;
        s->last_at = s->scanned;
    }
    if (s->token == 0 || ((s->last == '.' || s->last == ':') && s->last_at != start - 1)) rc = add_sentence(s);
    s->token++;
    return rc;
}

/* FTS5 names the phrases and the column's size in tokens. */
static int take_hits(search *s, int column, int size)
{
    const document *d = &s->document;

    s->count = 0;
    for (int i = 0; i < d->hits; i++) {
        hit *h = &s->hits[s->count];
        int of;
        int rc = d->api->xInst(d->fts, i, &h->phrase, &of, &h->at);
        if (rc != SQLITE_OK) return rc;
        if (of != column) continue;
        if (h->at > size) return SQLITE_CORRUPT_VTAB;
        s->count++;
    }
    return SQLITE_OK;
}

static int64_t move_window(const search *s, window *w, int64_t start)
{
    for (; w->high < s->count && s->hits[w->high].at < start + s->tokens; w->high++)
        w->distinct += w->seen[s->hits[w->high].phrase]++ == 0;
    for (; w->low < w->high && s->hits[w->low].at < start; w->low++)
        w->distinct -= --w->seen[s->hits[w->low].phrase] == 0;
    return (int64_t)w->distinct * (FIRST_OF_PHRASE - 1) + (w->high - w->low);
}

/* Its hits in the middle, as far as the column reaches. */
static int64_t centred(const search *s, const window *w, int size)
{
    if (w->low == w->high) return 0;
    const document *d = &s->document;
    const hit *last = &s->hits[w->high - 1];
    int64_t first = s->hits[w->low].at, end = (int64_t)last->at + d->api->xPhraseSize(d->fts, last->phrase);
    int64_t start = first - (s->tokens - (end - first)) / 2;
    if (start + s->tokens > size) start = size - s->tokens;
    return start < 0 ? 0 : start;
}

static void offer(search *s, int column, int size, int64_t score, int64_t start)
{
    if (score <= s->best_score) return;
    s->best_score = score;
    s->best_column = column;
    s->best_start = start;
    s->best_size = size;
}

static void look_at_hits(search *s, int column, int size)
{
    for (int i = 0; i < s->count; i++) {
        int at = s->hits[i].at;
        int64_t score = move_window(s, &s->here, at);
        offer(s, column, size, score, centred(s, &s->here, size));
        if (s->sentence_count == 0 || size <= s->tokens) continue;
        while (s->sentence < s->sentence_count - 1 && s->sentences[s->sentence + 1] <= at) s->sentence++;
        int begin = s->sentences[s->sentence];
        if (begin >= at) continue;
        score = move_window(s, &s->before, begin) + (begin == 0 ? AT_BEGIN : AT_SENTENCE);
        offer(s, column, size, score, begin);
    }
}

static int look_at_column(search *s, int column)
{
    const document *d = &s->document;
    int *seen = s->here.seen, size, bytes;

    memset(seen, 0, 2 * (size_t)s->phrases * sizeof *seen);
    s->here = (window){.seen = seen};
    s->before = (window){.seen = seen + s->phrases};
    s->sentence_count = s->sentence = s->token = s->scanned = 0;
    s->last = 0;
    int rc = d->api->xColumnText(d->fts, column, &s->text, &bytes);
    if (rc == SQLITE_OK) rc = d->api->xTokenize(d->fts, s->text, bytes, s, find_sentence);
    if (rc == SQLITE_OK) rc = d->api->xColumnSize(d->fts, column, &size);
    if (rc == SQLITE_OK) rc = take_hits(s, column, size);
    if (rc == SQLITE_OK) look_at_hits(s, column, size);
    return rc;
}

static int look(search *s, int column)
{
    document *d = &s->document;
    int columns = d->api->xColumnCount(d->fts);
    int rc = d->api->xInstCount(d->fts, &d->hits);

    s->best_column = column > 0 ? column : 0;
    if (rc != SQLITE_OK) return rc;
    s->phrases = d->api->xPhraseCount(d->fts);
    s->hits = sqlite3_malloc64(((sqlite3_uint64)d->hits + 1) * sizeof *s->hits);
    s->here.seen = sqlite3_malloc64(((sqlite3_uint64)s->phrases * 2 + 1) * sizeof *s->here.seen);
    if (!s->hits || !s->here.seen) return SQLITE_NOMEM;
    for (int i = 0; rc == SQLITE_OK && i < columns; i++)
        if (column < 0 || column == i) rc = look_at_column(s, i);
    return rc;
}

static void forget(search *s)
{
    sqlite3_free(s->hits);
    sqlite3_free(s->here.seen);
    sqlite3_free(s->sentences);
}

static int write_part(search *s, marking *m, const char *ellipsis)
{
    const document *d = &s->document;
    int rc;

    if (s->best_size == 0 && (rc = d->api->xColumnSize(d->fts, s->best_column, &s->best_size)) != SQLITE_OK) return rc;
    if (!m->text) return SQLITE_OK;
    m->from = s->best_start;
    m->to = s->best_start + s->tokens - 1;
    if (m->from > 0) put_word(m, ellipsis);
    rc = next_range(&m->ranges);
    while (rc == SQLITE_OK && m->ranges.start >= 0 && m->ranges.start < m->from) rc = next_range(&m->ranges);
    if (rc == SQLITE_OK) rc = d->api->xTokenize(d->fts, m->text, m->size, m, mark_token);
    if (m->to >= s->best_size - 1) put_up_to(m, m->size);
    else put_word(m, ellipsis);
    return rc;
}

static const char *text_of(sqlite3_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value);
    return text ? text : "";
}

static void snippet(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *context, int count,
                    sqlite3_value **values)
{
    search s = {.document = {.api = api, .fts = fts}};

    if (count != 5) {
        sqlite3_result_error(context, "wrong number of arguments to function snippet()", -1);
        return;
    }
    s.tokens = sqlite3_value_int(values[4]);
    marking m = {.ranges = {.document = &s.document},
                 .open = text_of(values[1]),
                 .close = text_of(values[2]),
                 .out = sqlite3_str_new(sqlite3_context_db_handle(context))};
    const char *ellipsis = text_of(values[3]);
    int rc = look(&s, sqlite3_value_int(values[0]));
    m.ranges.column = s.best_column;
    if (rc == SQLITE_OK) rc = api->xColumnText(fts, s.best_column, &m.text, &m.size);
    if (rc == SQLITE_OK) rc = write_part(&s, &m, ellipsis);
    answer(context, &m, rc);
    forget(&s);
}

/* ---- in the place of SQLite's own */

/* Where SQLite has no FTS5 there is nothing to do. */
static int find_fts5(sqlite3 *db, fts5_api **api)
{
    sqlite3_stmt *statement = NULL;

    *api = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &statement, NULL);
    if (rc == SQLITE_ERROR) return SQLITE_OK;
    if (rc == SQLITE_OK) rc = sqlite3_bind_pointer(statement, 1, (void *)api, "fts5_api_ptr", NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

dbk_result dbk_search_bound(sqlite3 *db, dbk_error *err)
{
    fts5_api *api;
    int rc = find_fts5(db, &api);

    if (rc == SQLITE_OK && !api) return DBK_OK;
    if (rc == SQLITE_OK) rc = dbk_search_count_words(api);
    if (rc == SQLITE_OK) rc = api->xCreateFunction(api, "snippet", NULL, snippet, NULL);
    if (rc == SQLITE_OK) rc = api->xCreateFunction(api, "highlight", NULL, highlight, NULL);
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(db, rc, "bound the functions of search", err);
}
