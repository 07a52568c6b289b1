/*
 * generate: writes large captures of headers, the same bytes every time.
 *
 *     generate http|short|bulk|open PACKETS > FILE.pcap
 *
 * http   keep-alive connections with requests and answers of some segments,
 *        a few hundred open at once, some over IPv6
 * short  connect, one request, one answer, close: about twelve packets each,
 *        15,000 new ones a second; some are reset or refused
 * bulk   eight long transfers
 * open   a million connections at once, none of which ends soon
 *
 * Ethernet, time stamps option, snap length 128, 0.2 % sent twice. Sequence
 * numbers, acknowledgements, windows and times are plausible, not simulated:
 * real kernel traffic comes from the lab.
 */
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPLEN = 128, MSS = 1448, FLOWS_CAP = 1000000, BURST = 6 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

struct mode {
	const char *name;
	uint32_t n_flows;  /* open at once */
	uint32_t requests; /* mean of a connection */
	uint32_t segments; /* mean of an answer */
	uint64_t step_ns;  /* mean between packets */
	bool may_fail;
};

static const struct mode modes[] = {
	{"http", 400, 12, 6, 12000, false},
	{"short", 2000, 1, 2, 1000, true},
	{"open", FLOWS_CAP, 100, 6, 12000, false},
	{"bulk", 8, 1, 1000000000, 12000, false},
};

enum stage { STAGE_SYN, STAGE_SYN_ACK, STAGE_ACK, STAGE_REQUEST, STAGE_ANSWER, STAGE_FIN, STAGE_FIN_BACK, STAGE_LAST };

struct flow {
	enum stage stage;
	bool is_ipv6;
	uint8_t addr[2][16];
	uint16_t port[2];
	uint32_t seq[2], ack[2];
	uint32_t requests, segments, unacked;
	uint32_t ts[2];
	uint16_t ip_id[2];
};

static uint64_t random_state = 0x853c49e6748fea9b;

static uint32_t random_u32(void)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	uint32_t x = (uint32_t)((random_state >> 18 ^ random_state) >> 27);
	uint32_t turn = (uint32_t)(random_state >> 59);
	return x >> turn | x << (-turn & 31);
}

static uint32_t random_below(uint32_t n)
{
	return (uint32_t)((uint64_t)random_u32() * n >> 32);
}

/* Geometric, with this mean; at least 1. */
static uint32_t random_count(uint32_t mean)
{
	uint32_t n = 1;
	while (mean > 1 && n < 20 * mean && random_below(mean) != 0) {
		n++;
	}
	return n;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint64_t now_ns = UINT64_C(1700000000000000000);
static uint64_t n_written;

static size_t put_ip(uint8_t *p, const struct flow *flow, int from, uint32_t tcp_len, uint32_t id)
{
	if (flow->is_ipv6) {
		put32(p, 0x60000000);
		put16(p + 4, tcp_len);
		p[6] = 6;
		p[7] = from == 0 ? 64 : 57;
		memcpy(p + 8, flow->addr[from], 16);
		memcpy(p + 24, flow->addr[1 - from], 16);
		return 40;
	}
	put16(p, 0x4500);
	put16(p + 2, 20 + tcp_len);
	put16(p + 4, id);
	put16(p + 6, 0x4000);
	p[8] = from == 0 ? 64 : 57;
	p[9] = 6;
	put16(p + 10, 0);
	memcpy(p + 12, flow->addr[from], 4);
	memcpy(p + 16, flow->addr[1 - from], 4);
	return 20;
}

static size_t put_options(uint8_t *p, const struct flow *flow, int from, int flags)
{
	size_t n = 0;
	if ((flags & SYN) != 0) {
		static const uint8_t syn[] = {2, 4, 0x05, 0xb4, 4, 2, 1, 3, 3, 7};
		memcpy(p, syn, sizeof(syn));
		n = sizeof(syn);
	} else {
		p[n++] = 1;
		p[n++] = 1;
	}
	p[n++] = 8;
	p[n++] = 10;
	put32(p + n, flow->ts[from]);
	put32(p + n + 4, flow->ts[1 - from]);
	return n + 8;
}

static void write_packet(struct flow *flow, int from, int flags, uint32_t seq, uint32_t payload)
{
	static const char request[] = "GET /static/item-%u.html HTTP/1.1\r\nHost: example.net\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\nServer: example\r\nContent-Length: 8192\r\n";
	uint8_t frame[256] = {0};
	uint8_t options[40];
	size_t options_len = put_options(options, flow, from, flags);
	uint32_t tcp_len = 20 + (uint32_t)options_len + payload;
	memcpy(frame, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	put16(frame + 12, flow->is_ipv6 ? 0x86dd : 0x0800);
	size_t at = 14 + put_ip(frame + 14, flow, from, tcp_len, flow->ip_id[from]++);
	uint8_t *tcp = frame + at;
	put16(tcp, flow->port[from]);
	put16(tcp + 2, flow->port[1 - from]);
	put32(tcp + 4, seq);
	put32(tcp + 8, (flags & ACK) != 0 ? flow->ack[from] : 0);
	tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 502);
	memcpy(tcp + 20, options, options_len);
	at += 20 + options_len;
	uint32_t wire = (uint32_t)at + payload;
	if (payload > 0) {
		bool is_first = flow->stage == STAGE_REQUEST || flow->unacked == 0;
		const char *text = from == 0 ? request : answer;
		memcpy(frame + at, is_first ? text : "0123456789 0123456789 0123456789 0123456789", 40);
		at += 40;
	}
	uint32_t caplen = wire < SNAPLEN ? wire : SNAPLEN;
	uint32_t head[4] = {(uint32_t)(now_ns / 1000000000), (uint32_t)(now_ns / 1000 % 1000000), caplen, wire};
	if (fwrite(head, sizeof(head), 1, stdout) != 1 || fwrite(frame, 1, caplen, stdout) != caplen) {
		err(1, "standard output");
	}
	n_written++;
}

static void send_segment(struct flow *flow, int from, int flags, uint32_t payload)
{
	flow->ts[from] = (uint32_t)(now_ns / 1000000) + (uint32_t)from * 77777;
	uint32_t seq = flow->seq[from];
	write_packet(flow, from, flags, seq, payload);
	if (payload > 0 && random_below(500) == 0) {
		now_ns += 200000;
		write_packet(flow, from, flags, seq, payload);
	}
	flow->seq[from] += payload + ((flags & (SYN | FIN)) != 0);
	flow->ack[1 - from] = flow->seq[from];
}

static void begin(struct flow *flow, const struct mode *mode)
{
	static uint32_t serial;
	memset(flow, 0, sizeof(*flow));
	uint32_t n = serial++;
	flow->is_ipv6 = n % 13 == 0;
	for (int i = 0; i < 2; i++) {
		flow->addr[i][0] = flow->is_ipv6 ? 0xfd : 10;
		flow->addr[i][1] = (uint8_t)i;
		flow->seq[i] = random_u32();
		flow->ip_id[i] = (uint16_t)random_u32();
	}
	size_t at = flow->is_ipv6 ? 14 : 2;
	put16(flow->addr[0] + at, n / 28000 + 1);
	put16(flow->addr[1] + at, n % 8 + 1);
	flow->port[0] = (uint16_t)(32768 + n % 28000);
	flow->port[1] = 80;
	flow->requests = random_count(mode->requests);
}

/* Sends the next segment of a connection. */
static void advance(struct flow *flow, const struct mode *mode)
{
	switch (flow->stage) {
	case STAGE_SYN:
		send_segment(flow, 0, SYN, 0);
		flow->stage = STAGE_SYN_ACK;
		break;
	case STAGE_SYN_ACK:
		if (mode->may_fail && random_below(50) == 0) {
			send_segment(flow, 1, RST | ACK, 0);
			begin(flow, mode);
			break;
		}
		send_segment(flow, 1, SYN | ACK, 0);
		flow->stage = STAGE_ACK;
		break;
	case STAGE_ACK:
		send_segment(flow, 0, ACK, 0);
		flow->stage = STAGE_REQUEST;
		break;
	case STAGE_REQUEST:
		send_segment(flow, 0, PSH | ACK, 80 + random_below(400));
		flow->segments = random_count(mode->segments);
		flow->unacked = 0;
		flow->stage = STAGE_ANSWER;
		break;
	case STAGE_ANSWER:
		if (flow->unacked == 2 || (flow->unacked > 0 && flow->segments == 0)) {
			send_segment(flow, 0, ACK, 0);
			flow->unacked = 1;
			if (flow->segments == 0) {
				flow->stage = --flow->requests > 0 ? STAGE_REQUEST : STAGE_FIN;
			}
			break;
		}
		flow->segments--;
		send_segment(flow, 1, flow->segments > 0 ? ACK : PSH | ACK,
		             flow->segments > 0 ? MSS : 1 + random_below(MSS));
		flow->unacked++;
		break;
	case STAGE_FIN:
		if (mode->may_fail && random_below(50) == 0) {
			send_segment(flow, 0, RST | ACK, 0);
			begin(flow, mode);
			break;
		}
		send_segment(flow, 0, FIN | ACK, 0);
		flow->stage = STAGE_FIN_BACK;
		break;
	case STAGE_FIN_BACK:
		send_segment(flow, 1, FIN | ACK, 0);
		flow->stage = STAGE_LAST;
		break;
	case STAGE_LAST:
		send_segment(flow, 0, ACK, 0);
		begin(flow, mode);
		break;
	}
}

int main(int argc, char **argv)
{
	const struct mode *mode = NULL;
	for (size_t i = 0; argc == 3 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) == 0) {
			mode = &modes[i];
		}
	}
	uint64_t n_packets = mode != NULL ? strtoull(argv[2], NULL, 10) : 0;
	if (n_packets == 0) {
		fprintf(stderr, "usage: generate http|short|bulk|open PACKETS > FILE.pcap\n");
		return 2;
	}
	static char buffer[1 << 20];
	static struct flow flows[FLOWS_CAP];
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	const uint32_t header[6] = {0xa1b2c3d4, 4 << 16 | 2, 0, 0, SNAPLEN, 1};
	if (fwrite(header, sizeof(header), 1, stdout) != 1) {
		err(1, "standard output");
	}
	for (uint32_t i = 0; i < mode->n_flows; i++) {
		begin(&flows[i], mode);
	}
	while (n_written < n_packets) {
		struct flow *flow = &flows[random_below(mode->n_flows)];
		/* the segments of a window come together */
		uint32_t burst = flow->stage == STAGE_ANSWER ? random_count(BURST) : 1;
		for (; burst > 0; burst--) {
			advance(flow, mode);
			now_ns += 1000 + random_below(8000);
		}
		now_ns += mode->step_ns / 2 + random_below((uint32_t)mode->step_ns);
	}
	if (fflush(stdout) != 0) {
		err(1, "standard output");
	}
	return 0;
}
