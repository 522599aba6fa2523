/* Findings: gathered while a definition is checked, sorted at the end, printed as text or JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "projector/definition/internal.h"

enum { SOURCE_LINE_MAX = 240 };

dbk_report *dbk_report_new(const dbk_port *port)
{
    dbk_arena *arena = dbk_arena_new(port, 4096);
    dbk_report *report = arena ? dbk_arena_take(arena, sizeof(*report)) : NULL;

    if (!report) {
        dbk_arena_free(arena);
        return NULL;
    }
    *report = (dbk_report){.arena = arena};
    return report;
}

static const char *copy(dbk_report *report, dbk_slice text)
{
    dbk_slice made = dbk_arena_copy(report->arena, text);

    if (!made.data) {
        report->failed = true;
        return "";
    }
    return (const char *)made.data;
}

static const char *copy_readable(dbk_report *report, dbk_slice text)
{
    if (dbk_utf8_valid(text)) return copy(report, text);
    uint8_t *made = dbk_arena_take(report->arena, text.size * DBK_UTF8_READABLE + 1);
    if (!made) {
        report->failed = true;
        return "";
    }
    made[dbk_utf8_readable(text, made)] = '\0';
    return (const char *)made;
}

/* Code points, so that carets stand below what they mean. */
static uint32_t characters(const uint8_t *from, const uint8_t *to)
{
    uint32_t count = 0;

    for (; from < to; from++) count += (*from & 0xc0) != 0x80;
    return count;
}

/* One at least: a span may begin inside a broken character, or where a line ends. */
static uint32_t caret(const uint8_t *from, const uint8_t *to)
{
    uint32_t count = to > from ? characters(from, to) : 0;

    return count ? count : 1;
}

/* Line, column, the line itself and the caret's length; the span may go on over several lines. */
static void locate(dbk_report *report, dbk_span at, dbk_finding *finding)
{
    const uint8_t *text = at.source->text.data, *end = text + at.source->text.size;
    const uint8_t *begin = text + (at.begin < at.source->text.size ? at.begin : at.source->text.size);
    const uint8_t *line = begin, *line_end = begin;
    const uint8_t *stop = at.end > at.begin ? text + at.end : begin;

    while (line > text && line[-1] != '\n') line--;
    while (line_end < end && *line_end != '\n') line_end++;
    if (line_end > begin && line_end[-1] == '\r') line_end--;
    if (stop > line_end) stop = line_end;
    finding->line = 1;
    for (const uint8_t *p = text; p < line; p++) finding->line += *p == '\n';
    finding->column = 1 + characters(line, begin);
    finding->caret_length = caret(begin, stop);
    if (begin - line > SOURCE_LINE_MAX) return; /* a line too long to be shown */
    if (line_end - line > SOURCE_LINE_MAX) {
        line_end = line + SOURCE_LINE_MAX;
        while (line_end > line && (*line_end & 0xc0) == 0x80) line_end--;
    }
    dbk_slice shown = dbk_slice_of(line, (size_t)(line_end - line));
    if (!dbk_utf8_valid(shown) || (shown.size && memchr(shown.data, 0, shown.size))) return;
    finding->source_line = copy(report, shown);
    if (stop > line_end) finding->caret_length = caret(begin, line_end);
}

/* Room for one more: errors go before warnings, the last place says that there is more. */
static dbk_finding *room(dbk_report *report, bool warning)
{
    if (!report->items) report->items = dbk_arena_take(report->arena, DBK_FINDINGS_MAX * sizeof(dbk_finding));
    if (!report->items) {
        report->failed = true;
        return NULL;
    }
    size_t limit = warning ? DBK_FINDINGS_MAX / 2 : DBK_FINDINGS_MAX;
    return report->count < limit ? &report->items[report->count++] : NULL;
}

/* A text that was cut may end inside a character. */
static size_t without_last(const char *text, size_t size)
{
    while (size && ((uint8_t)text[--size] & 0xc0) == 0x80) continue;
    return size;
}

__attribute__((format(printf, 5, 0))) static void add(dbk_report *report, bool warning, dbk_span at, const char *advice,
                                                      const char *format, va_list args)
{
    char text[512];
    dbk_finding *finding = room(report, warning);

    if (!warning) report->errors++;
    if (!finding) return;
    *finding = (dbk_finding){.warning = warning, .file = "", .source_line = "", .text = "", .advice = ""};
    if (report->count == DBK_FINDINGS_MAX) {
        finding->text = "there is more: correct what is listed and check again";
        return;
    }
    int whole = vsnprintf(text, sizeof(text), format, args);
    if (whole < 0) text[0] = '\0';
    size_t size = strlen(text);
    if (whole >= (int)sizeof(text)) size = without_last(text, size);
    finding->text = copy_readable(report, dbk_slice_of(text, size));
    if (advice) finding->advice = copy_readable(report, dbk_slice_text(advice));
    if (!at.source) return;
    const char *name = at.source->name;
    if (report->schema_name && strcmp(name, "schema.sql") == 0) name = report->schema_name;
    finding->file = copy_readable(report, dbk_slice_text(name));
    if (at.begin != SIZE_MAX) locate(report, at, finding);
}

void dbk_report_error(dbk_report *report, dbk_span at, const char *advice, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(report, false, at, advice, format, args);
    va_end(args);
}

void dbk_report_warning(dbk_report *report, dbk_span at, const char *advice, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(report, true, at, advice, format, args);
    va_end(args);
}

static int compare(const void *a, const void *b)
{
    const dbk_finding *x = a, *y = b;
    bool last_x = x->file[0] == '\0', last_y = y->file[0] == '\0';

    if (last_x != last_y) return last_x ? 1 : -1;
    int order = strcmp(x->file, y->file);
    if (order) return order;
    if (x->line != y->line) return x->line < y->line ? -1 : 1;
    if (x->column != y->column) return x->column < y->column ? -1 : 1;
    if (x->warning != y->warning) return x->warning ? 1 : -1;
    return strcmp(x->text, y->text);
}

static bool is_of_schema(const dbk_finding *finding)
{
    const char *slash = strrchr(finding->file, '/');

    return strcmp(slash ? slash + 1 : finding->file, "schema.sql") == 0;
}

/* The cause before what may follow from it. */
static int compare_schema_first(const void *a, const void *b)
{
    bool first_a = is_of_schema(a), first_b = is_of_schema(b);

    if (first_a != first_b) return first_a ? -1 : 1;
    return compare(a, b);
}

static bool is_of_lack(const dbk_finding *finding)
{
    /* a step whose table is not there is no step, and uses no argument */
    static const char *const texts[] = {"no such table",    "no such column",  "there is no table", "has no column",
                                        "' is of no table", "' is no table: ", "' has no step",     "' is not used"};

    if (!finding->file[0] || is_of_schema(finding)) return false;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strstr(finding->text, texts[i])) return true;
    return false;
}

void dbk_report_settle(dbk_report *report)
{
    size_t kept = 0, all = report->count;

    if (!report->lacks) return;
    for (size_t i = 0; i < all; i++) {
        const dbk_finding *finding = &report->items[i];
        if (!is_of_lack(finding)) report->items[kept++] = *finding;
        else if (!finding->warning) report->errors--;
    }
    report->count = kept;
    if (kept < all)
        dbk_report_warning(report, (dbk_span){NULL, 0, 0}, NULL,
                           "what other files ask of tables and columns is checked when schema.sql is right");
}

void dbk_report_take(dbk_report *report, dbk_findings *out)
{
    if (report->count > 1)
        qsort(report->items, report->count, sizeof(*report->items), report->lacks ? compare_schema_first : compare);
    *out = (dbk_findings){report->items, report->count, report->errors, report};
}

void dbk_findings_free(dbk_findings *findings)
{
    dbk_report *report = findings->owner;

    *findings = (dbk_findings){NULL, 0, 0, NULL};
    if (report) dbk_arena_free(report->arena);
}

/* The caret's line: tabs stay tabs so that it lines up. */
static void print_caret(const dbk_finding *finding, dbk_buffer *out)
{
    const char *p = finding->source_line;

    dbk_buffer_printf(out, "  %s\n  ", finding->source_line);
    for (uint32_t left = finding->column - 1; left > 0 && *p; p++) {
        if ((*p & 0xc0) == 0x80) continue;
        dbk_buffer_put_u8(out, *p == '\t' ? '\t' : ' ');
        left--;
    }
    for (uint32_t i = 0; i < finding->caret_length; i++) dbk_buffer_put_u8(out, '^');
    dbk_buffer_put_u8(out, '\n');
}

void dbk_findings_print(const dbk_findings *findings, dbk_buffer *out)
{
    for (size_t i = 0; i < findings->count; i++) {
        const dbk_finding *finding = &findings->items[i];

        if (finding->file[0]) dbk_buffer_printf(out, "%s:", finding->file);
        if (finding->line) dbk_buffer_printf(out, "%u:%u:", finding->line, finding->column);
        if (finding->file[0]) dbk_buffer_put_u8(out, ' ');
        dbk_buffer_printf(out, "%s: %s\n", finding->warning ? "warning" : "error", finding->text);
        if (finding->line && finding->source_line[0]) print_caret(finding, out);
        if (finding->advice[0]) dbk_buffer_printf(out, "  write: %s\n", finding->advice);
    }
}

static void put_text_member(dbk_buffer *out, const char *name, const char *text)
{
    dbk_buffer_printf(out, ",\"%s\":", name);
    dbk_json_put_string(out, dbk_slice_text(text));
}

void dbk_findings_json(const dbk_findings *findings, dbk_buffer *out)
{
    for (size_t i = 0; i < findings->count; i++) {
        const dbk_finding *finding = &findings->items[i];

        dbk_buffer_printf(out, "{\"level\":\"%s\"", finding->warning ? "warning" : "error");
        put_text_member(out, "file", finding->file);
        dbk_buffer_printf(out, ",\"line\":%u,\"column\":%u,\"length\":%u", finding->line, finding->column,
                          finding->caret_length);
        put_text_member(out, "source", finding->source_line);
        put_text_member(out, "text", finding->text);
        put_text_member(out, "advice", finding->advice);
        dbk_buffer_put_text(out, "}\n");
    }
}
