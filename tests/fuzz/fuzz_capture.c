/* Capture files: pcap and pcapng, plain or zstd, whole or damaged; those of odd length are merged with themselves. */
#include "tests/fuzz/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd;
	if (fuzz_needs_child(data, len)) {
		return 0;
	}
	size_t n_captures = 1 + len % 2;
	struct cu_capture *capture = fuzz_capture(data, len, n_captures, &fd);
	if (capture != NULL) {
		struct cu_packet packet;
		uint8_t copy[64]; /* reads what is said to be there */
		while (cu_capture_next(capture, &packet) > 0) {
			assert(packet.caplen <= CU_PACKET_CAP && packet.len >= packet.caplen);
			assert(packet.frame > 0 && packet.file < cu_capture_n_files(capture));
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
