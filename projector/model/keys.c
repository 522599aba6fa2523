/* The keys of a commit in its row of _daybook_commits. */
#include "projector/model/journal.h"

void dbk_keys_encode(dbk_buffer *out, const dbk_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(changes[i].table->name);
        dbk_buffer_put_u16(out, (uint16_t)size);
        dbk_buffer_put(out, changes[i].table->name, size);
        dbk_buffer_put_u32(out, (uint32_t)changes[i].key_count);
        for (size_t k = 0; k < changes[i].key_count; k++) {
            dbk_buffer_put_u32(out, (uint32_t)changes[i].keys[k].size);
            dbk_buffer_put_slice(out, changes[i].keys[k]);
        }
    }
}

void dbk_keys_begin(dbk_keys_walk *walk, dbk_slice keys)
{
    *walk = (dbk_keys_walk){.rest = dbk_reader_of(keys)};
}

bool dbk_keys_next(dbk_keys_walk *walk, dbk_slice *key)
{
    while (walk->left == 0) {
        if (walk->rest.failed || dbk_reader_left(&walk->rest) == 0) return false;
        walk->table = dbk_reader_take(&walk->rest, dbk_reader_u16(&walk->rest));
        walk->left = dbk_reader_u32(&walk->rest);
    }
    walk->left--;
    *key = dbk_reader_take(&walk->rest, dbk_reader_u32(&walk->rest));
    return !walk->rest.failed;
}
