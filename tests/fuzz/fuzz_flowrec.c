/* A record stream as it is read from a file: framing, checksums, and whatever passes them. */
#include "tests/fuzz/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd = fuzz_file(data, len);
	struct cu_reader *reader;
	struct cu_record record;
	assert(cu_reader_open(&reader, fd, "fuzz") == 0);
	int item;
	while ((item = cu_reader_next(reader, &record)) > 0) {
	}
	assert(item == 0 || cu_reader_fault(reader)->text[0] != '\0');
	cu_reader_close(reader);
	close(fd);
	return 0;
}
