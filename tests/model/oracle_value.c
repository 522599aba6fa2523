#include "tests/model/oracle.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SLOTS = 1 << 17, SET_WORDS = 64 };

/* The interned texts: open addressing, in an arena that o_reset clears. */
static dbk_arena *arena;
static const char *slots[SLOTS];
static uint32_t used;

void o_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("oracle: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

void o_reset(void)
{
    dbk_arena_free(arena);
    arena = dbk_arena_new(dbk_port_system(), 1 << 18);
    if (!arena) o_die("out of memory");
    memset(slots, 0, sizeof slots);
    used = 0;
}

void *o_take(size_t size)
{
    if (!arena) o_reset();
    void *memory = dbk_arena_take(arena, size ? size : 1);
    if (!memory) o_die("out of memory");
    return memset(memory, 0, size);
}

const char *o_intern(dbk_slice text)
{
    if (!arena) o_reset();
    uint32_t at = (uint32_t)dbk_checksum(text, 1) % SLOTS;
    for (; slots[at]; at = (at + 1) % SLOTS)
        if (dbk_slice_equal(dbk_slice_text(slots[at]), text)) return slots[at];
    if (++used > SLOTS / 2) o_die("too many texts");
    return slots[at] = (const char *)dbk_arena_copy(arena, text).data;
}

const char *o_encoded(const char *key)
{
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    for (const char *at = key; *at; at++) {
        if ((unsigned char)*at < 128) dbk_buffer_put_u8(&text, (uint8_t)*at);
        else dbk_buffer_printf(&text, "%%%02X", (unsigned char)*at);
    }
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

const char *o_text(const char *text)
{
    return o_intern(dbk_slice_text(text));
}

const char *o_format(const char *format, ...)
{
    char text[2000];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text) o_die("a text is too long");
    return o_text(text);
}

o_value o_integer(int64_t value)
{
    return (o_value){.kind = O_INTEGER, .integer = value};
}

o_value o_string(const char *text)
{
    return (o_value){.kind = O_TEXT, .text = o_text(text)};
}

static bool same_real(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

bool o_same(o_value a, o_value b)
{
    return a.kind == b.kind && a.text == b.text && a.lost == b.lost && a.integer == b.integer &&
           same_real(a.real, b.real);
}

static int rank(o_value value)
{
    return value.kind == O_NULL ? 0 : value.kind == O_TEXT ? 2 : 1;
}

static double number(o_value value)
{
    return value.kind == O_REAL ? value.real : (double)value.integer;
}

int o_compare(o_value a, o_value b)
{
    if (rank(a) != rank(b)) return rank(a) < rank(b) ? -1 : 1;
    if (rank(a) == 0) return 0;
    if (rank(a) == 2) return strcmp(a.text, b.text);
    if (a.kind == O_INTEGER && b.kind == O_INTEGER) return (a.integer > b.integer) - (a.integer < b.integer);
    return (number(a) > number(b)) - (number(a) < number(b));
}

bool o_true(o_value value)
{
    return (value.kind == O_INTEGER || value.kind == O_REAL) && (number(value) > 0 || number(value) < 0);
}

const char *o_json_text(const dbk_json_node *node)
{
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_json_put_minimal(&text, node);
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

o_value o_of_json(const dbk_json_node *node)
{
    int64_t integer;
    switch (node->kind) {
    case DBK_JSON_NULL: return (o_value){0};
    case DBK_JSON_FALSE: return o_integer(0);
    case DBK_JSON_TRUE: return o_integer(1);
    case DBK_JSON_STRING: return (o_value){.kind = O_TEXT, .text = o_intern(node->text)};
    case DBK_JSON_NUMBER:
        if (dbk_json_is_integer(node, &integer) && !memchr(node->text.data, '.', node->text.size))
            return o_integer(integer);
        return (o_value){.kind = O_REAL, .real = dbk_json_double(node)};
    default: return (o_value){.kind = O_TEXT, .text = o_json_text(node)};
    }
}

void o_json_put(dbk_buffer *out, o_value value)
{
    switch (value.kind) {
    case O_INTEGER: dbk_json_put_i64(out, value.integer); break;
    case O_REAL: dbk_json_put_double(out, value.real); break;
    case O_TEXT: dbk_json_put_string(out, dbk_slice_text(value.text)); break;
    default: dbk_buffer_put_text(out, "null");
    }
}

static const char *time_text(int64_t time_ms, bool with_ms)
{
    time_t seconds = (time_t)(time_ms / 1000);
    struct tm parts;
    char text[48], more[8] = "";
    if (!gmtime_r(&seconds, &parts)) o_die("a time of no calendar");
    (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    if (with_ms && time_ms % 1000) {
        snprintf(more, sizeof more, ".%03d", (int)(time_ms % 1000));
        for (size_t end = strlen(more); more[end - 1] == '0'; end--) more[end - 1] = 0;
    }
    return o_format("%s%s", text, more);
}

const char *o_time_text(int64_t time_ms)
{
    return time_text(time_ms, false);
}

const char *o_stamp_text(int64_t time_ms)
{
    return time_text(time_ms, true);
}

/* ---- sets */

typedef struct words {
    const char *items[SET_WORDS];
    int count;
} words;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Texts without escapes. */
static void split(const char *set, words *out)
{
    out->count = 0;
    for (const char *at = set ? strchr(set, '"') : NULL; at; at = strchr(at, '"')) {
        const char *end = strchr(at + 1, '"');
        if (!end || out->count == SET_WORDS) o_die("no set: %s", set);
        out->items[out->count++] = o_intern(dbk_slice_of(at + 1, (size_t)(end - at - 1)));
        at = end + 1;
    }
}

static const char *join(words *all)
{
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    qsort(all->items, (size_t)all->count, sizeof *all->items, by_text);
    dbk_buffer_put_u8(&text, '[');
    for (int i = 0, first = 1; i < all->count; i++) {
        if (i && all->items[i] == all->items[i - 1]) continue;
        dbk_buffer_printf(&text, "%s\"%s\"", first ? "" : ",", all->items[i]);
        first = 0;
    }
    dbk_buffer_put_u8(&text, ']');
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

const char *o_set_plus(const char *a, const char *b)
{
    words all, more;
    split(a, &all);
    split(b, &more);
    for (int i = 0; i < more.count && all.count < SET_WORDS; i++) all.items[all.count++] = more.items[i];
    return join(&all);
}

const char *o_set_minus(const char *a, const char *b)
{
    words all, less;
    split(a, &all);
    split(b, &less);
    for (int i = 0; i < all.count;) {
        int at = 0;
        while (at < less.count && less.items[at] != all.items[i]) at++;
        if (at < less.count) all.items[i] = all.items[--all.count];
        else i++;
    }
    return join(&all);
}

bool o_set_is_empty(const char *set)
{
    return !strchr(set, '"');
}
