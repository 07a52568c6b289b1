#include "lib/capture/dump.h"

#include "lib/base/units.h"

#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_ENHANCED_PACKET = 6,
	OPT_END = 0,
	OPT_COMMENT = 1,
	OPT_SHB_USERAPPL = 4,
	OPT_IF_NAME = 2,
	OPT_EPB_PACKETID = 5,
	OPT_ISB_ENDTIME = 3,
	OPT_ISB_IFDROP = 5,
	OPT_IF_TSRESOL = 9,
	OPT_IF_TSOFFSET = 14,
	RESOLUTION_NANO = 9,
	RESOLUTION_BINARY = 0x80,
	OPTION_TEXT_CAP = 4096,
};
#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define PCAP_MAGIC_MICRO 0xa1b2c3d4U
#define PCAP_MAGIC_NANO 0xa1b23c4dU

static void add16(struct cu_buf *buf, uint16_t v)
{
	uint8_t p[2];
	cu_put_le16(p, v);
	cu_buf_add(buf, p, sizeof(p));
}

static void add32(struct cu_buf *buf, uint32_t v)
{
	uint8_t p[4];
	cu_put_le32(p, v);
	cu_buf_add(buf, p, sizeof(p));
}

static void add64(struct cu_buf *buf, uint64_t v)
{
	uint8_t p[8];
	cu_put_le64(p, v);
	cu_buf_add(buf, p, sizeof(p));
}

static void add_padding(struct cu_buf *buf, size_t len)
{
	static const uint8_t zeros[4];
	cu_buf_add(buf, zeros, -len & 3);
}

static void add_option(struct cu_buf *buf, uint16_t code, const void *value, size_t len)
{
	len = len < OPTION_TEXT_CAP ? len : OPTION_TEXT_CAP;
	add16(buf, code);
	add16(buf, (uint16_t)len);
	cu_buf_add(buf, value, len);
	add_padding(buf, len);
}

static void add_option64(struct cu_buf *buf, uint16_t code, uint64_t v)
{
	uint8_t p[8];
	cu_put_le64(p, v);
	add_option(buf, code, p, sizeof(p));
}

/* Begins a block; returns where, for end_block. */
static size_t begin_block(struct cu_buf *buf, uint32_t type)
{
	size_t start = buf->len;
	add32(buf, type);
	add32(buf, 0); /* the length, known at its end */
	return start;
}

static void end_block(struct cu_buf *buf, size_t start)
{
	uint32_t total = (uint32_t)(buf->len - start + 4);
	add32(buf, total);
	if (!buf->failed) {
		cu_put_le32(buf->data + start + 4, total);
	}
}

void cu_dump_section(struct cu_buf *buf, const char *version)
{
	char application[64] = CU_DUMP_APPLICATION " ";
	strncat(application, version, sizeof(application) - sizeof(CU_DUMP_APPLICATION) - 1);
	size_t start = begin_block(buf, BLOCK_SECTION);
	add32(buf, BYTE_ORDER_MAGIC);
	add16(buf, 1);
	add16(buf, 0);
	add64(buf, UINT64_MAX); /* the section's length is not given */
	add_option(buf, OPT_SHB_USERAPPL, application, strlen(application));
	add_option(buf, OPT_END, NULL, 0);
	end_block(buf, start);
}

static uint8_t dumped_resolution(const struct cu_interface *interface)
{
	uint8_t resolution = interface->resolution;
	return (resolution & RESOLUTION_BINARY) != 0 || resolution > RESOLUTION_NANO ? RESOLUTION_NANO : resolution;
}

static uint64_t units_of(const struct cu_interface *interface, int64_t time_ns)
{
	int64_t ns = time_ns - interface->offset_s * CU_NS_PER_S;
	if (ns < 0) {
		return 0;
	}
	uint64_t unit_ns = 1;
	for (unsigned i = dumped_resolution(interface); i < RESOLUTION_NANO; i++) {
		unit_ns *= 10;
	}
	return (uint64_t)ns / unit_ns;
}

void cu_dump_interface(struct cu_buf *buf, const struct cu_interface *interface, const char *comment)
{
	size_t start = begin_block(buf, BLOCK_INTERFACE);
	add16(buf, interface->linktype);
	add16(buf, 0);
	add32(buf, interface->snaplen);
	uint8_t resolution = dumped_resolution(interface);
	if (interface->name[0] != '\0') {
		add_option(buf, OPT_IF_NAME, interface->name, strlen(interface->name));
	}
	add_option(buf, OPT_IF_TSRESOL, &resolution, 1);
	if (interface->offset_s != 0) {
		add_option64(buf, OPT_IF_TSOFFSET, (uint64_t)interface->offset_s);
	}
	if (comment != NULL) {
		add_option(buf, OPT_COMMENT, comment, strlen(comment));
	}
	add_option(buf, OPT_END, NULL, 0);
	end_block(buf, start);
}

void cu_dump_packet(struct cu_buf *buf, uint32_t id, const struct cu_interface *interface,
                    const struct cu_packet *packet, uint64_t packet_id)
{
	uint64_t units = units_of(interface, packet->time_ns);
	size_t start = begin_block(buf, BLOCK_ENHANCED_PACKET);
	add32(buf, id);
	add32(buf, (uint32_t)(units >> 32));
	add32(buf, (uint32_t)units);
	add32(buf, packet->caplen);
	add32(buf, packet->len);
	cu_buf_add(buf, packet->data, packet->caplen);
	add_padding(buf, packet->caplen);
	add_option64(buf, OPT_EPB_PACKETID, packet_id);
	add_option(buf, OPT_END, NULL, 0);
	end_block(buf, start);
}

void cu_dump_statistics(struct cu_buf *buf, uint32_t id, const struct cu_interface *interface, int64_t time_ns,
                        int64_t end_ns, uint64_t n_drops)
{
	uint64_t units = units_of(interface, time_ns);
	size_t start = begin_block(buf, BLOCK_STATISTICS);
	add32(buf, id);
	add32(buf, (uint32_t)(units >> 32));
	add32(buf, (uint32_t)units);
	if (end_ns != 0) {
		uint8_t p[8];
		units = units_of(interface, end_ns);
		cu_put_le32(p, (uint32_t)(units >> 32));
		cu_put_le32(p + 4, (uint32_t)units);
		add_option(buf, OPT_ISB_ENDTIME, p, sizeof(p));
	}
	if (n_drops > 0) {
		add_option64(buf, OPT_ISB_IFDROP, n_drops);
	}
	add_option(buf, OPT_END, NULL, 0);
	end_block(buf, start);
}

void cu_dump_pcap_header(struct cu_buf *buf, uint16_t linktype, uint32_t snaplen, bool is_micro)
{
	add32(buf, is_micro ? PCAP_MAGIC_MICRO : PCAP_MAGIC_NANO);
	add16(buf, 2);
	add16(buf, 4);
	add32(buf, 0);
	add32(buf, 0);
	add32(buf, snaplen > CU_PACKET_CAP ? snaplen : CU_PACKET_CAP);
	add32(buf, linktype);
}

void cu_dump_pcap_packet(struct cu_buf *buf, const struct cu_packet *packet, bool is_micro)
{
	int64_t ns = packet->time_ns > 0 ? packet->time_ns : 0;
	add32(buf, (uint32_t)(ns / CU_NS_PER_S));
	add32(buf, (uint32_t)(ns % CU_NS_PER_S / (is_micro ? CU_NS_PER_US : 1)));
	add32(buf, packet->caplen);
	add32(buf, packet->len);
	cu_buf_add(buf, packet->data, packet->caplen);
}
