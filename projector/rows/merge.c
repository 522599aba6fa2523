/* JSON merge patch (RFC 7396) on the JSON columns of a row. */
#include "projector/rows/internal.h"

static const dbk_json_node *find(const dbk_json_node *object, dbk_slice name)
{
    const dbk_json_node *child = dbk_json_child(object);
    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child)) {
        if (dbk_slice_equal(child->name, name)) return child;
    }
    return NULL;
}

static void put_name(dbk_buffer *out, bool *first, dbk_slice name)
{
    if (!*first) dbk_buffer_put_u8(out, ',');
    *first = false;
    dbk_json_put_string(out, name);
    dbk_buffer_put_u8(out, ':');
}

/* The members of the old object keep their places, new ones follow in the patch's order. The
 * parser's limit on nesting bounds the recursion. */
static void merge_object(dbk_buffer *out, const dbk_json_node *old, const dbk_json_node *patch)
{
    bool first = true;
    const dbk_json_node *child = old ? dbk_json_child(old) : NULL;

    dbk_buffer_put_u8(out, '{');
    for (uint32_t i = 0; old && i < old->count; i++, child = dbk_json_next(child)) {
        const dbk_json_node *change = find(patch, child->name);
        if (change && change->kind == DBK_JSON_NULL) continue;
        put_name(out, &first, child->name);
        if (change) {
            dbk_json_merge_patch(out, child, change);
        } else {
            dbk_json_put_minimal(out, child);
        }
    }
    child = dbk_json_child(patch);
    for (uint32_t i = 0; i < patch->count; i++, child = dbk_json_next(child)) {
        if (child->kind == DBK_JSON_NULL || (old && find(old, child->name))) continue;
        put_name(out, &first, child->name);
        dbk_json_merge_patch(out, NULL, child);
    }
    dbk_buffer_put_u8(out, '}');
}

void dbk_json_merge_patch(dbk_buffer *out, const dbk_json_node *old, const dbk_json_node *patch)
{
    if (patch->kind != DBK_JSON_OBJECT) {
        dbk_json_put_minimal(out, patch);
        return;
    }
    merge_object(out, old && old->kind == DBK_JSON_OBJECT ? old : NULL, patch);
}
