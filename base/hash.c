/* Checksums are xxHash: for accidents. Digests are BLAKE2b, personalised by what they are of: an entry's digest
 * cannot stand for a row's. */
#include "base/hash.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <xxhash.h>

static const unsigned char personalisations[][crypto_generichash_blake2b_PERSONALBYTES] = {
    [DBK_DIGEST_LEAF] = "daybook.leaf",      [DBK_DIGEST_NODE] = "daybook.node",
    [DBK_DIGEST_HEAD] = "daybook.head",      [DBK_DIGEST_COMMAND] = "daybook.command",
    [DBK_DIGEST_DEFINITION] = "daybook.def", [DBK_DIGEST_ROW] = "daybook.row",
};

uint64_t dbk_checksum(dbk_slice data, uint64_t seed)
{
    return XXH3_64bits_withSeed(data.data, data.size, seed);
}

dbk_hash128 dbk_checksum128(dbk_slice data)
{
    XXH128_hash_t hash = XXH3_128bits(data.data, data.size);

    return (dbk_hash128){hash.low64, hash.high64};
}

dbk_hash128 dbk_hash128_add(dbk_hash128 a, dbk_hash128 b)
{
    dbk_hash128 sum = {a.low + b.low, a.high + b.high};

    sum.high += sum.low < a.low;
    return sum;
}

dbk_hash128 dbk_hash128_subtract(dbk_hash128 a, dbk_hash128 b)
{
    return (dbk_hash128){a.low - b.low, a.high - b.high - (a.low < b.low)};
}

/* libsodium chooses its vector code here; BLAKE2b is right, only slower, should it fail. */
static void choose_implementation(void)
{
    int rc = sodium_init();

    (void)rc;
}

static const unsigned char *personalisation(dbk_purpose purpose)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    assert((size_t)purpose < sizeof(personalisations) / sizeof(personalisations[0]));
    (void)pthread_once(&once, choose_implementation);
    return personalisations[purpose];
}

/* libsodium's calls below fail for sizes out of range only, which is asserted on here. */
void dbk_digest(dbk_purpose purpose, dbk_slice data, uint8_t *out, size_t size)
{
    int failed;

    assert(size >= 1 && size <= crypto_generichash_blake2b_BYTES_MAX);
    failed = crypto_generichash_blake2b_salt_personal(out, size, data.data, data.size, NULL, 0, NULL,
                                                      personalisation(purpose));
    assert(!failed);
}

void dbk_digest_parts(dbk_purpose purpose, const dbk_slice *parts, size_t count, uint8_t *out, size_t size)
{
    crypto_generichash_blake2b_state state;
    int failed;

    assert(size >= 1 && size <= crypto_generichash_blake2b_BYTES_MAX);
    failed = crypto_generichash_blake2b_init_salt_personal(&state, NULL, 0, size, NULL, personalisation(purpose));
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size == 0) continue;
        failed |= crypto_generichash_blake2b_update(&state, parts[i].data, parts[i].size);
    }
    failed |= crypto_generichash_blake2b_final(&state, out, size);
    assert(!failed);
}
