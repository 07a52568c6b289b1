/*
 * split: captures in, shards of them out, each of which can be processed alone.
 */
#include "lib/flow/split.h"

#include "cmd/common/common.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	PER_CONNECTION,
	PER_SERVER,
	PER_NOTHING,
	N_MAX = 65536,
	OPEN_CAP = 512,                   /* files; more gain nothing */
	ENOUGH_FILES = 2 * OPEN_CAP + 64, /* half of them for the captures */
	MANY = 64,                        /* shards that have small buffers */
	BUFFER_BYTES = 256 * 1024,
	SMALL_BUFFER_BYTES = 32 * 1024,
	DIGITS = 5, /* of a number whose last is not known */
};

static const char *filter;
static const char *pattern;
static uint64_t n_shards;
static struct cu_split_config config;
static bool ignore_vlan, ignore_tunnel;
static unsigned per = PER_NOTHING, format;
static bool use_zstd, force;

/* clang-format off */
static const struct prog_option options[] = {
	{.name = "shards", .letter = 'n', .kind = PROG_COUNT, .value = &n_shards, .arg = "N", .max = N_MAX,
	 .help = "N shards, all connections between two hosts in one of them"},
	{.name = "spread", .kind = PROG_FLAG, .value = &config.spread,
	 .help = "with -n, spread the connections between two hosts over shards"},
	{.name = "per", .kind = PROG_CHOICE, .value = &per, .arg = "WHAT", .choices = "connection server",
	 .help = "a shard for each"},
	{.name = "every", .kind = PROG_DURATION, .value = &config.every_ns, .arg = "DURATION",
	 .help = "a shard for each period of the clock, in UTC"},
	{.name = "max-size", .kind = PROG_SIZE, .value = &config.max_bytes, .arg = "SIZE",
	 .help = "shards of at most this size, before compression"},
	{.name = "output", .letter = 'o', .kind = PROG_TEXT, .value = &pattern, .arg = "PATTERN",
	 .help = "names of the shards: %n number, %t time, %k connection or server, %% a percent sign",
	 .preset = "shard-%n.pcapng, with .pcap or .zst as it is"},
	{.name = "format", .letter = 'F', .kind = PROG_CHOICE, .value = &format, .arg = "FORMAT",
	 .choices = "pcapng pcap", .help = "what is written; pcap loses the original frame numbers",
	 .preset = "pcapng"},
	{.name = "zstd", .kind = PROG_FLAG, .value = &use_zstd, .help = "compress the shards by zstd"},
	{.name = "force", .kind = PROG_FLAG, .value = &force, .help = "replace files that are there already"},
	{.name = "filter", .letter = 'f', .kind = PROG_TEXT, .value = &filter, .arg = "FILTER",
	 .help = "only packets that match this pcap-filter(7) expression"},
	{.name = "ignore-vlan", .kind = PROG_FLAG, .value = &ignore_vlan,
	 .help = "the same addresses in different VLANs are the same connection"},
	{.name = "ignore-tunnel", .kind = PROG_FLAG, .value = &ignore_tunnel,
	 .help = "the same addresses in different tunnels are the same connection"},
	{0},
};
/* clang-format on */

static const struct prog_spec spec = {
	.name = "split",
	.summary = "deal the packets of captures out to shards",
	.operands = "[capture ...]",
	.options = options,
	.common = PROG_HAS_PROGRESS,
	.notes = "One of -n, --per, --every and --max-size says how.\n"
		 "Captures are pcap or pcapng, plain or compressed; several are merged by time.\n"
		 "With no capture, or when it is -, standard input is read.",
};

static struct cu_shards *shards;

static void abandon(int signal_number)
{
	if (shards) {
		cu_shards_abandon(shards);
	}
	raise(signal_number); /* SA_RESETHAND: of its default action, once this handler returns */
}

static void abandon_on_signals(void)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGTERM, SIGXCPU, SIGXFSZ};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct sigaction old, action = {.sa_handler = abandon, .sa_flags = (int)SA_RESETHAND};
		sigfillset(&action.sa_mask);
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
			sigaction(numbers[i], &action, NULL);
		}
	}
}

/* Checks the options against each other and fills in config.way. */
static void choose_way(void)
{
	int n_ways = (n_shards > 0) + (per != PER_NOTHING) + (config.every_ns > 0) + (config.max_bytes > 0);
	if (n_ways != 1) {
		prog_usage("%s of -n, --per, --every and --max-size", n_ways == 0 ? "give one" : "give only one");
	}
	if (config.spread && n_shards == 0) {
		prog_usage("--spread goes with -n");
	}
	config.n = (uint32_t)n_shards;
	config.ignore = (ignore_vlan ? CU_IGNORE_VLAN : 0) | (ignore_tunnel ? CU_IGNORE_TUNNEL : 0);
	config.way = n_shards > 0            ? CU_SPLIT_HASH
	             : per == PER_CONNECTION ? CU_SPLIT_CONNECTION
	             : per == PER_SERVER     ? CU_SPLIT_SERVER
	             : config.every_ns > 0   ? CU_SPLIT_TIME
	                                     : CU_SPLIT_SIZE;
}

/* Checks that the pattern gives every shard a name of its own. */
static void check_pattern(void)
{
	static const char *const presets[2][2] = {{"shard-%n.pcapng", "shard-%n.pcapng.zst"},
	                                          {"shard-%n.pcap", "shard-%n.pcap.zst"}};
	if (!pattern) {
		pattern = presets[format][use_zstd];
	}
	if (!*pattern) {
		prog_usage("-o: the pattern is empty");
	}
	if (cu_shards_pattern_has(pattern, '\0')) {
		prog_usage("-o: '%s': only %%n, %%t, %%k and %%%% may stand in a pattern", pattern);
	}
	bool has_keys = config.way == CU_SPLIT_CONNECTION || config.way == CU_SPLIT_SERVER;
	if (!has_keys && cu_shards_pattern_has(pattern, 'k')) {
		prog_usage("-o: '%s': %%k goes with --per", pattern);
	}
	if (config.way == CU_SPLIT_HASH && cu_shards_pattern_has(pattern, 't')) {
		prog_usage("-o: '%s': with -n the shards have no time", pattern);
	}
	bool tells_apart = cu_shards_pattern_has(pattern, 'n') || (has_keys && cu_shards_pattern_has(pattern, 'k')) ||
	                   (config.way == CU_SPLIT_HASH && config.n == 1);
	if (!tells_apart) {
		prog_usage("-o: '%s' gives all shards the same name: put %%n into it", pattern);
	}
}

static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < ENOUGH_FILES) {
		limit.rlim_cur = limit.rlim_max < ENOUGH_FILES ? limit.rlim_max : ENOUGH_FILES;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Half of what is allowed: the captures have the other. */
static size_t shards_open_cap(void)
{
	size_t half = (prog_files_allowed() + 1) / 2;
	return half < OPEN_CAP ? half : OPEN_CAP;
}

static unsigned digits(void)
{
	unsigned n = 1;
	for (uint32_t last = config.n - 1; last >= 10; last /= 10) {
		n++;
	}
	return config.way == CU_SPLIT_HASH ? n : DIGITS;
}

static int open_shards(void)
{
	bool few = config.way == CU_SPLIT_HASH ? config.n <= MANY
	                                       : config.way == CU_SPLIT_TIME || config.way == CU_SPLIT_SIZE;
	struct cu_shards_config output = {
		.pattern = pattern,
		.version = prog_version(),
		.n_digits = digits(),
		.open_cap = shards_open_cap(),
		.buffer_bytes = few ? BUFFER_BYTES : SMALL_BUFFER_BYTES,
		.is_pcap = format == 1,
		.compress = use_zstd,
		.force = force,
	};
	return cu_shards_open(&shards, &output);
}

/* Says what was wrong with the captures, and what became of them. */
static int report(const struct cu_capture *capture, const struct cu_split_totals *totals)
{
	int status = prog_capture_report(capture);
	if (totals->n_left_out > 0) {
		prog_error("%" PRIu64 " packets are left out: a pcap file has one link type; pcapng has any",
		           totals->n_left_out);
		status = PROG_FAILED;
	}
	prog_note("%" PRIu64 " packets in %" PRIu64 " shards, %" PRIu64 " of no connection", totals->n_packets,
	          totals->n_shards, totals->n_other);
	return status;
}

/* Reads and writes; with an error nothing that is not finished stays. */
static int split(struct cu_capture *capture)
{
	struct cu_split_totals totals;
	struct cu_fault fault = {0};
	if (open_shards() != 0) {
		prog_error("%s", cu_error_text(CU_ERR_NOMEM));
		return PROG_FAILED;
	}
	abandon_on_signals();
	if (cu_capture_is_settled(capture)) {
		prog_confine(CU_CONFINE_FILES | CU_CONFINE_CHILDREN);
	}
	int status = PROG_OK;
	int error = cu_split(capture, shards, &config, &totals, &fault);
	if (error != 0) {
		prog_error_fault(&fault);
		status = error == CU_ERR_RANGE ? PROG_USAGE : PROG_FAILED;
	}
	status = prog_worse(status, report(capture, &totals));
	struct cu_shards *done = shards;
	cu_shards_abandon(done);
	shards = NULL;
	cu_shards_close(done);
	return status;
}

int main(int argc, char **argv)
{
	struct prog_operands captures = prog_start(&spec, argc, argv);
	choose_way();
	check_pattern();
	prog_refuse_terminal(&captures);
	raise_file_limit();
	struct cu_capture_config inputs = prog_capture_config(&captures, filter);
	struct cu_capture *capture;
	struct cu_fault fault = {0};
	if (cu_capture_open(&capture, &inputs, &fault) != 0) {
		prog_error_fault(&fault);
		return prog_finish(fault.code == CU_ERR_RULES ? PROG_USAGE : PROG_FAILED);
	}
	int status = split(capture);
	cu_capture_close(capture);
	return prog_finish(status);
}
