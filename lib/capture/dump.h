/*
 * Captures out: the bytes of pcap and pcapng, little-endian, appended to a
 * buffer. A buffer that could not grow says so (failed); nothing here writes.
 */
#ifndef CU_CAPTURE_DUMP_H
#define CU_CAPTURE_DUMP_H

#include "lib/base/bytes.h"
#include "lib/capture/capture.h"

#include <stdint.h>

/*
 * pcapng (draft-ietf-opsawg-pcapng). A section of ours says with this text, at
 * the start of its shb_userappl option, that the epb_packetid option of its
 * packets holds the place in the captures they came from: see
 * CU_PACKET_ID_FILE_SHIFT. Ids of any other writer mean something else.
 */
#define CU_DUMP_APPLICATION "culprit split"

/* Bytes that these take, packets beside their data, which in pcapng is padded to four bytes. */
enum {
	CU_DUMP_PACKET_BYTES = 48,
	CU_DUMP_STATISTICS_BYTES = 52, /* at most */
	CU_DUMP_PCAP_HEADER_BYTES = 24,
	CU_DUMP_PCAP_PACKET_BYTES = 16,
};

/* Begins a section; version is appended to CU_DUMP_APPLICATION. */
void cu_dump_section(struct cu_buf *buf, const char *version);

/*
 * Describes the next interface of the section; comment may be NULL.
 * Resolutions that nanoseconds cannot hold become nanoseconds.
 */
void cu_dump_interface(struct cu_buf *buf, const struct cu_interface *interface, const char *comment);

/* A packet of the section's interface number id, which interface describes. */
void cu_dump_packet(struct cu_buf *buf, uint32_t id, const struct cu_interface *interface,
                    const struct cu_packet *packet, uint64_t packet_id);

/*
 * Statistics of interface number id at a time: when capturing ended, or 0, and
 * the packets that the capturing program reported as dropped, or 0.
 */
void cu_dump_statistics(struct cu_buf *buf, uint32_t id, const struct cu_interface *interface, int64_t time_ns,
                        int64_t end_ns, uint64_t n_drops);

/* pcap 2.4 (draft-ietf-opsawg-pcap), in microseconds or nanoseconds. */
void cu_dump_pcap_header(struct cu_buf *buf, uint16_t linktype, uint32_t snaplen, bool is_micro);
void cu_dump_pcap_packet(struct cu_buf *buf, const struct cu_packet *packet, bool is_micro);

#endif
