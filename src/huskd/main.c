/* huskd - the node daemon: looks after the supervisors of pods, a folder of static manifests, another of image
 * archives, and the disk that images must not fill.
 *
 *   huskd [--root DIR] [--run DIR] [--manifests DIR] [--archives DIR]
 *
 * Pods do not need it to run, and do not notice when it ends or is killed. As long as it runs, a pod whose keeper and
 * supervisor were both killed gets new ones, at its start every pod that has not ended is brought back (after a reboot,
 * all of them), supervisors of an older husk are replaced, the store follows the manifests, and image archives are
 * taken in: those that are there at the start before the manifests, which may need them. SIGHUP looks at everything at
 * once; SIGTERM ends huskd alone. */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "huskd/archives.h"
#include "huskd/image-gc.h"
#include "huskd/network.h"
#include "huskd/notify.h"
#include "huskd/pods.h"
#include "huskd/statics.h"
#include "server/supervisor.h"

#define MANIFESTS_DEFAULT "/etc/husk/manifests"

struct options {
        const char *root, *run, *manifests, *archives;
};

struct daemon {
        struct options options;
        struct loop *loop;
        struct store *store;
        struct pods *pods;
        struct statics *statics; /* NULL until the archives of the start are taken in */
        struct archives *archives;
        struct image_gc *image_gc;
        struct network *network;
        struct loop_io *signals;
        struct loop_deferred *tell, *reap;
        int lock;
        int signal_fd;
};

/* ---- the command line ---- */

static const struct flag {
        const char *name, *value, *help;
        size_t at;
} flags[] = {
        { "--root", "DIR", "folder of the node's lasting state (/var/lib/husk)", offsetof(struct options, root) },
        { "--run", "DIR", "folder of the node's fleeting state (/run/husk)", offsetof(struct options, run) },
        { "--manifests", "DIR", "folder of static manifests (" MANIFESTS_DEFAULT "; DIR/manifests for another --root)",
          offsetof(struct options, manifests) },
        { "--archives", "DIR", "folder of image archives that are taken in (DIR/images.d of --root)",
          offsetof(struct options, archives) },
};

static void print_help(FILE *to) {
        fprintf(to,
                "Looks after the supervisors of all pods, a folder of static manifests, and the images of the node.\n\n"
                "Usage:\n"
                "  huskd [flags]\n\nFlags:\n");
        for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
                fprintf(to, "  %s %-*s %s\n", flags[i].name, (int)(20 - strlen(flags[i].name)), flags[i].value,
                        flags[i].help);
}

static bool options_read(int argc, char **argv, struct options *ret) {
        for (int i = 1; i < argc; i++) {
                size_t n = strcspn(argv[i], "="), f = 0;
                while (f < ARRAY_SIZE(flags) && (strlen(flags[f].name) != n || strncmp(flags[f].name, argv[i], n) != 0))
                        f++;
                const char *value = argv[i][n] == '=' ? argv[i] + n + 1 : argv[i + 1];
                if (f == ARRAY_SIZE(flags) || str_empty(value)) {
                        fprintf(stderr, "huskd: %s: %s\n", argv[i],
                                f == ARRAY_SIZE(flags) ? "unknown flag; see huskd --help" : "needs a value");
                        return false;
                }
                i += argv[i][n] != '=';
                *(const char **)((char *)ret + flags[f].at) = value;
        }
        return true;
}

/* ---- what it says of itself ---- */

static void status_make(const struct daemon *d, char *ret, size_t size) {
        size_t pods = pods_count(d->pods), files = d->statics ? statics_files(d->statics) : 0,
               faults = d->statics ? statics_faults(d->statics) : 0, archives = archives_waiting(d->archives);
        int n = snprintf(ret, size, "%zu pod%s, %zu manifest%s", pods, pods == 1 ? "" : "s", files,
                         files == 1 ? "" : "s");

        if (faults && n > 0 && (size_t)n < size)
                n += snprintf(ret + n, size - (size_t)n, ", %zu of them with mistakes", faults);
        if (archives && n > 0 && (size_t)n < size)
                snprintf(ret + n, size - (size_t)n, ", taking in %zu image archive%s", archives,
                         archives == 1 ? "" : "s");
}

static void tell_status(void *arg) {
        struct daemon *d = arg;
        char text[128];

        status_make(d, text, sizeof(text));
        notify_status(text);
        malloc_trim(0); /* a look at many objects takes memory that is not needed until the next */
}

static void pods_changed(void *arg) {
        struct daemon *d = arg;

        if (d->tell)
                loop_deferred_arm(d->tell);
}

static void statics_changed(void *arg) {
        struct daemon *d = arg;

        if (d->pods)
                pods_look_soon(d->pods); /* what was made or marked wants a supervisor */
        pods_changed(d);
}

static void pod_gone(void *arg) {
        struct daemon *d = arg;

        if (d->statics)
                statics_sync(d->statics); /* it may have to come back */
        pods_changed(d);
}

/* huskd is started anew when husk is upgraded, and sees to it that the pods' supervisors are the new ones, too. */
static void renew_outdated(struct daemon *d) {
        size_t renewed;
        _cleanup_error_ struct error *err = supervisors_renew_outdated(d->store, &renewed);

        if (err)
                log_warning("%s", error_message(err));
        if (renewed)
                log_info("husk was upgraded: %zu supervisor%s renewed", renewed, renewed == 1 ? "" : "s");
}

/* ---- signals ---- */

static void reload(struct daemon *d) {
        char text[128];

        notify_reloading();
        renew_outdated(d);
        archives_look(d->archives);
        image_gc_look(d->image_gc);
        if (d->statics)
                statics_sync(d->statics);
        pods_look_soon(d->pods);
        status_make(d, text, sizeof(text));
        notify_ready(text);
}

/* Keepers are children of huskd if it has started them. Those of its loop's commands are the loop's to wait for, which
 * it does in this very turn; then whoever ended behind them comes. */
static void reap(void *arg) {
        struct daemon *d = arg;
        siginfo_t info = { 0 };

        while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
                if (archives_own(d->archives, info.si_pid) || image_gc_owns(d->image_gc, info.si_pid)) {
                        loop_deferred_arm(d->reap);
                        return;
                }
                waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
                info.si_pid = 0;
        }
}

static void signal_came(void *arg, int events) {
        struct daemon *d = arg;
        struct signalfd_siginfo info;

        while (read(d->signal_fd, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        reap(d);
                else if (info.ssi_signo == SIGHUP)
                        reload(d);
                else
                        loop_stop(d->loop);
        }
}

static struct error *signals_begin(struct daemon *d) {
        static const int wanted[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT };
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
                sigaddset(&set, wanted[i]);
        sigprocmask(SIG_BLOCK, &set, NULL);
        signal(SIGPIPE, SIG_IGN);
        d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (d->signal_fd < 0)
                return error_errno(errno, "signalfd");
        return loop_io_new(d->loop, d->signal_fd, LOOP_READABLE, signal_came, d, &d->signals);
}

/* ---- from start to end ---- */

static struct error *lock_take(struct daemon *d) {
        _cleanup_free_ char *path = path_join(d->store->run, "huskd.lock");

        d->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (d->lock < 0)
                return error_errno(errno, "open %s", path);
        if (flock(d->lock, LOCK_EX | LOCK_NB) < 0)
                return error_new(ERROR_CONFLICT, "huskd already runs for %s: it holds %s", d->store->root, path);
        return NULL;
}

static char *manifests_folder(const struct daemon *d) {
        if (d->options.manifests)
                return xstrdup(d->options.manifests);
        return d->store->is_default ? xstrdup(MANIFESTS_DEFAULT) : path_join(d->store->root, "manifests");
}

static char *archives_folder(const struct daemon *d) {
        return d->options.archives ? xstrdup(d->options.archives) : path_join(d->store->root, "images.d");
}

static struct error *statics_begin(struct daemon *d) {
        _cleanup_free_ char *folder = manifests_folder(d);

        return statics_new(d->loop, d->store, folder, statics_changed, d, &d->statics);
}

/* Manifests wait for the archives that were there at the start; later ones need not, a pod waits for its image. */
static void archives_changed(void *arg) {
        struct daemon *d = arg;

        if (!d->statics && !archives_waiting(d->archives)) {
                _cleanup_error_ struct error *err = statics_begin(d);
                if (err)
                        log_error("%s", error_message(err));
        }
        pods_changed(d);
}

static struct error *begin(struct daemon *d) {
        _cleanup_free_ char *folder = NULL;
        struct error *err = store_open(d->options.root, d->options.run, &d->store);

        if (!err)
                err = lock_take(d);
        if (!err)
                err = loop_new(&d->loop);
        if (!err)
                err = signals_begin(d);
        if (err)
                return err;
        notify_begin(d->loop);
        d->tell = loop_deferred_new(d->loop, tell_status, d);
        d->reap = loop_deferred_new(d->loop, reap, d);
        folder = archives_folder(d);
        d->archives = archives_new(d->loop, d->store, folder, archives_changed, d);
        d->image_gc = image_gc_new(d->loop, d->store);
        d->network = network_new(d->loop, d->store);
        /* The manifests first: a pod that is no longer wanted need not be brought back before it is ended. */
        if (!archives_waiting(d->archives))
                err = statics_begin(d);
        return err ? err : pods_new(d->loop, d->store, pod_gone, pods_changed, d, &d->pods);
}

static void end(struct daemon *d) {
        notify_end();
        pods_free(d->pods);
        statics_free(d->statics);
        archives_free(d->archives);
        image_gc_free(d->image_gc);
        network_free(d->network);
        loop_deferred_free(d->tell);
        loop_deferred_free(d->reap);
        loop_io_free(d->signals);
        loop_free(d->loop);
        fd_close(d->signal_fd);
        store_free(d->store);
        fd_close(d->lock);
}

static struct error *run(struct daemon *d) {
        char text[128];
        struct error *err = begin(d);

        if (!err) {
                status_make(d, text, sizeof(text));
                notify_ready(text);
                log_info("ready: %s", text);
                renew_outdated(d);
                malloc_trim(0);
                err = loop_run(d->loop);
                notify_stopping();
        }
        end(d);
        return err;
}

int main(int argc, char **argv) {
        struct daemon d = { .lock = -EBADF, .signal_fd = -EBADF };

        mallopt(M_ARENA_MAX, 1);
        umask(0022);
        log_set_name("huskd");
        if (argc == 2 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
                print_help(stdout);
                return 0;
        }
        if (!options_read(argc, argv, &d.options))
                return 2;
        _cleanup_error_ struct error *err = run(&d);
        if (!err)
                return 0;
        log_error("%s", error_message(err));
        return 1;
}
