/*
 * A connection in words: what analyze says of its path, its losses, its
 * windows and its end. The text report shows it where one connection is asked for.
 */
#ifndef CU_REPORT_CONNECTION_H
#define CU_REPORT_CONNECTION_H

#include "lib/report/format.h"
#include "lib/report/page.h"

/* Writes an analysed connection. */
void cu_connection_put(struct cu_page *page, const struct cu_report_connection *item);

#endif
