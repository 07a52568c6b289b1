/*
 * A peer on another TCP: the program peer.c, its sockets those of lwIP, a stack
 * that shares nothing with the kernel's. No timestamps and no SACK; window scale
 * 1; an initial window of four segments; ACKs delayed by a tick of 250 ms; RTOs
 * from 1.5 s, in ticks of 500 ms; IP identification from one counter.
 *
 *     lwip OWN-ADDRESS client|server ADDRESS PORT STEP ...
 *
 * The namespace's device has no address: its kernel ignores what arrives there,
 * and this process reads and writes it through a packet socket. One process is
 * one host, with one connection at a time.
 */
#if __has_include(<lwip/tcpip.h>)
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcpip.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* lwIP's sockets take the system's structures and constants, as Debian builds it; its header would not come with it. */
int lwip_socket(int, int, int);
int lwip_bind(int, const struct sockaddr *, socklen_t);
int lwip_connect(int, const struct sockaddr *, socklen_t);
int lwip_listen(int, int);
int lwip_accept(int, struct sockaddr *, socklen_t *);
ssize_t lwip_send(int, const void *, size_t, int);
ssize_t lwip_recv(int, void *, size_t, int);
int lwip_shutdown(int, int);
int lwip_close(int);
int lwip_setsockopt(int, int, int, const void *, socklen_t);

/* What lwIP has no such option for stays as it is. */
static int set_what_there_is(int fd, int level, int name, const void *value, socklen_t len)
{
	int result = lwip_setsockopt(fd, level, name, value, len);
	return result < 0 && errno == ENOPROTOOPT ? 0 : result;
}

/* In place of SIOCOUTQ. */
static int count_unacknowledged(int *n)
{
	*n = 0;
	LOCK_TCPIP_CORE();
	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
		*n += pcb->unsent != NULL || pcb->unacked != NULL;
	}
	UNLOCK_TCPIP_CORE();
	return 0;
}

#define socket(domain, type, protocol) lwip_socket(domain, (type) & ~SOCK_CLOEXEC, protocol)
#define bind lwip_bind
#define connect lwip_connect
#define listen lwip_listen
#define accept lwip_accept
#define send lwip_send
#define recv lwip_recv
#define shutdown lwip_shutdown
#define close lwip_close
#define setsockopt set_what_there_is
#define ioctl(fd, request, n) ((void)(fd), count_unacknowledged(n))
int peer_main(int argc, char **argv);
#define main peer_main
#include "peer.c"
#undef socket
#undef bind
#undef main

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>

enum { PACKET_CAP = 65535 };
static const int64_t LINGER_NS = 5 * NS_PER_S;

static struct netif device;
static int packets; /* the packet socket */
static struct sockaddr_ll link_address = {.sll_family = AF_PACKET};

static err_t transmit(struct netif *netif, struct pbuf *p, const ip4_addr_t *to)
{
	static uint8_t data[PACKET_CAP]; /* one thread at a time: under lwIP's core lock */
	uint16_t len = pbuf_copy_partial(p, data, sizeof(data), 0);
	(void)netif, (void)to;
	ssize_t sent = sendto(packets, data, len, 0, (struct sockaddr *)&link_address, sizeof(link_address));
	return sent == len ? ERR_OK : ERR_IF;
}

static void *receive_packets(void *unused)
{
	static uint8_t data[PACKET_CAP];
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	(void)unused;
	for (ssize_t len; (len = recvfrom(packets, data, sizeof(data), 0, (struct sockaddr *)&from, &from_len)) >= 0 ||
	                  errno == EINTR;
	     from_len = sizeof(from)) {
		if (len <= 0 || from.sll_pkttype == PACKET_OUTGOING) {
			continue;
		}
		struct pbuf *p = pbuf_alloc(PBUF_RAW, (uint16_t)len, PBUF_RAM);
		if (p != NULL && (pbuf_take(p, data, (uint16_t)len) != ERR_OK || device.input(p, &device) != ERR_OK)) {
			pbuf_free(p);
		}
	}
	return NULL;
}

static err_t set_up_device(struct netif *netif)
{
	netif->name[0] = 'l';
	netif->name[1] = 'b';
	netif->mtu = 1500;
	netif->output = transmit;
	return ERR_OK;
}

/* lwIP's thread and the device's have the peer's priority: a busy machine must not delay them. */
static void start_stack(const char *address)
{
	ip4_addr_t own, mask, none = {0};
	pthread_t receiver;
	link_address.sll_protocol = htons(ETH_P_IP);
	link_address.sll_ifindex = (int)if_nametoindex("lab0");
	packets = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_IP));
	if (packets < 0 || link_address.sll_ifindex == 0 ||
	    bind(packets, (struct sockaddr *)&link_address, sizeof(link_address)) < 0) {
		fprintf(stderr, "lwip: lab0: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
	if (inet_pton(AF_INET, address, &own.addr) != 1) {
		refuse("no address:", address);
	}
	prepare_process();
	srand((unsigned)now_ns()); /* port numbers and the first sequence number are from it */
	mask.addr = 0;
	tcpip_init(NULL, NULL);
	LOCK_TCPIP_CORE();
	netif_add(&device, &own, &mask, &none, NULL, set_up_device, tcpip_input);
	netif_set_default(&device);
	netif_set_up(&device);
	netif_set_link_up(&device);
	UNLOCK_TCPIP_CORE();
	if (pthread_create(&receiver, NULL, receive_packets, NULL) != 0) {
		fputs("lwip: no thread\n", stderr);
		exit(EXIT_FAILURE);
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fputs("usage: lwip OWN-ADDRESS client|server ADDRESS PORT STEP ...\n", stderr);
		return EXIT_USAGE;
	}
	start_stack(argv[1]);
	int status = peer_main(argc - 1, argv + 1);
	/* The stack ends with its process: its connections are to end before. */
	for (int64_t end_ns = now_ns() + LINGER_NS; tcp_active_pcbs != NULL && now_ns() < end_ns;) {
		sleep_ns(NS_PER_MS);
	}
	return status;
}
#else
#include <stdio.h>

int main(void)
{
	fputs("lwip: made without lwIP: contrib/bootstrap --lab installs it\n", stderr);
	return 77;
}
#endif
