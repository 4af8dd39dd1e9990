#include "test.h"

#include "husk/table.h"

/* Prints a table into a string. */
static char *printed(struct table *table) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        table_print(table, f);
        fclose(f);
        return text;
}

static void row(struct table *table, const char *a, const char *b, const char *c) {
        table_row(table);
        table_cell(table, a);
        table_cell(table, b);
        table_cell(table, c);
}

TEST(columns_are_as_wide_as_their_widest_cell_and_three_blanks) {
        _cleanup_table_ struct table table = TABLE_INIT;
        row(&table, "NAME", "READY", "AGE");
        row(&table, "a-long-name", "1/1", "5s");
        _cleanup_free_ char *text = printed(&table);
        assert_string_equal(text, "NAME          READY   AGE\n"
                                  "a-long-name   1/1     5s\n");
}

TEST(rows_printed_later_stand_below_the_first) {
        _cleanup_table_ struct table table = TABLE_INIT;
        row(&table, "a-long-name", "1/1", "5s");
        free(printed(&table));
        row(&table, "x", "0/1", "6s");
        _cleanup_free_ char *text = printed(&table);
        assert_string_equal(text, "x             0/1   6s\n");
}

TEST(a_cell_cannot_forge_rows_or_move_the_cursor) {
        _cleanup_table_ struct table table = TABLE_INIT;
        row(&table, "a\nb", "\x1b[2J", NULL);
        _cleanup_free_ char *text = printed(&table);
        assert_string_equal(text, "a b    [2J   \n");
}

TEST(letters_of_several_bytes_are_one_column_wide) {
        _cleanup_table_ struct table table = TABLE_INIT;
        row(&table, "größe", "1", "");
        row(&table, "groesse", "2", "");
        _cleanup_free_ char *text = printed(&table);
        assert_string_equal(text, "größe     1     \ngroesse   2     \n");
}

TEST(a_cell_can_be_put_before_the_others) {
        _cleanup_table_ struct table table = TABLE_INIT;
        row(&table, "a", "b", "c");
        table_prepend(&table, "ADDED");
        _cleanup_free_ char *text = printed(&table);
        assert_string_equal(text, "ADDED   a     b     c\n");
}
