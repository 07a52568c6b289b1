#include "lib/packet/decode.h"

/* IEEE 802.11-2020 section 9.2.4.1, frame control as little-endian word. */
enum {
	FC_VERSION_MASK = 0x0003,
	FC_TYPE_MASK = 0x000c,
	FC_TYPE_DATA = 0x0008,
	FC_NO_DATA = 0x0040, /* subtypes without a body */
	FC_QOS = 0x0080,
	FC_TO_DS = 0x0100,
	FC_FROM_DS = 0x0200,
	FC_PROTECTED = 0x4000,
	FC_ORDER = 0x8000, /* an HT control field, with QoS */
};

enum {
	QOS_AMSDU = 0x80, /* section 9.2.4.5: the body is an aggregate */
};

enum { SUBFRAME_HEADER = 14 }; /* section 9.3.2.2: two addresses and the length of what follows */

/*
 * How many frames there are in the aggregate at offset, behind its first: those
 * whose headers were not captured count as one.
 */
static uint32_t count_others(const struct decode *d, uint32_t offset)
{
	uint32_t n = 0;
	while (offset + SUBFRAME_HEADER <= d->cap) {
		uint32_t len = cu_get_be16(d->pos + offset + 12);
		if (len == 0) {
			break; /* padding */
		}
		n++;
		offset += (SUBFRAME_HEADER + len + 3) & ~3U;
	}
	bool is_cut = d->cap < d->wire && offset >= d->cap && offset + SUBFRAME_HEADER <= d->wire;
	n += is_cut ? 1 : 0;
	return n > 0 ? n - 1 : 0;
}

static enum layer wlan(struct decode *d, bool is_padded)
{
	if (d->cap < 24) {
		return decode_done(d, d->cap >= 2 && (d->pos[0] & FC_TYPE_MASK) != FC_TYPE_DATA ? CU_PACKET_OTHER
		                                                                                : CU_PACKET_SHORT);
	}
	/*
	 * Cisco's controllers swap the bytes of frame and sequence control in
	 * CAPWAP: the version, always 0, has the place of the direction, which never is.
	 */
	bool is_swapped = (d->pos[0] & FC_VERSION_MASK) != 0;
	uint32_t control = is_swapped ? cu_get_be16(d->pos) : cu_get_le16(d->pos);
	bool is_later_fragment = (d->pos[is_swapped ? 23 : 22] & 0xf) != 0;
	if ((control & FC_VERSION_MASK) != 0 || (control & FC_TYPE_MASK) != FC_TYPE_DATA ||
	    (control & FC_NO_DATA) != 0 || (control & FC_PROTECTED) != 0 || is_later_fragment) {
		return decode_done(d, CU_PACKET_OTHER);
	}
	uint32_t header = 24;
	bool is_aggregate = false;
	if ((control & FC_TO_DS) != 0 && (control & FC_FROM_DS) != 0) {
		header += 6;
	}
	if ((control & FC_QOS) != 0) {
		if (d->cap < header + 2) {
			return decode_done(d, CU_PACKET_SHORT);
		}
		is_aggregate = (d->pos[header + is_swapped] & QOS_AMSDU) != 0;
		header += 2;
		if ((control & FC_ORDER) != 0) {
			header += 4;
		}
	}
	if (is_padded) {
		header = (header + 3) & ~3U;
	}
	if (is_aggregate) {
		d->n_left_out += count_others(d, header);
		header += SUBFRAME_HEADER;
	}
	return decode_skip(d, header) ? LAYER_LLC : decode_done(d, CU_PACKET_SHORT);
}

enum layer cu_decode_wlan(struct decode *d)
{
	return wlan(d, false);
}

enum layer cu_decode_radiotap(struct decode *d)
{
	/* radiotap.org/fields: present words, then the fields they announce, each aligned to its size */
	enum { PRESENT_TSFT = 1 << 0, PRESENT_FLAGS = 1 << 1, FLAG_DATA_PAD = 0x20 };
	if (d->cap < 8) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	uint32_t header = cu_get_le16(d->pos + 2);
	uint32_t present = cu_get_le32(d->pos + 4);
	if (header < 8) {
		return decode_done(d, CU_PACKET_MALFORMED);
	}
	if (header > d->cap) {
		return decode_done(d, CU_PACKET_SHORT);
	}
	uint32_t at = 4;
	bool has_more = true;
	while (has_more && at + 4 <= header) {
		has_more = (d->pos[at + 3] & 0x80) != 0;
		at += 4;
	}
	if ((present & PRESENT_TSFT) != 0) {
		at = ((at + 7) & ~7U) + 8;
	}
	bool is_padded = (present & PRESENT_FLAGS) != 0 && at < header && (d->pos[at] & FLAG_DATA_PAD) != 0;
	decode_skip(d, header);
	return wlan(d, is_padded);
}
