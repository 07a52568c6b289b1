#include "lib/capture/input.h"

#include "lib/base/bytes.h"
#include "lib/base/units.h"
#include "lib/capture/dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* draft-ietf-opsawg-pcapng sections 3 and 4. */
enum {
	BLOCK_INTERFACE = 0x00000001,
	BLOCK_PACKET = 0x00000002, /* obsolete */
	BLOCK_SIMPLE_PACKET = 0x00000003,
	BLOCK_NAME_RESOLUTION = 0x00000004,
	BLOCK_STATISTICS = 0x00000005,
	BLOCK_ENHANCED_PACKET = 0x00000006,
	BLOCK_DECRYPTION_SECRETS = 0x0000000a,
	BLOCK_SECTION = 0x0a0d0d0a,
};
#define BYTE_ORDER_MAGIC 0x1a2b3c4dU
#define UNKNOWN_COUNT UINT64_MAX /* what writers give for a count they do not have */

enum {
	BLOCK_MIN = 12, /* type, length, and the length again */
	SECTION_MIN = 28,
	INTERFACE_MIN = 20,
	PACKET_MIN = 32, /* both kinds */
	SIMPLE_PACKET_MIN = 16,
	STATISTICS_MIN = 24,
	BLOCK_MAX = 16 * 1024 * 1024,               /* libpcap's cap on blocks of any kind */
	BLOCK_ROOM = CU_PACKET_MAX + CU_READ_BLOCK, /* as much of a block is looked at */
	INTERFACES_CAP = 65536,
};

enum {
	OPT_END = 0,
	OPT_COMMENT = 1,
	OPT_SHB_USERAPPL = 4,
	OPT_EPB_DROPCOUNT = 4,
	OPT_EPB_PACKETID = 5,
	OPT_IF_NAME = 2,
	OPT_ISB_ENDTIME = 3,
	OPT_ISB_IFDROP = 5,
	OPT_ISB_OSDROP = 7,
	OPT_IF_TSRESOL = 9,
	OPT_IF_TSOFFSET = 14
};

/* A block of which len bytes of total are in the buffer, at p. */
struct block {
	const uint8_t *p;
	uint32_t type;
	uint32_t total;
	uint32_t body_end; /* of what is in the buffer: the closing length is not counted */
};

static uint16_t get16(const struct cu_pcapng *ng, const uint8_t *p)
{
	return ng->is_big_endian ? cu_get_be16(p) : cu_get_le16(p);
}

static uint32_t get32(const struct cu_pcapng *ng, const uint8_t *p)
{
	uint32_t v = cu_get_le32(p);
	return ng->is_big_endian ? __builtin_bswap32(v) : v;
}

static uint64_t get64(const struct cu_pcapng *ng, const uint8_t *p)
{
	return ng->is_big_endian ? cu_get_be64(p) : cu_get_le64(p);
}

bool cu_pcapng_is_magic(const uint8_t *head)
{
	return cu_get_le32(head) == BLOCK_SECTION;
}

/* ------------------------------------------------------------------ times */

static void set_resolution(struct cu_pcapng_interface *interface, uint8_t resolution)
{
	unsigned exponent = resolution & 0x7f;
	interface->resolution = resolution;
	interface->shift = 0;
	interface->multiplier = 0;
	interface->divisor = 1;
	if ((resolution & 0x80) != 0 && exponent > 0) {
		interface->shift = (uint8_t)exponent;
		return;
	}
	if ((resolution & 0x80) != 0) {
		exponent = 0; /* 2^-0 s is 10^-0 s */
	}
	if (exponent <= 9) {
		interface->multiplier = 1;
		for (; exponent < 9; exponent++) {
			interface->multiplier *= 10;
		}
		return;
	}
	for (; exponent > 9 && interface->divisor <= UINT64_MAX / 10; exponent--) {
		interface->divisor *= 10;
	}
}

/* Nanoseconds of units on this interface's clock; times before 1970 and beyond CU_TIME_MAX_NS become the nearest. */
static int64_t time_of(const struct cu_pcapng_interface *interface, uint64_t units)
{
	uint64_t ns;
	if (__builtin_expect(interface->multiplier != 0, 1)) {
		if (__builtin_mul_overflow(units, interface->multiplier, &ns)) {
			ns = CU_TIME_MAX_NS;
		}
	} else if (interface->shift != 0) {
		unsigned __int128 wide = (unsigned __int128)units * 1000000000U >> interface->shift;
		ns = wide > CU_TIME_MAX_NS ? CU_TIME_MAX_NS : (uint64_t)wide;
	} else {
		ns = units / interface->divisor;
	}
	int64_t t = ns > CU_TIME_MAX_NS ? CU_TIME_MAX_NS : (int64_t)ns;
	if (__builtin_expect(interface->offset_ns != 0, 0)) {
		if (__builtin_add_overflow(t, interface->offset_ns, &t) || t > CU_TIME_MAX_NS) {
			t = CU_TIME_MAX_NS;
		}
		t = t > 0 ? t : 0;
	}
	return t;
}

/* ---------------------------------------------------------------- options */

struct option {
	uint32_t code;
	uint32_t len;
	const uint8_t *value;
};

/* The option at *offset of the block, which moves behind it; false when there is none left. */
static bool next_option(const struct cu_pcapng *ng, const struct block *block, uint32_t *offset, struct option *option)
{
	if (*offset + 4 > block->body_end) {
		return false;
	}
	option->code = get16(ng, block->p + *offset);
	option->len = get16(ng, block->p + *offset + 2);
	option->value = block->p + *offset + 4;
	uint32_t next = *offset + 4 + ((option->len + 3) & ~3U);
	if (option->code == OPT_END || *offset + 4 + option->len > block->body_end) {
		return false;
	}
	*offset = next;
	return true;
}

/* ----------------------------------------------------------------- blocks */

static uint32_t min_length(uint32_t type)
{
	switch (type) {
	case BLOCK_SECTION:
		return SECTION_MIN;
	case BLOCK_INTERFACE:
		return INTERFACE_MIN;
	case BLOCK_PACKET:
	case BLOCK_ENHANCED_PACKET:
		return PACKET_MIN;
	case BLOCK_SIMPLE_PACKET:
		return SIMPLE_PACKET_MIN;
	case BLOCK_STATISTICS:
		return STATISTICS_MIN;
	default:
		return BLOCK_MIN;
	}
}

static bool is_known_type(uint32_t type)
{
	switch (type) {
	case BLOCK_INTERFACE:
	case BLOCK_PACKET:
	case BLOCK_SIMPLE_PACKET:
	case BLOCK_NAME_RESOLUTION:
	case BLOCK_STATISTICS:
	case BLOCK_ENHANCED_PACKET:
	case BLOCK_DECRYPTION_SECRETS:
		return true;
	default:
		return false;
	}
}

static uint64_t interface_drops(const struct cu_pcapng_interface *interface)
{
	return interface->n_drops > interface->n_drops_seen ? interface->n_drops : interface->n_drops_seen;
}

/* What an interface counts itself, and what its packets say. */
static void set_drops(struct cu_input *input, uint32_t id, uint64_t n_drops, uint64_t n_drops_seen)
{
	struct cu_pcapng_interface *interface = &input->format.pcapng.interfaces[id];
	uint64_t n_before = interface_drops(interface);
	interface->n_drops = n_drops;
	interface->n_drops_seen = n_drops_seen;
	input->stats.n_drops += interface_drops(interface) - n_before;
}

/* 0, or an error that makes the rest of the input unreadable. */
static int section(struct cu_input *input, const struct block *block)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	ng->n_interfaces_before += (uint32_t)ng->n_interfaces;
	ng->n_interfaces = 0;
	ng->is_shard = false;
	ng->last_frame = 0;
	uint32_t offset = SECTION_MIN - 4;
	struct option option;
	while (next_option(ng, block, &offset, &option)) {
		if (option.code == OPT_SHB_USERAPPL) {
			static const char ours[] = CU_DUMP_APPLICATION;
			const size_t len = sizeof(ours) - 1;
			ng->is_shard = option.len >= len && memcmp(option.value, ours, len) == 0;
		}
	}
	unsigned major = get16(ng, block->p + 12);
	if (major != 1) {
		return CU_ERR_UNSUPPORTED;
	}
	return !ng->is_shard && cu_input_be_file(input) < 0 ? CU_ERR_NOMEM : 0;
}

/* The file that an interface's packets are of, by its comment. */
static int find_file(struct cu_input *input, const struct option *comment)
{
	char text[CU_FILE_COMMENT_CAP];
	size_t len = comment->len < sizeof(text) ? comment->len : sizeof(text) - 1;
	memcpy(text, comment->value, len);
	text[len] = '\0';
	uint16_t number;
	const char *path = cu_file_comment_parse(text, &number);
	int file = path != NULL ? cu_files_add(input->files, path, number, false) : CU_ERR_RANGE;
	if (file != CU_ERR_RANGE) {
		return file;
	}
	int rc = cu_input_be_file(input);
	return rc < 0 ? rc : input->file;
}

static int add_interface(struct cu_input *input, const struct block *block)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	if (ng->n_interfaces == INTERFACES_CAP) {
		return 0; /* packets of those beyond are damage */
	}
	if (ng->n_interfaces == ng->interfaces_cap) {
		size_t cap = ng->interfaces_cap ? ng->interfaces_cap * 2 : 4;
		struct cu_pcapng_interface *interfaces = realloc(ng->interfaces, cap * sizeof(*interfaces));
		if (!interfaces) {
			return CU_ERR_NOMEM;
		}
		ng->interfaces = interfaces;
		ng->interfaces_cap = cap;
	}
	struct cu_pcapng_interface *interface = &ng->interfaces[ng->n_interfaces++];
	memset(interface, 0, sizeof(*interface));
	interface->linktype = get16(ng, block->p + 8);
	interface->snaplen = get32(ng, block->p + 12);
	set_resolution(interface, 6);
	uint32_t offset = 16;
	struct option option;
	struct option comment = {.value = block->p};
	while (next_option(ng, block, &offset, &option)) {
		if (option.code == OPT_COMMENT && ng->is_shard) {
			comment = option;
		} else if (option.code == OPT_IF_TSRESOL && option.len >= 1) {
			set_resolution(interface, option.value[0]);
		} else if (option.code == OPT_IF_TSOFFSET && option.len == 8) {
			int64_t s = (int64_t)get64(ng, option.value);
			const int64_t most_s = CU_TIME_MAX_NS / CU_NS_PER_S;
			/* No clock is further off. */
			interface->offset_ns = s >= -most_s && s <= most_s ? s * CU_NS_PER_S : 0;
		} else if (option.code == OPT_IF_NAME) {
			size_t len = strnlen((const char *)option.value, option.len);
			len = len < sizeof(interface->name) ? len : sizeof(interface->name) - 1;
			memcpy(interface->name, option.value, len);
		}
	}
	int file = find_file(input, &comment);
	if (file < 0) {
		return CU_ERR_NOMEM;
	}
	interface->file = (uint16_t)file;
	cu_files_note(input->files, interface->file, interface->linktype, interface->snaplen);
	if (!input->has_linktype) {
		input->has_linktype = true;
		input->stats.linktype = interface->linktype;
	}
	if (interface->snaplen > input->stats.snaplen) {
		input->stats.snaplen = interface->snaplen;
	}
	return 0;
}

/*
 * Takes note of when capturing ended. What programs write there is not always
 * true: outside of shards it may not be further from the last packet than a
 * time that is no surprise.
 */
static void note_end(struct cu_input *input, int64_t end_ns)
{
	int64_t silence_ns = (int64_t)((uint64_t)end_ns - (uint64_t)input->last_ns);
	bool is_likely = silence_ns > 0 && (silence_ns <= CU_JUMP_NS || input->format.pcapng.is_shard);
	if (input->stats.n_packets > 0 && is_likely && end_ns > input->stats.end_ns) {
		input->stats.end_ns = end_ns;
	}
}

static void statistics(struct cu_input *input, const struct block *block)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	uint32_t id = get32(ng, block->p + 8);
	if (id >= ng->n_interfaces) {
		return;
	}
	uint64_t n = 0;
	uint32_t offset = 20;
	struct option option;
	while (next_option(ng, block, &offset, &option)) {
		if ((option.code == OPT_ISB_IFDROP || option.code == OPT_ISB_OSDROP) && option.len == 8) {
			uint64_t counted = get64(ng, option.value);
			n += counted != UNKNOWN_COUNT ? counted : 0;
		} else if (option.code == OPT_ISB_ENDTIME && option.len == 8) {
			uint64_t units = (uint64_t)get32(ng, option.value) << 32 | get32(ng, option.value + 4);
			note_end(input, time_of(&ng->interfaces[id], units));
		}
	}
	set_drops(input, id, n, ng->interfaces[id].n_drops_seen);
}

static void packet_drops(struct cu_input *input, uint32_t id, uint64_t n)
{
	const struct cu_pcapng_interface *interface = &input->format.pcapng.interfaces[id];
	set_drops(input, id, interface->n_drops, interface->n_drops_seen + n);
}

static void deliver(struct cu_input *input, uint32_t id, int64_t time_ns, struct cu_packet *packet)
{
	input->format.pcapng.last_time_ns = time_ns;
	input->format.pcapng.last_interface = id;
	input->packet_id = 0;
	packet->time_ns = time_ns;
	packet->frame = ++input->stats.n_packets;
	packet->linktype = input->format.pcapng.interfaces[id].linktype;
	packet->file = input->format.pcapng.interfaces[id].file;
	if (packet->len < packet->caplen) {
		packet->len = packet->caplen;
	}
}

static void fault_block(struct cu_input *input, uint64_t offset, const char *why)
{
	cu_input_fault(input, CU_ERR_FORMAT, "block %" PRIu64 " at byte %" PRIu64 ": %s",
	               (input->format.pcapng.n_blocks + 1), offset, why);
}

/* A block that is well framed, but makes no sense: passed over. */
static void damaged_block(struct cu_input *input, const struct block *block, const char *why)
{
	fault_block(input, cu_source_offset(&input->source), why);
	input->stats.n_damaged++;
	input->stats.skipped_bytes += block->total;
}

/* A shard's packet has the frame number of the capture that was split. */
static void take_packet_id(struct cu_input *input, uint64_t id, struct cu_packet *packet)
{
	uint64_t frame = id & ((UINT64_C(1) << CU_PACKET_ID_FILE_SHIFT) - 1);
	if (frame != 0) {
		packet->frame = frame;
		input->packet_id = cu_packet_id(&input->files->all[packet->file], packet);
	}
}

/*
 * Notes the time of a shard's packet, unless it stood before the one in front
 * of it: fragments that came before the first one wait for it in split, and say
 * nothing of the clock.
 */
static void note_time_in_shard(struct cu_input *input, const struct cu_packet *packet)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	if (packet->file != ng->last_file || packet->frame > ng->last_frame) {
		ng->last_file = packet->file;
		ng->last_frame = packet->frame;
		cu_input_note_time(input, packet);
	}
}

/* Which interface a packet block is of; the obsolete kind has 16 bits for it. */
static uint32_t interface_of(const struct cu_pcapng *ng, const uint8_t *p)
{
	return get32(ng, p) == BLOCK_PACKET ? get16(ng, p + 8) : get32(ng, p + 8);
}

static int64_t packet_time(const struct cu_pcapng *ng, const uint8_t *p, uint32_t id)
{
	return time_of(&ng->interfaces[id], (uint64_t)get32(ng, p + 12) << 32 | get32(ng, p + 16));
}

/*
 * The times of the next packets of an interface, offset bytes behind pos, and
 * how many there are: up to one of another interface, a section, or what is
 * damaged, and not beyond a few other blocks.
 */
static unsigned peek_times(struct cu_input *input, size_t offset, uint32_t id, int64_t times_ns[CU_ASTRAY_LOOK_AHEAD])
{
	enum { BLOCKS_CAP = 16 };
	const struct cu_pcapng *ng = &input->format.pcapng;
	unsigned n = 0;
	for (int i = 0; i < BLOCKS_CAP && n < CU_ASTRAY_LOOK_AHEAD; i++) {
		size_t wanted = offset + PACKET_MIN;
		if (wanted > CU_SOURCE_ROOM || cu_source_fill(&input->source, wanted, 0) < wanted) {
			break;
		}
		const uint8_t *p = input->source.pos + offset;
		uint32_t type = get32(ng, p), total = get32(ng, p + 4);
		if (!is_known_type(type) || total < min_length(type) || total > BLOCK_MAX) {
			break;
		}
		if (type == BLOCK_ENHANCED_PACKET || type == BLOCK_PACKET) {
			if (interface_of(ng, p) != id) {
				break;
			}
			times_ns[n++] = packet_time(ng, p, id);
		}
		offset += (total + 3) & ~3U;
	}
	return n;
}

/*
 * The time of the packet block at pos. Each interface may have a clock of its
 * own: only what is of the same one tells whether it is astray. What split
 * wrote was looked at there.
 */
static int64_t settle_time(struct cu_input *input, struct block *block, uint32_t id)
{
	const struct cu_pcapng *ng = &input->format.pcapng;
	int64_t time_ns = packet_time(ng, block->p, id);
	bool is_first = input->stats.n_packets == 0;
	if (is_first || !cu_input_is_far(input, time_ns) || ng->is_shard || id != ng->last_interface) {
		return time_ns;
	}
	int64_t following_ns[CU_ASTRAY_LOOK_AHEAD];
	unsigned n = peek_times(input, block->total, id, following_ns);
	block->p = input->source.pos; /* it may have been moved, to have those behind it in the buffer */
	return cu_input_settle_time(input, time_ns, following_ns, n);
}

/* An enhanced packet block, or the obsolete packet block, which has 16 bits of interface and of drops. */
static bool packet_block(struct cu_input *input, struct block *block, struct cu_packet *packet)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	const uint8_t *p = block->p;
	bool is_old = block->type == BLOCK_PACKET;
	uint32_t id = interface_of(ng, p);
	packet->caplen = get32(ng, p + 20);
	packet->len = get32(ng, p + 24);
	if (id >= ng->n_interfaces) {
		damaged_block(input, block, "its interface is not described");
		input->stats.n_packets++;
		return false;
	}
	if (packet->caplen > CU_PACKET_MAX || packet->caplen > block->body_end - 28) {
		damaged_block(input, block, "its packet is larger than the block");
		input->stats.n_packets++;
		return false;
	}
	int64_t time_ns = settle_time(input, block, id);
	p = block->p;
	packet->data = p + 28;
	deliver(input, id, time_ns, packet);
	if (is_old) {
		uint16_t drops = get16(ng, p + 10);
		if (drops != 0 && drops != 0xffff) { /* 0xffff: not known */
			packet_drops(input, id, drops);
		}
	}
	uint32_t offset = 28 + ((packet->caplen + 3) & ~3U);
	struct option option;
	while (!is_old && next_option(ng, block, &offset, &option)) {
		if (option.code == OPT_EPB_DROPCOUNT && option.len == 8) {
			packet_drops(input, id, get64(ng, option.value));
		} else if (option.code == OPT_EPB_PACKETID && option.len == 8 && ng->is_shard) {
			take_packet_id(input, get64(ng, option.value), packet);
		}
	}
	if (ng->is_shard) {
		note_time_in_shard(input, packet);
	} else {
		cu_input_note_time(input, packet);
	}
	return true;
}

static bool simple_packet_block(struct cu_input *input, const struct block *block, struct cu_packet *packet)
{
	const struct cu_pcapng *ng = &input->format.pcapng;
	if (ng->n_interfaces == 0) {
		damaged_block(input, block, "its interface is not described");
		input->stats.n_packets++;
		return false;
	}
	packet->len = get32(ng, block->p + 8);
	packet->data = block->p + 12;
	packet->caplen = packet->len;
	uint32_t snaplen = ng->interfaces[0].snaplen;
	if (snaplen != 0 && packet->caplen > snaplen) {
		packet->caplen = snaplen;
	}
	if (packet->caplen > block->body_end - 12) {
		packet->caplen = block->body_end - 12;
	}
	if (packet->caplen > CU_PACKET_MAX) {
		damaged_block(input, block, "its packet is larger than any");
		input->stats.n_packets++;
		return false;
	}
	deliver(input, 0, ng->last_time_ns, packet);
	cu_input_note_time(input, packet);
	input->stats.n_untimed++;
	return true;
}

/* ---------------------------------------------------------------- framing */

/* The byte order that a section header block at p announces; false when it is none. 12 bytes are there. */
static bool section_order(const uint8_t *p, bool *is_big_endian)
{
	*is_big_endian = cu_get_be32(p + 8) == BYTE_ORDER_MAGIC;
	return *is_big_endian || cu_get_le32(p + 8) == BYTE_ORDER_MAGIC;
}

/* Whether a block that resynchronisation may go on with begins at pos, of which BLOCK_MIN bytes are there. */
static bool is_plausible(struct cu_input *input)
{
	const struct cu_pcapng *ng = &input->format.pcapng;
	struct cu_source *src = &input->source;
	struct cu_pcapng order = *ng;
	uint32_t type = get32(ng, src->pos);
	if (type == BLOCK_SECTION) {
		if (!section_order(src->pos, &order.is_big_endian)) {
			return false;
		}
	} else if (!is_known_type(type)) {
		return false;
	}
	uint32_t total = get32(&order, src->pos + 4);
	if (total < min_length(type) || total > BLOCK_ROOM || (total & 3) != 0 ||
	    cu_source_fill(src, total, 0) < total) {
		return false;
	}
	return get32(&order, src->pos + total - 4) == total;
}

/* The block at pos is none. Moves to the next plausible one; false at the end. */
static bool resync(struct cu_input *input)
{
	struct cu_source *src = &input->source;
	uint64_t damaged = cu_source_offset(src);
	bool is_found = false;
	src->pos++;
	while (!is_found && cu_source_fill(src, BLOCK_MIN, 0) >= BLOCK_MIN) {
		is_found = is_plausible(input);
		src->pos += is_found ? 0 : 1;
	}
	if (!is_found) {
		src->pos = src->end;
	}
	input->stats.n_damaged++;
	input->stats.skipped_bytes += cu_source_offset(src) - damaged;
	return is_found;
}

/* Everything left is in the buffer: damage, if another block can be found in it. */
static bool is_damage_before_end(struct cu_input *input)
{
	struct cu_source *src = &input->source;
	const uint8_t *start = src->pos;
	bool is_found = false;
	for (src->pos++; !is_found && cu_source_left(src) >= BLOCK_MIN; src->pos++) {
		is_found = is_plausible(input);
	}
	src->pos = start;
	return is_found;
}

enum framing { FRAMING_WHOLE, FRAMING_DAMAGED, FRAMING_TRUNCATED, FRAMING_END };

static void truncated(struct cu_input *input, size_t left, size_t total)
{
	struct cu_source *src = &input->source;
	if (!cu_input_check_source(input)) {
		input->stats.stopped = CU_ERR_TRUNCATED;
		cu_input_fault(input, CU_ERR_TRUNCATED,
		               "ends in the middle of block %" PRIu64 " at byte %" PRIu64 ": %zu of %zu bytes",
		               (input->format.pcapng.n_blocks + 1), cu_source_offset(src), left, total);
	}
	src->pos = src->end;
}

/* Brings the block at pos into the buffer, as much of it as is looked at. */
static enum framing frame_block(struct cu_input *input, struct block *block)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	struct cu_source *src = &input->source;
	size_t left = cu_source_fill(src, BLOCK_MIN, 0);
	if (left == 0) {
		cu_input_check_source(input);
		return FRAMING_END;
	}
	if (left < BLOCK_MIN) {
		truncated(input, left, BLOCK_MIN);
		return FRAMING_TRUNCATED;
	}
	uint64_t at = cu_source_offset(src);
	block->type = get32(ng, src->pos);
	bool is_big_endian = ng->is_big_endian;
	if (block->type == BLOCK_SECTION && !section_order(src->pos, &is_big_endian)) {
		fault_block(input, at, "a section without byte order");
		return FRAMING_DAMAGED;
	}
	ng->is_big_endian = is_big_endian;
	block->total = get32(ng, src->pos + 4);
	char why[64];
	if (block->total < min_length(block->type) || block->total > BLOCK_MAX) {
		bool is_short = block->total < min_length(block->type);
		cu_input_fault(input, CU_ERR_FORMAT, "block %" PRIu64 " at byte %" PRIu64 ": length %u is %s of %u",
		               (ng->n_blocks + 1), at, block->total,
		               is_short ? "below the minimum" : "above the maximum",
		               is_short ? min_length(block->type) : (unsigned)BLOCK_MAX);
		return FRAMING_DAMAGED;
	}
	/* lengths have to be multiples of 4; some writers leave the padding uncounted */
	uint32_t padded = (block->total + 3) & ~3U;
	uint32_t wanted = padded < BLOCK_ROOM ? padded : BLOCK_ROOM;
	left = cu_source_fill(src, wanted, 0);
	if (left < wanted) {
		if (!is_damage_before_end(input)) {
			truncated(input, left, padded);
			return FRAMING_TRUNCATED;
		}
		fault_block(input, at, "its length leads behind the end of the input");
		return FRAMING_DAMAGED;
	}
	block->p = src->pos;
	block->body_end = wanted;
	if (wanted == padded) {
		uint32_t again = get32(ng, src->pos + padded - 4);
		if (again != block->total && again != padded) {
			(void)snprintf(why, sizeof(why), "length %u in front, but %u behind", block->total, again);
			fault_block(input, at, why);
			return FRAMING_DAMAGED;
		}
		block->body_end = padded - 4;
	}
	block->total = padded;
	return FRAMING_WHOLE;
}

/* What Wireshark numbers as a frame besides packets (wiretap/pcapng.c, 4.0). */
static bool is_other_frame(uint32_t type)
{
	enum {
		SYSTEMD_JOURNAL = 0x00000009,
		SYSDIG_EVENT = 0x00000204,
		SYSDIG_EVENT_V2 = 0x00000216,
		CUSTOM = 0x00000bad,
		CUSTOM_NO_COPY = 0x40000bad,
	};
	return type == SYSTEMD_JOURNAL || type == SYSDIG_EVENT || type == SYSDIG_EVENT_V2 || type == CUSTOM ||
	       type == CUSTOM_NO_COPY;
}

/* 1 a packet, 0 another block, < 0 the rest is unreadable. */
static int take_block(struct cu_input *input, struct block *block, struct cu_packet *packet)
{
	switch (block->type) {
	case BLOCK_ENHANCED_PACKET:
	case BLOCK_PACKET:
		return packet_block(input, block, packet);
	case BLOCK_SIMPLE_PACKET:
		return simple_packet_block(input, block, packet);
	case BLOCK_INTERFACE:
		return add_interface(input, block);
	case BLOCK_STATISTICS:
		statistics(input, block);
		return 0;
	case BLOCK_SECTION:
		return section(input, block);
	default:
		input->stats.n_packets += is_other_frame(block->type) ? 1 : 0;
		return 0;
	}
}

static __attribute__((noinline)) int next_slowly(struct cu_input *input, struct cu_packet *packet)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	struct cu_source *src = &input->source;
	for (;;) {
		if (ng->pending_skip > 0) {
			uint64_t skipped = cu_source_skip(src, ng->pending_skip);
			if (skipped < ng->pending_skip) {
				truncated(input, 0, (size_t)(ng->pending_skip - skipped));
			}
			ng->pending_skip = 0;
		}
		struct block block;
		switch (frame_block(input, &block)) {
		case FRAMING_WHOLE:
			break;
		case FRAMING_DAMAGED:
			if (resync(input)) {
				continue;
			}
			cu_input_check_source(input);
			return 0;
		case FRAMING_TRUNCATED:
		case FRAMING_END:
			return 0;
		}
		int rc = take_block(input, &block, packet);
		if (rc == CU_ERR_NOMEM) {
			return rc;
		}
		if (rc < 0) {
			input->stats.stopped = CU_ERR_UNSUPPORTED;
			cu_input_fault(input, CU_ERR_UNSUPPORTED,
			               "section at byte %" PRIu64 ": pcapng version %u is not supported",
			               cu_source_offset(src), get16(ng, block.p + 12));
			src->pos = src->end;
			src->is_at_end = true;
			return 0;
		}
		ng->n_blocks++;
		size_t left = cu_source_left(src);
		size_t used = block.total < left ? block.total : left;
		src->pos += used;
		ng->pending_skip = block.total - used;
		if (rc == 1) {
			return 1;
		}
	}
}

int cu_pcapng_take(struct cu_input *input, struct cu_packet *packets, int n)
{
	struct cu_pcapng *ng = &input->format.pcapng;
	int n_taken = 0;
	for (; n_taken < n; n_taken++) {
		/* an enhanced packet block without options, wholly in the buffer: nearly every one */
		struct cu_packet *packet = &packets[n_taken];
		const uint8_t *p = input->source.pos;
		size_t left = cu_source_left(&input->source);
		if (left < PACKET_MIN || get32(ng, p) != BLOCK_ENHANCED_PACKET || ng->pending_skip != 0) {
			break;
		}
		uint32_t total = get32(ng, p + 4);
		uint32_t id = get32(ng, p + 8);
		uint32_t caplen = get32(ng, p + 20);
		if (total > left || id >= ng->n_interfaces || caplen > CU_PACKET_MAX ||
		    total != PACKET_MIN + ((caplen + 3) & ~3U) || get32(ng, p + total - 4) != total) {
			break;
		}
		int64_t time_ns = packet_time(ng, p, id);
		if (__builtin_expect(cu_input_is_far(input, time_ns), 0)) {
			break; /* what it is takes more than is in the buffer to tell */
		}
		packet->data = p + 28;
		packet->caplen = caplen;
		packet->len = get32(ng, p + 24);
		deliver(input, id, time_ns, packet);
		cu_input_note_time(input, packet);
		ng->n_blocks++;
		input->source.pos += total;
	}
	return n_taken;
}

int cu_pcapng_next(struct cu_input *input, struct cu_packet *packet)
{
	return cu_pcapng_take(input, packet, 1) == 1 ? 1 : next_slowly(input, packet);
}

int cu_pcapng_open(struct cu_input *input, struct cu_fault *fault)
{
	struct cu_source *src = &input->source;
	size_t left = cu_source_fill(src, SECTION_MIN, 0);
	bool is_big_endian = false;
	if (left >= BLOCK_MIN && !section_order(src->pos, &is_big_endian)) {
		return cu_fault_set(fault, CU_ERR_FORMAT,
		                    "%s: is not a capture (begins as pcapng, but has no byte order)", input->name);
	}
	if (left < SECTION_MIN) {
		return cu_fault_set(fault, CU_ERR_TRUNCATED,
		                    "%s: ends in the middle of the section header: %zu of %d bytes", input->name, left,
		                    SECTION_MIN);
	}
	struct cu_pcapng order = {.is_big_endian = is_big_endian};
	unsigned major = get16(&order, src->pos + 12);
	if (major != 1) {
		return cu_fault_set(fault, CU_ERR_UNSUPPORTED, "%s: pcapng version %u.%u is not supported", input->name,
		                    major, get16(&order, src->pos + 14));
	}
	return 0;
}

void cu_pcapng_release(struct cu_input *input)
{
	free(input->format.pcapng.interfaces);
	input->format.pcapng.interfaces = NULL;
	input->format.pcapng.n_interfaces = 0;
	input->format.pcapng.interfaces_cap = 0;
}

void cu_pcapng_interface(const struct cu_input *input, struct cu_interface *interface)
{
	const struct cu_pcapng *ng = &input->format.pcapng;
	const struct cu_pcapng_interface *from = &ng->interfaces[ng->last_interface];
	*interface = (struct cu_interface){
		.number = ng->n_interfaces_before + ng->last_interface,
		.snaplen = from->snaplen,
		.linktype = from->linktype,
		.resolution = from->resolution,
		.offset_s = from->offset_ns / 1000000000,
	};
	memcpy(interface->name, from->name, sizeof(interface->name));
}
