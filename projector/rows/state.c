/* What a table's rules refuse or mend in a decision: states, texts, sizes. */
#include "projector/rows/rules.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- states */

static bool is_state(const char *state, bool null, dbk_slice text)
{
    return state ? !null && dbk_slice_equal(dbk_slice_text(state), text) : null;
}

static void put_state(dbk_buffer *out, const char *state)
{
    if (state) dbk_buffer_printf(out, "'%s'", state);
    else dbk_buffer_put_text(out, "no value");
}

/* "'a', 'b' or 'c'" */
static void put_choice(dbk_buffer *out, size_t at, size_t count, const char *state)
{
    if (at > 0) dbk_buffer_put_text(out, at + 1 == count ? " or " : ", ");
    put_state(out, state);
}

static dbk_result refuse(const dbk_decision *change, const dbk_machine *machine, const char *text, dbk_buffer *allowed,
                         dbk_error *err)
{
    const char *list = dbk_buffer_text(allowed);
    dbk_result result = list ? dbk_fail(err, DBK_REJECTED, "'%s.%s' %s: %s", change->table->name,
                                        change->table->columns[machine->column].name, text, list)
                             : dbk_row_no_memory(err);
    dbk_buffer_release(allowed);
    return result;
}

static dbk_result check_start(const dbk_decision *change, const dbk_machine *machine, dbk_error *err)
{
    const dbk_row_work *work = change->model->work;
    const dbk_cell *cell = &work->cells[machine->column];
    bool null = cell->type == SQLITE_NULL;
    dbk_slice text = null ? (dbk_slice){NULL, 0} : dbk_cell_bytes(cell, &work->made);
    dbk_buffer allowed;
    char begin[160];

    for (size_t i = 0; i < machine->start_count; i++)
        if (is_state(machine->start[i], null, text)) return DBK_OK;
    dbk_buffer_init(&allowed, change->model->port);
    dbk_buffer_put_text(&allowed, "a new row begins as ");
    for (size_t i = 0; i < machine->start_count; i++) put_choice(&allowed, i, machine->start_count, machine->start[i]);
    (void)snprintf(begin, sizeof(begin), null ? "cannot begin without a value" : "cannot begin as '%.*s'",
                   (int)(text.size < 80 ? text.size : 80), text.data ? (const char *)text.data : "");
    return refuse(change, machine, begin, &allowed, err);
}

dbk_result dbk_row_check_start(const dbk_decision *change, dbk_error *err)
{
    const dbk_rules *rules = change->table->rules;

    for (size_t i = 0; i < rules->machine_count; i++) {
        dbk_result result = check_start(change, &rules->machines[i], err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

typedef struct state {
    bool null;
    dbk_slice text;
} state;

static size_t count_moves(const dbk_machine *machine, state from)
{
    size_t count = 0;

    for (size_t i = 0; i < machine->move_count; i++) count += is_state(machine->moves[i].from, from.null, from.text);
    return count;
}

static void put_quoted(char *out, size_t size, state s)
{
    (void)snprintf(out, size, s.null ? "no value" : "'%.*s'", (int)(s.text.size < 60 ? s.text.size : 60),
                   s.text.data ? (const char *)s.text.data : "");
}

static dbk_result refuse_move(const dbk_decision *change, const dbk_machine *machine, state from, state to,
                              dbk_error *err)
{
    size_t count = count_moves(machine, from), at = 0;
    char names[2][72], text[200];
    dbk_buffer allowed;

    put_quoted(names[0], sizeof(names[0]), from);
    put_quoted(names[1], sizeof(names[1]), to);
    (void)snprintf(text, sizeof(text), "cannot go from %s to %s", names[0], names[1]);
    dbk_buffer_init(&allowed, change->model->port);
    dbk_buffer_printf(&allowed, count ? "from %s it goes to " : "%s is final", names[0]);
    for (size_t i = 0; i < machine->move_count; i++)
        if (is_state(machine->moves[i].from, from.null, from.text))
            put_choice(&allowed, at++, count, machine->moves[i].to);
    return refuse(change, machine, text, &allowed, err);
}

static dbk_result check_move(const dbk_decision *change, const dbk_machine *machine, sqlite3_stmt *row, dbk_error *err)
{
    const dbk_row_work *work = change->model->work;
    const dbk_cell *cell = &work->cells[machine->column];
    state from = {.null = sqlite3_column_type(row, machine->column) == SQLITE_NULL},
          to = {.null = cell->type == SQLITE_NULL};

    if (!to.null) to.text = dbk_cell_bytes(cell, &work->made);
    const void *bytes = sqlite3_column_blob(row, machine->column);
    from.text = dbk_slice_of(bytes, (size_t)sqlite3_column_bytes(row, machine->column));
    for (size_t i = 0; i < machine->move_count; i++)
        if (is_state(machine->moves[i].from, from.null, from.text) && is_state(machine->moves[i].to, to.null, to.text))
            return DBK_OK;
    return refuse_move(change, machine, from, to, err);
}

dbk_result dbk_row_check_moves(const dbk_decision *change, sqlite3_stmt *row, const dbk_mask *changed, dbk_error *err)
{
    const dbk_rules *rules = change->table->rules;

    for (size_t i = 0; i < rules->machine_count; i++) {
        if (!dbk_mask_has(changed, rules->machines[i].column)) continue;
        dbk_result result = check_move(change, &rules->machines[i], row, err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

/* ---- texts */

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Control characters but tab and the ends of lines: one byte, or U+0080 to U+009F as two. */
static size_t control_size(dbk_slice text, size_t at)
{
    uint8_t c = text.data[at];

    if (c == 0x7f || (c < 0x20 && c != '\t' && c != '\n' && c != '\r')) return 1;
    return c == 0xc2 && at + 1 < text.size && text.data[at + 1] < 0xa0 ? 2 : 0;
}

static void strip(dbk_buffer *out, dbk_slice text, uint8_t flags)
{
    bool dot = false; /* what was put last: it and another one become '_' */

    for (size_t at = 0, size; at < text.size; at += size) {
        uint8_t c = text.data[at];
        size_t control = flags & DBK_SANITIZE_CONTROL ? control_size(text, at) : 0;
        size = control ? control : 1;
        if (control) continue;
        if ((flags & DBK_SANITIZE_TRAVERSAL) && c == '.' && dot) {
            out->data[out->size - 1] = '_';
            dot = false;
            continue;
        }
        bool slash = (flags & DBK_SANITIZE_TRAVERSAL) && (c == '/' || c == '\\');
        dbk_buffer_put_u8(out, slash ? '_' : c);
        dot = c == '.' && !out->failed;
    }
}

static dbk_slice trim(dbk_slice text)
{
    while (text.size && is_blank(text.data[text.size - 1])) text.size--;
    while (text.size && is_blank(*text.data)) text = dbk_slice_of(text.data + 1, text.size - 1);
    return text;
}

/* Some characters are three times as long in form C: a text that grows may be no longer than a command that brings it,
 * or no query could answer with it.
 *
 * Characters that go do so first, so that what then stands side by side is seen as such: dots, marks, blanks at an
 * end. Then cleaning twice is cleaning once. */
static dbk_result clean(dbk_row_work *work, const dbk_column *column, dbk_cell *cell, uint8_t flags, dbk_error *err)
{
    enum { KEPT_BYTES = 64 << 10, GROWN_MAX_BYTES = 1 << 20 };
    size_t from = work->made.size;

    dbk_buffer_clear(&work->scratch); /* the cell may stand in `made`, which moves as it grows */
    strip(&work->scratch, dbk_cell_bytes(cell, &work->made), flags);
    if (work->scratch.failed) return dbk_row_no_memory(err);
    dbk_slice text = dbk_buffer_slice(&work->scratch);
    if (flags & DBK_SANITIZE_TRIM) text = trim(text);
    bool still = !(flags & DBK_SANITIZE_NFC) || dbk_utf8_is_still(text);
    if (still) dbk_buffer_put_slice(&work->made, text);
    bool good = still || dbk_utf8_compose(&work->made, text, &work->wide);
    if (dbk_never(!good)) return dbk_fail(err, DBK_SCHEMA, "the text of '%s' is no UTF-8", column->name);
    dbk_buffer_relax(&work->wide, KEPT_BYTES);
    if (work->made.failed) return dbk_row_no_memory(err);
    size_t size = work->made.size - from;
    if (size > text.size && size > GROWN_MAX_BYTES)
        return dbk_fail(err, DBK_TOO_BIG, "'%s' is %zu bytes in normalisation form C, over %d", column->name, size,
                        GROWN_MAX_BYTES);
    *cell = dbk_cell_of_made(&work->made, from);
    return DBK_OK;
}

dbk_result dbk_row_sanitize(dbk_decision *change, dbk_error *err)
{
    const dbk_table *table = change->table;
    const uint8_t *flags = table->rules->sanitize;
    dbk_row_work *work = change->model->work;

    for (uint16_t i = 0; flags && i < table->column_count; i++) {
        if (!flags[i] || !work->values[i] || work->cells[i].type != SQLITE_TEXT) continue;
        dbk_result result = clean(work, &table->columns[i], &work->cells[i], flags[i], err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

/* ---- sizes */

dbk_result dbk_row_check_size(dbk_decision *change, sqlite3_stmt *row, const dbk_mask *changed, dbk_error *err)
{
    const dbk_table *table = change->table;
    dbk_row_work *work = change->model->work;
    dbk_buffer *text = &work->scratch;
    uint64_t most = table->rules->max_row;

    if (!most) return DBK_OK;
    dbk_buffer_clear(text);
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].key_part) continue;
        dbk_row_put_member(text, table->columns[i].name);
        if (!row || dbk_mask_has(changed, i)) dbk_cell_out(&table->columns[i], &work->cells[i], &work->made, text);
        else dbk_value_out(table->columns[i].type, sqlite3_column_value(row, i), true, text);
    }
    if (text->failed) return dbk_row_no_memory(err);
    if (text->size <= most) return DBK_OK;
    (void)dbk_fail(err, DBK_TOO_BIG, "'%.*s' would have %zu bytes, over the %" PRIu64 " of 'max_row'",
                   DBK_SLICE_ARG(change->stream), text->size, most);
    dbk_error_hint(err, "keep big contents in a file and its name in the row");
    return DBK_TOO_BIG;
}
