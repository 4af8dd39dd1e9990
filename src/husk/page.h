/* page.h - the layout of `husk describe`: indented lines "Key:  value", values aligned as kubectl aligns them.
 *
 * Lines with a value that follow one another form a block, and their values begin in one column; a line without a value
 * (a heading) ends the block. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "husk/table.h"

struct page_line {
        int level; /* two blanks each */
        char *key;
        char *value; /* NULL: a heading */
};

struct page {
        struct page_line *lines;
        size_t n;
};
#define PAGE_INIT \
        { 0 }

/* "Key:" alone. */
void page_heading(struct page *page, int level, const char *format, ...) _printf_(3, 4);
/* "Key:  value"; a value of NULL is shown as nothing. An empty key continues the value above. */
void page_field(struct page *page, int level, const char *key, const char *value);
void page_fieldf(struct page *page, int level, const char *key, const char *format, ...) _printf_(4, 5);
/* A line as it is. */
void page_text(struct page *page, int level, const char *text);
/* "Key:  <none>", or one line for each entry of a map of strings, sorted: "a=b". */
void page_map(struct page *page, int level, const char *key, const json_t *map, const char *separator);
/* A time as kubectl describes it, in local time. */
void page_time(struct page *page, int level, const char *key, const char *rfc3339);

void page_print(const struct page *page, FILE *f);
void page_release(struct page *page);
#define _cleanup_page_ _cleanup_(page_release)
