/* count: the yardstick of make bench, a bare libpcap loop that counts packets. */
#include <err.h>
#include <pcap/pcap.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char text[PCAP_ERRBUF_SIZE];
	if (argc != 2) {
		errx(2, "usage: count FILE");
	}
	pcap_t *pcap = pcap_open_offline(argv[1], text);
	if (pcap == NULL) {
		errx(1, "%s", text);
	}
	struct pcap_pkthdr *header;
	const u_char *data;
	unsigned long n = 0, bytes = 0;
	int rc;
	while ((rc = pcap_next_ex(pcap, &header, &data)) == 1) {
		n++;
		bytes += header->len;
	}
	if (rc == PCAP_ERROR) {
		errx(1, "%s: %s", argv[1], pcap_geterr(pcap));
	}
	pcap_close(pcap);
	printf("%lu packets, %lu bytes\n", n, bytes);
	return 0;
}
