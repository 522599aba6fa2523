/* A row as a line of an archive: what is said of it, and the row itself.
 *
 *   .ndjson   {"time":…,"id":…,"rule":…,"table":…,"key":…,"entry":…,"row":{…}}
 *   .csv      the same as fields (RFC 4180), the row as one field for each column
 *
 * The time stands first, so that what is behind the first comma is equal for two lines of one row as it was. */
#include "store/archive.h"

static const char names[][8] = {"time", "id", "rule", "table", "key", "entry"};

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for lines of an archive");
}

void dbk_archive_piece_init(dbk_archive_piece *piece, dbk_engine *engine, const dbk_retention_rule *rule,
                            int64_t now_ms)
{
    *piece = (dbk_archive_piece){.rule = rule, .parser = engine->parser, .now_ms = now_ms};
    dbk_buffer_init(&piece->row, engine->port);
    dbk_buffer_init(&piece->lines, engine->port);
    dbk_buffer_init(&piece->marks, engine->port);
}

void dbk_archive_piece_release(dbk_archive_piece *piece)
{
    dbk_buffer_release(&piece->row);
    dbk_buffer_release(&piece->lines);
    dbk_buffer_release(&piece->marks);
}

void dbk_archive_piece_clear(dbk_archive_piece *piece)
{
    dbk_buffer_clear(&piece->lines);
    dbk_buffer_clear(&piece->marks);
}

void dbk_archive_digest(dbk_slice line, uint8_t out[DBK_ARCHIVE_DIGEST_SIZE])
{
    const uint8_t *comma = line.size ? memchr(line.data, ',', line.size) : NULL;
    size_t begin = comma ? (size_t)(comma - line.data) : 0;

    dbk_digest(DBK_DIGEST_ROW, dbk_slice_of(line.data + begin, line.size - begin), out, DBK_ARCHIVE_DIGEST_SIZE);
}

/* ---- .csv */

/* An empty text is "" and no value nothing. */
static void put_field(dbk_buffer *out, dbk_slice text)
{
    bool quoted = text.size == 0;

    for (size_t i = 0; i < text.size; i++) quoted = quoted || memchr("\",\r\n", text.data[i], 4) != NULL;
    if (!quoted) {
        dbk_buffer_put_slice(out, text);
        return;
    }
    dbk_buffer_put_u8(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"') dbk_buffer_put_u8(out, '"');
        dbk_buffer_put_u8(out, text.data[i]);
    }
    dbk_buffer_put_u8(out, '"');
}

/* The size of the value that `json` begins with. It was written by the engine, so only texts and brackets count; the
 * parser has limits that a column need not keep. */
static size_t value_size(dbk_slice json)
{
    bool text = false;
    size_t depth = 0, at = 0;

    for (; at < json.size; at++) {
        uint8_t c = json.data[at];
        if (text) {
            if (c == '\\') at++;
            else if (c == '"') text = false;
        } else if (c == '"') {
            text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']' || c == ',') && depth == 0) {
            break;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return at < json.size ? at : json.size;
}

static dbk_result put_value(dbk_archive_piece *piece, dbk_slice value, dbk_error *err)
{
    const dbk_json_node *root;

    if (value.size == 0 || value.data[0] != '"') {
        if (!dbk_slice_equal(value, dbk_slice_text("null"))) put_field(&piece->lines, value);
        return DBK_OK;
    }
    dbk_result result = dbk_json_parse(piece->parser, value, &root, err);
    if (result == DBK_OK) put_field(&piece->lines, root->text);
    return result;
}

/* The members of the row in their order: one for each column of the table. */
static dbk_result put_columns(dbk_archive_piece *piece, dbk_error *err)
{
    dbk_slice rest = dbk_buffer_slice(&piece->row);
    dbk_result result = DBK_OK;

    for (uint16_t i = 0; result == DBK_OK && i < piece->rule->table->column_count; i++) {
        size_t name = strlen(piece->rule->table->columns[i].name) + sizeof "{\"\":" - 1; /* or a comma in front */
        if (rest.size < name) return dbk_fail(err, DBK_INTERNAL, "a row without all its columns");
        rest = dbk_slice_of(rest.data + name, rest.size - name);
        size_t size = value_size(rest);
        dbk_buffer_put_u8(&piece->lines, ',');
        result = put_value(piece, dbk_slice_of(rest.data, size), err);
        rest = dbk_slice_of(rest.data + size, rest.size - size);
    }
    return result;
}

void dbk_archive_put_header(const dbk_retention_rule *rule, dbk_buffer *out)
{
    if (!rule->archive_csv) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        dbk_buffer_printf(out, "%sdaybook.%s", i ? "," : "", names[i]);
    for (uint16_t i = 0; i < rule->table->column_count; i++) {
        dbk_buffer_put_u8(out, ',');
        dbk_buffer_put_text(out, rule->table->columns[i].name);
    }
    dbk_buffer_put_text(out, "\r\n");
}

/* The key as its text, of several columns as JSON. */
static dbk_result put_key(dbk_archive_piece *piece, dbk_slice key, dbk_error *err)
{
    dbk_buffer text;
    dbk_result result = DBK_OK;

    dbk_buffer_init(&text, piece->lines.port);
    dbk_key_to_json(piece->rule->table, key, &text);
    if (text.failed) result = no_memory(err);
    else result = put_value(piece, dbk_buffer_slice(&text), err);
    dbk_buffer_release(&text);
    return result;
}

static dbk_result put_csv(dbk_archive_piece *piece, const char *time, dbk_slice key, dbk_slice id, const char *base,
                          dbk_error *err)
{
    dbk_buffer *out = &piece->lines;

    dbk_buffer_printf(out, "%s,", time);
    put_field(out, id);
    dbk_buffer_printf(out, ",%s,%s,", piece->rule->name, piece->rule->table->name);
    dbk_result result = put_key(piece, key, err);
    dbk_buffer_printf(out, ",%s", base);
    if (result == DBK_OK) result = put_columns(piece, err);
    dbk_buffer_put_text(out, "\r\n");
    return result;
}

/* ---- .ndjson */

static void put_json(dbk_archive_piece *piece, const char *time, dbk_slice key, dbk_slice id, const char *base)
{
    dbk_buffer *out = &piece->lines;

    dbk_buffer_printf(out, "{\"time\":\"%s\",\"id\":", time);
    dbk_json_put_string(out, id);
    dbk_buffer_printf(out, ",\"rule\":\"%s\",\"table\":\"%s\",\"key\":", piece->rule->name, piece->rule->table->name);
    dbk_key_to_json(piece->rule->table, key, out);
    if (base[0]) dbk_buffer_printf(out, ",\"entry\":\"%s\",\"row\":", base);
    else dbk_buffer_put_text(out, ",\"entry\":null,\"row\":");
    dbk_buffer_put_slice(out, dbk_buffer_slice(&piece->row));
    dbk_buffer_put_text(out, "}\n");
}

dbk_result dbk_archive_piece_add(dbk_archive_piece *piece, dbk_slice key, dbk_slice id, const char *base,
                                 dbk_error *err)
{
    char time[DBK_TIME_TEXT_SIZE];
    dbk_archive_mark mark = {.size = piece->lines.size};
    dbk_result result = DBK_OK;

    dbk_time_rfc3339(piece->now_ms, time);
    if (piece->rule->archive_csv) result = put_csv(piece, time, key, id, base, err);
    else put_json(piece, time, key, id, base);
    if (result != DBK_OK) return result;
    if (piece->lines.failed) return no_memory(err);
    size_t begin = (size_t)mark.size;
    mark.size = piece->lines.size - begin;
    dbk_archive_digest(dbk_slice_of(piece->lines.data + begin, (size_t)mark.size), mark.digest);
    dbk_buffer_put(&piece->marks, &mark, sizeof mark);
    return piece->marks.failed ? no_memory(err) : DBK_OK;
}
