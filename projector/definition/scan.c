/* A .sql file as blocks and statements. Comments between statements are free; a line that begins in
 * column 1 with "-- " and a directive word of the file begins a block. Inside a statement such a
 * line is text, but remembered: a ';' may be missing before it. */
#include "projector/definition/internal.h"

typedef struct scanner {
    dbk_check *check;
    const dbk_source *source;
    const char *const *words;
    dbk_script *script;
    dbk_slice text;
    size_t begin; /* behind a byte order mark */
    size_t mark;  /* where "-- may change nothing" stands, SIZE_MAX: nowhere */
    bool orphans_said;
    size_t counted; /* the lines up to here are counted */
    uint32_t line;
} scanner;

static size_t line_end(dbk_slice text, size_t at)
{
    while (at < text.size && text.data[at] != '\n') at++;
    return at;
}

/* The line's content without CR and spaces at its end. */
static size_t line_trimmed(dbk_slice text, size_t at)
{
    size_t end = line_end(text, at);

    while (end > at && (text.data[end - 1] == '\r' || text.data[end - 1] == ' ' || text.data[end - 1] == '\t')) end--;
    return end;
}

static bool begins_with(dbk_slice text, size_t at, const char *prefix)
{
    size_t size = strlen(prefix);

    return text.size - at >= size && memcmp(text.data + at, prefix, size) == 0;
}

/* The directive word of the line at `at`, NULL: the line is an ordinary comment. */
static const char *directive_word(const scanner *s, size_t at)
{
    if (at != s->begin && s->text.data[at - 1] != '\n') return NULL;
    if (!begins_with(s->text, at, "-- ")) return NULL;
    for (const char *const *word = s->words; *word; word++) {
        size_t end = at + 3 + strlen(*word);
        if (!begins_with(s->text, at + 3, *word)) continue;
        if (end == s->text.size || strchr(" \t\r\n(", s->text.data[end])) return *word;
    }
    return NULL;
}

/* A comment in column 1 that is no directive. */
static void doubt(scanner *s, size_t at)
{
    if ((at == s->begin || s->text.data[at - 1] == '\n') && begins_with(s->text, at, "--"))
        dbk_scan_doubt(s->check, s->source, s->words, at, line_trimmed(s->text, at));
}

static dbk_block *add_block(scanner *s, const char *word, dbk_span line)
{
    dbk_block *block = dbk_check_take(s->check, 1, sizeof(*block));

    if (!block) return NULL;
    *block = (dbk_block){.word = word, .line = line};
    if (s->script->last) s->script->last->next = block;
    else s->script->first = block;
    s->script->last = block;
    return block;
}

static void mark_orphan(scanner *s)
{
    if (s->mark == SIZE_MAX) return;
    dbk_report_error(s->check->report, (dbk_span){s->source, s->mark, line_trimmed(s->text, s->mark)},
                     "put it on the line before the statement it is about",
                     "'-- may change nothing' stands before no statement");
    s->mark = SIZE_MAX;
}

/* "-- may change …" of projections.sql; an exact one is kept for the next statement. */
static void scan_mark(scanner *s, size_t at)
{
    static const char exact[] = "-- may change nothing";
    size_t end = line_trimmed(s->text, at);

    if (s->words[0] == NULL || strcmp(s->words[0], "on") != 0) return;
    if ((at != s->begin && s->text.data[at - 1] != '\n') || !begins_with(s->text, at, "-- may change")) return;
    if (end - at == sizeof(exact) - 1 && begins_with(s->text, at, exact)) {
        s->mark = at;
        return;
    }
    dbk_report_error(s->check->report, (dbk_span){s->source, at, end},
                     "-- may change nothing    (or indent the comment)", "looks like '-- may change nothing'");
}

/* CREATE [TEMP] TRIGGER holds statements of its own, up to "; END ;". */
static bool is_complete(const dbk_sql *sql)
{
    uint32_t second = dbk_sql_is(sql, 1, "temp") || dbk_sql_is(sql, 1, "temporary") ? 2 : 1;

    if (!dbk_sql_is(sql, 0, "create") || !dbk_sql_is(sql, second, "trigger")) return true;
    return sql->count > 2 && dbk_sql_is(sql, sql->count - 1, "end") && dbk_sql_is(sql, sql->count - 2, ";");
}

static bool add_token(scanner *s, dbk_sql *sql, uint32_t *capacity, dbk_token token)
{
    if (sql->count == *capacity) {
        uint32_t wanted = *capacity ? *capacity * 2 : 32;
        dbk_token *grown = dbk_check_take(s->check, wanted, sizeof(*grown));
        if (!grown) return false;
        if (sql->count) memcpy(grown, sql->tokens, sql->count * sizeof(*grown));
        sql->tokens = grown;
        *capacity = wanted;
    }
    sql->tokens[sql->count++] = token;
    return true;
}

/* Reads the tokens of the statement at `at`; returns where it ended, behind the ';'. */
static size_t read_tokens(scanner *s, dbk_sql *sql, size_t at)
{
    uint32_t capacity = 0;

    while (at < s->text.size && !s->check->failed) {
        size_t blank = dbk_token_blank(s->text, at);
        if (blank) {
            bool directive = directive_word(s, at) != NULL;
            if (!directive) doubt(s, at);
            else if (!sql->swallowed) sql->swallowed = at;
            at += blank;
            continue;
        }
        dbk_token token = dbk_token_read(s->text, at);
        at = token.end;
        if (s->text.data[token.begin] == ';' && is_complete(sql)) break;
        sql->end = token.end;
        if (token.kind == DBK_TOKEN_BROKEN) {
            dbk_span span = {s->source, token.begin, token.begin + 1};
            dbk_report_error(s->check->report, span, "close it with the same sign; inside it is written twice",
                             "this quote is never closed");
            sql->broken = true;
        }
        if (!add_token(s, sql, &capacity, token)) break;
    }
    return at;
}

static void keep_statement(scanner *s, dbk_sql *sql)
{
    dbk_block *block = s->script->last;

    if (!block) block = add_block(s, NULL, (dbk_span){s->source, sql->begin, sql->begin});
    if (!block) return;
    if (!block->word && s->words[0]) {
        if (!s->orphans_said) {
            dbk_report_error(s->check->report, dbk_sql_span(sql, 0), "put it below the directive it belongs to",
                             "SQL before the first directive");
        }
        s->orphans_said = true;
        return;
    }
    if (block->last) block->last->next = sql;
    else block->first = sql;
    block->last = sql;
}

static size_t scan_statement(scanner *s, size_t at)
{
    dbk_sql *sql = dbk_check_take(s->check, 1, sizeof(*sql));

    if (!sql) return s->text.size;
    sql->source = s->source;
    sql->begin = sql->end = at;
    at = read_tokens(s, sql, at);
    for (; s->counted < sql->begin; s->counted++) s->line += s->text.data[s->counted] == '\n';
    sql->line = s->line;
    sql->may_change_nothing = s->mark != SIZE_MAX;
    s->mark = SIZE_MAX;
    sql->text = dbk_check_text(s->check, dbk_slice_of(s->text.data + sql->begin, sql->end - sql->begin));
    if (sql->text) keep_statement(s, sql);
    return at;
}

static size_t scan_blank(scanner *s, size_t at, size_t size)
{
    const char *word = directive_word(s, at);

    if (word) {
        mark_orphan(s);
        (void)add_block(s, word, (dbk_span){s->source, at, line_trimmed(s->text, at)});
    } else {
        scan_mark(s, at);
        doubt(s, at);
    }
    return at + size;
}

void dbk_scan(dbk_check *check, const dbk_source *source, const char *const *words, dbk_script *script)
{
    scanner s = {check, source, words, script, source->text, 0, SIZE_MAX, false, 0, 1};

    if (begins_with(s.text, 0, "\xef\xbb\xbf")) s.begin = 3;
    for (size_t at = s.begin; at < s.text.size && !check->failed;) {
        size_t blank = dbk_token_blank(s.text, at);
        if (blank) at = scan_blank(&s, at, blank);
        else if (s.text.data[at] == ';') at++;
        else at = scan_statement(&s, at);
    }
    mark_orphan(&s);
}

bool dbk_line_take(dbk_line *line, const char *text)
{
    size_t size = strlen(text);

    if ((size_t)(line->end - line->at) < size || memcmp(line->at, text, size) != 0) return false;
    line->at += size;
    return true;
}

bool dbk_line_name(dbk_line *line, dbk_slice *name)
{
    const char *at = line->at;

    while (at < line->end &&
           ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9') || *at == '_'))
        at++;
    *name = dbk_slice_of(line->at, (size_t)(at - line->at));
    if (!dbk_name_valid(*name)) return false;
    line->at = at;
    return true;
}

bool dbk_line_string(dbk_line *line, dbk_slice *literal)
{
    const char *at = line->at;

    if (at == line->end || *at != '\'') return false;
    for (at++; at < line->end; at++) {
        if (*at != '\'') continue;
        if (at + 1 < line->end && at[1] == '\'') {
            at++;
            continue;
        }
        *literal = dbk_slice_of(line->at, (size_t)(at + 1 - line->at));
        line->at = at + 1;
        return true;
    }
    return false;
}

/* "-- query open_jobs": without arguments the brackets stand all the same. */
static const char *with_brackets(dbk_check *check, const dbk_block *block, const char *text, size_t size)
{
    size_t at = 3 + strlen(block->word) + 1;

    if (strcmp(block->word, "query") != 0 && strcmp(block->word, "command") != 0) return NULL;
    for (size_t i = at; i < size; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.", text[i])) return NULL;
    return at < size ? dbk_check_printf(check, "%.*s()", (int)size, text) : NULL;
}

void dbk_line_lookalike(dbk_check *check, const dbk_block *block, const char *advice)
{
    size_t size = block->line.end - block->line.begin;
    const char *text = (const char *)block->line.source->text.data + block->line.begin;
    const char *nearer = with_brackets(check, block, text, size);

    if (nearer) advice = nearer;
    dbk_report_error(check->report, block->line, advice, "looks like a directive: '%.*s'", (int)(size > 80 ? 80 : size),
                     text);
}
