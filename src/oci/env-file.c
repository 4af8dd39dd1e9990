#include "oci/env-file.h"

struct reader {
        const char *p, *end;
        unsigned line;
};

static struct error *malformed(const struct reader *r, const char *what) {
        return error_new(ERROR_INVALID, "invalid environment variable format at line %u%s%s", r->line, what ? ": " : "",
                         what ? what : "");
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct reader *r) {
        while (r->p < r->end && is_blank(*r->p))
                r->p++;
}

static void skip_line(struct reader *r) {
        const char *newline = memchr(r->p, '\n', r->end - r->p);

        r->p = newline ? newline + 1 : r->end;
        r->line++;
}

/* Reads up to and with "=". */
static struct error *read_name(struct reader *r, const char **ret_name, size_t *ret_len) {
        const char *start = r->p;

        while (r->p < r->end && *r->p != '=' && *r->p != '\n' && !is_blank(*r->p) && *r->p != '\0')
                r->p++;
        if (r->p < r->end && is_blank(*r->p)) {
                skip_blanks(r);
                return malformed(r, r->p < r->end && *r->p == '=' ? "whitespace before '=' is not allowed" : NULL);
        }
        if (r->p == r->end || *r->p != '=' || r->p == start)
                return malformed(r, NULL);
        *ret_name = start;
        *ret_len = r->p++ - start;
        return NULL;
}

/* Reads 'value' and the rest of its last line. */
static struct error *read_value(struct reader *r, const char **ret_value, size_t *ret_len) {
        const char *start, *quote;

        if (r->p == r->end || *r->p != '\'')
                return malformed(r, "value must be enclosed in single quotes");
        start = ++r->p;
        quote = memchr(start, '\'', r->end - start);
        if (!quote)
                return malformed(r, "unclosed single quote");
        if (memchr(start, '\0', quote - start))
                return malformed(r, "value contains a NUL byte");
        for (; r->p < quote; r->p++)
                r->line += *r->p == '\n';
        r->p++;
        skip_blanks(r);
        if (r->p < r->end && *r->p != '\n' && *r->p != '#')
                return malformed(r, "unexpected content after closing quote");
        skip_line(r);
        *ret_value = start;
        *ret_len = quote - start;
        return NULL;
}

struct error *env_file_value(const char *text, size_t len, const char *key, char **ret) {
        struct reader r = { .p = text, .end = text + len, .line = 1 };
        size_t key_len = strlen(key), name_len = 0, value_len = 0;
        const char *name = NULL, *value = NULL;
        struct error *err;

        *ret = NULL;
        while (r.p < r.end) {
                skip_blanks(&r);
                if (r.p == r.end)
                        break;
                if (*r.p == '\n' || *r.p == '#') {
                        skip_line(&r);
                        continue;
                }
                err = read_name(&r, &name, &name_len);
                if (!err)
                        err = read_value(&r, &value, &value_len);
                if (err)
                        return err;
                if (name_len == key_len && memcmp(name, key, key_len) == 0) {
                        *ret = xstrndup(value, value_len);
                        return NULL;
                }
        }
        return NULL;
}
