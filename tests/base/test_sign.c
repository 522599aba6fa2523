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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_denied),  cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_theirs),     cmocka_unit_test(test_no_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
