/*
 * The wire between two network namespaces.
 *
 * It opens a TUN device in each, carries IP packets between them as told
 * (delay, rate and queue, loss, reordering, duplication, outage, scripted
 * drops), captures what passes at the client, in the middle and at the
 * server, and logs as JSON Lines what it did to which packet. Times are
 * CLOCK_REALTIME everywhere, the peers' logs included.
 *
 * wire CLIENT-NETNS SERVER-NETNS OUTPUT-PREFIX [option=value ...]
 *
 *   delay=NS        one way, half before the middle and half after
 *   seed=N
 *   mtu=N           of both devices
 *   DIR.loss=P      c2s or s2c; probability, at DIR.place
 *   DIR.burst=P,R   two-state loss: P to enter, R to leave the state in which all is lost
 *   DIR.place=before|after   the middle; where random losses happen (after)
 *   DIR.jitter=NS   added delay, 0 to NS, order kept
 *   DIR.reorder=P,NS  held back by NS with probability P
 *   DIR.dup=P       sent twice
 *   DIR.rate=BITS/S,QUEUE   bottleneck right behind the middle in its direction, queue in bytes
 *   DIR.drop=WHAT,FROM,COUNT,PLACE   WHAT: syn data fin any; the FROM-th such packet (from 1) and the next COUNT-1
 *   DIR.mtu=N       larger IP packets vanish behind the middle; with icmp=1 their sender is told
 *   outage=FROM,TO  NS since the first packet: everything is lost, after the middle
 *   prohibit=1      a router in the middle answers SYNs with ICMP administratively prohibited
 *   miss.POINT=P    the capture at client, middle or server misses packets
 *   mirror.POINT=1  ... and has every frame twice
 *   snaplen=N
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { C2S, S2C };
enum { CLIENT, MIDDLE, SERVER, N_POINTS };
enum { PACKET_CAP = 65536, QUEUE_CAP = 65536, DROPS_CAP = 16 };
enum { MS = 1000000 };

static const char *const dir_name[] = {"c2s", "s2c"};
static const char *const point_name[] = {"client", "middle", "server"};

struct drop {
	char what[8];
	unsigned from, count, seen;
	bool before;
};

struct way {
	double loss, burst_enter, burst_leave, reorder, dup;
	bool before, in_burst;
	int64_t jitter_ns, reorder_ns;
	int64_t rate_bps, queue_bytes;
	int64_t free_ns; /* when the bottleneck has sent what it holds */
	int64_t last_ns; /* order kept: nothing leaves before what came before it */
	int64_t max_queue_ns;
	unsigned mtu;
	struct drop drop[DROPS_CAP];
	unsigned n_drops;
};

/* Where a packet goes next. */
enum stage { TO_MIDDLE, TO_FAR_END };

struct packet {
	int64_t due_ns;
	uint64_t order;
	enum stage stage;
	int dir;
	uint32_t len;
	uint8_t *data;
};

static struct way way[2];
static int64_t delay_ns, outage_from, outage_to, first_ns;
static bool prohibit, icmp_needed;
static double miss[N_POINTS];
static bool mirror[N_POINTS];
static unsigned snaplen = 65535, mtu = 1500;
static int tun[2];
static FILE *capture[N_POINTS], *journal;
static struct packet heap[QUEUE_CAP];
static size_t n_heap;
static uint64_t order;
static uint64_t random_state = 1;
static volatile sig_atomic_t stop;

static void die(const char *what)
{
	fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* xorshift64*: the same seed gives the same wire. */
static double uniform(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (double)((random_state * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

static int open_tun(const char *netns)
{
	char path[128];
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	int ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
		die(path);
	}
	close(ns);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	strcpy(ifr.ifr_name, "lab0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0) {
		die("tun");
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static FILE *open_capture(const char *prefix, const char *point)
{
	char path[512];
	snprintf(path, sizeof(path), "%s-%s.pcap", prefix, point);
	FILE *file = fopen(path, "w");
	if (file == NULL) {
		die(path);
	}
	/* Nanoseconds, LINKTYPE_RAW. */
	uint32_t header[] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, snaplen, 101};
	fwrite(header, sizeof(header), 1, file);
	return file;
}

static void record(int point, int64_t time_ns, const struct packet *packet)
{
	if (miss[point] > 0 && uniform() < miss[point]) {
		return;
	}
	for (int copy = 0; copy <= mirror[point]; copy++) {
		int64_t t = time_ns + copy * 15000;
		uint32_t caplen = packet->len < snaplen ? packet->len : snaplen;
		uint32_t header[] = {(uint32_t)(t / 1000000000), (uint32_t)(t % 1000000000), caplen, packet->len};
		fwrite(header, sizeof(header), 1, capture[point]);
		fwrite(packet->data, caplen, 1, capture[point]);
	}
}

/* The TCP header of an IPv4 or IPv6 packet without extension headers; NULL when it is none. */
static const uint8_t *tcp_of(const struct packet *packet, uint32_t *payload)
{
	const uint8_t *p = packet->data;
	uint32_t at = packet->len > 0 && p[0] >> 4 == 4 ? (p[0] & 15) * 4u : 40;
	if (packet->len < at + 20 || (p[0] >> 4 == 4 ? p[9] : p[6]) != 6) {
		return NULL;
	}
	*payload = packet->len - at - (p[at + 12] >> 4) * 4u;
	return p + at;
}

static void tell(const char *what, const char *place, int64_t time_ns, const struct packet *packet)
{
	uint32_t payload = 0;
	const uint8_t *tcp = tcp_of(packet, &payload);
	uint32_t seq = 0;
	unsigned flags = 0, port = 0;
	if (tcp != NULL) {
		memcpy(&seq, tcp + 4, 4);
		flags = tcp[13];
		port = packet->dir == C2S ? tcp[0] << 8 | tcp[1] : tcp[2] << 8 | tcp[3];
	}
	fprintf(journal,
	        "{\"what\":\"%s\",\"place\":\"%s\",\"time_ns\":%lld,\"dir\":\"%s\",\"client_port\":%u,\"seq\":%u,\"len\":%u,\"flags\":%u}\n",
	        what, place, (long long)time_ns, dir_name[packet->dir], port, ntohl(seq), payload, flags);
	fflush(journal);
}

/* Packets lost and not yet seen to pass in a later copy. */
static struct {
	int dir;
	uint32_t seq;
	unsigned port;
	bool before;
} gone[QUEUE_CAP];
static size_t n_lost;

static bool key_of(const struct packet *packet, uint32_t *seq, unsigned *port)
{
	uint32_t payload = 0;
	const uint8_t *tcp = tcp_of(packet, &payload);
	if (tcp == NULL || (payload == 0 && !(tcp[13] & 3))) {
		return false;
	}
	memcpy(seq, tcp + 4, 4);
	*port = packet->dir == C2S ? tcp[0] << 8 | tcp[1] : tcp[2] << 8 | tcp[3];
	return true;
}

static void remember_lost(const struct packet *packet, bool before_middle)
{
	uint32_t seq;
	unsigned port;
	if (n_lost < QUEUE_CAP && key_of(packet, &seq, &port)) {
		gone[n_lost].dir = packet->dir;
		gone[n_lost].seq = seq;
		gone[n_lost].port = port;
		gone[n_lost++].before = before_middle;
	}
}

/* Says when a copy of something lost passes the place where it was. */
static void tell_resent(const struct packet *packet, bool before_middle, int64_t t)
{
	uint32_t seq;
	unsigned port;
	if (n_lost == 0 || !key_of(packet, &seq, &port)) {
		return;
	}
	for (size_t i = n_lost; i-- > 0;) {
		if (gone[i].dir == packet->dir && gone[i].seq == seq && gone[i].port == port && gone[i].before == before_middle) {
			tell("resent", before_middle ? "before" : "after", t, packet);
			gone[i] = gone[--n_lost];
		}
	}
}

static bool before(const struct packet *a, const struct packet *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void push(struct packet packet)
{
	if (n_heap == QUEUE_CAP) {
		free(packet.data);
		return;
	}
	packet.order = order++;
	size_t i = n_heap++;
	for (; i > 0 && before(&packet, &heap[(i - 1) / 2]); i = (i - 1) / 2) {
		heap[i] = heap[(i - 1) / 2];
	}
	heap[i] = packet;
}

static struct packet pop(void)
{
	struct packet top = heap[0], last = heap[--n_heap];
	size_t i = 0;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n_heap) {
			break;
		}
		child += child + 1 < n_heap && before(&heap[child + 1], &heap[child]);
		if (!before(&heap[child], &last)) {
			break;
		}
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return top;
}

static struct packet copy_of(const struct packet *packet)
{
	struct packet copy = *packet;
	copy.data = malloc(packet->len);
	if (copy.data == NULL) {
		die("malloc");
	}
	memcpy(copy.data, packet->data, packet->len);
	return copy;
}

static bool is_what(const char *what, const struct packet *packet)
{
	uint32_t payload = 0;
	const uint8_t *tcp = tcp_of(packet, &payload);
	if (tcp == NULL) {
		return false;
	}
	return strcmp(what, "any") == 0 || (strcmp(what, "syn") == 0 && tcp[13] & 2) ||
	       (strcmp(what, "fin") == 0 && tcp[13] & 1) || (strcmp(what, "data") == 0 && payload > 0);
}

/* Whether a scripted or random loss takes the packet at a place. */
static bool is_lost(const struct packet *packet, bool before_middle)
{
	struct way *w = &way[packet->dir];
	bool lost = false;
	for (unsigned d = 0; d < w->n_drops; d++) {
		struct drop *drop = &w->drop[d];
		if (drop->before == before_middle && is_what(drop->what, packet)) {
			drop->seen++;
			lost |= drop->seen >= drop->from && drop->seen < drop->from + drop->count;
		}
	}
	if (w->before == before_middle) {
		if (w->loss > 0 && uniform() < w->loss) {
			lost = true;
		}
		if (w->burst_enter > 0) {
			w->in_burst = w->in_burst ? uniform() >= w->burst_leave : uniform() < w->burst_enter;
			lost |= w->in_burst;
		}
	}
	return lost;
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < len; i += 2) {
		sum += data[i] << 8 | (i + 1 < len ? data[i + 1] : 0);
	}
	while (sum >> 16) {
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

/* A router's ICMP error back to the sender of an IPv4 packet (RFC 792, 1191). */
static void send_icmp(const struct packet *about, uint8_t code, uint16_t next_mtu, int64_t time_ns)
{
	struct packet icmp = {.due_ns = time_ns + delay_ns / 2, .stage = TO_FAR_END, .dir = !about->dir, .len = 56};
	if (about->data[0] >> 4 != 4) {
		return;
	}
	uint8_t *p = icmp.data = calloc(1, icmp.len);
	static const uint8_t router[] = {10, 99, 0, 1};
	p[0] = 0x45;
	p[3] = (uint8_t)icmp.len;
	p[8] = 64;
	p[9] = 1;
	memcpy(p + 12, router, 4);
	memcpy(p + 16, about->data + 12, 4);
	uint16_t sum = checksum(p, 20);
	p[10] = (uint8_t)(sum >> 8);
	p[11] = (uint8_t)sum;
	p[20] = 3;
	p[21] = code;
	p[26] = (uint8_t)(next_mtu >> 8);
	p[27] = (uint8_t)next_mtu;
	memcpy(p + 28, about->data, 28);
	sum = checksum(p + 20, icmp.len - 20);
	p[22] = (uint8_t)(sum >> 8);
	p[23] = (uint8_t)sum;
	record(MIDDLE, time_ns, &icmp);
	tell("icmp", "middle", time_ns, about);
	push(icmp);
}

static void at_near_end(struct packet packet, int64_t t)
{
	record(packet.dir == C2S ? CLIENT : SERVER, t, &packet);
	if (is_lost(&packet, true)) {
		tell("drop", "before", t, &packet);
		remember_lost(&packet, true);
		free(packet.data);
		return;
	}
	tell_resent(&packet, true, t);
	packet.stage = TO_MIDDLE;
	packet.due_ns = t + delay_ns / 2;
	push(packet);
}

static void at_middle(struct packet packet, int64_t t)
{
	struct way *w = &way[packet.dir];
	record(MIDDLE, t, &packet);
	uint32_t payload = 0;
	const uint8_t *tcp = tcp_of(&packet, &payload);
	if (prohibit && packet.dir == C2S && tcp != NULL && tcp[13] & 2) {
		send_icmp(&packet, 13, 0, t);
		free(packet.data);
		return;
	}
	if (w->mtu != 0 && packet.len > w->mtu) {
		tell("drop", "mtu", t, &packet);
		remember_lost(&packet, false);
		if (icmp_needed) {
			send_icmp(&packet, 4, (uint16_t)w->mtu, t);
		}
		free(packet.data);
		return;
	}
	bool out = outage_to > 0 && t - first_ns >= outage_from && t - first_ns < outage_to;
	if (is_lost(&packet, false) || out) {
		tell("drop", out ? "outage" : "after", t, &packet);
		remember_lost(&packet, false);
		free(packet.data);
		return;
	}
	int64_t leave_ns = t;
	if (w->rate_bps > 0) {
		int64_t start = w->free_ns > t ? w->free_ns : t;
		if ((start - t) * w->rate_bps / 8000000000 > w->queue_bytes) {
			tell("drop", "queue", t, &packet);
			remember_lost(&packet, false);
			free(packet.data);
			return;
		}
		w->max_queue_ns = start - t > w->max_queue_ns ? start - t : w->max_queue_ns;
		leave_ns = w->free_ns = start + (int64_t)packet.len * 8000000000 / w->rate_bps;
	}
	tell_resent(&packet, false, t);
	leave_ns += delay_ns - delay_ns / 2;
	if (w->jitter_ns > 0) {
		leave_ns += (int64_t)(uniform() * (double)w->jitter_ns);
	}
	if (w->reorder > 0 && uniform() < w->reorder) {
		tell("reorder", "after", t, &packet);
		leave_ns += w->reorder_ns;
	} else {
		leave_ns = leave_ns > w->last_ns ? leave_ns : w->last_ns;
		w->last_ns = leave_ns;
	}
	packet.stage = TO_FAR_END;
	packet.due_ns = leave_ns;
	if (w->dup > 0 && uniform() < w->dup) {
		tell("dup", "after", t, &packet);
		push(copy_of(&packet));
	}
	push(packet);
}

static void at_far_end(struct packet packet, int64_t t)
{
	record(packet.dir == C2S ? SERVER : CLIENT, t, &packet);
	if (write(tun[!packet.dir], packet.data, packet.len) < 0 && errno != EAGAIN && errno != EIO) {
		die("write");
	}
	free(packet.data);
}

static void take(int end)
{
	static uint8_t data[PACKET_CAP];
	ssize_t n;
	while ((n = read(tun[end], data, sizeof(data))) > 0) {
		struct packet packet = {.dir = end, .len = (uint32_t)n, .data = data};
		uint32_t payload;
		int64_t t = now();
		if (tcp_of(&packet, &payload) == NULL && !(data[0] >> 4 == 4 && data[9] == 1)) {
			continue; /* neighbour discovery and the like */
		}
		first_ns = first_ns != 0 ? first_ns : t;
		at_near_end(copy_of(&packet), t);
	}
}

static bool set(const char *name, const char *value)
{
	double a = 0, b = 0;
	int n = sscanf(value, "%lf,%lf", &a, &b);
	(void)n;
	if (strcmp(name, "delay") == 0) {
		delay_ns = (int64_t)a;
	} else if (strcmp(name, "seed") == 0) {
		random_state = (uint64_t)a * UINT64_C(0x9E3779B97F4A7C15) + 1;
	} else if (strcmp(name, "mtu") == 0) {
		mtu = (unsigned)a;
	} else if (strcmp(name, "outage") == 0) {
		outage_from = (int64_t)a;
		outage_to = (int64_t)b;
	} else if (strcmp(name, "prohibit") == 0) {
		prohibit = a != 0;
	} else if (strcmp(name, "icmp") == 0) {
		icmp_needed = a != 0;
	} else if (strcmp(name, "snaplen") == 0) {
		snaplen = (unsigned)a;
	} else if (strncmp(name, "miss.", 5) == 0 || strncmp(name, "mirror.", 7) == 0) {
		for (int point = 0; point < N_POINTS; point++) {
			if (strcmp(strchr(name, '.') + 1, point_name[point]) == 0) {
				if (name[2] == 's') {
					miss[point] = a;
				} else {
					mirror[point] = a != 0;
				}
				return true;
			}
		}
		return false;
	} else {
		int dir = strncmp(name, "c2s.", 4) == 0 ? C2S : strncmp(name, "s2c.", 4) == 0 ? S2C : -1;
		if (dir < 0) {
			return false;
		}
		struct way *w = &way[dir];
		name += 4;
		if (strcmp(name, "loss") == 0) {
			w->loss = a;
		} else if (strcmp(name, "burst") == 0) {
			w->burst_enter = a;
			w->burst_leave = b;
		} else if (strcmp(name, "place") == 0) {
			w->before = strcmp(value, "before") == 0;
		} else if (strcmp(name, "jitter") == 0) {
			w->jitter_ns = (int64_t)a;
		} else if (strcmp(name, "reorder") == 0) {
			w->reorder = a;
			w->reorder_ns = (int64_t)b;
		} else if (strcmp(name, "dup") == 0) {
			w->dup = a;
		} else if (strcmp(name, "rate") == 0) {
			w->rate_bps = (int64_t)a;
			w->queue_bytes = (int64_t)b;
		} else if (strcmp(name, "mtu") == 0) {
			w->mtu = (unsigned)a;
		} else if (strcmp(name, "drop") == 0 && w->n_drops < DROPS_CAP) {
			struct drop *drop = &w->drop[w->n_drops++];
			char place[8] = "";
			if (sscanf(value, "%7[a-z],%u,%u,%7s", drop->what, &drop->from, &drop->count, place) != 4) {
				return false;
			}
			drop->before = strcmp(place, "before") == 0;
		} else {
			return false;
		}
	}
	return true;
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: wire CLIENT-NETNS SERVER-NETNS OUTPUT-PREFIX [option=value ...]\n");
		return 2;
	}
	for (int i = 4; i < argc; i++) {
		char *equals = strchr(argv[i], '=');
		if (equals != NULL) {
			*equals = '\0';
		}
		if (equals == NULL || !set(argv[i], equals + 1)) {
			fprintf(stderr, "wire: bad option '%s'\n", argv[i]);
			return 2;
		}
	}
	char path[512];
	snprintf(path, sizeof(path), "%s.wire.jsonl", argv[3]);
	journal = fopen(path, "w");
	if (journal == NULL) {
		die(path);
	}
	for (int point = 0; point < N_POINTS; point++) {
		capture[point] = open_capture(argv[3], point_name[point]);
	}
	tun[0] = open_tun(argv[1]);
	tun[1] = open_tun(argv[2]);
	struct sigaction act = {.sa_handler = on_signal};
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	puts("ready");
	fflush(stdout);
	while (!stop) {
		int64_t t = now();
		while (n_heap > 0 && heap[0].due_ns <= t) {
			struct packet packet = pop();
			if (packet.stage == TO_MIDDLE) {
				at_middle(packet, packet.due_ns);
			} else {
				at_far_end(packet, now());
			}
			t = now();
		}
		struct pollfd fds[2] = {{.fd = tun[0], .events = POLLIN}, {.fd = tun[1], .events = POLLIN}};
		int64_t wait = n_heap > 0 ? heap[0].due_ns - t : 100 * MS;
		wait = wait < 0 ? 0 : wait > 100 * MS ? 100 * MS : wait;
		struct timespec ts = {.tv_nsec = wait};
		if (ppoll(fds, 2, &ts, NULL) > 0) {
			for (int end = 0; end < 2; end++) {
				if (fds[end].revents & POLLIN) {
					take(end);
				}
			}
		}
	}
	for (int dir = 0; dir < 2; dir++) {
		if (way[dir].rate_bps > 0) {
			fprintf(journal, "{\"what\":\"queue\",\"dir\":\"%s\",\"max_queue_ns\":%lld}\n", dir_name[dir], (long long)way[dir].max_queue_ns);
		}
	}
	for (int point = 0; point < N_POINTS; point++) {
		if (fclose(capture[point]) != 0) {
			die("capture");
		}
	}
	return fclose(journal) == 0 ? 0 : 1;
}
