#include "test.h"

#include "husk/page.h"

static char *printed(const struct page *page) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        page_print(page, f);
        fclose(f);
        return text;
}

TEST(values_of_a_block_stand_in_one_column_and_a_heading_ends_it) {
        _cleanup_page_ struct page page = PAGE_INIT;
        page_field(&page, 0, "Name", "web");
        page_field(&page, 0, "Namespace", "default");
        page_heading(&page, 0, "Containers");
        page_heading(&page, 1, "%s", "app");
        page_field(&page, 2, "Image", "x");
        page_field(&page, 3, "Started", NULL);
        _cleanup_free_ char *text = printed(&page);
        assert_string_equal(text, "Name:       web\n"
                                  "Namespace:  default\n"
                                  "Containers:\n"
                                  "  app:\n"
                                  "    Image:      x\n"
                                  "      Started:  \n");
}

TEST(a_map_is_sorted_and_an_empty_one_is_none) {
        _cleanup_page_ struct page page = PAGE_INIT;
        json_t *map = json_pack("{s:s, s:s, s:s}", "b", "2", "a", "1",
                                "kubectl.kubernetes.io/last-applied-configuration", "{}");
        page_map(&page, 0, "Labels", map, "=");
        page_map(&page, 0, "Annotations", NULL, ": ");
        json_decref(map);
        _cleanup_free_ char *text = printed(&page);
        assert_string_equal(text, "Labels:       a=1\n"
                                  "              b=2\n"
                                  "Annotations:  <none>\n");
}

TEST(a_value_cannot_move_the_cursor) {
        _cleanup_page_ struct page page = PAGE_INIT;
        page_field(&page, 0, "Message", "a\nb\x1b[2J");
        _cleanup_free_ char *text = printed(&page);
        assert_string_equal(text, "Message:  a b [2J\n");
}

TEST(times_are_written_out_in_the_local_time_zone) {
        _cleanup_page_ struct page page = PAGE_INIT;
        setenv("TZ", "UTC", 1);
        page_time(&page, 0, "Started", "2026-11-23T19:03:56Z");
        page_time(&page, 0, "Finished", NULL);
        _cleanup_free_ char *text = printed(&page);
        assert_string_equal(text, "Started:   Mon, 23 Nov 2026 19:03:56 +0000\nFinished:  \n");
}
