/* Any JSON as a value of each declared type, and as a key. What is taken comes out as JSON that goes in again as the
 * same; what is refused says why, and leaves nothing. */
#include <stdlib.h>

#include "projector/rows/internal.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

typedef struct bench {
    dbk_json_parser *parser, *again;
    dbk_buffer made, out, other;
} bench;

static void put(bench *b, const dbk_column *column, const dbk_json_node *value, dbk_buffer *out, dbk_result *result)
{
    dbk_cell cell;
    dbk_error err = {0};
    dbk_buffer_clear(&b->made);
    dbk_buffer_clear(out);
    *result = dbk_cell_of_json(column, "t", value, &b->made, &cell, &err);
    REQUIRE(*result == DBK_OK || (err.text[0] && dbk_utf8_valid(dbk_slice_text(err.text))));
    if (*result == DBK_OK) dbk_cell_out(column, &cell, &b->made, out);
    REQUIRE(!b->made.failed && !out->failed);
}

static void check_value(bench *b, dbk_column_type type, const dbk_json_node *value)
{
    static const char *const declared[] = {"TEXT", "INTEGER", "REAL", "BOOLEAN", "DATETIME",
                                           "UUID", "JSON",    "BLOB", ""};
    dbk_column column = {.name = "c", .type = type, .declared = declared[type], .real_affinity = type == DBK_TYPE_REAL};
    const dbk_json_node *root;
    dbk_result result;
    put(b, &column, value, &b->out, &result);
    if (result != DBK_OK) return;
    REQUIRE(dbk_json_parse(b->again, dbk_buffer_slice(&b->out), &root, NULL) == DBK_OK);
    put(b, &column, root, &b->other, &result);
    REQUIRE(result == DBK_OK && dbk_slice_equal(dbk_buffer_slice(&b->out), dbk_buffer_slice(&b->other)));
}

static void check_key(bench *b, dbk_column_type one, dbk_column_type other, const dbk_json_node *value)
{
    dbk_column columns[2] = {{.name = "a", .type = one, .declared = "", .not_null = true, .key_part = 1},
                             {.name = "b", .type = other, .declared = "", .not_null = true, .key_part = 2}};
    uint16_t keys[2] = {0, 1};
    bool pair = value->kind == DBK_JSON_ARRAY;
    dbk_table table = {
        .name = "t", .columns = columns, .column_count = 2, .key_count = pair ? 2 : 1, .key_columns = keys};
    dbk_error err = {0};
    const dbk_json_node *root;
    dbk_result result = dbk_key_from_json(&table, value, &b->out, &err);
    REQUIRE(result == DBK_OK || err.text[0]);
    if (result != DBK_OK) return;
    dbk_buffer_clear(&b->other);
    dbk_key_to_json(&table, dbk_buffer_slice(&b->out), &b->other);
    REQUIRE(dbk_json_parse(b->again, dbk_buffer_slice(&b->other), &root, NULL) == DBK_OK);
    REQUIRE(dbk_key_from_json(&table, root, &b->made, NULL) == DBK_OK);
    REQUIRE(dbk_slice_equal(dbk_buffer_slice(&b->out), dbk_buffer_slice(&b->made)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const dbk_port *port = dbk_port_system();
    bench b = {.parser = dbk_json_parser_new(port), .again = dbk_json_parser_new(port)};
    const dbk_json_node *value;
    REQUIRE(b.parser && b.again);
    dbk_buffer_init(&b.made, port);
    dbk_buffer_init(&b.out, port);
    dbk_buffer_init(&b.other, port);
    if (dbk_json_parse(b.parser, dbk_slice_of(data, size), &value, NULL) == DBK_OK) {
        for (int type = DBK_TYPE_TEXT; type <= DBK_TYPE_ANY; type++) check_value(&b, (dbk_column_type)type, value);
        check_key(&b, DBK_TYPE_TEXT, DBK_TYPE_INTEGER, value);
        check_key(&b, DBK_TYPE_INTEGER, DBK_TYPE_TEXT, value);
        check_key(&b, DBK_TYPE_UUID, DBK_TYPE_DATETIME, value);
    }
    dbk_buffer_release(&b.made);
    dbk_buffer_release(&b.out);
    dbk_buffer_release(&b.other);
    dbk_json_parser_free(b.parser);
    dbk_json_parser_free(b.again);
    return 0;
}
