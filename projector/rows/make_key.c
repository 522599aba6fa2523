/* Keys that the engine makes where a put names none (tables.<t>.id). They go into the event, so a replay
 * finds them there; `again` answers with the same one. */
#include "projector/rows/rules.h"

enum { UUID_SIZE = 16, TEXT_KEY_CHARS = 26 };

static dbk_result random_bytes(dbk_model *model, uint8_t *out, size_t size, dbk_error *err)
{
    int rc = model->port->random(model->port->ctx, out, size);

    return rc == 0 ? DBK_OK : dbk_fail_os(err, DBK_IO, rc, "cannot make a key: no randomness");
}

/* RFC 9562: 48 bits of milliseconds, the rest random; a moment's keys are in no order among themselves. */
static dbk_result make_uuid(dbk_model *model, bool timed, uint8_t uuid[UUID_SIZE], dbk_error *err)
{
    uint64_t ms = (uint64_t)model->work->time_ms;
    dbk_result result = random_bytes(model, uuid, UUID_SIZE, err);

    if (result != DBK_OK) return result;
    for (int i = 0; timed && i < 6; i++) uuid[i] = (uint8_t)(ms >> (40 - 8 * i));
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | (timed ? 0x70 : 0x40));
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
    return DBK_OK;
}

/* The 128 bits in base 32, lower case, without i, l, o and u: sorts by time, is easily read out. */
static void put_text_key(dbk_buffer *out, const uint8_t uuid[UUID_SIZE])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned __int128 number = 0;

    for (int i = 0; i < UUID_SIZE; i++) number = number << 8 | uuid[i];
    for (int i = TEXT_KEY_CHARS - 1; i >= 0; i--)
        dbk_buffer_put_u8(out, (uint8_t)digits[(unsigned)(number >> (5 * i)) & 31]);
}

dbk_result dbk_row_make_key(dbk_decision *change, dbk_error *err)
{
    dbk_key_maker maker = change->table->rules->id;
    dbk_buffer *key = &change->model->work->key;
    char text[DBK_UUID_TEXT_SIZE];
    uint8_t uuid[UUID_SIZE];
    dbk_result result = make_uuid(change->model, maker != DBK_KEY_UUID4, uuid, err);

    if (result != DBK_OK) return result;
    if (maker == DBK_KEY_TEXT) {
        put_text_key(key, uuid);
    } else {
        dbk_uuid_text(uuid, text);
        dbk_buffer_put_text(key, text);
    }
    return key->failed ? dbk_row_no_memory(err) : DBK_OK;
}
