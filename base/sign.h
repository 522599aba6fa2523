/* Signatures: Ed25519 in the files of minisign (jedisct1/minisign), so that its program can check ours and
 * ours its. The content's BLAKE2b-512 is signed ("ED"); signatures over the content itself ("Ed") are
 * checked too. Secret keys are those without a password (minisign -G -W). */
#ifndef DBK_SIGN_H
#define DBK_SIGN_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/port.h"

typedef struct dbk_public_key {
    uint8_t number[8];
    uint8_t key[32];
} dbk_public_key;
typedef struct dbk_secret_key {
    uint8_t number[8];
    uint8_t secret[64]; /* seed and public key */
} dbk_secret_key;
enum { DBK_TRUSTED_COMMENT_MAX = 1024 };

/* A pair from the port's randomness; DBK_IO: there was none. The caller wipes it. */
dbk_result dbk_secret_key_new(const dbk_port *port, dbk_secret_key *out, dbk_error *err) DBK_MUST_USE;
void dbk_secret_key_wipe(dbk_secret_key *key); /* zeros, which no compiler leaves out */
void dbk_public_key_of(const dbk_secret_key *key, dbk_public_key *out);

/* The texts of the files. Put: out->failed tells of lack of memory. */
void dbk_secret_key_put(dbk_buffer *out, const dbk_secret_key *key);
void dbk_public_key_put(dbk_buffer *out, const dbk_public_key *key);
/* DBK_CORRUPT: no such file; DBK_DENIED: the key has a password. */
dbk_result dbk_secret_key_parse(dbk_slice text, dbk_secret_key *out, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_public_key_parse(dbk_slice text, dbk_public_key *out, dbk_error *err) DBK_MUST_USE;

/* Appends a signature's file. The comment, one line of at most DBK_TRUSTED_COMMENT_MAX bytes, is signed with it;
 * out->failed tells of lack of memory. */
void dbk_sign(const dbk_secret_key *key, dbk_slice content, const char *trusted_comment, dbk_buffer *out);
/* DBK_DENIED: another key's, or the content or the comment is not what was signed; DBK_CORRUPT: no
 * signature file. *comment (may be NULL) borrows from `signature`. */
dbk_result dbk_signature_check(const dbk_public_key *key, dbk_slice content, dbk_slice signature, dbk_slice *comment,
                               dbk_error *err) DBK_MUST_USE;

#endif
