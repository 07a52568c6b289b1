/* One frame of any link type: two bytes of link type, two of what was not captured, then what was captured. */
#include "lib/base/bytes.h"
#include "lib/packet/hint.h"
#include "lib/packet/packet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A copy of its own, so that a byte read beyond it is found. */
static uint8_t *copy_of(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	assert(copy != NULL);
	memcpy(copy, data, len);
	return copy;
}

static void check_payload(const struct cu_tcp *tcp, const uint8_t *frame, uint32_t caplen)
{
	struct cu_hint hint;
	if (tcp->payload == NULL) {
		return;
	}
	assert(tcp->payload_caplen <= tcp->payload_len);
	assert(tcp->payload >= frame && tcp->payload + tcp->payload_caplen <= frame + caplen);
	uint8_t *payload = copy_of(tcp->payload, tcp->payload_caplen);
	cu_hint_parse(payload, tcp->payload_caplen, &hint);
	assert(hint.text_len <= CU_HINT_TEXT_CAP);
	free(payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum { HEAD = 4 };
	if (len < HEAD) {
		return 0;
	}
	uint16_t linktype = (uint16_t)(data[0] | data[1] << 8);
	uint32_t caplen = (uint32_t)(len - HEAD);
	uint8_t *frame = copy_of(data + HEAD, caplen);
	struct cu_packet_content content;
	uint32_t wire = caplen + (uint32_t)(data[2] | data[3] << 8);
	enum cu_packet_kind kind = cu_packet_decode(linktype, frame, caplen, wire, &content);
	kind = kind == CU_PACKET_AGGREGATE ? content.first_kind : kind;
	while (kind == CU_PACKET_FRAGMENT) { /* as if it were whole */
		const struct cu_ip_fragment *part = &content.fragment;
		assert(part->caplen <= part->len);
		assert(part->data >= frame && part->data + part->caplen <= frame + caplen);
		kind = cu_packet_decode_datagram(part, &content);
	}
	if (kind == CU_PACKET_TCP) {
		check_payload(&content.tcp, frame, caplen);
	}
	free(frame);
	return 0;
}
