/*
 * A transaction in the text report: kept as the bytes of its records for as
 * long as it may be among those that are shown, and then written out.
 */
#ifndef CU_REPORT_ENTRY_H
#define CU_REPORT_ENTRY_H

#include "lib/report/format.h"
#include "lib/report/page.h"
#include "lib/report/top.h"

/* What is kept beside the records, and how long they and the names behind it are. */
struct cu_entry_head {
	struct cu_addr client, server;
	uint16_t client_port, server_port;
	uint8_t vantage;
	bool has_connection, has_verdict;
	int64_t rtt_ns;
	uint32_t transaction_len, verdict_len, server_name_len, file_len, other_files_len;
};

/* A kept transaction, read back; its texts are borrowed from the blob. */
struct cu_entry {
	struct cu_entry_head head;
	struct cu_transaction transaction;
	struct cu_verdict verdict;
	struct cu_text server_name, file;
	struct cu_text other_files; /* of the transaction's parts: number (2 bytes), length (4), name */
};

/* Appends a transaction to a blob. */
void cu_entry_pack(struct cu_buf *blob, const struct cu_report_transaction *item);

/* Offers a transaction by its duration. 0 or CU_ERR_NOMEM. */
int cu_entry_keep(struct cu_top *top, const struct cu_report_transaction *item);

/* 0, or CU_ERR_NOMEM when it could not be kept whole. */
int cu_entry_read(const struct cu_buf *blob, struct cu_entry *entry);

/* Writes it: who is to blame, what it was, where the time went, the evidence, why. */
void cu_entry_put(struct cu_page *page, const struct cu_entry *entry);

/* Of that, the evidence: a labelled paragraph each for request, answer, the longest stretch and each kind of event. */
void cu_entry_put_frames(struct cu_page *page, const struct cu_entry *entry);

/* Says where it begins and ends. */
void cu_entry_say_frames(struct cu_page *page, const struct cu_entry *entry);

/* Says what it was: "GET /path", "TLS handshake with example.org", the latter with an article if wanted. */
void cu_entry_say_what(struct cu_page *page, const struct cu_entry *entry, bool article);

#endif
