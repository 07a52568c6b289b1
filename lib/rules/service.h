/*
 * Services: names of endpoints, and when an answer of theirs is slow.
 */
#ifndef CU_RULES_SERVICE_H
#define CU_RULES_SERVICE_H

#include "lib/rules/program.h"

enum { CU_SLOW_KINDS = CU_TXN_CLOSE + 1 };

/* Thresholds by kind of transaction, CU_TXN_NONE for all others; 0 when there is none. Nanoseconds. */
struct cu_slow {
	int64_t ns[CU_SLOW_KINDS];
};

/*
 * A service, or an endpoint pattern that has a threshold only. It is at an
 * endpoint when one of its networks (if it has any) and one of its ports (if
 * it has any) match; with neither, when the endpoint has its name: that is as
 * close as a port.
 */
struct cu_service {
	struct cu_text name;
	bool nameless; /* an endpoint pattern: its name names nothing */
	struct cu_network *networks;
	size_t n_networks;
	struct cu_range *ports;
	size_t n_ports;
	struct cu_slow slow;
	size_t order; /* in which it was defined last, from 1 */
};

struct cu_services {
	struct cu_service **items;
	size_t n, cap, n_definitions;
	struct cu_slow slow;      /* of all services */
	int64_t slow_override_ns; /* --slow: takes the place of slow.ns[CU_TXN_NONE]; 0 not given */
};

/* What is known of an endpoint. */
struct cu_service_at {
	struct cu_addr addr;
	uint16_t port;
	bool filled;
	struct cu_text name; /* empty: unknown */
	struct cu_slow slow; /* every kind's, filled in */
};

/* Works out what is at an endpoint. The most specific network wins, then a port; of equals the one defined last. */
void cu_services_find(const struct cu_services *services, const struct cu_addr *addr, unsigned port,
                      struct cu_service_at *at);

/* The well-known name of a port, or NULL. */
const char *cu_port_name(unsigned port);
/* The n-th well-known name, from 0, in order of port; NULL behind the last. */
const char *cu_port_name_at(size_t n);
/* Whether any well-known port has the name. */
bool cu_port_name_known(const char *name, size_t len);

#endif
