#include "lib/flow/anonymize.h"

#include "lib/base/bytes.h"
#include "lib/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	KEY_TEXT_LEN = 2 * CU_ANONYMIZE_KEY_LEN,
	KEY_FILE_CAP = KEY_TEXT_LEN + 2, /* its newline, and one that is too many */
	ID_KIND_SHIFT = 24,
	ID_KIND_VLAN = 1,
	VLAN_BITS = 12,
	OTHER_BITS = 24,
	/* Of a Feistel network; four are a strong permutation of large domains, small ones want more. */
	FEISTEL_ROUNDS = 10,
};

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

static bool parse_key(const uint8_t *data, size_t len, uint8_t key[static CU_ANONYMIZE_KEY_LEN])
{
	if (len == CU_ANONYMIZE_KEY_LEN) {
		memcpy(key, data, len);
		return true;
	}
	if (len != KEY_TEXT_LEN && !(len == KEY_TEXT_LEN + 1 && data[KEY_TEXT_LEN] == '\n')) {
		return false;
	}
	for (size_t i = 0; i < CU_ANONYMIZE_KEY_LEN; i++) {
		int high = hex_digit(data[2 * i]), low = hex_digit(data[2 * i + 1]);
		if (high < 0 || low < 0) {
			return false;
		}
		key[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* All there is of a file, up to cap bytes; -1 when it cannot be read. */
static ssize_t read_up_to(int fd, uint8_t *data, size_t cap)
{
	size_t len = 0;
	while (len < cap) {
		ssize_t n = read(fd, data + len, cap - len);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return n < 0 ? -1 : (ssize_t)len;
		}
		len += (size_t)n;
	}
	return (ssize_t)len;
}

int cu_anonymize_key_read(const char *path, uint8_t key[static CU_ANONYMIZE_KEY_LEN], bool *exposed,
                          struct cu_fault *fault)
{
	uint8_t data[KEY_FILE_CAP];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd >= 0 ? read_up_to(fd, data, sizeof(data)) : -1;
	int error = errno;
	struct stat st;
	*exposed = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0;
	if (fd >= 0) {
		close(fd);
	}
	if (len < 0) {
		return cu_fault_set_errno(fault, error, "%s", path);
	}
	bool sound = parse_key(data, (size_t)len, key);
	explicit_bzero(data, sizeof(data));
	if (!sound) {
		return cu_fault_set(fault, CU_ERR_FORMAT,
		                    "%s: is no key: that is 32 bytes, or 64 hexadecimal digits, in a file", path);
	}
	return 0;
}

void cu_anonymize_init(struct cu_anonymizer *anonymizer, const uint8_t key[static CU_ANONYMIZE_KEY_LEN])
{
	memset(anonymizer, 0, sizeof(*anonymizer));
	cu_aes_init(&anonymizer->aes, key);
	cu_aes_encrypt(&anonymizer->aes, key + CU_AES_KEY_LEN, anonymizer->pad);
	for (unsigned i = 0; i < CU_AES_BLOCK_LEN; i++) {
		anonymizer->id_pad[i] = (uint8_t)~key[CU_AES_KEY_LEN + i];
	}
	cu_aes_encrypt(&anonymizer->aes, anonymizer->id_pad, anonymizer->id_pad);
}

static unsigned bit_of(const uint8_t *bytes, unsigned at)
{
	return bytes[at / 8] >> (7 - at % 8) & 1;
}

static void flip_bit(uint8_t *bytes, unsigned at)
{
	bytes[at / 8] ^= (uint8_t)(0x80 >> at % 8);
}

/* Bit n is flipped when the first bit of AES(the n bits before it, then the padding's) says so. */
static void map_bits(const struct cu_anonymizer *anonymizer, const uint8_t *from, unsigned n_bits, uint8_t *to)
{
	uint8_t block[CU_AES_BLOCK_LEN], out[CU_AES_BLOCK_LEN];
	memcpy(block, anonymizer->pad, sizeof(block));
	for (unsigned n = 0; n < n_bits; n++) {
		cu_aes_encrypt(&anonymizer->aes, block, out);
		if (out[0] >> 7) {
			flip_bit(to, n);
		}
		if (bit_of(block, n) != bit_of(from, n)) {
			flip_bit(block, n);
		}
	}
}

void cu_anonymize_addr(struct cu_anonymizer *anonymizer, struct cu_addr *addr)
{
	if (addr->family == 0) {
		return;
	}
	uint64_t hash = cu_hash_mix(cu_get_be64(addr->bytes) ^ 0x9e3779b97f4a7c15, cu_get_be64(addr->bytes + 8) ^ 1);
	size_t at = hash % CU_ANONYMIZE_CACHE;
	if (!cu_addr_equal(&anonymizer->cache[at].from, addr)) {
		struct cu_addr to = *addr;
		map_bits(anonymizer, addr->bytes, addr->family == 4 ? 32 : 128, to.bytes);
		anonymizer->cache[at].from = *addr;
		anonymizer->cache[at].to = to;
	}
	*addr = anonymizer->cache[at].to;
}

uint32_t cu_anonymize_id(const struct cu_anonymizer *anonymizer, uint32_t id)
{
	uint32_t kind = id >> ID_KIND_SHIFT;
	unsigned half_bits = (kind == ID_KIND_VLAN ? VLAN_BITS : OTHER_BITS) / 2;
	uint32_t mask = (UINT32_C(1) << half_bits) - 1;
	uint32_t left = id >> half_bits & mask, right = id & mask;
	for (unsigned round = 0; round < FEISTEL_ROUNDS; round++) {
		uint8_t block[CU_AES_BLOCK_LEN];
		memcpy(block, anonymizer->id_pad, sizeof(block));
		block[0] ^= (uint8_t)kind;
		block[1] ^= (uint8_t)round;
		block[2] ^= (uint8_t)(right >> 8);
		block[3] ^= (uint8_t)right;
		cu_aes_encrypt(&anonymizer->aes, block, block);
		uint32_t next = left ^ (cu_get_be32(block) & mask);
		left = right;
		right = next;
	}
	return kind << ID_KIND_SHIFT | left << half_bits | right;
}

void cu_anonymize_hint(struct cu_hint *hint)
{
	const char *space;
	switch (hint->kind) {
	case CU_HINT_HTTP_RESPONSE:
		break;
	case CU_HINT_HTTP_REQUEST:
		space = memchr(hint->text, ' ', hint->text_len);
		hint->text_len = space != NULL ? (uint8_t)(space - hint->text) : 0;
		break;
	default:
		hint->text_len = 0;
		break;
	}
}
