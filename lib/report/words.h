/*
 * Words for a person, where the names of record.h are for programs; and names
 * that record.h does not have.
 */
#ifndef CU_REPORT_WORDS_H
#define CU_REPORT_WORDS_H

/* "SERVER", for enum cu_party. */
const char *cu_party_badge(unsigned party);

/* "server", for enum cu_party; "nobody" for none. */
const char *cu_party_words(unsigned party);

/* A clause that says what a cause means: enum cu_cause. */
const char *cu_cause_words(unsigned cause);

/* "keep-alive", for enum cu_event_kind. */
const char *cu_event_words(unsigned kind);

/* "TLS client hello", for enum cu_hint_kind. */
const char *cu_hint_words(unsigned kind);

/* Why there is no whole answer: enum cu_outcome; "" when there is one. */
const char *cu_outcome_words(unsigned outcome);

/* Why a ledger is not altogether sure: enum cu_doubt. */
const char *cu_doubt_words(unsigned doubt);

/* "fragmentation needed", for an ICMP error's type and code in a family, 4 or 6 (RFC 792, 1812, 4443); "" for others. */
const char *cu_icmp_words(unsigned family, unsigned type, unsigned code);

/* "seen at the client", for enum cu_vantage. */
const char *cu_vantage_words(unsigned vantage);

/* "syn_ack", for enum cu_role_source. */
const char *cu_role_name(unsigned role);

/* "closed", for enum cu_connection_end. */
const char *cu_connection_end_name(unsigned end);

#endif
