#include "lib/flow/assembly.h"

#include <stdlib.h>
#include <string.h>

struct cu_assembly *cu_assembly_new(void)
{
	struct cu_assembly *assembly = calloc(1, sizeof(*assembly));
	if (assembly != NULL && cu_datagrams_init(&assembly->datagrams) < 0) {
		cu_assembly_free(assembly);
		return NULL;
	}
	return assembly;
}

void cu_assembly_free(struct cu_assembly *assembly)
{
	if (assembly != NULL) {
		cu_datagrams_release(&assembly->datagrams);
	}
	free(assembly);
}

/* A datagram begins in the place of one that is no more waited for; its head need not be cleared. */
static void begin(struct cu_assembly *assembly, struct cu_partial *partial)
{
	assembly->n_broken += partial->has_segment;
	memset(partial, 0, offsetof(struct cu_partial, head));
	partial->head_caplen = CU_HEAD_CAP;
}

/* Adds a run, which joins those that it overlaps or touches. False when there are too many. */
static bool add_run(struct cu_partial *partial, uint16_t from, uint16_t to)
{
	struct cu_run *runs = partial->runs;
	unsigned n = partial->n_runs;
	unsigned i = n; /* fragments come in order, as a rule */
	while (i > 0 && runs[i - 1].from > from) {
		i--;
	}
	if (i > 0 && runs[i - 1].to >= from) {
		i--;
		from = runs[i].from;
	}
	unsigned j = i; /* from i to before j: what becomes one */
	for (; j < n && runs[j].from <= to; j++) {
		to = runs[j].to > to ? runs[j].to : to;
	}
	if (i == j && n == CU_RUNS_CAP) {
		return false;
	}
	memmove(&runs[i + 1], &runs[j], (n - j) * sizeof(runs[0]));
	runs[i] = (struct cu_run){.from = from, .to = to};
	partial->n_runs = (uint16_t)(n - (j - i) + 1);
	return true;
}

/* Whether what the fragment says of the datagram's end goes with what others said. */
static bool is_sound(const struct cu_partial *partial, const struct cu_ip_fragment *fragment)
{
	uint64_t end = (uint64_t)fragment->offset + fragment->len;
	if (end > UINT16_MAX) {
		return false;
	}
	uint32_t seen = partial->n_runs > 0 ? partial->runs[partial->n_runs - 1].to : 0;
	if (fragment->more) {
		return !partial->has_end || end <= partial->len;
	}
	return partial->has_end ? end == partial->len : end >= seen;
}

/* Notes what the first fragment says. */
static void note_first(struct cu_partial *partial, const struct cu_ip_fragment *fragment)
{
	struct cu_packet_content content;
	partial->first = *fragment;
	partial->has_first = true;
	partial->has_segment = cu_packet_decode_datagram(fragment, &content) == CU_PACKET_TCP;
}

static void add(struct cu_partial *partial, const struct cu_ip_fragment *fragment)
{
	partial->n_fragments++;
	if (!is_sound(partial, fragment)) {
		partial->is_spoilt = true;
	}
	if (partial->is_spoilt) {
		return;
	}
	if (fragment->offset == 0 && !partial->has_first) {
		note_first(partial, fragment);
	}
	if (!fragment->more) {
		partial->has_end = true;
		partial->len = fragment->offset + fragment->len;
	}
	uint32_t end = fragment->offset + fragment->caplen;
	if (fragment->caplen < fragment->len && end < partial->head_caplen) {
		partial->head_caplen = end;
	}
	if (fragment->offset < CU_HEAD_CAP) {
		uint32_t room = CU_HEAD_CAP - fragment->offset;
		/* of a fragment inside of another datagram, the data may be here already */
		memmove(partial->head + fragment->offset, fragment->data,
		        fragment->caplen < room ? fragment->caplen : room);
	}
	if (fragment->len > 0 &&
	    !add_run(partial, (uint16_t)fragment->offset, (uint16_t)(fragment->offset + fragment->len))) {
		partial->is_spoilt = true;
	}
}

static bool is_whole(const struct cu_partial *partial)
{
	return !partial->is_spoilt && partial->has_first && partial->has_end && partial->n_runs == 1 &&
	       partial->runs[0].from == 0 && partial->runs[0].to == partial->len;
}

/* The first fragment of another datagram with the same identification: that of the first one was used again. */
static bool is_another(const struct cu_partial *partial, const struct cu_ip_fragment *fragment)
{
	if (fragment->offset != 0 || !partial->has_first) {
		return false;
	}
	uint32_t n = fragment->caplen < partial->first.caplen ? fragment->caplen : partial->first.caplen;
	return memcmp(partial->head, fragment->data, n < CU_HEAD_CAP ? n : CU_HEAD_CAP) != 0;
}

/* The datagram that is whole with this fragment, or NULL. Good until the next call. */
static struct cu_partial *put(struct cu_assembly *assembly, int64_t time_ns, const struct cu_ip_fragment *fragment)
{
	bool is_new;
	uint32_t idx = cu_datagrams_get(&assembly->datagrams, fragment, time_ns, &is_new);
	struct cu_partial *partial = &assembly->partials[idx];
	if (is_new || is_another(partial, fragment)) {
		begin(assembly, partial);
	}
	add(partial, fragment);
	if (!is_whole(partial)) {
		return NULL;
	}
	partial->has_segment = false;
	cu_datagrams_remove(&assembly->datagrams, idx);
	return partial;
}

static enum cu_packet_kind decode_whole(const struct cu_partial *partial, struct cu_packet_content *content)
{
	struct cu_ip_fragment whole = partial->first;
	whole.more = false;
	whole.len = partial->len;
	whole.data = partial->head;
	whole.caplen = partial->len < partial->head_caplen ? partial->len : partial->head_caplen;
	return cu_packet_decode_datagram(&whole, content);
}

enum cu_packet_kind cu_assembly_put(struct cu_assembly *assembly, int64_t time_ns, struct cu_packet_content *content,
                                    uint32_t *n_fragments)
{
	enum cu_packet_kind kind = CU_PACKET_FRAGMENT;
	const struct cu_partial *partial;
	*n_fragments = 0;
	/* What is whole may be a tunnel's packet, and that a fragment: tunnels end this. */
	while (kind == CU_PACKET_FRAGMENT && (partial = put(assembly, time_ns, &content->fragment)) != NULL) {
		*n_fragments += partial->n_fragments - 1;
		kind = decode_whole(partial, content);
	}
	return kind;
}

uint64_t cu_assembly_n_broken(const struct cu_assembly *assembly)
{
	uint64_t n = assembly->n_broken;
	for (size_t i = 0; i < CU_DATAGRAMS_CAP; i++) {
		n += assembly->partials[i].has_segment;
	}
	return n;
}
