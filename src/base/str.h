/* str.h - growing strings and NULL-terminated string lists. */
#pragma once

#include "base/base.h"

/* A growing byte string, always NUL-terminated once anything was added. Start with STRBUF_INIT. */
struct strbuf {
        char *data;
        size_t len;
        size_t cap;
};
#define STRBUF_INIT \
        { 0 }

void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_addf(struct strbuf *b, const char *format, ...) _printf_(2, 3);
/* In double quotes, as Go's %q writes a string: line ends, control characters and bytes that are no UTF-8 escaped. */
void strbuf_add_quoted(struct strbuf *b, const char *s);
void strbuf_truncate(struct strbuf *b, size_t len);
/* Hands the string over ("" if nothing was added) and leaves the buffer empty. */
char *strbuf_take(struct strbuf *b);
const char *strbuf_str(const struct strbuf *b);
void strbuf_release(struct strbuf *b);
#define _cleanup_strbuf_ _cleanup_(strbuf_release)

/* What others wrote, for a person's terminal and a status: control characters and bytes that are no UTF-8 become "?".
 */
void str_make_printable(char *text);

/* NULL-terminated lists; an empty one may be NULL. */
size_t strv_len(char *const *v);
char **strv_add(char **v, const char *s); /* appends a copy, returns the (moved) list */
char **strv_add_take(char **v, char *s);  /* appends s itself */
char **strv_copy(char *const *v);
char **strv_split(const char *s, char separator); /* empty parts are kept; "" gives one empty part */
char *strv_join(char *const *v, const char *separator);
bool strv_contains(char *const *v, const char *s);
void strv_sort(char **v); /* by their bytes; NULL is fine */
char **strv_free(char **v);
static inline void strv_freep(char ***v) {
        *v = strv_free(*v);
}
#define _cleanup_strv_ _cleanup_(strv_freep)

/* Strict decimal numbers: no sign where unsigned, no blanks, no trailing bytes, no overflow. */
bool str_to_u64(const char *s, uint64_t *ret);
bool str_to_i64(const char *s, int64_t *ret);

/* strcmp() with runs of digits compared as numbers: "web-2" before "web-10". */
int str_natural_compare(const char *a, const char *b);

/* Number of single-character edits (insert, delete, replace, swap) between two strings; for "did you mean". */
size_t str_distance(const char *a, const char *b);
