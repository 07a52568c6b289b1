/*
 * The wire: carries IP packets between two network namespaces, spoils what it
 * is told to spoil, and captures at the client, in the middle and at the server.
 *
 * In each direction a packet passes three points, two hops between them:
 *
 *   sender's end --[hop before]-- middle --[hop after]-- receiver's end
 *
 * Each hop delays and may lose, hold back, duplicate, queue or reject packets;
 * each point can be captured. Times are CLOCK_REALTIME, as the peers' logs are.
 * What became of each packet goes to PREFIX.wire.jsonl, a line a packet: when
 * it passed each point, its frame number in each capture (0: not in it), how
 * long a bottleneck held it, and where and why it was lost. The last line says how
 * late deliveries were.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

enum {
	EXIT_USAGE = 2,
	PACKET_CAP = 65535,
	HEAP_CAP = 1 << 16, /* packets on the wire at once */
	RULES_CAP = 16,     /* scripted drops of a hop, scripted misses of a capture */
	OUTAGES_CAP = 8,    /* of a hop */
	PATH_CAP = 512,
	PRIORITY = 20,    /* of SCHED_FIFO: a busy machine must not delay packets */
	LIFETIME_S = 900, /* a forgotten wire ends by itself */
};

/* The wire sleeps until this long before a packet is due, then looks at the clock until it is. */
static const int64_t SPIN_NS = 60 * NS_PER_US;

enum { C2S, S2C, N_DIRS };
enum { BEFORE, AFTER, N_HOPS };
enum { CLIENT, MIDDLE, SERVER, N_POINTS };
/* Where a packet is on its own way. */
enum { NEAR_END, HALFWAY, FAR_END };

static const char *const dir_name[N_DIRS] = {"c2s", "s2c"};
static const char *const hop_name[N_HOPS] = {"before", "after"};
static const char *const point_name[N_POINTS] = {"client", "middle", "server"};

/* What a packet is, to rules and to the log. */
struct headers {
	bool is_tcp;
	uint16_t client_port, server_port;
	uint32_t seq, ack;
	uint32_t payload_len;
	uint16_t window; /* as sent, not scaled */
	uint8_t flags;
	int8_t window_scale; /* of a SYN's option; -1 none */
};

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

/* Where and when a packet was seen; printed when its way ends. */
struct life {
	uint64_t id, copy_of; /* from 1; copy_of 0: not a duplicate */
	int64_t time_ns[3];   /* by place on its way; 0 never came there */
	uint64_t frame[3];    /* 0: not in that capture */
	int64_t queued_ns;
	bool held_back;
};

struct packet {
	int64_t due_ns;
	uint64_t order; /* equal due times keep their order */
	int dir;
	int place; /* where it comes to at due_ns */
	struct headers headers;
	struct life life;
	struct virtio_net_hdr offload; /* what its sender's kernel left to the device; zero without --offload */
	uint32_t len;
	uint8_t data[];
};

/* The from-th packet that matches, and count - 1 more after it. */
struct rule {
	int dir; /* of a capture's rule; a hop has its own */
	enum { MATCH_ANY, MATCH_SYN, MATCH_SYNACK, MATCH_DATA, MATCH_ACK, MATCH_FIN, MATCH_RST, MATCH_BYTE } match;
	uint32_t byte; /* MATCH_BYTE: offset in the stream, from 0 */
	unsigned from, count, n_seen;
	unsigned client_port; /* 0: of any connection */
};

struct hop {
	int64_t delay_ns, jitter_ns;
	double loss;
	double burst_enter, burst_leave; /* two-state loss */
	bool in_burst;
	double reorder, duplicate;
	int64_t hold_ns;                                                /* of a packet that is reordered */
	int64_t outage_from_ns[OUTAGES_CAP], outage_to_ns[OUTAGES_CAP]; /* since the first packet */
	unsigned n_outages;
	int64_t rate_bps, queue_bytes;
	int64_t free_ns; /* when the bottleneck has sent all it holds */
	int64_t last_ns; /* the latest departure in order */
	unsigned mtu;
	bool mtu_icmp, prohibit;
	struct rule drop[RULES_CAP];
	unsigned n_drops;
};

struct capture {
	FILE *file;
	char path[PATH_CAP];
	uint64_t n_frames, n_passed;
	int64_t last_ns;
	double miss;
	uint64_t from; /* the first packets are not captured, before this one (from 1) */
	double mirror; /* probability that a frame is captured twice */
	int64_t mirror_ns;
	struct rule skip[RULES_CAP];
	unsigned n_skips;
};

static struct hop hops[N_DIRS][N_HOPS];
static struct capture captures[N_POINTS];
static int tun[N_DIRS]; /* where packets of a direction come from */
static struct packet *heap[HEAP_CAP];
static size_t n_heap;
static uint64_t n_pushed, n_packets;
static int64_t first_ns;
static uint32_t isn[N_DIRS][UINT16_MAX + 1]; /* by client port */
static struct in_addr router;
static struct in6_addr router6;
static FILE *journal;
static uint32_t snaplen = PACKET_CAP;
static bool ethernet, microseconds, offload;
static uint64_t random_state;
static int64_t late_max_ns, late_sum_ns; /* of deliveries, behind their due time */
static uint64_t n_delivered;
static volatile sig_atomic_t stopped;

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static _Noreturn void refuse(const char *what, const char *value)
{
	fprintf(stderr, "wire: %s '%s'\n", what, value);
	exit(EXIT_USAGE);
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* 0 <= x < 1; splitmix64 (Steele, Lea, Flood 2014): equal seeds make equal wires. */
static double uniform(void)
{
	uint64_t z = random_state += UINT64_C(0x9E3779B97F4A7C15);
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static bool happens(double probability)
{
	return probability > 0 && uniform() < probability;
}

/*
 * Packets' headers.
 */

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

/* The shift count of a SYN's window scale option (RFC 7323, 2.2), or -1. */
static int8_t window_scale_of(const uint8_t *option, const uint8_t *end)
{
	enum { END = 0, NOP = 1, WINDOW_SCALE = 3 };
	while (option < end && *option != END) {
		if (*option == NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option) {
			break;
		}
		if (option[0] == WINDOW_SCALE && option[1] == 3) {
			return (int8_t)option[2];
		}
		option += option[1];
	}
	return -1;
}

/* IPv4 with options, IPv6 without extension headers: what the kernels here send. */
static struct headers headers_of(const uint8_t *data, uint32_t len, int dir)
{
	enum { IPV4_MIN = 20, IPV6_LEN = 40, TCP_MIN = 20 };
	struct headers h = {.window_scale = -1};
	if (len < IPV4_MIN) {
		return h;
	}
	bool is_ipv4 = data[0] >> 4 == 4;
	uint32_t ip_len = is_ipv4 ? (data[0] & 15u) * 4 : IPV6_LEN;
	if (len < ip_len + TCP_MIN || data[is_ipv4 ? 9 : 6] != IPPROTO_TCP) {
		return h;
	}
	const uint8_t *tcp = data + ip_len;
	uint32_t tcp_len = (tcp[12] >> 4) * 4u;
	if (tcp_len < TCP_MIN || len < ip_len + tcp_len) {
		return h;
	}
	h.is_tcp = true;
	h.client_port = get16(tcp + (dir == C2S ? 0 : 2));
	h.server_port = get16(tcp + (dir == C2S ? 2 : 0));
	h.seq = get32(tcp + 4);
	h.ack = get32(tcp + 8);
	h.flags = tcp[13];
	h.window = get16(tcp + 14);
	h.payload_len = len - ip_len - tcp_len;
	if (h.flags & SYN) {
		h.window_scale = window_scale_of(tcp + TCP_MIN, tcp + tcp_len);
	}
	return h;
}

/* Offset in the stream of a segment's first byte of payload. */
static uint32_t offset_of(const struct packet *packet)
{
	return packet->headers.seq - isn[packet->dir][packet->headers.client_port] - 1;
}

static bool matches(const struct rule *rule, const struct packet *packet)
{
	const struct headers *h = &packet->headers;
	if (!h->is_tcp || packet->dir != rule->dir || (rule->client_port != 0 && rule->client_port != h->client_port)) {
		return false;
	}
	switch (rule->match) {
	case MATCH_SYN:
		return (h->flags & (SYN | ACK)) == SYN;
	case MATCH_SYNACK:
		return (h->flags & (SYN | ACK)) == (SYN | ACK);
	case MATCH_DATA:
		return h->payload_len > 0;
	case MATCH_ACK:
		return h->payload_len == 0 && !(h->flags & (SYN | FIN | RST));
	case MATCH_FIN:
		return h->flags & FIN;
	case MATCH_RST:
		return h->flags & RST;
	case MATCH_BYTE:
		return h->payload_len > 0 && rule->byte - offset_of(packet) < h->payload_len;
	case MATCH_ANY:
		break;
	}
	return true;
}

/* Counts the packet; true when the rules take it. */
static bool is_taken(struct rule *rules, unsigned n_rules, const struct packet *packet)
{
	bool taken = false;
	for (struct rule *rule = rules; rule < rules + n_rules; rule++) {
		if (matches(rule, packet)) {
			rule->n_seen++;
			taken |= rule->n_seen >= rule->from && rule->n_seen - rule->from < rule->count;
		}
	}
	return taken;
}

/*
 * Captures (pcap) and the log.
 */

static void open_capture(struct capture *capture, const char *prefix, const char *point)
{
	enum { LINKTYPE_ETHERNET = 1, LINKTYPE_RAW = 101, MAGIC_US = 0xa1b2c3d4, MAGIC_NS = 0xa1b23c4d };
	uint32_t header[] = {microseconds ? (uint32_t)MAGIC_US : (uint32_t)MAGIC_NS,
	                     4u << 16 | 2,
	                     0,
	                     0,
	                     snaplen,
	                     ethernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW};
	snprintf(capture->path, sizeof(capture->path), "%s-%s.pcap", prefix, point);
	capture->file = fopen(capture->path, "we");
	if (capture->file == NULL || fwrite(header, sizeof(header), 1, capture->file) != 1) {
		die(capture->path);
	}
}

static void write_frame(struct capture *capture, const struct packet *packet, int64_t time_ns)
{
	enum { MAC_LEN = 6, ETHERNET_LEN = 14, ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd };
	static const uint8_t mac[N_DIRS][MAC_LEN] = {{2, 0, 0, 0, 0, 0x0c},
	                                             {2, 0, 0, 0, 0, 0x05}}; /* locally administered */
	uint8_t link[ETHERNET_LEN];
	uint32_t link_len = 0;
	if (ethernet) {
		memcpy(link, mac[!packet->dir], MAC_LEN);
		memcpy(link + MAC_LEN, mac[packet->dir], MAC_LEN);
		put16(link + 2 * MAC_LEN, packet->data[0] >> 4 == 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
		link_len = ETHERNET_LEN;
	}
	uint32_t len = link_len + packet->len;
	uint32_t captured = len < snaplen ? len : snaplen;
	uint32_t from_link = captured < link_len ? captured : link_len;
	/* A capture's times don't step back, though the points' clocks are read in turn. */
	capture->last_ns = time_ns > capture->last_ns ? time_ns : capture->last_ns;
	int64_t fraction = capture->last_ns % NS_PER_S / (microseconds ? NS_PER_US : 1);
	uint32_t header[] = {(uint32_t)(capture->last_ns / NS_PER_S), (uint32_t)fraction, captured, len};
	if (fwrite(header, sizeof(header), 1, capture->file) != 1 ||
	    fwrite(link, 1, from_link, capture->file) != from_link ||
	    fwrite(packet->data, 1, captured - from_link, capture->file) != captured - from_link) {
		die(capture->path);
	}
	capture->n_frames++;
}

/* A packet passes a point. */
static void observe(struct packet *packet, int64_t time_ns)
{
	int point = packet->dir == C2S ? packet->place : FAR_END - packet->place;
	struct capture *capture = &captures[point];
	packet->life.time_ns[packet->place] = time_ns;
	bool skipped = is_taken(capture->skip, capture->n_skips, packet);
	capture->n_passed++;
	if (skipped || capture->n_passed < capture->from || happens(capture->miss)) {
		return;
	}
	write_frame(capture, packet, time_ns);
	packet->life.frame[packet->place] = capture->n_frames;
	if (happens(capture->mirror)) {
		write_frame(capture, packet, time_ns + capture->mirror_ns);
	}
}

/* Its way ends: delivered (why NULL), or lost in a hop. */
static void bury(struct packet *packet, const char *why, int hop)
{
	const struct headers *h = &packet->headers;
	const struct life *life = &packet->life;
	fprintf(journal,
	        "{\"id\":%" PRIu64 ",\"dir\":\"%s\",\"times_ns\":[%" PRId64 ",%" PRId64 ",%" PRId64
	        "],\"frames\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "],\"ip_len\":%u",
	        life->id, dir_name[packet->dir], life->time_ns[0], life->time_ns[1], life->time_ns[2], life->frame[0],
	        life->frame[1], life->frame[2], packet->len);
	if (h->is_tcp) {
		fprintf(journal,
		        ",\"client_port\":%u,\"server_port\":%u,\"offset\":%" PRId32
		        ",\"len\":%u,\"flags\":%u,\"ack\":%u,\"window\":%u",
		        h->client_port, h->server_port, (int32_t)offset_of(packet), h->payload_len, h->flags,
		        h->ack - isn[!packet->dir][h->client_port] - 1, h->window);
		if (h->flags & SYN) {
			fprintf(journal, ",\"window_scale\":%d", h->window_scale);
		}
	} else {
		fputs(",\"icmp\":true", journal);
	}
	if (life->copy_of != 0) {
		fprintf(journal, ",\"copy_of\":%" PRIu64, life->copy_of);
	}
	if (life->queued_ns != 0) {
		fprintf(journal, ",\"queued_ns\":%" PRId64, life->queued_ns);
	}
	if (life->held_back) {
		fputs(",\"held_back\":true", journal);
	}
	if (why != NULL) {
		fprintf(journal, ",\"lost\":\"%s\",\"hop\":\"%s\"", why, hop_name[hop]);
	}
	fputs("}\n", journal);
	free(packet);
}

/*
 * Packets on the wire: a heap by the time they are due.
 */

static bool is_sooner(const struct packet *a, const struct packet *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void push(struct packet *packet)
{
	if (n_heap == HEAP_CAP) {
		errno = ENOBUFS;
		die("packets on the wire");
	}
	packet->order = n_pushed++;
	size_t i = n_heap++;
	for (; i > 0 && is_sooner(packet, heap[(i - 1) / 2]); i = (i - 1) / 2) {
		heap[i] = heap[(i - 1) / 2];
	}
	heap[i] = packet;
}

static struct packet *pop(void)
{
	struct packet *top = heap[0], *last = heap[--n_heap];
	size_t i = 0;
	for (size_t child; (child = 2 * i + 1) < n_heap; i = child) {
		child += child + 1 < n_heap && is_sooner(heap[child + 1], heap[child]);
		if (!is_sooner(heap[child], last)) {
			break;
		}
		heap[i] = heap[child];
	}
	heap[i] = last;
	return top;
}

static struct packet *new_packet(const uint8_t *data, uint32_t len, int dir)
{
	struct packet *packet = calloc(1, sizeof(*packet) + len);
	if (packet == NULL) {
		die("packet");
	}
	packet->dir = dir;
	packet->len = len;
	packet->life.id = ++n_packets;
	if (data != NULL) {
		memcpy(packet->data, data, len);
		packet->headers = headers_of(data, len, dir);
	}
	return packet;
}

static struct packet *copy_of(const struct packet *packet)
{
	struct packet *copy = new_packet(packet->data, packet->len, packet->dir);
	copy->place = packet->place;
	copy->offload = packet->offload;
	copy->due_ns = packet->due_ns;
	copy->life.copy_of = packet->life.id;
	return copy;
}

/*
 * Hops.
 */

/* RFC 1071; sum is that of what is not in data. */
static uint16_t checksum(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2) {
		sum += get16(data + i);
	}
	if (len % 2 != 0) {
		sum += (uint32_t)data[len - 1] << 8;
	}
	while (sum >> 16 != 0) {
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

/* What a router says of a packet that it does not forward. */
enum complaint { TOO_BIG, PROHIBITED };

/* Puts an ICMP error's IPv4 header and ICMP header before the quoted packet (RFC 792, 1191, 1812). */
static void fill_icmp4(struct packet *packet, const struct packet *about, enum complaint complaint, unsigned next_mtu)
{
	enum { IP_LEN = 20, UNREACHABLE = 3, CODE_FRAGMENTATION_NEEDED = 4, CODE_PROHIBITED = 13 };
	uint8_t *ip = packet->data, *icmp = ip + IP_LEN;
	ip[0] = 4 << 4 | IP_LEN / 4;
	put16(ip + 2, (uint16_t)packet->len);
	ip[8] = 64; /* TTL */
	ip[9] = IPPROTO_ICMP;
	memcpy(ip + 12, &router, sizeof(router));
	memcpy(ip + 16, about->data + 12, sizeof(router));
	put16(ip + 10, checksum(ip, IP_LEN, 0));
	icmp[0] = UNREACHABLE;
	icmp[1] = complaint == TOO_BIG ? CODE_FRAGMENTATION_NEEDED : CODE_PROHIBITED;
	put16(icmp + 6, (uint16_t)next_mtu);
	put16(icmp + 2, checksum(icmp, packet->len - IP_LEN, 0));
}

/* The same for IPv6 (RFC 4443), whose checksum also covers addresses, length and protocol. */
static void fill_icmp6(struct packet *packet, const struct packet *about, enum complaint complaint, unsigned next_mtu)
{
	enum { IP_LEN = 40, UNREACHABLE = 1, PACKET_TOO_BIG = 2, CODE_PROHIBITED = 1 };
	uint8_t *ip = packet->data, *icmp = ip + IP_LEN;
	uint32_t payload_len = packet->len - IP_LEN;
	ip[0] = 6 << 4;
	put16(ip + 4, (uint16_t)payload_len);
	ip[6] = IPPROTO_ICMPV6;
	ip[7] = 64; /* hop limit */
	memcpy(ip + 8, &router6, sizeof(router6));
	memcpy(ip + 24, about->data + 8, sizeof(router6));
	icmp[0] = complaint == TOO_BIG ? PACKET_TOO_BIG : UNREACHABLE;
	icmp[1] = complaint == TOO_BIG ? 0 : CODE_PROHIBITED;
	put16(icmp + 6, complaint == TOO_BIG ? (uint16_t)next_mtu : 0);
	uint32_t pseudo = payload_len + IPPROTO_ICMPV6;
	for (int i = 8; i < IP_LEN; i += 2) {
		pseudo += get16(ip + i);
	}
	put16(icmp + 2, checksum(icmp, payload_len, pseudo));
}

/* A router's ICMP error to the sender of a packet. */
static void send_icmp(const struct packet *about, enum complaint complaint, unsigned next_mtu, int hop, int64_t time_ns)
{
	enum { ICMP_LEN = 8, QUOTE_CAP = 548 };
	bool is_ipv6 = about->data[0] >> 4 == 6;
	uint32_t headers_len = (is_ipv6 ? 40 : 20) + ICMP_LEN;
	uint32_t quote_len = about->len < QUOTE_CAP ? about->len : QUOTE_CAP;
	struct packet *packet = new_packet(NULL, headers_len + quote_len, !about->dir);
	memcpy(packet->data + headers_len, about->data, quote_len);
	if (is_ipv6) {
		fill_icmp6(packet, about, complaint, next_mtu);
	} else {
		fill_icmp4(packet, about, complaint, next_mtu);
	}
	/* The router stands at the start of the hop: right behind the middle, or right at the sender's end. */
	packet->place = hop == AFTER ? HALFWAY : FAR_END;
	packet->due_ns = time_ns;
	push(packet);
}

static bool is_out(const struct hop *hop, int64_t time_ns)
{
	for (unsigned i = 0; i < hop->n_outages; i++) {
		int64_t since_ns = time_ns - first_ns;
		if (since_ns >= hop->outage_from_ns[i] && since_ns < hop->outage_to_ns[i]) {
			return true;
		}
	}
	return false;
}

/* Why a hop loses the packet; NULL when it doesn't. */
static const char *why_lost(struct hop *hop, const struct packet *packet, int64_t time_ns)
{
	/* Each is drawn for each packet, so that one setting doesn't change another's draws. */
	bool scripted = is_taken(hop->drop, hop->n_drops, packet);
	bool scattered = happens(hop->loss);
	if (hop->burst_enter > 0) {
		hop->in_burst = hop->in_burst ? uniform() >= hop->burst_leave : uniform() < hop->burst_enter;
	}
	if (is_out(hop, time_ns)) {
		return "outage";
	}
	if (hop->prohibit && (packet->headers.flags & (SYN | ACK)) == SYN) {
		return "prohibited";
	}
	if (hop->mtu != 0 && packet->len > hop->mtu) {
		return "mtu";
	}
	return scripted ? "scripted" : scattered ? "loss" : hop->in_burst ? "burst" : NULL;
}

/* The packet leaves a point into a hop. */
static void cross(struct packet *packet, int64_t time_ns)
{
	int which = packet->place == NEAR_END ? BEFORE : AFTER;
	struct hop *hop = &hops[packet->dir][which];
	const char *why = why_lost(hop, packet, time_ns);
	int64_t leave_ns = time_ns;
	if (why == NULL && hop->rate_bps > 0) {
		const int64_t bit_ns = 8 * NS_PER_S;
		int64_t wait_ns = hop->free_ns > time_ns ? hop->free_ns - time_ns : 0;
		if (hop->queue_bytes > 0 &&
		    (double)wait_ns * (double)hop->rate_bps / (double)bit_ns > (double)hop->queue_bytes) {
			why = "queue";
		} else {
			leave_ns = hop->free_ns = time_ns + wait_ns + packet->len * bit_ns / hop->rate_bps;
			packet->life.queued_ns += leave_ns - time_ns;
		}
	}
	if (why != NULL) {
		if (hop->prohibit && packet->headers.flags & SYN) {
			send_icmp(packet, PROHIBITED, 0, which, time_ns);
		} else if (hop->mtu_icmp && strcmp(why, "mtu") == 0) {
			send_icmp(packet, TOO_BIG, hop->mtu, which, time_ns);
		}
		bury(packet, why, which);
		return;
	}
	packet->due_ns = leave_ns + hop->delay_ns + (int64_t)(uniform() * (double)hop->jitter_ns);
	if (happens(hop->reorder)) {
		packet->due_ns += hop->hold_ns;
		packet->life.held_back = true;
	} else {
		packet->due_ns = packet->due_ns > hop->last_ns ? packet->due_ns : hop->last_ns;
		hop->last_ns = packet->due_ns;
	}
	packet->place++;
	if (happens(hop->duplicate)) {
		push(copy_of(packet));
	}
	push(packet);
}

static void arrive(struct packet *packet)
{
	if (packet->place != FAR_END) {
		int64_t due_ns = packet->due_ns; /* a late wake-up doesn't add to the delay */
		observe(packet, due_ns);
		cross(packet, due_ns);
		return;
	}
	int64_t time_ns = now_ns(), late_ns = time_ns - packet->due_ns;
	late_max_ns = late_ns > late_max_ns ? late_ns : late_max_ns;
	late_sum_ns += late_ns;
	n_delivered++;
	observe(packet, time_ns);
	struct iovec parts[] = {{&packet->offload, sizeof(packet->offload)}, {packet->data, packet->len}};
	if (writev(tun[!packet->dir], offload ? parts : parts + 1, offload ? 2 : 1) < 0) {
		die("write to device");
	}
	bury(packet, NULL, 0);
}

static void take_from(int dir)
{
	static uint8_t data[PACKET_CAP];
	struct virtio_net_hdr left = {0};
	struct iovec parts[] = {{&left, sizeof(left)}, {data, sizeof(data)}};
	for (ssize_t len; (len = readv(tun[dir], offload ? parts : parts + 1, offload ? 2 : 1)) > 0;) {
		int64_t time_ns = now_ns();
		len -= offload ? (ssize_t)sizeof(left) : 0;
		struct headers headers = headers_of(data, (uint32_t)len, dir);
		if (!headers.is_tcp) {
			continue; /* router solicitations and the like */
		}
		if (headers.flags & SYN) {
			isn[dir][headers.client_port] = headers.seq;
		}
		first_ns = first_ns != 0 ? first_ns : time_ns;
		struct packet *packet = new_packet(data, (uint32_t)len, dir);
		packet->offload = left;
		observe(packet, time_ns);
		cross(packet, time_ns);
	}
}

/*
 * Settings: HOP.NAME=VALUE, POINT.NAME=VALUE.
 */

struct unit {
	const char *name;
	double factor;
};

/* A number and its unit, up to a comma or the end; *text moves behind them. */
static int64_t parse_scaled(const char **text, const struct unit *units)
{
	char *end;
	errno = 0;
	double value = strtod(*text, &end);
	if (end == *text || errno != 0 || !(value >= 0)) {
		refuse("no number at", *text);
	}
	size_t len = strcspn(end, ",");
	for (const struct unit *unit = units; unit->name != NULL; unit++) {
		if (strlen(unit->name) == len && memcmp(end, unit->name, len) == 0) {
			value *= unit->factor;
			if (value >= 0x1p62) {
				refuse("too large:", *text);
			}
			*text = end + len;
			return (int64_t)(value + 0.5);
		}
	}
	refuse("unknown unit at", end);
}

static int64_t parse_duration(const char **text)
{
	static const struct unit units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
	return parse_scaled(text, units);
}

static int64_t parse_count(const char **text)
{
	static const struct unit units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
	return parse_scaled(text, units);
}

static double parse_probability(const char **text)
{
	char *end;
	double value = strtod(*text, &end);
	if (end == *text || !(value >= 0 && value <= 1)) {
		refuse("no probability at", *text);
	}
	*text = end;
	return value;
}

static bool skip_comma(const char **text)
{
	bool is_comma = **text == ',';
	*text += is_comma;
	return is_comma;
}

static void need_comma(const char **text)
{
	if (!skip_comma(text)) {
		refuse("a comma is missing at", *text);
	}
}

static unsigned parse_unsigned(const char **text)
{
	int64_t value = parse_count(text);
	if (value > UINT32_MAX) {
		refuse("too large:", *text);
	}
	return (unsigned)value;
}

/* The name before the next comma or colon, as an index into names. */
static int parse_name(const char **text, const char *const names[], int n_names)
{
	size_t len = strcspn(*text, ",:");
	for (int i = 0; i < n_names; i++) {
		if (strlen(names[i]) == len && memcmp(names[i], *text, len) == 0) {
			*text += len;
			return i;
		}
	}
	refuse("unknown name at", *text);
}

/* MATCH,FROM,COUNT[,CLIENT-PORT] */
static struct rule parse_rule(const char **text, int dir)
{
	static const char *const names[] = {
		[MATCH_ANY] = "any", [MATCH_SYN] = "syn", [MATCH_SYNACK] = "synack", [MATCH_DATA] = "data",
		[MATCH_ACK] = "ack", [MATCH_FIN] = "fin", [MATCH_RST] = "rst",       [MATCH_BYTE] = "byte"};
	struct rule rule = {.dir = dir};
	rule.match = (unsigned)parse_name(text, names, sizeof(names) / sizeof(names[0]));
	if (rule.match == MATCH_BYTE) {
		if (**text != ':') {
			refuse("an offset is missing at", *text);
		}
		++*text;
		rule.byte = parse_unsigned(text);
	}
	need_comma(text);
	rule.from = parse_unsigned(text);
	need_comma(text);
	rule.count = parse_unsigned(text);
	if (skip_comma(text)) {
		rule.client_port = parse_unsigned(text);
	}
	return rule;
}

static bool set_hop(struct hop *hop, int dir, const char *name, const char **value)
{
	if (strcmp(name, "delay") == 0) {
		hop->delay_ns = parse_duration(value);
	} else if (strcmp(name, "jitter") == 0) {
		hop->jitter_ns = parse_duration(value);
	} else if (strcmp(name, "loss") == 0) {
		hop->loss = parse_probability(value);
	} else if (strcmp(name, "burst") == 0) {
		hop->burst_enter = parse_probability(value);
		need_comma(value);
		hop->burst_leave = parse_probability(value);
	} else if (strcmp(name, "reorder") == 0) {
		hop->reorder = parse_probability(value);
		need_comma(value);
		hop->hold_ns = parse_duration(value);
	} else if (strcmp(name, "duplicate") == 0) {
		hop->duplicate = parse_probability(value);
	} else if (strcmp(name, "outage") == 0 && hop->n_outages < OUTAGES_CAP) {
		hop->outage_from_ns[hop->n_outages] = parse_duration(value);
		need_comma(value);
		hop->outage_to_ns[hop->n_outages++] = parse_duration(value);
	} else if (strcmp(name, "rate") == 0) {
		hop->rate_bps = parse_count(value);
	} else if (strcmp(name, "queue") == 0) {
		hop->queue_bytes = parse_count(value);
	} else if (strcmp(name, "mtu") == 0) {
		hop->mtu = parse_unsigned(value);
	} else if (strcmp(name, "mtu-icmp") == 0) {
		hop->mtu_icmp = parse_unsigned(value) != 0;
	} else if (strcmp(name, "prohibit") == 0) {
		hop->prohibit = parse_unsigned(value) != 0;
	} else if (strcmp(name, "drop") == 0 && hop->n_drops < RULES_CAP) {
		hop->drop[hop->n_drops++] = parse_rule(value, dir);
	} else {
		return false;
	}
	return true;
}

static bool set_capture(struct capture *capture, const char *name, const char **value)
{
	if (strcmp(name, "miss") == 0) {
		capture->miss = parse_probability(value);
	} else if (strcmp(name, "from") == 0) {
		capture->from = parse_unsigned(value);
	} else if (strcmp(name, "mirror") == 0) {
		capture->mirror = parse_probability(value);
		need_comma(value);
		capture->mirror_ns = parse_duration(value);
	} else if (strcmp(name, "skip") == 0 && capture->n_skips < RULES_CAP) {
		int dir = parse_name(value, dir_name, N_DIRS);
		need_comma(value);
		capture->skip[capture->n_skips++] = parse_rule(value, dir);
	} else {
		return false;
	}
	return true;
}

static void set(const char *setting)
{
	const char *value = strchr(setting, '=');
	const char *dot = value == NULL ? NULL : memrchr(setting, '.', (size_t)(value - setting));
	if (dot == NULL) {
		refuse("no setting:", setting);
	}
	char where[16], name[16];
	snprintf(where, sizeof(where), "%.*s", (int)(dot - setting), setting);
	snprintf(name, sizeof(name), "%.*s", (int)(value - dot - 1), dot + 1);
	value++;
	bool known = false;
	for (int dir = 0; dir < N_DIRS; dir++) {
		for (int hop = 0; hop < N_HOPS; hop++) {
			char hop_path[16];
			snprintf(hop_path, sizeof(hop_path), "%s.%s", dir_name[dir], hop_name[hop]);
			if (strcmp(where, hop_path) == 0) {
				known = set_hop(&hops[dir][hop], dir, name, &value);
			}
		}
	}
	for (int point = 0; point < N_POINTS; point++) {
		if (strcmp(where, point_name[point]) == 0) {
			known = set_capture(&captures[point], name, &value);
		}
	}
	if (!known) {
		refuse("unknown setting, or too many of it:", setting);
	}
	if (*value != '\0') {
		refuse("nothing should follow at", value);
	}
}

static int open_device(const char *netns)
{
	char path[PATH_CAP];
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
		die(path);
	}
	close(ns);
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "lab0"};
	request.ifr_flags |= offload ? IFF_VNET_HDR : 0;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ||
	    (offload && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)) {
		die("/dev/net/tun");
	}
	return fd;
}

static void on_signal(int signal)
{
	(void)signal;
	stopped = 1;
}

/* Being on time matters more than being fair; without the right to it the wire is merely less precise. */
static void prepare_process(void)
{
	struct sched_param param = {.sched_priority = PRIORITY};
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_TIMERSLACK, 1);
	if (sched_setscheduler(0, SCHED_FIFO, &param) < 0) {
		fprintf(stderr, "wire: no real-time priority: %s\n", strerror(errno));
	}
	alarm(LIFETIME_S);
}

static void carry(void)
{
	struct pollfd devices[] = {{.fd = tun[C2S], .events = POLLIN}, {.fd = tun[S2C], .events = POLLIN}};
	while (!stopped) {
		while (n_heap > 0 && heap[0]->due_ns <= now_ns()) {
			arrive(pop());
		}
		int64_t wait_ns = n_heap > 0 ? heap[0]->due_ns - now_ns() - SPIN_NS : NS_PER_S;
		wait_ns = wait_ns < 0 ? 0 : wait_ns;
		struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};
		if (ppoll(devices, N_DIRS, &wait, NULL) <= 0) {
			continue;
		}
		for (int dir = 0; dir < N_DIRS; dir++) {
			if (devices[dir].revents != 0) {
				take_from(dir);
			}
		}
	}
}

static const char usage[] = "usage: wire --client NETNS --server NETNS --out PREFIX [option ...] [setting ...]\n";

static const char help[] =
	"  --client NETNS    the client's network namespace; its device is named lab0\n"
	"  --server NETNS    the server's\n"
	"  --out PREFIX      writes PREFIX-{client,middle,server}.pcap and PREFIX.wire.jsonl\n"
	"  --seed N          of all that is random (1)\n"
	"  --snaplen N       bytes captured of a frame (65535)\n"
	"  --ethernet        frames with made-up MAC addresses, not raw IP\n"
	"  --microseconds    captures' resolution, not nanoseconds\n"
	"  --offload         segments as large as 64 KiB, as a capture on a host with segmentation offload has them\n"
	"  --router ADDRESS  sender of ICMP errors (192.0.2.1; of ICMPv6 ones 2001:db8::1)\n"
	"\n"
	"Settings of a hop (c2s.before, c2s.after, s2c.before, s2c.after: the middle), as c2s.before.delay=20ms:\n"
	"  delay=TIME  jitter=TIME (order is kept)  reorder=P,TIME (held back)  duplicate=P\n"
	"  loss=P  burst=ENTER,LEAVE (two states)  outage=FROM,TO (since the first packet; may be repeated)\n"
	"  rate=BITS/S  queue=BYTES (of that bottleneck; none: endless)\n"
	"  mtu=BYTES (larger packets vanish)  mtu-icmp=1 (their sender is told)  prohibit=1 (ICMP answers a SYN)\n"
	"  drop=MATCH,FROM,COUNT[,CLIENT-PORT]  (may be repeated)\n"
	"Settings of a capture (client, middle, server), as middle.miss=0.01:\n"
	"  miss=P  from=N (the first packets are missing)  mirror=P,TIME (frames twice)\n"
	"  skip=DIR,MATCH,FROM,COUNT[,CLIENT-PORT]  (may be repeated)\n"
	"MATCH is any, syn, synack, data, ack (without data), fin, rst, or byte:OFFSET (data with that byte of the stream);\n"
	"FROM counts matching packets from 1. TIME has a unit: ns, us, ms, s. Numbers may end in k, M, G.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {{"client", required_argument, NULL, 'c'},
	                                        {"server", required_argument, NULL, 's'},
	                                        {"out", required_argument, NULL, 'o'},
	                                        {"seed", required_argument, NULL, 'S'},
	                                        {"snaplen", required_argument, NULL, 'n'},
	                                        {"ethernet", no_argument, NULL, 'e'},
	                                        {"microseconds", no_argument, NULL, 'u'},
	                                        {"router", required_argument, NULL, 'r'},
	                                        {"offload", no_argument, NULL, 'O'},
	                                        {"help", no_argument, NULL, 'h'},
	                                        {NULL, 0, NULL, 0}};
	const char *client = NULL, *server = NULL, *prefix = NULL, *number;
	uint64_t seed = 1;
	inet_pton(AF_INET, "192.0.2.1", &router);
	inet_pton(AF_INET6, "2001:db8::1", &router6);
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'c':
			client = optarg;
			break;
		case 's':
			server = optarg;
			break;
		case 'o':
			prefix = optarg;
			break;
		case 'S':
			number = optarg;
			seed = parse_unsigned(&number);
			break;
		case 'n':
			number = optarg;
			snaplen = parse_unsigned(&number);
			break;
		case 'e':
			ethernet = true;
			break;
		case 'u':
			microseconds = true;
			break;
		case 'O':
			offload = true;
			break;
		case 'r':
			if (inet_pton(AF_INET, optarg, &router) != 1) {
				refuse("no IPv4 address:", optarg);
			}
			break;
		case 'h':
			printf("%s\n%s", usage, help);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (client == NULL || server == NULL || prefix == NULL) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	random_state = seed;
	for (int i = optind; i < argc; i++) {
		set(argv[i]);
	}
	char path[PATH_CAP];
	snprintf(path, sizeof(path), "%s.wire.jsonl", prefix);
	journal = fopen(path, "we");
	if (journal == NULL) {
		die(path);
	}
	for (int point = 0; point < N_POINTS; point++) {
		open_capture(&captures[point], prefix, point_name[point]);
	}
	tun[C2S] = open_device(client);
	tun[S2C] = open_device(server);
	prepare_process();
	if (puts("ready") == EOF || fflush(stdout) != 0) {
		die("standard output");
	}
	carry();
	while (n_heap > 0) {
		struct packet *packet = pop();
		bury(packet, "stopped", packet->place == HALFWAY ? BEFORE : AFTER);
	}
	for (int point = 0; point < N_POINTS; point++) {
		if (fclose(captures[point].file) != 0) {
			die(captures[point].path);
		}
	}
	fprintf(journal, "{\"delivered\":%" PRIu64 ",\"late_mean_ns\":%" PRId64 ",\"late_max_ns\":%" PRId64 "}\n",
	        n_delivered, n_delivered > 0 ? late_sum_ns / (int64_t)n_delivered : 0, late_max_ns);
	if (fclose(journal) != 0) {
		die(path);
	}
	return EXIT_SUCCESS;
}
