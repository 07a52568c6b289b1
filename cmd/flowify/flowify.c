/*
 * flowify: captures in, connections' timelines out. No judgement.
 */
#include "lib/flow/flowify.h"
#include "cmd/common/common.h"
#include "lib/capture/capture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *filter, *key_file;
static struct cu_flowify_config config;
static bool ignore_vlan, ignore_tunnel;

/* clang-format off */
static const struct prog_option options[] = {
	{.name = "filter", .letter = 'f', .kind = PROG_TEXT, .value = &filter, .arg = "FILTER",
	 .help = "only packets that match this pcap-filter(7) expression"},
	{.name = "idle-timeout", .kind = PROG_DURATION, .value = &config.idle_timeout_ns, .arg = "DURATION",
	 .help = "a connection silent for this long is over", .preset = "130m"},
	{.name = "max-memory", .kind = PROG_SIZE, .value = &config.memory_bytes, .arg = "SIZE",
	 .help = "what open connections may take before the least used leave early",
	 .preset = "32M of segments, 4 Mi connections"},
	{.name = "no-hints", .kind = PROG_FLAG, .value = &config.no_hints,
	 .help = "keep nothing of the payload, not even what names its protocol"},
	{.name = "anonymize", .kind = PROG_TEXT, .value = &key_file, .arg = "KEYFILE",
	 .help = "write other addresses, keeping common prefixes; no names; the 32 bytes of this file are the key"},
	{.name = "ignore-vlan", .kind = PROG_FLAG, .value = &ignore_vlan,
	 .help = "the same addresses in different VLANs are the same connection"},
	{.name = "ignore-tunnel", .kind = PROG_FLAG, .value = &ignore_tunnel,
	 .help = "the same addresses in different tunnels are the same connection"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "flowify",
	.summary = "turn packet captures into flow records",
	.operands = "[capture ...]",
	.options = options,
	.common = PROG_HAS_OUTPUT | PROG_HAS_COMPRESS | PROG_HAS_PROGRESS,
	.notes = "Captures are pcap or pcapng, plain or compressed; several are merged by time.\n"
		 "With no capture, or when it is -, standard input is read.",
};

/* Says what was wrong with the captures, and what of them could not be used. */
static int report_captures(const struct cu_capture *capture, const struct cu_totals *totals)
{
	int status = prog_capture_report(capture);
	uint64_t n_read = totals->n_packets - totals->n_filtered;
	if (totals->n_tcp == 0 && totals->n_short > 0) {
		prog_warn_alone("none of the %" PRIu64 " packets shows a TCP segment: %" PRIu64
		                " are cut inside their headers (a larger snap length keeps those)",
		                n_read, totals->n_short);
	} else if (n_read > 0 && totals->n_tcp == 0) {
		prog_warn_alone("none of the %" PRIu64 " packets is TCP", n_read);
	}
	if (totals->n_unknown_link > 0) {
		prog_warn("%" PRIu64 " packets have a link type that is not decoded", totals->n_unknown_link);
	}
	if (totals->n_parted > 0) {
		prog_warn("%" PRIu64 " connections are two each, whose directions are in different VLANs or tunnels: "
		          "--ignore-vlan and --ignore-tunnel put them together",
		          totals->n_parted);
	}
	if (totals->n_broken > 0) {
		prog_warn("%" PRIu64 " segments are left out: not all of their IP fragments were captured "
		          "(a filter by ports lets only the first ones through)",
		          totals->n_broken);
	}
	if (totals->n_left_out > 0) {
		prog_warn("%" PRIu64 " frames are left out: of an 802.11 aggregate (A-MSDU) only the first is read",
		          totals->n_left_out);
	}
	if (totals->n_evicted > 0) {
		prog_warn("%" PRIu64 " connections were put out early: memory was short (--max-memory)",
		          totals->n_evicted);
	}
	prog_note("%" PRIu64 " TCP segments in %" PRIu64 " connections; %" PRIu64 " ICMP errors, %" PRIu64
	          " fragments, %" PRIu64 " other, %" PRIu64 " too short, %" PRIu64 " malformed",
	          totals->n_tcp, totals->n_connections, totals->n_icmp_errors, totals->n_fragments, totals->n_other,
	          totals->n_short, totals->n_malformed);
	return status;
}

/* Sets up what --anonymize asks for; exits when there is no sound key. Freed by the caller. */
static struct cu_anonymizer *make_anonymizer(void)
{
	uint8_t key[CU_ANONYMIZE_KEY_LEN];
	bool exposed = false;
	struct cu_fault fault = {0};
	struct cu_anonymizer *anonymizer = malloc(sizeof(*anonymizer));
	if (!anonymizer) {
		cu_fault_set(&fault, CU_ERR_NOMEM, "%s", cu_error_text(CU_ERR_NOMEM));
	} else {
		cu_anonymize_key_read(key_file, key, &exposed, &fault);
	}
	if (fault.code == CU_ERR_FORMAT) {
		prog_usage("--anonymize: %s", fault.text);
	}
	if (fault.code != CU_OK) {
		prog_error_fault(&fault);
		exit(prog_finish(PROG_FAILED));
	}
	if (exposed) {
		prog_warn("%s: others can read this key, and with it undo the anonymizing", key_file);
	}
	cu_anonymize_init(anonymizer, key);
	explicit_bzero(key, sizeof(key));
	return anonymizer;
}

int main(int argc, char **argv)
{
	struct prog_operands captures = prog_start(&spec, argc, argv);
	prog_refuse_terminal(&captures);
	if (captures.n > CU_FILE_CAP) {
		prog_usage("%zu captures are more than the %d that a flow stream can name", captures.n,
		           (int)CU_FILE_CAP);
	}

	config.ignore = (ignore_vlan ? CU_IGNORE_VLAN : 0) | (ignore_tunnel ? CU_IGNORE_TUNNEL : 0);
	config.anonymizer = key_file ? make_anonymizer() : NULL;
	struct cu_capture_config inputs = prog_capture_config(&captures, filter);
	inputs.window_bytes = config.memory_bytes;
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	if (cu_capture_open(&capture, &inputs, &fault) != 0) {
		prog_error_fault(&fault);
		return prog_finish(fault.code == CU_ERR_RULES ? PROG_USAGE : PROG_FAILED);
	}
	prog_output_open(PROG_BINARY_OUTPUT);
	if (cu_capture_is_settled(capture)) {
		prog_confine(CU_CONFINE_CHILDREN);
	}

	struct cu_totals totals = {0};
	struct cu_writer *writer;
	struct cu_writer_config output = {.no_compress = prog_settings.no_compress};
	int status = PROG_OK;
	int error = cu_writer_open(&writer, STDOUT_FILENO, &output);
	if (error == 0) {
		error = cu_flowify(capture, writer, &config, &totals);
	}
	if (error != 0) {
		const struct cu_fault out_of_memory = {.code = CU_ERR_NOMEM};
		bool written = writer && cu_writer_fault(writer)->code != CU_OK;
		status = prog_output_failed(written ? cu_writer_fault(writer) : &out_of_memory);
	}
	status = prog_worse(status, report_captures(capture, &totals));
	cu_writer_close(writer);
	cu_capture_close(capture);
	if (config.anonymizer) {
		explicit_bzero(config.anonymizer, sizeof(*config.anonymizer));
		free(config.anonymizer);
	}
	return prog_finish(status);
}
