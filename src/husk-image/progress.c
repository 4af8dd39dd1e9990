#include "husk-image/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/str.h"

#define DRAW_EVERY_NS (100 * NSEC_PER_MSEC)
#define ROWS_MAX 24
#define BAR_MOST 30
#define BESIDES_BAR 68 /* columns for all the rest */

struct row {
        char label[16];
        const char *state;
        uint64_t done, total;
        int64_t since; /* when the state began */
        uint64_t done_then;
};

struct progress {
        bool bars, lines;
        struct row *rows;
        size_t n;
        size_t drawn; /* lines on the screen */
        int64_t last;
};

const char *size_format(uint64_t bytes, char buf[static SIZE_TEXT]) {
        static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
        double value = (double)bytes;
        size_t unit = 0;

        while (value >= 999.5 && unit + 1 < ARRAY_SIZE(units)) {
                value /= 1000;
                unit++;
        }
        snprintf(buf, SIZE_TEXT, value < 99.95 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
        return buf;
}

struct progress *progress_new(enum progress_mode mode, size_t rows) {
        struct progress *p = new0(struct progress);

        p->bars = mode == PROGRESS_BARS || (mode == PROGRESS_AUTO && isatty(STDERR_FILENO));
        p->lines = mode == PROGRESS_LINES;
        p->n = rows;
        p->rows = xcalloc(rows + 1, sizeof(*p->rows));
        return p;
}

static void erase(struct progress *p) {
        if (p->drawn)
                fprintf(stderr, "\033[%zuA\033[J", p->drawn);
        p->drawn = 0;
}

struct progress *progress_free(struct progress *p) {
        if (!p)
                return NULL;
        erase(p);
        fflush(stderr);
        free(p->rows);
        free(p);
        return NULL;
}

void progress_set(struct progress *p, size_t i, const char *label, const char *state, uint64_t done, uint64_t total) {
        if (!p || i >= p->n)
                return;
        struct row *row = &p->rows[i];
        if (!row->state || !streq(row->state, state)) {
                row->since = clock_monotonic_ns();
                row->done_then = done;
                if (p->lines)
                        fprintf(stderr, "%.12s %s\n", label, state);
        }
        snprintf(row->label, sizeof(row->label), "%.12s", label);
        row->state = state;
        row->done = done;
        row->total = total;
}

static void draw_row(struct strbuf *out, const struct row *row, int64_t now, int width) {
        char done[SIZE_TEXT], total[SIZE_TEXT], speed_text[SIZE_TEXT], line[256];
        double seconds = (double)(now - row->since) / NSEC_PER_SEC;
        double speed = seconds > 0.2 ? (double)(row->done - MIN(row->done, row->done_then)) / seconds : 0;
        int n = snprintf(line, sizeof(line), "%-12s  %-11s", row->label, row->state);

        if (row->total && row->done < row->total) {
                char bar[BAR_MOST + 1];
                size_t most = MIN(MAX(width - BESIDES_BAR, 8), BAR_MOST);
                size_t filled = (size_t)((double)row->done / (double)row->total * (double)most);
                memset(bar, ' ', most);
                memset(bar, '=', filled);
                if (filled < most)
                        bar[filled] = '>';
                bar[most] = '\0';
                n += snprintf(line + n, sizeof(line) - n, "  [%s]  %s / %s", bar, size_format(row->done, done),
                              size_format(row->total, total));
                if (speed > 0)
                        n += snprintf(line + n, sizeof(line) - n, "  %s/s  %.0fs",
                                      size_format((uint64_t)speed, speed_text),
                                      (double)(row->total - row->done) / speed);
        } else if (row->total) {
                n += snprintf(line + n, sizeof(line) - n, "  %s", size_format(row->total, total));
        }
        strbuf_addf(out, "%.*s\n", MIN(n, width - 1), line);
}

void progress_draw(struct progress *p) {
        _cleanup_strbuf_ struct strbuf out = STRBUF_INIT;
        struct winsize size = { .ws_col = 80, .ws_row = ROWS_MAX };
        int64_t now = clock_monotonic_ns();

        if (!p || !p->bars || now - p->last < DRAW_EVERY_NS)
                return;
        p->last = now;
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
        size_t room = MIN((size_t)(size.ws_row > 2 ? size.ws_row - 2 : ROWS_MAX), p->n);
        int width = size.ws_col > 20 ? size.ws_col : 80;
        erase(p);
        for (size_t i = 0; i < p->n && p->drawn < room; i++) {
                /* With more layers than lines only those are shown on which something happens. */
                if (!p->rows[i].state || (p->n > room && p->rows[i].done == p->rows[i].total))
                        continue;
                draw_row(&out, &p->rows[i], now, width);
                p->drawn++;
        }
        fputs(strbuf_str(&out), stderr);
        fflush(stderr);
}
