/* Receipts: what a command is answered (interface.md §2). */
#include "store/disk.h"
#include "store/turn.h"
#include "store/undo.h"

/* This author's ids differ in what stands behind the last point. */
static void begin_entries(dbk_engine *engine)
{
    dbk_entry_id id = {.incarnation = engine->identity.incarnation};
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    memcpy(id.replica, engine->identity.replica, sizeof id.replica);
    dbk_entry_id_text(&id, text);
    dbk_buffer_clear(&engine->entry_begin);
    dbk_buffer_put_text(&engine->entry_begin, ",\"entry\":\"");
    dbk_buffer_put(&engine->entry_begin, text, (size_t)(strrchr(text, '.') - text) + 1);
}

/* What the entries and the cursors of a turn's receipts begin with. */
void dbk_receipt_begin(dbk_engine *engine)
{
    begin_entries(engine);
    dbk_buffer *out = &engine->cursor_begin;
    dbk_buffer_clear(out);
    dbk_buffer_put_text(out, ",\"cursor\":[");
    dbk_json_put_string(out, dbk_slice_text(engine->identity.timeline));
    dbk_buffer_put_u8(out, ',');
    dbk_json_put_u64(out, engine->identity.generation);
    dbk_buffer_put_u8(out, ',');
}

static void put_cursor(dbk_engine *engine, uint64_t position, dbk_buffer *out)
{
    dbk_buffer_put_slice(out, dbk_buffer_slice(&engine->cursor_begin));
    dbk_json_put_u64(out, position);
    dbk_buffer_put_u8(out, ']');
    out->failed = out->failed || engine->cursor_begin.failed;
}

static void put_entry(const dbk_entry_id *id, dbk_buffer *out)
{
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(id, text);
    dbk_buffer_put_text(out, ",\"entry\":\"");
    dbk_buffer_put_text(out, text);
    dbk_buffer_put_u8(out, '"');
}

static void put_head(dbk_slice id, uint64_t position, dbk_buffer *out)
{
    dbk_buffer_put_text(out, "{\"id\":");
    dbk_json_put_string(out, id);
    dbk_buffer_put_text(out, ",\"ok\":true,\"position\":");
    dbk_json_put_u64(out, position);
}

void dbk_receipt_accepted(dbk_engine *engine, const dbk_draft *draft, uint64_t version, dbk_buffer *out)
{
    enum { USUAL_BYTES = 256 };
    (void)dbk_buffer_reserve(out, USUAL_BYTES); /* once, and not in four steps; a failure stays in `out` */
    put_head(draft->command_id, draft->position, out);
    if (version > 0) {
        dbk_buffer_put_text(out, ",\"version\":");
        dbk_json_put_u64(out, version);
    }
    if (draft->key.size > 0) {
        dbk_buffer_put_text(out, ",\"key\":");
        dbk_buffer_put_slice(out, dbk_buffer_slice(&draft->key));
    }
    if (draft->result.size > 0) {
        dbk_buffer_put_text(out, ",\"result\":");
        dbk_buffer_put_slice(out, dbk_buffer_slice(&draft->result));
    }
    if (draft->warning.size > 0) {
        dbk_buffer_put_text(out, ",\"warning\":");
        dbk_json_put_string(out, dbk_buffer_slice(&draft->warning));
    }
    dbk_buffer_put_slice(out, dbk_buffer_slice(&engine->entry_begin));
    dbk_json_put_u64(out, draft->id.seq);
    dbk_buffer_put_u8(out, '"');
    out->failed = out->failed || engine->entry_begin.failed;
    put_cursor(engine, draft->position, out);
    if (draft->undo && engine->undoing) {
        dbk_buffer_put_text(out, ",\"kept\":[");
        dbk_buffer_put_slice(out, dbk_buffer_slice(&engine->undoing->kept));
        dbk_buffer_put_u8(out, ']');
    }
    dbk_buffer_put_u8(out, '}');
}

/* Rebuilt from the log: the key of the last put, the version its own position. */
void dbk_receipt_again(dbk_engine *engine, const dbk_entry *entry, uint64_t position, dbk_buffer *out)
{
    put_head(entry->command_id, position, out);
    if (entry->event_count > 0) {
        dbk_buffer_put_text(out, ",\"version\":");
        dbk_json_put_u64(out, position);
    }
    dbk_slice rest = entry->events, key = {NULL, 0};
    const dbk_table *table = NULL, *of = NULL;
    dbk_row_op op;
    for (dbk_event event; dbk_event_next(&rest, &event);) {
        if (!dbk_definition_row_event(engine->definition, event.type, &of, &op) || op == DBK_OP_DELETED) continue;
        size_t prefix = strlen(of->name) + 1;
        if (event.stream.size < prefix) continue;
        table = of;
        key = dbk_slice_of(event.stream.data + prefix, event.stream.size - prefix);
    }
    if (table) {
        dbk_buffer_put_text(out, ",\"key\":");
        dbk_key_to_json(table, key, out);
    }
    put_entry(&entry->id, out);
    put_cursor(engine, position, out);
    dbk_buffer_put_text(out, ",\"again\":true}");
}

static void put_member(dbk_buffer *out, const char *name, const char *text)
{
    dbk_buffer_printf(out, ",\"%s\":", name);
    dbk_json_put_string(out, dbk_slice_text(text));
}

void dbk_receipt_refused(dbk_engine *engine, dbk_slice id, const dbk_error *error, dbk_slice detail,
                         bool outcome_unknown, dbk_buffer *out)
{
    dbk_error told = *error;
    engine->counts.refused++;
    dbk_disk_hint(engine, &told);
    dbk_buffer_put_u8(out, '{');
    if (id.size > 0) {
        dbk_buffer_put_text(out, "\"id\":");
        dbk_json_put_string(out, id);
        dbk_buffer_put_u8(out, ',');
    }
    dbk_buffer_put_text(out, "\"ok\":false");
    put_member(out, "error", dbk_result_wire_name(error->code));
    put_member(out, "class", dbk_class_name(dbk_result_class(error->code)));
    put_member(out, "message", error->text);
    if (told.hint[0]) put_member(out, "hint", told.hint);
    put_member(out, "outcome", outcome_unknown ? "unknown" : "none");
    if (detail.size > 0) {
        dbk_buffer_put_u8(out, ',');
        dbk_buffer_put_slice(out, detail);
    }
    dbk_buffer_put_u8(out, '}');
}

void dbk_receipt_show(dbk_buffer *receipts)
{
    static const char behind[] = ",\"projected\":false}";
    uint8_t *at = receipts->size ? memmem(receipts->data, receipts->size, behind, sizeof behind - 1) : NULL;
    while (at) {
        uint8_t *rest = at + sizeof behind - 2; /* the brace stays */
        size_t size = (size_t)(receipts->data + receipts->size - rest);
        memmove(at, rest, size);
        receipts->size = (size_t)(at - receipts->data) + size;
        at = memmem(at, size, behind, sizeof behind - 1);
    }
}
