/*
 * Records in a stream that is whole: the input is, again and again, a byte of
 * kind, two of length, and that many of payload. So the fuzzer gets past the
 * checksums, to what analyze, classify and report make of the records. An
 * input of odd length is analysed in parts; kind 0 begins another stream.
 */
#include "tests/fuzz/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum { HEAD = 3, KINDS = 67 };
	int fd = memfd_create("records", MFD_CLOEXEC);
	const struct cu_writer_config config = {.no_compress = true};
	const struct cu_stream_header header = {0};
	struct cu_writer *writer;
	assert(cu_writer_open(&writer, fd, &config) == 0);
	assert(cu_writer_header(writer, &header) == 0);
	const enum fuzz_stage analyze = len % 2 != 0 ? FUZZ_ANALYZE_IN_PARTS : FUZZ_ANALYZE;
	while (len >= HEAD) {
		unsigned kind = data[0] % KINDS;
		if (kind == 0) { /* behind a trailer another stream may begin */
			assert(cu_writer_finish(writer) == 0 && cu_writer_header(writer, &header) == 0);
			data++;
			len--;
			continue;
		}
		size_t n = (size_t)(data[1] | data[2] << 8);
		n = n < len - HEAD ? n : len - HEAD;
		assert(cu_writer_add(writer, kind, data + HEAD, n) == 0);
		data += HEAD + n;
		len -= HEAD + n;
	}
	assert(cu_writer_finish(writer) == 0);
	cu_writer_close(writer);
	fuzz_report_all(fd);
	fd = fuzz_stage(analyze, fd);
	fuzz_explain(fd);
	fd = fuzz_stage(FUZZ_CLASSIFY, fd);
	fuzz_report_all(fd);
	close(fd);
	return 0;
}
