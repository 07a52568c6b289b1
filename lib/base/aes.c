#include "lib/base/aes.h"

#include "lib/base/bytes.h"

enum {
	POLYNOMIAL = 0x1b,    /* x^8 = x^4 + x^3 + x + 1: FIPS 197 section 4.2 */
	SBOX_CONSTANT = 0x63, /* FIPS 197 section 5.1.1 */
};

/* Twice b in the field. */
static uint8_t times_two(uint8_t b)
{
	return (uint8_t)(b << 1 ^ (b >> 7) * POLYNOMIAL);
}

static uint8_t rotate_byte(uint8_t b, unsigned n)
{
	return (uint8_t)(b << n | b >> (8 - n));
}

static uint32_t rotate_word(uint32_t word, unsigned n)
{
	return word >> n | word << (32 - n);
}

/* Every byte but 0 is a power of 3; p runs through them, and q through their inverses. */
static void make_sbox(uint8_t sbox[static 256])
{
	uint8_t p = 1, q = 1;
	do {
		p = (uint8_t)(p ^ times_two(p));
		q ^= (uint8_t)(q << 1); /* divided by 3, which is times 0xf6 */
		q ^= (uint8_t)(q << 2);
		q ^= (uint8_t)(q << 4);
		q ^= (q & 0x80) != 0 ? 0x09 : 0;
		sbox[p] = q ^ rotate_byte(q, 1) ^ rotate_byte(q, 2) ^ rotate_byte(q, 3) ^ rotate_byte(q, 4) ^
		          SBOX_CONSTANT;
	} while (p != 1);
	sbox[0] = SBOX_CONSTANT;
}

static void make_table(const uint8_t sbox[static 256], uint32_t table[static 256])
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t s = sbox[i], s2 = times_two(sbox[i]);
		table[i] = s2 << 24 | s << 16 | s << 8 | (s2 ^ s);
	}
}

/* SubBytes of each byte of a word. */
static uint32_t substitute(const struct cu_aes *aes, uint32_t word)
{
	return (uint32_t)aes->sbox[word >> 24] << 24 | (uint32_t)aes->sbox[word >> 16 & 0xff] << 16 |
	       (uint32_t)aes->sbox[word >> 8 & 0xff] << 8 | aes->sbox[word & 0xff];
}

void cu_aes_init(struct cu_aes *aes, const uint8_t key[static CU_AES_KEY_LEN])
{
	make_sbox(aes->sbox);
	make_table(aes->sbox, aes->table);
	uint32_t *w = aes->round_keys;
	uint8_t round_constant = 1;
	for (unsigned i = 0; i < 4; i++) {
		w[i] = cu_get_be32(key + (size_t)4 * i);
	}
	for (unsigned i = 4; i < (CU_AES_ROUNDS + 1) * 4; i++) { /* FIPS 197 section 5.2 */
		uint32_t word = w[i - 1];
		if (i % 4 == 0) {
			word = substitute(aes, rotate_word(word, 24)) ^ (uint32_t)round_constant << 24;
			round_constant = times_two(round_constant);
		}
		w[i] = w[i - 4] ^ word;
	}
}

/* A column of a round: ShiftRows takes its bytes from four columns, the table does the rest. */
static uint32_t round_column(const struct cu_aes *aes, const uint32_t s[static 4], unsigned i)
{
	const uint32_t *t = aes->table;
	return t[s[i] >> 24] ^ rotate_word(t[s[(i + 1) % 4] >> 16 & 0xff], 8) ^
	       rotate_word(t[s[(i + 2) % 4] >> 8 & 0xff], 16) ^ rotate_word(t[s[(i + 3) % 4] & 0xff], 24);
}

void cu_aes_encrypt(const struct cu_aes *aes, const uint8_t in[static CU_AES_BLOCK_LEN],
                    uint8_t out[static CU_AES_BLOCK_LEN])
{
	const uint32_t *key = aes->round_keys;
	uint32_t s[4], next[4];
	for (unsigned i = 0; i < 4; i++) {
		s[i] = cu_get_be32(in + (size_t)4 * i) ^ *key++;
	}
	for (unsigned round = 1; round < CU_AES_ROUNDS; round++) {
		for (unsigned i = 0; i < 4; i++) {
			next[i] = round_column(aes, s, i) ^ *key++;
		}
		for (unsigned i = 0; i < 4; i++) {
			s[i] = next[i];
		}
	}
	for (unsigned i = 0; i < 4; i++) { /* the last one mixes no columns */
		uint32_t shifted = (s[i] & 0xff000000) | (s[(i + 1) % 4] & 0xff0000) | (s[(i + 2) % 4] & 0xff00) |
		                   (s[(i + 3) % 4] & 0xff);
		uint32_t word = substitute(aes, shifted) ^ *key++;
		uint8_t *p = out + (size_t)4 * i;
		p[0] = (uint8_t)(word >> 24);
		p[1] = (uint8_t)(word >> 16);
		p[2] = (uint8_t)(word >> 8);
		p[3] = (uint8_t)word;
	}
}
