/*
 * A table of marked text: columns as wide as what is in them, one of them cut
 * where the lines would get too long.
 */
#ifndef CU_REPORT_TEXT_TABLE_H
#define CU_REPORT_TEXT_TABLE_H

#include "lib/report/term.h"

enum { CU_TABLE_COLUMNS_CAP = 16 };

struct cu_text_table_column {
	const char *title; /* NULL ends the list */
	bool right;        /* numbers stand right */
	bool flexible;     /* is cut when lines are too long; at least one column */
	unsigned optional; /* above 0: left out when lines are too long, the higher first */
};

struct cu_text_table {
	const struct cu_text_table_column *columns; /* borrowed */
	unsigned n_columns;
	struct cu_buf cells;  /* marked text, one cell after the other */
	struct cu_buf widths; /* two uint32_t a cell: bytes and columns */
	struct cu_buf cell;   /* the one being composed: append to it, then cu_text_table_next */
};

void cu_text_table_init(struct cu_text_table *table, const struct cu_text_table_column *columns);
void cu_text_table_release(struct cu_text_table *table);

/* Ends the cell in table->cell and begins the next; rows follow from the number of columns. */
void cu_text_table_next(struct cu_text_table *table);

/* Appends the table with its titles, each line indented. CU_ERR_NOMEM. */
int cu_text_table_print(const struct cu_text_table *table, const struct cu_term *term, struct cu_buf *out,
                        unsigned indent);

#endif
