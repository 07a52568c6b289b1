#include "lib/report/groups.h"

#include "lib/base/grow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* First byte of a key: what the rest is. */
enum { KEY_TEXT = 0, KEY_PORT = 1, KEY_ADDR = 2, KEY_END = 3, KEY_CAUSE = 4, KEY_NOT_SLOW = 5, KEY_ENDPOINT = 6 };

/* Where in a key of KEY_END or KEY_ENDPOINT the port is, behind kind, family and address; and what follows. */
enum { PORT_AT = 18, SERVICE_AT = 20 };

void cu_groups_init(struct cu_groups *groups, unsigned by)
{
	*groups = (struct cu_groups){.by = by, .seed = cu_hash_seed_random()};
}

void cu_groups_release(struct cu_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++) {
		cu_histogram_release(&groups->group[i].histogram);
	}
	cu_histogram_release(&groups->others.histogram);
	free(groups->group);
	cu_index_release(&groups->index);
}

struct key {
	uint8_t len;
	uint8_t bytes[CU_GROUP_KEY_CAP];
};

static void key_begin(struct key *key, uint8_t kind)
{
	key->bytes[0] = kind;
	key->len = 1;
}

static void key_add(struct key *key, const void *data, size_t len)
{
	size_t room = sizeof(key->bytes) - key->len;
	len = len < room ? len : room;
	if (len > 0) {
		memcpy(key->bytes + key->len, data, len);
	}
	key->len = (uint8_t)(key->len + len);
}

static void key_add_port(struct key *key, uint16_t port)
{
	uint8_t bytes[2];
	cu_put_le16(bytes, port);
	key_add(key, bytes, sizeof(bytes));
}

static void key_add_addr(struct key *key, const struct cu_addr *addr)
{
	key_add(key, &addr->family, 1);
	key_add(key, addr->bytes, sizeof(addr->bytes));
}

static void key_add_service(struct key *key, const struct cu_verdict *verdict, unsigned port)
{
	char text[16];
	if (verdict != NULL && verdict->service.len > 0) {
		key_add(key, verdict->service.data, verdict->service.len);
	} else {
		key_add(key, text, (size_t)snprintf(text, sizeof(text), "port %u", port & UINT16_MAX));
	}
}

static unsigned longest_cause(const struct cu_transaction *transaction)
{
	unsigned longest = CU_CAUSE_NONE;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (transaction->ledger[cause].ns > transaction->ledger[longest].ns) {
			longest = cause;
		}
	}
	return longest;
}

static void make_key(unsigned by, const struct cu_report_transaction *item, struct key *key)
{
	static const struct cu_connection nobody;
	const struct cu_connection *connection = item->connection != NULL ? item->connection : &nobody;
	const struct cu_verdict *verdict = item->verdict;
	if (by == CU_REPORT_BY_SERVICE && verdict != NULL && verdict->service.len > 0) {
		key_begin(key, KEY_TEXT);
		key_add(key, verdict->service.data, verdict->service.len);
	} else if (by == CU_REPORT_BY_SERVICE) {
		key_begin(key, KEY_PORT);
		key_add_port(key, connection->server_port);
	} else if (by == CU_REPORT_BY_SERVER || by == CU_GROUPS_BY_ENDPOINT) {
		key_begin(key, by == CU_REPORT_BY_SERVER ? KEY_END : KEY_ENDPOINT);
		key_add_addr(key, &connection->server);
		key_add_port(key, connection->server_port);
		if (by == CU_GROUPS_BY_ENDPOINT) {
			key_add_service(key, verdict, connection->server_port);
		}
	} else if (by == CU_REPORT_BY_CLIENT) {
		key_begin(key, KEY_ADDR);
		key_add_addr(key, &connection->client);
	} else if (verdict != NULL && !verdict->slow) {
		key_begin(key, KEY_NOT_SLOW);
	} else {
		unsigned cause = verdict != NULL ? verdict->cause : longest_cause(item->transaction);
		key_begin(key, KEY_CAUSE);
		key_add(key, &(uint8_t){(uint8_t)cause}, 1);
	}
}

/* The group with this key, made if need be; NULL when memory ran out. */
static struct cu_group *get_group(struct cu_groups *groups, const struct key *key)
{
	uint32_t tag = cu_index_tag(cu_hash_bytes(groups->seed, key->bytes, key->len));
	for (uint32_t i = tag, at; (at = cu_index_walk(&groups->index, tag, &i)) != 0;) {
		struct cu_group *group = &groups->group[at - 1];
		if (group->key_len == key->len && memcmp(group->key, key->bytes, key->len) == 0) {
			return group;
		}
	}
	if (groups->n == CU_GROUPS_CAP) {
		return &groups->others;
	}
	if (!cu_grow((void **)&groups->group, &groups->cap, groups->n, sizeof(*groups->group)) ||
	    !cu_index_add(&groups->index, tag, (uint32_t)groups->n + 1)) {
		return NULL;
	}
	struct cu_group *group = &groups->group[groups->n++];
	*group = (struct cu_group){.key_len = key->len};
	memcpy(group->key, key->bytes, key->len);
	return group;
}

int cu_groups_add(struct cu_groups *groups, const struct cu_report_transaction *item)
{
	struct key key;
	make_key(groups->by, item, &key);
	struct cu_group *group = get_group(groups, &key);
	const struct cu_transaction *transaction = item->transaction;
	if (group == NULL) {
		return CU_ERR_NOMEM;
	}
	if (!groups->requests_only || transaction->kind == CU_TXN_REQUEST) {
		if (!cu_histogram_add(&group->histogram, transaction->total_ns)) {
			return CU_ERR_NOMEM;
		}
		group->total_ns += transaction->total_ns > 0 ? (uint64_t)transaction->total_ns : 0;
	}
	group->n++;
	group->n_by_kind[transaction->kind <= CU_TXN_CLOSE ? transaction->kind : 0U]++;
	if (item->verdict != NULL && item->verdict->slow) {
		unsigned blame =
			item->verdict->blame < CU_N_PARTIES ? item->verdict->blame : (unsigned)CU_PARTY_UNKNOWN;
		unsigned cause = item->verdict->cause < CU_N_CAUSES ? item->verdict->cause : (unsigned)CU_CAUSE_NONE;
		group->n_slow++;
		group->slow_by_party[blame]++;
		group->slow_by_cause[cause] += cause != CU_CAUSE_NONE && cu_cause_party(cause) == blame;
	}
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		if (transaction->ledger[cause].ns > 0) {
			group->ns_by_cause[cause] += (uint64_t)transaction->ledger[cause].ns;
		}
	}
	return 0;
}

/* Adds one group's counts to another. */
static int merge(struct cu_group *sum, const struct cu_group *group)
{
	if (!cu_histogram_merge(&sum->histogram, &group->histogram)) {
		return CU_ERR_NOMEM;
	}
	sum->n += group->n;
	sum->n_slow += group->n_slow;
	sum->total_ns += group->total_ns;
	for (unsigned kind = 0; kind <= CU_TXN_CLOSE; kind++) {
		sum->n_by_kind[kind] += group->n_by_kind[kind];
	}
	for (unsigned party = 0; party < CU_N_PARTIES; party++) {
		sum->slow_by_party[party] += group->slow_by_party[party];
	}
	for (unsigned cause = 0; cause < CU_N_CAUSES; cause++) {
		sum->slow_by_cause[cause] += group->slow_by_cause[cause];
		sum->ns_by_cause[cause] += group->ns_by_cause[cause];
	}
	return 0;
}

int cu_groups_keep(struct cu_groups *groups, size_t n)
{
	int error = 0;
	while (groups->n > n && error == 0) {
		struct cu_group *last = &groups->group[groups->n - 1];
		error = merge(&groups->others, last);
		if (error == 0) {
			cu_histogram_release(&last->histogram);
			groups->n--;
		}
	}
	return error;
}

uint64_t cu_group_party_ns(const struct cu_group *group, unsigned party)
{
	uint64_t ns = 0;
	for (unsigned cause = 1; cause < CU_N_CAUSES; cause++) {
		ns += cu_cause_party(cause) == party ? group->ns_by_cause[cause] : 0;
	}
	return ns;
}

static int compare(const void *left, const void *right)
{
	const struct cu_group *a = left, *b = right;
	if (a->n_slow != b->n_slow) {
		return a->n_slow > b->n_slow ? -1 : 1;
	}
	if (a->total_ns != b->total_ns) {
		return a->total_ns > b->total_ns ? -1 : 1;
	}
	int order = memcmp(a->key, b->key, a->key_len < b->key_len ? a->key_len : b->key_len);
	return order != 0 ? order : (int)a->key_len - (int)b->key_len;
}

void cu_groups_sort(struct cu_groups *groups)
{
	if (groups->n > 1) {
		qsort(groups->group, groups->n, sizeof(*groups->group), compare);
	}
}

/* An address in a key, behind its kind. */
static struct cu_addr addr_in(const struct cu_group *group)
{
	struct cu_addr addr = {.family = group->key[1]};
	memcpy(addr.bytes, group->key + 2, sizeof(addr.bytes));
	return addr;
}

struct cu_text cu_group_service(const struct cu_group *group)
{
	return (struct cu_text){(const char *)group->key + SERVICE_AT, (uint32_t)group->key_len - SERVICE_AT};
}

void cu_group_name(const struct cu_groups *groups, const struct cu_group *group, struct cu_buf *name)
{
	char text[CU_TEXT_CAP];
	struct cu_addr addr;
	if (group == &groups->others) {
		CU_PUT(name, "(others)");
		return;
	}
	switch (group->key[0]) {
	case KEY_TEXT:
		cu_put(name, (const char *)group->key + 1, group->key_len - 1U);
		break;
	case KEY_PORT:
		CU_PUT(name, "port ");
		cu_buf_add_u64(name, cu_get_le16(group->key + 1));
		break;
	case KEY_ADDR:
		addr = addr_in(group);
		cu_puts(name, cu_format_addr(text, &addr));
		break;
	case KEY_END:
	case KEY_ENDPOINT:
		addr = addr_in(group);
		cu_puts(name, addr.family == 6 ? "[" : "");
		cu_puts(name, cu_format_addr(text, &addr));
		cu_puts(name, addr.family == 6 ? "]:" : ":");
		cu_buf_add_u64(name, cu_get_le16(group->key + PORT_AT));
		break;
	case KEY_CAUSE:
		cu_puts(name, cu_cause_name(group->key[1]));
		break;
	default:
		CU_PUT(name, "(not slow)");
		break;
	}
}
