/* One walk knows the layout of an event; decode takes it with every check, the steppers over bytes
 * that decode has passed take it with the bounds alone. */
#include "log/entry.h"

#include <assert.h>
#include <inttypes.h>

enum { ENTRY_VERSION = 1, HEAD_BYTES = 117, BASE_BYTES = 28 };

/* Where the walk stands, and, once a take has returned false, which field was wrong and how. */
typedef struct walk {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *wrong_at;
    const char *field;
    const char *wrong;
    bool strict; /* checks what the bounds do not ask for: UTF-8, flags, order of names */
} walk;

static __attribute__((noinline, cold)) void note_wrong(walk *w, const uint8_t *at, const char *field, const char *wrong)
{
    w->wrong_at = at;
    w->field = field;
    w->wrong = wrong;
}

/* Inline, so that the compiler sees that it is false. */
static inline bool refuse(walk *w, const uint8_t *at, const char *field, const char *wrong)
{
    note_wrong(w, at, field, wrong);
    return false;
}

static inline bool take(walk *w, const char *field, size_t size, const uint8_t **out)
{
    if (size > (size_t)(w->end - w->at)) return refuse(w, w->at, field, "runs beyond the end");
    *out = w->at;
    w->at += size;
    return true;
}

static inline bool take_u16(walk *w, const char *field, uint16_t *out)
{
    const uint8_t *at;

    if (!take(w, field, 2, &at)) return false;
    *out = dbk_load_u16(at);
    return true;
}

static inline bool take_u32(walk *w, const char *field, uint32_t *out)
{
    const uint8_t *at;

    if (!take(w, field, 4, &at)) return false;
    *out = dbk_load_u32(at);
    return true;
}

static inline bool take_text(walk *w, const char *field, dbk_slice *out)
{
    const uint8_t *start = w->at;
    uint16_t size;

    if (!take_u16(w, field, &size)) return false;
    if (size > (size_t)(w->end - w->at)) return refuse(w, start, field, "runs beyond the end");
    *out = dbk_slice_of(w->at, size);
    if (w->strict && size && !dbk_utf8_valid(*out)) {
        return refuse(w, start, field, "is not valid UTF-8");
    }
    w->at += size;
    return true;
}

static inline bool take_blob(walk *w, const char *field, dbk_slice *out)
{
    const uint8_t *start = w->at;
    uint32_t size;

    if (!take_u32(w, field, &size)) return false;
    if (size > (size_t)(w->end - w->at)) return refuse(w, start, field, "runs beyond the end");
    *out = dbk_slice_of(w->at, size);
    w->at += size;
    return true;
}

static void load_id(const uint8_t *at, dbk_entry_id *id)
{
    memcpy(id->replica, at, sizeof(id->replica));
    id->incarnation = dbk_load_u32(at + 16);
    id->seq = dbk_load_u64(at + 20);
}

static inline bool take_base(walk *w, dbk_event *event)
{
    const uint8_t *flag, *id;

    if (!take(w, "base flag", 1, &flag)) return false;
    if (w->strict && *flag > 1) return refuse(w, flag, "base flag", "is neither 0 nor 1");
    event->has_base = *flag != 0;
    if (!event->has_base) {
        memset(&event->base, 0, sizeof(event->base));
        return true;
    }
    if (!take(w, "base", BASE_BYTES, &id)) return false;
    load_id(id, &event->base);
    return true;
}

/* The names of one list, each with a value behind it where `value_field` is given. */
static inline bool take_names(walk *w, const char *field, const char *value_field, uint16_t count, dbk_slice *out)
{
    const uint8_t *first = w->at;
    dbk_slice before = {NULL, 0}, name, value;

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *start = w->at;
        if (!take_text(w, field, &name)) return false;
        if (w->strict && i > 0 && dbk_slice_compare(before, name) >= 0) {
            return refuse(w, start, field, "is not above the name before it");
        }
        if (value_field && !take_blob(w, value_field, &value)) return false;
        before = name;
    }
    *out = dbk_slice_of(first, (size_t)(w->at - first));
    return true;
}

static inline bool take_event(walk *w, dbk_event *event)
{
    return take_text(w, "stream", &event->stream) && take_text(w, "type", &event->type) &&
           take_u32(w, "type version", &event->type_version) && take_text(w, "content type", &event->content_type) &&
           take_base(w, event) && take_text(w, "key id", &event->key_id) && take_blob(w, "data", &event->data) &&
           take_u16(w, "number of sealed fields", &event->sealed_count) &&
           take_names(w, "sealed name", "sealed value", event->sealed_count, &event->sealed) &&
           take_u16(w, "number of filled fields", &event->filled_count) &&
           take_names(w, "filled name", NULL, event->filled_count, &event->filled);
}

static bool take_head(walk *w, dbk_entry *entry)
{
    const uint8_t *at;

    if (!take(w, "head", HEAD_BYTES, &at)) return false;
    memcpy(entry->lineage, at + 1, sizeof(entry->lineage));
    load_id(at + 17, &entry->id);
    entry->epoch = dbk_load_u32(at + 45);
    entry->hlc = dbk_load_u64(at + 49);
    entry->time_ms = (int64_t)dbk_load_u64(at + 57);
    entry->zone_minutes = (int16_t)dbk_load_u16(at + 65);
    entry->flags = dbk_load_u16(at + 67);
    memcpy(entry->definition, at + 69, sizeof(entry->definition));
    memcpy(entry->command_hash, at + 85, sizeof(entry->command_hash));
    return take_text(w, "command id", &entry->command_id) && take_text(w, "actor", &entry->actor) &&
           take_text(w, "correlation", &entry->correlation) && take_text(w, "causation", &entry->causation) &&
           take_u32(w, "number of events", &entry->event_count);
}

static dbk_result fail_version(dbk_slice origin, dbk_error *err)
{
    if (origin.size == 0) return dbk_fail(err, DBK_CORRUPT, "entry is damaged: it is empty");
    if (origin.data[0] == 0) {
        return dbk_fail(err, DBK_CORRUPT, "entry is damaged at offset 0: 'version' is 0");
    }
    (void)dbk_fail(err, DBK_VERSION, "entry is of version %u, known is version %u", origin.data[0], ENTRY_VERSION);
    dbk_error_hint(err, "use the Daybook that wrote it, or a newer one");
    return DBK_VERSION;
}

dbk_result dbk_entry_decode(dbk_slice origin, dbk_entry *entry, dbk_error *err)
{
    walk w = {.at = origin.data, .strict = true};
    dbk_event event;

    if (origin.size == 0 || origin.data[0] != ENTRY_VERSION) return fail_version(origin, err);
    w.end = origin.data + origin.size;
    if (!take_head(&w, entry)) {
        return dbk_fail(err, DBK_CORRUPT, "entry is damaged at offset %zu: '%s' %s", (size_t)(w.wrong_at - origin.data),
                        w.field, w.wrong);
    }
    entry->events = dbk_slice_of(w.at, (size_t)(w.end - w.at));
    for (uint32_t i = 0; i < entry->event_count; i++) {
        if (take_event(&w, &event)) continue;
        return dbk_fail(err, DBK_CORRUPT, "entry is damaged at offset %zu: '%s' of event %" PRIu32 " %s",
                        (size_t)(w.wrong_at - origin.data), w.field, i, w.wrong);
    }
    if (w.at != w.end) {
        return dbk_fail(err, DBK_CORRUPT, "entry is damaged at offset %zu: %zu bytes follow the last event",
                        (size_t)(w.at - origin.data), (size_t)(w.end - w.at));
    }
    return DBK_OK;
}

/* A walk over bytes that decode has passed. */
static walk walk_over(const dbk_slice *rest)
{
    return (walk){.at = rest->data, .end = rest->size ? rest->data + rest->size : rest->data};
}

static void walked(const walk *w, dbk_slice *rest)
{
    *rest = dbk_slice_of(w->at, (size_t)(w->end - w->at));
}

bool dbk_event_next(dbk_slice *rest, dbk_event *event)
{
    walk w = walk_over(rest);

    if (rest->size == 0 || !take_event(&w, event)) return false;
    walked(&w, rest);
    return true;
}

bool dbk_name_next(dbk_slice *rest, dbk_slice *name)
{
    walk w = walk_over(rest);

    if (rest->size == 0 || !take_text(&w, "", name)) return false;
    walked(&w, rest);
    return true;
}

bool dbk_sealed_next(dbk_slice *rest, dbk_slice *name, dbk_slice *value)
{
    walk w = walk_over(rest);

    if (rest->size == 0 || !take_text(&w, "", name) || !take_blob(&w, "", value)) return false;
    walked(&w, rest);
    return true;
}

static uint8_t *put(uint8_t *at, const void *data, size_t size)
{
    if (size) memcpy(at, data, size);
    return at + size;
}

static uint8_t *put_u16(uint8_t *at, uint16_t value)
{
    dbk_store_u16(at, value);
    return at + 2;
}

static uint8_t *put_u32(uint8_t *at, uint32_t value)
{
    dbk_store_u32(at, value);
    return at + 4;
}

static uint8_t *put_u64(uint8_t *at, uint64_t value)
{
    dbk_store_u64(at, value);
    return at + 8;
}

static uint8_t *put_text(uint8_t *at, dbk_slice text)
{
    assert(text.size <= UINT16_MAX);
    return put(put_u16(at, (uint16_t)text.size), text.data, text.size);
}

static uint8_t *put_id(uint8_t *at, const dbk_entry_id *id)
{
    at = put(at, id->replica, sizeof(id->replica));
    return put_u64(put_u32(at, id->incarnation), id->seq);
}

void dbk_entry_encode(dbk_buffer *out, const dbk_entry *entry)
{
    size_t size = HEAD_BYTES + 4 * 2 + 4 + entry->command_id.size + entry->actor.size + entry->correlation.size +
                  entry->causation.size + entry->events.size;
    uint8_t *at = dbk_buffer_extend(out, size);

    if (!at) return;
    *at++ = ENTRY_VERSION;
    at = put(at, entry->lineage, sizeof(entry->lineage));
    at = put_id(at, &entry->id);
    at = put_u32(at, entry->epoch);
    at = put_u64(at, entry->hlc);
    at = put_u64(at, (uint64_t)entry->time_ms);
    at = put_u16(at, (uint16_t)entry->zone_minutes);
    at = put_u16(at, entry->flags);
    at = put(at, entry->definition, sizeof(entry->definition));
    at = put(at, entry->command_hash, sizeof(entry->command_hash));
    at = put_text(at, entry->command_id);
    at = put_text(at, entry->actor);
    at = put_text(at, entry->correlation);
    at = put_text(at, entry->causation);
    at = put_u32(at, entry->event_count);
    (void)put(at, entry->events.data, entry->events.size);
}

void dbk_event_encode(dbk_buffer *out, const dbk_event *event)
{
    size_t size = 4 * 2 + 4 + 1 + (event->has_base ? (size_t)BASE_BYTES : 0) + 4 + 2 * 2 + event->stream.size +
                  event->type.size + event->content_type.size + event->key_id.size + event->data.size +
                  event->sealed.size + event->filled.size;
    uint8_t *at = dbk_buffer_extend(out, size);

    assert(event->data.size <= UINT32_MAX);
    if (!at) return;
    at = put_text(at, event->stream);
    at = put_text(at, event->type);
    at = put_u32(at, event->type_version);
    at = put_text(at, event->content_type);
    *at++ = event->has_base;
    if (event->has_base) at = put_id(at, &event->base);
    at = put_text(at, event->key_id);
    at = put_u32(at, (uint32_t)event->data.size);
    at = put(at, event->data.data, event->data.size);
    at = put_u16(at, event->sealed_count);
    at = put(at, event->sealed.data, event->sealed.size);
    at = put_u16(at, event->filled_count);
    (void)put(at, event->filled.data, event->filled.size);
}

void dbk_names_encode(dbk_buffer *out, const dbk_slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = dbk_buffer_extend(out, 2 + names[i].size);
        if (!at) return;
        (void)put_text(at, names[i]);
    }
}

bool dbk_event_is_engine(const dbk_event *event)
{
    static const char prefix[] = "daybook.";
    const size_t size = sizeof(prefix) - 1;

    return event->type.size >= size && memcmp(event->type.data, prefix, size) == 0;
}
