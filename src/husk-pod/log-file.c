#include "husk-pod/log-file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-pod/log-rotate.h"

static struct error *file_open(struct log_file *f) {
        struct stat st;

        f->fd = open(f->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0640);
        if (f->fd < 0)
                return error_errno(errno, "open %s", f->path);
        f->size = fstat(f->fd, &st) == 0 ? st.st_size : 0;
        return NULL;
}

struct error *log_file_get(struct log_file **files, const char *path, struct log_file **ret) {
        for (struct log_file *f = *files; f; f = f->next)
                if (streq(f->path, path)) {
                        f->users++;
                        *ret = f;
                        return NULL;
                }
        struct log_file *f = new0(struct log_file);
        f->path = xstrdup(path);
        struct error *err = file_open(f);
        if (err) {
                free(f->path);
                free(f);
                return err;
        }
        f->users = 1;
        f->next = *files;
        *files = f;
        *ret = f;
        return NULL;
}

void log_file_put(struct log_file **files, struct log_file *f) {
        if (!f || --f->users > 0)
                return;
        struct log_file **p = files;
        while (*p != f)
                p = &(*p)->next;
        *p = f->next;
        fd_close(f->fd);
        free(f->path);
        free(f);
}

void log_file_rotate(struct log_file *f, size_t keep) {
        _cleanup_free_ char *name = log_rotated_name(f->path);

        if (rename(f->path, name) < 0)
                return;
        int old = f->fd;
        _cleanup_error_ struct error *err = file_open(f);
        if (err) {
                f->fd = old;
                return;
        }
        fd_close(old);
        log_rotated_prune(f->path, keep);
}
