#include "lib/capture/input.h"

#include "lib/base/bytes.h"
#include "lib/base/units.h"

#include <inttypes.h>

/* tcpdump.org "pcap-savefile"; libpcap sf-pcap.c and Wireshark's wiretap/libpcap.c for the variants. */
#define MAGIC_MICRO 0xa1b2c3d4U
#define MAGIC_NANO 0xa1b23c4dU
#define MAGIC_KUZNETZOV 0xa1b2cd34U
#define MAGIC_IXIA_HARDWARE 0x1c0001acU
#define MAGIC_IXIA_SOFTWARE 0x1c0001abU

enum {
	FILE_HEADER = 24,
	FILE_HEADER_IXIA = 28, /* and the length of all records */
	RECORD_HEADER = 16,
	RECORD_HEADER_NOKIA = 20,
	RECORD_HEADER_KUZNETZOV = 24, /* and interface index, protocol, packet type */
	RECORD_HEADER_SUSE = 28,
	COOKED_EXTRA = 14, /* what that variant may have added to its snap length */
	N_TRIED = 3,       /* records that tell which of several headers they have, ... */
	N_AWAITED = 2,     /* ... at least */
	VERSION_MAJOR = 2,
	VERSION_MINOR_MAX = 4,
	VERSION_MAJOR_DGUX = 543,
	N_ODD_FOLLOWERS = 3, /* records that must follow an odd one for it to be believed */
	N_STEADY = 16,       /* records after which a single jump in time is damage */
};

enum length_order { LENGTHS_IN_ORDER, LENGTHS_MAYBE_SWAPPED, LENGTHS_SWAPPED };

struct record {
	uint32_t sec;
	uint32_t subsec;
	uint32_t caplen;
	uint32_t len;
};

/* What may be said against a record; odd ones exist, impossible ones do not. */
enum {
	ODD_TIME = 1,     /* far from the last one */
	ODD_SUBSEC = 2,   /* more than a second */
	ODD_LENGTHS = 4,  /* more captured than there was */
	ODD_SNAPLEN = 8,  /* more captured than the snap length */
	ODD_LEN = 16,     /* larger than any packet that is captured */
	IMPOSSIBLE = 128, /* all zero, or too large for anyone */
};

/* What a magic number stands for; of several record headers the usual one is first. */
static const struct variant {
	uint32_t magic;
	uint32_t file_header;
	uint32_t record_header[3];
} variants[] = {
	{MAGIC_MICRO, FILE_HEADER, {RECORD_HEADER, RECORD_HEADER_KUZNETZOV, RECORD_HEADER_NOKIA}}, /* and Red Hat 6.1 */
	{MAGIC_NANO, FILE_HEADER, {RECORD_HEADER}},
	{MAGIC_KUZNETZOV, FILE_HEADER, {RECORD_HEADER_KUZNETZOV, RECORD_HEADER_SUSE}}, /* SuSE 6.3 */
	{MAGIC_IXIA_HARDWARE, FILE_HEADER_IXIA, {RECORD_HEADER}},
	{MAGIC_IXIA_SOFTWARE, FILE_HEADER_IXIA, {RECORD_HEADER}},
};

static const struct variant *find_variant(uint32_t magic)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		if (variants[i].magic == magic) {
			return &variants[i];
		}
	}
	return NULL;
}

bool cu_pcap_is_magic(const uint8_t *head)
{
	return find_variant(cu_get_le32(head)) != NULL || find_variant(cu_get_be32(head)) != NULL;
}

static uint32_t get32(const struct cu_pcap *pcap, const uint8_t *p)
{
	uint32_t v = cu_get_le32(p);
	return pcap->is_big_endian ? __builtin_bswap32(v) : v;
}

static uint16_t get16(const struct cu_pcap *pcap, const uint8_t *p)
{
	return pcap->is_big_endian ? cu_get_be16(p) : cu_get_le16(p);
}

static int set_length_order(struct cu_pcap *pcap, unsigned major, unsigned minor)
{
	if (major == VERSION_MAJOR_DGUX && minor == 0) {
		pcap->length_order = LENGTHS_SWAPPED;
		return 0;
	}
	if (major != VERSION_MAJOR || minor > VERSION_MINOR_MAX) {
		return CU_ERR_UNSUPPORTED;
	}
	pcap->length_order = minor < 3 ? LENGTHS_SWAPPED : minor == 3 ? LENGTHS_MAYBE_SWAPPED : LENGTHS_IN_ORDER;
	return 0;
}

static inline __attribute__((always_inline)) struct record get_record(const struct cu_pcap *pcap, const uint8_t *p)
{
	struct record rec = {
		.sec = get32(pcap, p),
		.subsec = get32(pcap, p + 4),
		.caplen = get32(pcap, p + 8),
		.len = get32(pcap, p + 12),
	};
	if (__builtin_expect(pcap->length_order != LENGTHS_IN_ORDER, 0) &&
	    (pcap->length_order == LENGTHS_SWAPPED || rec.caplen > rec.len)) {
		uint32_t len = rec.caplen;
		rec.caplen = rec.len;
		rec.len = len;
	}
	return rec;
}

static bool is_time_near(uint32_t a, uint32_t b)
{
	return a - b + CU_RESYNC_NEAR_S <= 2U * CU_RESYNC_NEAR_S;
}

static unsigned oddness(const struct cu_pcap *pcap, const struct record *rec)
{
	unsigned odd = 0;
	odd |= pcap->has_last_sec && !is_time_near(rec->sec, pcap->last_sec) ? ODD_TIME : 0;
	odd |= rec->subsec >= pcap->subsec_max ? ODD_SUBSEC : 0;
	odd |= rec->caplen > rec->len ? ODD_LENGTHS : 0;
	odd |= rec->caplen > pcap->usual_caplen_max ? ODD_SNAPLEN : 0;
	odd |= rec->len > pcap->caplen_max ? ODD_LEN : 0;
	if (rec->caplen > pcap->caplen_max || (rec->sec | rec->subsec | rec->caplen | rec->len) == 0) {
		odd |= IMPOSSIBLE;
	}
	return odd;
}

static inline int64_t time_of(const struct cu_pcap *pcap, const struct record *rec)
{
	return (int64_t)rec->sec * CU_NS_PER_S + (int64_t)rec->subsec * pcap->subsec_ns;
}

static inline __attribute__((always_inline)) int deliver(struct cu_input *input, const struct record *rec,
                                                         struct cu_packet *packet)
{
	struct cu_pcap *pcap = &input->format.pcap;
	const uint8_t *data = input->source.pos + pcap->header_len;
	pcap->last_sec = rec->sec;
	pcap->has_last_sec = true;
	pcap->prev_len = rec->caplen;
	input->source.pos = data + rec->caplen;
	packet->time_ns = time_of(pcap, rec);
	packet->frame = ++input->stats.n_packets;
	packet->data = data;
	packet->caplen = rec->caplen;
	packet->len = rec->len > rec->caplen ? rec->len : rec->caplen;
	packet->linktype = input->stats.linktype;
	packet->file = input->file;
	cu_input_note_time(input, packet);
	return 1;
}

/*
 * Whether up to n records with nothing against them but what allowed names
 * follow at offset bytes behind pos, each near in time to the one before and
 * the first to sec. With may_end the input may end behind the record, or inside
 * those that follow.
 */
static bool is_followed(struct cu_input *input, size_t offset, uint32_t sec, unsigned allowed, unsigned n, bool may_end)
{
	struct cu_pcap *pcap = &input->format.pcap;
	struct cu_pcap relative = *pcap;
	relative.has_last_sec = true;
	relative.last_sec = sec;
	for (unsigned n_seen = 0; n_seen < n; n_seen++) {
		if (offset + pcap->header_len > CU_SOURCE_ROOM - CU_PACKET_MAX) {
			return true; /* as far as the buffer goes */
		}
		size_t left = cu_source_fill(&input->source, offset + pcap->header_len, pcap->prev_len);
		if (left < offset + pcap->header_len) {
			return may_end && (n_seen > 0 || left == offset);
		}
		struct record rec = get_record(pcap, input->source.pos + offset);
		if ((oddness(&relative, &rec) & ~allowed) != 0) {
			return false;
		}
		relative.last_sec = rec.sec;
		offset += pcap->header_len + rec.caplen;
	}
	return true;
}

/* Whether a record that resynchronisation may go on with begins at pos, of which a header is there. */
static bool is_plausible(struct cu_input *input)
{
	struct cu_pcap *pcap = &input->format.pcap;
	struct record rec = get_record(pcap, input->source.pos);
	unsigned odd = oddness(pcap, &rec);
	if (rec.caplen == 0 || (odd & ~(unsigned)ODD_TIME) != 0) {
		return false;
	}
	size_t total = pcap->header_len + rec.caplen;
	if (cu_source_fill(&input->source, total, 0) < total) {
		return false;
	}
	/* far from the last in time: only if those behind it agree with it */
	bool is_near = odd == 0 && pcap->has_last_sec;
	return is_followed(input, total, rec.sec, 0, is_near ? 1 : N_ODD_FOLLOWERS, is_near);
}

/* Moves to the next plausible record at or behind pos; false when there is none. */
static bool find_record(struct cu_input *input)
{
	struct cu_pcap *pcap = &input->format.pcap;
	struct cu_source *src = &input->source;
	pcap->prev_len = 0;
	while (cu_source_fill(src, pcap->header_len, 0) >= pcap->header_len) {
		if (is_plausible(input)) {
			return true;
		}
		src->pos++;
	}
	return false;
}

/*
 * The record at pos is none. Looks for the next one, from the data of the
 * record before on: its length may have been the damage. But for what was
 * searched so before: records one inside the other could give the same bytes
 * again and again. False at the end.
 */
static bool resync(struct cu_input *input)
{
	struct cu_pcap *pcap = &input->format.pcap;
	struct cu_source *src = &input->source;
	uint64_t damaged = cu_source_offset(src);
	uint64_t unsearched = damaged > pcap->searched ? damaged - pcap->searched : 0;
	size_t back = pcap->prev_len < unsearched ? pcap->prev_len : (size_t)unsearched;
	size_t behind = (size_t)(src->pos - src->buf);
	src->pos -= back < behind ? back : behind;
	pcap->searched += unsearched;
	bool is_found = find_record(input);
	if (!is_found) {
		src->pos = src->end;
	}
	uint64_t now = cu_source_offset(src);
	input->stats.n_damaged++;
	input->stats.skipped_bytes += now > damaged ? now - damaged : 0;
	return is_found;
}

/* The input ends inside the record at pos. Damage, if another record can be found behind it; else false. */
static bool is_damage_before_end(struct cu_input *input)
{
	struct cu_pcap *pcap = &input->format.pcap;
	struct cu_source *src = &input->source;
	const uint8_t *start = src->pos;
	size_t prev_len = pcap->prev_len;
	bool is_found = false;
	/* everything left is in the buffer: nothing moves */
	for (src->pos++; !is_found && cu_source_left(src) >= pcap->header_len; src->pos++) {
		is_found = is_plausible(input);
	}
	src->pos = start;
	pcap->prev_len = prev_len;
	return is_found;
}

static void fault_record(struct cu_input *input, uint64_t offset, const struct record *rec)
{
	uint64_t frame = input->stats.n_packets + 1;
	uint64_t at = offset;
	if (rec->caplen > input->format.pcap.caplen_max) {
		cu_input_fault(input, CU_ERR_FORMAT,
		               "record %" PRIu64 " at byte %" PRIu64 ": length %u is above the maximum of %u", frame,
		               at, rec->caplen, input->format.pcap.caplen_max);
	} else if ((rec->sec | rec->subsec | rec->caplen | rec->len) == 0) {
		cu_input_fault(input, CU_ERR_FORMAT, "record %" PRIu64 " at byte %" PRIu64 ": nothing but zeros", frame,
		               at);
	} else {
		cu_input_fault(input, CU_ERR_FORMAT,
		               "record %" PRIu64 " at byte %" PRIu64
		               ": length %u of %u at %u.%06u s leads to no other record",
		               frame, at, rec->caplen, rec->len, rec->sec, rec->subsec);
	}
}

static void fault_time(struct cu_input *input, const struct record *rec)
{
	cu_input_fault(input, CU_ERR_FORMAT,
	               "record %" PRIu64 " at byte %" PRIu64 ": its time of %u s is far from its neighbours' %u s",
	               (input->stats.n_packets + 1), cu_source_offset(&input->source), rec->sec,
	               input->format.pcap.last_sec);
}

static int truncated(struct cu_input *input, size_t left, size_t total)
{
	struct cu_source *src = &input->source;
	if (!cu_input_check_source(input)) {
		input->stats.stopped = CU_ERR_TRUNCATED;
		cu_input_fault(input, CU_ERR_TRUNCATED,
		               "ends in the middle of record %" PRIu64 " at byte %" PRIu64 ": %zu of %zu bytes",
		               (input->stats.n_packets + 1), cu_source_offset(src), left, total);
	}
	src->pos = src->end;
	return 0;
}

/* Whether sound records stand where the data of the record at pos, all of it in the buffer, should be. */
static bool hides_records(struct cu_input *input, const struct record *rec)
{
	const struct cu_pcap *pcap = &input->format.pcap;
	for (size_t offset = pcap->header_len; offset < rec->caplen; offset++) {
		struct record inner = get_record(pcap, input->source.pos + offset);
		if (inner.caplen > 0 && oddness(pcap, &inner) == 0 &&
		    is_followed(input, offset + pcap->header_len + inner.caplen, inner.sec, 0, N_ODD_FOLLOWERS,
		                false)) {
			return true;
		}
	}
	return false;
}

/*
 * Whether an odd record that is wholly there is one all the same: what follows
 * it is sound, or odd only in ways that the first records had too, or jumps in
 * time as it does.
 */
static bool is_believable(struct cu_input *input, const struct record *rec, unsigned odd)
{
	const struct cu_pcap *pcap = &input->format.pcap;
	unsigned allowed = pcap->usual_oddness;
	/* Captures are put together from others, with another time or a larger snap length. */
	if (odd == ODD_TIME || odd == ODD_SNAPLEN || input->stats.n_packets < N_STEADY) {
		allowed |= odd;
	}
	if ((odd & ~pcap->usual_oddness & ODD_LENGTHS) != 0 && hides_records(input, rec)) {
		return false;
	}
	return is_followed(input, pcap->header_len + rec->caplen, rec->sec, allowed, N_ODD_FOLLOWERS, true);
}

static void note_oddness(struct cu_input *input, unsigned odd)
{
	struct cu_pcap *pcap = &input->format.pcap;
	if (input->stats.n_packets < N_STEADY) {
		pcap->usual_oddness |= odd;
	}
	if ((odd & ODD_TIME) != 0) {
		pcap->jump_frame = input->stats.n_packets;
	}
}

/*
 * Whether the time of the record at pos is the damage: far from those before
 * and those behind, which are near each other. A capture may jump, or be put
 * together from others: so there must be some of both.
 */
static bool is_time_damaged(struct cu_input *input, const struct record *rec)
{
	const struct cu_pcap *pcap = &input->format.pcap;
	uint64_t n_near = input->stats.n_packets - pcap->jump_frame;
	return n_near >= N_STEADY &&
	       is_followed(input, pcap->header_len + rec->caplen, pcap->last_sec, 0, N_ODD_FOLLOWERS, false);
}

/* The times of the records behind the one at pos, and how many there are: up to one that is odd in another way. */
static unsigned peek_times(struct cu_input *input, const struct record *rec, int64_t times_ns[CU_ASTRAY_LOOK_AHEAD])
{
	const struct cu_pcap *pcap = &input->format.pcap;
	size_t offset = pcap->header_len + rec->caplen;
	unsigned n = 0;
	while (n < CU_ASTRAY_LOOK_AHEAD && offset + pcap->header_len <= CU_SOURCE_ROOM - CU_PACKET_MAX) {
		size_t wanted = offset + pcap->header_len;
		if (cu_source_fill(&input->source, wanted, pcap->prev_len) < wanted) {
			break;
		}
		struct record next = get_record(pcap, input->source.pos + offset);
		if ((oddness(pcap, &next) & ~(pcap->usual_oddness | ODD_TIME)) != 0) {
			break;
		}
		times_ns[n++] = time_of(pcap, &next);
		offset += pcap->header_len + next.caplen;
	}
	return n;
}

/* Gives the record at pos, of an odd time, that of the one before when it is astray. */
static void settle_time(struct cu_input *input, struct record *rec)
{
	const struct cu_pcap *pcap = &input->format.pcap;
	int64_t following_ns[CU_ASTRAY_LOOK_AHEAD];
	unsigned n = peek_times(input, rec, following_ns);
	int64_t own_ns = time_of(pcap, rec);
	int64_t time_ns = cu_input_settle_time(input, own_ns, following_ns, n);
	if (time_ns != own_ns) {
		rec->sec = (uint32_t)(time_ns / CU_NS_PER_S);
		rec->subsec = (uint32_t)(time_ns % CU_NS_PER_S) / pcap->subsec_ns;
	}
}

/* Passes over a record whose framing holds. */
static void skip_record(struct cu_input *input, const struct record *rec)
{
	size_t total = input->format.pcap.header_len + rec->caplen;
	input->source.pos += total;
	input->format.pcap.prev_len = rec->caplen;
	input->stats.n_packets++;
	input->stats.n_damaged++;
	input->stats.skipped_bytes += total;
}

/*
 * AIX has version 2.2, times in nanoseconds, and the system's numbers for link
 * types (RFC 1573's ifType). True, and the link type, when it is that.
 */
static bool is_aix(uint32_t magic, unsigned major, unsigned minor, uint32_t network, uint16_t *linktype)
{
	static const uint16_t types[][2] = {
		{6, 1}, {9, 6}, {15, 10}, {24, 0}}; /* Ethernet, Token Ring, FDDI, loopback */
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (magic == MAGIC_MICRO && major == 2 && minor == 2 && network == types[i][0]) {
			*linktype = types[i][1];
			return true;
		}
	}
	return false;
}

/*
 * How many of the first records have a sound header of this length; -1 when one
 * has not. The second, which tells, is waited for; others count when they are there.
 */
static int count_sound(struct cu_input *input, uint32_t header_len)
{
	struct cu_pcap as = input->format.pcap;
	size_t offset = 0;
	int n = 0;
	for (; n < N_TRIED; n++) {
		size_t left = n < N_AWAITED ? cu_source_fill(&input->source, offset + header_len, 0)
		                            : cu_source_left(&input->source);
		if (left < offset + header_len) {
			break;
		}
		struct record rec = get_record(&as, input->source.pos + offset);
		if (oddness(&as, &rec) != 0) {
			return -1;
		}
		as.has_last_sec = true;
		as.last_sec = rec.sec;
		offset += header_len + rec.caplen;
	}
	return n;
}

/* Some writers have other record headers than their magic number says. */
static uint32_t choose_header(struct cu_input *input, const struct variant *variant)
{
	if (variant->record_header[1] == 0 || count_sound(input, variant->record_header[0]) >= 0) {
		return variant->record_header[0];
	}
	for (size_t i = 1; i < sizeof(variant->record_header) / sizeof(variant->record_header[0]); i++) {
		if (variant->record_header[i] != 0 && count_sound(input, variant->record_header[i]) > 1) {
			return variant->record_header[i];
		}
	}
	return variant->record_header[0];
}

int cu_pcap_open(struct cu_input *input, struct cu_fault *fault)
{
	struct cu_source *src = &input->source;
	struct cu_pcap *pcap = &input->format.pcap;
	const struct variant *variant = find_variant(cu_get_le32(src->pos));
	pcap->is_big_endian = variant == NULL;
	variant = variant != NULL ? variant : find_variant(cu_get_be32(src->pos));
	size_t len = cu_source_fill(src, variant->file_header, 0);
	if (len < variant->file_header) {
		return cu_fault_set(fault, CU_ERR_TRUNCATED,
		                    "%s: ends in the middle of the file header: %zu of %u bytes", input->name, len,
		                    variant->file_header);
	}
	const uint8_t *p = src->pos;
	unsigned major = get16(pcap, p + 4);
	unsigned minor = get16(pcap, p + 6);
	if (set_length_order(pcap, major, minor) < 0) {
		return cu_fault_set(fault, CU_ERR_UNSUPPORTED, "%s: pcap version %u.%u is not supported", input->name,
		                    major, minor);
	}
	uint32_t network = get32(pcap, p + 20);
	input->stats.linktype = (uint16_t)network; /* the upper half tells of frame check sequences */
	bool is_nano = variant->magic == MAGIC_NANO;
	if (is_aix(variant->magic, major, minor, network, &input->stats.linktype)) {
		is_nano = true;
		pcap->length_order = LENGTHS_MAYBE_SWAPPED;
	}
	pcap->subsec_ns = is_nano ? 1 : 1000;
	pcap->subsec_max = is_nano ? 1000000000 : 1000000;
	uint32_t snaplen = get32(pcap, p + 16);
	pcap->caplen_max = snaplen < CU_PACKET_CAP ? CU_PACKET_CAP : snaplen < CU_PACKET_MAX ? snaplen : CU_PACKET_MAX;
	pcap->usual_caplen_max = snaplen == 0 || snaplen > pcap->caplen_max - COOKED_EXTRA
	                                 ? pcap->caplen_max
	                                 : snaplen + (variant->magic == MAGIC_KUZNETZOV ? COOKED_EXTRA : 0);
	input->stats.snaplen = snaplen;
	input->has_linktype = true;
	int rc = cu_input_be_file(input);
	if (rc < 0) {
		return cu_fault_set(fault, rc, "%s: too many captures", input->name);
	}
	cu_files_note(input->files, input->file, input->stats.linktype, snaplen);
	src->pos += variant->file_header;
	pcap->header_len = choose_header(input, variant);
	return 0;
}

/*
 * Whether a file header stands where a record should: cat does so to captures.
 * What follows is read as it says.
 */
static bool begins_anew(struct cu_input *input)
{
	struct cu_source *src = &input->source;
	if (cu_source_fill(src, FILE_HEADER, 0) < FILE_HEADER || !cu_pcap_is_magic(src->pos)) {
		return false;
	}
	struct cu_pcap before = input->format.pcap;
	uint64_t offset = cu_source_offset(src);
	struct cu_fault fault = {0};
	input->format.pcap = (struct cu_pcap){.searched = before.searched};
	if (cu_pcap_open(input, &fault) < 0) {
		input->format.pcap = before;
		return false;
	}
	cu_input_fault(input, CU_ERR_FORMAT, "another capture begins at byte %" PRIu64 ", behind record %" PRIu64,
	               offset, input->stats.n_packets);
	input->format.pcap.jump_frame = input->stats.n_packets;
	input->stats.n_damaged++;
	input->stats.skipped_bytes += FILE_HEADER;
	return true;
}

/* Everything but an ordinary record that is wholly in the buffer; noinline: that one saves none of its registers. */
static __attribute__((noinline)) int next_slowly(struct cu_input *input, struct cu_packet *packet)
{
	struct cu_pcap *pcap = &input->format.pcap;
	struct cu_source *src = &input->source;
	for (;;) {
		size_t left = cu_source_fill(src, pcap->header_len, pcap->prev_len);
		if (left == 0) {
			cu_input_check_source(input);
			return 0;
		}
		if (left < pcap->header_len) {
			return truncated(input, left, pcap->header_len);
		}
		struct record rec = get_record(pcap, src->pos);
		unsigned odd = oddness(pcap, &rec);
		if ((odd & IMPOSSIBLE) == 0) {
			size_t total = pcap->header_len + rec.caplen;
			left = cu_source_fill(src, total, pcap->prev_len);
			if (left >= total) {
				if (odd == 0) {
					return deliver(input, &rec, packet);
				}
				if (is_believable(input, &rec, odd)) {
					if (odd != ODD_TIME || !is_time_damaged(input, &rec)) {
						note_oddness(input, odd);
						if ((odd & ODD_TIME) != 0) {
							settle_time(input, &rec);
						}
						return deliver(input, &rec, packet);
					}
					fault_time(input, &rec);
					skip_record(input, &rec);
					continue;
				}
			} else if (!is_damage_before_end(input)) {
				return truncated(input, left, total);
			}
		}
		if (begins_anew(input)) {
			continue;
		}
		uint64_t offset = cu_source_offset(src);
		fault_record(input, offset, &rec);
		if (!resync(input)) {
			cu_input_check_source(input);
			return 0;
		}
	}
}

/* oddness() == 0, with fewer branches. */
static inline bool is_usual(const struct cu_pcap *pcap, const struct record *rec)
{
	return is_time_near(rec->sec, pcap->last_sec) && rec->subsec < pcap->subsec_max &&
	       rec->caplen <= pcap->usual_caplen_max && rec->caplen <= rec->len && rec->len - 1 < pcap->caplen_max;
}

int cu_pcap_take(struct cu_input *input, struct cu_packet *packets, int n)
{
	const struct cu_pcap *pcap = &input->format.pcap;
	int n_taken = 0;
	for (; n_taken < n && pcap->has_last_sec; n_taken++) {
		size_t left = cu_source_left(&input->source);
		if (left < pcap->header_len) {
			break;
		}
		struct record rec = get_record(pcap, input->source.pos);
		if (!is_usual(pcap, &rec) || left - pcap->header_len < rec.caplen) {
			break;
		}
		deliver(input, &rec, &packets[n_taken]);
	}
	return n_taken;
}

int cu_pcap_next(struct cu_input *input, struct cu_packet *packet)
{
	return cu_pcap_take(input, packet, 1) == 1 ? 1 : next_slowly(input, packet);
}

void cu_pcap_interface(const struct cu_input *input, struct cu_interface *interface)
{
	enum { MICRO = 6, NANO = 9 }; /* as if_tsresol */
	*interface = (struct cu_interface){
		.snaplen = input->stats.snaplen,
		.linktype = input->stats.linktype,
		.resolution = input->format.pcap.subsec_ns == 1 ? NANO : MICRO,
	};
}
