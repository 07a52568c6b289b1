#include "lib/flow/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cu_flow_key flow_of(const char *src, uint16_t src_port, const char *dst, uint16_t dst_port)
{
	struct cu_flow_key flow = {.src_port = src_port, .dst_port = dst_port};
	assert_true(cu_parse_addr(src, &flow.src));
	assert_true(cu_parse_addr(dst, &flow.dst));
	return flow;
}

static struct cu_flow_key reversed(const struct cu_flow_key *flow)
{
	struct cu_flow_key back = *flow;
	back.src = flow->dst;
	back.dst = flow->src;
	back.src_port = flow->dst_port;
	back.dst_port = flow->src_port;
	return back;
}

static void test_key_make_both_directions(void **state)
{
	(void)state;
	static const struct {
		const char *src, *dst;
		uint16_t src_port, dst_port;
		bool from_lower;
	} cases[] = {
		{"10.0.0.1", "10.0.0.2", 40000, 80, true},
		{"10.0.0.2", "10.0.0.1", 80, 40000, false},
		{"10.0.0.1", "10.0.0.1", 80, 40000, true},
		{"10.0.0.1", "10.0.0.1", 40000, 80, false},
		{"255.255.255.255", "0.0.0.1", 0, 65535, false},
		{"2001:db8::1", "2001:db8::2", 40000, 80, true},
		{"2001:db8:0:1::1", "2001:db8::2", 40000, 80, false},
		{"::1", "::1", 2, 1, false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cu_flow_key flow = flow_of(cases[i].src, cases[i].src_port, cases[i].dst, cases[i].dst_port);
		struct cu_flow_key back = reversed(&flow);
		struct cu_key key, back_key;
		assert_int_equal(cu_key_make(&flow, 0, &key), cases[i].from_lower);
		assert_int_equal(cu_key_make(&back, 0, &back_key), !cases[i].from_lower);
		assert_memory_equal(&key, &back_key, sizeof(key));

		struct cu_addr addr[2];
		uint16_t port[2];
		cu_key_ends(&key, addr, port);
		unsigned src = cases[i].from_lower ? 0 : 1;
		assert_true(cu_addr_equal(&addr[src], &flow.src));
		assert_true(cu_addr_equal(&addr[1 - src], &flow.dst));
		assert_int_equal(port[src], flow.src_port);
		assert_int_equal(port[1 - src], flow.dst_port);
	}
}

static void test_key_make_ends_equal(void **state)
{
	(void)state;
	struct cu_flow_key flow = flow_of("10.0.0.1", 80, "10.0.0.1", 80);
	struct cu_key key;
	assert_true(cu_key_make(&flow, 0, &key));
}

static void test_key_make_ids(void **state)
{
	(void)state;
	struct cu_flow_key flow = flow_of("10.0.0.1", 40000, "10.0.0.2", 80);
	struct cu_key plain, tagged, ignored;
	uint32_t ids[CU_VLAN_CAP];
	cu_key_make(&flow, 0, &plain);
	assert_int_equal(cu_key_ids(&plain, ids), 0);
	flow.n_ids = 3;
	flow.ids[0] = 1U << 24 | 100;
	flow.ids[1] = 7U << 24 | 5001;
	flow.ids[2] = 1U << 24 | 200;
	cu_key_make(&flow, 0, &tagged);
	assert_memory_not_equal(&plain, &tagged, sizeof(plain));
	assert_int_equal(cu_key_ids(&tagged, ids), 3);
	assert_memory_equal(ids, flow.ids, 3 * sizeof(ids[0]));
	cu_key_make(&flow, CU_IGNORE_VLAN, &ignored);
	assert_int_equal(cu_key_ids(&ignored, ids), 1);
	assert_int_equal(ids[0], 7U << 24 | 5001);
}

static struct cu_key key_of(unsigned n)
{
	struct cu_flow_key flow = flow_of(n % 3 == 0 ? "2001:db8::1" : "10.0.0.1", (uint16_t)n,
	                                  n % 3 == 0 ? "2001:db8::2" : "10.0.0.2", (uint16_t)(n >> 16));
	flow.n_ids = n % 5 == 0;
	flow.ids[0] = 1U << 24 | n % 4;
	struct cu_key key;
	cu_key_make(&flow, 0, &key);
	return key;
}

/* Against an array: the same connections are found whatever was added and removed. */
static void test_table_add_find_remove(void **state)
{
	(void)state;
	enum { N_KEYS = 6000, N_STEPS = 60000 };
	static struct cu_flow *flows[N_KEYS];
	memset(flows, 0, sizeof(flows));
	struct cu_table table;
	assert_int_equal(cu_table_init(&table), 0);
	uint32_t n = 0, x = 1;
	for (unsigned step = 0; step < N_STEPS; step++) {
		x = x * 1664525 + 1013904223;
		unsigned k = (x >> 8) % N_KEYS;
		struct cu_key key = key_of(k + 1);
		uint32_t tag = cu_table_tag(&table, &key);
		assert_ptr_equal(cu_table_find(&table, tag, &key), flows[k]);
		if (flows[k] == NULL) {
			flows[k] = cu_table_add(&table, tag, &key);
			assert_non_null(flows[k]);
			assert_true(cu_flow_has_key(flows[k], &key));
			assert_non_null(cu_table_guess(&table, tag));
			n++;
		} else if (x >> 31 == 0) {
			cu_table_remove(&table, flows[k]);
			flows[k] = NULL;
			n--;
		}
		assert_int_equal(table.index.n, n);
	}
	for (unsigned k = 0; k < N_KEYS; k++) {
		struct cu_key key = key_of(k + 1);
		assert_ptr_equal(cu_table_find(&table, cu_table_tag(&table, &key), &key), flows[k]);
	}
	cu_table_release(&table);
}

/* Every connection has the same tag: slow, but right. */
static void test_table_remove_colliding(void **state)
{
	(void)state;
	enum { N = 200 };
	struct cu_table table;
	assert_int_equal(cu_table_init(&table), 0);
	struct cu_flow *flows[N];
	for (unsigned i = 0; i < N; i++) {
		struct cu_key key = key_of(i + 1);
		flows[i] = cu_table_add(&table, 0xffffffff, &key);
	}
	for (unsigned i = 0; i < N; i += 2) {
		cu_table_remove(&table, flows[i]);
	}
	for (unsigned i = 0; i < N; i++) {
		struct cu_key key = key_of(i + 1);
		assert_ptr_equal(cu_table_find(&table, 0xffffffff, &key), i % 2 == 0 ? NULL : flows[i]);
	}
	cu_table_release(&table);
}

static void test_list_remove_anywhere(void **state)
{
	(void)state;
	struct cu_table table;
	assert_int_equal(cu_table_init(&table), 0);
	struct cu_flow *flows[4];
	for (unsigned i = 0; i < 4; i++) {
		struct cu_key key = key_of(i + 1);
		flows[i] = cu_table_add(&table, cu_table_tag(&table, &key), &key);
		cu_list_append(&table, CU_LIST_OPEN, flows[i]);
		cu_list_append(&table, CU_LIST_PENDING, flows[i]);
	}
	cu_list_remove(&table, CU_LIST_OPEN, flows[1]);
	cu_list_remove(&table, CU_LIST_OPEN, flows[3]);
	cu_list_remove(&table, CU_LIST_OPEN, flows[0]);
	assert_int_equal(table.lists[CU_LIST_OPEN].head, flows[2]->ref);
	assert_int_equal(table.lists[CU_LIST_OPEN].tail, flows[2]->ref);
	assert_int_equal(table.lists[CU_LIST_OPEN].n, 1);
	cu_list_remove(&table, CU_LIST_OPEN, flows[2]);
	assert_int_equal(table.lists[CU_LIST_OPEN].head, 0);
	assert_int_equal(table.lists[CU_LIST_OPEN].tail, 0);
	assert_int_equal(table.lists[CU_LIST_PENDING].head, flows[0]->ref);
	assert_int_equal(table.lists[CU_LIST_PENDING].tail, flows[3]->ref);
	cu_table_release(&table);
}

static void test_spool_grow_keeps_content(void **state)
{
	(void)state;
	enum { N_SPOOLS = 7, N_ROUNDS = 600 };
	struct cu_spool_pool pool = {0};
	struct cu_spool spools[N_SPOOLS] = {{0}};
	static uint8_t expected[N_SPOOLS][CU_SPOOL_LARGE];
	for (unsigned round = 0; round < N_ROUNDS; round++) {
		for (unsigned i = 0; i < N_SPOOLS; i++) {
			struct cu_spool *spool = &spools[i];
			size_t len = (round * 7 + i * 13) % 150;
			if (spool->len + len > CU_SPOOL_LARGE) {
				assert_memory_equal(spool->data, expected[i], spool->len);
				cu_spool_clear(&pool, spool);
				assert_null(spool->data);
			}
			if (spool->len + len > spool->cap) {
				assert_int_equal(cu_spool_grow(&pool, spool, len), 0);
				assert_in_range(spool->cap, spool->len + len, CU_SPOOL_LARGE);
			}
			memset(expected[i] + spool->len, (int)(round + i), len);
			if (len > 0) {
				memset(spool->data + spool->len, (int)(round + i), len);
			}
			spool->len = (uint16_t)(spool->len + len);
		}
	}
	for (unsigned i = 0; i < N_SPOOLS; i++) {
		if (spools[i].len > 0) {
			assert_memory_equal(spools[i].data, expected[i], spools[i].len);
		}
		cu_spool_clear(&pool, &spools[i]);
	}
	assert_int_equal(pool.n_bytes, 0);
	assert_in_range(pool.n_slabs, 1, CU_SPOOL_CLASSES);
	cu_spool_pool_release(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_make_both_directions),
		cmocka_unit_test(test_key_make_ends_equal),
		cmocka_unit_test(test_key_make_ids),
		cmocka_unit_test(test_table_add_find_remove),
		cmocka_unit_test(test_table_remove_colliding),
		cmocka_unit_test(test_list_remove_anywhere),
		cmocka_unit_test(test_spool_grow_keeps_content),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
