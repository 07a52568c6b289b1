/* Capture files: pcap and pcapng, plain or zstd, whole or damaged. */
#include "tests/fuzz/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd;
	if (fuzz_needs_child(data, len)) {
		return 0;
	}
	struct cu_capture *capture = fuzz_capture(data, len, &fd);
	if (capture != NULL) {
		struct cu_packet packet;
		uint8_t copy[64]; /* reads what is said to be there */
		uint64_t last_frame = 0;
		while (cu_capture_next(capture, &packet) > 0) {
			assert(packet.caplen <= CU_PACKET_CAP && packet.len >= packet.caplen);
			assert(packet.frame > last_frame);
			last_frame = packet.frame;
			for (uint32_t at = 0; at < packet.caplen; at += sizeof(copy)) {
				uint32_t n = packet.caplen - at;
				memcpy(copy, packet.data + at, n < sizeof(copy) ? n : sizeof(copy));
			}
		}
		cu_capture_close(capture);
	}
	close(fd);
	return 0;
}
