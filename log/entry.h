/* Entries: the canonical origin bytes of one command's events (semantics.md §2, version 1), the order
 * key, and the Merkle mountain range over their leaves. Described byte by byte in docs/format/entry.md.
 *
 *   entry  version u8 = 1 | lineage 16 | replica 16 | incarnation u32 | seq u64 | epoch u32 | hlc u64 |
 *          time i64 ms | zone i16 min | flags u16 | definition 16 | command hash 32 | command id text |
 *          actor text | correlation text | causation text | number of events u32 | events
 *   event  stream text | type text | type version u32 | content type text | base u8 [replica 16,
 *          incarnation u32, seq u64] | key id text | data blob | sealed u16 {text, blob} | filled u16 {text}
 *   text = u16 length + UTF-8, empty = absent; blob = u32 length + bytes; integers little-endian. */
#ifndef DBK_LOG_ENTRY_H
#define DBK_LOG_ENTRY_H

#include "base/base.h"

enum { DBK_ENTRY_APP = 0, DBK_ENTRY_ENGINE = 1, DBK_ENTRY_UNDO = 2 }; /* values of flags */
enum { DBK_ORDER_KEY_SIZE = 40, DBK_LEAF_SIZE = 32, DBK_ENTRY_ID_TEXT_SIZE = 65 };
enum { DBK_ENTRY_MAX_BYTES = 32 * 1024 * 1024 }; /* a batch command of 16 MiB and what it becomes */

typedef struct dbk_entry_id {
    uint8_t replica[16];
    uint32_t incarnation;
    uint64_t seq; /* from 1 */
} dbk_entry_id;

/* A decoded or to-be-encoded entry; slices borrow from the origin bytes or from the caller. */
typedef struct dbk_entry {
    uint8_t lineage[16];
    dbk_entry_id id;
    uint32_t epoch;
    uint64_t hlc;         /* 48 bits ms since 1970, 16 bits counter */
    int64_t time_ms;      /* the author's wall clock */
    int16_t zone_minutes; /* its offset from UTC */
    uint16_t flags;       /* DBK_ENTRY_APP, … */
    uint8_t definition[16];
    uint8_t command_hash[32];
    dbk_slice command_id, actor, correlation, causation;
    uint32_t event_count;
    dbk_slice events; /* the encoded events, one behind the other */
} dbk_entry;

typedef struct dbk_event {
    dbk_slice stream, type;
    uint32_t type_version;
    dbk_slice content_type; /* empty: application/json */
    bool has_base;
    dbk_entry_id base; /* the entry that last changed the row, as the author saw it */
    dbk_slice key_id;
    dbk_slice data; /* JSON text */
    uint16_t sealed_count, filled_count;
    dbk_slice sealed; /* encoded {text, blob}, sorted by column name, no name twice */
    dbk_slice filled; /* encoded {text}, likewise */
} dbk_event;

/* Checks the whole and fills *entry; no allocation. DBK_CORRUPT with the offset and the field: unknown
 * version, a length beyond the end, invalid UTF-8 in a text, base flag other than 0 and 1, unsorted or
 * repeated names, bytes behind the last event; DBK_VERSION for a version above 1. */
dbk_result dbk_entry_decode(dbk_slice origin, dbk_entry *entry, dbk_error *err) DBK_MUST_USE;
/* Steps through entry->events (already checked by decode): copy entry->events into *rest first. false
 * at the end. */
bool dbk_event_next(dbk_slice *rest, dbk_event *event);
bool dbk_name_next(dbk_slice *rest, dbk_slice *name);                     /* of event->filled */
bool dbk_sealed_next(dbk_slice *rest, dbk_slice *name, dbk_slice *value); /* of event->sealed */

/* Encode; the caller has kept texts ≤ 65,535 bytes. out->failed tells of lack of memory. */
void dbk_entry_encode(dbk_buffer *out, const dbk_entry *entry); /* head, then entry->events as they are */
void dbk_event_encode(dbk_buffer *out, const dbk_event *event);
void dbk_names_encode(dbk_buffer *out, const dbk_slice *names, size_t count); /* for event.filled; sorts nothing */

void dbk_entry_leaf(dbk_slice origin, uint8_t leaf[DBK_LEAF_SIZE]); /* BLAKE2b-256, daybook.leaf */
/* (epoch, hlc, replica, incarnation, seq) big-endian: memcmp gives the canonical order. */
void dbk_entry_order_key(const dbk_entry *entry, uint8_t key[DBK_ORDER_KEY_SIZE]);
void dbk_entry_id_text(const dbk_entry_id *id, char out[DBK_ENTRY_ID_TEXT_SIZE]); /* replica.incarnation.seq */
/* That form only (lower case, no leading zero, seq from 1); *id stays as it was otherwise. */
bool dbk_entry_id_parse(dbk_slice text, dbk_entry_id *id);
bool dbk_entry_id_equal(const dbk_entry_id *a, const dbk_entry_id *b);
/* The event that names its position within the entry, or an engine entry: type "daybook.…". */
bool dbk_event_is_engine(const dbk_event *event);

/* Merkle mountain range: perfect trees, the highest first; at most 64 peaks. The peak at index i
 * stands for the i-th highest set bit of count. */
typedef struct dbk_range {
    uint64_t count;
    uint32_t peak_count;
    uint8_t peaks[64][DBK_LEAF_SIZE];
} dbk_range;
void dbk_range_init(dbk_range *range);
void dbk_range_add(dbk_range *range, const uint8_t leaf[DBK_LEAF_SIZE]);
/* Adds a perfect tree of 2^height leaves by its root; range->count is a multiple of 2^height. */
void dbk_range_add_tree(dbk_range *range, unsigned height, const uint8_t root[DBK_LEAF_SIZE]);
void dbk_range_head(const dbk_range *range, uint8_t head[DBK_LEAF_SIZE]);
/* Whether the trees that both have stand for the same leaves: false proves two histories; true proves
 * the one to extend the other as far as their highest trees agree in size. */
bool dbk_range_agrees(const dbk_range *older, const dbk_range *newer);

#endif
