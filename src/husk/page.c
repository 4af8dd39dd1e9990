#include "husk/page.h"

#include <stdlib.h>
#include <time.h>

#include "api/patch.h"
#include "base/clock.h"
#include "base/str.h"

#define GAP 2

static void add(struct page *page, int level, char *key, char *value) {
        page->lines = xreallocarray(page->lines, page->n + 1, sizeof(*page->lines));
        page->lines[page->n++] = (struct page_line){ level, key, value };
}

void page_heading(struct page *page, int level, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        _cleanup_free_ char *key = xvasprintf(format, ap);
        va_end(ap);
        add(page, level, xasprintf("%s:", key), NULL);
}

void page_field(struct page *page, int level, const char *key, const char *value) {
        add(page, level, *key ? xasprintf("%s:", key) : xstrdup(""), xstrdup(value ? value : ""));
}

void page_fieldf(struct page *page, int level, const char *key, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        _cleanup_free_ char *value = xvasprintf(format, ap);
        va_end(ap);
        page_field(page, level, key, value);
}

void page_text(struct page *page, int level, const char *text) {
        add(page, level, xstrdup(text), NULL);
}

void page_map(struct page *page, int level, const char *key, const json_t *map, const char *separator) {
        size_t size = json_object_size(map), n = 0;
        _cleanup_free_ const char **keys = xcalloc(size + 1, sizeof(char *));
        const char *k;
        json_t *value;

        /* What `apply` keeps for itself would drown the rest. */
        json_object_foreach((json_t *)map, k, value) if (!streq(k, LAST_APPLIED_ANNOTATION)) keys[n++] = k;
        strv_sort((char **)keys);
        for (size_t i = 0; i < n; i++) {
                const char *text = json_string_value(json_object_get(map, keys[i]));
                page_fieldf(page, level, i ? "" : key, "%s%s%s", keys[i], separator, text ? text : "");
        }
        if (n == 0)
                page_field(page, level, key, "<none>");
}

void page_time(struct page *page, int level, const char *key, const char *rfc3339) {
        char text[64] = "";
        int64_t seconds;
        struct tm tm;
        time_t t;

        if (rfc3339 && rfc3339_parse(rfc3339, &seconds, NULL)) {
                t = seconds;
                localtime_r(&t, &tm);
                strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S %z", &tm);
        }
        page_field(page, level, key, text);
}

/* Prints what an object says without letting it move the cursor or begin lines. */
static void put_safe(const char *text, FILE *f) {
        for (; *text; text++)
                fputc((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text, f);
}

static size_t block_end(const struct page *page, size_t from, size_t *ret_width) {
        size_t i = from;

        *ret_width = 0;
        for (; i < page->n && page->lines[i].value; i++)
                *ret_width = MAX(*ret_width, 2 * page->lines[i].level + strlen(page->lines[i].key) + GAP);
        return i;
}

void page_print(const struct page *page, FILE *f) {
        for (size_t i = 0; i < page->n;) {
                size_t width, end = block_end(page, i, &width);
                for (; i < end; i++) {
                        const struct page_line *line = &page->lines[i];
                        fprintf(f, "%*s%-*s", 2 * line->level, "", (int)(width - 2 * line->level), line->key);
                        put_safe(line->value, f);
                        fputc('\n', f);
                }
                if (i < page->n) {
                        fprintf(f, "%*s", 2 * page->lines[i].level, "");
                        put_safe(page->lines[i].key, f);
                        fputc('\n', f);
                        i++;
                }
        }
}

void page_release(struct page *page) {
        for (size_t i = 0; i < page->n; i++) {
                free(page->lines[i].key);
                free(page->lines[i].value);
        }
        free(page->lines);
        *page = (struct page)PAGE_INIT;
}
