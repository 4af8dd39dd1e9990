/* log-file.h - the files that a pod's log goes to, each open once, whoever writes into it: two streams of a container
 * share one. */
#pragma once

#include "base/base.h"

struct log_file {
        char *path;
        int fd;
        int64_t size;
        unsigned users;
        bool failing; /* the writer has told that there is no room */
        struct log_file *next;
};

/* The file of that path, opened or already open, with one user more; `files` begins the list of all. */
struct error *log_file_get(struct log_file **files, const char *path, struct log_file **ret) _must_check_;
/* One user less: the last one closes it. NULL is fine. */
void log_file_put(struct log_file **files, struct log_file *f);
/* Moves a full file aside, of which `keep` stay, and begins a new one. If that is not possible the old one is written
 * on. */
void log_file_rotate(struct log_file *f, size_t keep);
