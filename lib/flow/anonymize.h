/*
 * Anonymizing: other addresses and ids for those of a capture, so that its
 * flow file can be given away.
 *
 * Addresses by Crypto-PAn (Xu, Fan, Ammar, Moon: Prefix-Preserving IP Address
 * Anonymization, ICNP 2002): two that share their first n bits share n bits
 * afterwards, no more and no less, in either family. The same key gives the
 * same addresses, so that the files of a week still belong together.
 * VLAN and tunnel ids are permuted among those of their kind.
 */
#ifndef CU_FLOW_ANONYMIZE_H
#define CU_FLOW_ANONYMIZE_H

#include "lib/base/aes.h"
#include "lib/base/error.h"
#include "lib/packet/hint.h"
#include "lib/packet/packet.h"

enum {
	CU_ANONYMIZE_KEY_LEN = 32,    /* 16 of AES, 16 of padding, as in the authors' program */
	CU_ANONYMIZE_CACHE = 1 << 12, /* addresses remembered; most captures have fewer */
};

struct cu_anonymizer {
	struct cu_aes aes;
	uint8_t pad[CU_AES_BLOCK_LEN];    /* behind an address' bits */
	uint8_t id_pad[CU_AES_BLOCK_LEN]; /* the same for ids */
	struct {
		struct cu_addr from, to;
	} cache[CU_ANONYMIZE_CACHE];
};

/*
 * Reads a key from a file, which may be a pipe: its 32 bytes, or 64
 * hexadecimal digits and a newline. exposed says whether others than the
 * file's owner can read it. 0, CU_ERR_IO, or CU_ERR_FORMAT with a sentence.
 */
int cu_anonymize_key_read(const char *path, uint8_t key[static CU_ANONYMIZE_KEY_LEN], bool *exposed,
                          struct cu_fault *fault);

void cu_anonymize_init(struct cu_anonymizer *anonymizer, const uint8_t key[static CU_ANONYMIZE_KEY_LEN]);

/* Puts another address in the place of addr; one of no family stays. */
void cu_anonymize_addr(struct cu_anonymizer *anonymizer, struct cu_addr *addr);

/* The same for an id of a key: its kind in the high byte, 12 bits of a VLAN or 24 of others. */
uint32_t cu_anonymize_id(const struct cu_anonymizer *anonymizer, uint32_t id);

/*
 * Takes out of a hint what the payload's author chose: targets, server names,
 * banners. The method of a request and the status of a response stay.
 */
void cu_anonymize_hint(struct cu_hint *hint);

#endif
