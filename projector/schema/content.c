/* contentEncoding and contentMediaType: a text that carries bytes, or JSON. The draft has them as notes; here they
 * judge, as `format` does, so what cannot be judged is refused in a schema: other encodings than base64, other types
 * than JSON. */
#include "projector/schema/internal.h"

bool dbk_schema_content_known(const dbk_json_node *keyword)
{
    bool encoding = dbk_slice_equal(keyword->name, dbk_slice_text("contentEncoding"));

    return keyword->kind == DBK_JSON_STRING && dbk_json_text_is(keyword, encoding ? "base64" : "application/json");
}

static bool judge_json(dbk_judgement *j, dbk_slice text)
{
    const dbk_json_node *root;
    dbk_error err = {0};
    dbk_json_parser *parser = dbk_json_parser_new(j->schema->port);
    dbk_result result = DBK_NO_MEMORY;

    if (parser) result = dbk_json_parse(parser, text, &root, &err);
    dbk_json_parser_free(parser);
    j->failed |= result == DBK_NO_MEMORY;
    return result == DBK_OK || dbk_judgement_wrong(j, "holds no JSON: %s", err.text);
}

bool dbk_schema_content(dbk_judgement *j, const dbk_json_node *schema, const dbk_json_node *value)
{
    const dbk_json_node *encoding = dbk_json_member(schema, "contentEncoding"),
                        *type = dbk_json_member(schema, "contentMediaType");
    dbk_buffer bytes;
    bool fits = true;

    if (value->kind != DBK_JSON_STRING || (!encoding && !type)) return true;
    if ((encoding && !dbk_schema_content_known(encoding)) || (type && !dbk_schema_content_known(type))) return true;
    if (!dbk_judgement_spend(j, 10 + value->text.size / 16)) return false;
    dbk_buffer_init(&bytes, j->schema->port);
    if (encoding) fits = dbk_base64_decode(&bytes, value->text);
    if (bytes.failed) j->failed = true;
    else if (!fits) (void)dbk_judgement_wrong(j, "is not base64");
    else if (type) fits = judge_json(j, encoding ? dbk_buffer_slice(&bytes) : value->text);
    dbk_buffer_release(&bytes);
    return fits && !j->failed;
}
