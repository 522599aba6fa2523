/* Where each $ref leads: to a schema of the same file, or of one that was read with it, by JSON pointer, by $id or by
 * an $id that is a name. Then the loops: a schema that asks itself about the same value has no answer, and is refused
 * before it is asked. */
#include "projector/schema/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- targets */

static int compare_refs(const void *a, const void *b)
{
    const dbk_json_node *one = ((const dbk_schema_ref *)a)->from, *other = ((const dbk_schema_ref *)b)->from;

    return one < other ? -1 : one > other;
}

static uint32_t add_target(dbk_schema_check *check, const dbk_json_node *node)
{
    dbk_json_schema *schema = check->schema;

    for (size_t i = 0; i < schema->target_count; i++)
        if (schema->targets[i] == node) return (uint32_t)i;
    if (!dbk_schema_grow(schema->port, (void **)&schema->targets, schema->target_count, &schema->target_room,
                         sizeof(*schema->targets))) {
        check->failed = true;
        return 0;
    }
    schema->targets[schema->target_count++] = node;
    return (uint32_t)(schema->target_count - 1);
}

static void add_ref(dbk_schema_check *check, const dbk_json_node *from, const dbk_json_node *to)
{
    dbk_json_schema *schema = check->schema;

    if (!dbk_schema_grow(schema->port, (void **)&schema->refs, schema->ref_count, &schema->ref_room,
                         sizeof(*schema->refs))) {
        check->failed = true;
        return;
    }
    schema->refs[schema->ref_count++] = (dbk_schema_ref){from, add_target(check, to)};
}

/* ---- a reference */

static const dbk_schema_place *find_place(const dbk_schema_check *check, const dbk_json_node *node)
{
    for (size_t i = 0; i < check->place_count; i++)
        if (check->places[i].node == node) return &check->places[i];
    return NULL;
}

static const dbk_json_node *find_id(const dbk_schema_check *check, dbk_slice uri)
{
    for (size_t i = 0; i < check->id_count; i++)
        if (dbk_slice_equal(check->ids[i].uri, uri)) return check->ids[i].node;
    return NULL;
}

static const dbk_json_node *child_of(const dbk_json_node *node, dbk_slice token)
{
    const dbk_json_node *child = dbk_json_child(node);
    uint64_t index = 0;

    for (uint32_t i = 0; node->kind == DBK_JSON_OBJECT && i < node->count; i++, child = dbk_json_next(child))
        if (dbk_slice_equal(child->name, token)) return child;
    if (node->kind != DBK_JSON_ARRAY || token.size == 0 || token.size > 6) return NULL;
    for (size_t i = 0; i < token.size; i++) {
        if (token.data[i] < '0' || token.data[i] > '9') return NULL;
        index = index * 10 + (uint64_t)(token.data[i] - '0');
    }
    if (index >= node->count) return NULL;
    while (index--) child = dbk_json_next(child);
    return child;
}

/* "/a/b~1c" from a node; NULL: it leads nowhere. */
static const dbk_json_node *follow(dbk_schema_check *check, const dbk_json_node *node, dbk_slice pointer)
{
    dbk_buffer token;

    dbk_buffer_init(&token, check->schema->port);
    for (size_t at = 0; node && at < pointer.size;) {
        dbk_buffer_clear(&token);
        for (at++; at < pointer.size && pointer.data[at] != '/'; at++) {
            uint8_t c = pointer.data[at];
            if (c == '~' && at + 1 < pointer.size) c = pointer.data[++at] == '1' ? '/' : '~';
            dbk_buffer_put_u8(&token, c);
        }
        check->failed |= token.failed;
        node = check->failed ? NULL : child_of(node, dbk_buffer_slice(&token));
    }
    dbk_buffer_release(&token);
    return node;
}

static const dbk_json_node *document_of(const dbk_schema_check *check, dbk_slice document)
{
    const dbk_json_node *found = find_id(check, document);
    dbk_slice root = check->place_count ? check->places[0].base : document;

    const char *own = check->schema->options.uri;
    if (!found && dbk_slice_equal(document, root)) found = check->schema->root;
    if (!found && own && dbk_slice_equal(document, dbk_slice_text(own))) found = check->schema->root;
    for (size_t i = 0; !found && i < check->id_count; i++) { /* "x#" as an $id is "x" */
        dbk_slice uri = check->ids[i].uri;
        if (uri.size == document.size + 1 && uri.data[document.size] == '#' &&
            memcmp(uri.data, document.data, document.size) == 0)
            found = check->ids[i].node;
    }
    return found;
}

static const dbk_json_node *resolve(dbk_schema_check *check, dbk_slice base, dbk_slice reference, bool *elsewhere,
                                    bool *wanted)
{
    dbk_buffer uri, pointer;
    dbk_slice document, fragment;
    const dbk_json_node *found = NULL;

    *elsewhere = *wanted = false;
    dbk_buffer_init(&uri, check->schema->port);
    dbk_buffer_init(&pointer, check->schema->port);
    dbk_uri_resolve(&uri, base, reference);
    if (uri.failed) check->failed = true;
    if (!check->failed) {
        dbk_uri_split(dbk_buffer_slice(&uri), &document, &fragment);
        const dbk_json_node *root = document_of(check, document);
        *elsewhere = root == NULL;
        *wanted = !root && dbk_schema_want(check, document);
        if (root && fragment.size == 0) found = root;
        else if (root && fragment.data[0] != '/') found = find_id(check, dbk_buffer_slice(&uri));
        else if (root && dbk_percent_decode(&pointer, fragment) && !pointer.failed)
            found = follow(check, root, dbk_buffer_slice(&pointer));
        check->failed |= pointer.failed;
    }
    dbk_buffer_release(&uri);
    dbk_buffer_release(&pointer);
    return found;
}

static void link_place(dbk_schema_check *check, const dbk_schema_place *place)
{
    const dbk_json_node *ref = dbk_json_member(place->node, "$ref"),
                        *names = dbk_json_member(place->node, "propertyNames");
    bool elsewhere, wanted;

    if (!ref && names) (void)add_target(check, names);
    if (!ref || ref->kind != DBK_JSON_STRING) return;
    const dbk_json_node *target = resolve(check, place->base, ref->text, &elsewhere, &wanted);
    int size = (int)(ref->text.size < 150 ? ref->text.size : 150);
    if (check->failed || wanted) return;
    if (elsewhere)
        dbk_schema_fault(check, ref, "\"#/definitions/name\"", "'$ref' names another document: '%.*s'", size,
                         (const char *)ref->text.data);
    else if (!target || !find_place(check, target))
        dbk_schema_fault(check, ref, "\"#/definitions/name\"", "'$ref' leads to no schema: '%.*s'", size,
                         (const char *)ref->text.data);
    else add_ref(check, place->node, target);
}

/* ---- loops and depth */

typedef enum color { WHITE, GREY, BLACK } color;
typedef struct walk {
    dbk_schema_check *check;
    uint8_t *colors;  /* per node of the whole text: of the walk about one value */
    uint8_t *heights; /* of black ones: how many schemas are inside each other below, at most CHAIN_MAX + 1 */
    bool *seen;       /* per target: walked into already */
    bool said;
} walk;

static const dbk_json_node *target_of(const dbk_json_schema *schema, const dbk_json_node *node, uint32_t *target)
{
    dbk_schema_ref wanted = {node, 0};
    const dbk_schema_ref *found =
        schema->ref_count ? bsearch(&wanted, schema->refs, schema->ref_count, sizeof(wanted), compare_refs) : NULL;

    if (found) *target = found->target;
    return found ? schema->targets[found->target] : NULL;
}

typedef unsigned (*step_fn)(walk *w, const dbk_json_node *node, unsigned depth);

/* Calls `step` for the subschemas and gives the most it returns; `same`: only for those about the same value. */
static unsigned each_inner(walk *w, const dbk_json_node *node, bool same, unsigned depth, step_fn step)
{
    const dbk_json_node *value = dbk_json_child(node);
    unsigned most = 0;

    for (uint32_t i = 0; i < node->count && !w->said; i++, value = dbk_json_next(value)) {
        bool about_same;
        dbk_keyword_kind kind = dbk_schema_keyword(value->name, &about_same);
        bool list = kind == DBK_KEYWORD_LIST || kind == DBK_KEYWORD_MAP || kind == DBK_KEYWORD_DEPENDENCIES ||
                    (kind == DBK_KEYWORD_ITEMS && value->kind == DBK_JSON_ARRAY);
        bool asked = dbk_slice_equal(value->name, dbk_slice_text("definitions")) ? false : !same || about_same;
        if (!asked || kind < DBK_KEYWORD_SCHEMA) continue;
        const dbk_json_node *one = list ? dbk_json_child(value) : value;
        for (uint32_t k = 0; k < (list ? value->count : 1) && !w->said; k++, one = dbk_json_next(one)) {
            unsigned height = one->kind == DBK_JSON_OBJECT ? step(w, one, depth + 1) : 0;
            if (height > most) most = height;
        }
    }
    return most;
}

static void refuse(walk *w, const dbk_json_node *node, const char *advice, const char *text)
{
    if (!w->said) dbk_schema_fault(w->check, node, advice, "%s", text);
    w->said = true;
}

/* How many schemas about one value are inside each other from here on. */
static unsigned walk_same(walk *w, const dbk_json_node *node, unsigned depth)
{
    size_t at = (size_t)(node - w->check->schema->all);
    unsigned height = 0;
    uint32_t target;

    if (w->colors[at] == BLACK) return w->heights[at];
    if (w->colors[at] == GREY)
        refuse(w, node, "a reference below 'properties' or 'items'",
               "the schema asks itself about the same value, without end");
    else if (depth > DBK_SCHEMA_NESTED_MAX)
        refuse(w, node, "fewer schemas inside each other",
               "more than 32 schemas about one value, each inside the other");
    if (w->said) return 0;
    w->colors[at] = GREY;
    const dbk_json_node *to = target_of(w->check->schema, node, &target);
    if (to && to->kind == DBK_JSON_OBJECT) height = walk_same(w, to, depth + 1);
    else if (!to) height = each_inner(w, node, true, depth, walk_same);
    if (++height > DBK_SCHEMA_CHAIN_MAX)
        refuse(w, node, "fewer schemas inside each other",
               "more than 32 schemas about one value, each inside the other");
    w->colors[at] = BLACK;
    w->heights[at] = (uint8_t)height;
    return height;
}

/* As the library reads it: a target once, everything else wherever it stands. */
static unsigned walk_all(walk *w, const dbk_json_node *node, unsigned depth)
{
    uint32_t target;

    if (depth > DBK_SCHEMA_NESTED_MAX)
        refuse(w, node, "fewer references behind references", "more than 300 schemas inside each other");
    if (w->said) return 0;
    const dbk_json_node *to = target_of(w->check->schema, node, &target);
    if (to && w->seen[target]) return 0;
    if (to) w->seen[target] = true;
    if (to && to->kind == DBK_JSON_OBJECT) (void)walk_all(w, to, depth + 1);
    else if (!to) (void)each_inner(w, node, false, depth, walk_all);
    return 0;
}

static void check_loops(dbk_schema_check *check)
{
    dbk_json_schema *schema = check->schema;
    walk w = {.check = check,
              .colors = dbk_alloc_zero(schema->port, schema->all->span, 1),
              .heights = dbk_alloc_zero(schema->port, schema->all->span, 1),
              .seen = dbk_alloc_zero(schema->port, schema->target_count + 1, sizeof(bool))};

    if (!w.colors || !w.heights || !w.seen) check->failed = true;
    for (size_t i = 0; !check->failed && !w.said && i < check->place_count; i++)
        if (check->places[i].node->kind == DBK_JSON_OBJECT) (void)walk_same(&w, check->places[i].node, 0);
    if (!check->failed && !w.said && schema->root->kind == DBK_JSON_OBJECT) (void)walk_all(&w, schema->root, 0);
    dbk_free(schema->port, w.colors);
    dbk_free(schema->port, w.heights);
    dbk_free(schema->port, w.seen);
}

void dbk_schema_link(dbk_schema_check *check)
{
    for (size_t i = 0; i < check->place_count && !check->failed; i++)
        if (check->places[i].node->kind == DBK_JSON_OBJECT) link_place(check, &check->places[i]);
    if (check->schema->ref_count)
        qsort(check->schema->refs, check->schema->ref_count, sizeof(*check->schema->refs), compare_refs);
    if (!check->failed && !check->again && check->faults == 0) check_loops(check);
}
