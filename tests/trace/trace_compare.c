#include "tests/trace/trace.h"

static bool compare(const dbk_json_node *expected, const dbk_json_node *actual, const char *member, dbk_buffer *where);

static bool differ(dbk_buffer *where, const dbk_json_node *expected, const dbk_json_node *actual)
{
    dbk_buffer_put_text(where, ": expected ");
    dbk_json_put_minimal(where, expected);
    dbk_buffer_put_text(where, ", got ");
    if (actual) dbk_json_put_minimal(where, actual);
    else dbk_buffer_put_text(where, "nothing");
    return false;
}

static const dbk_json_node *member_of(const dbk_json_node *object, dbk_slice name)
{
    const dbk_json_node *child = dbk_json_child(object);
    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child)) {
        if (dbk_slice_equal(child->name, name)) return child;
    }
    return NULL;
}

static bool is(dbk_slice name, const char *text)
{
    return dbk_slice_equal(name, dbk_slice_text(text));
}

static bool compare_objects(const dbk_json_node *expected, const dbk_json_node *actual, const char *member,
                            dbk_buffer *where)
{
    const dbk_json_node *child = dbk_json_child(expected);
    for (uint32_t i = 0; i < expected->count; i++, child = dbk_json_next(child)) {
        if (is(child->name, "message")) continue;
        /* What is under "skips" and "inbox" keeps that name, for the reasons inside. */
        const char *inner = is(child->name, "skips") ? "skips" : is(child->name, "inbox") ? "inbox" : member;
        size_t mark = where->size;
        dbk_buffer_printf(where, ".%.*s", DBK_SLICE_ARG(child->name));
        const dbk_json_node *other = member_of(actual, child->name);
        if (!other) return differ(where, child, NULL);
        if (!compare(child, other, inner, where)) return false;
        where->size = mark;
    }
    child = dbk_json_child(actual);
    for (uint32_t i = 0; i < actual->count; i++, child = dbk_json_next(child)) {
        if (is(child->name, "message") || member_of(expected, child->name)) continue;
        dbk_buffer_printf(where, ".%.*s: not expected: ", DBK_SLICE_ARG(child->name));
        dbk_json_put_minimal(where, child);
        return false;
    }
    return true;
}

static bool compare_arrays(const dbk_json_node *expected, const dbk_json_node *actual, const char *member,
                           dbk_buffer *where)
{
    if (expected->count != actual->count) return differ(where, expected, actual);
    const dbk_json_node *one = dbk_json_child(expected), *other = dbk_json_child(actual);
    /* [state, reason] of a skip; [entry, state, reason, against] of the inbox */
    bool skip = !strcmp(member, "skips"),
         inbox = !strcmp(member, "inbox") && expected->count && one->kind == DBK_JSON_STRING;
    for (uint32_t i = 0; i < expected->count; i++, one = dbk_json_next(one), other = dbk_json_next(other)) {
        if ((skip && i == 1) || (inbox && i == 2)) continue;
        size_t mark = where->size;
        dbk_buffer_printf(where, "[%u]", i);
        if (!compare(one, other, member, where)) return false;
        where->size = mark;
    }
    return true;
}

static bool compare(const dbk_json_node *expected, const dbk_json_node *actual, const char *member, dbk_buffer *where)
{
    bool good = expected->kind == actual->kind;
    if (good && expected->kind == DBK_JSON_OBJECT) return compare_objects(expected, actual, member, where);
    if (good && expected->kind == DBK_JSON_ARRAY) return compare_arrays(expected, actual, member, where);
    if (good && expected->kind == DBK_JSON_STRING) good = dbk_slice_equal(expected->text, actual->text);
    if (good && expected->kind == DBK_JSON_NUMBER) {
        good = dbk_slice_equal(expected->text, actual->text) || !(dbk_json_double(expected) < dbk_json_double(actual) ||
                                                                  dbk_json_double(expected) > dbk_json_double(actual));
    }
    return good || differ(where, expected, actual);
}

bool same_outcome(const dbk_json_node *expected, const dbk_json_node *actual, bool (*given)(dbk_slice member),
                  dbk_buffer *where)
{
    if (expected->kind != DBK_JSON_OBJECT) return compare(expected, actual, "", where);
    const dbk_json_node *child = dbk_json_child(expected);
    for (uint32_t i = 0; i < expected->count; i++, child = dbk_json_next(child)) {
        const dbk_json_node *other = member_of(actual, child->name);
        if (!given(child->name)) continue;
        dbk_buffer_printf(where, ".%.*s", DBK_SLICE_ARG(child->name));
        if (!other) return differ(where, child, NULL);
        const char *member = is(child->name, "skips") ? "skips" : is(child->name, "inbox") ? "inbox" : "";
        if (!compare(child, other, member, where)) return false;
        dbk_buffer_clear(where);
    }
    child = dbk_json_child(actual);
    for (uint32_t i = 0; i < actual->count; i++, child = dbk_json_next(child)) {
        if (!given(child->name) || member_of(expected, child->name)) continue;
        dbk_buffer_printf(where, ".%.*s: not expected", DBK_SLICE_ARG(child->name));
        return false;
    }
    return true;
}
