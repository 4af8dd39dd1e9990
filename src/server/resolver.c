#include "server/resolver.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "server/detached.h"
#include "store/node-config.h"

static char *resolver_folder(const struct store *store) {
        return path_join(store->run, "resolver");
}

char *resolver_log_path(const struct store *store) {
        return xasprintf("%s/resolver/log", store->run);
}

static char *running_path(const struct store *store) {
        return xasprintf("%s/resolver/running", store->run);
}

/* Asking takes nothing, so that nobody who asks keeps a resolver from its place. */
static bool has_place(const struct store *store, size_t *ret_size) {
        _cleanup_free_ char *path = running_path(store);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat st;

        if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK || fstat(fd, &st) < 0)
                return false;
        *ret_size = (size_t)st.st_size;
        return true;
}

bool resolver_is_answering(const struct store *store) {
        size_t size;

        return has_place(store, &size) && size;
}

struct error *resolver_start(struct store *store) {
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_free_ char *folder = resolver_folder(store);
        _cleanup_close_ int lock = -EBADF;
        size_t size;
        struct error *err = node_config_read(store, &config);

        if (err)
                return error_free(err);
        if (!config.resolver)
                return NULL;
        /* Under this lock a resolver without pods leaves (husk-resolver/main.c), so it has left or sees the new pod. */
        err = folder_lock(folder, &lock);
        if (err || has_place(store, &size))
                return err;
        char *argv[] = { (char *)"husk-resolver", (char *)"--root", store->root, (char *)"--run", store->run, NULL };
        return detached_start(argv);
}
