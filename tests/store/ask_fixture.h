/* One request to an engine, and what it says. */
#ifndef DBK_TESTS_ASK_FIXTURE_H
#define DBK_TESTS_ASK_FIXTURE_H

#include "store/engine.h"
#include "tests/store/engine_fixture.h"

/* The answer, or "error: text"; the caller's to free. */
static inline char *ask_of(dbk_engine *engine, const char *request)
{
    const dbk_json_node *root;
    dbk_buffer answer;
    dbk_error error = {0};
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    dbk_buffer_init(&answer, dbk_port_system());
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(request), &root, NULL), DBK_OK);
    dbk_result result = dbk_request_answer(engine, root, &answer, &error);
    if (result != DBK_OK) {
        dbk_buffer_clear(&answer);
        dbk_buffer_printf(&answer, "%s: %s", dbk_result_wire_name(result), error.text);
    }
    dbk_json_parser_free(parser);
    assert_non_null(dbk_buffer_text(&answer));
    return (char *)answer.data;
}

#endif
