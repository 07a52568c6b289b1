#include "lib/record/records.h"

#include "lib/base/error.h"

#include <string.h>

enum { HEAD_LEN = 1 + 4 };

void cu_records_release(struct cu_records *records)
{
	cu_buf_release(&records->bytes);
}

int cu_records_add(struct cu_records *records, enum cu_record_kind kind, const uint8_t *data, size_t len)
{
	struct cu_buf *bytes = &records->bytes;
	if (!cu_buf_reserve(bytes, HEAD_LEN + len)) {
		bytes->failed = false;
		return CU_ERR_NOMEM;
	}
	uint8_t *p = bytes->data + bytes->len;
	p[0] = (uint8_t)kind;
	cu_put_le32(p + 1, (uint32_t)len);
	memcpy(p + HEAD_LEN, data, len);
	bytes->len += HEAD_LEN + len;
	return 0;
}

bool cu_records_get(const struct cu_records *records, size_t *at, size_t end, struct cu_record *record)
{
	if (*at >= end) {
		return false;
	}
	const uint8_t *p = records->bytes.data + *at;
	*record = (struct cu_record){.kind = p[0], .len = cu_get_le32(p + 1), .data = p + HEAD_LEN};
	*at += HEAD_LEN + record->len;
	return true;
}

int cu_records_write(const struct cu_records *records, size_t *at, size_t end, struct cu_writer *writer)
{
	struct cu_record record;
	int err = 0;
	while (err == 0 && cu_records_get(records, at, end, &record)) {
		err = cu_writer_add(writer, (enum cu_record_kind)record.kind, record.data, record.len);
	}
	return err;
}

void cu_records_clear(struct cu_records *records, size_t cap)
{
	if (records->bytes.cap > cap) {
		cu_records_release(records);
	}
	cu_buf_clear(&records->bytes);
}
