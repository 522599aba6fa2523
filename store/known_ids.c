/* Whether a command was decided before: in the log, in this turn, or in those before it that are not logged yet
 * (semantics.md §3.5). */
#include "store/decide.h"

static const dbk_element *fresh_with_id(dbk_turn *turn, dbk_slice id, uint64_t hash, dbk_entry *entry)
{
    for (uint32_t at = turn->ids[hash % DBK_TURN_ID_SLOTS]; at; at = turn->elements[at - 1].next) {
        const dbk_element *element = &turn->elements[at - 1];
        if (element->id_hash == hash && dbk_entry_decode(dbk_turn_origin(turn, element), entry, NULL) == DBK_OK &&
            dbk_slice_equal(entry->command_id, id))
            return element;
    }
    return NULL;
}

void dbk_turn_remember_id(dbk_turn *turn, dbk_element *element, uint64_t hash)
{
    element->id_hash = hash;
    element->next = turn->ids[hash % DBK_TURN_ID_SLOTS];
    turn->ids[hash % DBK_TURN_ID_SLOTS] = (uint32_t)(element - turn->elements) + 1;
}

/* Only the slots that were taken: a turn of one command costs one. */
void dbk_turn_forget_ids(dbk_turn *turn)
{
    for (size_t i = 0; i < turn->count; i++)
        if (turn->elements[i].origin_size > 0) turn->ids[turn->elements[i].id_hash % DBK_TURN_ID_SLOTS] = 0;
}

/* The first entry of the log with this command id: its position, 0 when there is none. */
static dbk_result logged_with_id(dbk_engine *engine, dbk_slice id, uint64_t *position, dbk_error *err)
{
    *position = 0;
    for (uint64_t before = 0;;) {
        uint64_t found = 0;
        dbk_result result = dbk_log_find_command(engine->log, id, before, &found, err);
        if (result != DBK_OK || found == 0) return result;
        *position = before = found;
        if (found == 1) return DBK_OK;
    }
}

static dbk_result answer_known(dbk_engine *engine, const dbk_entry *entry, uint64_t position, const uint8_t *hash,
                               dbk_buffer *out, dbk_error *err)
{
    if (memcmp(entry->command_hash, hash, 32) != 0) {
        dbk_fail(err, DBK_ID_REUSED, "id '%.*s' was used for another command, at position %llu",
                 DBK_SLICE_ARG(entry->command_id), (unsigned long long)position);
        dbk_error_hint(err, "use a new id for a new command");
        return DBK_ID_REUSED;
    }
    dbk_receipt_again(engine, entry, position, out);
    return DBK_OK;
}

dbk_result dbk_turn_look_up_id(dbk_turn *turn, dbk_element *element, dbk_slice id, uint64_t id_hash,
                               const uint8_t *hash, bool *known, dbk_buffer *out, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_entry entry;
    uint64_t position = 0;
    *known = true;
    dbk_result result = logged_with_id(engine, id, &position, err);
    if (result != DBK_OK) return result;
    if (position > 0) {
        result = dbk_log_read(engine->log, position, &engine->message, NULL, err);
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&engine->message), &entry, err);
        return result == DBK_OK ? answer_known(engine, &entry, position, hash, out, err) : result;
    }
    for (dbk_turn *decided = turn; decided; decided = decided->before) {
        const dbk_element *fresh = fresh_with_id(decided, id, id_hash, &entry);
        if (!fresh) continue;
        position = decided->base + 1 + (entry.id.seq - decided->first_seq);
        result = answer_known(engine, &entry, position, hash, out, err);
        if (result == DBK_OK && decided == turn) element->again = (uint32_t)(fresh - turn->elements) + 1;
        return result;
    }
    *known = false;
    return DBK_OK;
}
