/* Any bytes as an entry. What decode accepts must come back the same from the encoders, by way of
 * the steppers; what it refuses must be refused with a text. */
#include <stdlib.h>

#include "log/entry.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

/* Steps through a list and encodes it again; `values` tells sealed fields from filled ones. */
static void check_list(dbk_slice list, uint32_t count, bool values)
{
    dbk_slice rest = list, name, value = {NULL, 0}, before = {NULL, 0};
    dbk_buffer out;
    uint32_t seen = 0;

    dbk_buffer_init(&out, dbk_port_system());
    while (values ? dbk_sealed_next(&rest, &name, &value) : dbk_name_next(&rest, &name)) {
        REQUIRE(dbk_utf8_valid(name));
        REQUIRE(seen == 0 || dbk_slice_compare(before, name) < 0);
        dbk_names_encode(&out, &name, 1);
        if (values) dbk_buffer_put_u32(&out, (uint32_t)value.size);
        if (values) dbk_buffer_put_slice(&out, value);
        before = name;
        seen++;
    }
    REQUIRE(seen == count && rest.size == 0 && !out.failed);
    REQUIRE(dbk_slice_equal(list, dbk_buffer_slice(&out)));
    dbk_buffer_release(&out);
}

static void check_event(const dbk_event *event)
{
    const dbk_slice texts[] = {event->stream, event->type, event->content_type, event->key_id};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) REQUIRE(dbk_utf8_valid(texts[i]));
    check_list(event->sealed, event->sealed_count, true);
    check_list(event->filled, event->filled_count, false);
    (void)dbk_event_is_engine(event);
}

static void check_keys(const dbk_entry *entry)
{
    uint8_t key[DBK_ORDER_KEY_SIZE];
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id id;

    dbk_entry_order_key(entry, key);
    REQUIRE(memcmp(key + 12, entry->id.replica, sizeof(entry->id.replica)) == 0);
    REQUIRE(dbk_load_be32(key + 28) == entry->id.incarnation && dbk_load_be64(key + 32) == entry->id.seq);
    dbk_entry_id_text(&entry->id, text);
    /* decode takes seq 0, which is of no id: there nothing is parsed */
    bool parsed = dbk_entry_id_parse(dbk_slice_text(text), &id);
    REQUIRE(parsed == (entry->id.seq != 0));
    REQUIRE(!parsed || dbk_entry_id_equal(&id, &entry->id));
}

static void check_accepted(dbk_slice origin, dbk_entry *entry)
{
    dbk_slice rest = entry->events;
    dbk_buffer events, out;
    dbk_event event;
    uint32_t seen = 0;

    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&out, dbk_port_system());
    for (; dbk_event_next(&rest, &event); seen++) {
        check_event(&event);
        dbk_event_encode(&events, &event);
    }
    REQUIRE(seen == entry->event_count && rest.size == 0);
    check_keys(entry);
    entry->events = dbk_buffer_slice(&events);
    dbk_entry_encode(&out, entry);
    REQUIRE(!events.failed && !out.failed);
    REQUIRE(dbk_slice_equal(origin, dbk_buffer_slice(&out)));
    dbk_buffer_release(&events);
    dbk_buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dbk_slice origin = dbk_slice_of(data, size), rest = origin, name, value;
    dbk_entry entry;
    dbk_event event;
    dbk_error err = {.text = ""};
    dbk_entry_id id;
    dbk_result rc = dbk_entry_decode(origin, &entry, &err);

    if (rc == DBK_OK) {
        check_accepted(origin, &entry);
    } else {
        REQUIRE(rc == (size && data[0] > 1 ? DBK_VERSION : DBK_CORRUPT));
        REQUIRE(err.code == rc && err.text[0]);
    }
    /* the steppers stay inside bytes that decode has not seen */
    while (dbk_event_next(&rest, &event)) continue;
    for (rest = origin; dbk_sealed_next(&rest, &name, &value);) continue;
    (void)dbk_entry_id_parse(origin, &id);
    return 0;
}
