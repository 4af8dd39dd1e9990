/* progress.h - a bar for each layer, drawn on standard error while something is fetched and unpacked.
 *
 *     4f06f1ec0b02  downloading  [=========>          ]  12.3/31.4 MB  45.1 MB/s  0s
 *
 * Only on a terminal (or asked for); then ten times a second and no more. When it is over the bars go and the result
 * stands alone. */
#pragma once

#include "base/base.h"

enum progress_mode { PROGRESS_AUTO, PROGRESS_NONE, PROGRESS_BARS, PROGRESS_LINES };

struct progress;

struct progress *progress_new(enum progress_mode mode, size_t rows);
struct progress *progress_free(struct progress *progress); /* takes the bars away */
static inline void progress_freep(struct progress **progress) {
        *progress = progress_free(*progress);
}
#define _cleanup_progress_ _cleanup_(progress_freep)

/* `label` and `state` are copied or static: the digest of a layer, "downloading". */
void progress_set(struct progress *progress, size_t row, const char *label, const char *state, uint64_t done,
                  uint64_t total);
void progress_draw(struct progress *progress);

#define SIZE_TEXT 16
/* "31.4 MB", decimal as in docker's tables. Returns buf. */
const char *size_format(uint64_t bytes, char buf[static SIZE_TEXT]);
