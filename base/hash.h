/* Checksums find accidents (XXH3-64, seeded, R3); digests find intent (BLAKE2b, RFC 7693, with
 * Daybook's personalisations, semantics.md §2). */
#ifndef DBK_HASH_H
#define DBK_HASH_H

#include "base/bytes.h"

uint64_t dbk_checksum(dbk_slice data, uint64_t seed); /* XXH3-64 */

typedef struct dbk_hash128 {
    uint64_t low, high;
} dbk_hash128;
static inline unsigned __int128 dbk_hash128_number(dbk_hash128 hash) /* to compare by */
{
    return (unsigned __int128)hash.high << 64 | hash.low;
}
dbk_hash128 dbk_checksum128(dbk_slice data);                    /* XXH3-128, seed 0 */
dbk_hash128 dbk_hash128_add(dbk_hash128 a, dbk_hash128 b);      /* mod 2^128 */
dbk_hash128 dbk_hash128_subtract(dbk_hash128 a, dbk_hash128 b); /* mod 2^128 */

/* The purpose of a digest is its personalisation "daybook.<purpose>", so that no digest of one kind
 * can be taken for another. size 1 to 64 bytes. Parts are hashed as if joined. */
typedef enum dbk_purpose {
    DBK_DIGEST_LEAF,
    DBK_DIGEST_NODE,
    DBK_DIGEST_HEAD,
    DBK_DIGEST_COMMAND,
    DBK_DIGEST_DEFINITION,
    DBK_DIGEST_ROW
} dbk_purpose;
void dbk_digest(dbk_purpose purpose, dbk_slice data, uint8_t *out, size_t size);
void dbk_digest_parts(dbk_purpose purpose, const dbk_slice *parts, size_t count, uint8_t *out, size_t size);

#endif
