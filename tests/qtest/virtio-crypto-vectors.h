/*
 * Known answers for virtio-crypto
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From the documents that each line names; those without a document, and the
 * RSA results, were made with the openssl command or Python's hashlib.
 */

#ifndef QTEST_VIRTIO_CRYPTO_VECTORS_H
#define QTEST_VIRTIO_CRYPTO_VECTORS_H

#include "standard-headers/linux/virtio_crypto.h"

/**
 * CryptoVector: one known answer, all in hexadecimal
 * @result: ciphertext, digest, code, or ciphertext and tag
 */
typedef struct CryptoVector {
    uint32_t service, algo;
    const char *name, *key, *iv, *aad, *text, *result;
} CryptoVector;

static const CryptoVector crypto_vectors[] G_GNUC_UNUSED = {
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_ECB,
        .name = "AES-128-ECB, SP 800-38A F.1.1",
        .key = "2b7e151628aed2a6abf7158809cf4f3c",
        .iv = "",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e51",
        .result =
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fd"
            "baaf",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_CBC,
        .name = "AES-128-CBC, SP 800-38A F.2.1",
        .key = "2b7e151628aed2a6abf7158809cf4f3c",
        .iv = "000102030405060708090a0b0c0d0e0f",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e51",
        .result =
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a9176"
            "78b2",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_CBC,
        .name = "AES-192-CBC, SP 800-38A F.2.3",
        .key =
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
        .iv = "000102030405060708090a0b0c0d0e0f",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e51",
        .result =
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69"
            "145a",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_CBC,
        .name = "AES-256-CBC, SP 800-38A F.2.5",
        .key =
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914"
            "dff4",
        .iv = "000102030405060708090a0b0c0d0e0f",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e51",
        .result =
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc670"
            "2c7d",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_CTR,
        .name = "AES-128-CTR, SP 800-38A F.5.1",
        .key = "2b7e151628aed2a6abf7158809cf4f3c",
        .iv = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e51",
        .result =
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9ff"
            "fdff",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_CTR,
        .name = "AES-128-CTR, a part of a block",
        .key = "2b7e151628aed2a6abf7158809cf4f3c",
        .iv = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        .aad = "",
        .text = "6bc1bee22e409f96e93d7e117393172aae2d8a571e",
        .result = "874d6191b620e3261bef6864990db6ce9806f66b79",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_AES_XTS,
        .name = "AES-128-XTS, IEEE 1619 vector 2",
        .key =
            "111111111111111111111111111111112222222222222222222222222222"
            "2222",
        .iv = "33333333330000000000000000000000",
        .aad = "",
        .text =
            "444444444444444444444444444444444444444444444444444444444444"
            "4444",
        .result =
            "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d3"
            "94f0",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_3DES_ECB,
        .name = "3DES-ECB, SP 800-67",
        .key =
            "0123456789abcdef23456789abcdef01456789abcdef0123",
        .iv = "",
        .aad = "",
        .text =
            "54686520717566636b2062726f776e20666f78206a756d70",
        .result =
            "a826fd8ce53b855fcce21c8112256fe668d5c05dd9b6b900",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_CIPHER,
        .algo = VIRTIO_CRYPTO_CIPHER_3DES_CBC,
        .name = "3DES-CBC, by openssl",
        .key =
            "0123456789abcdef23456789abcdef01456789abcdef0123",
        .iv = "f69f2445df4f9b17",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e51",
        .result =
            "2079c3d53aa763e193b79e2569ab5262516570481f25b50f73c0bda85c8e"
            "0da7",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA1,
        .name = "SHA1 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result = "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA_224,
        .name = "SHA-224 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA_256,
        .name = "SHA-256 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db"
            "06c1",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA_384,
        .name = "SHA-384 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "3391fdddfc8dc7393707a65b1b4709397cf8b1d162af05abfe8f450de5f3"
            "6bc6b0455a8520bc4e6f5fe95b1fe3c8452b",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA_512,
        .name = "SHA-512 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703"
            "c33596fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec6312"
            "38ca3445",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA3_224,
        .name = "SHA3-224 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "8a24108b154ada21c9fd5574494479ba5c7e7ab76ef264ead0fcce33",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA3_256,
        .name = "SHA3-256 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d"
            "3376",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA3_384,
        .name = "SHA3-384 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "991c665755eb3a4b6bbdfb75c78a492e8c56a22c5c4d7e429bfdbc32b9d4"
            "ad5aa04a1f076e62fea19eef51acd0657c22",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA3_512,
        .name = "SHA3-512 of FIPS 180's two blocks",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "04a371e84ecfb5b8b77cb48610fca8182dd457ce6f326a0fd3d7ec2f1e91"
            "636dee691fbe0c985302ba1b0d8dc78c086346b533b49c030d99a27daf11"
            "39d6e75e",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA_256,
        .name = "SHA-256 of nothing",
        .key = "",
        .iv = "",
        .aad = "",
        .text = "",
        .result =
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852"
            "b855",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA3_SHAKE128,
        .name = "SHAKE128, 200 bytes",
        .key = "",
        .iv = "",
        .aad = "",
        .text =
            "6162636462636465636465666465666765666768666768696768696a6869"
            "6a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
        .result =
            "1a96182b50fb8c7e74e0a707788f55e98209b8d91fade8f32f8dd5cff7bf"
            "21f54ee5f19550825a6e070030519e944263ac1c6765287065621f9fcb32"
            "01723e3223b63a46c2938aa953ba8401d0ea77b8d26490775566407b9567"
            "3c0f4cc1ce9fd966148d7efdff26bbf9f48a21c6da35bfaa545654f70ae5"
            "86ff10131420771483ec92edab408c767bf4c5b4fffaa80c8ca214d84c4d"
            "c700d0c50630b2ffc3793ea4d87258b4c9548c5485a5ca666ef73fbd816d"
            "418aea6395b503addd9b150f9e0663325f01e551",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_SHA3_SHAKE256,
        .name = "SHAKE256 of nothing, 64 bytes",
        .key = "",
        .iv = "",
        .aad = "",
        .text = "",
        .result =
            "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5"
            "762fd75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eac"
            "b3b7c4be",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA1,
        .name = "HMAC-SHA1, RFC 2202 and 4231 case 2",
        .key = "4a656665",
        .iv = "",
        .aad = "",
        .text =
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .result = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA_224,
        .name = "HMAC-SHA-224, RFC 2202 and 4231 case 2",
        .key = "4a656665",
        .iv = "",
        .aad = "",
        .text =
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .result =
            "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA_256,
        .name = "HMAC-SHA-256, RFC 2202 and 4231 case 2",
        .key = "4a656665",
        .iv = "",
        .aad = "",
        .text =
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .result =
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec"
            "3843",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA_384,
        .name = "HMAC-SHA-384, RFC 2202 and 4231 case 2",
        .key = "4a656665",
        .iv = "",
        .aad = "",
        .text =
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .result =
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322"
            "445e8e2240ca5e69e2c78b3239ecfab21649",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA_512,
        .name = "HMAC-SHA-512, RFC 2202 and 4231 case 2",
        .key = "4a656665",
        .iv = "",
        .aad = "",
        .text =
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .result =
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea25"
            "05549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a"
            "38bce737",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA1,
        .name = "HMAC-SHA1, 96 bits",
        .key = "4a656665",
        .iv = "",
        .aad = "",
        .text =
            "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
        .result = "effcdf6ae5eb2fa2d27416d5",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_HMAC_SHA_256,
        .name = "HMAC-SHA-256, key over a block: RFC 4231 case 6",
        .key =
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaa",
        .iv = "",
        .aad = "",
        .text =
            "54657374205573696e67204c6172676572205468616e20426c6f636b2d53"
            "697a65204b6579202d2048617368204b6579204669727374",
        .result =
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee3"
            "7f54",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_CMAC_AES,
        .name = "AES-128-CMAC, RFC 4493 example 3",
        .key = "2b7e151628aed2a6abf7158809cf4f3c",
        .iv = "",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e5130c81c46a35ce411",
        .result = "dfa66747de9ae63030ca32611497c827",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_CMAC_AES,
        .name = "AES-128-CMAC of nothing, RFC 4493 example 1",
        .key = "2b7e151628aed2a6abf7158809cf4f3c",
        .iv = "",
        .aad = "",
        .text = "",
        .result = "bb1d6929e95937287fa37d129b756746",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_MAC,
        .algo = VIRTIO_CRYPTO_MAC_CMAC_AES,
        .name = "AES-256-CMAC, SP 800-38B D.3",
        .key =
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914"
            "dff4",
        .iv = "",
        .aad = "",
        .text =
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af"
            "8e5130c81c46a35ce411",
        .result = "aaf3d8f1de5640c232f5b169b9c911e6",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_AEAD,
        .algo = VIRTIO_CRYPTO_AEAD_GCM,
        .name = "AES-128-GCM, McGrew and Viega case 4",
        .key = "feffe9928665731c6d6a8f9467308308",
        .iv = "cafebabefacedbaddecaf888",
        .aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        .text =
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a31"
            "8a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        .result =
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329ac"
            "a12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            "5bc94fbc3221a5db94fae95ae7121a47",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_AEAD,
        .algo = VIRTIO_CRYPTO_AEAD_GCM,
        .name = "AES-128-GCM, nonce given as J0",
        .key = "feffe9928665731c6d6a8f9467308308",
        .iv = "cafebabefacedbaddecaf88800000001",
        .aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        .text =
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a31"
            "8a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        .result =
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329ac"
            "a12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            "5bc94fbc3221a5db94fae95ae7121a47",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_AEAD,
        .algo = VIRTIO_CRYPTO_AEAD_GCM,
        .name = "AES-128-GCM, no text: case 1",
        .key = "00000000000000000000000000000000",
        .iv = "000000000000000000000000",
        .aad = "",
        .text = "",
        .result = "58e2fccefa7e3061367f1d57a4e7455a",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_AEAD,
        .algo = VIRTIO_CRYPTO_AEAD_CCM,
        .name = "AES-128-CCM, SP 800-38C example 1",
        .key = "404142434445464748494a4b4c4d4e4f",
        .iv = "10111213141516",
        .aad = "0001020304050607",
        .text = "20212223",
        .result = "7162015b4dac255d",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_AEAD,
        .algo = VIRTIO_CRYPTO_AEAD_CCM,
        .name = "AES-128-CCM, SP 800-38C example 2",
        .key = "404142434445464748494a4b4c4d4e4f",
        .iv = "1011121314151617",
        .aad = "000102030405060708090a0b0c0d0e0f",
        .text = "202122232425262728292a2b2c2d2e2f",
        .result = "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd",
    },
    {
        .service = VIRTIO_CRYPTO_SERVICE_AEAD,
        .algo = VIRTIO_CRYPTO_AEAD_CHACHA20_POLY1305,
        .name = "ChaCha20-Poly1305, RFC 8439 2.8.2",
        .key =
            "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d"
            "9e9f",
        .iv = "070000004041424344454647",
        .aad = "50515253c0c1c2c3c4c5c6c7",
        .text =
            "4c616469657320616e642047656e746c656d656e206f662074686520636c"
            "617373206f66202739393a204966204920636f756c64206f666665722079"
            "6f75206f6e6c79206f6e652074697020666f722074686520667574757265"
            "2c2073756e73637265656e20776f756c642062652069742e",
        .result =
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee"
            "62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b6"
            "7ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585"
            "808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09"
            "e26a7e902ecbd0600691",
    },
};

/* An RSA key of 1024 bits, made for these tests */
#define RSA_PRIVATE \
    "3082025b02010002818100e60da2a27374360fa4d0ea8e5bd904d23b7191" \
    "291819662b2e47a88edb20823ff748570c0f031ee5d9946baa876600af09" \
    "9aee04e5d44fdb5a5df8eeea52ff5d9b9288b1a0f71209aeb008a2d48abb" \
    "2d7a40610f5151ec2e130eb597316f4d64e7d4f83810263766b82a4e5463" \
    "fb50a0d74d3307ba5244a932639ff7fff9f2f7020301000102818036c640" \
    "56d58e71e0bfa94e6f9ec6c933151c3127cba9207e5f82884b9b38de4a44" \
    "a260b76a4b9febb226788c1db8d7a8d56ca2076081709215ae123b30679a" \
    "8d4781102124110e40daed183f6354a947e7ed4d48d7dee1df5a066af2b5" \
    "ac3d299e6c0cfbfe0242f599e8ddded772389b94096370bce73ef2586795" \
    "a3a3f05981024100facf24b4d01368e36f43f9408af47eeb8c8e87d74287" \
    "b95e4d4d74751567f6fda9bb9f9041b082d2720b3f4e9813dbc2e93b968f" \
    "dbc2a50eb5dd0e95068c6451024100ead0857c41447be729dd89b313e7cb" \
    "d57f5c51ff7883d21c4abf01da5f3ebe5250b579dc52863a0fa216019310" \
    "552de5cb5675a642929439705a8023e23278c702407eeb0bdc23df6e9888" \
    "d990ec4464ed452d5f83063f3887695d1cf0edbee3596d8bd2d23021cdbc" \
    "a5d9e82f250a78222143fd4f7784f1beacef02ea3a27922bc10240090fac" \
    "e70399c1f244b250db013ca3a804772a8ee236ac07fd766b7ae2cc080a23" \
    "252da3abe7941c00543b1152c306b764665cb9e2bdc74c842269e978941c" \
    "0702402b5c4f47cb6b056d0fa68f251fcae02938f2e4f361266d4cafa9b3" \
    "d6f7cae7c4f355b72a6464f82ce3c578526116e4c2cf4183dcf765bea16b" \
    "d2a78910161877"

#define RSA_PUBLIC \
    "30818902818100e60da2a27374360fa4d0ea8e5bd904d23b719129181966" \
    "2b2e47a88edb20823ff748570c0f031ee5d9946baa876600af099aee04e5" \
    "d44fdb5a5df8eeea52ff5d9b9288b1a0f71209aeb008a2d48abb2d7a4061" \
    "0f5151ec2e130eb597316f4d64e7d4f83810263766b82a4e5463fb50a0d7" \
    "4d3307ba5244a932639ff7fff9f2f70203010001"

#define RSA_DIGEST \
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f200" \
    "15ad"

#define RSA_SIGNATURE \
    "8869d90092c8dbd4c6fd7cd8e4d13ca1f93f97e13eaa0ba44b6315b22175" \
    "87b476cd4b815ecc1f9108ea8b8f55f2ed0c9364f1d89130001743c0b6f0" \
    "09dcef990b136b173a4b318130a9b1642336aa1b9fefcc7b7b657207b05f" \
    "d0492220514f15b00decf1ef41dbdae0d717500ff1f0cd438df6071fbf99" \
    "1fbc1c10a4ea2894"

#define RSA_RAW_PLAIN \
    "0042000102030405060708090a0b0c0d0e0f101112131415161718191a1b" \
    "1c1d1e1f202122232425262728292a2b2c2d2e2f30313233343536373839" \
    "3a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051525354555657" \
    "58595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475" \
    "767778797a7b7c7d"

#define RSA_RAW_CIPHER \
    "3722c8b0755e53ac015bd15ba140efb2d1e3c54fefddbe5a957216826618" \
    "5415182e5f5fb3d312a4f60fb9a21305f6cdd86e938561c2bef4df124a3e" \
    "ed88df029d2cacfef0f1df8f83b22df5aa361ffba99392e7f3b26fe5f014" \
    "09fc036644c0458c86acea9eb9fbc72e8e3f90d80d4fd4045b4770e267f5" \
    "3b087f97989a2995"

#endif
