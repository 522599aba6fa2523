/* A file is lines: an untrusted comment, then base64; of a signature also the trusted comment and the
 * signature over signature and comment.
 *   public key  "Ed" number 8 key 32
 *   secret key  "Ed" kdf 2 (0: none) "B2" salt 32 limits 16 number 8 secret 64 check 32
 *   signature   "ED" or "Ed" number 8 signature 64
 * The check is BLAKE2b-256 over "Ed", number and secret, or 32 zeros, as minisign -W has it. */
#include "base/sign.h"

#include "base/text.h"

#include <sodium.h>

enum {
    PUBLIC_SIZE = 42,
    SECRET_SIZE = 158,
    SIGNATURE_SIZE = 74,
    NUMBER_AT = 54, /* in a secret key */
    LINES_MAX = 4,
    FILE_MAX = 4096,
};
static const char untrusted[] = "untrusted comment: ", trusted[] = "trusted comment: ";

dbk_result dbk_secret_key_new(const dbk_port *port, dbk_secret_key *out, dbk_error *err)
{
    uint8_t random[crypto_sign_SEEDBYTES + sizeof(out->number)], key[crypto_sign_PUBLICKEYBYTES];

    if (sodium_init() < 0) return dbk_fail(err, DBK_INTERNAL, "libsodium does not start");
    int rc = port->random(port->ctx, random, sizeof(random));
    if (rc != 0) return dbk_fail_os(err, DBK_IO, rc, "the system gave no random bytes for a key");
    memcpy(out->number, random + crypto_sign_SEEDBYTES, sizeof(out->number));
    rc = crypto_sign_seed_keypair(key, out->secret, random);
    sodium_memzero(random, sizeof(random));
    return rc == 0 ? DBK_OK : dbk_fail(err, DBK_INTERNAL, "libsodium makes no key");
}

void dbk_secret_key_wipe(dbk_secret_key *key)
{
    sodium_memzero(key, sizeof(*key));
}

void dbk_public_key_of(const dbk_secret_key *key, dbk_public_key *out)
{
    memcpy(out->number, key->number, sizeof(out->number));
    memcpy(out->key, key->secret + crypto_sign_SEEDBYTES, sizeof(out->key));
}

static void key_check(const uint8_t key[SECRET_SIZE], uint8_t out[32])
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, 32);
    (void)crypto_generichash_update(&state, key, 2);
    (void)crypto_generichash_update(&state, key + NUMBER_AT, 8 + 64);
    (void)crypto_generichash_final(&state, out, 32);
}

/* minisign shows a key's number as one of 64 bits. */
static void put_comment(dbk_buffer *out, const char *what, const uint8_t number[8])
{
    dbk_buffer_printf(out, "%sdaybook %s %016llX\n", untrusted, what, (unsigned long long)dbk_load_u64(number));
}

void dbk_secret_key_put(dbk_buffer *out, const dbk_secret_key *key)
{
    uint8_t bytes[SECRET_SIZE] = {'E', 'd', 0, 0, 'B', '2'};

    memcpy(bytes + NUMBER_AT, key->number, 8);
    memcpy(bytes + NUMBER_AT + 8, key->secret, 64);
    key_check(bytes, bytes + NUMBER_AT + 72);
    put_comment(out, "secret key", key->number);
    dbk_base64_encode(out, dbk_slice_of(bytes, sizeof(bytes)));
    dbk_buffer_put_u8(out, '\n');
    sodium_memzero(bytes, sizeof(bytes));
}

void dbk_public_key_put(dbk_buffer *out, const dbk_public_key *key)
{
    uint8_t bytes[PUBLIC_SIZE] = {'E', 'd'};

    memcpy(bytes + 2, key->number, 8);
    memcpy(bytes + 10, key->key, 32);
    put_comment(out, "public key", key->number);
    dbk_base64_encode(out, dbk_slice_of(bytes, sizeof(bytes)));
    dbk_buffer_put_u8(out, '\n');
}

/* Up to four lines; a carriage return before the end of one is not part of it. */
static size_t split(dbk_slice text, dbk_slice lines[LINES_MAX])
{
    size_t count = 0;

    while (text.size > 0 && count < LINES_MAX) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size, whole = size + (end != NULL);
        if (size > 0 && text.data[size - 1] == '\r') size--;
        lines[count++] = dbk_slice_of(text.data, size);
        text = dbk_slice_of(text.data + whole, text.size - whole);
    }
    return count;
}

static bool begins_with(dbk_slice line, const char *text)
{
    size_t size = strlen(text);

    return line.size >= size && memcmp(line.data, text, size) == 0;
}

/* Exactly `size` bytes, kept off the heap: some are secret. */
static bool decode(dbk_slice line, uint8_t *out, size_t size)
{
    size_t got = 0;

    for (size_t i = 0; i < line.size; i++) /* libsodium takes some bytes above for letters */
        if (line.data[i] >= 0x80) return false;
    return line.size > 0 &&
           sodium_base642bin(out, size, (const char *)line.data, line.size, NULL, &got, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           got == size;
}

static dbk_result read_lines(dbk_slice text, const char *what, size_t want, dbk_slice lines[LINES_MAX], dbk_error *err)
{
    if (text.size <= FILE_MAX && split(text, lines) >= want && begins_with(lines[0], untrusted)) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "this is no file of a minisign %s", what);
}

dbk_result dbk_public_key_parse(dbk_slice text, dbk_public_key *out, dbk_error *err)
{
    dbk_slice lines[LINES_MAX];
    uint8_t bytes[PUBLIC_SIZE];

    dbk_result rc = read_lines(text, "public key", 2, lines, err);
    if (rc != DBK_OK) return rc;
    if (!decode(lines[1], bytes, sizeof(bytes)) || bytes[0] != 'E' || bytes[1] != 'd')
        return dbk_fail(err, DBK_CORRUPT, "this is no minisign public key");
    memcpy(out->number, bytes + 2, 8);
    memcpy(out->key, bytes + 10, 32);
    return DBK_OK;
}

/* The second half is the public key of the first. */
static bool is_pair(const uint8_t secret[crypto_sign_SECRETKEYBYTES])
{
    uint8_t again[crypto_sign_SECRETKEYBYTES], key[crypto_sign_PUBLICKEYBYTES];

    bool same = crypto_sign_seed_keypair(key, again, secret) == 0 && sodium_memcmp(again, secret, sizeof(again)) == 0;
    sodium_memzero(again, sizeof(again));
    return same;
}

static dbk_result take_secret(const uint8_t bytes[SECRET_SIZE], dbk_secret_key *out, dbk_error *err)
{
    uint8_t check[32];

    if (bytes[0] != 'E' || bytes[1] != 'd' || bytes[4] != 'B' || bytes[5] != '2')
        return dbk_fail(err, DBK_CORRUPT, "this is no minisign secret key");
    if (bytes[2] != 0 || bytes[3] != 0) {
        dbk_fail(err, DBK_DENIED, "the secret key has a password");
        dbk_error_hint(err, "use a key without one: 'daybook log key new FILE' or 'minisign -G -W'");
        return DBK_DENIED;
    }
    key_check(bytes, check);
    bool unchecked = sodium_is_zero(bytes + NUMBER_AT + 72, sizeof(check));
    bool right = unchecked || sodium_memcmp(check, bytes + NUMBER_AT + 72, sizeof(check)) == 0;
    if (!right || !is_pair(bytes + NUMBER_AT + 8)) return dbk_fail(err, DBK_CORRUPT, "the secret key is damaged");
    memcpy(out->number, bytes + NUMBER_AT, 8);
    memcpy(out->secret, bytes + NUMBER_AT + 8, 64);
    return DBK_OK;
}

dbk_result dbk_secret_key_parse(dbk_slice text, dbk_secret_key *out, dbk_error *err)
{
    dbk_slice lines[LINES_MAX];
    uint8_t bytes[SECRET_SIZE];

    dbk_result rc = read_lines(text, "secret key", 2, lines, err);
    if (rc != DBK_OK) return rc;
    rc = decode(lines[1], bytes, sizeof(bytes)) ? take_secret(bytes, out, err)
                                                : dbk_fail(err, DBK_CORRUPT, "this is no minisign secret key");
    sodium_memzero(bytes, sizeof(bytes));
    return rc;
}

static void prehash(dbk_slice content, uint8_t out[crypto_generichash_BYTES_MAX])
{
    (void)crypto_generichash(out, crypto_generichash_BYTES_MAX, content.data, content.size, NULL, 0);
}

void dbk_sign(const dbk_secret_key *key, dbk_slice content, const char *trusted_comment, dbk_buffer *out)
{
    uint8_t bytes[SIGNATURE_SIZE] = {'E', 'D'}, hash[crypto_generichash_BYTES_MAX], global[64];
    uint8_t joined[64 + DBK_TRUSTED_COMMENT_MAX];
    size_t size = strnlen(trusted_comment, DBK_TRUSTED_COMMENT_MAX);

    prehash(content, hash);
    memcpy(bytes + 2, key->number, 8);
    (void)crypto_sign_detached(bytes + 10, NULL, hash, sizeof(hash), key->secret);
    memcpy(joined, bytes + 10, 64);
    memcpy(joined + 64, trusted_comment, size);
    (void)crypto_sign_detached(global, NULL, joined, 64 + size, key->secret);
    put_comment(out, "signature by key", key->number);
    dbk_base64_encode(out, dbk_slice_of(bytes, sizeof(bytes)));
    dbk_buffer_printf(out, "\n%s%.*s\n", trusted, (int)size, trusted_comment);
    dbk_base64_encode(out, dbk_slice_of(global, sizeof(global)));
    dbk_buffer_put_u8(out, '\n');
}

static bool content_is_signed(const dbk_public_key *key, dbk_slice content, const uint8_t *bytes)
{
    uint8_t hash[crypto_generichash_BYTES_MAX];

    if (bytes[1] == 'D') {
        prehash(content, hash);
        content = dbk_slice_of(hash, sizeof(hash));
    }
    return crypto_sign_verify_detached(bytes + 10, content.data, content.size, key->key) == 0;
}

dbk_result dbk_signature_check(const dbk_public_key *key, dbk_slice content, dbk_slice signature, dbk_slice *comment,
                               dbk_error *err)
{
    uint8_t bytes[SIGNATURE_SIZE], global[64], joined[64 + DBK_TRUSTED_COMMENT_MAX];
    dbk_slice lines[LINES_MAX], said;

    dbk_result rc = read_lines(signature, "signature", LINES_MAX, lines, err);
    if (rc != DBK_OK) return rc;
    if (!decode(lines[1], bytes, sizeof(bytes)) || bytes[0] != 'E' || (bytes[1] != 'd' && bytes[1] != 'D') ||
        !begins_with(lines[2], trusted) || !decode(lines[3], global, sizeof(global))) {
        return dbk_fail(err, DBK_CORRUPT, "this is no minisign signature");
    }
    said = dbk_slice_of(lines[2].data + strlen(trusted), lines[2].size - strlen(trusted));
    if (said.size > DBK_TRUSTED_COMMENT_MAX) return dbk_fail(err, DBK_CORRUPT, "the signature's comment is too long");
    if (memcmp(bytes + 2, key->number, 8) != 0) return dbk_fail(err, DBK_DENIED, "the signature is by another key");
    if (!content_is_signed(key, content, bytes))
        return dbk_fail(err, DBK_DENIED, "the signature is not over this content");
    memcpy(joined, bytes + 10, 64);
    if (said.size) memcpy(joined + 64, said.data, said.size);
    if (crypto_sign_verify_detached(global, joined, 64 + said.size, key->key) != 0)
        return dbk_fail(err, DBK_DENIED, "the signature is not over its comment");
    if (comment) *comment = said;
    return DBK_OK;
}
