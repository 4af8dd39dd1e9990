#include "husk-resolver/nameservers.h"

#include <libgen.h>
#include <limits.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "sandbox/hosts.h"

#define LINKS_MAX 40 /* as the kernel follows them */

/* One name in one folder. */
struct named {
        char *name;
        loop_callback changed;
        void *arg;
};

static void folder_changed(void *arg, uint32_t events, const char *name) {
        const struct named *n = arg;

        /* Without a name it is the folder itself that went, or more events than fitted: look at everything. */
        if (!*name || streq(name, n->name))
                n->changed(n->arg);
}

static struct error *watch_name(struct loop *loop, const char *path, loop_callback changed, void *arg) {
        _cleanup_free_ char *folder = xstrdup(path), *file = xstrdup(path);
        struct named *n = new0(struct named);
        struct loop_watch *watch;

        *n = (struct named){ xstrdup(basename(file)), changed, arg };
        struct error *err = loop_watch_new(loop, dirname(folder), IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE | IN_CREATE,
                                           folder_changed, n, &watch);
        if (!err)
                return NULL;
        free(n->name);
        free(n);
        /* Without the folder there is nothing to wait for that a change of the configuration would not bring. */
        return error_errnum(err) == ENOENT || error_errnum(err) == ENOTDIR ? error_free(err) : err;
}

/* Where a link leads to; NULL: it is none. */
static char *link_target(const char *path) {
        _cleanup_free_ char *folder = xstrdup(path);
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof(target) - 1);

        if (n <= 0)
                return NULL;
        target[n] = '\0';
        return *target == '/' ? xstrdup(target) : path_join(dirname(folder), target);
}

struct error *nameservers_watch(struct loop *loop, const char *path, loop_callback changed, void *arg) {
        _cleanup_free_ char *at = xstrdup(path);
        struct error *err = NULL;

        for (unsigned i = 0; !err && at && i < LINKS_MAX; i++) {
                err = watch_name(loop, at, changed, arg);
                char *next = link_target(at);
                free(at);
                at = next;
        }
        return err;
}

struct error *nameservers_read(const char *path, const char *const *own, char ***ret) {
        _cleanup_strv_ char **all = NULL;
        struct error *err = resolv_conf_nameservers(path, &all);

        for (char **s = all; !err && s && *s; s++) {
                bool is_own = false;
                for (const char *const *o = own; *o; o++)
                        is_own |= streq(*s, *o);
                if (!is_own)
                        *ret = strv_add(*ret, *s);
        }
        return err;
}
