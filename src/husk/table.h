/* table.h - tables of text with columns as kubectl aligns them.
 *
 * Rows are gathered and printed together, each column as wide as its widest cell and three blanks. After printing the
 * widths are kept, so that the rows a watch adds later stand below the first ones. */
#pragma once

#include <stdio.h>

#include "base/base.h"

struct table {
        char ***rows; /* gathered and not printed yet: NULL-terminated lists of cells */
        size_t n_rows;
        size_t *widths;
        size_t n_widths;
        bool dense; /* two blanks, and no least width, as in what is described */
};
#define TABLE_INIT \
        { 0 }

/* Begins a row; cells are added to the last begun. */
void table_row(struct table *table);
void table_cell(struct table *table, const char *text); /* copied; NULL is "" */
void table_cell_take(struct table *table, char *text);
void table_cellf(struct table *table, const char *format, ...) _printf_(2, 3);
/* Puts a cell before all others of the last row. */
void table_prepend(struct table *table, const char *text);
/* Prints and forgets the rows. */
void table_print(struct table *table, FILE *f);
void table_release(struct table *table);
#define _cleanup_table_ _cleanup_(table_release)
