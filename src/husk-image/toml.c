#include "husk-image/toml.h"

#include <ctype.h>
#include <stdarg.h>

#include "base/str.h"

#define DEPTH_MAX 32
#define KEYS_MAX 32 /* of one dotted key */

struct parser {
        const char *p, *end;
        unsigned line;
        json_t *root, *table; /* the one that keys go to now */
        json_t **closed;      /* tables that may not be opened (again) by a header: borrowed */
        size_t n_closed;
        struct error *err; /* the first mistake */
};

struct keys {
        char *names[KEYS_MAX];
        size_t n;
};

static void keys_release(struct keys *keys) {
        for (size_t i = 0; i < keys->n; i++)
                free(keys->names[i]);
        keys->n = 0;
}
#define _cleanup_keys_ _cleanup_(keys_release)

/* Notes the first mistake; false, so that callers can return it. */
_printf_(2, 3) static bool mistake(struct parser *t, const char *format, ...) {
        va_list arguments;

        if (t->err)
                return false;
        va_start(arguments, format);
        _cleanup_free_ char *text = xvasprintf(format, arguments);
        va_end(arguments);
        t->err = error_new(ERROR_BAD_REQUEST, "line %u: %s", t->line, text);
        return false;
}

static int peek(const struct parser *t) {
        return t->p < t->end ? (unsigned char)*t->p : -1;
}

static bool take(struct parser *t, char c) {
        if (peek(t) != c)
                return false;
        t->p++;
        return true;
}

static bool starts(const struct parser *t, const char *text) {
        size_t n = strlen(text);
        return (size_t)(t->end - t->p) >= n && memcmp(t->p, text, n) == 0;
}

static void skip_blanks(struct parser *t) {
        while (peek(t) == ' ' || peek(t) == '\t')
                t->p++;
}

static void skip_comment(struct parser *t) {
        skip_blanks(t);
        if (peek(t) == '#')
                while (t->p < t->end && *t->p != '\n')
                        t->p++;
}

static bool take_newline(struct parser *t) {
        if (starts(t, "\r\n"))
                t->p++;
        if (!take(t, '\n'))
                return false;
        t->line++;
        return true;
}

static void skip_lines(struct parser *t) {
        do
                skip_comment(t);
        while (take_newline(t));
}

static bool end_of_line(struct parser *t) {
        skip_comment(t);
        return t->p == t->end || take_newline(t) || mistake(t, "something follows the value: %.1s", t->p);
}

/* ---- tables that are complete ---- */

static bool is_closed(const struct parser *t, const json_t *table) {
        for (size_t i = 0; i < t->n_closed; i++)
                if (t->closed[i] == table)
                        return true;
        return false;
}

static void close_table(struct parser *t, json_t *table) {
        if ((t->n_closed & (t->n_closed - 1)) == 0)
                t->closed = xreallocarray(t->closed, t->n_closed ? t->n_closed * 2 : 1, sizeof(*t->closed));
        t->closed[t->n_closed++] = table;
}

/* ---- strings ---- */

static void add_rune(struct strbuf *out, uint32_t c) {
        if (c < 0x80) {
                strbuf_addc(out, (char)c);
        } else if (c < 0x800) {
                strbuf_addc(out, (char)(0xc0 | c >> 6));
                strbuf_addc(out, (char)(0x80 | (c & 63)));
        } else if (c < 0x10000) {
                strbuf_addc(out, (char)(0xe0 | c >> 12));
                strbuf_addc(out, (char)(0x80 | (c >> 6 & 63)));
                strbuf_addc(out, (char)(0x80 | (c & 63)));
        } else {
                strbuf_addc(out, (char)(0xf0 | c >> 18));
                strbuf_addc(out, (char)(0x80 | (c >> 12 & 63)));
                strbuf_addc(out, (char)(0x80 | (c >> 6 & 63)));
                strbuf_addc(out, (char)(0x80 | (c & 63)));
        }
}

static bool parse_rune(struct parser *t, int digits, struct strbuf *out) {
        uint32_t c = 0;

        for (int i = 0; i < digits; i++) {
                int d = peek(t);
                if (!isxdigit(d))
                        return mistake(t, "\\u needs four hexadecimal digits, \\U eight");
                c = c << 4 | (uint32_t)(isdigit(d) ? d - '0' : (d | 32) - 'a' + 10);
                t->p++;
        }
        if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return mistake(t, "\\u%04x is no character that may stand here", c);
        add_rune(out, c);
        return true;
}

static bool parse_escape(struct parser *t, bool multi_line, struct strbuf *out) {
        static const char from[] = "btnfr\"\\e", to[] = "\b\t\n\f\r\"\\\033";
        int c = peek(t);
        const char *found = c > 0 ? strchr(from, c) : NULL;

        if (found) {
                t->p++;
                strbuf_addc(out, to[found - from]);
                return true;
        }
        if (take(t, 'u'))
                return parse_rune(t, 4, out);
        if (take(t, 'U'))
                return parse_rune(t, 8, out);
        if (multi_line) { /* a backslash at the end of a line swallows white space up to the next text */
                skip_blanks(t);
                if (take_newline(t)) {
                        do
                                skip_blanks(t);
                        while (take_newline(t));
                        return true;
                }
        }
        return mistake(t, "unknown escape in a string");
}

/* A string between `quote`s, or between three of them; escapes only between double ones. */
static char *parse_string(struct parser *t) {
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
        char quote = *t->p;
        const char three[] = { quote, quote, quote, '\0' };
        bool multi_line = starts(t, three);

        t->p += multi_line ? 3 : 1;
        if (multi_line)
                take_newline(t);
        for (;;) {
                int c = peek(t);
                if (multi_line ? starts(t, three) : c == quote) {
                        t->p += multi_line ? 3 : 1;
                        /* Up to two quotes may stand right before the closing ones. */
                        for (int i = 0; multi_line && i < 2 && peek(t) == quote; i++, t->p++)
                                strbuf_addc(&out, quote);
                        return strbuf_take(&out);
                }
                if (c < 0 || (!multi_line && (c == '\n' || c == '\r'))) {
                        mistake(t, "a string does not end");
                        return NULL;
                }
                if (c == '\\' && quote == '"') {
                        t->p++;
                        if (!parse_escape(t, multi_line, &out))
                                return NULL;
                        continue;
                }
                if (multi_line && take_newline(t)) {
                        strbuf_addc(&out, '\n');
                        continue;
                }
                if ((c < 32 && c != '\t') || c == 127) {
                        mistake(t, "a control character in a string");
                        return NULL;
                }
                strbuf_addc(&out, (char)c);
                t->p++;
        }
}

/* ---- keys ---- */

static bool is_bare(int c) {
        return c >= 0 && c < 128 && (isalnum(c) || c == '_' || c == '-');
}

static char *parse_simple_key(struct parser *t) {
        if (peek(t) == '"' || peek(t) == '\'') {
                if (starts(t, "\"\"\"") || starts(t, "'''")) {
                        mistake(t, "a key is one line");
                        return NULL;
                }
                return parse_string(t);
        }
        const char *start = t->p;
        while (is_bare(peek(t)))
                t->p++;
        if (t->p == start) {
                mistake(t, "a key is missing");
                return NULL;
        }
        return xstrndup(start, t->p - start);
}

/* a.b."c d" */
static bool parse_key(struct parser *t, struct keys *ret) {
        do {
                skip_blanks(t);
                if (ret->n == KEYS_MAX)
                        return mistake(t, "a key of more than %d parts", KEYS_MAX);
                char *name = parse_simple_key(t);
                if (!name)
                        return false;
                ret->names[ret->n++] = name;
                skip_blanks(t);
        } while (take(t, '.'));
        return true;
}

/* The table that all but the last part of a key lead to, made where it is missing. `header`: parts may lead through the
 * last of an array's tables. */
static json_t *descend(struct parser *t, json_t *table, const struct keys *keys, bool header) {
        for (size_t i = 0; i + 1 < keys->n; i++) {
                json_t *next = json_object_get(table, keys->names[i]);
                if (!next) {
                        next = json_object();
                        if (json_object_set_new(table, keys->names[i], next) < 0) {
                                mistake(t, "a key is not UTF-8");
                                return NULL;
                        }
                } else if (header && json_is_array(next) && !is_closed(t, next)) {
                        next = json_array_get(next, json_array_size(next) - 1);
                } else if (!json_is_object(next) || (!header && is_closed(t, next))) {
                        mistake(t, "%s is no table that could be added to", keys->names[i]);
                        return NULL;
                }
                table = next;
        }
        return table;
}

/* ---- values ---- */

static json_t *parse_value(struct parser *t, unsigned depth);

static bool set_value(struct parser *t, json_t *table, unsigned depth) {
        _cleanup_keys_ struct keys keys = { 0 };

        if (!parse_key(t, &keys))
                return false;
        if (!take(t, '='))
                return mistake(t, "\"=\" is missing after %s", keys.names[keys.n - 1]);
        skip_blanks(t);
        table = descend(t, table, &keys, false);
        if (!table)
                return false;
        const char *name = keys.names[keys.n - 1];
        if (json_object_get(table, name))
                return mistake(t, "%s is given twice", name);
        json_t *value = parse_value(t, depth);
        if (!value)
                return false;
        if (json_object_set_new(table, name, value) < 0)
                return mistake(t, "a key is not UTF-8");
        return true;
}

static json_t *parse_inline_table(struct parser *t, unsigned depth) {
        json_auto_t *table = json_object();

        t->p++;
        skip_blanks(t);
        if (!take(t, '}'))
                for (;;) {
                        if (!set_value(t, table, depth))
                                return NULL;
                        skip_blanks(t);
                        if (take(t, '}'))
                                break;
                        if (!take(t, ',')) {
                                mistake(t, "\",\" or \"}\" is missing in an inline table");
                                return NULL;
                        }
                }
        close_table(t, table);
        return json_incref(table);
}

static json_t *parse_array(struct parser *t, unsigned depth) {
        json_auto_t *array = json_array();

        t->p++;
        for (;;) {
                skip_lines(t);
                if (take(t, ']'))
                        break;
                json_t *value = parse_value(t, depth);
                if (!value)
                        return NULL;
                json_array_append_new(array, value);
                skip_lines(t);
                if (!take(t, ',') && peek(t) != ']') {
                        mistake(t, "\",\" or \"]\" is missing in an array");
                        return NULL;
                }
        }
        close_table(t, array);
        return json_incref(array);
}

/* Digits without their underscores, which may stand between two of them only; NULL: they stand elsewhere. */
static char *without_underscores(const char *text) {
        struct strbuf out = STRBUF_INIT;

        for (const char *p = text; *p; p++) {
                if (*p != '_')
                        strbuf_addc(&out, *p);
                else if (p == text || !isxdigit((unsigned char)p[-1]) || !isxdigit((unsigned char)p[1])) {
                        strbuf_release(&out);
                        return NULL;
                }
        }
        return strbuf_take(&out);
}

static json_t *number_of(const char *text) {
        static const struct {
                const char *prefix, *digits;
                int base;
        } bases[] = { { "0x", "0123456789abcdefABCDEF", 16 }, { "0o", "01234567", 8 }, { "0b", "01", 2 } };
        _cleanup_free_ char *digits = without_underscores(text);
        int64_t integer;
        char *end;

        if (!digits)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(bases); i++)
                if (str_starts_with(digits, bases[i].prefix)) {
                        errno = 0;
                        long long n = strtoll(digits + 2, &end, bases[i].base);
                        return digits[2] && strspn(digits + 2, bases[i].digits) == strlen(digits + 2) && !errno
                                       ? json_integer(n)
                                       : NULL;
                }
        const char *unsigned_digits = digits + (*digits == '+' || *digits == '-');
        if (unsigned_digits[0] == '0' && isdigit((unsigned char)unsigned_digits[1]))
                return NULL;
        if (str_to_i64(*digits == '+' ? digits + 1 : digits, &integer))
                return json_integer(integer);
        if (!isdigit((unsigned char)*unsigned_digits) ||
            strspn(unsigned_digits, "0123456789.eE+-") != strlen(unsigned_digits))
                return NULL;
        double real = strtod(digits, &end);
        return *end ? NULL : json_real(real); /* json_real() knows no infinity */
}

static bool is_date(const char *text) {
        return strlen(text) >= 8 && isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[1]) &&
               (text[2] == ':' || text[4] == '-') && strspn(text, "0123456789-+:.TtZz ") == strlen(text);
}

static json_t *parse_word(struct parser *t) {
        const char *start = t->p;

        while (t->p < t->end && !strchr(",]}#\n\r\t ", *t->p))
                t->p++;
        if (t->p - start == 10 && peek(t) == ' ' && t->p + 1 < t->end && isdigit((unsigned char)t->p[1]) &&
            start[4] == '-') /* the time of a date may follow after a blank */
                for (t->p++; t->p < t->end && strchr("0123456789:.+-Zz", *t->p);)
                        t->p++;
        _cleanup_free_ char *word = xstrndup(start, t->p - start);
        if (streq(word, "true") || streq(word, "false"))
                return json_boolean(word[0] == 't');
        json_t *value = is_date(word) ? json_string(word) : number_of(word);
        if (!value)
                mistake(t, *word ? "%.60s is no value: a string stands in quotes" : "a value is missing", word);
        return value;
}

static json_t *parse_value(struct parser *t, unsigned depth) {
        if (depth > DEPTH_MAX) {
                mistake(t, "nested more than %d deep", DEPTH_MAX);
                return NULL;
        }
        switch (peek(t)) {
        case '"':
        case '\'': {
                _cleanup_free_ char *text = parse_string(t);
                if (!text)
                        return NULL;
                json_t *value = json_string(text);
                if (!value)
                        mistake(t, "a string is not UTF-8");
                return value;
        }
        case '[':
                return parse_array(t, depth + 1);
        case '{':
                return parse_inline_table(t, depth + 1);
        default:
                return parse_word(t);
        }
}

/* ---- [table] and [[array of tables]] ---- */

static json_t *open_table(struct parser *t, json_t *parent, const char *name) {
        json_t *table = json_object_get(parent, name);

        if (!table) {
                table = json_object();
                if (json_object_set_new(parent, name, table) < 0) {
                        mistake(t, "a key is not UTF-8");
                        return NULL;
                }
        } else if (!json_is_object(table) || is_closed(t, table)) {
                mistake(t, "[%s] is given twice", name);
                return NULL;
        }
        close_table(t, table);
        return table;
}

static json_t *open_element(struct parser *t, json_t *parent, const char *name) {
        json_t *array = json_object_get(parent, name), *table;

        if (!array) {
                array = json_array();
                if (json_object_set_new(parent, name, array) < 0) {
                        mistake(t, "a key is not UTF-8");
                        return NULL;
                }
        } else if (!json_is_array(array) || is_closed(t, array)) {
                mistake(t, "%s is not a list of tables", name);
                return NULL;
        }
        table = json_object();
        json_array_append_new(array, table);
        return table;
}

static bool parse_header(struct parser *t) {
        _cleanup_keys_ struct keys keys = { 0 };

        t->p++;
        bool element = take(t, '[');
        if (!parse_key(t, &keys))
                return false;
        if (!take(t, ']') || (element && !take(t, ']')))
                return mistake(t, "\"]\" is missing");
        json_t *parent = descend(t, t->root, &keys, true);
        if (!parent)
                return false;
        t->table = element ? open_element(t, parent, keys.names[keys.n - 1])
                           : open_table(t, parent, keys.names[keys.n - 1]);
        return t->table && end_of_line(t);
}

struct error *toml_parse(const char *text, size_t len, json_t **ret) {
        json_auto_t *root = json_object();
        struct parser t = { .p = text, .end = text + len, .line = 1, .root = root, .table = root };
        bool good = true;

        if (memchr(text, '\0', len))
                return error_new(ERROR_BAD_REQUEST, "a zero byte: this is no text");
        if (starts(&t, "\xef\xbb\xbf"))
                t.p += 3;
        for (skip_lines(&t); good && t.p < t.end; skip_lines(&t))
                good = *t.p == '[' ? parse_header(&t) : set_value(&t, t.table, 0) && end_of_line(&t);
        free(t.closed);
        if (t.err)
                return t.err;
        *ret = json_incref(root);
        return NULL;
}
