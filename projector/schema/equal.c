/* Equality as JSON Schema means it: numbers by value, objects without order. Uniqueness by hashes that are
 * equal for equal values, so that an array of ten thousand costs a sort. */
#include "projector/schema/internal.h"

#include <stdlib.h>

static const dbk_json_node *member(dbk_judgement *j, const dbk_json_node *object, dbk_slice name)
{
    const dbk_json_node *child = dbk_json_child(object);

    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child)) {
        if (!dbk_judgement_spend(j, 1)) return NULL;
        if (dbk_slice_equal(child->name, name)) return child;
    }
    return NULL;
}

static bool equal_objects(dbk_judgement *j, const dbk_json_node *a, const dbk_json_node *b)
{
    const dbk_json_node *one = dbk_json_child(a), *same = dbk_json_child(b);

    for (uint32_t i = 0; i < a->count; i++) {
        /* mostly they stand in the same order */
        const dbk_json_node *other = dbk_slice_equal(one->name, same->name) ? same : member(j, b, one->name);
        if (!other || !dbk_schema_equal(j, one, other)) return false;
        one = dbk_json_next(one);
        same = dbk_json_next(same);
    }
    return true;
}

bool dbk_schema_equal(dbk_judgement *j, const dbk_json_node *a, const dbk_json_node *b)
{
    if (!dbk_judgement_spend(j, 1)) return false;
    if (a->kind != b->kind || a->count != b->count) return false;
    if (a->kind == DBK_JSON_NUMBER) return dbk_number_compare(a->text, b->text) == 0;
    if (a->kind == DBK_JSON_STRING) return dbk_slice_equal(a->text, b->text);
    if (a->kind == DBK_JSON_OBJECT) return equal_objects(j, a, b);
    if (a->kind != DBK_JSON_ARRAY) return true;
    const dbk_json_node *one = dbk_json_child(a), *other = dbk_json_child(b);
    for (uint32_t i = 0; i < a->count; i++) {
        if (!dbk_schema_equal(j, one, other)) return false;
        one = dbk_json_next(one);
        other = dbk_json_next(other);
    }
    return true;
}

/* Members add up, so that their order does not count. Depth is that of the parser's limit. */
static uint64_t hash_of(const dbk_json_node *node)
{
    const dbk_json_node *child = dbk_json_child(node);
    uint64_t hash = (uint64_t)node->kind * 0x9e3779b97f4a7c15u + node->count;

    if (node->kind == DBK_JSON_NUMBER) return dbk_number_hash(node->text);
    if (node->kind == DBK_JSON_STRING) return dbk_checksum(node->text, 7);
    for (uint32_t i = 0; i < node->count; i++, child = dbk_json_next(child)) {
        if (node->kind == DBK_JSON_OBJECT)
            hash += (hash_of(child) ^ dbk_checksum(child->name, 11)) * 0x517cc1b727220a95u;
        else hash = (hash ^ hash_of(child)) * 0x100000001b3u + i;
    }
    return hash;
}

typedef struct hashed {
    uint64_t hash;
    const dbk_json_node *node;
    size_t index;
} hashed;

static int compare(const void *a, const void *b)
{
    const hashed *one = a, *other = b;

    if (one->hash != other->hash) return one->hash < other->hash ? -1 : 1;
    return one->index < other->index ? -1 : one->index > other->index;
}

static bool find_twins(dbk_judgement *j, const hashed *items, size_t count, size_t *one, size_t *other)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = i + 1; k < count && items[k].hash == items[i].hash; k++) {
            if (!dbk_schema_equal(j, items[i].node, items[k].node)) continue;
            *one = items[i].index;
            *other = items[k].index;
            return true;
        }
    }
    return false;
}

bool dbk_schema_twins(dbk_judgement *j, const dbk_json_node *array, size_t *one, size_t *other)
{
    const dbk_port *port = j->schema->port;
    const dbk_json_node *child = dbk_json_child(array);

    if (array->count < 2 || !dbk_judgement_spend(j, array->span)) return false;
    hashed *items = dbk_alloc_zero(port, array->count, sizeof(*items));
    if (!items) {
        j->failed = true;
        return false;
    }
    for (size_t i = 0; i < array->count; i++, child = dbk_json_next(child))
        items[i] = (hashed){hash_of(child), child, i};
    qsort(items, array->count, sizeof(*items), compare);
    bool found = find_twins(j, items, array->count, one, other);
    dbk_free(port, items);
    return found;
}
