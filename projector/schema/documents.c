/* Schemas that a $ref may lead to beside the one that is read: what the caller has (an app's other files), and the
 * schema of schemas. Those that are asked for are read with it as one text, "[this,that,…]", so that all nodes stand in
 * one array; what they ask for is found on the next round, until nobody asks for more. Nothing is ever fetched. */
#include "projector/schema/internal.h"

static const char meta_uri[] = "http://json-schema.org/draft-07/schema";

/* What draft 7 says of the form of its keywords. */
static const char meta_text[] =
    "{\"type\":[\"object\",\"boolean\"],\"definitions\":{"
    "\"schemaArray\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"minItems\":1},"
    "\"stringArray\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"uniqueItems\":true},"
    "\"nonNegativeInteger\":{\"type\":\"integer\",\"minimum\":0},"
    "\"nonNegativeIntegerDefault0\":{\"allOf\":[{\"$ref\":\"#/definitions/nonNegativeInteger\"}],\"default\":0},"
    "\"simpleTypes\":{\"enum\":[\"null\",\"boolean\",\"integer\",\"number\",\"string\",\"array\",\"object\"]},"
    "\"schemas\":{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}}},\"properties\":{"
    "\"$schema\":{\"type\":\"string\",\"format\":\"uri\"},\"$id\":{\"type\":\"string\",\"format\":\"uri-reference\"},"
    "\"$ref\":{\"type\":\"string\",\"format\":\"uri-reference\"},\"$comment\":{\"type\":\"string\"},"
    "\"title\":{\"type\":\"string\"},\"description\":{\"type\":\"string\"},\"examples\":{\"type\":\"array\"},"
    "\"readOnly\":{\"type\":\"boolean\"},\"writeOnly\":{\"type\":\"boolean\"},"
    "\"type\":{\"anyOf\":[{\"$ref\":\"#/definitions/simpleTypes\"},{\"type\":\"array\",\"minItems\":1,"
    "\"uniqueItems\":true,\"items\":{\"$ref\":\"#/definitions/simpleTypes\"}}]},\"enum\":{\"type\":\"array\"},"
    "\"minimum\":{\"type\":\"number\"},\"maximum\":{\"type\":\"number\"},\"exclusiveMinimum\":{\"type\":\"number\"},"
    "\"exclusiveMaximum\":{\"type\":\"number\"},\"multipleOf\":{\"type\":\"number\",\"exclusiveMinimum\":0},"
    "\"minLength\":{\"$ref\":\"#/definitions/nonNegativeIntegerDefault0\"},"
    "\"maxLength\":{\"$ref\":\"#/definitions/nonNegativeInteger\"},"
    "\"minItems\":{\"$ref\":\"#/definitions/nonNegativeIntegerDefault0\"},"
    "\"maxItems\":{\"$ref\":\"#/definitions/nonNegativeInteger\"},"
    "\"minProperties\":{\"$ref\":\"#/definitions/nonNegativeIntegerDefault0\"},"
    "\"maxProperties\":{\"$ref\":\"#/definitions/nonNegativeInteger\"},"
    "\"pattern\":{\"type\":\"string\",\"format\":\"regex\"},\"format\":{\"type\":\"string\"},"
    "\"contentEncoding\":{\"type\":\"string\"},\"contentMediaType\":{\"type\":\"string\"},"
    "\"uniqueItems\":{\"type\":\"boolean\"},\"required\":{\"$ref\":\"#/definitions/stringArray\"},"
    "\"definitions\":{\"$ref\":\"#/definitions/schemas\"},\"properties\":{\"$ref\":\"#/definitions/schemas\"},"
    "\"patternProperties\":{\"allOf\":[{\"$ref\":\"#/definitions/schemas\"}],\"propertyNames\":{\"format\":\"regex\"}},"
    "\"dependencies\":{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[{\"$ref\":\"#\"},"
    "{\"$ref\":\"#/definitions/stringArray\"}]}},"
    "\"items\":{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#/definitions/schemaArray\"}]},"
    "\"allOf\":{\"$ref\":\"#/definitions/schemaArray\"},\"anyOf\":{\"$ref\":\"#/definitions/schemaArray\"},"
    "\"oneOf\":{\"$ref\":\"#/definitions/schemaArray\"},\"not\":{\"$ref\":\"#\"},\"if\":{\"$ref\":\"#\"},"
    "\"then\":{\"$ref\":\"#\"},\"else\":{\"$ref\":\"#\"},\"contains\":{\"$ref\":\"#\"},\"propertyNames\":{\"$ref\":\"#"
    "\"},"
    "\"additionalItems\":{\"$ref\":\"#\"},\"additionalProperties\":{\"$ref\":\"#\"}}}";

/* The last one is the schema of schemas. */
static dbk_json_schema_document document_at(const dbk_schema_check *check, size_t at)
{
    const dbk_json_schema_options *options = &check->schema->options;

    if (at < options->document_count) return options->documents[at];
    return (dbk_json_schema_document){meta_uri, dbk_slice_text(meta_text)};
}

bool dbk_schema_want(dbk_schema_check *check, dbk_slice uri)
{
    size_t count = check->schema->options.document_count + 1;

    for (size_t i = 0; i < count; i++) {
        if (!dbk_slice_equal(uri, dbk_slice_text(document_at(check, i).uri))) continue;
        for (size_t k = 0; k < check->wanted_count; k++)
            if (check->wanted[k] == i) return k >= check->read_count; /* below: it is here */
        if (!dbk_schema_grow(check->schema->port, (void **)&check->wanted, check->wanted_count, &check->wanted_room,
                             sizeof(*check->wanted))) {
            check->failed = true;
            return false;
        }
        check->wanted[check->wanted_count++] = i;
        check->again = true;
        return true;
    }
    return false;
}

/* The JSON parser's own words are about a text that nobody wrote. */
static dbk_result refuse(dbk_schema_check *check, dbk_result result, dbk_error *err)
{
    if (result != DBK_BAD_JSON && result != DBK_TOO_BIG) return result;
    check->faults++;
    check->fault(check->fault_arg, 0, 1, "what a '$ref' leads to cannot be read with this", "no such '$ref'");
    return dbk_fail(err, DBK_SCHEMA, "the schema has 1 error");
}

dbk_result dbk_schema_read_all(dbk_schema_check *check, dbk_slice text, dbk_error *err)
{
    dbk_json_schema *schema = check->schema;
    const dbk_json_node *all;
    dbk_buffer whole;

    dbk_buffer_init(&whole, schema->port);
    dbk_buffer_put_u8(&whole, '[');
    dbk_buffer_put_slice(&whole, text);
    for (size_t i = 0; i < check->wanted_count; i++) {
        dbk_buffer_put_u8(&whole, ',');
        dbk_buffer_put_slice(&whole, document_at(check, check->wanted[i]).text);
    }
    dbk_buffer_put_u8(&whole, ']');
    dbk_result result = whole.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a schema")
                                     : dbk_json_parse(schema->parser, dbk_buffer_slice(&whole), &all, err);
    dbk_buffer_release(&whole);
    /* texts that are not one value each would be other documents than those */
    if (result == DBK_OK && all->count != check->wanted_count + 1) result = DBK_BAD_JSON;
    if (result != DBK_OK) return refuse(check, result, err);
    check->read_count = check->wanted_count;
    schema->all = all;
    schema->root = dbk_json_child(all);
    return DBK_OK;
}

const dbk_json_node *dbk_schema_document(const dbk_schema_check *check, size_t at, const char **uri)
{
    const dbk_json_node *node = dbk_json_next(check->schema->root);

    if (at >= check->wanted_count) return NULL;
    for (size_t i = 0; i < at; i++) node = dbk_json_next(node);
    *uri = document_at(check, check->wanted[at]).uri;
    return node;
}
