/* Any bytes as a file of directives; the first byte says of which kind. Blocks, statements and tokens stand inside the
 * text, one behind the other, with nothing between them but white space, comments and ';'; what is wrong is said with
 * a place inside the text; the same text twice is scanned the same. */
#include <stdlib.h>

#include "projector/definition/internal.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

typedef struct scanned {
    dbk_check check;
    dbk_source source;
    dbk_script script;
} scanned;

static void scan(scanned *s, dbk_slice text, const char *const *words)
{
    *s = (scanned){.check = {.port = dbk_port_system(),
                             .arena = dbk_arena_new(dbk_port_system(), 4096),
                             .report = dbk_report_new(dbk_port_system())},
                   .source = {"any.sql", text}};
    REQUIRE(s->check.arena && s->check.report);
    dbk_scan(&s->check, &s->source, words, &s->script);
    REQUIRE(!s->check.failed);
}

static void release(scanned *s)
{
    dbk_findings findings;
    dbk_report_take(s->check.report, &findings);
    for (size_t i = 0; i < findings.count; i++) {
        const dbk_finding *finding = &findings.items[i];
        REQUIRE(finding->text[0] && dbk_utf8_valid(dbk_slice_text(finding->text)));
        REQUIRE(finding->line == 0 || finding->column > 0);
    }
    dbk_findings_free(&findings);
    dbk_arena_free(s->check.arena);
}

/* Between tokens stands nothing that could be one. */
static void check_gap(dbk_slice text, size_t from, size_t to)
{
    REQUIRE(from <= to && to <= text.size);
    while (from < to) {
        size_t blank = dbk_token_blank(text, from);
        REQUIRE(blank > 0 && from + blank <= to);
        from += blank;
    }
}

static void check_statement(const dbk_sql *sql, dbk_slice text)
{
    size_t at = sql->begin;
    REQUIRE(sql->begin <= sql->end && sql->end <= text.size && sql->line > 0);
    for (uint32_t i = 0; i < sql->count; i++) {
        const dbk_token *token = &sql->tokens[i];
        check_gap(text, at, token->begin);
        REQUIRE(token->begin < token->end && token->end <= sql->end);
        at = token->end;
    }
    check_gap(text, at, sql->end);
    REQUIRE(sql->count == 0 || sql->tokens[0].begin == sql->begin);
}

static void check_script(const scanned *s, const scanned *other, dbk_slice text)
{
    size_t at = 0;
    const dbk_block *twin = other->script.first;
    for (const dbk_block *block = s->script.first; block; block = block->next, twin = twin->next) {
        REQUIRE(twin && twin->word == block->word && twin->line.begin == block->line.begin);
        REQUIRE(!block->word || (block->line.begin >= at && block->line.end <= text.size));
        if (block->word) at = block->line.end;
        const dbk_sql *same = twin->first;
        for (const dbk_sql *sql = block->first; sql; sql = sql->next, same = same->next) {
            REQUIRE(same && same->begin == sql->begin && same->end == sql->end && same->count == sql->count);
            REQUIRE(sql->begin >= at);
            check_statement(sql, text);
            at = sql->end;
        }
        REQUIRE(!same);
    }
    REQUIRE(!twin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kinds[][9] = {
        {"on", NULL},    {"command", "require", "let", "put", "patch", "delete", "else", "return", NULL},
        {"query", NULL}, {"upcast", NULL},
        {NULL},
    };
    scanned one, other;
    if (size == 0) return 0;
    const char *const *words = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
    dbk_slice text = dbk_slice_of(data + 1, size - 1);
    scan(&one, text, words);
    scan(&other, text, words);
    check_script(&one, &other, text);
    release(&one);
    release(&other);
    return 0;
}
