#include "tests/model/oracle.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

void o_read_start(o_reader *reader, const char *text)
{
    reader->at = text;
    o_read_next(reader);
}

static void read_word(o_reader *reader, size_t size)
{
    if (size >= sizeof reader->token) o_die("a word of SQL is too long: %.60s", reader->at);
    memcpy(reader->token, reader->at, size);
    reader->token[size] = 0;
    reader->at += size;
}

static void read_quoted(o_reader *reader)
{
    size_t size = 0;
    const char *at = reader->at + 1;
    for (; *at && (at[0] != '\'' || at[1] == '\''); at += at[0] == '\'' ? 2 : 1) {
        if (size + 1 >= sizeof reader->token) o_die("a text of SQL is too long");
        reader->token[size++] = *at;
    }
    if (!*at) o_die("a text of SQL has no end");
    reader->token[size] = 0;
    reader->at = at + 1;
    reader->kind = O_QUOTED;
}

static size_t name_size(const char *at)
{
    size_t size = 0;
    while (isalnum((unsigned char)at[size]) || at[size] == '_') size++;
    return size;
}

void o_read_next(o_reader *reader)
{
    static const char *const pairs[] = {"<=", ">=", "<>", "!=", "||", "=="};
    for (;; reader->at++) {
        if (reader->at[0] == '-' && reader->at[1] == '-') reader->at += strcspn(reader->at, "\n");
        if (!isspace((unsigned char)*reader->at)) break;
    }
    const char *at = reader->at;
    size_t size = name_size(at);
    if (!*at) {
        reader->kind = O_END;
        reader->token[0] = 0;
    } else if (isdigit((unsigned char)*at)) {
        size = strspn(at, "0123456789.");
        reader->kind = O_NUMBER;
        read_word(reader, size);
    } else if (size) {
        reader->kind = O_NAME;
        read_word(reader, size);
    } else if (*at == '\'') {
        read_quoted(reader);
    } else if ((*at == '$' || *at == ':') && name_size(at + 1)) {
        reader->at++;
        reader->kind = O_SIGIL;
        read_word(reader, name_size(reader->at));
    } else {
        size = 1;
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            if (strncmp(at, pairs[i], 2) == 0) size = 2;
        reader->kind = O_SIGN;
        read_word(reader, size);
    }
}

bool o_read_is(const o_reader *reader, const char *word)
{
    return (reader->kind == O_NAME || reader->kind == O_SIGN) && strcasecmp(reader->token, word) == 0;
}

bool o_read_take(o_reader *reader, const char *word)
{
    if (!o_read_is(reader, word)) return false;
    o_read_next(reader);
    return true;
}

void o_read_expect(o_reader *reader, const char *word)
{
    if (!o_read_take(reader, word)) o_die("SQL: '%s' expected, not '%s%.40s'", word, reader->token, reader->at);
}

const char *o_read_name(o_reader *reader)
{
    if (reader->kind != O_NAME) o_die("SQL: a name expected, not '%s%.40s'", reader->token, reader->at);
    const char *name = o_text(reader->token);
    o_read_next(reader);
    return name;
}

static o_value number_of(const char *text, int sign)
{
    if (strchr(text, '.')) return (o_value){.kind = O_REAL, .real = sign * strtod(text, NULL)};
    return o_integer(sign * strtoll(text, NULL, 10));
}

o_value o_read_literal(o_reader *reader)
{
    int sign = o_read_take(reader, "-") ? -1 : 1;
    o_value value = {0};
    if (reader->kind == O_NUMBER) value = number_of(reader->token, sign);
    else if (reader->kind == O_QUOTED) value = o_string(reader->token);
    else if (!o_read_is(reader, "NULL")) o_die("SQL: a literal expected, not '%s%.40s'", reader->token, reader->at);
    o_read_next(reader);
    return value;
}

/* ---- expressions, by precedence */

static o_expr *make(o_op op, o_expr *left, o_expr *right)
{
    o_expr *expr = o_take(sizeof *expr);
    expr->op = op;
    expr->left = left;
    expr->right = right;
    return expr;
}

static void read_items(o_reader *reader, o_expr *into)
{
    o_read_expect(reader, "(");
    if (o_read_take(reader, "*")) {
        o_read_expect(reader, ")");
        return;
    }
    while (!o_read_take(reader, ")")) {
        if (into->count == 8) o_die("SQL: too many items");
        into->items[into->count++] = o_read_expr(reader);
        if (!o_read_is(reader, ")")) o_read_expect(reader, ",");
    }
}

static o_expr *read_named(o_reader *reader)
{
    o_expr *expr = make(O_COLUMN, NULL, NULL);
    if (o_read_take(reader, "CURRENT_TIMESTAMP")) {
        expr->op = O_NOW;
        return expr;
    }
    expr->name = o_read_name(reader);
    if (o_read_is(reader, "(")) {
        expr->op = O_CALL;
        read_items(reader, expr);
    } else if (o_read_take(reader, ".")) {
        if (strcasecmp(expr->name, "excluded") == 0) expr->op = O_EXCLUDED;
        expr->name = o_read_name(reader);
    }
    return expr;
}

static o_expr *read_primary(o_reader *reader)
{
    o_expr *expr;
    if (o_read_take(reader, "(")) {
        expr = o_read_expr(reader);
        o_read_expect(reader, ")");
        return expr;
    }
    if (reader->kind == O_SIGIL) {
        expr = make(O_PARAMETER, NULL, NULL);
        expr->name = o_text(reader->token);
        o_read_next(reader);
        return expr;
    }
    if (reader->kind == O_NAME && !o_read_is(reader, "NULL")) return read_named(reader);
    expr = make(O_LITERAL, NULL, NULL);
    expr->literal = o_read_literal(reader);
    return expr;
}

static o_expr *read_chain(o_reader *reader, int level)
{
    static const struct {
        int level;
        const char *sign;
        o_op op;
    } all[] = {{0, "OR", O_OR},      {1, "AND", O_AND},       {3, "=", O_EQUAL}, {3, "==", O_EQUAL},
               {3, "<>", O_UNEQUAL}, {3, "!=", O_UNEQUAL},    {4, "<", O_LESS},  {4, "<=", O_LESS_EQUAL},
               {4, ">", O_MORE},     {4, ">=", O_MORE_EQUAL}, {5, "+", O_ADD},   {5, "-", O_SUBTRACT},
               {6, "*", O_TIMES},    {7, "||", O_JOIN_TEXT}};
    if (level > 7) return read_primary(reader);
    if (level == 2 && o_read_take(reader, "NOT")) return make(O_NOT, read_chain(reader, 2), NULL);
    o_expr *left = read_chain(reader, level + 1);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i].level != level || !o_read_take(reader, all[i].sign)) continue;
        left = make(all[i].op, left, read_chain(reader, level + 1));
        i = (size_t)-1;
    }
    if (level == 3 && o_read_take(reader, "IS")) {
        left = make(o_read_take(reader, "NOT") ? O_NOT_NULL : O_IS_NULL, left, NULL);
        o_read_expect(reader, "NULL");
    } else if (level == 3 && o_read_take(reader, "IN")) {
        left = make(O_IN, left, NULL);
        read_items(reader, left);
    }
    return left;
}

o_expr *o_read_expr(o_reader *reader)
{
    return read_chain(reader, 0);
}

/* ---- statements */

static int read_sets(o_reader *reader, const char **columns, o_expr **values)
{
    int count = 0;
    do {
        if (count == O_COLUMNS) o_die("SQL: too many columns");
        columns[count] = o_read_name(reader);
        o_read_expect(reader, "=");
        values[count++] = o_read_expr(reader);
    } while (o_read_take(reader, ","));
    return count;
}

static void read_conflict(o_reader *reader, o_sql *sql)
{
    o_read_expect(reader, "CONFLICT");
    o_read_expect(reader, "(");
    do (void)o_read_name(reader);
    while (o_read_take(reader, ","));
    o_read_expect(reader, ")");
    o_read_expect(reader, "DO");
    if (o_read_take(reader, "NOTHING")) {
        sql->nothing = true;
        return;
    }
    o_read_expect(reader, "UPDATE");
    o_read_expect(reader, "SET");
    sql->set_count = read_sets(reader, sql->set_columns, sql->set_values);
}

static void read_insert(o_reader *reader, o_sql *sql)
{
    sql->ignore = o_read_take(reader, "OR");
    if (sql->ignore) o_read_expect(reader, "IGNORE");
    o_read_expect(reader, "INTO");
    sql->table = o_read_name(reader);
    int named = 0;
    if (o_read_take(reader, "(")) {
        do sql->columns[named++] = o_read_name(reader);
        while (o_read_take(reader, ","));
        o_read_expect(reader, ")");
    }
    o_read_expect(reader, "VALUES");
    o_read_expect(reader, "(");
    do sql->values[sql->count++] = o_read_expr(reader);
    while (o_read_take(reader, ","));
    o_read_expect(reader, ")");
    if (o_read_take(reader, "ON")) read_conflict(reader, sql);
}

static void read_select(o_reader *reader, o_sql *sql)
{
    do {
        if (sql->count == O_COLUMNS) o_die("SQL: too many columns");
        o_expr *expr = o_read_expr(reader);
        sql->values[sql->count] = expr;
        sql->columns[sql->count++] = o_read_take(reader, "AS") ? o_read_name(reader) : expr->name;
    } while (o_read_take(reader, ","));
    if (o_read_take(reader, "FROM")) sql->table = o_read_name(reader);
    if (o_read_take(reader, "WHERE")) sql->where = o_read_expr(reader);
    if (o_read_take(reader, "ORDER")) {
        o_read_expect(reader, "BY");
        sql->order = o_read_name(reader);
        sql->descending = o_read_take(reader, "DESC");
    }
    if (o_read_take(reader, "LIMIT")) sql->limit = o_read_literal(reader).integer;
}

o_sql *o_read_statement(o_reader *reader)
{
    o_sql *sql = o_take(sizeof *sql);
    sql->limit = -1;
    if (o_read_take(reader, "INSERT")) {
        sql->verb = O_INSERT;
        read_insert(reader, sql);
    } else if (o_read_take(reader, "UPDATE")) {
        sql->verb = O_UPDATE;
        sql->table = o_read_name(reader);
        o_read_expect(reader, "SET");
        sql->count = read_sets(reader, sql->columns, sql->values);
        if (o_read_take(reader, "WHERE")) sql->where = o_read_expr(reader);
    } else if (o_read_take(reader, "DELETE")) {
        sql->verb = O_DELETE;
        o_read_expect(reader, "FROM");
        sql->table = o_read_name(reader);
        if (o_read_take(reader, "WHERE")) sql->where = o_read_expr(reader);
    } else {
        o_read_expect(reader, "SELECT");
        sql->verb = O_SELECT;
        read_select(reader, sql);
    }
    if (reader->kind != O_END) o_read_expect(reader, ";");
    return sql;
}
