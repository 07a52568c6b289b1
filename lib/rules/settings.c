/*
 * Thresholds and services of a rules file.
 */
#include "lib/rules/load.h"

#include "lib/base/grow.h"
#include "lib/base/nearest.h"

#include <string.h>

/* A threshold, and a warning of one that cannot be meant. */
static bool take_threshold(struct cu_load *load, const struct cu_yaml *node, int64_t *ns)
{
	if (!cu_load_duration(load, node, ns)) {
		return false;
	}
	if (*ns < CU_NS_PER_US || *ns > (86400 * CU_NS_PER_S)) {
		cu_yaml_warn_at(&load->rules->diag, node, 0, node->len,
		                "with a threshold of %s %s is slow; ms is meant?", node->text,
		                *ns < CU_NS_PER_US ? "everything" : "nothing");
	}
	return true;
}

static bool take_slow(struct cu_load *load, const struct cu_yaml *node, struct cu_slow *slow)
{
	if (node->kind == CU_YAML_SCALAR) {
		return take_threshold(load, node, &slow->ns[CU_TXN_NONE]);
	}
	if (node->kind == CU_YAML_SEQUENCE) {
		cu_yaml_error(&load->rules->diag, node,
		              "expected a duration, or a mapping of kinds of transaction to durations");
		return false;
	}
	bool good = true;
	for (const struct cu_yaml *child = node->child; child; child = child->next) {
		int kind = cu_yaml_is(child->key, "default")
		                   ? CU_TXN_NONE
		                   : cu_names_find(&cu_txn_kind_names, child->key->text, child->key->len);
		if (kind < 0 || (kind == CU_TXN_NONE && !cu_yaml_is(child->key, "default"))) {
			cu_yaml_error(
				&load->rules->diag, child->key,
				"'%s' is no kind of transaction; there are default, connect, greeting, tls-handshake, request, close",
				child->key->text);
			good = false;
		} else {
			good = take_threshold(load, child, &slow->ns[kind]) && good;
		}
	}
	return good;
}

/* Calls take for a scalar, or each of a sequence of them. */
static bool for_each(struct cu_load *load, const struct cu_yaml *node, const char *what, struct cu_service *service,
                     bool (*take)(struct cu_load *, const struct cu_yaml *, struct cu_service *))
{
	if (node->kind != CU_YAML_SEQUENCE) {
		return cu_load_is_scalar(load, node, what) && take(load, node, service);
	}
	bool good = true;
	for (const struct cu_yaml *child = node->child; child; child = child->next) {
		good = cu_load_is_scalar(load, child, what) && take(load, child, service) && good;
	}
	return good;
}

/* Room for one more of n items of size bytes, which are moved when there are as many as a power of two. */
static void *grow(struct cu_load *load, void *items, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0) {
		return items;
	}
	void *grown = cu_heap_get(&load->rules->heap, (n > 0 ? 2 * n : 1) * size);
	if (grown && n > 0) {
		memcpy(grown, items, n * size);
	}
	return grown;
}

static bool add_port_range(struct cu_load *load, struct cu_service *service, double low, double high)
{
	struct cu_range *ports = grow(load, service->ports, service->n_ports, sizeof(*ports));
	if (ports) {
		ports[service->n_ports++] = (struct cu_range){low, high};
		service->ports = ports;
	}
	return ports != NULL;
}

static bool parse_ports(const char *text, size_t len, double *low, double *high)
{
	char copy[16];
	uint64_t first, last;
	if (len == 0 || len >= sizeof(copy)) {
		return false;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	char *dash = strchr(copy, '-');
	if (dash) {
		*dash = '\0';
	}
	if (!cu_parse_u64(copy, UINT16_MAX, &first)) {
		return false;
	}
	last = first;
	if (dash && !cu_parse_u64(dash + 1, UINT16_MAX, &last)) {
		return false;
	}
	*low = (double)first;
	*high = (double)last;
	return first <= last;
}

static bool take_port(struct cu_load *load, const struct cu_yaml *node, struct cu_service *service)
{
	double low, high;
	if (!parse_ports(node->text, node->len, &low, &high)) {
		cu_yaml_error(&load->rules->diag, node, "'%s' is no port; write 8080 or 8000-8099", node->text);
		return false;
	}
	return add_port_range(load, service, low, high);
}

static bool add_network(struct cu_load *load, const struct cu_yaml *node, struct cu_service *service,
                        struct cu_network network)
{
	char text[CU_TEXT_CAP];
	if (cu_network_trim(&network.addr, network.prefix)) {
		cu_yaml_warn_at(&load->rules->diag, node, 0, node->len,
		                "the address has bits behind its prefix; the network is %s/%u",
		                cu_format_addr(text, &network.addr), network.prefix);
	}
	struct cu_network *networks = grow(load, service->networks, service->n_networks, sizeof(*networks));
	if (networks) {
		networks[service->n_networks++] = network;
		service->networks = networks;
	}
	return networks != NULL;
}

static bool take_host(struct cu_load *load, const struct cu_yaml *node, struct cu_service *service)
{
	struct cu_network network = {.prefix = 0};
	if (!cu_parse_network(node->text, node->len, &network.addr, &network.prefix)) {
		cu_yaml_error(&load->rules->diag, node,
		              "'%s' is no address or network; write 10.0.0.5, 10.0.0.0/8 or 2001:db8::/32", node->text);
		return false;
	}
	return add_network(load, node, service, network);
}

static bool is_pattern(const struct cu_yaml *key)
{
	return strpbrk(key->text, ":/*") || (key->text[0] >= '0' && key->text[0] <= '9');
}

/* Where the ':' before an endpoint pattern's port is; NULL without one. Addresses of IPv6 have more than one. */
static const char *port_colon(const char *text)
{
	const char *colon = strrchr(text, ':');
	bool many = colon && strchr(text, ':') != colon;
	return colon && (!many || (text[0] == '[' && colon[-1] == ']')) ? colon : NULL;
}

static bool refuse_pattern(struct cu_load *load, const struct cu_yaml *key)
{
	double low, high;
	if (parse_ports(key->text, key->len, &low, &high)) {
		cu_yaml_error(&load->rules->diag, key, "a port of any address is written '*:%s'", key->text);
	} else if (strcmp(key->text, "*") == 0) {
		cu_yaml_error(&load->rules->diag, key, "every endpoint has the threshold that 'slow' gives");
	} else {
		cu_yaml_error(
			&load->rules->diag, key,
			"'%s' is no name of a service and no endpoint; write postgresql, 10.0.0.0/8:8080 or [2001:db8::/32]:443",
			key->text);
	}
	return false;
}

/* A key of services that is an endpoint pattern: 10.0.0.0/8:8080, 10.0.0.5, [2001:db8::/32]:443, *:8080. */
static bool take_pattern(struct cu_load *load, const struct cu_yaml *key, struct cu_service *service)
{
	const char *text = key->text, *colon = port_colon(text);
	size_t addr_len = colon ? (size_t)(colon - text) : key->len;
	struct cu_network network = {.prefix = 0};
	double low, high;
	if (colon && !parse_ports(colon + 1, key->len - addr_len - 1, &low, &high)) {
		cu_yaml_error_at(&load->rules->diag, key, addr_len + 1, key->len - addr_len - 1,
		                 "expected a port behind the colon: 8080 or 8000-8099");
		return false;
	}
	if (colon && !add_port_range(load, service, low, high)) {
		return false;
	}
	if (colon && addr_len == 1 && text[0] == '*') {
		return true;
	}
	if (text[0] == '[' && addr_len > 2 && text[addr_len - 1] == ']') {
		text++;
		addr_len -= 2;
	}
	if (!cu_parse_network(text, addr_len, &network.addr, &network.prefix)) {
		return refuse_pattern(load, key);
	}
	return add_network(load, key, service, network);
}

static bool take_service_keys(struct cu_load *load, const struct cu_yaml *node, struct cu_service *service)
{
	static const char *const keys[] = {"ports", "hosts", "slow", "port", "host", NULL};
	bool good = true, ports = false, hosts = false;
	for (const struct cu_yaml *child = node->child; child; child = child->next) {
		const struct cu_yaml *key = child->key;
		if (cu_yaml_is(key, "slow")) {
			service->slow = (struct cu_slow){{0}};
			good = take_slow(load, child, &service->slow) && good;
		} else if (cu_yaml_is(key, "port") || cu_yaml_is(key, "ports")) {
			service->n_ports = ports ? service->n_ports : 0;
			ports = true;
			good = for_each(load, child, "a port", service, take_port) && good;
		} else if (cu_yaml_is(key, "host") || cu_yaml_is(key, "hosts")) {
			service->n_networks = hosts ? service->n_networks : 0;
			hosts = true;
			good = for_each(load, child, "an address", service, take_host) && good;
		} else {
			cu_load_unknown_key(load, key, "a service has", keys);
			good = false;
		}
	}
	return good;
}

/* A service that is known, or a new one; NULL when what it is called makes no sense. */
static struct cu_service *find_service(struct cu_load *load, const struct cu_yaml *key)
{
	struct cu_rules *rules = load->rules;
	struct cu_services *services = &rules->services;
	if (key->len == 0) {
		cu_yaml_error(&rules->diag, key, "a service without a name");
		return NULL;
	}
	struct cu_service *service = cu_name_table_get(&rules->service_names, key->text, key->len);
	if (service) {
		return service;
	}
	service = cu_heap_get(&rules->heap, sizeof(*service));
	if (!service) {
		return NULL;
	}
	service->name = (struct cu_text){key->text, (uint32_t)key->len};
	service->nameless = is_pattern(key);
	if (service->nameless && !take_pattern(load, key, service)) {
		return NULL;
	}
	if (!cu_grow((void **)&services->items, &services->cap, services->n, sizeof(*services->items)) ||
	    !cu_name_table_put(&rules->service_names, key->text, service)) {
		rules->heap.failed = true;
		return NULL;
	}
	services->items[services->n++] = service;
	return service;
}

static void unknown_service(struct cu_load *load, const struct cu_yaml *key)
{
	struct cu_nearest nearest;
	cu_nearest_begin(&nearest, key->text, key->len);
	for (size_t i = 0; cu_port_name_at(i); i++) {
		cu_nearest_try(&nearest, cu_port_name_at(i));
	}
	if (nearest.name) {
		cu_yaml_error(&load->rules->diag, key,
		              "no service is known as '%s'; did you mean '%s'? Or give it ports or hosts", key->text,
		              nearest.name);
	} else {
		cu_yaml_error(&load->rules->diag, key, "no service is known as '%s'; give it ports or hosts",
		              key->text);
	}
}

static void take_service(struct cu_load *load, const struct cu_yaml *node)
{
	struct cu_service *service = find_service(load, node->key);
	if (!service) {
		return;
	}
	service->order = ++load->rules->services.n_definitions;
	bool has_keys = node->kind == CU_YAML_MAPPING && !service->nameless;
	bool good = has_keys ? take_service_keys(load, node, service) : take_slow(load, node, &service->slow);
	bool has_place = service->nameless || service->n_ports + service->n_networks > 0 ||
	                 cu_port_name_known(service->name.data, service->name.len);
	if (good && !has_place) {
		unknown_service(load, node->key);
	}
}

void cu_load_settings(struct cu_load *load, const struct cu_yaml *item)
{
	const struct cu_yaml *slow = cu_yaml_find(item, "slow"), *services = cu_yaml_find(item, "services");
	if (slow && take_slow(load, slow, &load->rules->services.slow) && slow->kind == CU_YAML_SCALAR) {
		if (load->slow) {
			cu_yaml_warn_at(&load->rules->diag, slow, 0, slow->len,
			                "takes the place of the default on line %zu",
			                cu_rules_source_line(load->source, load->slow->offset) + 1);
		}
		load->slow = slow;
	}
	if (!services) {
		return;
	}
	if (services->kind != CU_YAML_MAPPING) {
		cu_yaml_error(&load->rules->diag, services, "services are a mapping: {postgresql: 200ms}");
		return;
	}
	for (const struct cu_yaml *child = services->child; child; child = child->next) {
		take_service(load, child);
	}
}
