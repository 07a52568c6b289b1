#include "lib/report/text_table.h"

#include "lib/base/error.h"
#include "lib/report/sink.h"

#include <string.h>

/* Blanks between columns. */
enum { TABLE_SPACING = 2 };

/* A flexible column is not cut below the first; below the second, optional columns go before. */
enum { FLEXIBLE_MIN = 12, FLEXIBLE_FAIR = 25 };

struct cell {
	uint32_t len, columns;
};

void cu_text_table_init(struct cu_text_table *table, const struct cu_text_table_column *columns)
{
	*table = (struct cu_text_table){.columns = columns};
	while (table->n_columns < CU_TABLE_COLUMNS_CAP && columns[table->n_columns].title != NULL) {
		table->n_columns++;
	}
}

void cu_text_table_release(struct cu_text_table *table)
{
	cu_buf_release(&table->cells);
	cu_buf_release(&table->widths);
	cu_buf_release(&table->cell);
}

void cu_text_table_next(struct cu_text_table *table)
{
	struct cu_buf *cell = &table->cell;
	struct cell size = {
		.len = (uint32_t)cell->len,
		.columns = (uint32_t)cu_term_columns((const char *)cell->data, cell->len),
	};
	if (cell->failed) {
		table->cells.failed = true;
	}
	cu_buf_add(&table->widths, &size, sizeof(size));
	cu_put(&table->cells, (const char *)cell->data, cell->len);
	cu_buf_clear(cell);
}

/* The columns that are printed, and how wide. */
struct layout {
	size_t width[CU_TABLE_COLUMNS_CAP];
	bool hidden[CU_TABLE_COLUMNS_CAP];
};

static size_t line_width(const struct cu_text_table *table, const struct layout *layout, unsigned indent)
{
	size_t sum = indent;
	for (unsigned i = 0; i < table->n_columns; i++) {
		if (!layout->hidden[i]) {
			sum += layout->width[i] + (sum > indent ? TABLE_SPACING : 0);
		}
	}
	return sum;
}

/* As line_width, if the flexible columns were cut as far as is fair. */
static size_t fair_width(const struct cu_text_table *table, const struct layout *layout, unsigned indent)
{
	struct layout cut = *layout;
	for (unsigned i = 0; i < table->n_columns; i++) {
		if (table->columns[i].flexible && cut.width[i] > FLEXIBLE_FAIR) {
			cut.width[i] = FLEXIBLE_FAIR;
		}
	}
	return line_width(table, &cut, indent);
}

/* Takes what is too much from the flexible columns, the widest first. */
static void shrink(const struct cu_text_table *table, struct layout *layout, size_t excess)
{
	for (; excess > 0; excess--) {
		unsigned widest = table->n_columns;
		for (unsigned i = 0; i < table->n_columns; i++) {
			if (table->columns[i].flexible && !layout->hidden[i] && layout->width[i] > FLEXIBLE_MIN &&
			    (widest == table->n_columns || layout->width[i] > layout->width[widest])) {
				widest = i;
			}
		}
		if (widest == table->n_columns) {
			return;
		}
		layout->width[widest]--;
	}
}

/* Hides the most optional column still shown; false when there is none. */
static bool hide_one(const struct cu_text_table *table, struct layout *layout)
{
	unsigned most = table->n_columns;
	for (unsigned i = 0; i < table->n_columns; i++) {
		if (!layout->hidden[i] && table->columns[i].optional > 0 &&
		    (most == table->n_columns || table->columns[i].optional > table->columns[most].optional)) {
			most = i;
		}
	}
	if (most < table->n_columns) {
		layout->hidden[most] = true;
	}
	return most < table->n_columns;
}

static void fit(const struct cu_text_table *table, const struct cu_term *term, unsigned indent, size_t n_cells,
                struct layout *layout)
{
	*layout = (struct layout){0};
	for (unsigned i = 0; i < table->n_columns; i++) {
		layout->width[i] = strlen(table->columns[i].title);
	}
	for (size_t i = 0; i < n_cells; i++) {
		struct cell size;
		memcpy(&size, table->widths.data + i * sizeof(size), sizeof(size));
		size_t *width = &layout->width[i % table->n_columns];
		*width = size.columns > *width ? size.columns : *width;
	}
	while (fair_width(table, layout, indent) > term->width && hide_one(table, layout)) {
	}
	size_t width = line_width(table, layout, indent);
	if (width > term->width) {
		shrink(table, layout, width - term->width);
	}
}

static void print_cell(const struct cu_text_table *table, const struct cu_term *term, struct cu_buf *out,
                       const struct layout *layout, unsigned column, const char *marked, size_t len, size_t columns)
{
	size_t width = layout->width[column];
	if (table->columns[column].right && columns < width) {
		cu_term_cell(term, out, width - columns, false, "", 0);
		width = columns;
	}
	cu_term_cell(term, out, width, true, marked, len);
}

/* Ends a line without blanks before the newline. */
static void end_line(struct cu_buf *out)
{
	while (out->len > 0 && out->data[out->len - 1] == ' ') {
		out->len--;
	}
	cu_buf_add_u8(out, '\n');
}

int cu_text_table_print(const struct cu_text_table *table, const struct cu_term *term, struct cu_buf *out,
                        unsigned indent)
{
	if (table->cells.failed || table->widths.failed) {
		return CU_ERR_NOMEM;
	}
	if (table->n_columns == 0) {
		return 0;
	}
	struct layout layout;
	size_t n_cells = table->widths.len / sizeof(struct cell);
	fit(table, term, indent, n_cells, &layout);
	size_t at = 0;
	for (size_t i = 0; i < table->n_columns + n_cells; i++) {
		unsigned column = (unsigned)(i % table->n_columns);
		const char *marked = table->columns[column].title;
		struct cell size = {.len = (uint32_t)strlen(marked), .columns = (uint32_t)strlen(marked)};
		char title[64] = {CU_MARK_STYLE, CU_MARK_BASE + CU_STYLE_DIM};
		if (i < table->n_columns) {
			size.len = size.len < sizeof(title) - 2 ? size.len + 2 : sizeof(title);
			memcpy(title + 2, marked, size.len - 2);
			marked = title;
		} else {
			memcpy(&size, table->widths.data + (i - table->n_columns) * sizeof(size), sizeof(size));
			marked = (const char *)table->cells.data + at;
			at += size.len;
		}
		if (column == 0) {
			cu_term_cell(term, out, indent, false, "", 0);
		}
		if (!layout.hidden[column]) {
			print_cell(table, term, out, &layout, column, marked, size.len, size.columns);
			cu_term_cell(term, out, TABLE_SPACING, false, "", 0);
		}
		if (column + 1 == table->n_columns) {
			end_line(out);
		}
	}
	return 0;
}
