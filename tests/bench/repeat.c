/*
 * repeat: writes an endless capture of real traffic, or as much as is asked for.
 *
 *     repeat SIZE CAPTURE ... > FILE.pcap
 *
 * The captures' packets are read once; then copies of the whole, some of them
 * at a time, are written side by side, each with times of its own, one of 64
 * sets of addresses, and other client ports: what comes is new connections
 * of the same hosts, as many open at once at the end as at the beginning. Only
 * IPv4 is taken, over Ethernet or raw, whichever comes first. Checksums are not mended: culprit does not look
 * at them.
 */
#include "lib/base/units.h"
#include "lib/capture/capture.h"

#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	N_COPIES = 16,
	N_HOSTS = 64,
	LINKTYPE_ETHERNET = 1,
	LINKTYPE_RAW = 101,
	ETHERNET = 14,
	IPV4 = 20,
	PORT_MIN = 1024
};

struct packet {
	int64_t time_ns; /* since the first one */
	uint32_t caplen, len;
	uint8_t *data;
};

struct copy {
	size_t next; /* packet */
	uint32_t id; /* goes into addresses and ports */
	int64_t start_ns;
};

static struct packet *packets;
static size_t n_packets;
static uint32_t linktype, link_len; /* of all, from the first one on */

static bool is_ipv4(const struct cu_packet *packet)
{
	uint32_t len = packet->linktype == LINKTYPE_ETHERNET ? ETHERNET : 0;
	if ((packet->linktype != LINKTYPE_ETHERNET && packet->linktype != LINKTYPE_RAW) ||
	    (n_packets > 0 && packet->linktype != linktype) || packet->caplen < len + IPV4 ||
	    packet->data[len] >> 4 != 4 || (len > 0 && (packet->data[12] != 8 || packet->data[13] != 0))) {
		return false;
	}
	linktype = packet->linktype;
	link_len = len;
	return true;
}

static void keep(const struct cu_packet *from, int64_t time_ns)
{
	static size_t cap;
	if (n_packets == cap) {
		cap = cap != 0 ? cap * 2 : 1024;
		packets = reallocarray(packets, cap, sizeof(*packets));
	}
	uint8_t *data = packets != NULL ? malloc(from->caplen) : NULL;
	if (data == NULL) {
		errx(1, "no memory");
	}
	memcpy(data, from->data, from->caplen);
	packets[n_packets++] = (struct packet){time_ns, from->caplen, from->len, data};
}

/* Appends the packets of a capture; its first one is at time 0. */
static void read_capture(const char *path)
{
	struct cu_capture_config config = {.paths = &path, .n_paths = 1};
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	if (cu_capture_open(&capture, &config, &fault) < 0) {
		errx(1, "%s", fault.text);
	}
	struct cu_packet packet;
	int64_t first_ns = INT64_MIN;
	while (cu_capture_next(capture, &packet) == 1) {
		first_ns = first_ns == INT64_MIN ? packet.time_ns : first_ns;
		if (is_ipv4(&packet)) {
			keep(&packet, packet.time_ns - first_ns);
		}
	}
	cu_capture_close(capture);
}

static int compare_times(const void *a, const void *b)
{
	const struct packet *x = a, *y = b;
	return x->time_ns != y->time_ns ? (x->time_ns < y->time_ns ? -1 : 1)
	       : x->data < y->data      ? -1
	                                : x->data > y->data;
}

static void put(const void *data, size_t len)
{
	if (fwrite(data, 1, len, stdout) != len) {
		err(1, "standard output");
	}
}

/* The larger of two ports is the client's, as a rule: it becomes another one above PORT_MIN. */
static void change_ports(uint8_t *ports, uint32_t id)
{
	uint32_t src = (uint32_t)ports[0] << 8 | ports[1];
	uint32_t dst = (uint32_t)ports[2] << 8 | ports[3];
	uint8_t *larger = src > dst ? ports : ports + 2;
	uint32_t port = src > dst ? src : dst;
	if (port >= PORT_MIN) {
		port = PORT_MIN + (port - PORT_MIN + id / N_HOSTS * 61) % (65536 - PORT_MIN);
		larger[0] = (uint8_t)(port >> 8);
		larger[1] = (uint8_t)port;
	}
}

/* Makes the addresses and ports in an IPv4 header, of cap bytes with what follows, those of a copy. */
static void change_ends(uint8_t *ip, uint32_t cap, uint32_t id)
{
	enum { TCP = 6 };
	ip[14] ^= (uint8_t)(id % N_HOSTS);
	ip[18] ^= (uint8_t)(id % N_HOSTS);
	uint32_t header_len = (ip[0] & 15U) * 4;
	bool is_first = ((ip[6] & 0x1f) | ip[7]) == 0;
	if (ip[9] == TCP && is_first && cap >= header_len + 4) {
		change_ports(ip + header_len, id);
	}
}

/* Returns the bytes written. */
static uint64_t put_packet(const struct packet *packet, const struct copy *copy)
{
	enum { CHANGED = 64 + ETHERNET };
	int64_t ns = INT64_C(1700000000) * CU_NS_PER_S + copy->start_ns + packet->time_ns;
	uint32_t head[4] = {(uint32_t)(ns / CU_NS_PER_S), (uint32_t)(ns % CU_NS_PER_S), packet->caplen, packet->len};
	uint8_t changed[CHANGED];
	uint32_t len = packet->caplen < CHANGED ? packet->caplen : CHANGED;
	memcpy(changed, packet->data, len);
	change_ends(changed + link_len, len - link_len, copy->id);
	put(head, sizeof(head));
	put(changed, len);
	put(packet->data + len, packet->caplen - len);
	return sizeof(head) + packet->caplen;
}

int main(int argc, char **argv)
{
	uint64_t size_bytes;
	if (argc < 3 || !cu_parse_size(argv[1], &size_bytes)) {
		errx(2, "usage: repeat SIZE CAPTURE ...");
	}
	for (int i = 2; i < argc; i++) {
		read_capture(argv[i]);
	}
	if (n_packets == 0) {
		errx(1, "there is no IPv4 in these captures");
	}
	qsort(packets, n_packets, sizeof(*packets), compare_times);
	int64_t length_ns = packets[n_packets - 1].time_ns + CU_NS_PER_S;

	const uint32_t header[] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, linktype};
	put(header, sizeof(header));
	struct copy copies[N_COPIES];
	uint32_t id = 0;
	for (int i = 0; i < N_COPIES; i++) {
		copies[i] = (struct copy){.id = id++, .start_ns = length_ns / N_COPIES * i};
	}
	for (uint64_t written = 0; written < size_bytes;) {
		struct copy *first = &copies[0];
		for (int i = 1; i < N_COPIES; i++) {
			int64_t here = copies[i].start_ns + packets[copies[i].next].time_ns;
			first = here < first->start_ns + packets[first->next].time_ns ? &copies[i] : first;
		}
		written += put_packet(&packets[first->next], first);
		if (++first->next == n_packets) {
			*first = (struct copy){.id = id++, .start_ns = first->start_ns + length_ns};
		}
	}
	if (fflush(stdout) != 0) {
		err(1, "standard output");
	}
	return 0;
}
