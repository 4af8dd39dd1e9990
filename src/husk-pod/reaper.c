#include "husk-pod/reaper.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/socket.h"
#include "base/str.h"

/* More orphans than this while a container is being started are no loss: they are nobody's. */
#define UNCLAIMED_MAX 1024

struct kept {
        char *name;
        int fd;
        bool taken; /* the descriptor is somebody's here; else it is ours to close */
        struct kept *next;
};

struct reaper {
        struct loop *loop;
        struct reaper_callbacks callbacks;
        int socket;
        struct loop_io *io;
        uint64_t mounts;
        bool orphan; /* the keeper died before it had told everything */

        struct keeper_exit *unclaimed;
        size_t n_unclaimed;
        uint64_t last;  /* the last exit we were told */
        uint64_t acked; /* the last one the keeper was told to be seen */

        struct kept *kept;
};

static struct kept *kept_find(struct reaper *r, const char *name) {
        for (struct kept *k = r->kept; k; k = k->next)
                if (streq(k->name, name))
                        return k;
        return NULL;
}

static void kept_add(struct reaper *r, const char *name, int fd, bool taken) {
        struct kept *k = kept_find(r, name);
        if (!k) {
                k = new0(struct kept);
                k->name = xstrdup(name);
                k->next = r->kept;
                r->kept = k;
        } else if (!k->taken && k->fd != fd) {
                fd_close(k->fd);
        }
        k->fd = fd;
        k->taken = taken;
}

static void kept_remove(struct reaper *r, struct kept *k) {
        struct kept **p = &r->kept;
        while (*p != k)
                p = &(*p)->next;
        *p = k->next;
        if (!k->taken)
                fd_close(k->fd);
        free(k->name);
        free(k);
}

static void unclaimed_add(struct reaper *r, const struct keeper_exit *e) {
        if (r->n_unclaimed == UNCLAIMED_MAX)
                memmove(r->unclaimed, r->unclaimed + 1, --r->n_unclaimed * sizeof(*r->unclaimed));
        r->unclaimed = xreallocarray(r->unclaimed, r->n_unclaimed + 1, sizeof(*r->unclaimed));
        r->unclaimed[r->n_unclaimed++] = *e;
}

/* Receives one message. Returns its length, 0 at the end of the stream, -EAGAIN if none is there. */
static ssize_t receive(struct reaper *r, struct keeper_message *m, int *ret_fd, int flags) {
        size_t n_fds = 1;
        *ret_fd = -EBADF;
        ssize_t n = socket_receive(r->socket, m, sizeof(*m), ret_fd, &n_fds, flags);
        m->name[KEEPER_NAME_SIZE - 1] = '\0';
        if (n_fds == 0)
                *ret_fd = -EBADF;
        return n;
}

/* What a new husk-pod is told at once: descriptors, START, and the exits nobody has acknowledged. */
static struct error *read_inheritance(struct reaper *r) {
        struct keeper_message m;
        uint64_t pending = UINT64_MAX; /* until START says it */

        while (pending > 0) {
                int fd;
                ssize_t n = receive(r, &m, &fd, 0);
                if (n == 0 || n == -ECONNRESET) { /* killed meanwhile; what has arrived is saved */
                        r->orphan = true;
                        return NULL;
                }
                if (n != sizeof(m)) {
                        fd_close(fd);
                        return error_errno(n < 0 ? (int)-n : EPROTO, "listen to husk-keeper");
                }
                r->mounts = m.mounts;
                if (m.type == KEEPER_DESCRIPTOR && fd >= 0) {
                        kept_add(r, m.name, fd, false);
                } else if (m.type == KEEPER_START) {
                        r->last = m.start.last;
                        r->acked = m.start.last - m.start.pending;
                        pending = m.start.pending;
                } else if (m.type == KEEPER_EXIT) {
                        unclaimed_add(r, &m.exit);
                        pending--;
                }
        }
        return NULL;
}

static void reaper_readable(void *arg, int events) {
        struct reaper *r = arg;

        for (;;) {
                struct keeper_message m;
                int fd;
                ssize_t n = receive(r, &m, &fd, MSG_DONTWAIT);
                fd_close(fd);
                if (n == -EAGAIN)
                        return;
                if (n <= 0) {
                        r->io = loop_io_free(r->io);
                        r->callbacks.orphaned(r->callbacks.arg);
                        return;
                }
                if (n != sizeof(m) || m.type != KEEPER_EXIT)
                        continue;
                r->last = m.exit.sequence;
                if (!r->callbacks.exited(r->callbacks.arg, &m.exit))
                        unclaimed_add(r, &m.exit);
        }
}

struct error *reaper_new(struct loop *loop, int socket, const struct reaper_callbacks *callbacks, struct reaper **ret) {
        struct reaper *r = new0(struct reaper);
        struct error *err;

        *r = (struct reaper){ .loop = loop, .callbacks = *callbacks, .socket = socket };
        if (fcntl(socket, F_SETFD, FD_CLOEXEC) < 0)
                err = error_errno(errno, "no socket of husk-keeper (husk-pod is started by husk-keeper)");
        else
                err = read_inheritance(r);
        if (!err)
                err = loop_io_new(loop, socket, LOOP_READABLE, reaper_readable, r, &r->io);
        if (err) {
                reaper_free(r);
                return err;
        }
        *ret = r;
        return NULL;
}

struct reaper *reaper_free(struct reaper *r) {
        if (!r)
                return NULL;
        loop_io_free(r->io);
        fd_close(r->socket);
        while (r->kept)
                kept_remove(r, r->kept);
        free(r->unclaimed);
        free(r);
        return NULL;
}

uint64_t reaper_mounts(const struct reaper *r) {
        return r->mounts;
}

void reaper_listen(struct reaper *r) {
        struct keeper_message m;
        int fd;

        while (receive(r, &m, &fd, MSG_DONTWAIT) == sizeof(m)) {
                fd_close(fd);
                if (m.type == KEEPER_EXIT) {
                        r->last = m.exit.sequence;
                        unclaimed_add(r, &m.exit);
                }
        }
}

bool reaper_is_orphan(const struct reaper *r) {
        return r->orphan;
}

bool reaper_claim(struct reaper *r, pid_t pid, uint64_t start_time, struct keeper_exit *ret) {
        for (size_t i = r->n_unclaimed; i-- > 0;) {
                struct keeper_exit *e = &r->unclaimed[i];
                if (e->pid != pid || (start_time && e->start_time && e->start_time != start_time))
                        continue;
                *ret = *e;
                memmove(e, e + 1, (--r->n_unclaimed - i) * sizeof(*e));
                return true;
        }
        return false;
}

void reaper_offer(struct reaper *r) {
        size_t n = 0;

        while (n < r->n_unclaimed) {
                struct keeper_exit e = r->unclaimed[n];
                if (!r->callbacks.exited(r->callbacks.arg, &e))
                        n++;
                else
                        memmove(r->unclaimed + n, r->unclaimed + n + 1, (--r->n_unclaimed - n) * sizeof(e));
        }
}

static void tell(struct reaper *r, uint32_t type, const char *name, uint64_t sequence, int fd) {
        struct keeper_message m = { .type = type };

        if (name)
                snprintf(m.name, sizeof(m.name), "%s", name);
        else
                m.sequence = sequence;
        int rc = socket_send(r->socket, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
        if (rc < 0 && rc != -EPIPE && rc != -ECONNRESET)
                log_warning("tell husk-keeper: %s", strerror(-rc));
}

void reaper_acknowledge(struct reaper *r, bool give_up) {
        if (give_up)
                r->n_unclaimed = 0;
        uint64_t seen = r->n_unclaimed ? r->unclaimed[0].sequence - 1 : r->last;
        if (seen <= r->acked)
                return;
        r->acked = seen;
        tell(r, KEEPER_SEEN, NULL, seen, -1);
}

void reaper_store(struct reaper *r, const char *name, int fd) {
        kept_add(r, name, fd, true);
        tell(r, KEEPER_STORE, name, 0, fd);
}

void reaper_drop(struct reaper *r, const char *name) {
        struct kept *k = kept_find(r, name);
        if (!k)
                return;
        tell(r, KEEPER_DROP, name, 0, -1); /* first: the name may be the entry's own */
        kept_remove(r, k);
}

int reaper_take(struct reaper *r, const char *name) {
        struct kept *k = kept_find(r, name);
        if (!k || k->taken)
                return -EBADF;
        k->taken = true;
        return k->fd;
}

void reaper_drop_untaken(struct reaper *r) {
        for (struct kept *k = r->kept, *next; k; k = next) {
                next = k->next;
                if (!k->taken)
                        reaper_drop(r, k->name);
        }
}

char **reaper_keep_arguments(struct reaper *r) {
        char **arguments = NULL;
        for (struct kept *k = r->kept; k; k = k->next)
                arguments = strv_add_take(arguments, xasprintf("%d=%s", k->fd, k->name));
        return arguments;
}
