#include "tests/log/vectors.h"

static const char *project;

/* Encodes what decode and the steppers gave, field by field. */
static dbk_buffer encode_again(const dbk_entry *decoded)
{
    dbk_entry entry = *decoded;
    dbk_buffer events, out;
    dbk_slice rest = decoded->events;
    dbk_event event;
    uint32_t count = 0;

    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&out, dbk_port_system());
    while (dbk_event_next(&rest, &event)) {
        dbk_event_encode(&events, &event);
        count++;
    }
    assert_int_equal(rest.size, 0);
    assert_int_equal(count, decoded->event_count);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&out, &entry);
    assert_false(events.failed || out.failed);
    dbk_buffer_release(&events);
    return out;
}

/* Every vector of the model decodes to its id and comes back the same. */
static void vectors_round_trip(void **state)
{
    vectors v = vectors_open(project);
    const dbk_json_node *vector = dbk_json_child(v.entries);

    (void)state;
    for (size_t i = 0; i < v.entries->count; i++, vector = dbk_json_next(vector)) {
        dbk_buffer origin = vector_bytes(vector, "origin_bytes"), again;
        char id[DBK_ENTRY_ID_TEXT_SIZE];
        dbk_entry entry;
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
        dbk_entry_id_text(&entry.id, id);
        assert_slice(vector_text(vector, "id"), id);
        again = encode_again(&entry);
        assert_true(dbk_slice_equal(dbk_buffer_slice(&origin), dbk_buffer_slice(&again)));
        dbk_buffer_release(&origin);
        dbk_buffer_release(&again);
    }
    vectors_close(&v);
}

/* Every vector cut anywhere is refused, in memory that ends with the cut. */
static void truncations_are_refused(void **state)
{
    vectors v = vectors_open(project);
    const dbk_json_node *vector = dbk_json_child(v.entries);

    (void)state;
    for (size_t i = 0; i < v.entries->count; i++, vector = dbk_json_next(vector)) {
        dbk_buffer origin = vector_bytes(vector, "origin_bytes");
        for (size_t size = 0; size < origin.size; size++) {
            uint8_t *cut = malloc(size ? size : 1);
            dbk_entry entry;
            dbk_error err;
            assert_non_null(cut);
            memcpy(cut, origin.data, size);
            assert_int_equal(dbk_entry_decode(dbk_slice_of(cut, size), &entry, NULL), DBK_CORRUPT);
            assert_int_equal(dbk_entry_decode(dbk_slice_of(cut, size), &entry, &err), DBK_CORRUPT);
            assert_non_null(strstr(err.text, size ? "runs beyond the end" : "it is empty"));
            free(cut);
        }
        dbk_buffer_release(&origin);
    }
    vectors_close(&v);
}

static void fields_are_those_of_the_vector(void **state)
{
    vectors v = vectors_open(project);
    dbk_buffer origin = vector_bytes(vector_named(&v, "base, several events"), "origin_bytes");
    dbk_slice rest;
    dbk_entry entry;
    dbk_event event;

    (void)state;
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
    assert_int_equal(entry.lineage[15], 'L');
    assert_int_equal(entry.definition[15], 'D');
    assert_int_equal(entry.command_hash[31], 'H');
    assert_int_equal(entry.hlc, UINT64_C(1700000000000) << 16 | 1);
    assert_int_equal(entry.time_ms, INT64_C(1700000000000));
    assert_int_equal(entry.zone_minutes, 60);
    assert_int_equal(entry.epoch, 0);
    assert_int_equal(entry.flags, DBK_ENTRY_APP);
    assert_slice(entry.command_id, "c2");
    assert_slice(entry.actor, "a");
    assert_slice(entry.correlation, "k");
    assert_slice(entry.causation, "z");
    assert_int_equal(entry.event_count, 3);
    rest = entry.events;
    assert_true(dbk_event_next(&rest, &event));
    assert_slice(event.stream, "notes/n1");
    assert_slice(event.type, "notes.patched");
    assert_int_equal(event.type_version, 1);
    assert_slice(event.content_type, "");
    assert_true(event.has_base);
    assert_int_equal(event.base.seq, 1);
    assert_slice(event.data, "{\"title\":null}");
    assert_true(dbk_event_next(&rest, &event));
    assert_false(event.has_base);
    assert_int_equal(event.base.seq, 0);
    assert_int_equal(event.type_version, 2);
    assert_slice(event.content_type, "application/cloudevents+json");
    assert_true(dbk_event_next(&rest, &event));
    assert_slice(event.stream, "notes/a%2Fb");
    assert_int_equal(event.base.seq, 3);
    assert_false(dbk_event_next(&rest, &event));
    dbk_buffer_release(&origin);
    vectors_close(&v);
}

/* An entry built by hand, with everything in it; `names` and `sealed` are taken as they are. */
typedef struct draft {
    uint8_t base_flag;
    dbk_slice stream;
    const char *names[3];
    const char *sealed[3];
    const char *tail;
} draft;

static const draft sound = {
    .base_flag = 1, .stream = {(const uint8_t *)"n/1", 3}, .names = {"", "a", "b"}, .sealed = {"", "x", "xy"}};

enum { HEAD = 117, EVENT_AT = HEAD + 4 * 2 + 4 };

static void put_test_text(dbk_buffer *out, dbk_slice text)
{
    dbk_buffer_put_u16(out, (uint16_t)text.size);
    dbk_buffer_put_slice(out, text);
}

/* The layout of the header's comment, written a second time and without the encoder. */
static dbk_buffer build(const draft *d)
{
    dbk_buffer out;

    dbk_buffer_init(&out, dbk_port_system());
    dbk_buffer_put_u8(&out, 1);
    for (int i = 1; i < HEAD; i++) dbk_buffer_put_u8(&out, (uint8_t)i);
    for (int i = 0; i < 4; i++) dbk_buffer_put_u16(&out, 0);
    dbk_buffer_put_u32(&out, 1);
    put_test_text(&out, d->stream);
    put_test_text(&out, dbk_slice_text("n.put"));
    dbk_buffer_put_u32(&out, 9);
    put_test_text(&out, dbk_slice_text(""));
    dbk_buffer_put_u8(&out, d->base_flag);
    for (int i = 0; d->base_flag && i < 28; i++) dbk_buffer_put_u8(&out, 7);
    put_test_text(&out, dbk_slice_text("key"));
    dbk_buffer_put_u32(&out, 2);
    dbk_buffer_put_text(&out, "{}");
    dbk_buffer_put_u16(&out, 3);
    for (int i = 0; i < 3; i++) {
        put_test_text(&out, dbk_slice_text(d->sealed[i]));
        dbk_buffer_put_u32(&out, 1);
        dbk_buffer_put_u8(&out, (uint8_t)i);
    }
    dbk_buffer_put_u16(&out, 3);
    for (int i = 0; i < 3; i++) put_test_text(&out, dbk_slice_text(d->names[i]));
    if (d->tail) dbk_buffer_put_text(&out, d->tail);
    assert_false(out.failed);
    return out;
}

static void assert_refused(const draft *d, dbk_result code, const char *text)
{
    dbk_buffer origin = build(d);
    dbk_entry entry;
    dbk_error err;

    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, &err), code);
    assert_string_equal(err.text, text);
    assert_int_equal(err.code, code);
    dbk_buffer_release(&origin);
}

/* A drafted entry that is sound: its lists can be stepped through and it comes back the same. */
static void sound_draft_round_trips(void **state)
{
    dbk_buffer origin = build(&sound), again, names;
    const dbk_slice filled[] = {dbk_slice_text(""), dbk_slice_text("a"), dbk_slice_text("b")};
    dbk_slice rest, name, value;
    dbk_entry entry;
    dbk_event event;

    (void)state;
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
    rest = entry.events;
    assert_true(dbk_event_next(&rest, &event));
    assert_int_equal(event.sealed_count, 3);
    assert_int_equal(event.filled_count, 3);
    dbk_buffer_init(&names, dbk_port_system());
    dbk_names_encode(&names, filled, 3);
    assert_true(dbk_slice_equal(dbk_buffer_slice(&names), event.filled));
    for (int i = 0; i < 3; i++) {
        assert_true(dbk_name_next(&event.filled, &name));
        assert_slice(name, sound.names[i]);
        assert_true(dbk_sealed_next(&event.sealed, &name, &value));
        assert_slice(name, sound.sealed[i]);
        assert_int_equal(value.size, 1);
        assert_int_equal(value.data[0], i);
    }
    assert_false(dbk_name_next(&event.filled, &name));
    assert_false(dbk_sealed_next(&event.sealed, &name, &value));
    again = encode_again(&entry);
    assert_true(dbk_slice_equal(dbk_buffer_slice(&origin), dbk_buffer_slice(&again)));
    dbk_buffer_release(&names);
    dbk_buffer_release(&again);
    dbk_buffer_release(&origin);
}

static void numbers_are_little_endian(void **state)
{
    dbk_buffer origin = build(&sound);
    dbk_entry entry;

    (void)state;
    origin.data[57 + 7] = 0xff; /* the sign of the time */
    origin.data[65 + 1] = 0xff; /* the sign of the zone */
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
    assert_int_equal(entry.lineage[0], 1);
    assert_int_equal(entry.id.replica[0], 17);
    assert_int_equal(entry.id.incarnation, 0x24232221);
    assert_int_equal(entry.id.seq, 0x2c2b2a2928272625);
    assert_int_equal(entry.epoch, 0x302f2e2d);
    assert_int_equal(entry.hlc, 0x3837363534333231);
    assert_true(entry.time_ms == (int64_t)0xff3f3e3d3c3b3a39);
    assert_true(entry.zone_minutes == (int16_t)0xff41);
    assert_int_equal(entry.flags, 0x4443);
    assert_int_equal(entry.definition[0], 69);
    assert_int_equal(entry.command_hash[31], 116);
    dbk_buffer_release(&origin);
}

/* Each form that the contract calls invalid, with the offset and the field in the text. */
static void invalid_forms_are_refused(void **state)
{
    draft d = sound;

    (void)state;
    d.base_flag = 2;
    assert_refused(&d, DBK_CORRUPT, "entry is damaged at offset 147: 'base flag' of event 0 is neither 0 nor 1");
    d = sound;
    d.stream = dbk_slice_of("\xed\xa0\x80", 3);
    assert_refused(&d, DBK_CORRUPT, "entry is damaged at offset 129: 'stream' of event 0 is not valid UTF-8");
    d = sound;
    d.names[2] = "a";
    assert_refused(&d, DBK_CORRUPT,
                   "entry is damaged at offset 220: 'filled name' of event 0 is not above the name before it");
    d.names[1] = "b";
    assert_refused(&d, DBK_CORRUPT,
                   "entry is damaged at offset 220: 'filled name' of event 0 is not above the name before it");
    d = sound;
    d.sealed[1] = "";
    assert_refused(&d, DBK_CORRUPT,
                   "entry is damaged at offset 196: 'sealed name' of event 0 is not above the name before it");
    d.sealed[1] = "z";
    assert_refused(&d, DBK_CORRUPT,
                   "entry is damaged at offset 204: 'sealed name' of event 0 is not above the name before it");
    d.sealed[1] = "\xff";
    assert_refused(&d, DBK_CORRUPT, "entry is damaged at offset 196: 'sealed name' of event 0 is not valid UTF-8");
    d = sound;
    d.tail = "xyz";
    assert_refused(&d, DBK_CORRUPT, "entry is damaged at offset 223: 3 bytes follow the last event");
}

/* One byte of the sound draft changed; the refusal's text. */
static void assert_byte_refused(size_t offset, uint8_t byte, dbk_result code, const char *text)
{
    dbk_buffer origin = build(&sound);
    dbk_entry entry;
    dbk_error err;

    origin.data[offset] = byte;
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, &err), code);
    assert_string_equal(err.text, text);
    dbk_buffer_release(&origin);
}

static void lengths_and_versions_are_refused(void **state)
{
    (void)state;
    assert_byte_refused(0, 0, DBK_CORRUPT, "entry is damaged at offset 0: 'version' is 0");
    assert_byte_refused(0, 2, DBK_VERSION, "entry is of version 2, known is version 1");
    assert_byte_refused(0, 255, DBK_VERSION, "entry is of version 255, known is version 1");
    assert_byte_refused(HEAD + 1, 255, DBK_CORRUPT, "entry is damaged at offset 117: 'command id' runs beyond the end");
    assert_byte_refused(HEAD + 8, 2, DBK_CORRUPT,
                        "entry is damaged at offset 223: 'stream' of event 1 runs beyond the end");
    assert_byte_refused(HEAD + 8, 0, DBK_CORRUPT, "entry is damaged at offset 129: 94 bytes follow the last event");
    assert_byte_refused(184, 255, DBK_CORRUPT, "entry is damaged at offset 181: 'data' of event 0 runs beyond the end");
}

/* The steppers stay within bytes that decode has not seen. */
static void steppers_stay_inside(void **state)
{
    dbk_buffer origin = build(&sound);

    (void)state;
    for (size_t size = 0; size < origin.size - EVENT_AT; size++) {
        uint8_t *cut = malloc(size ? size : 1);
        dbk_event event;
        dbk_slice rest = dbk_slice_of(cut, size), name, value;
        assert_non_null(cut);
        memcpy(cut, origin.data + EVENT_AT, size);
        assert_false(dbk_event_next(&rest, &event));
        assert_int_equal(rest.size, size);
        while (dbk_name_next(&rest, &name)) continue;
        rest = dbk_slice_of(cut, size);
        while (dbk_sealed_next(&rest, &name, &value)) continue;
        free(cut);
    }
    dbk_buffer_release(&origin);
}

static void *no_memory(void *ctx, void *memory, size_t size)
{
    (void)ctx, (void)memory, (void)size;
    return NULL;
}

static void lack_of_memory_is_told(void **state)
{
    dbk_port port = *dbk_port_system();
    const dbk_slice name = dbk_slice_text("a");
    dbk_entry entry = {0};
    dbk_event event = {0};
    dbk_buffer out;

    (void)state;
    port.resize = no_memory;
    dbk_buffer_init(&out, &port);
    dbk_entry_encode(&out, &entry);
    assert_true(out.failed);
    dbk_buffer_clear(&out);
    dbk_event_encode(&out, &event);
    assert_true(out.failed);
    dbk_buffer_clear(&out);
    dbk_names_encode(&out, &name, 1);
    assert_true(out.failed);
    dbk_buffer_release(&out);
}

static void engine_events_are_known_by_type(void **state)
{
    dbk_event event = {.type = dbk_slice_text("daybook.trimmed")};

    (void)state;
    assert_true(dbk_event_is_engine(&event));
    event.type = dbk_slice_text("daybook.");
    assert_true(dbk_event_is_engine(&event));
    event.type = dbk_slice_text("daybook");
    assert_false(dbk_event_is_engine(&event));
    event.type = dbk_slice_text("daybooks.put");
    assert_false(dbk_event_is_engine(&event));
    event.type = dbk_slice_text("");
    assert_false(dbk_event_is_engine(&event));
}

/* A row of the dump in docs/format/entry.md: "<offset>  <hex digits>  <field>[: <remark>]". */
typedef struct dump_row {
    size_t offset;
    char hex[256];
    char field[64];
} dump_row;

static bool next_row(const char **at, dump_row *row)
{
    if (strncmp(*at, "```", 3) == 0) return false;
    assert_int_equal(sscanf(*at, "%zu %255[0-9a-f] %63[a-z ]", &row->offset, row->hex, row->field), 3);
    *at = strchr(*at, '\n');
    assert_non_null(*at);
    (*at)++;
    return true;
}

/* A cut where the row begins must be refused with the row's offset and name. */
static void check_field(const dbk_buffer *origin, const dump_row *row)
{
    char text[160];
    dbk_entry entry;
    dbk_error err;

    if (row->offset == 0) return;
    (void)snprintf(text, sizeof(text), "entry is damaged at offset %zu: '%s' ", row->offset < HEAD ? 0 : row->offset,
                   row->offset < HEAD ? "head" : row->field);
    assert_int_equal(dbk_entry_decode(dbk_slice_of(origin->data, row->offset), &entry, &err), DBK_CORRUPT);
    if (strncmp(err.text, text, strlen(text)) != 0) fail_msg("row %s: %s", row->field, err.text);
}

/* The document's dump is the model's vector, and its rows are the fields of the decoder. */
static void document_agrees(void **state)
{
    vectors v = vectors_open(project);
    dbk_buffer origin = vector_bytes(vector_named(&v, "sealed"), "origin_bytes");
    dbk_buffer page = project_file(project, "docs/format/entry.md");
    const char *text = dbk_buffer_text(&page), *at;
    size_t offset = 0, rows = 0;
    dump_row row;

    (void)state;
    assert_non_null(text);
    at = strstr(text, "```dump\n");
    assert_non_null(at);
    for (at += strlen("```dump\n"); next_row(&at, &row); rows++) {
        uint8_t bytes[128];
        size_t size = strlen(row.hex) / 2;
        assert_int_equal(row.offset, offset);
        assert_true(dbk_hex_decode(dbk_slice_text(row.hex), bytes, size));
        assert_in_range(offset + size, 1, origin.size);
        assert_memory_equal(bytes, origin.data + offset, size);
        check_field(&origin, &row);
        offset += size;
    }
    assert_int_equal(offset, origin.size);
    assert_int_equal(rows, 30);
    dbk_buffer_release(&page);
    dbk_buffer_release(&origin);
    vectors_close(&v);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_round_trip),
        cmocka_unit_test(truncations_are_refused),
        cmocka_unit_test(fields_are_those_of_the_vector),
        cmocka_unit_test(sound_draft_round_trips),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(invalid_forms_are_refused),
        cmocka_unit_test(lengths_and_versions_are_refused),
        cmocka_unit_test(steppers_stay_inside),
        cmocka_unit_test(lack_of_memory_is_told),
        cmocka_unit_test(engine_events_are_known_by_type),
        cmocka_unit_test(document_agrees),
    };

    if (argc != 2) return fprintf(stderr, "usage: %s PROJECT\n", argv[0]), 2;
    project = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
