#include "lib/report/top.h"

#include <stdlib.h>

void cu_top_init(struct cu_top *top, size_t limit)
{
	*top = (struct cu_top){.limit = limit};
}

void cu_top_release(struct cu_top *top)
{
	for (size_t i = 0; i < top->n; i++) {
		cu_buf_release(&top->entry[i].blob);
	}
	free(top->entry);
	*top = (struct cu_top){.limit = top->limit};
}

/* Whether a is to go before b. */
static bool less(const struct cu_top_entry *a, const struct cu_top_entry *b)
{
	return a->key != b->key ? a->key < b->key : a->order > b->order;
}

static void swap(struct cu_top *top, size_t i, size_t j)
{
	struct cu_top_entry entry = top->entry[i];
	top->entry[i] = top->entry[j];
	top->entry[j] = entry;
}

/* The entry at i may be less than its parents: its place in the end. */
static size_t sift_up(struct cu_top *top, size_t i)
{
	while (i > 0 && less(&top->entry[i], &top->entry[(i - 1) / 2])) {
		swap(top, i, (i - 1) / 2);
		i = (i - 1) / 2;
	}
	return i;
}

/* The entry at i may not be less than its children: its place in the end. */
static size_t sift_down(struct cu_top *top, size_t i)
{
	for (;;) {
		size_t least = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < top->n; child++) {
			if (less(&top->entry[child], &top->entry[least])) {
				least = child;
			}
		}
		if (least == i) {
			return i;
		}
		swap(top, i, least);
		i = least;
	}
}

static bool grow(struct cu_top *top)
{
	size_t cap = top->cap == 0 ? 16 : top->cap * 2;
	struct cu_top_entry *entry = reallocarray(top->entry, cap, sizeof(*entry));
	if (entry == NULL) {
		return false;
	}
	top->entry = entry;
	top->cap = cap;
	return true;
}

struct cu_buf *cu_top_offer(struct cu_top *top, int64_t key, bool *nomem)
{
	struct cu_top_entry entry = {.key = key, .order = top->n_offered++};
	size_t i;
	if (top->n < top->limit) {
		if (top->n == top->cap && !grow(top)) {
			*nomem = true;
			return NULL;
		}
		top->entry[top->n] = entry;
		i = sift_up(top, top->n++);
	} else {
		if (top->n == 0 || less(&entry, &top->entry[0])) {
			return NULL;
		}
		entry.blob = top->entry[0].blob;
		top->entry[0] = entry;
		i = sift_down(top, 0);
	}
	cu_buf_clear(&top->entry[i].blob);
	return &top->entry[i].blob;
}

static int compare(const void *left, const void *right)
{
	const struct cu_top_entry *a = left, *b = right;
	return less(a, b) ? 1 : less(b, a) ? -1 : 0;
}

void cu_top_sort(struct cu_top *top)
{
	if (top->n > 1) {
		qsort(top->entry, top->n, sizeof(*top->entry), compare);
	}
}
