#include "volume/label.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "volume/walk.h"

#define ATTRIBUTE "security.selinux"

/* Through /proc, for a descriptor that is O_PATH. Of links the kernel has a label, too, but nothing is kept from
 * anybody by it. A file system that labels by mount (tmpfs under some policies) refuses: then it has the label of its
 * mount. */
static int set_label(void *context, int fd, const struct stat *st) {
        const char *label = context;
        char path[40], old[256];

        if (S_ISLNK(st->st_mode))
                return 0;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t n = getxattr(path, ATTRIBUTE, old, sizeof(old));
        if (n > 0 && strnlen(old, (size_t)n) == strlen(label) && memcmp(old, label, strlen(label)) == 0)
                return 0;
        if (setxattr(path, ATTRIBUTE, label, strlen(label) + 1, 0) == 0 || errno == ENOENT || errno == ENOTSUP)
                return 0;
        return -errno;
}

struct error *label_set_tree(int fd, const char *label) {
        struct error *err = NULL;
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return error_errno(errno, "look at a volume");
        if (S_ISDIR(st.st_mode))
                err = walk_tree(fd, set_label, (void *)label);
        r = err ? 0 : set_label((void *)label, fd, &st);
        if (r < 0)
                err = error_errno(-r, "set the label");
        return error_context(err, "give a volume the SELinux label %s", label);
}
