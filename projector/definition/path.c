/* Paths below the folder files/ of a store: of mirrors and of archives. What stands between braces in them is filled in
 * later. */
#include "projector/definition/app.h"

#include <strings.h>

/* Names in order, the last a file's. */
bool dbk_app_is_path(const char *text)
{
    size_t parts = 0;

    for (const char *c = text; *c; c++)
        if (*c == '\\' || (unsigned char)*c < ' ' || *c == 0x7f) return false;
    for (;;) {
        size_t size = strcspn(text, "/");
        if (size == 0 || size > DBK_APP_PART_MAX_BYTES || text[0] == '.' || ++parts > DBK_APP_PARTS_MAX) return false;
        if (text[size] == '\0') return true;
        text += size + 1;
    }
}

static bool begins(dbk_slice text, dbk_slice with)
{
    return text.size >= with.size && strncasecmp((const char *)text.data, (const char *)with.data, with.size) == 0;
}

static bool ends(dbk_slice text, dbk_slice with)
{
    return text.size >= with.size && begins(dbk_slice_of(text.data + text.size - with.size, with.size), with);
}

/* What stands before the first brace, and behind the last; of a text without them both are the whole. */
static dbk_slice head_of(dbk_slice part)
{
    size_t size = 0;
    while (size < part.size && part.data[size] != '{') size++;
    return dbk_slice_of(part.data, size);
}

static dbk_slice tail_of(dbk_slice part)
{
    size_t at = part.size;
    while (at > 0 && part.data[at - 1] != '}') at--;
    return dbk_slice_of(part.data + at, part.size - at);
}

/* Whether both may be one name. Anything may come for what is between braces, also nothing. */
static bool parts_meet(dbk_slice one, dbk_slice other)
{
    dbk_slice head = head_of(one), other_head = head_of(other), tail = tail_of(one), other_tail = tail_of(other);
    bool open = head.size < one.size, other_open = other_head.size < other.size;

    if (!open && !other_open) return one.size == other.size && begins(one, other);
    if (!open) return one.size >= other_head.size + other_tail.size && begins(one, other_head) && ends(one, other_tail);
    if (!other_open) return parts_meet(other, one);
    return (begins(head, other_head) || begins(other_head, head)) && (ends(tail, other_tail) || ends(other_tail, tail));
}

bool dbk_app_paths_meet(const char *one, const char *other)
{
    for (;;) {
        dbk_slice part = dbk_slice_of(one, strcspn(one, "/")), other_part = dbk_slice_of(other, strcspn(other, "/"));
        if (!parts_meet(part, other_part)) return false;
        one += part.size;
        other += other_part.size;
        if (!*one++ || !*other++) return true; /* one is the other, or a folder on its path */
    }
}
