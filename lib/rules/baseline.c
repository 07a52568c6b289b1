#include "lib/rules/baseline.h"

#include "lib/base/hash.h"
#include "lib/base/histogram.h"
#include "lib/base/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As PNG's: a file that went through a text conversion is seen at once. */
static const uint8_t magic[8] = {0x8a, 'C', 'U', 'B', '\r', '\n', 0x1a, '\n'};

/* In a file: more than anyone learns, and room to add many up. */
#define COUNT_CAP (UINT64_C(1) << 48)

enum { N_HISTOGRAMS = CU_N_CAUSES, CRC_LEN = 4 };

/* A service's transactions of a kind: the total, then each cause. */
struct entry {
	char *name;
	size_t name_len;
	unsigned kind;
	struct cu_histogram histogram[N_HISTOGRAMS];
	struct cu_usual usual;
	bool worked_out;
};

struct cu_baseline {
	struct entry *entries[CU_BASELINE_ENTRY_CAP]; /* counts.n_entries of them */
	struct cu_index index;                        /* by name and kind */
	struct cu_hash_seed seed;
	struct cu_baseline_counts counts;
};

struct cu_baseline *cu_baseline_new(void)
{
	struct cu_baseline *baseline = calloc(1, sizeof(*baseline));
	if (baseline) {
		baseline->seed = cu_hash_seed_random();
	}
	return baseline;
}

static void free_entry(struct entry *entry)
{
	for (size_t i = 0; i < N_HISTOGRAMS; i++) {
		cu_histogram_release(&entry->histogram[i]);
	}
	free(entry->name);
	free(entry);
}

void cu_baseline_free(struct cu_baseline *baseline)
{
	if (baseline) {
		for (size_t i = 0; i < baseline->counts.n_entries; i++) {
			free_entry(baseline->entries[i]);
		}
		cu_index_release(&baseline->index);
		free(baseline);
	}
}

/* Entries are in order of name, then kind. */
static int compare(const struct entry *x, const struct entry *y)
{
	size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
	int order = memcmp(x->name, y->name, len);
	if (order != 0 || x->name_len != y->name_len) {
		return order != 0 ? order : x->name_len < y->name_len ? -1 : 1;
	}
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

static uint32_t tag_of(const struct cu_baseline *baseline, const char *name, size_t len, unsigned kind)
{
	return cu_index_tag(cu_hash_mix(cu_hash_bytes(baseline->seed, name, len) ^ baseline->seed.k[0],
	                                kind ^ baseline->seed.k[1]));
}

static struct entry *find(const struct cu_baseline *baseline, const char *name, size_t len, unsigned kind)
{
	uint32_t tag = tag_of(baseline, name, len, kind);
	for (uint32_t i = tag, at; (at = cu_index_walk(&baseline->index, tag, &i)) != 0;) {
		struct entry *entry = baseline->entries[at - 1];
		if (entry->kind == kind && entry->name_len == len && memcmp(entry->name, name, len) == 0) {
			return entry;
		}
	}
	return NULL;
}

/* An entry that is there or a new one. 0, with NULL when there are too many, or CU_ERR_NOMEM. */
static int get_entry(struct cu_baseline *baseline, const char *name, size_t len, unsigned kind, struct entry **entry)
{
	size_t n = baseline->counts.n_entries;
	*entry = find(baseline, name, len, kind);
	if (*entry || n == CU_BASELINE_ENTRY_CAP) {
		return 0;
	}
	struct entry *made = calloc(1, sizeof(*made));
	char *copy = malloc(len + 1);
	if (!made || !copy || !cu_index_add(&baseline->index, tag_of(baseline, name, len, kind), (uint32_t)n + 1)) {
		free(made);
		free(copy);
		return CU_ERR_NOMEM;
	}
	memcpy(copy, name, len);
	copy[len] = '\0';
	*made = (struct entry){.name = copy, .name_len = len, .kind = kind};
	*entry = baseline->entries[n] = made;
	baseline->counts.n_entries++;
	return 0;
}

/* A service's name, or its port's, cut to what is kept. */
static struct cu_text name_of(struct cu_text service, unsigned port, char text[static 16])
{
	if (service.len == 0) {
		service.data = text;
		service.len = (uint32_t)snprintf(text, 16, "port %u", port & UINT16_MAX);
	}
	service.len = service.len < CU_BASELINE_NAME_CAP ? service.len : CU_BASELINE_NAME_CAP;
	return service;
}

int cu_baseline_add(struct cu_baseline *baseline, struct cu_text service, unsigned port,
                    const struct cu_transaction *transaction)
{
	char text[16];
	struct entry *entry;
	if (transaction->outcome != CU_OUTCOME_ANSWERED) {
		return 0; /* how long one waited says nothing of how long it takes */
	}
	struct cu_text name = name_of(service, port, text);
	if (get_entry(baseline, name.data, name.len, transaction->kind, &entry) != 0) {
		return CU_ERR_NOMEM;
	}
	if (!entry) {
		baseline->counts.n_dropped++;
		return 0;
	}
	entry->worked_out = false;
	baseline->counts.n_transactions++;
	for (unsigned cause = 0; cause < N_HISTOGRAMS; cause++) {
		int64_t ns = cause == CU_CAUSE_NONE ? transaction->total_ns : transaction->ledger[cause].ns;
		if (!cu_histogram_add(&entry->histogram[cause], ns)) {
			return CU_ERR_NOMEM;
		}
	}
	return 0;
}

const struct cu_usual *cu_baseline_find(struct cu_baseline *baseline, struct cu_text service, unsigned port,
                                        unsigned kind)
{
	static const double shares[CU_N_USUAL] = {0.5, 0.95, 0.99};
	char text[16];
	struct cu_text name = name_of(service, port, text);
	struct entry *entry = find(baseline, name.data, name.len, kind);
	if (!entry || entry->histogram[0].n < CU_BASELINE_LEAST) {
		return NULL;
	}
	if (!entry->worked_out) {
		entry->usual.n = entry->histogram[0].n;
		for (size_t i = 0; i < N_HISTOGRAMS; i++) {
			for (size_t k = 0; k < CU_N_USUAL; k++) {
				entry->usual.ns[i][k] = cu_histogram_quantile(&entry->histogram[i], shares[k]);
			}
		}
		entry->worked_out = true;
	}
	return &entry->usual;
}

struct cu_baseline_counts cu_baseline_counts(const struct cu_baseline *baseline)
{
	return baseline->counts;
}

/* ---- the file ---- */

static void add_varint(struct cu_buf *buf, uint64_t v)
{
	uint8_t bytes[CU_VARINT_CAP];
	cu_buf_add(buf, bytes, cu_put_varint(bytes, v));
}

static void add_histogram(struct cu_buf *buf, const struct cu_histogram *histogram)
{
	uint32_t before = 0;
	add_varint(buf, histogram->n_buckets);
	if (histogram->n_buckets == 0) {
		return;
	}
	add_varint(buf, (uint64_t)histogram->min_ns);
	add_varint(buf, (uint64_t)(histogram->max_ns - histogram->min_ns));
	for (size_t i = 0; i < histogram->n_buckets; i++) {
		add_varint(buf, histogram->bucket[i].index - before);
		add_varint(buf, histogram->bucket[i].n);
		before = histogram->bucket[i].index;
	}
}

static int by_name(const void *a, const void *b)
{
	return compare(*(struct entry *const *)a, *(struct entry *const *)b);
}

void cu_baseline_encode(struct cu_baseline *baseline, struct cu_buf *buf)
{
	size_t begin = buf->len, n = baseline->counts.n_entries;
	struct entry **entries = malloc((n + 1) * sizeof(struct entry *));
	if (!entries) {
		buf->failed = true;
		return;
	}
	memcpy(entries, baseline->entries, n * sizeof(struct entry *));
	qsort(entries, n, sizeof(*entries), by_name);
	cu_buf_add(buf, magic, sizeof(magic));
	add_varint(buf, CU_BASELINE_VERSION);
	add_varint(buf, N_HISTOGRAMS);
	add_varint(buf, n);
	for (size_t i = 0; i < n; i++) {
		add_varint(buf, entries[i]->name_len);
		cu_buf_add(buf, entries[i]->name, entries[i]->name_len);
		add_varint(buf, entries[i]->kind);
		for (size_t k = 0; k < N_HISTOGRAMS; k++) {
			add_histogram(buf, &entries[i]->histogram[k]);
		}
	}
	free(entries);
	if (!buf->failed) {
		uint8_t crc[CRC_LEN];
		cu_put_le32(crc, cu_crc32c(buf->data + begin, buf->len - begin));
		cu_buf_add(buf, crc, sizeof(crc));
	}
}

/* Reads a histogram into one that is empty. 1, 0 when it is none, CU_ERR_NOMEM. */
static int take_histogram(struct cu_cursor *cursor, struct cu_histogram *histogram)
{
	const uint32_t last = cu_histogram_index(INT64_MAX);
	uint64_t n = cu_cursor_varint(cursor), index = 0;
	cu_histogram_clear(histogram);
	if (n == 0 || cursor->failed || n > last + 1) {
		return !cursor->failed && n == 0;
	}
	uint64_t min = cu_cursor_varint(cursor), span = cu_cursor_varint(cursor);
	if (min > INT64_MAX || span > INT64_MAX - min) {
		return 0;
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t step = cu_cursor_varint(cursor), count = cu_cursor_varint(cursor);
		if (cursor->failed || step > last || (i > 0 && step == 0) || count == 0 || count > COUNT_CAP ||
		    histogram->n > COUNT_CAP - count || (index += step) > last) {
			return 0;
		}
		struct cu_histogram_bucket one = {.index = (uint32_t)index, .n = count};
		const struct cu_histogram part = {.bucket = &one,
		                                  .n_buckets = 1,
		                                  .n = count,
		                                  .min_ns = (int64_t)min,
		                                  .max_ns = (int64_t)(min + span)};
		if (!cu_histogram_merge(histogram, &part)) {
			return CU_ERR_NOMEM;
		}
	}
	return cu_histogram_index(min) == histogram->bucket[0].index && cu_histogram_index(min + span) == index;
}

/* Reads the entries into a baseline, or only checks them when it is NULL. 1, 0 when they are none, CU_ERR_NOMEM. */
static int take_entries(struct cu_cursor *cursor, struct cu_baseline *baseline)
{
	struct cu_histogram histogram = {0};
	char before[CU_BASELINE_NAME_CAP] = "", now[CU_BASELINE_NAME_CAP];
	struct entry last = {.name = before};
	uint64_t n_histograms = cu_cursor_varint(cursor), n = cu_cursor_varint(cursor);
	int good = !cursor->failed && n_histograms >= 1 && n_histograms <= UINT8_MAX && n <= CU_BASELINE_ENTRY_CAP;
	for (uint64_t i = 0; good == 1 && i < n; i++) {
		struct entry *entry = NULL;
		uint64_t len = cu_cursor_varint(cursor), total = 0;
		const uint8_t *name = len > 0 && len <= CU_BASELINE_NAME_CAP ? cu_cursor_bytes(cursor, len) : NULL;
		uint64_t kind = cu_cursor_varint(cursor);
		good = name && !cursor->failed && kind <= UINT8_MAX;
		if (good) {
			memcpy(now, name, len);
			const struct entry key = {.name = now, .name_len = len, .kind = (unsigned)kind};
			good = compare(&last, &key) < 0;
			memcpy(before, now, len);
			last.name_len = len;
			last.kind = (unsigned)kind;
		}
		if (good && baseline && get_entry(baseline, (const char *)name, len, (unsigned)kind, &entry) != 0) {
			good = CU_ERR_NOMEM;
		}
		for (uint64_t k = 0; good == 1 && k < n_histograms; k++) {
			good = take_histogram(cursor, &histogram);
			total = k == 0 ? histogram.n : total;
			bool keep =
				good == 1 && entry && k < N_HISTOGRAMS; /* causes of a later version are passed over */
			if (keep && !cu_histogram_merge(&entry->histogram[k], &histogram)) {
				good = CU_ERR_NOMEM;
			}
		}
		if (entry) {
			entry->worked_out = false;
			baseline->counts.n_transactions += total;
		} else if (baseline) {
			baseline->counts.n_dropped += total;
		}
	}
	cu_histogram_release(&histogram);
	return good == 1 ? cu_cursor_left(cursor) == 0 : good;
}

int cu_baseline_decode(struct cu_baseline *baseline, const char *name, const void *data, size_t len,
                       struct cu_fault *fault)
{
	if (len < sizeof(magic) + CRC_LEN || memcmp(data, magic, sizeof(magic)) != 0) {
		return cu_fault_set(fault, CU_ERR_FORMAT, "%s: is no baseline of culprit", name);
	}
	const uint8_t *bytes = data;
	struct cu_cursor cursor = cu_cursor_make(bytes + sizeof(magic), len - sizeof(magic) - CRC_LEN);
	uint64_t version = cu_cursor_varint(&cursor);
	if (version != CU_BASELINE_VERSION && !cursor.failed) {
		return cu_fault_set(fault, CU_ERR_FORMAT, "%s: the baseline is of version %llu; this program reads %d",
		                    name, (unsigned long long)version, CU_BASELINE_VERSION);
	}
	if (cu_get_le32(bytes + len - CRC_LEN) != cu_crc32c(bytes, len - CRC_LEN)) {
		return cu_fault_set(fault, CU_ERR_FORMAT,
		                    "%s: the baseline is damaged: its %zu bytes do not add up to its checksum", name,
		                    len);
	}
	struct cu_cursor again = cursor;
	int good = take_entries(&cursor, NULL);
	if (good == 0) {
		return cu_fault_set(fault, CU_ERR_FORMAT, "%s: the baseline is malformed at byte %zu", name,
		                    (size_t)(cursor.pos - bytes));
	}
	if (good == 1) {
		good = take_entries(&again, baseline);
	}
	return good == 1 ? 0 : cu_fault_set(fault, CU_ERR_NOMEM, "%s: not enough memory", name);
}

int cu_baseline_read(struct cu_baseline *baseline, const char *path, struct cu_fault *fault)
{
	enum { PIECE = 1 << 16 };
	struct cu_buf buf = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return cu_fault_set_errno(fault, errno, "%s", path);
	}
	int result = 0;
	for (;;) {
		if (buf.len > CU_BASELINE_FILE_CAP) {
			result = cu_fault_set(fault, CU_ERR_FORMAT, "%s: a baseline of more than %d bytes", path,
			                      CU_BASELINE_FILE_CAP);
			break;
		}
		if (!cu_buf_reserve(&buf, PIECE)) {
			result = cu_fault_set(fault, CU_ERR_NOMEM, "%s: not enough memory", path);
			break;
		}
		ssize_t n = read(fd, buf.data + buf.len, PIECE);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			result = cu_fault_set_errno(fault, errno, "%s", path);
			break;
		}
		if (n == 0) {
			break;
		}
		buf.len += (size_t)n;
	}
	close(fd);
	result = result == 0 ? cu_baseline_decode(baseline, path, buf.data, buf.len, fault) : result;
	cu_buf_release(&buf);
	return result;
}
