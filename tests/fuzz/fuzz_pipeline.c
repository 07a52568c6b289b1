/* From a capture to reports: all stages, as culprit run joins them. Every ledger sums. */
#include "tests/fuzz/stages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_ledgers(int fd)
{
	struct cu_reader *reader;
	struct cu_record record;
	lseek(fd, 0, SEEK_SET);
	assert(cu_reader_open(&reader, fd, "fuzz") == 0);
	int item;
	while ((item = cu_reader_next(reader, &record)) > 0) {
		struct cu_transaction transaction;
		if (item != CU_STREAM_RECORD || record.kind != CU_RECORD_TRANSACTION) {
			continue;
		}
		assert(cu_transaction_decode(record.data, record.len, &transaction) == 0);
		int64_t sum = 0;
		for (int cause = 0; cause < CU_N_CAUSES; cause++) {
			assert(transaction.ledger[cause].ns >= 0);
			sum += transaction.ledger[cause].ns;
		}
		assert(sum == transaction.total_ns);
	}
	cu_reader_close(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (fuzz_needs_child(data, len)) {
		return 0;
	}
	int fd = fuzz_flowify(data, len);
	if (fd < 0) {
		return 0;
	}
	fd = fuzz_stage(FUZZ_ANALYZE, fd);
	check_ledgers(fd);
	fd = fuzz_stage(FUZZ_CLASSIFY, fd);
	fuzz_report_all(fd);
	close(fd);
	return 0;
}
