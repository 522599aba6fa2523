/* Streams of the decisions of the open transaction, which the log does not have yet: the last of
 * each counts for versions and for `base`. An open-addressed table of 128-bit hashes. */
#include "projector/rows/internal.h"

typedef struct fresh_item {
    dbk_hash128 stream;
    uint64_t position;
    uint64_t turn; /* of another turn: free */
    dbk_entry_id id;
} fresh_item;

struct dbk_fresh {
    const dbk_port *port;
    fresh_item *items;
    size_t room, count; /* room: a power of two */
    uint64_t turn;      /* rises with each transaction, which so costs what it touches */
};

dbk_fresh *dbk_fresh_new(const dbk_port *port)
{
    dbk_fresh *fresh = dbk_alloc_zero(port, 1, sizeof(*fresh));
    if (fresh) *fresh = (dbk_fresh){.port = port, .turn = 1};
    return fresh;
}

void dbk_fresh_free(dbk_fresh *fresh)
{
    if (!fresh) return;
    dbk_free(fresh->port, fresh->items);
    dbk_free(fresh->port, fresh);
}

void dbk_fresh_clear(dbk_fresh *fresh)
{
    fresh->turn++;
    fresh->count = 0;
}

static fresh_item *find(fresh_item *items, size_t room, uint64_t turn, dbk_hash128 stream)
{
    size_t at = (size_t)stream.low & (room - 1);

    while (items[at].turn == turn && (items[at].stream.low != stream.low || items[at].stream.high != stream.high)) {
        at = (at + 1) & (room - 1);
    }
    return &items[at];
}

static bool grow(dbk_fresh *fresh)
{
    size_t room = fresh->room ? 2 * fresh->room : 64;
    fresh_item *items;

    if (fresh->count * 2 < fresh->room) return true;
    items = dbk_alloc_zero(fresh->port, room, sizeof(*items));
    if (!items) return false;
    for (size_t i = 0; i < fresh->room; i++) {
        if (fresh->items[i].turn == fresh->turn)
            *find(items, room, fresh->turn, fresh->items[i].stream) = fresh->items[i];
    }
    dbk_free(fresh->port, fresh->items);
    fresh->items = items;
    fresh->room = room;
    return true;
}

bool dbk_fresh_add(dbk_fresh *fresh, dbk_slice stream, const dbk_entry_id *id, uint64_t position)
{
    dbk_hash128 hash = dbk_checksum128(stream);
    fresh_item *item;

    if (!grow(fresh)) return false;
    item = find(fresh->items, fresh->room, fresh->turn, hash);
    fresh->count += item->turn != fresh->turn;
    *item = (fresh_item){hash, position, fresh->turn, *id};
    return true;
}

bool dbk_fresh_find(const dbk_fresh *fresh, dbk_slice stream, dbk_entry_id *id, uint64_t *position)
{
    if (fresh->count == 0) return false;
    const fresh_item *item = find(fresh->items, fresh->room, fresh->turn, dbk_checksum128(stream));
    if (item->turn != fresh->turn) return false;
    *id = item->id;
    *position = item->position;
    return true;
}
