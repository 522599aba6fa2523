/* What a definition is known by. An async model can come, change and go without the inline model being another one:
 * its files are left out, and so is its member of "models" in app.json, with one comma, so that the rest is byte for
 * byte what it was before the model was written into it. */
#include "projector/definition/models.h"

enum { DIGEST_PARTS_PER_SOURCE = 4 };

/* Digest over (u32 length, name, u32 length, text) of each source. */
void dbk_check_hash(dbk_check *check, const dbk_source *sources, size_t count)
{
    dbk_slice *parts = dbk_check_take(check, count * DIGEST_PARTS_PER_SOURCE + 1, sizeof(*parts));
    uint8_t(*sizes)[4] = dbk_check_take(check, count * 2 + 1, sizeof(*sizes));

    if (!parts || !sizes) return;
    for (size_t i = 0; i < count; i++) {
        dbk_slice name = dbk_slice_text(sources[i].name), *part = parts + i * DIGEST_PARTS_PER_SOURCE;
        dbk_store_u32(sizes[2 * i], (uint32_t)name.size);
        dbk_store_u32(sizes[2 * i + 1], (uint32_t)sources[i].text.size);
        part[0] = dbk_slice_of(sizes[2 * i], 4);
        part[1] = name;
        part[2] = dbk_slice_of(sizes[2 * i + 1], 4);
        part[3] = sources[i].text;
    }
    dbk_digest_parts(DBK_DIGEST_DEFINITION, parts, count * DIGEST_PARTS_PER_SOURCE, check->definition->hash,
                     sizeof(check->definition->hash));
}

/* ---- app.json as text; it is known to be good JSON */

static size_t skip_blank(dbk_slice text, size_t at)
{
    while (at < text.size && strchr(" \t\r\n", text.data[at])) at++;
    return at;
}

static size_t skip_string(dbk_slice text, size_t at)
{
    for (at++; at < text.size && text.data[at] != '"'; at++)
        if (text.data[at] == '\\') at++;
    return at + 1;
}

static size_t skip_value(dbk_slice text, size_t at)
{
    size_t depth = 0;

    while (at < text.size) {
        uint8_t c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
        } else {
            if (depth == 0 && strchr(",]} \t\r\n", c)) break;
            if (c == '{' || c == '[') depth++;
            if (c == '}' || c == ']') depth--;
            at++;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']')) break;
    }
    return at < text.size ? at : text.size;
}

typedef struct member {
    size_t begin, value, end; /* the name with its quotes, the value, behind it */
} member;

/* Finds a member of the object at `at`. */
static bool find_member(dbk_slice text, size_t at, const char *name, member *found)
{
    for (at = skip_blank(text, at + 1); at < text.size && text.data[at] == '"'; at = skip_blank(text, at + 1)) {
        size_t end = skip_string(text, at);
        found->begin = at;
        found->value = skip_blank(text, skip_blank(text, end) + 1);
        found->end = skip_value(text, found->value);
        if (end <= text.size && dbk_slice_equal(dbk_slice_of(text.data + at + 1, end - at - 2), dbk_slice_text(name)))
            return found->end <= text.size;
        at = skip_blank(text, found->end);
        if (at >= text.size || text.data[at] != ',') return false;
    }
    return false;
}

/* The member and one comma: the one before it, or else the one behind it with the blanks up to the next name. */
static void cut_member(dbk_slice *text, uint8_t *bytes, const member *gone)
{
    size_t begin = gone->begin, end = gone->end;

    while (begin > 0 && strchr(" \t\r\n", bytes[begin - 1])) begin--;
    if (begin > 0 && bytes[begin - 1] == ',') {
        begin--;
    } else {
        begin = gone->begin;
        end = skip_blank(*text, end);
        if (end < text->size && bytes[end] == ',') end = skip_blank(*text, end + 1);
        else end = gone->end;
    }
    memmove(bytes + begin, bytes + end, text->size - end);
    text->size -= end - begin;
}

static dbk_slice cut_models(dbk_check *check, dbk_slice text)
{
    const dbk_app *app = check->definition->app;
    size_t left = 0;
    member models, one;

    for (size_t i = 0; i < app->model_count; i++) left += app->models[i].mode != DBK_MODEL_ASYNC;
    if (left == app->model_count) return text;
    dbk_slice copy = dbk_arena_copy(check->arena, text);
    uint8_t *bytes = (uint8_t *)(uintptr_t)copy.data;
    if (!bytes) check->failed = true;
    if (!bytes || !find_member(copy, skip_blank(copy, 0), "models", &models)) return text;
    if (left == 0) {
        cut_member(&copy, bytes, &models);
        return copy;
    }
    for (size_t i = 0; i < app->model_count; i++)
        if (app->models[i].mode == DBK_MODEL_ASYNC && find_member(copy, models.value, app->models[i].name, &one))
            cut_member(&copy, bytes, &one);
    return copy;
}

void dbk_check_hash_whole(dbk_check *check)
{
    const dbk_definition *definition = check->definition;
    dbk_source *counted = dbk_check_take(check, definition->source_count + 1, sizeof *counted);
    size_t count = 0;

    for (size_t i = 0; counted && i < definition->source_count; i++) {
        const dbk_source *source = &definition->sources[i];
        const char *slash = strchr(source->name, '/');
        if (slash && strncmp(source->name, "schemas/", 8) != 0) continue;
        counted[count] = *source;
        if (strcmp(source->name, "app.json") == 0) counted[count].text = cut_models(check, source->text);
        count++;
    }
    if (counted) dbk_check_hash(check, counted, count);
}
