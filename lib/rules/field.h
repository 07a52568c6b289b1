/*
 * The fields that conditions and texts of rules can name.
 *
 * One table has each field's name, type, meaning, and where its value is;
 * classify --fields and the list in rules.5 come from it.
 */
#ifndef CU_RULES_FIELD_H
#define CU_RULES_FIELD_H

#include "lib/base/bytes.h"
#include "lib/record/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of fields and expressions; the numeric ones are units. */
enum cu_type {
	CU_TYPE_NONE = 0, /* an error in it was reported */
	CU_TYPE_BOOL,
	CU_TYPE_TIME, /* a duration: nanoseconds */
	CU_TYPE_BYTES,
	CU_TYPE_COUNT,
	CU_TYPE_RATIO,   /* 1 is 100 % */
	CU_TYPE_RATE,    /* bytes a nanosecond, so that bytes by time are one */
	CU_TYPE_NUMBER,  /* a literal without a unit */
	CU_TYPE_INSTANT, /* nanoseconds since 1970-01-01 UTC */
	CU_TYPE_PORT,
	CU_TYPE_ENUM,
	CU_TYPE_TEXT,
	CU_TYPE_ADDRESS,
	CU_TYPE_NETWORK,  /* 10.0.0.0/8: a constant */
	CU_TYPE_ENDPOINT, /* address and port: in texts only */
	CU_N_TYPES,
};

/* "time", "bytes", "a count": as in "compares time with bytes". */
const char *cu_type_name(enum cu_type type);
/* Its unit in lists of fields: "time", "bytes", "count". */
const char *cu_type_unit(enum cu_type type);
bool cu_type_is_numeric(enum cu_type type);

/* The values of an enumeration. */
struct cu_names {
	const char *what; /* "a party" */
	unsigned n;
	const char *(*name)(unsigned value);
};
extern const struct cu_names cu_party_names, cu_cause_names, cu_confidence_names, cu_txn_kind_names;

/* The value called name of len bytes, '_' as good as '-'; -1 when there is none. */
int cu_names_find(const struct cu_names *names, const char *name, size_t len);

/*
 * The name nearest to a word that is none of them, of those from first on;
 * NULL, and all of them in known: "low, medium, high".
 */
const char *cu_names_suggest(const struct cu_names *names, unsigned first, const char *word, size_t len,
                             struct cu_buf *known);

/* What is worked out of the records, once for each transaction that is judged. */
struct cu_derived {
	struct cu_text service; /* borrowed from the rules; empty: not known */
	int64_t slow_over_ns;
	int64_t excess_ns;    /* total less network.rtt */
	int64_t ack_delay_ns; /* -1 none */
	int64_t party_ns[CU_N_PARTIES];
	double certainty;                /* 0 to 1 */
	double response_rate;            /* bytes a nanosecond from first byte to last; NaN none */
	uint64_t events[CU_N_EVENTS];    /* of the kept ones, with their counts */
	uint64_t server_keep_alive_acks; /* of them, those that the server sent */
	int64_t connection_ns, connection_bytes, connection_segments; /* -1: no connection record */
	int64_t retransmitted, gaps, gap_bytes;                       /* -1: no analysis record */
	uint8_t blame, cause, confidence;                             /* what the ledger says */
	uint8_t party_of_reset; /* who sent the RST; CU_PARTY_NONE when none did */
	bool slow;              /* as the verdict has it, once there is one */
	bool acked, http, tls, prohibited;
};

/* What a server or client did within a window of time, for rules about endpoints. */
enum cu_bad_end { CU_BAD_REFUSED, CU_BAD_UNANSWERED, CU_BAD_HALF_OPEN, CU_BAD_ABORTED, CU_BAD_RESET, CU_N_BAD };
struct cu_window_facts {
	uint64_t n_transactions, n_connections;
	uint64_t n_bad[CU_N_BAD]; /* connections, by how they ended */
	int64_t start_ns, length_ns;
};
/* The counts by number: transactions, connections, then by how these ended. */
enum { CU_COUNT_TRANSACTIONS, CU_COUNT_CONNECTIONS, CU_COUNT_BAD, CU_N_WINDOW_COUNTS = CU_COUNT_BAD + CU_N_BAD };

/* Where values are. */
enum cu_field_base {
	CU_FIELD_TRANSACTION = 0,
	CU_FIELD_CONNECTION,
	CU_FIELD_ANALYSIS,
	CU_FIELD_DERIVED,
	CU_FIELD_WINDOW,
	CU_FIELD_BASELINE,
	CU_N_FIELD_BASES
};
/* clang-format off */
enum cu_field_access { CU_ACCESS_I64, CU_ACCESS_U64, CU_ACCESS_U32, CU_ACCESS_U16, CU_ACCESS_U8, CU_ACCESS_BOOL, CU_ACCESS_BIT,
	CU_ACCESS_F64, CU_ACCESS_TEXT, CU_ACCESS_ADDR, CU_ACCESS_ENDPOINT };
/* clang-format on */

/* The records a transaction is judged by; NULL where there is none. */
struct cu_view {
	const void *base[CU_N_FIELD_BASES];
	const uint64_t *counters; /* of a window; NULL for a transaction */
};

struct cu_field {
	const char *name;
	uint8_t type;                 /* enum cu_type */
	uint8_t base;                 /* enum cu_field_base */
	uint8_t access;               /* enum cu_field_access */
	uint8_t bit;                  /* for CU_ACCESS_BIT */
	uint8_t missing;              /* which value means "none": 0 no value does, 'z' zero, 'n' a negative one */
	uint16_t offset;              /* in the base */
	const struct cu_names *names; /* of an enumeration */
	const char *meaning;          /* a sentence without full stop */
};

size_t cu_field_count(void);
const struct cu_field *cu_field_at(size_t i);
/* NULL when there is none. */
const struct cu_field *cu_field_find(const char *name, size_t len);

/*
 * The value as a number: bool 0 or 1, enumerations their value, times in
 * nanoseconds; NaN when it is missing. For numeric, bool, port and enum fields.
 */
double cu_field_number(const struct cu_field *field, const struct cu_view *view);
/* The same exactly, for integers: false when it is missing. */
bool cu_field_integer(const struct cu_field *field, const struct cu_view *view, int64_t *value);
/* Missing: empty. */
struct cu_text cu_field_text(const struct cu_field *field, const struct cu_view *view);
/* Missing: NULL. */
const struct cu_addr *cu_field_addr(const struct cu_field *field, const struct cu_view *view);
/* Whether each transaction has it. */
bool cu_field_is_always_there(const struct cu_field *field);
bool cu_field_has(const struct cu_field *field, const struct cu_view *view);

/* Appends a number of a type as a person reads it: "97.0 ms", "83 %"; "unknown" for NaN. */
void cu_format_number(struct cu_buf *buf, enum cu_type type, const struct cu_names *names, double number);
/* Appends a field's value likewise. */
void cu_field_format(const struct cu_field *field, const struct cu_view *view, struct cu_buf *buf);

/* Appends the table as text, a field a line: name, unit, meaning. */
void cu_fields_list(struct cu_buf *buf);
/* Appends the table as the mdoc list that is in rules.5. */
void cu_fields_mdoc(struct cu_buf *buf);

#endif
