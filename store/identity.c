/* daybook.json: who this store is. Written whole and atomically (R16). */
#include "store/identity.h"

#include <stdio.h>

enum { IDENTITY_MAX_BYTES = 64 * 1024 };

static void put_hex(dbk_buffer *out, const char *name, const uint8_t id[16])
{
    char text[33];
    dbk_hex_encode(dbk_slice_of(id, 16), text);
    dbk_buffer_printf(out, ",\n \"%s\": \"%s\"", name, text);
}

dbk_result dbk_identity_write(const dbk_port *port, dbk_dir *dir, const dbk_identity_file *identity, dbk_error *err)
{
    char store[DBK_UUID_TEXT_SIZE];
    dbk_uuid_text(identity->store_id, store);
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    dbk_buffer_printf(&text, "{\"format\": %u,\n \"store\": \"%s\"", identity->format, store);
    put_hex(&text, "lineage", identity->lineage);
    put_hex(&text, "replica", identity->replica);
    dbk_buffer_printf(&text, ",\n \"incarnation\": %u,\n \"timeline\": ", identity->incarnation);
    dbk_json_put_string(&text, dbk_slice_text(identity->timeline));
    dbk_buffer_printf(&text, ",\n \"generation\": %llu}\n", (unsigned long long)identity->generation);
    dbk_result result = text.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for 'daybook.json'")
                                    : dbk_io_replace_file(port, dir, "daybook.json", dbk_buffer_slice(&text), err);
    dbk_buffer_release(&text);
    return result;
}

static bool read_hex(const dbk_json_node *root, const char *name, uint8_t out[16])
{
    const dbk_json_node *node = dbk_json_member(root, name);
    return node && node->kind == DBK_JSON_STRING && dbk_hex_decode(node->text, out, 16);
}

static bool read_number(const dbk_json_node *root, const char *name, int64_t max, int64_t *out)
{
    const dbk_json_node *node = dbk_json_member(root, name);
    return node && dbk_json_is_integer(node, out) && *out >= 0 && *out <= max;
}

/* What a store needs its readers to know. This Daybook knows no such feature yet; other members that it does
 * not know may be ignored. */
static dbk_result check_needs(const dbk_json_node *root, dbk_error *err)
{
    const dbk_json_node *needs = dbk_json_member(root, "needs");
    if (!needs) return DBK_OK;
    if (needs->kind != DBK_JSON_ARRAY) return dbk_fail(err, DBK_CORRUPT, "'needs' in 'daybook.json' is no list");
    if (needs->count == 0) return DBK_OK;
    dbk_fail(err, DBK_VERSION, "'daybook.json' needs '%.*s', which this Daybook does not know",
             DBK_SLICE_ARG(dbk_json_child(needs)->text));
    dbk_error_hint(err, "open it with a newer Daybook");
    return DBK_VERSION;
}

static dbk_result read_members(const dbk_json_node *root, dbk_identity_file *identity, dbk_error *err)
{
    int64_t format, incarnation, generation;
    if (root->kind != DBK_JSON_OBJECT || !read_number(root, "format", INT32_MAX, &format))
        return dbk_fail(err, DBK_CORRUPT, "'daybook.json' has no format number");
    if (format != 1) {
        dbk_fail(err, DBK_VERSION, "'daybook.json' has format %lld, this Daybook reads 1", (long long)format);
        dbk_error_hint(err, "open it with a newer Daybook");
        return DBK_VERSION;
    }
    dbk_result result = check_needs(root, err);
    if (result != DBK_OK) return result;
    const dbk_json_node *store = dbk_json_member(root, "store"), *timeline = dbk_json_member(root, "timeline");
    bool good = store && store->kind == DBK_JSON_STRING && dbk_uuid_parse(store->text, identity->store_id) &&
                read_hex(root, "lineage", identity->lineage) && read_hex(root, "replica", identity->replica) &&
                read_number(root, "incarnation", UINT32_MAX, &incarnation) &&
                read_number(root, "generation", INT64_MAX, &generation) && timeline &&
                timeline->kind == DBK_JSON_STRING && timeline->text.size < sizeof identity->timeline;
    if (!good) return dbk_fail(err, DBK_CORRUPT, "'daybook.json' lacks a member or has one of the wrong form");
    identity->format = (uint32_t)format;
    identity->incarnation = (uint32_t)incarnation;
    identity->generation = (uint64_t)generation;
    memcpy(identity->timeline, timeline->text.data, timeline->text.size);
    return DBK_OK;
}

dbk_result dbk_identity_read(const dbk_port *port, dbk_dir *dir, dbk_identity_file *identity, dbk_error *err)
{
    memset(identity, 0, sizeof *identity);
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    dbk_json_parser *parser = dbk_json_parser_new(port);
    const dbk_json_node *root = NULL;
    dbk_result result = parser ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for 'daybook.json'");
    if (result == DBK_OK) result = dbk_io_read_file(port, dir, "daybook.json", IDENTITY_MAX_BYTES, &text, err);
    if (result == DBK_OK) {
        result = dbk_json_parse(parser, dbk_buffer_slice(&text), &root, err);
        if (result != DBK_OK && result != DBK_NO_MEMORY) {
            dbk_error_wrap(err, result, "'daybook.json'");
            result = DBK_CORRUPT;
            if (err) err->code = result;
        }
    }
    if (result == DBK_OK) result = read_members(root, identity, err);
    dbk_json_parser_free(parser);
    dbk_buffer_release(&text);
    return result;
}

dbk_result dbk_identity_fresh(const dbk_engine_options *options, const dbk_port *port, dbk_identity_file *identity,
                              dbk_error *err)
{
    memset(identity, 0, sizeof *identity);
    identity->format = 1;
    identity->incarnation = 1;
    uint8_t random[16 * 4];
    int rc = port->random(port->ctx, random, sizeof random);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, -rc, "the system gave no random bytes for the store's ids");
    memcpy(identity->store_id, random, 16);
    identity->store_id[6] = (uint8_t)((identity->store_id[6] & 0x0f) | 0x40); /* UUID version 4 */
    identity->store_id[8] = (uint8_t)((identity->store_id[8] & 0x3f) | 0x80);
    memcpy(identity->lineage, random + 16, 16);
    memcpy(identity->replica, random + 32, 16);
    dbk_hex_encode(dbk_slice_of(random + 48, 8), identity->timeline);
    if (options->given_ids) {
        memcpy(identity->lineage, options->lineage, 16);
        memcpy(identity->replica, options->replica, 16);
        identity->incarnation = options->incarnation;
        if (options->timeline) snprintf(identity->timeline, sizeof identity->timeline, "%s", options->timeline);
    }
    return DBK_OK;
}
