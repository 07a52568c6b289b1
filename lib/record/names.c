#include "lib/record/record.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAME_IN(array, n) ((n) < COUNT(array) ? (array)[n] : (array)[0])

static const struct {
	const char *name;
	enum cu_party party;
} causes[CU_N_CAUSES] = {
	[CU_CAUSE_NONE] = {"none", CU_PARTY_NONE},
	[CU_CLIENT_PAUSE] = {"client.pause", CU_PARTY_CLIENT},
	[CU_CLIENT_WINDOW] = {"client.window", CU_PARTY_CLIENT},
	[CU_CLIENT_DELAYED_ACK] = {"client.delayed_ack", CU_PARTY_CLIENT},
	[CU_NETWORK_RTT] = {"network.rtt", CU_PARTY_NETWORK},
	[CU_NETWORK_TRANSFER] = {"network.transfer", CU_PARTY_NETWORK},
	[CU_NETWORK_LOSS] = {"network.loss", CU_PARTY_NETWORK},
	[CU_NETWORK_CONNECT] = {"network.connect", CU_PARTY_NETWORK},
	[CU_NETWORK_MTU] = {"network.mtu", CU_PARTY_NETWORK},
	[CU_SERVER_THINK] = {"server.think", CU_PARTY_SERVER},
	[CU_SERVER_PAUSE] = {"server.pause", CU_PARTY_SERVER},
	[CU_SERVER_WINDOW] = {"server.window", CU_PARTY_SERVER},
	[CU_SERVER_DELAYED_ACK] = {"server.delayed_ack", CU_PARTY_SERVER},
	[CU_SERVER_CONNECT] = {"server.connect", CU_PARTY_SERVER},
	[CU_UNKNOWN_CAPTURE] = {"unknown.capture", CU_PARTY_UNKNOWN},
};

const char *cu_cause_name(unsigned cause)
{
	return cause < CU_N_CAUSES ? causes[cause].name : "none";
}

enum cu_party cu_cause_party(unsigned cause)
{
	return cause < CU_N_CAUSES ? causes[cause].party : CU_PARTY_NONE;
}

const char *cu_party_name(unsigned party)
{
	static const char *const names[] = {"none", "client", "network", "server", "unknown"};
	return NAME_IN(names, party);
}

const char *cu_vantage_name(unsigned vantage)
{
	static const char *const names[] = {"unknown", "client", "middle", "server"};
	return NAME_IN(names, vantage);
}

const char *cu_close_name(unsigned kind)
{
	static const char *const names[] = {"none", "clean", "abortive", "refused", "unanswered", "half", "half_open"};
	return NAME_IN(names, kind);
}

const char *cu_reset_name(unsigned kind)
{
	static const char *const names[] = {"none", "closed_port", "probe",    "on_data",   "no_state",
	                                    "idle", "abort",       "unheeded", "unanswered"};
	return NAME_IN(names, kind);
}

const char *cu_loss_pattern_name(unsigned pattern)
{
	static const char *const names[] = {"none", "runs", "scattered"};
	return NAME_IN(names, pattern);
}

const char *cu_loss_side_name(unsigned side)
{
	static const char *const names[] = {"none", "before", "after", "both", "capture", "earlier"};
	return NAME_IN(names, side);
}

const char *cu_doubt_name(unsigned doubt)
{
	static const char *const names[CU_N_DOUBTS] = {
		"no_handshake", "no_server_rtt", "no_client_rtt",      "guessed_roles", "unseen_loss",
		"like_a_timer", "capture_lacks", "capture_lacks_here", "own_message",   "kept_ack",
		"late_ack",     "last_words",    "ended_before",       "unasked"};
	return NAME_IN(names, doubt);
}

const char *cu_txn_kind_name(unsigned kind)
{
	static const char *const names[] = {"none", "connect", "greeting", "tls-handshake", "request", "close"};
	return NAME_IN(names, kind);
}

const char *cu_outcome_name(unsigned outcome)
{
	static const char *const names[] = {"none", "answered", "unanswered", "refused", "reset", "abandoned", "open"};
	return NAME_IN(names, outcome);
}

const char *cu_event_name(unsigned kind)
{
	static const char *const names[CU_N_EVENTS] = {
		[CU_EVENT_NONE] = "none",
		[CU_EVENT_RETRANSMISSION] = "retransmission",
		[CU_EVENT_FAST_RETRANSMISSION] = "fast_retransmission",
		[CU_EVENT_SPURIOUS_RETRANSMISSION] = "spurious_retransmission",
		[CU_EVENT_OUT_OF_ORDER] = "out_of_order",
		[CU_EVENT_LOST_SEGMENT] = "lost_segment",
		[CU_EVENT_ACK_LOST_SEGMENT] = "ack_lost_segment",
		[CU_EVENT_DUPLICATE_ACK] = "duplicate_ack",
		[CU_EVENT_KEEP_ALIVE] = "keep_alive",
		[CU_EVENT_KEEP_ALIVE_ACK] = "keep_alive_ack",
		[CU_EVENT_ZERO_WINDOW] = "zero_window",
		[CU_EVENT_ZERO_WINDOW_PROBE] = "zero_window_probe",
		[CU_EVENT_ZERO_WINDOW_PROBE_ACK] = "zero_window_probe_ack",
		[CU_EVENT_WINDOW_FULL] = "window_full",
		[CU_EVENT_WINDOW_UPDATE] = "window_update",
		[CU_EVENT_RESET] = "reset",
		[CU_EVENT_ICMP] = "icmp",
		[CU_EVENT_DUPLICATE_FRAME] = "duplicate_frame",
	};
	return NAME_IN(names, kind);
}

const char *cu_confidence_name(unsigned confidence)
{
	static const char *const names[] = {"none", "low", "medium", "high"};
	return NAME_IN(names, confidence);
}
