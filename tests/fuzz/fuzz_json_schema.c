/* Any bytes as a schema, a line "===", and any bytes as a value. Findings are inside the text and UTF-8; a schema
 * is made exactly when there are none; a judgement is an answer with well-formed errors, the same twice. */
#include <stdlib.h>

#include "projector/json_schema.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

typedef struct seen {
    size_t size, faults;
} seen;

static void note(void *arg, size_t offset, size_t size, const char *text, const char *advice)
{
    seen *s = arg;
    REQUIRE(offset <= s->size && text[0] && dbk_utf8_valid(dbk_slice_text(text)));
    REQUIRE(!advice || dbk_utf8_valid(dbk_slice_text(advice)));
    (void)size;
    s->faults++;
}

static void judge(const dbk_json_schema *schema, const dbk_json_node *value)
{
    dbk_buffer one, other;
    dbk_error err = {0};
    const dbk_json_node *root;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    dbk_buffer_init(&one, dbk_port_system());
    dbk_buffer_init(&other, dbk_port_system());
    dbk_result result = dbk_json_schema_judge(schema, value, &one, &err);
    REQUIRE(result == DBK_OK || (result == DBK_SCHEMA && err.text[0]));
    REQUIRE(dbk_json_schema_judge(schema, value, &other, NULL) == result);
    REQUIRE(dbk_slice_equal(dbk_buffer_slice(&one), dbk_buffer_slice(&other)));
    REQUIRE(parser && dbk_json_parse(parser, dbk_buffer_slice(&one), &root, NULL) == DBK_OK);
    REQUIRE((root->count > 0) == (result == DBK_SCHEMA));
    dbk_buffer_release(&one);
    dbk_buffer_release(&other);
    dbk_json_parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char border[] = "\n===\n";
    size_t at = 0;
    while (at + 5 <= size && memcmp(data + at, border, 5) != 0) at++;
    if (at + 5 > size) at = size;
    seen s = {.size = at};
    dbk_json_schema *schema = NULL;
    const dbk_json_node *value;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    const dbk_json_schema_document beside = {
        "b.json",
        dbk_slice_text(
            "{\"definitions\":{\"a\":{\"$ref\":\"a.json\"},\"s\":{\"$ref\":\"#\"}},\"items\":{\"type\":\"null\"}}")};
    const dbk_json_schema_options options = {.uri = "a.json", .documents = &beside, .document_count = 1};
    dbk_result result =
        dbk_json_schema_new(dbk_port_system(), dbk_slice_of(data, at), &options, note, &s, &schema, NULL);
    REQUIRE(parser && (result == DBK_OK) == (schema != NULL) && (s.faults > 0) == (result != DBK_OK));
    if (schema && at < size &&
        dbk_json_parse(parser, dbk_slice_of(data + at + 5, size - at - 5), &value, NULL) == DBK_OK)
        judge(schema, value);
    dbk_json_schema_free(schema);
    dbk_json_parser_free(parser);
    return 0;
}
