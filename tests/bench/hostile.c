/*
 * hostile: writes captures that mean to exhaust who reads them.
 *
 *     hostile ATTACK PACKETS > FILE.pcap
 *     hostile list
 *
 * Ethernet, IPv4, without checksums, snap length 128; the same bytes every
 * time. Each attack is one way to make a reader keep much or search long: see
 * the table.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPLEN = 128, MSS = 1460, HEADERS = 54 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* The ends that most attacks use. */
enum { CLIENT = 0x0a000001, SERVER = 0x0a000002, CLIENT_PORT = 40000, SERVER_PORT = 80 };

struct packet {
	uint32_t src, dst;
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	uint32_t len;      /* of the payload, none of which is captured */
	uint32_t sack[2];  /* a block when they differ */
	uint32_t ts[2];    /* timestamps when the first is not zero */
	unsigned n_ipip;   /* headers of IP in IP around it */
	uint32_t fragment; /* of the IP header's word, and the id in the upper half */
};

static uint64_t now_ns = UINT64_C(1700000000000000000);
static uint64_t step_ns = 10000;

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static void put_record(const uint8_t *frame, uint32_t caplen, uint32_t len)
{
	uint32_t head[4] = {(uint32_t)(now_ns / 1000000000), (uint32_t)(now_ns % 1000000000), caplen, len};
	if (fwrite(head, sizeof(head), 1, stdout) != 1 || fwrite(frame, caplen, 1, stdout) != 1) {
		err(1, "standard output");
	}
	now_ns += step_ns;
}

static size_t put_ip(uint8_t *p, const struct packet *packet, uint32_t protocol, size_t len)
{
	put16(p, 0x4500);
	put16(p + 2, (uint32_t)len);
	put16(p + 4, packet->fragment >> 16);
	put16(p + 6, packet->fragment);
	p[8] = 64;
	p[9] = (uint8_t)protocol;
	put32(p + 12, packet->src);
	put32(p + 16, packet->dst);
	return 20;
}

static void put(const struct packet *packet)
{
	uint8_t frame[SNAPLEN + 64] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, *p = frame + 14;
	size_t options = (packet->sack[0] != packet->sack[1] ? 12U : 0U) + (packet->ts[0] != 0 ? 12U : 0U);
	size_t inner = 40 + options + packet->len;
	for (unsigned i = packet->n_ipip; i > 0; i--) {
		p += put_ip(p, packet, 4, inner + (size_t)20 * i);
	}
	p += put_ip(p, packet, 6, inner);
	put16(p, packet->src_port);
	put16(p + 2, packet->dst_port);
	put32(p + 4, packet->seq);
	put32(p + 8, packet->ack);
	p[12] = (uint8_t)((20 + options) / 4 << 4);
	p[13] = packet->flags;
	put16(p + 14, packet->window);
	p += 20;
	if (packet->ts[0] != 0) {
		put32(p, 0x0101080a);
		put32(p + 4, packet->ts[0]);
		put32(p + 8, packet->ts[1]);
		p += 12;
	}
	if (packet->sack[0] != packet->sack[1]) {
		put32(p, 0x0101050a);
		put32(p + 4, packet->sack[0]);
		put32(p + 8, packet->sack[1]);
		p += 12;
	}
	uint32_t caplen = (uint32_t)(p - frame);
	put_record(frame, caplen < SNAPLEN ? caplen : SNAPLEN, caplen + packet->len);
}

static struct packet from_client(uint32_t seq, uint32_t ack, uint32_t len)
{
	return (struct packet){CLIENT, SERVER, CLIENT_PORT, SERVER_PORT, seq, ack, ACK | (len > 0 ? PSH : 0),
	                       65535,  len,    {0},         {0},         0,   0};
}

static struct packet from_server(uint32_t seq, uint32_t ack, uint32_t len)
{
	return (struct packet){SERVER, CLIENT, SERVER_PORT, CLIENT_PORT, seq, ack, ACK | (len > 0 ? PSH : 0),
	                       65535,  len,    {0},         {0},         0,   0};
}

/* A router says that the client is unreachable (RFC 792), about a segment of the server. */
static void put_unreachable(void)
{
	uint8_t frame[SNAPLEN] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, *p = frame + 14;
	struct packet icmp = {.src = 0x0a000009, .dst = SERVER}, quoted = {.src = SERVER, .dst = CLIENT};
	p += put_ip(p, &icmp, 1, 20 + 8 + 28);
	*p = 3;
	p[1] = 1;
	p += 8;
	p += put_ip(p, &quoted, 6, 40);
	put16(p, SERVER_PORT);
	put16(p + 2, CLIENT_PORT);
	put32(p + 4, 1);
	put_record(frame, (uint32_t)(p + 8 - frame), (uint32_t)(p + 8 - frame));
}

/* A handshake that ends with both sides at 1. */
static void connect_ends(void)
{
	struct packet syn = from_client(0, 0, 0), syn_ack = from_server(0, 1, 0), ack = from_client(1, 1, 0);
	syn.flags = SYN;
	syn_ack.flags = SYN | ACK;
	put(&syn);
	put(&syn_ack);
	put(&ack);
}

static void syn_flood(uint64_t i)
{
	struct packet packet = from_client((uint32_t)i, 0, 0);
	packet.src = (uint32_t)(i * 2654435761U);
	packet.src_port = (uint16_t)(i >> 16 | 1024);
	packet.flags = SYN;
	put(&packet);
}

/* Ends that agree in the bits that a hash without seed would take. */
static void hash_flood(uint64_t i)
{
	struct packet packet = from_client(1, 1, 0);
	packet.src = (uint32_t)(i << 16);
	packet.src_port = (uint16_t)(1024 + (i >> 16) * 1024);
	put(&packet);
}

/* One connection after the other between the same ends. */
static void reuse(uint64_t i)
{
	struct packet packet = from_client((uint32_t)i * 100000, 0, 0);
	packet.flags = SYN;
	put(&packet);
}

/* Each segment has all but one byte of the one before it. */
static void overlap(uint64_t i)
{
	struct packet packet = from_server(1 + (uint32_t)i, 1, MSS);
	put(&packet);
}

/* Segments of 60 KB that go round the sequence numbers every 70,000 packets, with timestamps that go round too. */
static void wrap(uint64_t i)
{
	struct packet packet = i % 2 ? from_client(1, 1 + (uint32_t)(i / 2 + 1) * 60000, 0)
	                             : from_server(1 + (uint32_t)(i / 2) * 60000, 1, 60000);
	packet.ts[0] = (uint32_t)(i * 100003) | 1;
	packet.ts[1] = (uint32_t)((i - 1) * 100003) | 1;
	put(&packet);
}

/* Every second segment is missing, and stays so; the client reports what it has. */
static void gaps(uint64_t i)
{
	uint32_t at = 1 + (uint32_t)(i / 2) * 2 * MSS;
	struct packet packet = i % 2 ? from_client(1, 1, 0) : from_server(at + MSS, 1, MSS);
	if (i % 2) {
		packet.sack[0] = at + MSS;
		packet.sack[1] = at + 2 * MSS;
	}
	put(&packet);
}

/* The same, until the last quarter fills them from the last to the first. */
static void gaps_filled(uint64_t i, uint64_t n)
{
	uint64_t n_gaps = n / 2;
	uint32_t at = i < n_gaps ? (uint32_t)(2 * i + 1) : (uint32_t)(2 * (n - i));
	struct packet packet = from_server(1 + at * MSS, 1, MSS);
	put(&packet);
}

static void transactions(uint64_t i)
{
	uint32_t number = (uint32_t)(i / 2);
	struct packet packet = i % 2 ? from_server(1 + number * 200, 1 + (number + 1) * 100, 200)
	                             : from_client(1 + number * 100, 1 + number * 200, 100);
	put(&packet);
}

/* Each a second slow, so that each is kept for the report's list. */
static void slow_transactions(uint64_t i)
{
	step_ns = 1200000000;
	transactions(i);
}

static void duplicate_acks(uint64_t i)
{
	struct packet packet = i % 1000 ? from_client(1, 1 + (uint32_t)(i / 1000) * MSS, 0)
	                                : from_server(1 + (uint32_t)(i / 1000) * MSS, 1, MSS);
	put(&packet);
}

static void retransmissions(uint64_t i)
{
	struct packet packet = from_server(1 + (uint32_t)(i / 1000) * MSS, 1, MSS);
	put(&packet);
}

/* The window closes, opens by a byte, is probed, shrinks. */
static void windows(uint64_t i)
{
	struct packet packet =
		i % 3 == 2 ? from_server(1 + (uint32_t)(i / 3), 1, 1) : from_client(1, 1 + (uint32_t)(i / 3), 0);
	packet.window = i % 3 == 0 ? 0 : (uint16_t)(1 + i % 7);
	put(&packet);
}

/* Long-lived, and never a reason to hurry: each answer comes at once, and none is ever acknowledged. */
static void unacked_answers(uint64_t i)
{
	uint32_t number = (uint32_t)(i / 2);
	struct packet packet = i % 2 ? from_server(1 + number * 200, 1 + (number + 1) * 100, 200)
	                             : from_client(1 + number * 100, 1, 100);
	step_ns = 30000000;
	put(&packet);
}

/* A client that acknowledges nothing at all, not even the handshake's end. */
static void no_acks(uint64_t i)
{
	uint32_t number = (uint32_t)(i / 2);
	struct packet packet = i % 2 ? from_server(1 + number * 200, 1 + (number + 1) * 100, 200)
	                             : from_client(1 + number * 100, 0, 100);
	packet.flags = i % 2 ? packet.flags : PSH;
	step_ns = 30000000;
	put(&packet);
}

/* A byte at a time, each after a pause, and as many ACKs that say the same. */
static void slow_bytes(uint64_t i)
{
	struct packet packet = i % 2 ? from_client(1, 1, 0) : from_server(1 + (uint32_t)(i / 2), 1, 1);
	step_ns = 5000000;
	put(&packet);
}

/* The same through a window that is always closed, on a path that takes an eighth of the whole. */
static void far_windows_of(uint64_t i);

/* Every second segment lost, and an ICMP error that says nothing of why. */
static void icmp_losses_of(uint64_t i);

/* What small segments did, large ones never do: each is sent four times, and none arrives. */
static void vanishing_of(uint64_t i);

/* As overlap, with ACKs that report what came. */
static void overlap_acked(uint64_t i)
{
	uint32_t at = 1 + (uint32_t)(i / 2);
	struct packet packet = i % 2 ? from_client(1, at, 0) : from_server(at, 1, MSS);
	if (i % 2) {
		packet.sack[0] = at + MSS / 2;
		packet.sack[1] = at + MSS;
	}
	put(&packet);
}

/* A byte in the middle of each of many holes, again and again: each leaves two. */
static void hole_splits_of(uint64_t i);

/* A packet of a million bytes' worth of tiny segments, none acknowledged. */
static void unacknowledged(uint64_t i)
{
	struct packet packet = from_server(1 + (uint32_t)i, 1, 1);
	put(&packet);
}

static void tunnels(uint64_t i)
{
	struct packet packet = from_server(1 + (uint32_t)i, 1, 1);
	packet.n_ipip = (unsigned)(i % 5);
	packet.src ^= (uint32_t)i % 3;
	put(&packet);
}

static void fragments(uint64_t i)
{
	struct packet packet = from_server(1 + (uint32_t)i * 8, 1, 8);
	packet.fragment = (uint32_t)(i * 40503 << 16) | (i % 3 ? 0x2005 : 0x2000);
	put(&packet);
}

static void backwards(uint64_t i)
{
	step_ns = (uint64_t)-1000000000;
	transactions(i);
}

/* A time stamp of another century, every second packet. */
static void clock_jumps(uint64_t i)
{
	now_ns = (i % 2 ? UINT64_C(4200000000000000000) : UINT64_C(1000000000)) + i;
	syn_flood(i / 4);
}

static void gaps_filled_of(uint64_t i);

static const struct attack {
	const char *name;
	void (*put)(uint64_t i);
	int connects;
} attacks[] = {
	{"syn-flood", syn_flood, 0},
	{"hash-flood", hash_flood, 0},
	{"reuse", reuse, 0},
	{"overlap", overlap, 1},
	{"wrap", wrap, 1},
	{"gaps", gaps, 1},
	{"gaps-filled", gaps_filled_of, 1},
	{"transactions", transactions, 1},
	{"slow-transactions", slow_transactions, 1},
	{"duplicate-acks", duplicate_acks, 1},
	{"retransmissions", retransmissions, 1},
	{"windows", windows, 1},
	{"unacknowledged", unacknowledged, 1},
	{"unacked-answers", unacked_answers, 1},
	{"no-acks", no_acks, 1},
	{"slow-bytes", slow_bytes, 1},
	{"far-windows", far_windows_of, 0},
	{"icmp-losses", icmp_losses_of, 1},
	{"vanishing", vanishing_of, 1},
	{"overlap-acked", overlap_acked, 1},
	{"hole-splits", hole_splits_of, 1},
	{"tunnels", tunnels, 0},
	{"fragments", fragments, 0},
	{"backwards", backwards, 1},
	{"clock-jumps", clock_jumps, 0},
};
enum { N_ATTACKS = sizeof(attacks) / sizeof(*attacks) };

static uint64_t n_packets;

static void gaps_filled_of(uint64_t i)
{
	gaps_filled(i, n_packets);
}

static void far_windows_of(uint64_t i)
{
	uint32_t far = (uint32_t)n_packets / 16, number = (uint32_t)(i / 2);
	if (i == 0) {
		step_ns = UINT64_C(10000000) * far;
		connect_ends();
		step_ns = 5000000;
	}
	struct packet packet =
		i % 2 ? from_client(1, number < far ? 1 : 1 + number - far, 0) : from_server(1 + number, 1, 1);
	packet.window = i % 2 ? 0 : packet.window;
	put(&packet);
}

static void icmp_losses_of(uint64_t i)
{
	if (i == 0) {
		put_unreachable();
		return;
	}
	uint64_t number = i / 2;
	struct packet packet = from_server(1 + (uint32_t)(i % 2 ? 2 * number + 1 : 2 * number - 2) * MSS, 1, MSS);
	step_ns = 20000000;
	put(&packet);
}

static void vanishing_of(uint64_t i)
{
	uint64_t n_small = n_packets / 2;
	uint32_t large = (uint32_t)((i - n_small) / 4);
	struct packet packet = i < n_small ? i % 2 ? from_client(1, 1 + (uint32_t)(i / 2 + 1) * 600, 0)
	                                           : from_server(1 + (uint32_t)(i / 2) * 600, 1, 600)
	                                   : from_server(1 + (uint32_t)((n_small + 1) / 2) * 600 + large * MSS, 1, MSS);
	step_ns = i < n_small ? 1000 : 50000000;
	put(&packet);
}

static void hole_splits_of(uint64_t i)
{
	/* 512 holes of 2 MB; then a byte into each in turn, 30 bytes further each time. */
	enum { N = 512, SIZE = 2000000 };
	uint32_t hole = (uint32_t)(i % N), turn = (uint32_t)(i / N);
	struct packet packet = from_server(1 + (hole + (turn == 0)) * SIZE + turn * 30, 1, 1);
	put(&packet);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (size_t i = 0; i < N_ATTACKS; i++) {
			puts(attacks[i].name);
		}
		return 0;
	}
	if (argc != 3) {
		errx(2, "usage: hostile ATTACK PACKETS | list");
	}
	n_packets = strtoull(argv[2], NULL, 10);
	for (size_t a = 0; a < N_ATTACKS; a++) {
		if (strcmp(attacks[a].name, argv[1]) != 0) {
			continue;
		}
		const uint32_t header[6] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, SNAPLEN, 1};
		fwrite(header, sizeof(header), 1, stdout);
		if (attacks[a].connects) {
			connect_ends();
		}
		for (uint64_t i = 0; i < n_packets; i++) {
			attacks[a].put(i);
		}
		if (fflush(stdout) != 0) {
			err(1, "standard output");
		}
		return 0;
	}
	errx(2, "no attack is called %s: hostile list names them", argv[1]);
}
