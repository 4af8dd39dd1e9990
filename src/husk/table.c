#include "husk/table.h"

#include "base/str.h"

#define GAP 3
#define GAP_DENSE 2
#define CELL_MIN 6 /* a column is never narrower, gap included */

void table_row(struct table *t) {
        t->rows = xreallocarray(t->rows, t->n_rows + 1, sizeof(*t->rows));
        t->rows[t->n_rows++] = NULL;
}

void table_cell_take(struct table *t, char *text) {
        char ***row = &t->rows[t->n_rows - 1];

        /* A cell is one line, whatever an object holds: a newline or an escape sequence could forge rows. */
        for (char *c = text; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        *c = ' ';
        *row = strv_add_take(*row, text);
}

void table_cell(struct table *t, const char *text) {
        table_cell_take(t, xstrdup(text ? text : ""));
}

void table_prepend(struct table *t, const char *text) {
        char **row = t->rows[t->n_rows - 1];
        size_t n = strv_len(row);

        t->rows[t->n_rows - 1] = NULL;
        table_cell(t, text);
        for (size_t i = 0; i < n; i++)
                t->rows[t->n_rows - 1] = strv_add_take(t->rows[t->n_rows - 1], row[i]);
        free(row);
}

void table_cellf(struct table *t, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        table_cell_take(t, xvasprintf(format, ap));
        va_end(ap);
}

/* Columns a UTF-8 text takes, one for each code point. */
static size_t text_width(const char *s) {
        size_t width = 0;

        for (; *s; s++)
                width += ((unsigned char)*s & 0xc0) != 0x80;
        return width;
}

static void table_measure(struct table *t, char **row) {
        size_t n = strv_len(row);

        if (n > t->n_widths) {
                t->widths = xreallocarray(t->widths, n, sizeof(*t->widths));
                for (; t->n_widths < n; t->n_widths++)
                        t->widths[t->n_widths] = t->dense ? 0 : CELL_MIN;
        }
        for (size_t i = 0; i < n; i++)
                t->widths[i] = MAX(t->widths[i], text_width(row[i]) + (t->dense ? GAP_DENSE : GAP));
}

void table_print(struct table *t, FILE *f) {
        for (size_t r = 0; r < t->n_rows; r++)
                table_measure(t, t->rows[r]);
        for (size_t r = 0; r < t->n_rows; r++) {
                char **row = t->rows[r];
                for (size_t i = 0; row && row[i]; i++) {
                        fputs(row[i], f);
                        if (row[i + 1])
                                fprintf(f, "%*s", (int)(t->widths[i] - text_width(row[i])), "");
                }
                fputc('\n', f);
                strv_free(row);
        }
        t->n_rows = 0;
}

void table_release(struct table *t) {
        for (size_t r = 0; r < t->n_rows; r++)
                strv_free(t->rows[r]);
        free(t->rows);
        free(t->widths);
        *t = (struct table)TABLE_INIT;
}
