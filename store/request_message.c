/* A message with requests in it, as a sender gave it: one, or an array with commands between them. */
#include "store/request.h"

static dbk_result answer_element(dbk_engine *engine, dbk_json_parser *parser, dbk_slice text, dbk_buffer *out,
                                 dbk_error *err)
{
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(parser, text, &root, err);
    if (result != DBK_OK) return result;
    if (dbk_request_is(root)) return dbk_request_answer(engine, root, out, err);
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, engine->port);
    result = dbk_engine_decide(engine, &text, 1, dbk_engine_now(engine), &receipt, err);
    dbk_request_put_receipt(out, &receipt);
    dbk_buffer_release(&receipt);
    return result;
}

static void refuse(dbk_engine *engine, dbk_result result, dbk_error *error, dbk_buffer *out)
{
    error->code = result;
    dbk_receipt_refused(engine, (dbk_slice){NULL, 0}, error, (dbk_slice){NULL, 0}, false, out);
}

/* What fails is refused in its place; the next element has its turn all the same. */
static void answer_or_refuse(dbk_engine *engine, dbk_json_parser *parser, dbk_slice text, dbk_buffer *out)
{
    dbk_error error = {0};
    size_t begin = out->size;
    dbk_result result = answer_element(engine, parser, text, out, &error);
    if (result == DBK_OK || out->failed) return;
    out->size = begin;
    refuse(engine, result, &error, out);
}

/* One after the other, in order: a request sees what the commands before it wrote. */
static void answer_elements(dbk_engine *engine, dbk_json_parser *parser, const dbk_json_node *array, dbk_buffer *out)
{
    const dbk_json_node *child = array + 1;
    dbk_error error = {0};
    dbk_buffer one;
    dbk_buffer_init(&one, engine->port);
    dbk_buffer_put_u8(out, '[');
    for (uint32_t i = 0; i < array->count; i++, child = dbk_json_next(child)) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_buffer_clear(&one);
        dbk_json_put_minimal(&one, child);
        if (one.failed) refuse(engine, dbk_fail(&error, DBK_NO_MEMORY, "no memory for a request"), &error, out);
        else answer_or_refuse(engine, parser, dbk_buffer_slice(&one), out);
    }
    dbk_buffer_put_u8(out, ']');
    dbk_buffer_release(&one);
}

dbk_result dbk_request_answer_all(dbk_engine *engine, dbk_slice text, dbk_buffer *out, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_result result = DBK_NO_MEMORY;
    dbk_json_parser *parser = dbk_json_parser_new(engine->port);
    dbk_json_parser *inner = dbk_json_parser_new(engine->port); /* the array stays in the other */
    if (!parser || !inner) (void)dbk_fail(err, DBK_NO_MEMORY, "no memory to answer");
    else result = dbk_json_parse(parser, text, &root, err);
    if (result == DBK_OK && root->kind == DBK_JSON_ARRAY) answer_elements(engine, inner, root, out);
    else if (result == DBK_OK) answer_or_refuse(engine, inner, text, out);
    dbk_json_parser_free(parser);
    dbk_json_parser_free(inner);
    return result;
}
