/* Proofs as JSON (docs/format/proof.md). What comes in is from anywhere: every member is checked, and the
 * proof itself before it is given out. */
#include "log/proof.h"

enum { PROOF_VERSION = 1 };

static void put_hex(dbk_buffer *out, const uint8_t node[DBK_LEAF_SIZE])
{
    char text[2 * DBK_LEAF_SIZE + 1];

    dbk_hex_encode(dbk_slice_of(node, DBK_LEAF_SIZE), text);
    dbk_buffer_printf(out, "\"%s\"", text);
}

static void put_list(dbk_buffer *out, const char *name, const uint8_t (*nodes)[DBK_LEAF_SIZE], uint32_t count)
{
    dbk_buffer_printf(out, ",\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        if (i) dbk_buffer_put_u8(out, ',');
        put_hex(out, nodes[i]);
    }
    dbk_buffer_put_u8(out, ']');
}

static void put_begin(dbk_buffer *out, const char *kind, const dbk_proof_of *of)
{
    char store[DBK_UUID_TEXT_SIZE], lineage[33];

    dbk_uuid_text(of->store_id, store);
    dbk_hex_encode(dbk_slice_of(of->lineage, 16), lineage);
    dbk_buffer_printf(out, "{\"proof\":\"%s\",\"version\":%d,\"store\":\"%s\",\"lineage\":\"%s\"", kind, PROOF_VERSION,
                      store, lineage);
}

static void put_range(dbk_buffer *out, const char *count, const char *head, const char *peaks, const dbk_range *range)
{
    uint8_t digest[DBK_LEAF_SIZE];

    dbk_range_head(range, digest);
    dbk_buffer_printf(out, ",\"%s\":%llu,\"%s\":", count, (unsigned long long)range->count, head);
    put_hex(out, digest);
    put_list(out, peaks, range->peaks, range->peak_count);
}

void dbk_head_put(dbk_buffer *out, const dbk_proof_of *of, const dbk_range *range, int64_t time_ms)
{
    char time[DBK_TIME_TEXT_SIZE];

    dbk_time_rfc3339(time_ms, time);
    put_begin(out, "head", of);
    dbk_buffer_printf(out, ",\"time\":\"%s\"", time);
    put_range(out, "count", "head", "peaks", range);
    dbk_buffer_put_u8(out, '}');
}

void dbk_inclusion_put(dbk_buffer *out, const dbk_proof_of *of, const dbk_inclusion *proof, const dbk_entry_id *id,
                       dbk_slice origin)
{
    char text[DBK_ENTRY_ID_TEXT_SIZE];

    dbk_entry_id_text(id, text);
    put_begin(out, "inclusion", of);
    dbk_buffer_printf(out, ",\"position\":%llu,\"entry\":\"%s\"", (unsigned long long)proof->position, text);
    if (origin.size) {
        dbk_buffer_put_text(out, ",\"origin\":\"");
        dbk_base64_encode(out, origin);
        dbk_buffer_put_u8(out, '"');
    }
    dbk_buffer_put_text(out, ",\"leaf\":");
    put_hex(out, proof->leaf);
    put_list(out, "path", proof->path, proof->path_count);
    put_range(out, "count", "head", "peaks", &proof->range);
    dbk_buffer_put_u8(out, '}');
}

void dbk_extension_put(dbk_buffer *out, const dbk_proof_of *of, const dbk_extension *proof)
{
    put_begin(out, "extension", of);
    put_range(out, "old_count", "old_head", "old_peaks", &proof->old);
    put_list(out, "trees", proof->trees, proof->tree_count);
    put_range(out, "count", "head", "peaks", &proof->range);
    dbk_buffer_put_u8(out, '}');
}

/* ---- reading */

static dbk_result bad(const char *member, dbk_error *err)
{
    return dbk_fail(err, DBK_CORRUPT, "the proof's member '%s' is missing or not of its form", member);
}

static bool read_node(const dbk_json_node *node, uint8_t out[DBK_LEAF_SIZE])
{
    return node && node->kind == DBK_JSON_STRING && dbk_hex_decode(node->text, out, DBK_LEAF_SIZE);
}

static bool read_list(const dbk_json_node *root, const char *name, uint8_t (*out)[DBK_LEAF_SIZE], uint32_t most,
                      uint32_t *count)
{
    const dbk_json_node *list = dbk_json_member(root, name);

    *count = 0;
    if (!list || list->kind != DBK_JSON_ARRAY || list->count > most) return false;
    const dbk_json_node *item = dbk_json_child(list);
    for (size_t i = 0; i < list->count; i++, item = dbk_json_next(item)) {
        if (!read_node(item, out[(*count)++])) return false;
    }
    return true;
}

static bool read_number(const dbk_json_node *root, const char *name, uint64_t *out)
{
    const dbk_json_node *node = dbk_json_member(root, name);
    int64_t value;

    if (!node || !dbk_json_is_integer(node, &value) || value < 0) return false;
    *out = (uint64_t)value;
    return true;
}

static dbk_result read_range(const dbk_json_node *root, const char *count, const char *head, const char *peaks,
                             dbk_range *out, dbk_error *err)
{
    uint8_t named[DBK_LEAF_SIZE], made[DBK_LEAF_SIZE];

    if (!read_number(root, count, &out->count)) return bad(count, err);
    if (!read_list(root, peaks, out->peaks, 64, &out->peak_count) ||
        out->peak_count != (uint32_t)__builtin_popcountll(out->count)) {
        return bad(peaks, err);
    }
    if (!read_node(dbk_json_member(root, head), named)) return bad(head, err);
    dbk_range_head(out, made);
    if (memcmp(named, made, sizeof(made)) == 0) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "the proof's '%s' is not that of its '%s'", head, peaks);
}

static dbk_result check_origin(const dbk_json_node *node, dbk_proof *out, dbk_error *err)
{
    dbk_buffer origin;
    dbk_entry entry;
    uint8_t leaf[DBK_LEAF_SIZE];
    dbk_result rc = DBK_OK;

    dbk_buffer_init(&origin, dbk_port_system());
    if (node->kind != DBK_JSON_STRING || !dbk_base64_decode(&origin, node->text)) rc = bad("origin", err);
    if (rc == DBK_OK && origin.failed) rc = dbk_fail(err, DBK_NO_MEMORY, "no memory to check a proof");
    if (rc == DBK_OK) rc = dbk_entry_decode(dbk_buffer_slice(&origin), &entry, err);
    if (rc == DBK_OK) {
        dbk_entry_leaf(dbk_buffer_slice(&origin), leaf);
        bool same = memcmp(leaf, out->inclusion.leaf, sizeof(leaf)) == 0 && dbk_entry_id_equal(&entry.id, &out->id);
        if (!same) rc = dbk_fail(err, DBK_CORRUPT, "the entry in the proof is not the one it names");
    }
    dbk_buffer_release(&origin);
    return rc;
}

static dbk_result read_inclusion(const dbk_json_node *root, dbk_proof *out, dbk_error *err)
{
    dbk_inclusion *proof = &out->inclusion;
    const dbk_json_node *id = dbk_json_member(root, "entry"), *origin = dbk_json_member(root, "origin");

    proof->range = out->range;
    if (!read_number(root, "position", &proof->position)) return bad("position", err);
    if (!id || id->kind != DBK_JSON_STRING || !dbk_entry_id_parse(id->text, &out->id)) return bad("entry", err);
    if (!read_node(dbk_json_member(root, "leaf"), proof->leaf)) return bad("leaf", err);
    if (!read_list(root, "path", proof->path, 64, &proof->path_count)) return bad("path", err);
    if (!dbk_inclusion_holds(proof))
        return dbk_fail(err, DBK_CORRUPT, "the proof does not lead from the leaf to the head");
    return origin ? check_origin(origin, out, err) : DBK_OK;
}

static dbk_result read_extension(const dbk_json_node *root, dbk_proof *out, dbk_error *err)
{
    dbk_extension *proof = &out->extension;

    proof->range = out->range;
    dbk_result rc = read_range(root, "old_count", "old_head", "old_peaks", &proof->old, err);
    if (rc != DBK_OK) return rc;
    if (!read_list(root, "trees", proof->trees, DBK_EXTENSION_TREES_MAX, &proof->tree_count)) return bad("trees", err);
    if (dbk_extension_holds(proof)) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "the proof does not lead from the old head to the new one");
}

dbk_result dbk_proof_read(const dbk_json_node *root, dbk_proof *out, dbk_error *err)
{
    uint64_t version;

    memset(out, 0, sizeof(*out));
    if (root->kind != DBK_JSON_OBJECT) return dbk_fail(err, DBK_CORRUPT, "a proof is a JSON object");
    if (!read_number(root, "version", &version)) return bad("version", err);
    if (version != PROOF_VERSION)
        return dbk_fail(err, DBK_VERSION, "the proof has version %llu, this Daybook reads %d",
                        (unsigned long long)version, PROOF_VERSION);
    const dbk_json_node *kind = dbk_json_member(root, "proof"), *store = dbk_json_member(root, "store");
    const dbk_json_node *lineage = dbk_json_member(root, "lineage");
    if (!kind || kind->kind != DBK_JSON_STRING) return bad("proof", err);
    if (!store || store->kind != DBK_JSON_STRING || !dbk_uuid_parse(store->text, out->of.store_id))
        return bad("store", err);
    if (!lineage || lineage->kind != DBK_JSON_STRING || !dbk_hex_decode(lineage->text, out->of.lineage, 16))
        return bad("lineage", err);
    dbk_result rc = read_range(root, "count", "head", "peaks", &out->range, err);
    if (rc != DBK_OK) return rc;
    if (dbk_json_text_is(kind, "head")) {
        out->kind = DBK_PROOF_HEAD;
        return DBK_OK;
    }
    if (dbk_json_text_is(kind, "inclusion")) {
        out->kind = DBK_PROOF_INCLUSION;
        return read_inclusion(root, out, err);
    }
    out->kind = DBK_PROOF_EXTENSION;
    return dbk_json_text_is(kind, "extension") ? read_extension(root, out, err) : bad("proof", err);
}
