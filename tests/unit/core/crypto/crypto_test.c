/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/text.h"
#include "core/crypto/aead.h"
#include "core/crypto/chain.h"
#include "core/crypto/hash.h"
#include "core/crypto/hkdf.h"
#include "core/crypto/keys.h"
#include "core/crypto/random.h"
#include "unit.h"

#include <sodium.h>
#include <string.h>

static void expect(const void *data, size_t size, const char *hex)
{
    char text[2 * 256 + 1];
    assert_true(size <= 256);
    chq_hex_write(chq_bytes(data, size), text);
    assert_string_equal(text, hex);
}

static void from_hex(const char *hex, uint8_t *out, size_t size)
{
    assert_int_equal(chq_hex_read(hex, out, size), CHQ_OK);
}

static void x25519_rfc7748_6_1(void **state)
{
    (void)state;
    uint8_t seed[32], shared[32];
    struct chq_dh_pair alice, bob;
    from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", seed, 32);
    chq_dh_pair_from_seed(&alice, seed);
    expect(alice.public_key, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    from_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", seed, 32);
    chq_dh_pair_from_seed(&bob, seed);
    expect(bob.public_key, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_int_equal(chq_dh(shared, alice.secret_key, bob.public_key), CHQ_OK);
    expect(shared, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_int_equal(chq_dh(shared, bob.secret_key, alice.public_key), CHQ_OK);
    expect(shared, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    static const uint8_t zero[32];
    assert_int_equal(chq_dh(shared, alice.secret_key, zero), CHQ_AUTH);
}

static void ed25519_rfc8032_7_1(void **state)
{
    (void)state;
    uint8_t seed[32], signature[64];
    struct chq_sign_pair pair;
    from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed, 32);
    chq_sign_pair_from_seed(&pair, seed);
    expect(pair.public_key, 32, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    crypto_sign_ed25519_detached(signature, NULL, (const uint8_t *)"", 0, pair.secret_key);
    expect(signature, 64,
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b");

    chq_sign(signature, &pair, "purpose one", chq_bytes_text("hello"));
    assert_int_equal(
        chq_sign_verify(signature, pair.public_key, "purpose one", chq_bytes_text("hello")), CHQ_OK);
    assert_int_equal(
        chq_sign_verify(signature, pair.public_key, "purpose two", chq_bytes_text("hello")), CHQ_AUTH);
    assert_int_equal(
        chq_sign_verify(signature, pair.public_key, "purpose one", chq_bytes_text("hellO")), CHQ_AUTH);
}

static void hkdf_rfc5869_a_1(void **state)
{
    (void)state;
    uint8_t input[22], salt[13], info[10], out[42];
    memset(input, 0x0b, sizeof input);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t)(0xf0 + i);
    chq_hkdf(out, sizeof out, chq_bytes(salt, sizeof salt), chq_bytes(input, sizeof input),
        chq_bytes(info, sizeof info));
    expect(out, sizeof out,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

/* draft-connolly-cfrg-xwing-kem, appendix with test vectors, first one. */
static void xwing_draft_vector_1(void **state)
{
    (void)state;
    uint8_t seed[32], random[64], ciphertext[CHQ_KEM_CIPHERTEXT_BYTES], shared[32], again[32];
    struct chq_kem_pair pair;
    from_hex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26", seed, 32);
    from_hex("3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2"
             "35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
        random, 64);
    chq_kem_pair_from_seed(&pair, seed);
    assert_int_equal(chq_kem_encapsulate(ciphertext, shared, pair.public_key, random), CHQ_OK);
    expect(shared, 32, "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384");
    assert_int_equal(chq_kem_decapsulate(again, ciphertext, pair.secret_key), CHQ_OK);
    assert_memory_equal(again, shared, 32);
    ciphertext[5] ^= 1; /* implicit rejection: another secret, no error */
    assert_int_equal(chq_kem_decapsulate(again, ciphertext, pair.secret_key), CHQ_OK);
    assert_memory_not_equal(again, shared, 32);
}

static void aead_commits_and_refuses(void **state)
{
    (void)state;
    uint8_t key[32] = {1}, nonce[24] = {2}, sealed[5 + CHQ_AEAD_OVERHEAD_BYTES], out[5];
    chq_aead_seal(sealed, key, nonce, chq_bytes_text("hallo"), chq_bytes_text("ad"));
    assert_int_equal(
        chq_aead_open(out, key, nonce, chq_bytes(sealed, sizeof sealed), chq_bytes_text("ad")), CHQ_OK);
    assert_memory_equal(out, "hallo", 5);
    assert_int_equal(
        chq_aead_open(out, key, nonce, chq_bytes(sealed, sizeof sealed), chq_bytes_text("aD")), CHQ_AUTH);
    assert_int_equal(
        chq_aead_open(out, key, nonce, chq_bytes(sealed, 47), chq_bytes_text("ad")), CHQ_MALFORMED);
    for (size_t i = 0; i < sizeof sealed; i++) {
        sealed[i] ^= 0x80;
        assert_int_equal(
            chq_aead_open(out, key, nonce, chq_bytes(sealed, sizeof sealed), chq_bytes_text("ad")), CHQ_AUTH);
        sealed[i] ^= 0x80;
    }
}

static void chain_tokens(void **state)
{
    (void)state;
    uint8_t end[32] = {7}, salt[20] = {9}, root[32], third[32], fifth[32];
    chq_chain_token(root, end, salt, 100, 0);
    chq_chain_token(third, end, salt, 100, 3);
    chq_chain_token(fifth, end, salt, 100, 5);
    assert_int_equal(chq_chain_verify(third, root, salt, 3, 1024), CHQ_OK);
    assert_int_equal(chq_chain_verify(fifth, third, salt, 2, 1024), CHQ_OK);
    assert_int_equal(chq_chain_verify(fifth, third, salt, 1, 1024), CHQ_AUTH);
    assert_int_equal(chq_chain_verify(third, fifth, salt, 2, 1024), CHQ_AUTH);
    assert_int_equal(chq_chain_verify(third, third, salt, 0, 1024), CHQ_LIMIT);
    assert_int_equal(chq_chain_verify(third, root, salt, 1025, 1024), CHQ_LIMIT);
    salt[0] ^= 1;
    assert_int_equal(chq_chain_verify(third, root, salt, 3, 1024), CHQ_AUTH);
}

static void seeded_random_repeats(void **state)
{
    (void)state;
    struct chq_seeded a, b, c;
    uint8_t x[40], y[40];
    chq_seeded_init(&a, 42);
    chq_seeded_init(&b, 42);
    chq_seeded_init(&c, 43);
    struct chq_random ra = chq_seeded_random(&a), rb = chq_seeded_random(&b), rc = chq_seeded_random(&c);
    chq_random_fill(&ra, x, sizeof x);
    chq_random_fill(&rb, y, sizeof y);
    assert_memory_equal(x, y, sizeof x);
    chq_random_fill(&rc, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
    chq_random_fill(&rb, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
}

int main(void)
{
    assert_int_equal(chq_crypto_init(), CHQ_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x25519_rfc7748_6_1),
        cmocka_unit_test(ed25519_rfc8032_7_1),
        cmocka_unit_test(hkdf_rfc5869_a_1),
        cmocka_unit_test(xwing_draft_vector_1),
        cmocka_unit_test(aead_commits_and_refuses),
        cmocka_unit_test(chain_tokens),
        cmocka_unit_test(seeded_random_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
