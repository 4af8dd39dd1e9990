#include "server/resolver.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/file.h"
#include "server/detached.h"
#include "store/node-config.h"

static char *resolver_folder(const struct store *store) {
        return path_join(store->run, "resolver");
}

char *resolver_log_path(const struct store *store) {
        return xasprintf("%s/resolver/log", store->run);
}

bool resolver_is_running(struct store *store) {
        _cleanup_free_ char *path = xasprintf("%s/resolver/running", store->run);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

struct error *resolver_start(struct store *store) {
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_free_ char *folder = resolver_folder(store);
        _cleanup_close_ int lock = -EBADF;
        struct error *err = node_config_read(store, &config);

        if (err)
                return error_free(err);
        if (!config.resolver)
                return NULL;
        /* Under this lock a resolver without pods leaves (husk-resolver/main.c), so it has left or sees the new pod. */
        err = folder_lock(folder, &lock);
        if (err || resolver_is_running(store))
                return err;
        char *argv[] = { (char *)"husk-resolver", (char *)"--root", store->root, (char *)"--run", store->run, NULL };
        return detached_start(argv);
}
