#include "lib/flow/sight.h"

#include "lib/packet/usual.h"

#include <string.h>

int cu_sight_init(struct cu_sight *sight, const struct cu_flowify_config *config, const struct cu_table *table)
{
	*sight = (struct cu_sight){.config = config, .table = table, .assembly = cu_assembly_new()};
	return sight->assembly != NULL ? 0 : CU_ERR_NOMEM;
}

void cu_sight_release(struct cu_sight *sight)
{
	cu_assembly_free(sight->assembly);
}

/*
 * Whether a payload with this first byte can have a hint: a TLS record, or the
 * method, version or banner of a text protocol. Most payloads stop here.
 */
static inline bool may_begin_hint(uint8_t byte)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 20 && byte <= 23);
}

static inline void fill_hint(const struct cu_sight *sight, const uint8_t *payload, uint32_t caplen,
                             struct cu_hint *hint)
{
	hint->kind = CU_HINT_NONE;
	if (caplen == 0 || !may_begin_hint(payload[0]) || sight->config->no_hints) {
		return;
	}
	cu_hint_parse(payload, caplen, hint);
	if (sight->config->anonymizer != NULL) {
		cu_anonymize_hint(hint);
	}
}

/* The rest of a sighting whose key is made. */
static inline void place(const struct cu_sight *sight, const struct cu_packet *packet, struct cu_sighting *sighting)
{
	sighting->segment.time_ns = packet->time_ns;
	sighting->segment.frame = packet->frame;
	sighting->segment.file = packet->file;
	sighting->tag = cu_table_tag(sight->table, &sighting->key);
	cu_table_prefetch(sight->table, sighting->tag);
}

/* ---- Any frame ---- */

static void fill_segment(const struct cu_tcp *tcp, struct cu_segment *segment)
{
	segment->ttl = tcp->ttl;
	segment->flags = tcp->flags;
	segment->window = tcp->window;
	segment->ip_id = tcp->ip_id;
	segment->n_sack = tcp->n_sack;
	segment->has_timestamps = tcp->has_timestamps;
	segment->seq = tcp->seq;
	segment->ack = tcp->ack;
	segment->len = tcp->payload_len;
	segment->tsval = tcp->tsval;
	segment->tsecr = tcp->tsecr;
	memcpy(segment->sack, tcp->sack, tcp->n_sack * sizeof(tcp->sack[0]));
	segment->icmp = false;
}

static void fill_icmp(const struct cu_icmp_error *icmp, struct cu_segment *segment)
{
	*segment = (struct cu_segment){
		.seq = icmp->seq,
		.icmp = true,
		.icmp_type = icmp->type,
		.icmp_code = icmp->code,
		.icmp_mtu = icmp->mtu,
		.icmp_reporter = icmp->reporter,
	};
}

/* What comes of a fragment, or of an aggregate's first frame; n_fragments: how many others it came in. */
static enum cu_packet_kind resolve(struct cu_sight *sight, const struct cu_packet *packet, enum cu_packet_kind kind,
                                   struct cu_packet_content *content, uint32_t *n_fragments)
{
	if (kind == CU_PACKET_AGGREGATE) {
		sight->n_left_out += content->n_left_out;
		kind = content->first_kind;
	}
	return kind == CU_PACKET_FRAGMENT ? cu_assembly_put(sight->assembly, packet->time_ns, content, n_fragments)
	                                  : kind;
}

/* Decodes a packet to a sighting; false when it concerns no connection. */
static __attribute__((noinline)) bool sight_any(struct cu_sight *sight, const struct cu_packet *packet,
                                                struct cu_sighting *sighting)
{
	const struct cu_flowify_config *config = sight->config;
	struct cu_packet_content content;
	enum cu_packet_kind kind =
		cu_packet_decode(packet->linktype, packet->data, packet->caplen, packet->len, &content);
	sighting->n_fragments = 0;
	if (kind >= CU_PACKET_FRAGMENT) {
		kind = resolve(sight, packet, kind, &content, &sighting->n_fragments);
	}
	sight->n_kinds[kind]++;
	const struct cu_flow_key *key = &content.tcp.key;
	if (kind == CU_PACKET_TCP) {
		const struct cu_tcp *tcp = &content.tcp;
		fill_segment(tcp, &sighting->segment);
		sighting->syn = tcp->syn;
		fill_hint(sight, tcp->payload, tcp->payload_caplen, &sighting->segment.hint);
	} else if (kind == CU_PACKET_ICMP_ERROR) {
		fill_icmp(&content.icmp, &sighting->segment);
		if (config->anonymizer != NULL) {
			cu_anonymize_addr(config->anonymizer, &sighting->segment.icmp_reporter);
		}
		key = &content.icmp.key;
	} else {
		return false;
	}
	sighting->from_lower = cu_key_make(key, config->ignore, &sighting->key);
	place(sight, packet, sighting);
	return true;
}

/* ---- Nearly every frame ---- */

/* The options as nearly every stack sends them: timestamps, and behind them SACK blocks. False: others. */
static inline bool fill_options(const uint8_t *options, uint32_t len, struct cu_segment *segment)
{
	const uint32_t nop_nop_timestamps = 0x0101080a, nop_nop_sack = 0x01010500; /* RFC 7323 appendix A; RFC 2018 */
	enum { TIMESTAMPS_LEN = 12, SACK_LEN = 4, BLOCK_LEN = 8 };
	segment->has_timestamps = len != 0;
	segment->tsval = segment->tsecr = 0;
	segment->n_sack = 0;
	if (len == 0) {
		return true;
	}
	if (len < TIMESTAMPS_LEN || cu_get_be32(options) != nop_nop_timestamps) {
		return false;
	}
	segment->tsval = cu_get_be32(options + 4);
	segment->tsecr = cu_get_be32(options + 8);
	if (len == TIMESTAMPS_LEN) {
		return true;
	}
	const uint8_t *sack = options + TIMESTAMPS_LEN;
	uint32_t blocks_len = len - TIMESTAMPS_LEN - SACK_LEN;
	if (blocks_len % BLOCK_LEN != 0 || cu_get_be32(sack) != (nop_nop_sack | (blocks_len + 2))) {
		return false;
	}
	segment->n_sack = (uint8_t)(blocks_len / BLOCK_LEN);
	for (unsigned i = 0; i < segment->n_sack; i++) {
		const uint8_t *block = sack + SACK_LEN + (size_t)i * BLOCK_LEN;
		segment->sack[i][0] = cu_get_be32(block);
		segment->sack[i][1] = cu_get_be32(block + 4);
	}
	return true;
}

/* The same as sight_any, of a usual frame without options that few segments have; of others it is false. */
static inline __attribute__((always_inline)) bool sight_usual(struct cu_sight *sight, const struct cu_packet *packet,
                                                              struct cu_sighting *sighting)
{
	enum { TCP_HEADER = 20 };
	struct cu_usual usual;
	if (!cu_usual_find(packet->linktype, packet->data, packet->caplen, &usual)) {
		return false;
	}
	struct cu_segment *segment = &sighting->segment;
	const uint8_t *ip = usual.ip, *tcp = usual.tcp;
	unsigned flags = cu_get_be16(tcp + 12);
	uint32_t header = (flags >> 12) * 4;
	if ((flags & CU_TCP_SYN) != 0 || header < TCP_HEADER || header > usual.cap || header > usual.wire ||
	    !fill_options(tcp + TCP_HEADER, header - TCP_HEADER, segment)) {
		return false;
	}
	segment->flags = flags & 0x1ff;
	segment->seq = cu_get_be32(tcp + 4);
	segment->ack = cu_get_be32(tcp + 8);
	segment->window = cu_get_be16(tcp + 14);
	segment->len = usual.wire - header;
	segment->icmp = false;
	uint16_t src_port = cu_get_be16(tcp), dst_port = cu_get_be16(tcp + 2);
	if (usual.is_ipv6) {
		segment->ip_id = 0;
		segment->ttl = ip[7];
		sighting->from_lower = cu_key_make_ipv6(ip + 8, src_port, ip + 24, dst_port, &sighting->key);
	} else {
		segment->ip_id = cu_get_be16(ip + 4);
		segment->ttl = ip[8];
		sighting->from_lower = cu_key_make_ipv4(cu_get_be32(ip + 12), src_port, cu_get_be32(ip + 16), dst_port,
		                                        &sighting->key);
	}
	uint32_t caplen = usual.cap < usual.wire ? usual.cap - header : segment->len;
	fill_hint(sight, tcp + header, caplen, &segment->hint);
	sighting->n_fragments = 0;
	place(sight, packet, sighting);
	return true;
}

size_t cu_sight_packets(struct cu_sight *sight, const struct cu_packet *packets, size_t n,
                        struct cu_sighting *sightings)
{
	struct cu_sighting *next = sightings;
	size_t n_usual = 0;
	for (size_t i = 0; i < n; i++) {
		if (sight_usual(sight, &packets[i], next)) {
			n_usual++;
			next++;
		} else {
			next += sight_any(sight, &packets[i], next);
		}
	}
	sight->n_kinds[CU_PACKET_TCP] += n_usual;
	return (size_t)(next - sightings);
}
