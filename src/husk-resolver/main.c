/* husk-resolver - names for pods, where <root>/config.yaml asks for it (`resolver: true`).
 *
 *   husk-resolver [--root DIR] [--run DIR]
 *
 * Whoever starts a pod starts it with the first one, and it ends with the last. It is two processes: the one that reads
 * the pods' packets may read what it needs and do nothing else; its parent holds the place (the lock
 * <run>/resolver/running) and starts it anew when it dies, or when a file that it goes by is another one. What goes
 * wrong stands in <run>/resolver/log. */
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "husk-resolver/nameservers.h"
#include "husk-resolver/serve.h"
#include "net/net.h"
#include "store/node-config.h"

#define LAST_POD_DELAY_NS (100 * NSEC_PER_MSEC)
#define RETRY_FIRST_US 50000
#define RETRY_MAX_US 10000000
#define STEADY_NS (10 * NSEC_PER_SEC)
#define LOG_MAX (64 << 10)

/* How the serving process ends. */
enum ending { ENDED_NO_PODS = 0, ENDED_FAILED = 1, ENDED_CHANGED = 3 };

/* ---- the process that serves ---- */

struct resolver {
        struct loop *loop;
        struct store *store;
        struct node_config *config; /* the last one without mistakes */
        struct net_gateway gateway;
        int running; /* the file of the place */
        struct loop_timer *last_pod;
        enum ending ending;
};

static bool any_pod(struct store *store) {
        _cleanup_strv_ char **uids = NULL;
        _cleanup_error_ struct error *err = store_pod_uids(store, &uids);

        return err || strv_len(uids);
}

static void end(struct resolver *r, enum ending how) {
        r->ending = how;
        loop_stop(r->loop);
}

static void look_for_pods(void *arg) {
        struct resolver *r = arg;

        if (!any_pod(r->store))
                end(r, ENDED_NO_PODS);
}

static void pod_came_or_went(void *arg, uint32_t events, const char *name) {
        struct resolver *r = arg;
        loop_timer_set(r->last_pod, LAST_POD_DELAY_NS);
}

static void root_changed(void *arg, uint32_t events, const char *name) {
        if (events & IN_Q_OVERFLOW || streq(name, "net.json") || streq(name, "config.yaml"))
                end(arg, ENDED_CHANGED);
}

static void nameservers_changed(void *arg) {
        end(arg, ENDED_CHANGED);
}

/* Watches live as long as the process. They come before what they watch is read. */
static struct error *watch_root(struct resolver *r) {
        _cleanup_free_ char *pods = path_join(r->store->root, "pods"), *run_pods = path_join(r->store->run, "pods");
        struct loop_watch *of_pods, *of_run, *of_root;
        struct error *err = mkdir_parents(pods, 0700);

        if (!err)
                err = mkdir_parents(run_pods, 0700);
        if (!err) /* a pod's folder there may be the last to go: whoever cleans up again makes it once more */
                err = loop_watch_new(r->loop, run_pods, IN_DELETE, pod_came_or_went, r, &of_run);
        if (!err)
                err = loop_watch_new(r->loop, pods, IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM,
                                     pod_came_or_went, r, &of_pods);
        if (!err)
                err = loop_watch_new(r->loop, r->store->root, IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE, root_changed, r,
                                     &of_root);
        r->last_pod = loop_timer_new(r->loop, look_for_pods, r);
        loop_timer_set(r->last_pod, LAST_POD_DELAY_NS);
        return err;
}

/* Root's files stay readable below these folders, and nothing is writable. */
static struct error *confine(const struct resolver *r) {
        static const int none[] = { -1 };
        _cleanup_free_ char *pods = path_join(r->store->root, "pods"), *run_pods = path_join(r->store->run, "pods");
        const char *readable[] = { pods, run_pods, NULL };
        struct error *err = mkdir_parents(run_pods, 0700); /* what is missing could not be allowed */

        if (!err)
                err = confine_paths(-1, readable);

        return err ? err : confine_capabilities(none);
}

/* A configuration with a mistake in it changes nothing: what was good before is gone on with. Read when it is watched,
 * so that no change is missed. */
static struct error *read_config(struct resolver *r) {
        struct node_config config = { 0 };
        struct error *err = node_config_read(r->store, &config);

        if (!err) {
                node_config_release(r->config);
                *r->config = config;
        } else if (r->config->resolver) {
                log_error("%s; going on with what it said before", error_message(err));
                err = error_free(err);
        }
        return err;
}

/* Says in the file whose lock is the place that the resolver listens. */
static struct error *tell_answering(const struct resolver *r) {
        return pwrite(r->running, "answering\n", 10, 0) == 10 ? NULL
                                                              : error_errno(errno, "write <run>/resolver/running");
}

static struct error *serve(struct resolver *r) {
        _cleanup_strv_ char **nameservers = NULL;
        struct serve *s = NULL;
        struct error *err = loop_new(&r->loop);

        if (!err)
                err = watch_root(r);
        if (!err)
                err = read_config(r);
        if (!err)
                err = net_gateway_read(r->store, &r->gateway);
        if (err)
                return err;
        if (!r->config->resolver)
                return error_new(ERROR_NOT_SUPPORTED, "%s/config.yaml does not ask for it (resolver: true)",
                                 r->store->root);
        const char *file = r->config->resolv_conf ? r->config->resolv_conf : "/etc/resolv.conf";
        const char *own[] = { r->gateway.ip4, r->gateway.ip6, NULL };
        err = *file ? nameservers_watch(r->loop, file, nameservers_changed, r) : NULL;
        if (!err && *file)
                err = nameservers_read(file, own, &nameservers);
        if (err)
                return err;
        struct forwarder *forwarder = forwarder_new(r->loop, nameservers);
        struct pods *pods = pods_new(r->store, node_config_cluster_domain(r->config));
        err = serve_new(r->loop, pods, forwarder, &r->gateway, &s);
        if (!err)
                err = confine(r);
        if (!err)
                err = tell_answering(r);
        malloc_trim(0);
        if (!err)
                err = loop_run(r->loop);
        serve_free(s);
        pods_free(pods);
        forwarder_free(forwarder);
        return err;
}

/* ---- its parent ---- */

struct place {
        struct store *store;
        char *folder;
        struct node_config config; /* the last one without mistakes */
        int running;               /* the lock that says that there is a resolver; what is in it, that it answers */
        bool has_port;             /* port 53 of the bridge is kept for it */
};

static _noreturn_ void serve_main(struct place *p, pid_t parent) {
        struct resolver r = { .store = p->store, .config = &p->config, .running = p->running, .ending = ENDED_FAILED };

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(ENDED_FAILED);
        prctl(PR_SET_DUMPABLE, 0);
        _cleanup_error_ struct error *err = serve(&r);
        if (err)
                log_error("%s", error_message(err));
        _exit(err ? ENDED_FAILED : r.ending);
}

/* Takes the place. *ret_taken is false if another one has it. */
static struct error *place_take(struct place *p, bool *ret_taken) {
        _cleanup_free_ char *path = path_join(p->folder, "running");
        _cleanup_close_ int lock = -EBADF;
        struct error *err = folder_lock(p->folder, &lock);

        if (err)
                return err;
        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        *ret_taken = fcntl(fd, F_SETLK, &whole) == 0;
        if (!*ret_taken)
                return NULL;
        if (ftruncate(fd, 0) < 0) /* whoever was killed answers no more */
                return error_errno(errno, "truncate %s", path);
        p->running = TAKE_FD(fd);
        return NULL;
}

static void refresh_config(struct place *p) {
        struct node_config config = { 0 };
        _cleanup_error_ struct error *err = node_config_read(p->store, &config);

        if (err)
                return;
        node_config_release(&p->config);
        p->config = config;
}

static void leave_port(struct place *p) {
        if (p->has_port)
                error_free(net_keep_resolver_port(p->store, false));
        p->has_port = false;
}

/* Gives it up if nobody needs it. Under the lock of the folder, under which whoever starts a pod looks whether there is
 * a resolver: a pod that comes at this moment starts another. */
static bool place_leave(struct place *p) {
        _cleanup_close_ int lock = -EBADF;
        _cleanup_error_ struct error *err = folder_lock(p->folder, &lock);

        refresh_config(p);
        if (err || (p->config.resolver && any_pod(p->store)))
                return false;
        leave_port(p);
        p->running = fd_close(p->running);
        return true;
}

static void log_open(const struct place *p) {
        _cleanup_free_ char *path = path_join(p->folder, "log");
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0 || isatty(STDERR_FILENO)) {
                fd_close(fd);
                return;
        }
        dup2(fd, STDERR_FILENO);
        fd_close(fd);
}

/* A log of failures again and again must not fill <run>. */
static void log_limit(void) {
        struct stat st;

        if (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > LOG_MAX &&
            ftruncate(STDERR_FILENO, 0) < 0)
                return;
}

/* Serves until that ends, and returns how. */
static enum ending serve_once(struct place *p) {
        pid_t parent = getpid();
        int status = 0;
        _cleanup_error_ struct error *err = net_keep_resolver_port(p->store, true);

        if (err) {
                log_error("%s", error_message(err));
                return ENDED_FAILED;
        }
        p->has_port = true;
        pid_t pid = fork();
        if (pid == 0)
                serve_main(p, parent);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (ftruncate(p->running, 0) < 0)
                log_error("truncate running: %s", strerror(errno));
        return pid > 0 && WIFEXITED(status) ? (enum ending)WEXITSTATUS(status) : ENDED_FAILED;
}

static void supervise(struct place *p) {
        useconds_t retry = RETRY_FIRST_US;

        refresh_config(p);
        for (;;) {
                int64_t begun = clock_monotonic_ns();
                enum ending how = serve_once(p);
                if (place_leave(p))
                        return;
                if (how == ENDED_CHANGED)
                        continue;
                if (clock_monotonic_ns() - begun > STEADY_NS)
                        retry = RETRY_FIRST_US;
                log_limit();
                usleep(retry);
                retry = MIN(retry * 2, (useconds_t)RETRY_MAX_US);
        }
}

static const char *option(int argc, char **argv, const char *name) {
        for (int i = 1; i + 1 < argc; i++)
                if (streq(argv[i], name))
                        return argv[i + 1];
        return NULL;
}

static struct error *run(int argc, char **argv) {
        struct place p = { .running = -EBADF };
        bool taken = false;
        struct error *err = store_open(option(argc, argv, "--root"), option(argc, argv, "--run"), &p.store);

        if (err)
                return err;
        p.folder = path_join(p.store->run, "resolver");
        err = place_take(&p, &taken);
        if (!err && taken) {
                log_open(&p);
                supervise(&p);
        }
        node_config_release(&p.config);
        free(p.folder);
        store_free(p.store);
        return err;
}

int main(int argc, char **argv) {
        mallopt(M_ARENA_MAX, 1);
        umask(0077);
        log_set_name("husk-resolver");
        signal(SIGPIPE, SIG_IGN);
        _cleanup_error_ struct error *err = run(argc, argv);
        if (err)
                log_error("%s", error_message(err));
        return err ? 1 : 0;
}
