#include "lib/rules/service.h"

#include <string.h>

/* Names as IANA's registry of services has them, or as the service's users do; in order of port. */
/* clang-format off */
static const struct {
	uint16_t port;
	const char *name;
} port_names[] = {
	{21, "ftp"},           {22, "ssh"},            {23, "telnet"},         {25, "smtp"},
	{53, "dns"},           {80, "http"},           {88, "kerberos"},       {110, "pop3"},
	{111, "rpcbind"},      {119, "nntp"},          {135, "msrpc"},         {139, "smb"},
	{143, "imap"},         {179, "bgp"},           {389, "ldap"},          {443, "https"},
	{445, "smb"},          {464, "kpasswd"},       {465, "smtps"},         {502, "modbus"},
	{514, "syslog"},       {515, "lpd"},           {543, "klogin"},        {548, "afp"},
	{554, "rtsp"},         {587, "submission"},    {631, "ipp"},           {636, "ldaps"},
	{853, "dns-over-tls"}, {873, "rsync"},         {989, "ftps-data"},     {990, "ftps"},
	{993, "imaps"},        {995, "pop3s"},         {1080, "socks"},        {1433, "sqlserver"},
	{1521, "oracle"},      {1883, "mqtt"},         {2049, "nfs"},          {2181, "zookeeper"},
	{2375, "docker"},      {2376, "docker"},       {2379, "etcd"},         {2380, "etcd-peer"},
	{3128, "http-proxy"},  {3260, "iscsi"},        {3268, "ldap-gc"},      {3269, "ldaps-gc"},
	{3306, "mysql"},       {3389, "rdp"},          {4222, "nats"},         {5060, "sip"},
	{5061, "sips"},        {5222, "xmpp"},         {5432, "postgresql"},   {5433, "postgresql"},
	{5671, "amqps"},       {5672, "amqp"},         {5900, "vnc"},          {5984, "couchdb"},
	{6379, "redis"},       {6380, "redis"},        {6432, "pgbouncer"},    {6443, "kubernetes"},
	{6667, "irc"},         {7000, "cassandra"},    {8000, "http"},         {8008, "http"},
	{8080, "http"},        {8088, "http"},         {8123, "clickhouse"},   {8300, "consul"},
	{8443, "https"},       {8500, "consul"},       {8883, "mqtts"},        {9000, "clickhouse"},
	{9042, "cassandra"},   {9090, "prometheus"},   {9092, "kafka"},        {9100, "node-exporter"},
	{9200, "elasticsearch"}, {9300, "elasticsearch"}, {9418, "git"},       {10250, "kubelet"},
	{11211, "memcached"},  {26379, "redis-sentinel"}, {27017, "mongodb"},  {50051, "grpc"},
};
/* clang-format on */

const char *cu_port_name(unsigned port)
{
	size_t low = 0, high = sizeof(port_names) / sizeof(*port_names);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (port_names[middle].port == port) {
			return port_names[middle].name;
		}
		if (port_names[middle].port < port) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return NULL;
}

const char *cu_port_name_at(size_t n)
{
	return n < sizeof(port_names) / sizeof(*port_names) ? port_names[n].name : NULL;
}

bool cu_port_name_known(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(port_names) / sizeof(*port_names); i++) {
		if (strlen(port_names[i].name) == len && memcmp(port_names[i].name, name, len) == 0) {
			return true;
		}
	}
	return false;
}

static bool same_text(struct cu_text a, struct cu_text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

enum { PORT_FITS = 1 }; /* how closely a port fits by itself */

/* How closely the selectors of a service fit; 0 when they do not, or it has none. */
static unsigned fit(const struct cu_service *service, const struct cu_addr *addr, unsigned port)
{
	enum { IPV4_IN_IPV6 = 96 }; /* so that prefixes of both families compare: 10.0.0.1/32 is as close as a /128 */
	unsigned closest = 0;
	bool port_fits = service->n_ports == 0;
	for (size_t i = 0; i < service->n_networks; i++) {
		const struct cu_network *network = &service->networks[i];
		unsigned closeness = network->prefix + (network->addr.family == 4 ? IPV4_IN_IPV6 : 0U) + 1;
		if (closeness > closest && cu_network_has(&network->addr, network->prefix, addr)) {
			closest = closeness;
		}
	}
	for (size_t i = 0; i < service->n_ports; i++) {
		port_fits = port_fits || (port >= service->ports[i].low && port <= service->ports[i].high);
	}
	if (!port_fits || (service->n_networks > 0 && closest == 0)) {
		return 0;
	}
	return closest * 2 + (service->n_ports > 0 ? PORT_FITS : 0);
}

static bool has_slow(const struct cu_slow *slow)
{
	for (size_t kind = 0; kind < CU_SLOW_KINDS; kind++) {
		if (slow->ns[kind] > 0) {
			return true;
		}
	}
	return false;
}

/* The service that fits an endpoint best so far, and how closely. */
struct best {
	const struct cu_service *service;
	unsigned closeness;
};

static void take_better(struct best *best, const struct cu_service *service, unsigned closeness)
{
	bool better = closeness > best->closeness ||
	              (closeness == best->closeness && best->service && service->order > best->service->order);
	if (closeness > 0 && better) {
		*best = (struct best){service, closeness};
	}
}

void cu_services_find(const struct cu_services *services, const struct cu_addr *addr, unsigned port,
                      struct cu_service_at *at)
{
	struct best named = {0}, timed = {0};
	for (size_t i = 0; i < services->n; i++) {
		const struct cu_service *service = services->items[i];
		if (!service->nameless) {
			take_better(&named, service, fit(service, addr, port));
		}
	}
	const char *known = cu_port_name(port);
	*at = (struct cu_service_at){.addr = *addr, .port = (uint16_t)port, .filled = true};
	at->name = named.service ? named.service->name : (struct cu_text){known, known ? (uint32_t)strlen(known) : 0};
	for (size_t i = 0; i < services->n; i++) {
		const struct cu_service *service = services->items[i];
		bool by_name = !service->nameless && service->n_networks + service->n_ports == 0 && at->name.len > 0 &&
		               same_text(service->name, at->name);
		if (has_slow(&service->slow)) {
			take_better(&timed, service, by_name ? PORT_FITS : fit(service, addr, port));
		}
	}
	int64_t preset = services->slow_override_ns > 0 ? services->slow_override_ns : services->slow.ns[CU_TXN_NONE];
	for (size_t kind = 0; kind < CU_SLOW_KINDS; kind++) {
		int64_t ns = timed.service ? timed.service->slow.ns[kind] : 0;
		if (ns == 0 && timed.service) {
			ns = timed.service->slow.ns[CU_TXN_NONE];
		}
		if (ns == 0 && kind != CU_TXN_NONE) {
			ns = services->slow.ns[kind];
		}
		at->slow.ns[kind] = ns > 0 ? ns : preset;
	}
}
