/*
 * One end of a scripted TCP conversation: does its steps in order and logs when
 * each began and ended, in CLOCK_REALTIME nanoseconds, as JSON Lines on standard
 * output. Slowness is caused here, and the log is what the truth is made from.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)

enum {
	EXIT_USAGE = 2,
	IO_CAP = 1 << 16, /* bytes a system call */
	ARGUMENTS_CAP = 3,
	PRIORITY = 10,    /* of SCHED_FIFO, below the wire's */
	LIFETIME_S = 900, /* a forgotten peer ends by itself */
};

struct peer {
	bool is_server;
	struct sockaddr_storage address; /* where a client connects to, where a server listens */
	socklen_t address_len;
	int listener, socket;        /* -1: none */
	uint64_t n_sent, n_received; /* bytes of this connection */
	int64_t first_ns, last_ns;   /* of a receiving step: when its first and last bytes were read */
};

/* A step's arguments, as text and parsed by the step. */
struct step {
	const char *text;
	char *argument[ARGUMENTS_CAP];
	int n_arguments;
};

static _Noreturn void refuse(const char *what, const char *value)
{
	fprintf(stderr, "peer: %s '%s'\n", what, value);
	exit(EXIT_USAGE);
}

static int64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static uint64_t parse_number(const char *text, uint64_t max)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (end == text || *end != '\0' || *text == '-' || errno != 0 || value > max) {
		refuse("no such number:", text);
	}
	return value;
}

static int64_t parse_duration(const char *text)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
	const double max_s = 600;
	char *end;
	double value = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (end != text && strcmp(end, units[i].name) == 0 && value >= 0 &&
		    value * units[i].ns <= max_s * 1e9) {
			return (int64_t)(value * units[i].ns + 0.5);
		}
	}
	refuse("no such duration:", text);
}

static void sleep_ns(int64_t duration_ns)
{
	struct timespec left = {.tv_sec = duration_ns / NS_PER_S, .tv_nsec = duration_ns % NS_PER_S};
	while (nanosleep(&left, &left) < 0 && errno == EINTR) {
	}
}

enum did { DID_NOTHING, DID_SEND, DID_RECEIVE };

static void log_step(const struct peer *peer, const char *text, int64_t start_ns, enum did did, uint64_t from,
                     int error)
{
	printf("{\"role\":\"%s\",\"step\":\"%s\",\"start_ns\":%" PRId64 ",\"end_ns\":%" PRId64,
	       peer->is_server ? "server" : "client", text, start_ns, now_ns());
	if (did == DID_SEND) {
		printf(",\"sent\":[%" PRIu64 ",%" PRIu64 "]", from, peer->n_sent);
	} else if (did == DID_RECEIVE) {
		printf(",\"received\":[%" PRIu64 ",%" PRIu64 "]", from, peer->n_received);
		if (peer->first_ns != 0) {
			printf(",\"first_ns\":%" PRId64 ",\"last_ns\":%" PRId64, peer->first_ns, peer->last_ns);
		}
	}
	if (error != 0) {
		printf(",\"error\":\"%s\"", strerrorname_np(error));
	}
	puts("}");
}

/*
 * Steps. Each returns 0 or an errno.
 */

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? errno : 0;
}

/* No host in particular, one port; returns the address's length. */
static socklen_t any_address(struct sockaddr_storage *any, sa_family_t family, uint16_t port)
{
	memset(any, 0, sizeof(*any));
	any->ss_family = family;
	if (family == AF_INET6) {
		((struct sockaddr_in6 *)any)->sin6_port = htons(port);
		return sizeof(struct sockaddr_in6);
	}
	((struct sockaddr_in *)any)->sin_port = htons(port);
	return sizeof(struct sockaddr_in);
}

static int do_bind(struct peer *peer, const struct step *step)
{
	struct sockaddr_storage any;
	socklen_t len =
		any_address(&any, peer->address.ss_family, (uint16_t)parse_number(step->argument[0], UINT16_MAX));
	return bind(peer->socket, (struct sockaddr *)&any, len) < 0 ? errno : 0;
}

static int do_connect(struct peer *peer, const struct step *step)
{
	(void)step;
	return connect(peer->socket, (struct sockaddr *)&peer->address, peer->address_len) < 0 ? errno : 0;
}

static int do_listen(struct peer *peer, const struct step *step)
{
	int backlog = (int)parse_number(step->argument[0], SOMAXCONN);
	if (bind(peer->listener, (struct sockaddr *)&peer->address, peer->address_len) < 0 ||
	    listen(peer->listener, backlog) < 0) {
		return errno;
	}
	fputs("ready\n", stderr);
	return 0;
}

static int do_accept(struct peer *peer, const struct step *step)
{
	(void)step;
	if (peer->socket >= 0) {
		close(peer->socket);
	}
	peer->socket = accept(peer->listener, NULL, NULL);
	peer->n_sent = peer->n_received = 0;
	return peer->socket < 0 ? errno : 0;
}

static int send_bytes(struct peer *peer, const char *data, uint64_t n)
{
	static char filler[IO_CAP];
	for (size_t i = 0; filler[0] == 0 && i < sizeof(filler); i++) {
		filler[i] = (char)('a' + i % 26);
	}
	while (n > 0) {
		size_t chunk = data != NULL ? n : n < sizeof(filler) ? n : sizeof(filler);
		ssize_t sent = send(peer->socket, data != NULL ? data : filler, chunk, MSG_NOSIGNAL);
		if (sent < 0) {
			return errno;
		}
		n -= (uint64_t)sent;
		data = data != NULL ? data + sent : NULL;
		peer->n_sent += (uint64_t)sent;
	}
	return 0;
}

/* n bytes, or up to the end when n is UINT64_MAX. */
static int receive_bytes(struct peer *peer, uint64_t n)
{
	static char data[IO_CAP];
	peer->first_ns = peer->last_ns = 0;
	for (uint64_t left = n; left > 0;) {
		ssize_t got = recv(peer->socket, data, left < sizeof(data) ? left : sizeof(data), 0);
		if (got < 0) {
			return errno;
		}
		if (got == 0) {
			return n == UINT64_MAX ? 0 : ENODATA;
		}
		peer->last_ns = now_ns();
		peer->first_ns = peer->first_ns != 0 ? peer->first_ns : peer->last_ns;
		peer->n_received += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return 0;
}

static int do_send(struct peer *peer, const struct step *step)
{
	return send_bytes(peer, NULL, parse_number(step->argument[0], UINT32_MAX));
}

static int do_receive(struct peer *peer, const struct step *step)
{
	return receive_bytes(peer, parse_number(step->argument[0], UINT32_MAX));
}

static int do_receive_all(struct peer *peer, const struct step *step)
{
	(void)step;
	return receive_bytes(peer, UINT64_MAX);
}

/* An HTTP head, up to its empty line, one read after another. */
static int do_receive_head(struct peer *peer, const struct step *step)
{
	char head[IO_CAP];
	size_t len = 0;
	(void)step;
	peer->first_ns = peer->last_ns = 0;
	while (len < sizeof(head) && memmem(head, len, "\r\n\r\n", 4) == NULL) {
		ssize_t got = recv(peer->socket, head + len, sizeof(head) - len, 0);
		if (got <= 0) {
			return got < 0 ? errno : ENODATA;
		}
		peer->last_ns = now_ns();
		peer->first_ns = peer->first_ns != 0 ? peer->first_ns : peer->last_ns;
		peer->n_received += (uint64_t)got;
		len += (size_t)got;
	}
	return len < sizeof(head) ? 0 : EMSGSIZE;
}

static int do_sleep(struct peer *peer, const struct step *step)
{
	(void)peer;
	sleep_ns(parse_duration(step->argument[0]));
	return 0;
}

/* A request of SIZE bytes that looks like HTTP. */
static int do_get(struct peer *peer, const struct step *step)
{
	char head[512];
	uint64_t size = parse_number(step->argument[1], UINT32_MAX);
	int len = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: lab.example\r\nX-Fill: ", step->argument[0]);
	if (len < 0 || (size_t)len + 4 > sizeof(head) || size < (uint64_t)len + 4) {
		refuse("too small for its head:", step->text);
	}
	int error = send(peer->socket, head, (size_t)len, MSG_NOSIGNAL | MSG_MORE) == len ? 0 : errno;
	peer->n_sent += (uint64_t)len;
	for (uint64_t fill = size - (uint64_t)len - 4; error == 0 && fill > 0;) {
		uint64_t chunk = fill < IO_CAP ? fill : IO_CAP;
		static char filler[IO_CAP];
		memset(filler, 'x', chunk);
		ssize_t sent = send(peer->socket, filler, chunk, MSG_NOSIGNAL | MSG_MORE);
		error = sent < 0 ? errno : 0;
		fill -= sent < 0 ? 0 : (uint64_t)sent;
		peer->n_sent += sent < 0 ? 0 : (uint64_t)sent;
	}
	return error != 0 ? error : send_bytes(peer, "\r\n\r\n", 4);
}

/* The head of an answer; its body follows in send steps. */
static int do_status(struct peer *peer, const struct step *step)
{
	char head[256];
	int len = snprintf(head, sizeof(head),
	                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %s\r\n\r\n",
	                   step->argument[0]);
	return send_bytes(peer, head, (uint64_t)len);
}

/* Waits until the other end has acknowledged all that was sent. */
static int do_drain(struct peer *peer, const struct step *step)
{
	const int64_t poll_ns = NS_PER_MS / 10, give_up_ns = now_ns() + 60 * NS_PER_S;
	(void)step;
	for (int unsent = 1; now_ns() < give_up_ns; sleep_ns(poll_ns)) {
		if (ioctl(peer->socket, SIOCOUTQ, &unsent) < 0) {
			return errno;
		}
		if (unsent == 0) {
			return 0;
		}
	}
	return ETIMEDOUT;
}

static int do_shutdown(struct peer *peer, const struct step *step)
{
	(void)step;
	return shutdown(peer->socket, SHUT_WR) < 0 ? errno : 0;
}

static int do_close(struct peer *peer, const struct step *step)
{
	(void)step;
	int error = close(peer->socket) < 0 ? errno : 0;
	peer->socket = -1;
	return error;
}

static int do_reset(struct peer *peer, const struct step *step)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};
	int error = setsockopt(peer->socket, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)) < 0 ? errno : 0;
	return error != 0 ? error : do_close(peer, step);
}

static int do_timeout(struct peer *peer, const struct step *step)
{
	int64_t timeout_ns = parse_duration(step->argument[0]);
	struct timeval timeout = {.tv_sec = timeout_ns / NS_PER_S, .tv_usec = timeout_ns % NS_PER_S / 1000};
	return setsockopt(peer->socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ? errno : 0;
}

/* A listener's receive buffer and segment size must be set before its SYN-ACK: they are inherited. */
static int do_option(struct peer *peer, const struct step *step)
{
	static const struct {
		const char *name;
		int level, option;
	} options[] = {
		{"rcvbuf", SOL_SOCKET, SO_RCVBUF},
		{"sndbuf", SOL_SOCKET, SO_SNDBUF},
		{"keepalive", SOL_SOCKET, SO_KEEPALIVE},
		{"nodelay", IPPROTO_TCP, TCP_NODELAY},
		{"keepidle", IPPROTO_TCP, TCP_KEEPIDLE},
		{"keepintvl", IPPROTO_TCP, TCP_KEEPINTVL},
		{"quickack", IPPROTO_TCP, TCP_QUICKACK},
		{"maxseg", IPPROTO_TCP, TCP_MAXSEG},
		{"clamp", IPPROTO_TCP, TCP_WINDOW_CLAMP},
		{"syncnt", IPPROTO_TCP, TCP_SYNCNT},
		{"usertimeout", IPPROTO_TCP, TCP_USER_TIMEOUT},
		{"notsent", IPPROTO_TCP, TCP_NOTSENT_LOWAT},
	};
	int value = (int)parse_number(step->argument[1], INT32_MAX);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(options[i].name, step->argument[0]) == 0) {
			return set_option(peer->socket >= 0 ? peer->socket : peer->listener, options[i].level,
			                  options[i].option, value);
		}
	}
	refuse("unknown socket option", step->argument[0]);
}

static const struct kind {
	const char *name;
	int n_arguments;
	int (*run)(struct peer *, const struct step *);
	enum did did;
	const char *help;
} kinds[] = {
	{"bind", 1, do_bind, DID_NOTHING, "PORT: a client's own port"},
	{"connect", 0, do_connect, DID_NOTHING, ""},
	{"listen", 1, do_listen, DID_NOTHING, "BACKLOG; then says \"ready\" on standard error"},
	{"accept", 0, do_accept, DID_NOTHING, "the next connection"},
	{"send", 1, do_send, DID_SEND, "BYTES"},
	{"get", 2, do_get, DID_SEND, "PATH:BYTES: an HTTP request of that size"},
	{"status", 1, do_status, DID_SEND, "LENGTH: the head of an HTTP answer; its body is sent by other steps"},
	{"recv", 1, do_receive, DID_RECEIVE, "BYTES"},
	{"recvall", 0, do_receive_all, DID_RECEIVE, "to the end of the stream"},
	{"recvhead", 0, do_receive_head, DID_RECEIVE, "an HTTP request without a body"},
	{"sleep", 1, do_sleep, DID_NOTHING, "TIME"},
	{"drain", 0, do_drain, DID_NOTHING, "until all that was sent is acknowledged"},
	{"shutdown", 0, do_shutdown, DID_NOTHING, ""},
	{"close", 0, do_close, DID_NOTHING, ""},
	{"reset", 0, do_reset, DID_NOTHING, ""},
	{"timeout", 1, do_timeout, DID_NOTHING, "TIME: a receiving step gives up after so long a silence"},
	{"option", 2, do_option, DID_NOTHING,
         "NAME:VALUE: rcvbuf sndbuf keepalive keepidle keepintvl nodelay quickack maxseg clamp syncnt usertimeout notsent"},
};

/* trickle:CHUNK:N:TIME and recvslow:TOTAL:CHUNK:TIME are send or recv and sleep, by turns, each logged. */
static const struct kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			return &kinds[i];
		}
	}
	return NULL;
}

static bool run_step(struct peer *peer, const char *text)
{
	char copy[512];
	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy) || strpbrk(copy, "\"\\") != NULL) {
		refuse("no such step:", text);
	}
	char *rest = copy, *name = strsep(&rest, ":");
	struct step step = {.text = text};
	while (rest != NULL && step.n_arguments < ARGUMENTS_CAP) {
		step.argument[step.n_arguments++] = strsep(&rest, ":");
	}
	const struct kind *kind = find_kind(name);
	if (kind == NULL || rest != NULL || step.n_arguments != kind->n_arguments) {
		refuse("no such step:", text);
	}
	if (kind->run != do_listen && kind->run != do_accept && kind->run != do_option && kind->run != do_sleep &&
	    peer->socket < 0) {
		refuse("no connection for step", text);
	}
	uint64_t from = kind->did == DID_SEND ? peer->n_sent : peer->n_received;
	int64_t start_ns = now_ns();
	int error = kind->run(peer, &step);
	log_step(peer, text, start_ns, kind->did, from, error);
	return error == 0;
}

/* Repeats two steps n times, without the second after the last. */
static bool run_turns(struct peer *peer, const char *first, const char *second, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		if (!run_step(peer, first) || (i + 1 < n && !run_step(peer, second))) {
			return false;
		}
	}
	return true;
}

static bool run(struct peer *peer, const char *text)
{
	unsigned long long a, b;
	char time[32], first[64], second[64];
	int end = 0;
	if (sscanf(text, "trickle:%llu:%llu:%31[0-9.a-z]%n", &a, &b, time, &end) == 3 && text[end] == '\0') {
		snprintf(first, sizeof(first), "send:%llu", a);
		snprintf(second, sizeof(second), "sleep:%s", time);
		return run_turns(peer, first, second, b);
	}
	if (sscanf(text, "recvslow:%llu:%llu:%31[0-9.a-z]%n", &a, &b, time, &end) == 3 && text[end] == '\0' && b > 0) {
		snprintf(first, sizeof(first), "recv:%llu", b);
		snprintf(second, sizeof(second), "sleep:%s", time);
		if (!run_turns(peer, first, second, a / b)) {
			return false;
		}
		snprintf(first, sizeof(first), "recv:%llu", a % b);
		return a % b == 0 || run_step(peer, first);
	}
	return run_step(peer, text);
}

static void open_sockets(struct peer *peer)
{
	int fd = socket(peer->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) != 0) {
		fprintf(stderr, "peer: socket: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	peer->listener = peer->is_server ? fd : -1;
	peer->socket = peer->is_server ? -1 : fd;
}

static void parse_address(struct peer *peer, const char *address, const char *port)
{
	uint16_t number = (uint16_t)parse_number(port, UINT16_MAX);
	struct sockaddr_in *v4 = (struct sockaddr_in *)&peer->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer->address;
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		peer->address_len = any_address(&(struct sockaddr_storage){0}, AF_INET, 0);
		v4->sin_family = AF_INET;
		v4->sin_port = htons(number);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		peer->address_len = sizeof(*v6);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(number);
	} else {
		refuse("no address:", address);
	}
}

static void prepare_process(void)
{
	struct sched_param param = {.sched_priority = PRIORITY};
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_TIMERSLACK, 1);
	if (sched_setscheduler(0, SCHED_FIFO, &param) < 0) {
		fprintf(stderr, "peer: no real-time priority: %s\n", strerror(errno));
	}
	alarm(LIFETIME_S);
}

static void print_help(void)
{
	puts("usage: peer client|server ADDRESS PORT STEP ...\n\nSteps (a time has a unit: us, ms, s):");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		printf("  %s%s%s\n", kinds[i].name, kinds[i].n_arguments > 0 ? ":" : "  ", kinds[i].help);
	}
	puts("  trickle:CHUNK:N:TIME  send and sleep by turns\n  recvslow:TOTAL:CHUNK:TIME  recv and sleep by turns\n"
	     "A server sets options that shape the handshake (rcvbuf, maxseg) before listen. A step that fails ends the\n"
	     "script with exit status 1, and its line says why.");
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (argc < 5 || (strcmp(argv[1], "client") != 0 && strcmp(argv[1], "server") != 0)) {
		fputs("usage: peer client|server ADDRESS PORT STEP ...\n", stderr);
		return EXIT_USAGE;
	}
	struct peer peer = {.is_server = strcmp(argv[1], "server") == 0};
	parse_address(&peer, argv[2], argv[3]);
	open_sockets(&peer);
	prepare_process();
	setvbuf(stdout, NULL, _IOLBF, 0);
	bool done = true;
	for (int i = 4; i < argc && done; i++) {
		done = run(&peer, argv[i]);
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "peer: standard output: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
