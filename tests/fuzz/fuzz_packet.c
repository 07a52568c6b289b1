/* One frame of any link type: two bytes of link type, four of length on the wire, then what was captured. */
#include "lib/base/bytes.h"
#include "lib/packet/hint.h"
#include "lib/packet/packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum { HEAD = 4 };
	if (len < HEAD) {
		return 0;
	}
	uint16_t linktype = (uint16_t)(data[0] | data[1] << 8);
	uint32_t caplen = (uint32_t)(len - HEAD);
	/* A copy of its own, so that a byte beyond it is found. */
	uint8_t *frame = malloc(caplen > 0 ? caplen : 1);
	assert(frame != NULL);
	memcpy(frame, data + HEAD, caplen);
	struct cu_packet_content content;
	cu_packet_decode(linktype, frame, caplen, caplen + (uint32_t)(data[2] | data[3] << 8), &content);
	free(frame);
	return 0;
}
