/*
 * Reports, from a stream built by hand to the bytes that come out: what each
 * format shows of each stage's records, and what it does with bad ones.
 */
#include "lib/report/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define S CU_NS_PER_S
#define MS CU_NS_PER_MS
#define START INT64_C(1708090323123456789) /* 2024-02-16T13:32:03.123456789Z */

static const struct cu_term plain = {.width = 80};

/* A stream being written. */
struct stream {
	int fd;
	struct cu_writer *writer;
	struct cu_buf buf;
};

static struct cu_text text_of(const char *words)
{
	return (struct cu_text){.data = words, .len = (uint32_t)strlen(words)};
}

static void stream_header(struct stream *stream, const char *file, const char *other)
{
	const struct cu_stream_file files[] = {{.path = file}, {.path = other}};
	const struct cu_stream_header header = {.tool = "test", .files = files, .n_files = other != NULL ? 2 : 1};
	assert_int_equal(cu_writer_header(stream->writer, &header), 0);
}

static void stream_begin(struct stream *stream)
{
	const struct cu_writer_config config = {.no_compress = true};
	*stream = (struct stream){.fd = memfd_create("flows", 0)};
	assert_true(stream->fd >= 0);
	assert_int_equal(cu_writer_open(&stream->writer, stream->fd, &config), 0);
	stream_header(stream, "slow.pcap", NULL);
}

static void stream_add(struct stream *stream, unsigned kind)
{
	assert_int_equal(cu_writer_add(stream->writer, kind, stream->buf.data, stream->buf.len), 0);
	cu_buf_clear(&stream->buf);
}

#define ADD(stream, KIND, name, record) \
	(cu_##name##_encode(record, &(stream)->buf), stream_add(stream, CU_RECORD_##KIND))

static void stream_end(struct stream *stream)
{
	assert_int_equal(cu_writer_finish(stream->writer), 0);
}

static void stream_release(struct stream *stream)
{
	cu_writer_close(stream->writer);
	cu_buf_release(&stream->buf);
	close(stream->fd);
}

/* What a report of it is; to be freed. */
struct result {
	int run, finish;
	struct cu_report_counts counts;
	char fault[240];
	char *text;
};

static char *read_all(int fd)
{
	off_t len = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)len + 1);
	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)len, 0), len);
	return text;
}

static struct result report_of(const struct stream *stream, struct cu_report_config config)
{
	struct result result = {0};
	struct cu_report *report;
	struct cu_reader *reader;
	int out = memfd_create("report", 0);
	config.top = config.top != 0 ? config.top : CU_REPORT_TOP_DEFAULT;
	if (config.term.width == 0) {
		config.term = plain;
	}
	assert_int_equal(lseek(stream->fd, 0, SEEK_SET), 0);
	assert_int_equal(cu_reader_open(&reader, stream->fd, "flows"), 0);
	assert_int_equal(cu_report_open(&report, out, &config), 0);
	result.run = cu_report_run(report, reader);
	result.finish = cu_report_finish(report);
	result.counts = *cu_report_counts(report);
	strcpy(result.fault, cu_report_fault(report)->text);
	cu_report_close(report);
	cu_reader_close(reader);
	result.text = read_all(out);
	close(out);
	return result;
}

static void assert_says(const char *text, const char *words)
{
	if (strstr(text, words) == NULL) {
		fail_msg("no \"%s\" in:\n%s", words, text);
	}
}

static void assert_silent(const char *text, const char *words)
{
	if (strstr(text, words) != NULL) {
		fail_msg("\"%s\" in:\n%s", words, text);
	}
}

/* The n-th line of text, from 0, cut out of it. */
static char *line_of(const char *text, size_t n)
{
	for (; n > 0 && text != NULL; n--) {
		text = strchr(text, '\n');
		text = text != NULL ? text + 1 : NULL;
	}
	assert_non_null(text);
	return strndup(text, strcspn(text, "\n"));
}

/* The reference case: a server that thinks for 108 s. */

static struct cu_connection make_connection(uint64_t stream)
{
	struct cu_connection connection = {
		.stream = stream,
		.client_port = 51006,
		.server_port = 5432,
		.role = CU_ROLE_SYN,
		.end = CU_END_CLOSED,
		.start_ns = START,
		.end_ns = START + 109 * S,
		.first_frame = 1,
		.last_frame = 12,
	};
	assert_true(cu_parse_addr("10.0.0.42", &connection.client));
	assert_true(cu_parse_addr("10.0.0.5", &connection.server));
	connection.side[CU_C2S] =
		(struct cu_connection_side){.n_segments = 7, .n_bytes = 1495, .isn = 1000, .has_syn = true};
	connection.side[CU_S2C] =
		(struct cu_connection_side){.n_segments = 5, .n_bytes = 512, .isn = 5000, .has_syn = true};
	return connection;
}

static struct cu_analysis make_analysis(uint64_t stream)
{
	return (struct cu_analysis){
		.stream = stream,
		.completeness = 31,
		.vantage = CU_VANTAGE_CLIENT,
		.rtt_ns = 97 * MS,
		.close = CU_CLOSE_CLEAN,
	};
}

static struct cu_transaction make_transaction(uint64_t stream, uint64_t number)
{
	struct cu_transaction transaction = {
		.stream = stream,
		.number = number,
		.kind = CU_TXN_REQUEST,
		.outcome = CU_OUTCOME_ANSWERED,
		.start_ns = START,
		.total_ns = 108097 * MS,
		.request = {.n_bytes = 1495, .first_frame = 4, .last_frame = 5},
		.response = {.n_bytes = 512, .first_frame = 11, .last_frame = 11},
		.acked_frame = 6,
		.ack_delay_ns = 97 * MS,
		.first_byte_ns = 108097 * MS,
		.certainty = 100,
		.n_events = 1,
		.n_kept = 1,
	};
	transaction.ledger[CU_NETWORK_RTT].ns = 97 * MS;
	transaction.ledger[CU_SERVER_THINK] =
		(struct cu_ledger_entry){.ns = 108 * S, .first_frame = 5, .last_frame = 11};
	transaction.events[0] = (struct cu_event){
		.kind = CU_EVENT_KEEP_ALIVE, .dir = CU_C2S, .count = 1, .frame = 7, .time_ns = 45 * S};
	return transaction;
}

static struct cu_verdict make_verdict(uint64_t stream, uint64_t number)
{
	return (struct cu_verdict){
		.stream = stream,
		.number = number,
		.slow = true,
		.slow_over_ns = S,
		.blame = CU_PARTY_SERVER,
		.cause = CU_SERVER_THINK,
		.confidence = CU_CONFIDENCE_HIGH,
		.rule = text_of("server thinks"),
		.service = text_of("postgresql"),
		.why = text_of("It had the request."),
		.advice = text_of("Look at its log."),
	};
}

static void add_connection(struct stream *stream, uint64_t number)
{
	struct cu_connection connection = make_connection(number);
	struct cu_analysis analysis = make_analysis(number);
	ADD(stream, CONNECTION, connection, &connection);
	ADD(stream, ANALYSIS, analysis, &analysis);
}

static void add_judged(struct stream *stream, uint64_t number, int64_t total_ns, bool slow)
{
	struct cu_transaction transaction = make_transaction(number, 0);
	struct cu_verdict verdict = make_verdict(number, 0);
	transaction.total_ns = total_ns;
	transaction.ledger[CU_SERVER_THINK].ns = total_ns - 97 * MS;
	verdict.slow = slow;
	add_connection(stream, number);
	ADD(stream, TRANSACTION, transaction, &transaction);
	ADD(stream, VERDICT, verdict, &verdict);
}

static void add_totals(struct stream *stream, uint64_t n_packets, uint64_t n_tcp)
{
	struct cu_totals totals = {
		.n_packets = n_packets,
		.n_tcp = n_tcp,
		.n_other = n_packets - n_tcp,
		.first_ns = START,
		.last_ns = START + 109 * S,
	};
	ADD(stream, TOTALS, totals, &totals);
}

static void reference(struct stream *stream)
{
	stream_begin(stream);
	add_judged(stream, 0, 108097 * MS, true);
	add_totals(stream, 12, 12);
	stream_end(stream);
}

/* Text. */

static void test_text_reference_case(void **state)
{
	struct stream stream;
	(void)state;
	reference(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_int_equal(result.run, 0);
	assert_int_equal(result.finish, 0);
	assert_string_equal(result.text,
	                    "1 of 1 transaction was slow: server 1.\n"
	                    "\n"
	                    "-- 1 of 1 ----------------------------------------------------------------------\n"
	                    " SERVER   108 s, 99.9 % server.think, high confidence, rule server thinks\n"
	                    "          request, 10.0.0.42:51006 -> 10.0.0.5:5432 (postgresql)\n"
	                    "          stream 0 transaction 0, 2024-02-16 13:32:03.123 UTC\n"
	                    "          round trip 97.0 ms, seen at the client\n"
	                    "          ######################################################################\n"
	                    "          # server.think 108 s 99.9 %   = network.rtt 97.0 ms 0.1 %\n"
	                    " request  frames 4-5 (1,495 bytes), acknowledged in frame 6 after 97.0 ms\n"
	                    " answer   frame 11 (512 bytes) after 108 s\n"
	                    " where    the longest stretch of server.think is from frame 5 to 11\n"
	                    " also     keep-alive from the client: frame 7 at 45.0 s\n"
	                    " why      It had the request.\n"
	                    " advice   Look at its log.\n"
	                    "\n"
	                    "-- summary ---------------------------------------------------------------------\n"
	                    " capture       12 packets, 109 s from 2024-02-16 13:32:03 UTC\n"
	                    " connections   1\n"
	                    " transactions  1, 1 slow: server 1 (100 %)\n");
	free(result.text);
	stream_release(&stream);
}

static void test_text_widths_are_kept(void **state)
{
	static const unsigned widths[] = {1, 40, 61, 80, 120, 250};
	struct stream stream;
	(void)state;
	reference(&stream);
	for (size_t i = 0; i < COUNT(widths); i++) {
		struct result result = report_of(&stream, (struct cu_report_config){
								  .by = CU_REPORT_BY_NOTHING,
								  .term = {.width = widths[i]},
							  });
		size_t limit = widths[i] < CU_TERM_WIDTH_MIN ? CU_TERM_WIDTH_MIN : widths[i];
		for (const char *line = result.text; *line != '\0'; line += strcspn(line, "\n") + 1) {
			assert_true(strcspn(line, "\n") <= limit);
		}
		free(result.text);
	}
	stream_release(&stream);
}

static void test_text_colour_and_unicode_only_when_asked(void **state)
{
	static const struct {
		struct cu_term term;
		bool escape, block;
	} rows[] = {
		{{.width = 80}, false, false},
		{{.width = 80, .colour = true}, true, false},
		{{.width = 80, .unicode = true}, false, true},
		{{.width = 80, .colour = true, .unicode = true}, true, true},
	};
	struct stream stream;
	(void)state;
	reference(&stream);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result result =
			report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .term = rows[i].term});
		assert_int_equal(strchr(result.text, '\033') != NULL, rows[i].escape);
		assert_int_equal(strstr(result.text, "█") != NULL, rows[i].block);
		free(result.text);
	}
	stream_release(&stream);
}

static void test_text_shows_the_longest_first_and_no_more_than_top(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	for (uint64_t i = 0; i < 50; i++) {
		add_judged(&stream, i, (int64_t)(2 + (i * 37) % 50) * S, true);
	}
	add_totals(&stream, 600, 600);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .top = 3});
	const char *first = strstr(result.text, "\n SERVER   51.0 s"),
		   *second = strstr(result.text, "\n SERVER   50.0 s"),
		   *third = strstr(result.text, "\n SERVER   49.0 s");
	assert_non_null(first);
	assert_true(first < second && second < third);
	assert_silent(result.text, "\n SERVER   48.0 s");
	assert_says(result.text, "50 of 50 transactions were slow");
	assert_says(result.text, "the longest 3 of the slow; --all shows every one");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .top = 3, .all = true});
	assert_says(result.text, "\n SERVER   2.00 s");
	assert_silent(result.text, "--all");
	free(result.text);
	stream_release(&stream);
}

static void test_text_says_so_when_nothing_was_slow(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	add_judged(&stream, 0, 150 * MS, false);
	add_judged(&stream, 1, 312 * MS, false);
	add_totals(&stream, 24, 24);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text,
	            "Nothing was slow: the slowest of 2 transactions took 312 ms, and slow would be\nover 1.00 s.\n");
	assert_says(result.text, "It was a request from 10.0.0.42:51006 to 10.0.0.5:5432, frames 4-11 of stream 1.");
	assert_int_equal(result.counts.n_slow, 0);
	free(result.text);
	stream_release(&stream);
}

static void test_text_of_what_has_no_tcp(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	add_totals(&stream, 400, 0);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, "There is no TCP in this capture: 400 packets, 400 of other protocols.");
	free(result.text);
	stream_release(&stream);

	stream_begin(&stream);
	add_totals(&stream, 0, 0);
	stream_end(&stream);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, "the capture has no packets");
	free(result.text);
	stream_release(&stream);
}

static void test_text_of_flowify_lists_connections(void **state)
{
	struct stream stream;
	struct cu_connection connection = make_connection(0);
	(void)state;
	stream_begin(&stream);
	ADD(&stream, CONNECTION, connection, &connection);
	add_totals(&stream, 12, 12);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, "1 connection, not analysed");
	assert_says(result.text, "      0  10.0.0.42:51006  10.0.0.5:5432");
	assert_silent(result.text, "transactions");
	free(result.text);
	stream_release(&stream);
}

static void test_text_of_analyze_lists_transactions(void **state)
{
	struct stream stream;
	struct cu_transaction transaction = make_transaction(0, 0);
	(void)state;
	stream_begin(&stream);
	add_connection(&stream, 0);
	ADD(&stream, TRANSACTION, transaction, &transaction);
	add_totals(&stream, 12, 12);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, "1 transaction has no verdict: culprit classify gives it one.");
	assert_says(result.text, "          108 s, 99.9 % server.think\n");
	assert_silent(result.text, "SERVER");
	assert_silent(result.text, " why ");
	assert_int_equal(result.counts.n_judged, 0);
	free(result.text);
	stream_release(&stream);
}

static void test_text_of_connections_without_transactions(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	add_connection(&stream, 0);
	add_totals(&stream, 12, 12);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, "Nothing was asked: 1 connection, without a transaction in it.");
	free(result.text);
	stream_release(&stream);
}

static void test_outcomes_without_an_answer(void **state)
{
	static const struct {
		uint8_t outcome;
		const char *words;
	} rows[] = {
		{CU_OUTCOME_UNANSWERED, " answer   none: nothing came"},
		{CU_OUTCOME_REFUSED, " answer   none: refused"},
		{CU_OUTCOME_RESET, " answer   none: reset"},
		{CU_OUTCOME_ABANDONED, " answer   none: the client closed"},
		{CU_OUTCOME_OPEN, " answer   none: the capture ended"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stream stream;
		struct cu_transaction transaction = make_transaction(0, 0);
		transaction.outcome = rows[i].outcome;
		transaction.response = (struct cu_message){0};
		transaction.acked_frame = 0;
		transaction.first_byte_ns = 0;
		stream_begin(&stream);
		add_connection(&stream, 0);
		ADD(&stream, TRANSACTION, transaction, &transaction);
		stream_end(&stream);
		struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
		assert_says(result.text, rows[i].words);
		assert_says(result.text, "never acknowledged");
		free(result.text);
		result = report_of(&stream,
		                   (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
		assert_says(result.text, "\"acked_frame\":null}");
		assert_says(result.text, "\"response\":{\"bytes\":0,\"first_frame\":null,\"last_frame\":null}");
		free(result.text);
		stream_release(&stream);
	}
}

/* What a hostile capture could put into a name. */
static void test_hostile_names_are_escaped(void **state)
{
	static const struct {
		enum cu_report_format format;
		const char *words, *not_words;
	} rows[] = {
		{CU_REPORT_TEXT, "=1\\x1b[31m\\xff\\x0a\"<b>,", "\033"},
		{CU_REPORT_JSON, "\"name\":\"=1\\u001b[31m\xef\xbf\xbd\\n\\\"<b>,\"", "\033"},
		{CU_REPORT_CSV, ",\"'=1\\x1b[31m\\xff\\x0a\"\"<b>,\",", "\033"},
	};
	struct stream stream;
	struct cu_transaction transaction = make_transaction(0, 0);
	struct cu_verdict verdict = make_verdict(0, 0);
	(void)state;
	transaction.name = text_of("=1\033[31m\xff\n\"<b>,");
	verdict.why = text_of("\xe2\x80\xae"
	                      "caf\xc3\xa9");
	verdict.service = text_of("\033]0;x\007");
	stream_begin(&stream);
	add_connection(&stream, 0);
	ADD(&stream, TRANSACTION, transaction, &transaction);
	ADD(&stream, VERDICT, verdict, &verdict);
	stream_end(&stream);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result result = report_of(&stream, (struct cu_report_config){
								  .by = CU_REPORT_BY_NOTHING,
								  .format = rows[i].format,
								  .term = {.width = 100, .unicode = true},
							  });
		assert_says(result.text, rows[i].words);
		assert_silent(result.text, rows[i].not_words);
		free(result.text);
	}
	struct result result = report_of(
		&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .term = {.width = 80, .unicode = true}});
	assert_says(result.text, " why      \\xe2\\x80\\xaecaf\xc3\xa9\n");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, " why      \\xe2\\x80\\xaecaf\\xc3\\xa9\n");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_SERVICE});
	assert_silent(result.text, "\033");
	free(result.text);
	stream_release(&stream);
}

static void test_names_of_several_files(void **state)
{
	struct stream stream;
	struct cu_transaction transaction = make_transaction(0, 0);
	(void)state;
	transaction.file = 1;
	stream_begin(&stream);
	stream_end(&stream);
	stream_header(&stream, "13h.pcap", "/data/14h.pcap");
	add_connection(&stream, 0);
	ADD(&stream, TRANSACTION, transaction, &transaction);
	add_totals(&stream, 12, 12);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, "frames 14h.pcap:4-5");
	assert_says(result.text, "/data/14h.pcap");
	assert_says(result.text, "in 3 files");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	assert_says(result.text, "\"file\":\"/data/14h.pcap\"");
	assert_says(result.text, "\"file\":\"13h.pcap\"");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_FILTER});
	assert_string_equal(result.text,
	                    "/data/14h.pcap\tip.addr == 10.0.0.42 && tcp.port == 51006 && ip.addr == 10.0.0.5 && "
	                    "tcp.port == 5432 && frame.number in {4,5,6,7,11}\n");
	free(result.text);
	stream_release(&stream);
}

/* JSON, CSV, filters. */

static void test_json_reference_case(void **state)
{
	struct stream stream;
	(void)state;
	reference(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	char *connection = line_of(result.text, 0), *verdict = line_of(result.text, 1),
	     *summary = line_of(result.text, 2);
	assert_says(connection, "{\"record\":\"connection\",\"schema\":1,\"stream\":0,\"client\":\"10.0.0.42\"");
	assert_string_equal(
		verdict,
		"{\"record\":\"verdict\",\"schema\":1,\"stream\":0,\"transaction\":0,\"kind\":\"request\","
		"\"outcome\":\"answered\",\"client\":\"10.0.0.42\",\"client_port\":51006,\"server\":\"10.0.0.5\","
		"\"server_port\":5432,\"service\":\"postgresql\",\"start\":\"2024-02-16T13:32:03.123456789Z\","
		"\"total_ns\":108097000000,\"slow\":true,\"slow_over_ns\":1000000000,\"blame\":\"server\","
		"\"cause\":\"server.think\",\"confidence\":\"high\",\"rule\":\"server thinks\",\"rtt_ns\":97000000,"
		"\"vantage\":\"client\",\"certainty\":100,\"ledger\":{\"network.rtt\":97000000,"
		"\"server.think\":108000000000},\"ledger_frames\":{\"server.think\":[5,11]},"
		"\"request\":{\"bytes\":1495,\"first_frame\":4,\"last_frame\":5,\"acked_frame\":6,"
		"\"ack_delay_ns\":97000000},\"response\":{\"bytes\":512,\"first_frame\":11,\"last_frame\":11,"
		"\"first_byte_ns\":108097000000},\"events\":[{\"kind\":\"keep_alive\",\"from\":\"client\","
		"\"frame\":7,\"time_ns\":45000000000}],\"why\":\"It had the request.\",\"advice\":\"Look at its log.\"}");
	assert_says(summary, "{\"record\":\"summary\",\"schema\":1,\"packets\":12,");
	assert_says(summary, "\"slow_by_party\":{\"client\":0,\"network\":0,\"server\":1,\"unknown\":0}");
	assert_says(summary, "\"complete\":true");
	free(connection);
	free(verdict);
	free(summary);
	free(result.text);
	stream_release(&stream);
}

static void test_json_blames_nobody_when_not_slow(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	add_judged(&stream, 0, 150 * MS, false);
	stream_end(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	assert_says(result.text, "\"slow\":false,\"slow_over_ns\":1000000000,\"blame\":\"none\",\"cause\":\"none\"");
	assert_silent(result.text, "unknown.capture");
	free(result.text);
	stream_release(&stream);
}

static void test_json_of_each_stage(void **state)
{
	struct stream stream;
	struct cu_connection connection = make_connection(0);
	struct cu_transaction transaction = make_transaction(0, 3);
	(void)state;
	stream_begin(&stream);
	ADD(&stream, CONNECTION, connection, &connection);
	ADD(&stream, TRANSACTION, transaction, &transaction);
	stream_end(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	assert_silent(result.text, "completeness");
	assert_says(result.text, "\n{\"record\":\"transaction\",\"schema\":1,\"stream\":0,\"transaction\":3,");
	assert_says(result.text, "\"rtt_ns\":null,\"vantage\":\"unknown\"");
	assert_silent(result.text, "\"slow\":true");
	free(result.text);
	stream_release(&stream);
}

static void test_json_gaps_and_findings(void **state)
{
	struct stream stream;
	struct cu_gap gap = {
		.dir = CU_S2C,
		.side = CU_LOSS_BEFORE,
		.rel_seq = 1461,
		.n_bytes = 48180,
		.n_segments = 33,
		.frame = 8,
		.start_ns = START,
	};
	struct cu_finding finding = {
		.kind = text_of("scan"),
		.count = 1024,
		.blame = CU_PARTY_CLIENT,
		.why = text_of("It probed."),
		.start_ns = START,
		.end_ns = START + S,
	};
	(void)state;
	assert_true(cu_parse_addr("2001:db8::9", &finding.addr));
	stream_begin(&stream);
	add_connection(&stream, 0);
	for (int i = 0; i < 300; i++) {
		ADD(&stream, GAP, gap, &gap);
	}
	ADD(&stream, FINDING, finding, &finding);
	stream_end(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	assert_says(result.text,
	            "\"gaps\":[{\"direction\":\"s2c\",\"side\":\"before\",\"relative_seq\":1461,\"bytes\":48180,"
	            "\"segments\":33,\"start\":\"2024-02-16T13:32:03.123456789Z\",\"frame\":8,"
	            "\"fill_frame\":null,\"filled_ns\":null,\"duplicate_acks\":0},");
	assert_says(result.text, "],\"more_gaps\":44}");
	assert_says(result.text,
	            "{\"record\":\"finding\",\"schema\":1,\"kind\":\"scan\",\"address\":\"2001:db8::9\",\"port\":null,"
	            "\"blame\":\"client\",\"confidence\":\"none\",\"count\":1024,");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_says(result.text, " scan, 2001:db8::9, 1,024 times");
	assert_says(result.text, " why      It probed.");
	free(result.text);
	stream_release(&stream);
}

static void test_json_tls_names_follow_the_connection(void **state)
{
	struct stream stream;
	struct cu_transaction handshake = make_transaction(0, 0), request = make_transaction(0, 1),
			      other = make_transaction(1, 0);
	(void)state;
	handshake.kind = CU_TXN_TLS_HANDSHAKE;
	handshake.name = text_of("example.org");
	stream_begin(&stream);
	add_connection(&stream, 0);
	ADD(&stream, TRANSACTION, transaction, &handshake);
	ADD(&stream, TRANSACTION, transaction, &request);
	add_connection(&stream, 1);
	ADD(&stream, TRANSACTION, transaction, &other);
	stream_end(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	for (size_t line = 1; line < 5; line++) {
		char *text = line_of(result.text, line);
		bool transaction = strstr(text, "\"record\":\"transaction\"") != NULL;
		bool named = strstr(text, "\"server_name\":\"example.org\"") != NULL;
		assert_int_equal(named, transaction && strstr(text, "\"stream\":0") != NULL);
		assert_silent(text, "\"name\":");
		free(text);
	}
	free(result.text);
	stream_release(&stream);
}

static size_t count_commas(const char *line)
{
	size_t n = 0;
	bool quoted = false;
	for (; *line != '\0' && (*line != '\n' || quoted); line++) {
		quoted ^= *line == '"';
		n += *line == ',' && !quoted;
	}
	return n;
}

static void test_csv_rows_have_the_header_s_columns(void **state)
{
	struct stream stream;
	struct cu_transaction orphan = make_transaction(9, 9);
	(void)state;
	stream_begin(&stream);
	add_judged(&stream, 0, 2 * S, true);
	ADD(&stream, TRANSACTION, transaction, &orphan);
	stream_end(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_CSV});
	char *header = line_of(result.text, 0), *judged = line_of(result.text, 1), *plain_one = line_of(result.text, 2);
	assert_int_equal(count_commas(judged), count_commas(header));
	assert_int_equal(count_commas(plain_one), count_commas(header));
	assert_says(judged,
	            "0,0,,request,answered,,,10.0.0.42,51006,10.0.0.5,5432,postgresql,2024-02-16T13:32:03.123456789Z,"
	            "2000000000,true,1000000000,server,server.think,high,server thinks,97000000,client,");
	assert_says(plain_one, "9,9,,request,answered,,,,,,,,2024");
	free(header);
	free(judged);
	free(plain_one);
	free(result.text);
	stream_release(&stream);
}

static void test_csv_guards_against_formulas(void **state)
{
	static const struct {
		const char *why, *want;
	} rows[] = {
		{"=1+1", ",'=1+1,"},
		{"+1", ",'+1,"},
		{"-1", ",'-1,"},
		{"@SUM(A1)", ",'@SUM(A1),"},
		{"\t=1", ",'\\x09=1,"},
		{"plain", ",plain,"},
		{"a,b", ",\"a,b\","},
		{"say \"hi\"", ",\"say \"\"hi\"\"\","},
		{"=HYPERLINK(\"http://x\",\"y\")", ",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\","},
		{" lead", ",\" lead\","},
		{"a;b", ",\"a;b\","},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stream stream;
		struct cu_transaction transaction = make_transaction(0, 0);
		struct cu_verdict verdict = make_verdict(0, 0);
		verdict.why = text_of(rows[i].why);
		stream_begin(&stream);
		add_connection(&stream, 0);
		ADD(&stream, TRANSACTION, transaction, &transaction);
		ADD(&stream, VERDICT, verdict, &verdict);
		stream_end(&stream);
		struct result result = report_of(
			&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_CSV});
		assert_says(result.text, rows[i].want);
		free(result.text);
		stream_release(&stream);
	}
}

static void test_filter_shows_the_slow_ones(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	add_judged(&stream, 0, 2 * S, true);
	add_judged(&stream, 1, 150 * MS, false);
	add_judged(&stream, 2, 3 * S, true);
	stream_end(&stream);
	struct result result =
		report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_FILTER});
	assert_string_equal(result.text,
	                    "ip.addr == 10.0.0.42 && tcp.port == 51006 && ip.addr == 10.0.0.5 && tcp.port == 5432 && "
	                    "frame.number in {4,5,6,7,11}\n"
	                    "ip.addr == 10.0.0.42 && tcp.port == 51006 && ip.addr == 10.0.0.5 && tcp.port == 5432 && "
	                    "frame.number in {4,5,6,7,11}\n");
	free(result.text);
	stream_release(&stream);
}

/* Tables. */

static void test_by_gathers(void **state)
{
	static const struct {
		enum cu_report_by by;
		const char *words, *json;
	} rows[] = {
		{CU_REPORT_BY_SERVICE, "\npostgresql      4     3  server 3",
	         "\"by\":\"service\",\"name\":\"postgresql\",\"transactions\":4,\"slow\":3,"},
		{CU_REPORT_BY_SERVER, "\n10.0.0.5:5432      4     3  server 3",
	         "\"by\":\"server\",\"name\":\"10.0.0.5:5432\","},
		{CU_REPORT_BY_CLIENT, "\n10.0.0.42      4     3  server 3",
	         "\"by\":\"client\",\"name\":\"10.0.0.42\","},
		{CU_REPORT_BY_CAUSE, "\nserver.think      3     3  server 3",
	         "\"by\":\"cause\",\"name\":\"(not slow)\",\"transactions\":1,\"slow\":0,"},
	};
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	for (uint64_t i = 0; i < 4; i++) {
		add_judged(&stream, i, (int64_t)(i + 1) * S, i > 0);
	}
	stream_end(&stream);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result result =
			report_of(&stream, (struct cu_report_config){.by = rows[i].by, .term = {.width = 120}});
		assert_says(result.text, rows[i].words);
		free(result.text);
		result = report_of(&stream, (struct cu_report_config){.by = rows[i].by, .format = CU_REPORT_JSON});
		assert_says(result.text, rows[i].json);
		assert_says(result.text, "\"record\":\"summary\"");
		free(result.text);
	}
	stream_release(&stream);
}

static void test_by_of_many_groups_shows_the_top(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	for (unsigned i = 0; i < 1000; i++) {
		struct cu_connection connection = make_connection(i);
		struct cu_transaction transaction = make_transaction(i, 0);
		connection.client.bytes[2] = (uint8_t)(i >> 8);
		connection.client.bytes[3] = (uint8_t)i;
		ADD(&stream, CONNECTION, connection, &connection);
		ADD(&stream, TRANSACTION, transaction, &transaction);
	}
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_CLIENT, .top = 5});
	assert_says(result.text, "\n995 more; --all shows every one\n");
	free(result.text);
	stream_release(&stream);
}

/* Segments. */

static void add_segment(struct cu_buf *buf, struct cu_timeline_state *state, struct cu_segment segment)
{
	uint8_t bytes[CU_SEGMENT_ENCODED_CAP];
	segment.ttl = 64;
	cu_buf_add(buf, bytes, cu_timeline_encode(state, &segment, bytes));
}

/* A handshake, a request and its keep-alive, as a chunk. */
static void add_segments(struct stream *stream, uint64_t number)
{
	static const struct cu_segment segments[] = {
		{.frame = 1, .dir = CU_C2S, .flags = CU_TCP_SYN, .seq = 1000, .window = 64240},
		{.frame = 2,
	         .dir = CU_S2C,
	         .flags = CU_TCP_SYN | CU_TCP_ACK,
	         .seq = 5000,
	         .ack = 1001,
	         .window = 65160},
		{.frame = 3, .dir = CU_C2S, .flags = CU_TCP_ACK, .seq = 1001, .ack = 5001, .window = 64240},
		{.frame = 4,
	         .dir = CU_C2S,
	         .flags = CU_TCP_PSH | CU_TCP_ACK,
	         .seq = 1001,
	         .ack = 5001,
	         .window = 64240,
	         .len = 100},
		{.frame = 7, .dir = CU_C2S, .flags = CU_TCP_ACK, .seq = 1100, .ack = 5001, .window = 64240},
	};
	struct cu_timeline_state timeline = {0};
	struct cu_buf bytes = {0};
	for (size_t i = 0; i < COUNT(segments); i++) {
		struct cu_segment segment = segments[i];
		segment.time_ns = START + (int64_t)i * 50 * MS;
		add_segment(&bytes, &timeline, segment);
	}
	const struct cu_chunk chunk = {.stream = number,
	                               .n_segments = COUNT(segments),
	                               .start = timeline.start,
	                               .segments = cu_cursor_make(bytes.data, bytes.len)};
	cu_chunk_encode(&chunk, &stream->buf);
	cu_buf_release(&bytes);
	stream_add(stream, CU_RECORD_CHUNK);
}

static void add_marks(struct stream *stream, uint64_t number)
{
	static const uint64_t marks[] = {0, 0, 0, 0, 1U << CU_EVENT_KEEP_ALIVE};
	cu_buf_add_varint(&stream->buf, number);
	cu_buf_add_varint(&stream->buf, COUNT(marks));
	for (size_t i = 0; i < COUNT(marks); i++) {
		cu_buf_add_varint(&stream->buf, marks[i]);
	}
	stream_add(stream, CU_RECORD_MARKS);
}

static void test_segments_lines(void **state)
{
	struct stream stream;
	struct cu_connection connection = make_connection(0);
	(void)state;
	stream_begin(&stream);
	ADD(&stream, CONNECTION, connection, &connection);
	add_segments(&stream, 0);
	add_marks(&stream, 0);
	stream_end(&stream);
	struct cu_report_config config = {.by = CU_REPORT_BY_NOTHING, .segments = true};
	struct result result = report_of(&stream, config);
	assert_string_equal(result.text,
	                    "stream 0  client 10.0.0.42:51006 > server 10.0.0.5:5432  2024-02-16T13:32:03.123456789Z\n"
	                    "frame        time    seq  ack  len  flags    window\n"
	                    "    1    0.000000 >    0         0  SYN       64240\n"
	                    "    2    0.050000 <    0    1    0  SYN ACK   65160\n"
	                    "    3    0.100000 >    1    1    0  ACK       64240\n"
	                    "    4    0.150000 >    1    1  100  PSH ACK   64240\n"
	                    "    7    0.200000 >  100    1    0  ACK       64240  keep-alive\n");
	free(result.text);
	config.format = CU_REPORT_JSON;
	result = report_of(&stream, config);
	char *first = line_of(result.text, 0), *last = line_of(result.text, 4);
	assert_string_equal(
		first, "{\"record\":\"segment\",\"schema\":1,\"stream\":0,\"frame\":1,"
		       "\"time\":\"2024-02-16T13:32:03.123456789Z\",\"relative_ns\":0,\"direction\":\"c2s\",\"seq\":0,"
		       "\"ack\":null,\"bytes\":0,\"flags\":[\"SYN\"],\"window\":64240,\"window_scale_known\":true,"
		       "\"marks\":[]}");
	assert_says(last,
	            "\"flags\":[\"ACK\"],\"window\":64240,\"window_scale_known\":true,\"marks\":[\"keep_alive\"]}");
	free(first);
	free(last);
	free(result.text);
	stream_release(&stream);
}

static void test_segments_of_chunks_before_their_connection(void **state)
{
	struct stream stream;
	struct cu_connection connection = make_connection(3);
	(void)state;
	stream_begin(&stream);
	add_segments(&stream, 3);
	add_segments(&stream, 4);
	ADD(&stream, CONNECTION, connection, &connection);
	stream_end(&stream);
	struct cu_report_config config = {.by = CU_REPORT_BY_NOTHING, .segments = true};
	struct result result = report_of(&stream, config);
	assert_int_equal(result.run, CU_ERR_UNSUPPORTED);
	assert_says(result.fault, "stream 3 come before their connection");
	free(result.text);
	config.has_stream = true;
	config.stream = 3;
	result = report_of(&stream, config);
	assert_int_equal(result.run, 0);
	assert_int_equal(result.counts.n_segments, 5);
	assert_says(result.text, "    7    0.200000 >  100    1    0  ACK       64240");
	free(result.text);
	stream_release(&stream);
}

static void test_marks_that_lie_are_refused(void **state)
{
	static const struct {
		uint64_t n;
		size_t bytes;
		int run;
	} rows[] = {
		{5, 5, 0}, {5, 4, CU_ERR_FORMAT}, {UINT64_MAX, 5, CU_ERR_FORMAT}, {9, 9, 0}, {0, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct stream stream;
		struct cu_connection connection = make_connection(0);
		stream_begin(&stream);
		ADD(&stream, CONNECTION, connection, &connection);
		add_segments(&stream, 0);
		cu_buf_add_varint(&stream.buf, 0);
		cu_buf_add_varint(&stream.buf, rows[i].n);
		for (size_t byte = 0; byte < rows[i].bytes; byte++) {
			cu_buf_add_u8(&stream.buf, 0);
		}
		stream_add(&stream, CU_RECORD_MARKS);
		stream_end(&stream);
		struct result result =
			report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .segments = true});
		assert_int_equal(result.run, rows[i].run);
		assert_int_equal(result.counts.n_segments, 5);
		free(result.text);
		stream_release(&stream);
	}
}

/* The loop. */

static void test_run_of_a_stream_without_its_end(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	add_judged(&stream, 0, 2 * S, true);
	assert_int_equal(cu_writer_flush(stream.writer), 0);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_int_equal(result.run, CU_ERR_TRUNCATED);
	assert_int_equal(result.finish, 0);
	assert_true(result.counts.incomplete);
	assert_says(result.text, " SERVER   2.00 s");
	assert_says(result.text, "the input broke off before its end");
	free(result.text);
	result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON});
	assert_says(result.text, "\"complete\":false");
	free(result.text);
	stream_release(&stream);
}

static void test_run_passes_over_records_that_cannot_be_decoded(void **state)
{
	static const unsigned kinds[] = {
		CU_RECORD_CONNECTION,  CU_RECORD_ANALYSIS, CU_RECORD_GAP,
		CU_RECORD_TRANSACTION, CU_RECORD_FINDING,  CU_RECORD_TOTALS,
	};
	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		struct stream stream;
		stream_begin(&stream);
		add_judged(&stream, 0, 2 * S, true);
		cu_buf_add(&stream.buf, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
		stream_add(&stream, kinds[i]);
		add_judged(&stream, 1, 3 * S, true);
		stream_end(&stream);
		struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
		assert_int_equal(result.run, CU_ERR_FORMAT);
		assert_int_equal(result.counts.n_bad_records, 1);
		assert_int_equal(result.counts.n_slow, 2);
		assert_says(result.fault, "cannot be decoded");
		assert_says(result.text, "1 record was not readable");
		free(result.text);
		stream_release(&stream);
	}
}

static void test_run_pairs_verdicts_with_their_transactions_only(void **state)
{
	struct stream stream;
	struct cu_transaction transaction = make_transaction(0, 0);
	struct cu_verdict other = make_verdict(0, 1), early = make_verdict(0, 0);
	(void)state;
	stream_begin(&stream);
	add_connection(&stream, 0);
	ADD(&stream, VERDICT, verdict, &early);
	ADD(&stream, TRANSACTION, transaction, &transaction);
	ADD(&stream, VERDICT, verdict, &other);
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	assert_int_equal(result.counts.n_transactions, 1);
	assert_int_equal(result.counts.n_judged, 0);
	free(result.text);
	stream_release(&stream);
}

static void test_run_narrows_to_a_stream_or_a_time(void **state)
{
	enum { NONE = -1 };
	static const struct {
		bool has_stream;
		uint64_t stream;
		int64_t since_ns, until_ns; /* NONE: not given */
		uint64_t n_transactions, n_connections;
	} rows[] = {
		{false, 0, NONE, NONE, 3, 3},
		{true, 1, NONE, NONE, 1, 1},
		{true, 7, NONE, NONE, 0, 0},
		{false, 0, START + 1, NONE, 0, 3}, /* the connections reach into that time */
		{false, 0, START, NONE, 3, 3},
		{false, 0, NONE, START, 0, 0},
		{false, 0, START, START + 1, 3, 3},
		{false, 0, START + 200 * S, NONE, 0, 0},
		{false, 0, 0, NONE, 3, 3},
		{false, 0, NONE, 0, 0, 0},
	};
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	for (uint64_t i = 0; i < 3; i++) {
		add_judged(&stream, i, 2 * S, true);
	}
	stream_end(&stream);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct result result = report_of(&stream, (struct cu_report_config){
								  .by = CU_REPORT_BY_NOTHING,
								  .has_stream = rows[i].has_stream,
								  .stream = rows[i].stream,
								  .has_since = rows[i].since_ns != NONE,
								  .has_until = rows[i].until_ns != NONE,
								  .since_ns = rows[i].since_ns,
								  .until_ns = rows[i].until_ns,
							  });
		assert_int_equal(result.counts.n_transactions, rows[i].n_transactions);
		assert_int_equal(result.counts.n_connections, rows[i].n_connections);
		if (rows[i].n_connections == 0) {
			assert_says(result.text, "what the input has is outside of --stream");
		}
		free(result.text);
	}
	stream_release(&stream);
}

static void test_run_counts_by_party(void **state)
{
	struct stream stream;
	(void)state;
	stream_begin(&stream);
	for (uint8_t party = CU_PARTY_NONE; party < CU_N_PARTIES; party++) {
		struct cu_transaction transaction = make_transaction(party, 0);
		struct cu_verdict verdict = make_verdict(party, 0);
		verdict.blame = party;
		add_connection(&stream, party);
		ADD(&stream, TRANSACTION, transaction, &transaction);
		ADD(&stream, VERDICT, verdict, &verdict);
	}
	stream_end(&stream);
	struct result result = report_of(&stream, (struct cu_report_config){.by = CU_REPORT_BY_NOTHING});
	for (unsigned party = 0; party < CU_N_PARTIES; party++) {
		assert_int_equal(result.counts.slow_by_party[party], 1);
	}
	free(result.text);
	stream_release(&stream);
}

static void test_run_twice_is_one_report(void **state)
{
	struct stream stream;
	struct cu_report *report;
	struct cu_reader *reader;
	const struct cu_report_config config = {
		.by = CU_REPORT_BY_NOTHING, .several = true, .top = 20, .term = {.width = 80}};
	int out = memfd_create("report", 0);
	(void)state;
	reference(&stream);
	assert_int_equal(cu_report_open(&report, out, &config), 0);
	for (int i = 0; i < 2; i++) {
		lseek(stream.fd, 0, SEEK_SET);
		assert_int_equal(cu_reader_open(&reader, stream.fd, "flows"), 0);
		assert_int_equal(cu_report_run(report, reader), 0);
		cu_reader_close(reader);
	}
	assert_int_equal(cu_report_finish(report), 0);
	assert_int_equal(cu_report_counts(report)->totals.n_packets, 24);
	assert_int_equal(cu_report_counts(report)->n_slow, 2);
	cu_report_close(report);
	char *text = read_all(out);
	assert_says(text, "2 of 2 transactions were slow");
	assert_says(text, "slow.pcap:4-5");
	free(text);
	close(out);
	stream_release(&stream);
}

static int finish_to(int fd, const struct stream *stream)
{
	struct cu_report *report;
	struct cu_reader *reader;
	const struct cu_report_config config = {.by = CU_REPORT_BY_NOTHING, .format = CU_REPORT_JSON};
	lseek(stream->fd, 0, SEEK_SET);
	assert_int_equal(cu_reader_open(&reader, stream->fd, "flows"), 0);
	assert_int_equal(cu_report_open(&report, fd, &config), 0);
	cu_report_run(report, reader);
	int error = cu_report_finish(report);
	assert_int_equal(cu_report_output_fault(report)->code, error);
	assert_int_equal(cu_report_finish(report), error);
	cu_report_close(report);
	cu_reader_close(reader);
	return error;
}

static void test_finish_reports_failed_writes(void **state)
{
	struct stream stream;
	int ends[2], full = open("/dev/full", O_WRONLY);
	(void)state;
	stream_begin(&stream);
	for (uint64_t i = 0; i < 200; i++) { /* more than is gathered before a write */
		add_judged(&stream, i, 2 * S, true);
	}
	stream_end(&stream);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	assert_int_equal(finish_to(ends[1], &stream), CU_ERR_CLOSED);
	close(ends[1]);
	if (full >= 0) {
		assert_int_equal(finish_to(full, &stream), CU_ERR_IO);
		close(full);
	}
	assert_int_equal(finish_to(-1, &stream), CU_ERR_IO);
	stream_release(&stream);
}

static void test_open_refuses_what_a_format_cannot_show(void **state)
{
	static const struct {
		enum cu_report_format format;
		enum cu_report_by by;
		bool segments, can;
	} rows[] = {
		{CU_REPORT_TEXT, CU_REPORT_BY_NOTHING, false, true},
		{CU_REPORT_CSV, CU_REPORT_BY_NOTHING, false, true},
		{CU_REPORT_JSON, CU_REPORT_BY_CAUSE, false, true},
		{CU_REPORT_CSV, CU_REPORT_BY_CAUSE, false, false},
		{CU_REPORT_FILTER, CU_REPORT_BY_NOTHING, true, false},
		{CU_REPORT_TEXT, CU_REPORT_BY_CAUSE, true, false},
		{CU_REPORT_JSON, CU_REPORT_BY_NOTHING, true, true},
		{CU_N_REPORT_FORMATS, CU_REPORT_BY_NOTHING, false, false},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cu_report_config config = {
			.format = rows[i].format, .by = rows[i].by, .segments = rows[i].segments};
		struct cu_report *report;
		assert_int_equal(cu_report_can(&config), rows[i].can);
		assert_int_equal(cu_report_open(&report, STDOUT_FILENO, &config), rows[i].can ? 0 : CU_ERR_UNSUPPORTED);
		assert_int_equal(report != NULL, rows[i].can);
		cu_report_close(report);
	}
}

#ifndef __SANITIZE_ADDRESS__
/* Bytes allocated after a report of n slow transactions was gathered. */
static size_t bytes_for(uint64_t n, enum cu_report_format format)
{
	struct stream stream;
	struct cu_report *report;
	struct cu_reader *reader;
	const struct cu_report_config config = {
		.by = CU_REPORT_BY_NOTHING, .format = format, .top = 20, .term = {.width = 80}};
	stream_begin(&stream);
	for (uint64_t i = 0; i < n; i++) {
		add_judged(&stream, i, (int64_t)(i + 2) * S, true);
	}
	stream_end(&stream);
	cu_writer_close(stream.writer);
	stream.writer = NULL;
	lseek(stream.fd, 0, SEEK_SET);
	assert_int_equal(cu_reader_open(&reader, stream.fd, "flows"), 0);
	int out = open("/dev/null", O_WRONLY);
	assert_int_equal(cu_report_open(&report, out, &config), 0);
	assert_int_equal(cu_report_run(report, reader), 0);
	cu_reader_close(reader);
	struct mallinfo2 info = mallinfo2();
	size_t bytes = info.uordblks + info.hblkhd;
	cu_report_close(report);
	close(out);
	cu_buf_release(&stream.buf);
	close(stream.fd);
	return bytes;
}

static void test_memory_does_not_grow_with_the_stream(void **state)
{
	(void)state;
	for (unsigned format = 0; format < CU_N_REPORT_FORMATS; format++) {
		size_t few = bytes_for(100, format), many = bytes_for(10000, format);
		assert_true(many < few + 256 * 1024);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_reference_case),
		cmocka_unit_test(test_text_widths_are_kept),
		cmocka_unit_test(test_text_colour_and_unicode_only_when_asked),
		cmocka_unit_test(test_text_shows_the_longest_first_and_no_more_than_top),
		cmocka_unit_test(test_text_says_so_when_nothing_was_slow),
		cmocka_unit_test(test_text_of_what_has_no_tcp),
		cmocka_unit_test(test_text_of_flowify_lists_connections),
		cmocka_unit_test(test_text_of_analyze_lists_transactions),
		cmocka_unit_test(test_text_of_connections_without_transactions),
		cmocka_unit_test(test_outcomes_without_an_answer),
		cmocka_unit_test(test_hostile_names_are_escaped),
		cmocka_unit_test(test_names_of_several_files),
		cmocka_unit_test(test_json_reference_case),
		cmocka_unit_test(test_json_blames_nobody_when_not_slow),
		cmocka_unit_test(test_json_of_each_stage),
		cmocka_unit_test(test_json_gaps_and_findings),
		cmocka_unit_test(test_json_tls_names_follow_the_connection),
		cmocka_unit_test(test_csv_rows_have_the_header_s_columns),
		cmocka_unit_test(test_csv_guards_against_formulas),
		cmocka_unit_test(test_filter_shows_the_slow_ones),
		cmocka_unit_test(test_by_gathers),
		cmocka_unit_test(test_by_of_many_groups_shows_the_top),
		cmocka_unit_test(test_segments_lines),
		cmocka_unit_test(test_segments_of_chunks_before_their_connection),
		cmocka_unit_test(test_marks_that_lie_are_refused),
		cmocka_unit_test(test_run_of_a_stream_without_its_end),
		cmocka_unit_test(test_run_passes_over_records_that_cannot_be_decoded),
		cmocka_unit_test(test_run_pairs_verdicts_with_their_transactions_only),
		cmocka_unit_test(test_run_narrows_to_a_stream_or_a_time),
		cmocka_unit_test(test_run_counts_by_party),
		cmocka_unit_test(test_run_twice_is_one_report),
		cmocka_unit_test(test_finish_reports_failed_writes),
		cmocka_unit_test(test_open_refuses_what_a_format_cannot_show),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_memory_does_not_grow_with_the_stream),
#endif
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
