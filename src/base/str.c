#include "base/str.h"

#include <stdio.h>

static void strbuf_reserve(struct strbuf *b, size_t more) {
        size_t need = b->len + more + 1;

        if (need <= b->cap)
                return;
        b->cap = MAX(need, b->cap ? b->cap * 2 : 64);
        b->data = xrealloc(b->data, b->cap);
}

void strbuf_add(struct strbuf *b, const void *data, size_t len) {
        strbuf_reserve(b, len);
        if (len)
                memcpy(b->data + b->len, data, len);
        b->len += len;
        b->data[b->len] = '\0';
}

void strbuf_adds(struct strbuf *b, const char *s) {
        strbuf_add(b, s, strlen(s));
}

void strbuf_addc(struct strbuf *b, char c) {
        strbuf_add(b, &c, 1);
}

void strbuf_addf(struct strbuf *b, const char *format, ...) {
        char small[256];
        va_list ap, again;

        va_start(ap, format);
        va_copy(again, ap);
        int n = vsnprintf(small, sizeof(small), format, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof(small)) {
                strbuf_add(b, small, n);
        } else if (n >= 0) {
                strbuf_reserve(b, n);
                vsnprintf(b->data + b->len, n + 1, format, again);
                b->len += n;
        }
        va_end(again);
}

/* Bytes of the UTF-8 character at the beginning, 0: it is none. */
static size_t utf8_length(const unsigned char *s) {
        size_t len = 0;

        if (s[0] < 0x80)
                len = 1;
        else if (s[0] >= 0xc2 && s[0] < 0xe0)
                len = 2;
        else if (s[0] >= 0xe0 && s[0] < 0xf0)
                len = 3;
        else if (s[0] >= 0xf0 && s[0] < 0xf5)
                len = 4;
        for (size_t i = 1; i < len; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        return len;
}

void str_make_printable(char *text) {
        for (char *p = text; *p;) {
                size_t len = utf8_length((const unsigned char *)p);
                if (!len || (unsigned char)*p < ' ' || *p == 127)
                        *p = '?';
                p += len ? len : 1;
        }
}

void strbuf_add_quoted(struct strbuf *b, const char *s) {
        static const char letters[] = "abtnvfr"; /* from 7 on */

        strbuf_addc(b, '"');
        for (size_t len; *s; s += len) {
                unsigned char c = (unsigned char)*s;

                len = utf8_length((const unsigned char *)s);
                if (c == '"' || c == '\\')
                        strbuf_addf(b, "\\%c", c);
                else if (c >= 7 && c < 7 + strlen(letters))
                        strbuf_addf(b, "\\%c", letters[c - 7]);
                else if (c < 0x20 || c == 0x7f || !len)
                        strbuf_addf(b, "\\x%02x", c);
                else
                        strbuf_add(b, s, len);
                len = MAX(len, 1);
        }
        strbuf_addc(b, '"');
}

void strbuf_truncate(struct strbuf *b, size_t len) {
        if (len < b->len) {
                b->len = len;
                b->data[len] = '\0';
        }
}

char *strbuf_take(struct strbuf *b) {
        char *s = b->data ? b->data : xstrdup("");
        *b = (struct strbuf)STRBUF_INIT;
        return s;
}

const char *strbuf_str(const struct strbuf *b) {
        return b->data ? b->data : "";
}

void strbuf_release(struct strbuf *b) {
        free(b->data);
        *b = (struct strbuf)STRBUF_INIT;
}

size_t strv_len(char *const *v) {
        size_t n = 0;
        while (v && v[n])
                n++;
        return n;
}

char **strv_add_take(char **v, char *s) {
        size_t n = strv_len(v);
        v = xreallocarray(v, n + 2, sizeof(char *));
        v[n] = s;
        v[n + 1] = NULL;
        return v;
}

char **strv_add(char **v, const char *s) {
        return strv_add_take(v, xstrdup(s));
}

char **strv_copy(char *const *v) {
        size_t n = strv_len(v);
        char **copy = xcalloc(n + 1, sizeof(char *));
        for (size_t i = 0; i < n; i++)
                copy[i] = xstrdup(v[i]);
        return copy;
}

char **strv_split(const char *s, char separator) {
        char **v = NULL;
        for (;;) {
                const char *end = strchrnul(s, separator);
                v = strv_add_take(v, xstrndup(s, end - s));
                if (!*end)
                        return v;
                s = end + 1;
        }
}

char *strv_join(char *const *v, const char *separator) {
        struct strbuf b = STRBUF_INIT;
        for (size_t i = 0; v && v[i]; i++) {
                if (i)
                        strbuf_adds(&b, separator);
                strbuf_adds(&b, v[i]);
        }
        return strbuf_take(&b);
}

bool strv_contains(char *const *v, const char *s) {
        for (size_t i = 0; v && v[i]; i++)
                if (streq(v[i], s))
                        return true;
        return false;
}

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(char **v) {
        if (v)
                qsort(v, strv_len(v), sizeof(*v), compare_strings);
}

char **strv_free(char **v) {
        for (size_t i = 0; v && v[i]; i++)
                free(v[i]);
        free(v);
        return NULL;
}

bool str_to_u64(const char *s, uint64_t *ret) {
        uint64_t value = 0;

        if (!*s)
                return false;
        for (; *s; s++) {
                if (*s < '0' || *s > '9')
                        return false;
                if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *s - '0', &value))
                        return false;
        }
        *ret = value;
        return true;
}

bool str_to_i64(const char *s, int64_t *ret) {
        bool negative = *s == '-';
        uint64_t value;

        if (!str_to_u64(s + (negative || *s == '+'), &value))
                return false;
        if (value > (uint64_t)INT64_MAX + negative)
                return false;
        *ret = negative ? (int64_t)(0 - value) : (int64_t)value;
        return true;
}

static size_t digits(const char *s) {
        return strspn(s, "0123456789");
}

int str_natural_compare(const char *a, const char *b) {
        const char *x = a, *y = b;

        while (*x && *y) {
                if (!digits(x) || !digits(y)) {
                        if (*x != *y)
                                return (unsigned char)*x - (unsigned char)*y;
                        x++;
                        y++;
                        continue;
                }
                x += strspn(x, "0");
                y += strspn(y, "0");
                size_t n = digits(x), m = digits(y);
                int order = n != m ? (n > m) - (n < m) : strncmp(x, y, n);
                if (order)
                        return order;
                x += n;
                y += m;
        }
        return *x || *y ? !!*x - !!*y : strcmp(a, b);
}

size_t str_distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);
        size_t *rows = xcalloc(3 * (m + 1), sizeof(size_t));
        size_t *before = rows, *last = rows + m + 1, *this = rows + 2 * (m + 1);

        for (size_t j = 0; j <= m; j++)
                last[j] = j;
        for (size_t i = 1; i <= n; i++) {
                this[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
                        best = MIN(best, last[j] + 1);
                        best = MIN(best, this[j - 1] + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                best = MIN(best, before[j - 2] + 1);
                        this[j] = best;
                }
                size_t *spare = before;
                before = last;
                last = this;
                this = spare;
        }
        size_t distance = last[m];
        free(rows);
        return distance;
}
