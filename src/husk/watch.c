#include "husk/watch.h"

#include <dirent.h>
#include <poll.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/file.h"
#include "server/field.h"

/* IN_ATTRIB tells of a watched folder's own end in one case: unlinked while somebody has it open. */
#define WATCH_MASK \
        (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_MODIFY | IN_ATTRIB)

struct error *watch_open(int64_t timeout_ns, struct watch *ret) {
        int fd = inotify_open();

        if (fd < 0)
                return error_errno(-fd, "watch for changes (fs.inotify.max_user_instances)");
        ret->fd = fd;
        ret->until = timeout_ns < 0 ? INT64_MAX : clock_monotonic_ns() + timeout_ns;
        return NULL;
}

void watch_close(struct watch *watch) {
        watch->fd = fd_close(watch->fd);
}

bool watch_add(struct watch *watch, const char *path) {
        return inotify_add_watch(watch->fd, path, WATCH_MASK) >= 0;
}

void watch_add_pod(struct watch *watch, struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid);
        _cleanup_free_ char *run = store_pod_run_folder(store, uid);
        _cleanup_free_ char *all_run = path_join(store->run, "pods");

        watch_add(watch, folder);
        /* Before its first status a pod may have no folder in <run>: then watch for that. */
        if (!watch_add(watch, run))
                watch_add(watch, all_run);
}

static bool is_pod(const struct api_kind *kind) {
        return streq(kind->kind, "Pod");
}

/* All pods of a namespace, or of the node. */
static struct error *watch_add_pods(struct watch *watch, struct store *store, const char *ns) {
        _cleanup_(json_decrefp) json_t *pods = NULL;
        struct error *err;
        json_t *pod;
        size_t i;

        err = store_list(store, api_kind_of("Pod"), ns, &pods);
        if (err)
                return err;
        json_array_foreach(pods, i, pod) watch_add_pod(watch, store, field_text_or(pod, "metadata.uid", ""));
        return NULL;
}

/* The folders of a kind in every namespace, and what shows that there is a new one. */
static void watch_add_namespaces(struct watch *watch, struct store *store, const struct api_kind *kind) {
        _cleanup_free_ char *objects = path_join(store->root, "objects");
        struct dirent *entry;
        DIR *dir;

        watch_add(watch, objects);
        dir = opendir(objects);
        while (dir && (entry = readdir(dir))) {
                if (entry->d_name[0] == '.')
                        continue;
                _cleanup_free_ char *ns = path_join(objects, entry->d_name);
                _cleanup_free_ char *folder = path_join(ns, kind->kind);
                watch_add(watch, ns);
                watch_add(watch, folder);
        }
        if (dir)
                closedir(dir);
}

struct error *watch_add_request(struct watch *watch, struct cli *cli, const struct request *request) {
        const struct api_kind *kind = request->kind;
        struct store *store;
        struct error *err;

        err = cli_store(cli, &store);
        if (err)
                return err;
        if (streq(kind->kind, "Node")) {
                watch_add(watch, store->root);
                return NULL;
        }
        /* Events are kept with their pods. */
        if (streq(kind->kind, "Event"))
                kind = api_kind_of("Pod");
        if (kind->namespaced && !request->ns) {
                watch_add_namespaces(watch, store, kind);
        } else {
                _cleanup_free_ char *folder = store_objects_folder(store, kind, request->ns);
                watch_add(watch, folder);
        }
        if (!is_pod(kind))
                return NULL;
        if (!request->name || kind != request->kind)
                return watch_add_pods(watch, store, request->ns);
        _cleanup_free_ char *uid = NULL;
        err = store_pod_uid(store, request->ns, request->name, &uid);
        if (err) {
                bool missing = error_is(err, ERROR_NOT_FOUND);
                return missing ? error_free(err) : err;
        }
        watch_add_pod(watch, store, uid);
        return NULL;
}

static void watch_drain(struct watch *watch) {
        char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

        while (read(watch->fd, buf, sizeof(buf)) > 0)
                ;
}

static int milliseconds_until(int64_t until) {
        if (until == INT64_MAX)
                return -1;
        int64_t left = until - clock_monotonic_ns();
        return left <= 0 ? 0 : (int)MIN(left / NSEC_PER_MSEC + 1, INT32_MAX);
}

enum watch_result watch_wait(struct watch *watch, int other_fd) {
        struct pollfd fds[] = {
                { .fd = watch->fd, .events = POLLIN },
                { .fd = other_fd, .events = POLLIN },
        };

        for (;;) {
                int n = poll(fds, 2, milliseconds_until(watch->until));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 0)
                        return WATCH_TIMEOUT;
                if (fds[1].revents)
                        return WATCH_OTHER;
                watch_drain(watch);
                return WATCH_CHANGED;
        }
}
