/*
 * The bytes of a baseline, with a checksum that fits: what is taken is written
 * as it was read, and added twice it is still well formed.
 */
#include "lib/base/hash.h"
#include "lib/rules/baseline.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum { CRC_LEN = 4 };
	struct cu_baseline *baseline = cu_baseline_new(), *again = cu_baseline_new();
	struct cu_fault fault = {0};
	struct cu_buf first = {0}, second = {0};
	uint8_t *copy = malloc(len > 0 ? len : 1);
	assert(baseline != NULL && again != NULL && copy != NULL);
	memcpy(copy, len > 0 ? data : copy, len);
	if (len >= CRC_LEN) {
		cu_put_le32(copy + len - CRC_LEN, cu_crc32c(copy, len - CRC_LEN));
	}
	if (cu_baseline_decode(baseline, "fuzz", copy, len, &fault) == 0) {
		cu_baseline_encode(baseline, &first);
		assert(cu_baseline_decode(again, "first", first.data, first.len, &fault) == 0);
		cu_baseline_encode(again, &second);
		assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
		cu_baseline_find(baseline, (struct cu_text){"http", 4}, 80, CU_TXN_REQUEST);
	} else {
		assert(fault.text[0] != '\0');
	}
	free(copy);
	cu_buf_release(&first);
	cu_buf_release(&second);
	cu_baseline_free(baseline);
	cu_baseline_free(again);
	return 0;
}
