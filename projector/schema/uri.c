/* URI references as RFC 3986 §5 resolves them, as far as $id and $ref need it. */
#include "projector/schema/internal.h"

void dbk_uri_split(dbk_slice uri, dbk_slice *document, dbk_slice *fragment)
{
    const uint8_t *hash = uri.size ? memchr(uri.data, '#', uri.size) : NULL;
    size_t size = hash ? (size_t)(hash - uri.data) : uri.size;

    *document = dbk_slice_of(uri.data, size);
    *fragment = hash ? dbk_slice_of(hash + 1, uri.size - size - 1) : (dbk_slice){NULL, 0};
}

/* "http:" with its colon; 0: none. */
static size_t scheme_size(dbk_slice uri)
{
    for (size_t i = 0; i < uri.size; i++) {
        uint8_t c = uri.data[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (c == ':') return i ? i + 1 : 0;
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))) return 0;
    }
    return 0;
}

/* Where the path begins: behind "scheme://authority". */
static size_t path_start(dbk_slice uri)
{
    size_t at = scheme_size(uri);

    if (uri.size < at + 2 || uri.data[at] != '/' || uri.data[at + 1] != '/') return at;
    for (at += 2; at < uri.size && uri.data[at] != '/' && uri.data[at] != '?';) at++;
    return at;
}

/* "a/./b/../c" to "a/c", in place, from `start` on. */
static void remove_dots(dbk_buffer *uri, size_t start)
{
    size_t to = start, at = start;

    if (uri->failed) return;
    while (at < uri->size) {
        size_t end = at;
        while (end < uri->size && uri->data[end] != '/') end++;
        size_t size = end - at;
        bool last = end == uri->size;
        if (size == 1 && uri->data[at] == '.') {
            /* stays in its folder */
        } else if (size == 2 && uri->data[at] == '.' && uri->data[at + 1] == '.') {
            if (to > start) to--;
            while (to > start && uri->data[to - 1] != '/') to--;
        } else {
            memmove(uri->data + to, uri->data + at, size);
            to += size;
            if (!last) uri->data[to++] = '/';
        }
        at = end + 1;
    }
    uri->size = to;
}

void dbk_uri_resolve(dbk_buffer *out, dbk_slice base, dbk_slice reference)
{
    dbk_slice document, fragment, base_document, ignored;

    dbk_buffer_clear(out);
    dbk_uri_split(reference, &document, &fragment);
    dbk_uri_split(base, &base_document, &ignored);
    size_t start = path_start(base_document);
    if (document.size == 0) {
        dbk_buffer_put_slice(out, base_document);
    } else if (scheme_size(document)) {
        dbk_buffer_put_slice(out, document);
    } else if (document.size > 1 && document.data[0] == '/' && document.data[1] == '/') {
        dbk_buffer_put(out, base_document.data, scheme_size(base_document));
        dbk_buffer_put_slice(out, document);
    } else if (document.data[0] == '/') {
        dbk_buffer_put(out, base_document.data, start);
        dbk_buffer_put_slice(out, document);
    } else {
        size_t folder = base_document.size;
        while (folder > start && base_document.data[folder - 1] != '/') folder--;
        dbk_buffer_put(out, base_document.data, folder);
        if (folder == start && start > scheme_size(base_document)) dbk_buffer_put_u8(out, '/');
        dbk_buffer_put_slice(out, document);
        if (out->size > start) remove_dots(out, start + (out->data[start] == '/' ? 1 : 0));
    }
    if (fragment.size == 0) return;
    dbk_buffer_put_u8(out, '#');
    dbk_buffer_put_slice(out, fragment);
}
