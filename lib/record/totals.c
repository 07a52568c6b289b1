#include "lib/record/record.h"

void cu_totals_add(struct cu_totals *sum, const struct cu_totals *totals)
{
	bool has_none = !cu_totals_have_times(sum);
	if (cu_totals_have_times(totals)) {
		sum->first_ns = has_none || totals->first_ns < sum->first_ns ? totals->first_ns : sum->first_ns;
		sum->last_ns = has_none || totals->last_ns > sum->last_ns ? totals->last_ns : sum->last_ns;
	}
	sum->n_packets += totals->n_packets;
	sum->n_filtered += totals->n_filtered;
	sum->n_tcp += totals->n_tcp;
	sum->n_other += totals->n_other;
	sum->n_short += totals->n_short;
	sum->n_malformed += totals->n_malformed;
	sum->n_fragments += totals->n_fragments;
	sum->n_unknown_link += totals->n_unknown_link;
	sum->n_icmp_errors += totals->n_icmp_errors;
	sum->n_connections += totals->n_connections;
	sum->n_damaged += totals->n_damaged;
	sum->n_skipped_bytes += totals->n_skipped_bytes;
	sum->n_drops += totals->n_drops;
	sum->n_evicted += totals->n_evicted;
	sum->n_parted += totals->n_parted;
	sum->n_broken += totals->n_broken;
	sum->n_left_out += totals->n_left_out;
	sum->n_untimed += totals->n_untimed;
	sum->n_strays += totals->n_strays;
	sum->n_truncated += totals->n_truncated;
	sum->n_unread += totals->n_unread;
	sum->n_steps_back += totals->n_steps_back;
	sum->n_jumps += totals->n_jumps;
}
