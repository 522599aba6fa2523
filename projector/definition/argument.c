/* Arguments of commands and named queries: "(name TYPE?, name TYPE = literal)". */
#include <string.h>

#include "projector/definition/internal.h"

static const struct {
    const char *name;
    dbk_column_type type;
} type_names[] = {
    {"TEXT", DBK_TYPE_TEXT}, {"INTEGER", DBK_TYPE_INTEGER},   {"REAL", DBK_TYPE_REAL}, {"BOOLEAN", DBK_TYPE_BOOLEAN},
    {"UUID", DBK_TYPE_UUID}, {"DATETIME", DBK_TYPE_DATETIME}, {"JSON", DBK_TYPE_JSON}, {"BLOB", DBK_TYPE_BLOB},
};

static bool type_of(dbk_slice name, dbk_column_type *type)
{
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (!dbk_slice_equal(name, dbk_slice_text(type_names[i].name))) continue;
        *type = type_names[i].type;
        return true;
    }
    return false;
}

dbk_span dbk_line_span(const dbk_block *block, dbk_slice part)
{
    size_t at = (size_t)(part.data - block->line.source->text.data);

    return (dbk_span){block->line.source, at, at + part.size};
}

/* A known type behind a space; SECRET is named as what a later version brings. */
bool dbk_line_type(dbk_check *check, const dbk_block *block, dbk_line *line, dbk_column_type *type)
{
    dbk_slice name;

    if (!dbk_line_name(line, &name)) return false;
    if (type_of(name, type)) return true;
    if (!dbk_slice_equal(name, dbk_slice_text("SECRET"))) return false;
    dbk_report_error(check->report, dbk_line_span(block, name), "leave it out", "SECRET comes with a later version");
    *type = DBK_TYPE_TEXT;
    return true;
}

static bool take_number(dbk_line *line, dbk_slice *literal, bool *whole)
{
    const char *begin = line->at, *at = begin;

    *whole = true;
    if (at < line->end && *at == '-') at++;
    const char *digits = at;
    while (at < line->end && *at >= '0' && *at <= '9') at++;
    if (at == digits) return false;
    if (at + 1 < line->end && *at == '.' && at[1] >= '0' && at[1] <= '9') {
        *whole = false;
        for (at++; at < line->end && *at >= '0' && *at <= '9';) at++;
    }
    *literal = dbk_slice_of(begin, (size_t)(at - begin));
    line->at = at;
    return true;
}

/* The text of an SQL string literal is JSON. */
static bool is_json_literal(dbk_check *check, dbk_slice literal)
{
    dbk_buffer text;
    dbk_json_parser *parser = dbk_json_parser_new(check->port);
    const dbk_json_node *root;

    dbk_buffer_init(&text, check->port);
    for (size_t i = 1; i + 1 < literal.size; i++) {
        dbk_buffer_put_u8(&text, literal.data[i]);
        if (literal.data[i] == '\'') i++;
    }
    if (!parser || text.failed) check->failed = true;
    dbk_result result = check->failed ? DBK_NO_MEMORY : dbk_json_parse(parser, dbk_buffer_slice(&text), &root, NULL);
    if (result == DBK_NO_MEMORY) check->failed = true;
    dbk_buffer_release(&text);
    dbk_json_parser_free(parser);
    return result == DBK_OK;
}

/* NULL, a string or a number that fits the argument's type. */
static bool take_literal(dbk_check *check, dbk_line *line, dbk_column_type type, dbk_slice *literal, bool *fits)
{
    bool whole;
    const char *begin = line->at;

    *fits = true;
    if (dbk_line_take(line, "NULL")) {
        *literal = dbk_slice_of(begin, 4);
        return true;
    }
    if (dbk_line_string(line, literal)) {
        *fits = type != DBK_TYPE_INTEGER && type != DBK_TYPE_REAL && type != DBK_TYPE_BOOLEAN &&
                (type != DBK_TYPE_JSON || is_json_literal(check, *literal));
        return true;
    }
    if (!take_number(line, literal, &whole)) return false;
    bool bit = dbk_slice_equal(*literal, dbk_slice_text("0")) || dbk_slice_equal(*literal, dbk_slice_text("1"));
    *fits = type == DBK_TYPE_REAL || (type == DBK_TYPE_INTEGER && whole) || (type == DBK_TYPE_BOOLEAN && bit);
    return true;
}

/* A name that the engine gives itself, or that stands already. */
static void check_name(dbk_check *check, const dbk_block *block, dbk_slice name, const char *const *given,
                       const dbk_signature *signature)
{
    for (; *given; given++)
        if (dbk_slice_equal(name, dbk_slice_text(*given)))
            dbk_report_error(check->report, dbk_line_span(block, name), "another name", "':%s' is given by the engine",
                             *given);
    for (uint16_t i = 0; i < signature->count; i++)
        if (dbk_slice_equal(name, dbk_slice_text(signature->items[i].name)))
            dbk_report_error(check->report, dbk_line_span(block, name), "another name", "argument '%s' stands twice",
                             signature->items[i].name);
}

/* name [ SP type ] [ "?" | SP "=" SP literal ] */
static bool take_argument(dbk_check *check, const dbk_block *block, dbk_line *line, const char *const *given,
                          dbk_signature *signature)
{
    dbk_argument *argument = &signature->items[signature->count];
    dbk_slice name, literal;
    bool fits;

    if (signature->count == DBK_ARGUMENTS_MAX || !dbk_line_name(line, &name)) return false;
    *argument = (dbk_argument){.name = dbk_check_text(check, name), .type = DBK_TYPE_TEXT};
    if (!argument->name) return false;
    check_name(check, block, name, given, signature);
    signature->count++;
    bool typed = line->end - line->at > 1 && line->at[0] == ' ' && line->at[1] != '=';
    if (typed && (!dbk_line_take(line, " ") || !dbk_line_type(check, block, line, &argument->type))) return false;
    argument->optional = dbk_line_take(line, "?");
    if (argument->optional || !dbk_line_take(line, " = ")) return true;
    if (!take_literal(check, line, argument->type, &literal, &fits)) return false;
    argument->default_sql = dbk_check_text(check, literal);
    if (!fits)
        dbk_report_error(check->report, dbk_line_span(block, literal), "a literal of the argument's type, or NULL",
                         "the default of '%s' does not fit its type", argument->name);
    return true;
}

bool dbk_line_signature(dbk_check *check, const dbk_block *block, dbk_line *line, const char *const *given,
                        dbk_signature *signature)
{
    signature->count = 0;
    if (!dbk_line_take(line, "(")) return false;
    if (dbk_line_take(line, ")")) return true;
    do {
        if (!take_argument(check, block, line, given, signature)) return false;
    } while (dbk_line_take(line, ", "));
    return dbk_line_take(line, ")");
}

dbk_argument *dbk_signature_keep(dbk_check *check, const dbk_signature *signature)
{
    dbk_argument *kept = dbk_check_take(check, (size_t)signature->count + 1, sizeof(*kept));

    if (kept && signature->count) memcpy(kept, signature->items, signature->count * sizeof(*kept));
    return kept;
}

const char *dbk_signature_nearest(dbk_check *check, const dbk_signature *signature, const char *name)
{
    const char *names[DBK_ARGUMENTS_MAX];

    for (uint16_t i = 0; i < signature->count; i++) names[i] = signature->items[i].name;
    return dbk_check_nearest(check, dbk_slice_text(name), names, signature->count);
}

uint32_t dbk_sql_parameter(const dbk_sql *sql, const char *name)
{
    for (uint32_t i = 0; i < sql->count; i++)
        if (sql->tokens[i].kind == DBK_TOKEN_PARAMETER && dbk_slice_equal(dbk_sql_slice(sql, i), dbk_slice_text(name)))
            return i;
    return 0;
}
