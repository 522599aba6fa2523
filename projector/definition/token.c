/* SQL tokens as SQLite reads them, with their places. Only borders matter here: what a word means
 * is asked by those who look at the tokens. */
#include <strings.h>

#include "projector/definition/internal.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_word_part(uint8_t c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

static uint8_t byte_at(dbk_slice text, size_t at)
{
    return at < text.size ? text.data[at] : 0;
}

size_t dbk_token_blank(dbk_slice text, size_t at)
{
    size_t end = at;

    if (byte_at(text, at) == '-' && byte_at(text, at + 1) == '-') {
        while (end < text.size && text.data[end] != '\n') end++;
        return end - at;
    }
    if (byte_at(text, at) == '/' && byte_at(text, at + 1) == '*') {
        for (end = at + 2; end < text.size; end++)
            if (text.data[end] == '/' && text.data[end - 1] == '*' && end > at + 2) return end + 1 - at;
        return text.size - at;
    }
    while (end < text.size && is_space(text.data[end])) end++;
    return end - at;
}

/* 'text', "name", `name`: the quote inside is doubled. [name] has no quote inside. */
static dbk_token read_quoted(dbk_slice text, size_t at)
{
    uint8_t opening = text.data[at], closing = opening == '[' ? ']' : opening;
    dbk_token token = {opening == '\'' ? DBK_TOKEN_STRING : DBK_TOKEN_QUOTED, (uint32_t)at, 0};

    for (size_t end = at + 1; end < text.size; end++) {
        if (text.data[end] != closing) continue;
        if (opening != '[' && byte_at(text, end + 1) == closing) {
            end++;
            continue;
        }
        token.end = (uint32_t)(end + 1);
        return token;
    }
    token.kind = DBK_TOKEN_BROKEN;
    token.end = (uint32_t)text.size;
    return token;
}

static size_t skip_word(dbk_slice text, size_t at)
{
    while (is_word_part(byte_at(text, at))) at++;
    return at;
}

/* Digits, a fraction, an exponent; letters that run on belong to it and make it an error of SQLite.
 */
static size_t skip_number(dbk_slice text, size_t at)
{
    while (is_word_part(byte_at(text, at)) || byte_at(text, at) == '.') {
        uint8_t c = text.data[at++], sign = byte_at(text, at);
        if ((c == 'e' || c == 'E') && (sign == '+' || sign == '-') && is_digit(byte_at(text, at + 1))) at++;
    }
    return at;
}

/* :name, @name, #n, $name with ::parts, ?n. */
static dbk_token read_parameter(dbk_slice text, size_t at)
{
    uint8_t sign = text.data[at];
    size_t end = skip_word(text, at + 1);

    while (sign == '$' && byte_at(text, end) == ':' && byte_at(text, end + 1) == ':') end = skip_word(text, end + 2);
    dbk_token_kind kind = end == at + 1 && sign != '?' ? DBK_TOKEN_PUNCTUATION : DBK_TOKEN_PARAMETER;
    return (dbk_token){kind, (uint32_t)at, (uint32_t)end};
}

dbk_token dbk_token_read(dbk_slice text, size_t at)
{
    uint8_t c = text.data[at], next = byte_at(text, at + 1);

    if (c == '\'' || c == '"' || c == '`' || c == '[') return read_quoted(text, at);
    if ((c == 'x' || c == 'X') && next == '\'') {
        dbk_token blob = read_quoted(text, at + 1);
        blob.begin--;
        return blob;
    }
    if (is_word_start(c)) return (dbk_token){DBK_TOKEN_WORD, (uint32_t)at, (uint32_t)skip_word(text, at)};
    if (is_digit(c) || (c == '.' && is_digit(next)))
        return (dbk_token){DBK_TOKEN_NUMBER, (uint32_t)at, (uint32_t)skip_number(text, at)};
    if (c == ':' || c == '$' || c == '@' || c == '?' || c == '#') return read_parameter(text, at);
    return (dbk_token){DBK_TOKEN_PUNCTUATION, (uint32_t)at, (uint32_t)(at + 1)};
}

dbk_slice dbk_sql_slice(const dbk_sql *sql, uint32_t token)
{
    if (token >= sql->count) return (dbk_slice){NULL, 0};
    const dbk_token *t = &sql->tokens[token];
    return dbk_slice_of(sql->source->text.data + t->begin, t->end - t->begin);
}

bool dbk_sql_is(const dbk_sql *sql, uint32_t token, const char *word)
{
    dbk_slice slice = dbk_sql_slice(sql, token);

    if (!slice.data || slice.size != strlen(word)) return false;
    dbk_token_kind kind = sql->tokens[token].kind;
    return (kind == DBK_TOKEN_WORD || kind == DBK_TOKEN_PUNCTUATION) &&
           strncasecmp((const char *)slice.data, word, slice.size) == 0;
}

bool dbk_sql_are(const dbk_sql *sql, uint32_t token, const char *words)
{
    char word[32];

    while (*words) {
        size_t size = strcspn(words, " ");
        if (size >= sizeof(word)) return false;
        memcpy(word, words, size);
        word[size] = '\0';
        if (!dbk_sql_is(sql, token++, word)) return false;
        words += size + (words[size] == ' ');
    }
    return true;
}

dbk_span dbk_sql_span(const dbk_sql *sql, uint32_t token)
{
    if (token >= sql->count) token = 0;
    if (sql->count == 0) return (dbk_span){sql->source, sql->begin, sql->end};
    return (dbk_span){sql->source, sql->tokens[token].begin, sql->tokens[token].end};
}

uint32_t dbk_sql_skip(const dbk_sql *sql, uint32_t token)
{
    uint32_t depth = 0;

    for (; token < sql->count; token++) {
        if (dbk_sql_is(sql, token, "(")) depth++;
        if (dbk_sql_is(sql, token, ")") && depth > 0 && --depth == 0) return token + 1;
    }
    return sql->count;
}

/* Compares an identifier's text with a name without making a copy. */
static bool is_identifier(const dbk_sql *sql, uint32_t token, const char *name, size_t size)
{
    dbk_token_kind kind = sql->tokens[token].kind;
    dbk_slice slice = dbk_sql_slice(sql, token);

    if (kind == DBK_TOKEN_QUOTED) slice = dbk_slice_of(slice.data + 1, slice.size - 2);
    else if (kind != DBK_TOKEN_WORD) return false;
    return slice.size == size && strncasecmp((const char *)slice.data, name, size) == 0;
}

uint32_t dbk_sql_find(const dbk_sql *sql, uint32_t from, const char *name)
{
    size_t size = strlen(name);

    while (from < sql->count && !is_identifier(sql, from, name, size)) from++;
    return from;
}

bool dbk_sql_named(const dbk_sql *sql, uint32_t token, const char *name)
{
    return token < sql->count && is_identifier(sql, token, name, strlen(name));
}

const char *dbk_sql_name(dbk_arena *arena, const dbk_sql *sql, uint32_t token)
{
    dbk_slice slice = dbk_sql_slice(sql, token);

    if (!slice.data) return NULL;
    dbk_token_kind kind = sql->tokens[token].kind;
    if (kind == DBK_TOKEN_WORD) return (const char *)dbk_arena_copy(arena, slice).data;
    if (kind != DBK_TOKEN_QUOTED && kind != DBK_TOKEN_STRING) return NULL;
    uint8_t quote = slice.data[0] == '[' ? ']' : slice.data[0];
    char *made = dbk_arena_take(arena, slice.size);
    size_t size = 0;
    for (size_t i = 1; made && i + 1 < slice.size; i++) {
        made[size++] = (char)slice.data[i];
        if (slice.data[i] == quote && slice.data[i + 1] == quote && i + 2 < slice.size) i++;
    }
    if (made) made[size] = '\0';
    return made;
}

bool dbk_name_valid(dbk_slice name)
{
    if (name.size == 0 || name.size > DBK_NAME_MAX || is_digit(name.data[0])) return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (c >= 0x80 || c == '$' || !is_word_part(c)) return false;
    }
    return true;
}
