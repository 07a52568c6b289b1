/*
 * AES-128, one block at a time, to encrypt only (FIPS 197): the function that
 * Crypto-PAn is made of.
 *
 * Our own, as one cipher and one direction are some eighty lines, and a
 * cryptographic library would be a dependency of every installation for one
 * option of one program. Its table look-ups take a time that depends on the
 * data: sound for offline work, not where another can time it.
 */
#ifndef CU_BASE_AES_H
#define CU_BASE_AES_H

#include <stdint.h>

enum { CU_AES_KEY_LEN = 16, CU_AES_BLOCK_LEN = 16, CU_AES_ROUNDS = 10 };

struct cu_aes {
	uint32_t round_keys[(CU_AES_ROUNDS + 1) * 4];
	uint8_t sbox[256];
	uint32_t table[256]; /* a column of SubBytes and MixColumns */
};

void cu_aes_init(struct cu_aes *aes, const uint8_t key[static CU_AES_KEY_LEN]);

/* out may be in. */
void cu_aes_encrypt(const struct cu_aes *aes, const uint8_t in[static CU_AES_BLOCK_LEN],
                    uint8_t out[static CU_AES_BLOCK_LEN]);

#endif
