#include "lib/report/words.h"

#include "lib/record/record.h"

#define WORD(table, i) ((i) < sizeof(table) / sizeof((table)[0]) && (table)[i] != NULL ? (table)[i] : "")

const char *cu_party_badge(unsigned party)
{
	static const char *const badge[] = {
		[CU_PARTY_NONE] = "NOBODY",   [CU_PARTY_CLIENT] = "CLIENT",   [CU_PARTY_NETWORK] = "NETWORK",
		[CU_PARTY_SERVER] = "SERVER", [CU_PARTY_UNKNOWN] = "UNKNOWN",
	};
	return party < CU_N_PARTIES ? badge[party] : badge[CU_PARTY_UNKNOWN];
}

const char *cu_party_words(unsigned party)
{
	return party == CU_PARTY_NONE ? "nobody" : cu_party_name(party);
}

const char *cu_cause_words(unsigned cause)
{
	static const char *const words[CU_N_CAUSES] = {
		[CU_CAUSE_NONE] = "no single cause stands out",
		[CU_CLIENT_PAUSE] =
			"The client stopped sending in the middle of its request, though nothing held it back.",
		[CU_CLIENT_WINDOW] = "the server had data to send and the client's window did not let it",
		[CU_CLIENT_DELAYED_ACK] =
			"The server held a small segment back until the client sent a delayed acknowledgement.",
		[CU_NETWORK_RTT] = "the round trips that any answer costs took that long: the distance",
		[CU_NETWORK_TRANSFER] =
			"The path carried the data no faster: bandwidth, queues or the congestion window.",
		[CU_NETWORK_LOSS] = "segments were lost and had to be sent again",
		[CU_NETWORK_CONNECT] = "a segment of the handshake was lost and had to be sent again",
		[CU_NETWORK_MTU] = "large segments vanished on the path while small ones got through",
		[CU_SERVER_THINK] = "the server had the whole request, and its application had not begun to answer",
		[CU_SERVER_PAUSE] =
			"The server stopped sending in the middle of its answer, though nothing held it back.",
		[CU_SERVER_WINDOW] = "the client had data to send and the server's window did not let it",
		[CU_SERVER_DELAYED_ACK] =
			"The client held a small segment back until the server sent a delayed acknowledgement.",
		[CU_SERVER_CONNECT] = "the server's SYN-ACK came later than the path explains",
		[CU_UNKNOWN_CAPTURE] = "the capture lacks packets there",
	};
	return WORD(words, cause);
}

const char *cu_event_words(unsigned kind)
{
	static const char *const words[CU_N_EVENTS] = {
		[CU_EVENT_NONE] = "event",
		[CU_EVENT_RETRANSMISSION] = "retransmission",
		[CU_EVENT_FAST_RETRANSMISSION] = "fast retransmission",
		[CU_EVENT_SPURIOUS_RETRANSMISSION] = "spurious retransmission",
		[CU_EVENT_OUT_OF_ORDER] = "out of order",
		[CU_EVENT_LOST_SEGMENT] = "previous segment not captured",
		[CU_EVENT_ACK_LOST_SEGMENT] = "ACK of a segment not captured",
		[CU_EVENT_DUPLICATE_ACK] = "duplicate ACK",
		[CU_EVENT_KEEP_ALIVE] = "keep-alive",
		[CU_EVENT_KEEP_ALIVE_ACK] = "keep-alive ACK",
		[CU_EVENT_ZERO_WINDOW] = "zero window",
		[CU_EVENT_ZERO_WINDOW_PROBE] = "zero window probe",
		[CU_EVENT_ZERO_WINDOW_PROBE_ACK] = "zero window probe ACK",
		[CU_EVENT_WINDOW_FULL] = "window full",
		[CU_EVENT_WINDOW_UPDATE] = "window update",
		[CU_EVENT_RESET] = "reset",
		[CU_EVENT_ICMP] = "ICMP error",
		[CU_EVENT_DUPLICATE_FRAME] = "frame captured twice",
	};
	return kind < CU_N_EVENTS ? words[kind] : words[CU_EVENT_NONE];
}

const char *cu_hint_words(unsigned kind)
{
	static const char *const words[] = {
		[CU_HINT_NONE] = "",
		[CU_HINT_HTTP_REQUEST] = "HTTP",
		[CU_HINT_HTTP_RESPONSE] = "HTTP",
		[CU_HINT_TLS_CLIENT_HELLO] = "TLS client hello",
		[CU_HINT_TLS_SERVER_HELLO] = "TLS server hello",
		[CU_HINT_TLS_HANDSHAKE] = "TLS handshake",
		[CU_HINT_TLS_DATA] = "TLS data",
		[CU_HINT_TLS_ALERT] = "TLS alert",
		[CU_HINT_SSH_BANNER] = "SSH",
	};
	return WORD(words, kind);
}

const char *cu_outcome_words(unsigned outcome)
{
	static const char *const words[] = {
		[CU_OUTCOME_NONE] = "",
		[CU_OUTCOME_ANSWERED] = "",
		[CU_OUTCOME_UNANSWERED] = "nothing came before the server closed or the capture ended",
		[CU_OUTCOME_REFUSED] = "refused",
		[CU_OUTCOME_RESET] = "reset before the answer was whole",
		[CU_OUTCOME_ABANDONED] = "the client closed before an answer",
		[CU_OUTCOME_OPEN] = "the capture ended in its middle",
	};
	return WORD(words, outcome);
}

const char *cu_doubt_words(unsigned doubt)
{
	static const char *const words[CU_N_DOUBTS] = {
		[CU_DOUBT_NO_HANDSHAKE] = "the handshake was not captured",
		[CU_DOUBT_NO_SERVER_RTT] = "no round trip to the server was measured",
		[CU_DOUBT_NO_CLIENT_RTT] = "no round trip to the client was measured",
		[CU_DOUBT_ROLES] = "which end is the client is a guess",
		[CU_DOUBT_UNSEEN_LOSS] = "a loss was concluded, not seen",
		[CU_DOUBT_LIKE_A_TIMER] = "an answer lost out of sight and sent again would look the same",
		[CU_DOUBT_CAPTURE_LACKS] = "the capture misses packets of this connection",
		[CU_DOUBT_LACKS_HERE] = "much of the time falls where it misses them",
		[CU_DOUBT_OWN_MESSAGE] = "what came after the pause may be a message of its own",
		[CU_DOUBT_KEPT_ACK] = "an ACK kept back for longer than the sender's timer would look the same",
		[CU_DOUBT_LATE_ACK] = "no TCP waits so long with an ACK: a path that held it up would look the same",
		[CU_DOUBT_LAST_WORDS] = "the server closed right behind it: it may have said that it waits no longer",
		[CU_DOUBT_ENDED] = "what came before the pause may have been a whole message",
		[CU_DOUBT_UNASKED] = "the server also speaks unasked on this connection: what came may be no answer",
	};
	return doubt < CU_N_DOUBTS ? words[doubt] : "";
}

const char *cu_icmp_words(unsigned family, unsigned type, unsigned code)
{
	enum { EVERY = 256 };
	static const struct {
		uint8_t family;
		uint8_t type;
		uint16_t code;
		const char *words;
	} table[] = {
		{4, 3, 0, "network unreachable"},
		{4, 3, 1, "host unreachable"},
		{4, 3, 2, "protocol unreachable"},
		{4, 3, 3, "port unreachable"},
		{4, 3, 4, "fragmentation needed"},
		{4, 3, 6, "network unknown"},
		{4, 3, 7, "host unknown"},
		{4, 3, 9, "network administratively prohibited"},
		{4, 3, 10, "host administratively prohibited"},
		{4, 3, 13, "administratively prohibited"},
		{4, 4, EVERY, "source quench"},
		{4, 11, 0, "TTL exceeded"},
		{4, 11, 1, "fragments not reassembled in time"},
		{4, 12, EVERY, "parameter problem"},
		{6, 1, 0, "no route"},
		{6, 1, 1, "administratively prohibited"},
		{6, 1, 3, "address unreachable"},
		{6, 1, 4, "port unreachable"},
		{6, 1, 5, "source address refused by policy"},
		{6, 1, 6, "route rejected"},
		{6, 2, EVERY, "packet too big"},
		{6, 3, 0, "hop limit exceeded"},
		{6, 3, 1, "fragments not reassembled in time"},
		{6, 4, EVERY, "parameter problem"},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].family == family && table[i].type == type &&
		    (table[i].code == code || table[i].code == EVERY)) {
			return table[i].words;
		}
	}
	return "";
}

const char *cu_vantage_words(unsigned vantage)
{
	static const char *const words[] = {
		[CU_VANTAGE_UNKNOWN] = "",
		[CU_VANTAGE_CLIENT] = "seen at the client",
		[CU_VANTAGE_MIDDLE] = "seen between the two",
		[CU_VANTAGE_SERVER] = "seen at the server",
	};
	return WORD(words, vantage);
}

const char *cu_role_name(unsigned role)
{
	static const char *const name[] = {
		[CU_ROLE_GUESSED] = "guessed", [CU_ROLE_SYN] = "syn",   [CU_ROLE_SYN_ACK] = "syn_ack",
		[CU_ROLE_LEARNED] = "learned", [CU_ROLE_HINT] = "hint",
	};
	return WORD(name, role);
}

const char *cu_connection_end_name(unsigned end)
{
	static const char *const name[] = {
		[CU_END_OPEN] = "open", [CU_END_CLOSED] = "closed",   [CU_END_RESET] = "reset",
		[CU_END_IDLE] = "idle", [CU_END_EVICTED] = "evicted", [CU_END_REUSED] = "reused",
	};
	return WORD(name, end);
}
