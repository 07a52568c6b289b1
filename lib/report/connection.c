#include "lib/report/connection.h"

#include "lib/report/words.h"
#include "lib/tcp/trace.h"

enum { GAPS_SHOWN = 20 };

static void say_count(struct cu_page *page, uint64_t n)
{
	cu_term_count(&page->line, n);
}

/* A gap's relative sequence number, which may be below zero. */
static void say_seq(struct cu_page *page, uint64_t seq)
{
	bool below_zero = (int64_t)seq < 0;
	cu_page_say(page, below_zero ? "-" : "");
	say_count(page, below_zero ? -seq : seq);
}

static void say_counted(struct cu_page *page, uint64_t n, const char *noun)
{
	cu_term_counted(&page->line, n, noun);
}

static void say_duration(struct cu_page *page, int64_t ns)
{
	cu_term_duration(&page->line, ns);
}

static void put_line(struct cu_page *page, const char *label)
{
	if (page->line.len > 0) {
		cu_page_put(page, label, CU_PAGE_GUTTER);
	}
}

static const char *sender_name(int dir)
{
	return dir == CU_C2S ? "client" : "server";
}

static void put_ends(struct cu_page *page, const struct cu_report_connection *item)
{
	const struct cu_connection *connection = item->connection;
	cu_page_style(page, CU_STYLE_BOLD);
	cu_page_say(page, "stream ");
	say_count(page, connection->stream);
	cu_page_style(page, CU_STYLE_PLAIN);
	cu_page_dot(page);
	cu_page_say_end(page, &connection->client, connection->client_port);
	cu_page_say_arrow(page);
	cu_page_say_end(page, &connection->server, connection->server_port);
	cu_page_dot(page);
	say_counted(page, connection->side[0].n_segments + connection->side[1].n_segments, "segment");
	cu_page_say(page, " in ");
	say_duration(page, connection->end_ns - connection->start_ns);
	cu_page_dot(page);
	cu_page_say(page, cu_vantage_words(item->analysis->vantage));
	cu_page_put(page, "", 1);
}

/* The least round trip of the stretch of time in which it was largest; of those with a few samples. */
static int64_t find_standing(const struct cu_analysis_side *side)
{
	enum { A_FEW = 8 };
	int64_t standing = 0;
	for (unsigned i = 0; i < CU_RTT_SLICES; i++) {
		if (side->rtt_slice[i].n >= A_FEW && side->rtt_slice[i].min_ns > standing) {
			standing = side->rtt_slice[i].min_ns;
		}
	}
	return standing;
}

/* The round trip to the receiver of a direction, and how it moved. */
static void put_rtt(struct cu_page *page, const struct cu_analysis_side *side, int dir)
{
	if (side->n_rtt_samples == 0) {
		return;
	}
	cu_page_say(page, "to the ");
	cu_page_say(page, sender_name(!dir));
	cu_page_say(page, " and back: at least ");
	say_duration(page, side->rtt_min_ns);
	if (side->n_rtt_samples > 1) {
		cu_page_say(page, ", ");
		cu_term_nobreak(&page->line, "50 % within ");
		say_duration(page, side->rtt_median_ns);
		cu_page_say(page, ", ");
		cu_term_nobreak(&page->line, "90 % within ");
		say_duration(page, side->rtt_p90_ns);
		cu_page_say(page, ", ");
		cu_term_nobreak(&page->line, "99 % within ");
		say_duration(page, side->rtt_p99_ns);
		cu_page_say(page, ", at most ");
		say_duration(page, side->rtt_max_ns);
	}
	cu_page_say(page, "; ");
	say_counted(page, side->n_rtt_samples, "sample");
	if (side->rtt_slice_ns != 0) {
		const char *before = "; every ";
		for (unsigned i = 0; i < CU_RTT_SLICES; i++) {
			if (side->rtt_slice[i].n == 0) {
				continue;
			}
			cu_page_say(page, before);
			if (before[0] == ';') {
				say_duration(page, side->rtt_slice_ns);
				cu_page_say(page, " on average ");
			}
			say_duration(page, side->rtt_slice[i].mean_ns);
			before = ", ";
		}
	}
	cu_page_say(page, ".");
	/* Twice the least, and more than hosts' own delays: the path was never empty in all that time. */
	int64_t standing = find_standing(side);
	if (standing >= 2 * side->rtt_min_ns && standing - side->rtt_min_ns >= 5 * CU_NS_PER_MS) {
		cu_page_say(page, " For ");
		say_duration(page, side->rtt_slice_ns);
		cu_page_say(page, " none was below ");
		say_duration(page, standing);
		cu_page_say(page, ": a queue, or ACKs held back.");
	}
	put_line(page, "RTT");
}

/* What the SYNs agreed on, and what one of them lacks. */
static void put_handshake(struct cu_page *page, const struct cu_report_connection *item)
{
	const struct cu_connection_side *client = &item->connection->side[CU_C2S];
	const struct cu_connection_side *server = &item->connection->side[CU_S2C];
	if (!client->has_syn && !server->has_syn) {
		cu_page_say(page, "neither is in the capture: window scales and options are not known.");
		put_line(page, "SYN");
		return;
	}
	for (int dir = 0; dir < 2; dir++) {
		const struct cu_connection_side *side = &item->connection->side[dir];
		if (side->has_syn) {
			cu_page_say(page, dir == CU_C2S ? "client: MSS " : "server: MSS ");
			say_count(page, side->syn.mss);
			bool cut = side->syn.cut; /* what is not there may have been */
			if (side->syn.has_wscale) {
				cu_page_say(page, ", window scale ");
				say_count(page, side->syn.wscale);
			} else {
				cu_page_say(page, cut ? "" : ", no window scale");
			}
			cu_page_say(page, side->syn.sack_permitted ? ", SACK" : cut ? "" : ", no SACK");
			cu_page_say(page, side->syn.has_timestamps ? ", timestamps" : cut ? "" : ", no timestamps");
			cu_page_say(page, cut ? ", and what was not captured" : "");
			if (item->analysis->side[dir].n_syns > 1) {
				cu_page_say(page, ", sent ");
				say_counted(page, item->analysis->side[dir].n_syns, "time");
			}
			cu_page_say(page, ". ");
		}
	}
	if ((cu_scales_not(client) && server->syn.has_wscale) || (cu_scales_not(server) && client->syn.has_wscale)) {
		cu_page_say(page, client->syn.has_wscale ? "The server's" : "The client's");
		cu_page_say(page, " SYN has no window scale: no window can be above 64 KiB. ");
	}
	put_line(page, "SYN");
}

/* What a direction's sender had in flight, and its receiver room for. */
static void put_window(struct cu_page *page, const struct cu_report_connection *item, int dir)
{
	const struct cu_analysis *analysis = item->analysis;
	const struct cu_analysis_side *side = &analysis->side[dir];
	const struct cu_window_use *use = &side->window;
	uint64_t n_closed = analysis->side[!dir].n_zero_windows;
	char words[CU_TEXT_CAP];
	if (use->n_sent == 0 && n_closed == 0) {
		return;
	}
	if (use->n_sent > 0) {
		cu_page_say(page, "the ");
		cu_page_say(page, sender_name(dir));
		cu_page_say(page, " had up to ");
		cu_term_nobreak(&page->line, cu_format_size(words, use->flight_max_bytes));
		cu_page_say(page, " in flight");
		if (cu_knows_scale(item->connection, !dir)) {
			cu_page_say(page, ", in a window of up to ");
			cu_term_nobreak(&page->line, cu_format_size(words, use->max_bytes));
		}
	}
	if (n_closed > 0) {
		cu_page_say(page, use->n_sent > 0 ? ". The " : "the ");
		cu_page_say(page, sender_name(!dir));
		cu_page_say(page, "'s window was closed in ");
		say_counted(page, n_closed, "segment");
	}
	if (use->small && analysis->rtt_ns > 0) {
		double rate = (double)use->max_bytes * (double)CU_NS_PER_S / (double)analysis->rtt_ns;
		cu_page_say(page, ". The window is too small for the path: it was full after ");
		cu_term_percent(&page->line, use->n_edge, use->n_sent);
		cu_page_say(page, " of the segments, and with a round trip of ");
		say_duration(page, analysis->rtt_ns);
		cu_page_say(page, " it allows ");
		cu_term_nobreak(&page->line, cu_format_size(words, rate < 1e15 ? (uint64_t)rate : 0));
		cu_page_say(page, " a second");
	}
	if (side->n_large > 0) {
		cu_page_say(page, ". ");
		say_counted(page, side->n_large, "segment");
		cu_page_say(page, " above the MSS, up to ");
		say_counted(page, side->largest_bytes, "byte");
		cu_page_say(page, ": offload, seen before it was cut or after it was put together");
	}
	cu_page_say(page, ".");
	put_line(page, "window");
}

static void put_loss(struct cu_page *page, const struct cu_loss_runs *loss, int dir)
{
	if (loss->n_lost == 0) {
		return;
	}
	cu_page_say(page, "from the ");
	cu_page_say(page, sender_name(dir));
	cu_page_say(page, " ");
	say_count(page, loss->n_lost);
	cu_page_say(page, " of ");
	say_counted(page, loss->n_segments, "segment");
	cu_page_say(page, loss->n_lost == 1 ? " was lost" : " were lost");
	if (loss->n_lost > 1) {
		cu_page_say(page, ", in ");
		say_counted(page, loss->n_runs, "run");
		cu_page_say(page, " of up to ");
		say_count(page, loss->longest);
	}
	cu_page_say(page, "; p ");
	cu_term_percent(&page->line, loss->enter_ppm, 1000000);
	cu_page_say(page, ", r ");
	cu_term_percent(&page->line, loss->leave_ppm, 1000000);
	cu_page_say(page, loss->pattern == CU_PATTERN_RUNS        ? ". They come close together, as from a full buffer."
	                  : loss->pattern == CU_PATTERN_SCATTERED ? ". They are scattered, as on a poor link."
	                                                          : ".");
	put_line(page, "loss");
}

/* "frames 4-5", with their files where there are several; last 0: one frame. */
static void say_frames(struct cu_page *page, const struct cu_report_connection *item, uint16_t first_file,
                       uint64_t first, uint16_t last_file, uint64_t last)
{
	const char *names[] = {cu_piece_file(item, first_file), cu_piece_file(item, last_file)};
	struct cu_text file[2] = {{0}, {0}};
	for (int i = 0; i < 2 && names[i] != NULL; i++) {
		file[i] = (struct cu_text){.data = names[i], .len = (uint32_t)strlen(names[i])};
	}
	cu_page_say_the_ends(page, file[0], first, file[1], last);
}

static void put_gap(struct cu_page *page, const struct cu_report_connection *item, const struct cu_gap *gap)
{
	static const char *const sides[] = {
		[CU_LOSS_NONE] = "never seen, never acknowledged",
		[CU_LOSS_BEFORE] = "lost before the vantage point",
		[CU_LOSS_AFTER] = "lost behind the vantage point",
		[CU_LOSS_BOTH] = "lost before the vantage point, and again behind it",
		[CU_LOSS_CAPTURE] = "acknowledged: missing from the capture only",
		[CU_LOSS_EARLIER] = "lost before the first segment that was captured",
	};
	say_frames(page, item, gap->file, gap->frame, 0, 0);
	cu_page_say(page, ": ");
	say_counted(page, gap->n_bytes, "byte");
	cu_page_say(page, " from the ");
	cu_page_say(page, sender_name(gap->dir));
	cu_page_say(page, " at ");
	say_seq(page, gap->rel_seq);
	cu_page_say(page, " (");
	say_counted(page, gap->n_segments, "segment");
	cu_page_say(page, "), ");
	cu_page_say(page, sides[gap->side <= CU_LOSS_EARLIER ? gap->side : CU_LOSS_NONE]);
	if (gap->n_dup_acks > 0) {
		cu_page_say(page, "; ");
		say_counted(page, gap->n_dup_acks, "duplicate ACK");
		cu_page_say(page, " in ");
		say_frames(page, item, gap->first_dup_file, gap->first_dup_frame, gap->last_dup_file,
		           gap->last_dup_frame);
	}
	if (gap->sack_frame != 0) {
		cu_page_say(page, "; SACK from ");
		say_seq(page, gap->sack_left);
		cu_page_say(page, " to ");
		say_seq(page, gap->sack_right);
		cu_page_say(page, " since ");
		say_frames(page, item, gap->sack_file, gap->sack_frame, 0, 0);
	}
	if (gap->n_fills > 0) {
		cu_page_say(page, "; filled by ");
		say_counted(page, gap->n_fills, "segment");
		cu_page_say(page, ", ");
		say_frames(page, item, gap->first_fill_file, gap->first_fill_frame, gap->fill_file, gap->fill_frame);
		cu_page_say(page, ", after ");
		say_duration(page, gap->filled_ns);
	}
	cu_page_say(page, ".");
}

static void put_gaps(struct cu_page *page, const struct cu_report_connection *item)
{
	size_t shown = item->n_gaps < GAPS_SHOWN ? item->n_gaps : GAPS_SHOWN;
	for (size_t i = 0; i < shown; i++) {
		put_gap(page, item, &item->gaps[i]);
		put_line(page, i == 0 ? "gaps" : "");
	}
	uint64_t more = item->n_gaps - shown + item->n_more_gaps;
	if (more > 0) {
		say_counted(page, more, "more gap");
		put_line(page, "");
	}
}

static void put_close(struct cu_page *page, const struct cu_report_connection *item)
{
	const struct cu_analysis *analysis = item->analysis;
	static const char *const words[] = {
		[CU_CLOSE_NONE] = "not in the capture",
		[CU_CLOSE_CLEAN] = "cleanly, by FIN",
		[CU_CLOSE_ABORTIVE] = "abortively, by RST",
		[CU_CLOSE_REFUSED] = "refused",
		[CU_CLOSE_UNANSWERED] = "never answered",
		[CU_CLOSE_HALF] = "one way only",
		[CU_CLOSE_HALF_OPEN] = "half-open: no ACK followed the SYN-ACK",
	};
	static const char *const resets[] = {
		[CU_RESET_NONE] = "",
		[CU_RESET_CLOSED_PORT] = "nobody listens at that port",
		[CU_RESET_PROBE] = "a handshake broken off before any data, as a scanner or a health check does",
		[CU_RESET_ON_DATA] = "data came to an end that had closed, or was left unread",
		[CU_RESET_NO_STATE] = "its sender did not know the connection",
		[CU_RESET_IDLE] = "it ended a silence",
		[CU_RESET_ABORT] = "its sender gave up on its own",
		[CU_RESET_UNHEEDED] = "both ends went on after it, as if it had not come",
		[CU_RESET_UNANSWERED] = "its sender had asked again and again, and nothing answered",
	};
	cu_page_say(page, words[analysis->close <= CU_CLOSE_HALF_OPEN ? analysis->close : CU_CLOSE_NONE]);
	if (analysis->close_frame != 0 && analysis->close != CU_CLOSE_HALF_OPEN) {
		cu_page_say(page, ", the ");
		cu_page_say(page, cu_party_name(analysis->closed_by));
		cu_page_say(page, " first, ");
		say_frames(page, item, analysis->close_file, analysis->close_frame, 0, 0);
	}
	if (analysis->reset_frame != 0 && analysis->close != CU_CLOSE_CLEAN) {
		cu_page_say(page, ". The RST in ");
		say_frames(page, item, analysis->reset_file, analysis->reset_frame, 0, 0);
		cu_page_say(page, ": ");
		bool refused = analysis->reset == CU_RESET_CLOSED_PORT && analysis->reset_by == CU_PARTY_NETWORK;
		cu_page_say(page,
		            refused ? "the connection was rejected"
		                    : resets[analysis->reset <= CU_RESET_UNANSWERED ? analysis->reset : CU_RESET_NONE]);
		if (analysis->reset == CU_RESET_IDLE) {
			cu_page_say(page, " of ");
			say_duration(page, analysis->reset_quiet_ns);
		}
		if (analysis->reset_by == CU_PARTY_NETWORK) {
			cu_page_say(page, ". It came over ");
			say_counted(page, analysis->reset_hops, "hop");
			cu_page_say(page, " where the other segments come over ");
			say_count(page, analysis->usual_hops);
			cu_page_say(page, ": a device on the path sent it");
		}
	}
	cu_page_say(page, ".");
	put_line(page, "close");
}

void cu_connection_put(struct cu_page *page, const struct cu_report_connection *item)
{
	const struct cu_analysis *analysis = item->analysis;
	put_ends(page, item);
	put_handshake(page, item);
	for (int dir = 0; dir < 2; dir++) {
		put_rtt(page, &analysis->side[dir], dir);
	}
	for (int dir = 0; dir < 2; dir++) {
		put_window(page, item, dir);
	}
	for (int dir = 0; dir < 2; dir++) {
		put_loss(page, &analysis->side[dir].loss, dir);
	}
	put_gaps(page, item);
	put_close(page, item);
	cu_page_newline(page);
}
