/* payload.h - files of a volume that husk writes, replaced all at once.
 *
 * As a kubelet lays them out, and as programs that watch such folders rely on:
 *
 *   ..2026_11_23_19_22_45.123456789/    the files
 *   ..data -> ..2026_11_23_19_22_45.123456789
 *   config.yaml -> ..data/config.yaml   one link per top entry
 *
 * A new payload gets a new folder; renaming `..data` over switches every file at the same instant. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct payload_file {
        char *path; /* relative, without ".." */
        void *data;
        size_t len;
        mode_t mode;
};
struct payload {
        struct payload_file *files;
        size_t n;
        json_t *index;  /* of the files, by their paths */
        uint32_t owner; /* user and, without fs_group, group of all of them */
};
#define PAYLOAD_INIT \
        { 0 }

/* Adds a file, or replaces the one of that path. The data is copied. */
void payload_add(struct payload *payload, const char *path, const void *data, size_t len, mode_t mode);
void payload_release(struct payload *payload);
#define _cleanup_payload_ _cleanup_(payload_release)

/* Makes the folder `folder_fd` show this payload. If it does already nothing is touched and *ret_changed is false.
 * `fs_group`: group and modes as pod.spec.securityContext.fsGroup wants them; NULL: none. What an interrupted call left
 * is cleaned away. */
struct error *payload_write(int folder_fd, const struct payload *payload, const int64_t *fs_group,
                            bool *ret_changed) _must_check_;
