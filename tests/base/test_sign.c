/* Keys and signatures in minisign's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

/* Made by minisign 0.11: -G -W, then -S, over "daybook\n". */
static const char their_public[] =
    "untrusted comment: minisign public key 0\nRWTe04nAxV4b0ToN1NdMprVY2CgQdOTqCtYdQin9rcfsPZY+bNojsXeg\n";
static const char their_secret[] =
    "untrusted comment: minisign encrypted secret key\n"
    "RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA3tOJwMVeG9EE1vgH59b1TDNg/evV"
    "l4vp3aFIo4t2vKCFzEHNv5MdszoN1NdMprVY2CgQdOTqCtYdQin9rcfsPZY+bNojsXegAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    "\n";
static const char their_signature[] =
    "untrusted comment: signature from minisign secret key\n"
    "RUTe04nAxV4b0S+xvwBgKNbmt5UumjlEeCw/JuHtiFrkOqp+Rvfdk4C1HEu23FNUsFwM6HLzPKUZlLDBUW6+Du6R7HLSQIeVKQ4=\n"
    "trusted comment: timestamp:1795253599\tfile:m.txt\thashed\n"
    "OeVkKcIaoQQpgoRdM250oJLklnzvxghFUcePZf/BVH2ukdFHO7OqodzEDCIeprtaDu4fYKTWlqgnkSVV09jWCQ==\n";

/* The linker puts these in the place of libsodium's: no key comes where it does not start, or gives none. */
static bool no_sodium, no_keys;
int __real_sodium_init(void);
int __real_crypto_sign_seed_keypair(unsigned char *key, unsigned char *secret, const unsigned char *seed);
int __wrap_sodium_init(void);
int __wrap_sodium_init(void)
{
    return no_sodium ? -1 : __real_sodium_init();
}
int __wrap_crypto_sign_seed_keypair(unsigned char *key, unsigned char *secret, const unsigned char *seed);
int __wrap_crypto_sign_seed_keypair(unsigned char *key, unsigned char *secret, const unsigned char *seed)
{
    return no_keys ? -1 : __real_crypto_sign_seed_keypair(key, secret, seed);
}

static int no_random(void *ctx, void *out, size_t size)
{
    (void)ctx, (void)out, (void)size;
    return -5;
}

typedef struct pair {
    dbk_secret_key secret;
    dbk_public_key key;
} pair;

static pair new_pair(void)
{
    pair p;

    assert_int_equal(dbk_secret_key_new(dbk_port_system(), &p.secret, NULL), DBK_OK);
    dbk_public_key_of(&p.secret, &p.key);
    return p;
}

static dbk_buffer sign(const pair *p, const char *content)
{
    dbk_buffer out;

    dbk_buffer_init(&out, dbk_port_system());
    dbk_sign(&p->secret, dbk_slice_text(content), "a head", &out);
    assert_false(out.failed);
    return out;
}

/* What was written reads back, and signs and checks. */
static void test_round_trip(void **state)
{
    pair p = new_pair(), again;
    dbk_buffer text;
    dbk_slice comment;

    (void)state;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_secret_key_put(&text, &p.secret);
    assert_int_equal(dbk_secret_key_parse(dbk_buffer_slice(&text), &again.secret, NULL), DBK_OK);
    assert_memory_equal(&again.secret, &p.secret, sizeof(p.secret));
    dbk_buffer_clear(&text);
    dbk_public_key_put(&text, &p.key);
    assert_int_equal(dbk_public_key_parse(dbk_buffer_slice(&text), &again.key, NULL), DBK_OK);
    assert_memory_equal(&again.key, &p.key, sizeof(p.key));
    dbk_buffer_release(&text);
    text = sign(&p, "content");
    assert_int_equal(
        dbk_signature_check(&again.key, dbk_slice_text("content"), dbk_buffer_slice(&text), &comment, NULL), DBK_OK);
    assert_true(dbk_slice_equal(comment, dbk_slice_text("a head")));
    dbk_buffer_release(&text);
}

/* Another content, another key, another comment: denied. */
static void test_denied(void **state)
{
    pair p = new_pair(), other = new_pair();
    dbk_buffer text = sign(&p, "content");
    dbk_error err;

    (void)state;
    dbk_slice signature = dbk_buffer_slice(&text);
    assert_int_equal(dbk_signature_check(&p.key, dbk_slice_text("contenT"), signature, NULL, &err), DBK_DENIED);
    assert_string_equal(err.text, "the signature is not over this content");
    assert_int_equal(dbk_signature_check(&other.key, dbk_slice_text("content"), signature, NULL, &err), DBK_DENIED);
    assert_string_equal(err.text, "the signature is by another key");
    memcpy(other.key.number, p.key.number, 8);
    assert_int_equal(dbk_signature_check(&other.key, dbk_slice_text("content"), signature, NULL, &err), DBK_DENIED);
    assert_true(dbk_buffer_text(&text));
    strstr((char *)text.data, "a head")[2] = 'b';
    assert_int_equal(dbk_signature_check(&p.key, dbk_slice_text("content"), signature, NULL, &err), DBK_DENIED);
    assert_string_equal(err.text, "the signature is not over its comment");
    dbk_buffer_release(&text);
}

/* Any flipped bit of a signature file is found, but in the comment that says it is not trusted. */
static void test_every_bit(void **state)
{
    pair p = new_pair();
    dbk_buffer text = sign(&p, "content");
    size_t first = (size_t)((uint8_t *)memchr(text.data, '\n', text.size) - text.data);

    (void)state;
    for (size_t i = first + 1; i < text.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            text.data[i] ^= (uint8_t)(1u << bit);
            dbk_result rc = dbk_signature_check(&p.key, dbk_slice_text("content"), dbk_buffer_slice(&text), NULL, NULL);
            bool last = i + 1 == text.size; /* the line end of the last line */
            if (!last && rc != DBK_DENIED && rc != DBK_CORRUPT) fail_msg("byte %d bit %u", (int)i, bit);
            text.data[i] ^= (uint8_t)(1u << bit);
        }
    }
    dbk_buffer_release(&text);
}

/* minisign's own files, made by its program. */
static void test_theirs(void **state)
{
    dbk_secret_key secret;
    dbk_public_key key, made;

    (void)state;
    assert_int_equal(dbk_public_key_parse(dbk_slice_text(their_public), &key, NULL), DBK_OK);
    assert_int_equal(dbk_secret_key_parse(dbk_slice_text(their_secret), &secret, NULL), DBK_OK);
    dbk_public_key_of(&secret, &made);
    assert_memory_equal(&made, &key, sizeof(key));
    assert_int_equal(
        dbk_signature_check(&key, dbk_slice_text("daybook\n"), dbk_slice_text(their_signature), NULL, NULL), DBK_OK);
    assert_int_equal(dbk_signature_check(&key, dbk_slice_text("daybook"), dbk_slice_text(their_signature), NULL, NULL),
                     DBK_DENIED);
}

/* A damaged key, one with a password, and what is no key at all. */
static void test_no_keys(void **state)
{
    pair p = new_pair();
    dbk_secret_key secret;
    dbk_public_key key;
    dbk_buffer text;
    dbk_error err;
    static const char *const texts[] = {"",
                                        "\n",
                                        "x",
                                        "untrusted comment: x",
                                        "untrusted comment: x\n",
                                        "untrusted comment: x\n\n",
                                        "untrusted comment: x\nRWQ=\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(dbk_secret_key_parse(dbk_slice_text(texts[i]), &secret, NULL), DBK_CORRUPT);
        assert_int_equal(dbk_public_key_parse(dbk_slice_text(texts[i]), &key, NULL), DBK_CORRUPT);
        assert_int_equal(dbk_signature_check(&p.key, dbk_slice_text(""), dbk_slice_text(texts[i]), NULL, NULL),
                         DBK_CORRUPT);
    }
    dbk_buffer_init(&text, dbk_port_system());
    dbk_secret_key_put(&text, &p.secret);
    size_t line = (size_t)((uint8_t *)memchr(text.data, '\n', text.size) - text.data) + 1;
    char before = (char)text.data[line + 90];
    text.data[line + 90] = before == 'A' ? 'B' : 'A';
    assert_int_equal(dbk_secret_key_parse(dbk_buffer_slice(&text), &secret, &err), DBK_CORRUPT);
    assert_string_equal(err.text, "the secret key is damaged");
    text.data[line + 90] = (uint8_t)before;
    memcpy(text.data + line + 2, "RTY", 3); /* "Sc": scrypt */
    assert_int_equal(dbk_secret_key_parse(dbk_buffer_slice(&text), &secret, &err), DBK_DENIED);
    dbk_buffer_release(&text);
}

/* A file with one line in base64 decoded, a byte of it changed, and encoded again. */
static dbk_buffer with_byte(const char *file, size_t at, uint8_t value, size_t *size)
{
    const char *begin = strchr(file, '\n') + 1, *end = strchr(begin, '\n');
    dbk_buffer bytes, out;

    dbk_buffer_init(&bytes, dbk_port_system());
    dbk_buffer_init(&out, dbk_port_system());
    assert_true(dbk_base64_decode(&bytes, dbk_slice_of(begin, (size_t)(end - begin))));
    *size = bytes.size;
    if (at < bytes.size) bytes.data[at] ^= value;
    dbk_buffer_put(&out, file, (size_t)(begin - file));
    dbk_base64_encode(&out, dbk_buffer_slice(&bytes));
    dbk_buffer_put_text(&out, end);
    dbk_buffer_release(&bytes);
    return out;
}

/* Each byte of a key's content changed, under base64 that is right: refused, or the same key. */
static void test_every_byte(void **state)
{
    pair p = new_pair(), sound, got;
    dbk_buffer own;
    size_t size = 1;

    (void)state;
    dbk_buffer_init(&own, dbk_port_system());
    dbk_secret_key_put(&own, &p.secret);
    for (int theirs = 0; theirs < 2; theirs++) {
        const char *file = theirs ? their_secret : dbk_buffer_text(&own);
        assert_int_equal(dbk_secret_key_parse(dbk_slice_text(file), &sound.secret, NULL), DBK_OK);
        for (size_t at = 0; at < size; at++) {
            dbk_buffer text = with_byte(file, at, 0x10, &size);
            dbk_result rc = dbk_secret_key_parse(dbk_buffer_slice(&text), &got.secret, NULL);
            if (at < 6) assert_true(rc == (at == 2 || at == 3 ? DBK_DENIED : DBK_CORRUPT));
            if (rc == DBK_OK) assert_memory_equal(got.secret.secret, sound.secret.secret, sizeof(got.secret.secret));
            dbk_buffer_release(&text);
        }
    }
    for (size_t at = 0; at < 2; at++) {
        dbk_buffer text = with_byte(their_public, at, 1, &size);
        assert_int_equal(dbk_public_key_parse(dbk_buffer_slice(&text), &got.key, NULL), DBK_CORRUPT);
        dbk_buffer_release(&text);
        text = with_byte(their_signature, at, 1, &size);
        assert_int_equal(dbk_public_key_parse(dbk_slice_text(their_public), &got.key, NULL), DBK_OK);
        assert_int_not_equal(
            dbk_signature_check(&got.key, dbk_slice_text("daybook\n"), dbk_buffer_slice(&text), NULL, NULL), DBK_OK);
        dbk_buffer_release(&text);
    }
    dbk_buffer_release(&own);
}

/* Files that are too large, without their first words, with lines ended as on Windows, and empty ones. */
static void test_other_files(void **state)
{
    static char large[8192];
    pair p = new_pair(), got;
    dbk_buffer text, out = sign(&p, "content");
    dbk_slice comment;

    (void)state;
    assert_int_equal(dbk_secret_key_parse(dbk_slice_text(""), &got.secret, NULL), DBK_CORRUPT);
    assert_int_equal(dbk_secret_key_parse(dbk_slice_text("un\nx\n"), &got.secret, NULL), DBK_CORRUPT);
    memset(large, 'a', sizeof(large) - 1);
    memcpy(large, their_public, sizeof(their_public) - 1);
    assert_int_equal(dbk_public_key_parse(dbk_slice_text(large), &got.key, NULL), DBK_CORRUPT);
    dbk_buffer_init(&text, dbk_port_system());
    for (size_t i = 0; i < out.size; i++) {
        if (out.data[i] == '\n') dbk_buffer_put_u8(&text, '\r');
        dbk_buffer_put_u8(&text, out.data[i]);
    }
    assert_int_equal(dbk_signature_check(&p.key, dbk_slice_text("content"), dbk_buffer_slice(&text), &comment, NULL),
                     DBK_OK);
    assert_true(dbk_slice_equal(comment, dbk_slice_text("a head")));
    dbk_buffer_clear(&out);
    dbk_sign(&p.secret, dbk_slice_text("content"), "", &out);
    assert_int_equal(dbk_signature_check(&p.key, dbk_slice_text("content"), dbk_buffer_slice(&out), &comment, NULL),
                     DBK_OK);
    assert_int_equal(comment.size, 0);
    memset(large, 'c', 1100);
    large[1100] = '\0';
    dbk_buffer_clear(&text); /* a comment that is longer than any that is signed */
    const char *third = strstr(dbk_buffer_text(&out), "trusted comment: ");
    third = strstr(strchr(dbk_buffer_text(&out), '\n'), "trusted comment: ");
    dbk_buffer_put(&text, out.data, (size_t)(third - (const char *)out.data) + strlen("trusted comment: "));
    dbk_buffer_put_text(&text, large);
    dbk_buffer_put_text(&text, strchr(third, '\n'));
    assert_int_equal(dbk_signature_check(&p.key, dbk_slice_text("content"), dbk_buffer_slice(&text), NULL, NULL),
                     DBK_CORRUPT);
    dbk_buffer_release(&text);
    dbk_buffer_release(&out);
}

/* What a key needs is not there: told, and none is made; a key that is wiped is gone. */
static void test_no_key_without(void **state)
{
    dbk_port port = *dbk_port_system();
    dbk_secret_key key, again, zeros = {0};
    dbk_error err = {0};
    dbk_buffer text;

    (void)state;
    no_sodium = true;
    assert_int_equal(dbk_secret_key_new(&port, &key, &err), DBK_INTERNAL);
    no_sodium = false;
    no_keys = true;
    assert_int_equal(dbk_secret_key_new(&port, &key, &err), DBK_INTERNAL);
    no_keys = false;
    port.random = no_random;
    assert_int_equal(dbk_secret_key_new(&port, &key, &err), DBK_IO);
    assert_non_null(strstr(err.text, "no random bytes"));
    assert_int_equal(dbk_secret_key_new(dbk_port_system(), &key, &err), DBK_OK);
    dbk_buffer_init(&text, dbk_port_system());
    dbk_secret_key_put(&text, &key);
    no_keys = true;
    assert_true(dbk_secret_key_parse(dbk_buffer_slice(&text), &again, &err) < 0);
    no_keys = false;
    assert_int_equal(dbk_secret_key_parse(dbk_buffer_slice(&text), &again, &err), DBK_OK);
    dbk_buffer_release(&text);
    dbk_secret_key_wipe(&key);
    assert_memory_equal(&key, &zeros, sizeof(key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_denied),         cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_theirs),      cmocka_unit_test(test_no_keys),        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_other_files), cmocka_unit_test(test_no_key_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
