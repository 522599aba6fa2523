/* What is said and shown: messages on stderr, lines on stdout. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>

static bool write_failure_said, failures_as_json, lacks_memory;

void dbk_cli_fail_in_json(void)
{
    failures_as_json = true;
}

static void put_message(const char *label, const char *colour, const char *text)
{
    bool terminal = dbk_terminal_is(stderr);
    if (dbk_terminal_colour(stderr)) fprintf(stderr, "\033[%sm%s\033[0m ", colour, label);
    else fprintf(stderr, "%s ", label);
    for (const char *c = text; *c; c++) {
        if (terminal && (unsigned char)*c < ' ' && *c != '\n' && *c != '\t')
            fprintf(stderr, "\\x%02x", (unsigned char)*c);
        else fputc(*c, stderr);
    }
    fputc('\n', stderr);
}

void dbk_cli_put_path(dbk_buffer *out, const char *path)
{
    dbk_slice name = dbk_slice_text(path);
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    uint8_t *shown = dbk_buffer_extend(&text, name.size * DBK_UTF8_READABLE + 1);
    if (shown) dbk_json_put_string(out, dbk_slice_of(shown, dbk_utf8_readable(name, shown)));
    else out->failed = true;
    dbk_buffer_release(&text);
}

void dbk_cli_put_failure(dbk_buffer *out, const dbk_error *err)
{
    dbk_buffer_printf(out,
                      "{\"ok\":false,\"error\":\"%s\",\"class\":\"%s\",\"message\":", dbk_result_wire_name(err->code),
                      dbk_class_name(dbk_result_class(err->code)));
    dbk_json_put_string(out, dbk_slice_text(err->text[0] ? err->text : dbk_result_text(err->code)));
    if (err->hint[0]) {
        dbk_buffer_put_text(out, ",\"hint\":");
        dbk_json_put_string(out, dbk_slice_text(err->hint));
    }
}

static bool tell_in_json(const dbk_error *err)
{
    dbk_buffer line;
    dbk_buffer_init(&line, dbk_port_system());
    dbk_cli_put_failure(&line, err);
    dbk_buffer_put_u8(&line, '}');
    bool good = !line.failed && dbk_utf8_valid(dbk_buffer_slice(&line));
    if (good) dbk_out_line(dbk_buffer_slice(&line));
    dbk_buffer_release(&line);
    return good && dbk_out_flush();
}

int dbk_cli_fail(const dbk_error *err, int status)
{
    dbk_out_flush();
    if (failures_as_json && tell_in_json(err)) return status;
    put_message("daybook:", "1;31", err->text[0] ? err->text : dbk_result_text(err->code));
    if (err->hint[0]) put_message("hint:", "1", err->hint);
    return status;
}

int dbk_cli_usage(const dbk_cli *cli, const char *format, ...)
{
    dbk_error err = {.code = DBK_USAGE};
    va_list args;
    va_start(args, format);
    vsnprintf(err.text, sizeof err.text, format, args);
    va_end(args);
    dbk_error_hint(&err, "usage: daybook %s%s%s", cli->command->name, *cli->command->usage ? " " : "",
                   cli->command->usage);
    return dbk_cli_fail(&err, DBK_EXIT_USAGE);
}

int dbk_cli_wrong(const dbk_cli *cli, const dbk_error *err)
{
    return err->code == DBK_USAGE ? dbk_cli_usage(cli, "%s", err->text) : dbk_cli_fail(err, DBK_EXIT_FAILED);
}

dbk_result dbk_cli_put_word(dbk_buffer *request, dbk_json_parser *parser, dbk_slice word, dbk_error *err)
{
    const dbk_json_node *root = NULL;
    dbk_result result = dbk_json_parse(parser, word, &root, NULL);
    if (result == DBK_NO_MEMORY) return dbk_fail(err, result, "no memory for a value"); /* which may be JSON */
    if (result == DBK_OK) dbk_json_put_minimal(request, root);
    else dbk_json_put_string(request, word);
    return DBK_OK;
}

void dbk_cli_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void dbk_out(dbk_slice text)
{
    if (text.size) fwrite(text.data, 1, text.size, stdout);
}

void dbk_out_line(dbk_slice text)
{
    dbk_out(text);
    putchar('\n');
}

void dbk_out_lacks_memory(void)
{
    lacks_memory = true;
}

bool dbk_out_built(const dbk_buffer *text)
{
    if (text->failed) lacks_memory = true;
    else dbk_out(dbk_buffer_slice(text));
    return !text->failed;
}

bool dbk_out_built_line(const dbk_buffer *text)
{
    bool good = dbk_out_built(text);
    if (good) putchar('\n');
    return good;
}

/* U+0080 to U+009F: some terminals take them for escape sequences. */
static bool is_c1(dbk_slice text, size_t i)
{
    return text.data[i] == 0xc2 && i + 1 < text.size && text.data[i + 1] >= 0x80 && text.data[i + 1] <= 0x9f;
}

void dbk_out_shown(dbk_slice text, bool terminal)
{
    if (!terminal) return dbk_out(text);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c < ' ' || c == 0x7f) printf("\\x%02x", c);
        else if (is_c1(text, i)) printf("\\x%02x", text.data[++i]);
        else putchar(c);
    }
}

bool dbk_out_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    if (errno != EPIPE && !write_failure_said && errno != 0) {
        write_failure_said = true;
        dbk_cli_note("daybook: cannot write to stdout: %s", strerror(errno));
    }
    return false;
}

int dbk_out_finish(int status)
{
    dbk_error err = {0};
    (void)dbk_fail(&err, DBK_NO_MEMORY, "no memory for all that was to be shown");
    if (lacks_memory && status == DBK_EXIT_DONE) status = dbk_cli_fail(&err, DBK_EXIT_FAILED);
    else if (lacks_memory) put_message("daybook:", "1;31", err.text); /* that it failed is said already */
    errno = 0;
    (void)dbk_out_flush();
    return status == DBK_EXIT_DONE && write_failure_said ? DBK_EXIT_FAILED : status;
}

/* ---- rows */

/* Columns that dbk_out_shown takes for it on a terminal. */
static size_t shown_width(dbk_slice text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c < ' ' || c == 0x7f || is_c1(text, i)) width += 4;
        else width += (c & 0xc0) != 0x80;
        i += is_c1(text, i);
    }
    return width;
}

static dbk_slice cell_text(const dbk_json_node *cell)
{
    switch ((dbk_json_kind)cell->kind) {
    case DBK_JSON_NULL: return (dbk_slice){NULL, 0};
    case DBK_JSON_TRUE: return dbk_slice_text("true");
    case DBK_JSON_FALSE: return dbk_slice_text("false");
    default: return cell->text;
    }
}

static void put_csv(dbk_slice text)
{
    bool quote = false;
    for (size_t i = 0; i < text.size; i++) quote = quote || memchr("\",\r\n", text.data[i], 4) != NULL;
    if (!quote) return dbk_out(text);
    putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"') putchar('"');
        putchar(text.data[i]);
    }
    putchar('"');
}

/* A tab or line end within a value would look like the next column or row. */
static void put_tabs(dbk_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\t') fputs("\\t", stdout);
        else if (text.data[i] == '\n') fputs("\\n", stdout);
        else if (text.data[i] == '\\') fputs("\\\\", stdout);
        else putchar(text.data[i]);
    }
}

static void put_padded(const dbk_json_node *cell, dbk_slice text, size_t width, bool last)
{
    size_t own = shown_width(text), pad = own < width ? width - own : 0;
    bool right = cell->kind == DBK_JSON_NUMBER;
    if (right) printf("%*s", (int)pad, "");
    dbk_out_shown(text, true);
    if (!right && !last) printf("%*s", (int)pad, "");
    if (!last) fputs("  ", stdout);
}

static void put_row(const dbk_json_node *row, dbk_out_form form, const size_t *widths)
{
    const dbk_json_node *cell = row + 1;
    for (uint32_t i = 0; i < row->count; i++, cell = dbk_json_next(cell)) {
        dbk_slice text = cell_text(cell);
        if (form == DBK_OUT_TABLE) {
            put_padded(cell, text, widths[i], i + 1 == row->count);
            continue;
        }
        if (i > 0) putchar(form == DBK_OUT_CSV ? ',' : '\t');
        if (form == DBK_OUT_CSV) put_csv(text);
        else put_tabs(text);
    }
    putchar('\n');
}

static void measure(const dbk_json_node *row, size_t *widths, uint32_t columns)
{
    const dbk_json_node *cell = row + 1;
    for (uint32_t i = 0; i < row->count && i < columns; i++, cell = dbk_json_next(cell)) {
        size_t width = shown_width(cell_text(cell));
        if (width > widths[i]) widths[i] = width;
    }
}

static void put_rule(const size_t *widths, uint32_t columns)
{
    for (uint32_t i = 0; i < columns; i++) {
        for (size_t w = 0; w < widths[i]; w++) putchar('-');
        if (i + 1 < columns) fputs("  ", stdout);
    }
    putchar('\n');
}

dbk_result dbk_out_rows(const dbk_port *port, const dbk_json_node *answer, dbk_out_form form, dbk_error *err)
{
    const dbk_json_node *columns = dbk_json_member(answer, "columns"), *rows = dbk_json_member(answer, "rows");
    if (!columns || !rows || columns->kind != DBK_JSON_ARRAY || rows->kind != DBK_JSON_ARRAY)
        return dbk_fail(err, DBK_INTERNAL, "an answer without rows");
    size_t *widths = dbk_alloc_zero(port, columns->count + 1, sizeof *widths);
    if (!widths) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the table");
    const dbk_json_node *row = rows + 1;
    measure(columns, widths, columns->count);
    for (uint32_t i = 0; i < rows->count; i++, row = dbk_json_next(row)) {
        if (row->kind != DBK_JSON_ARRAY || row->count != columns->count) {
            dbk_free(port, widths);
            return dbk_fail(err, DBK_INTERNAL, "a row that does not fit the columns");
        }
        measure(row, widths, columns->count);
    }
    put_row(columns, form, widths);
    if (form == DBK_OUT_TABLE) put_rule(widths, columns->count);
    row = rows + 1;
    for (uint32_t i = 0; i < rows->count && !ferror(stdout); i++, row = dbk_json_next(row)) put_row(row, form, widths);
    dbk_free(port, widths);
    return DBK_OK;
}

/* ---- members */

enum { PATH_SIZE = 96, NAME_WIDTH = 28 };

static void put_members(const dbk_json_node *object, const char *prefix)
{
    bool terminal = dbk_terminal_is(stdout);
    const dbk_json_node *member = dbk_json_child(object);
    for (uint32_t i = 0; i < object->count; i++, member = dbk_json_next(member)) {
        char path[PATH_SIZE];
        snprintf(path, sizeof path, "%s%s%.*s", prefix, *prefix ? "." : "", DBK_SLICE_ARG(member->name));
        if (!*prefix && dbk_slice_equal(member->name, dbk_slice_text("ok"))) continue;
        if (member->kind == DBK_JSON_OBJECT) {
            put_members(member, path);
            continue;
        }
        printf("%-*s ", NAME_WIDTH, path);
        dbk_slice text = cell_text(member);
        dbk_out_shown(text, terminal);
        putchar('\n');
    }
}

void dbk_out_members(const dbk_json_node *object)
{
    if (object->kind == DBK_JSON_OBJECT) put_members(object, "");
}
