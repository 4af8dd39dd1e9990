/* termination.c - what a container says about its own end (state.terminated.message).
 * https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/ */
#include <fcntl.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-pod/runtime.h"

#define FILE_MAX 4096                             /* bytes of the file that count */
#define LOG_MAX 2048                              /* bytes of the log's tail … */
#define LOG_LINES_MAX 80                          /* … and its lines */
#define LOG_TAIL (LOG_LINES_MAX * 64 + 64 * 1024) /* read of the log file to find them */

/* The first 4096 bytes of the file. It is the container's, so whatever it may have become meanwhile (a link is not
 * followed, a pipe does not block, a device is not opened) is taken as empty. */
static char *message_from_file(const char *path) {
        struct stat st;
        char buf[FILE_MAX + 1];

        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return NULL;
        ssize_t n = read(fd, buf, FILE_MAX);
        if (n <= 0)
                return NULL;
        buf[n] = '\0';
        return xstrndup(buf, n);
}

/* The text of a CRI log record, or NULL if the line is none. *ret_partial: the record is not the end of its line. */
static const char *record_text(const char *line, size_t len, size_t *ret_len, bool *ret_partial) {
        const char *p = line, *end = line + len;

        for (int field = 0; field < 2; field++) { /* time, stream */
                p = memchr(p, ' ', end - p);
                if (!p)
                        return NULL;
                p++;
        }
        if (end - p < 2 || (*p != 'F' && *p != 'P') || p[1] != ' ')
                return NULL;
        *ret_partial = *p == 'P';
        *ret_len = end - p - 2;
        return p + 2;
}

/* Where the last 80 lines begin in `text`, which ends with a newline. */
static const char *last_lines(const char *text, size_t len) {
        const char *p = text + len;
        for (int lines = 0; p > text; p--)
                if (p[-1] == '\n' && p < text + len && ++lines == LOG_LINES_MAX)
                        break;
        return p;
}

static char *message_from_log(const char *path) {
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        _cleanup_free_ char *tail = NULL;
        struct stat st;
        size_t len;

        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return NULL;
        off_t from = st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0;
        if (lseek(fd, from, SEEK_SET) < 0)
                return NULL;
        _cleanup_error_ struct error *err = fd_read_all(fd, LOG_TAIL * 2, &tail, &len);
        if (err || !len)
                return NULL;
        const char *p = last_lines(tail, len);
        while (p < tail + len) {
                const char *end = memchr(p, '\n', tail + len - p);
                size_t line_len = end ? (size_t)(end - p) : (size_t)(tail + len - p), n;
                bool partial;
                const char *s = record_text(p, line_len, &n, &partial);
                if (s) {
                        strbuf_add(&text, s, n);
                        if (!partial)
                                strbuf_addc(&text, '\n');
                }
                p += line_len + 1;
        }
        if (!text.len)
                return NULL;
        size_t skip = text.len > LOG_MAX ? text.len - LOG_MAX : 0;
        return xstrndup(text.data + skip, text.len - skip);
}

/* Length of the UTF-8 sequence at `s`, 0 if it is none. */
static size_t utf8_length(const char *s) {
        static const struct {
                unsigned char mask, bits;
                uint32_t least;
        } forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
        const unsigned char *p = (const unsigned char *)s;

        for (size_t extra = 0; extra < ARRAY_SIZE(forms); extra++) {
                if ((*p & forms[extra].mask) != forms[extra].bits)
                        continue;
                uint32_t point = *p & (unsigned char)~forms[extra].mask;
                for (size_t i = 1; i <= extra; i++) {
                        if ((p[i] & 0xc0) != 0x80)
                                return 0;
                        point = point << 6 | (p[i] & 0x3f);
                }
                bool valid = point >= forms[extra].least && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
                return valid ? extra + 1 : 0;
        }
        return 0;
}

/* As Go does when it writes JSON: each byte that is no UTF-8 becomes U+FFFD. */
static char *utf8_only(const char *s) {
        struct strbuf clean = STRBUF_INIT;

        while (*s) {
                size_t len = utf8_length(s);
                if (len)
                        strbuf_add(&clean, s, len);
                else
                        strbuf_adds(&clean, "\xef\xbf\xbd");
                s += len ? len : 1;
        }
        return strbuf_take(&clean);
}

char *termination_message(const char *file, const char *log_path, bool log_on_error) {
        _cleanup_free_ char *message = message_from_file(file);
        if (!message && log_on_error)
                message = message_from_log(log_path);
        return message ? utf8_only(message) : NULL;
}
