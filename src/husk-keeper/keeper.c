/* husk-keeper - the parent of every process in one pod.
 *
 *   husk-keeper --root DIR --run DIR --uid UID [--foreground] [--adopt NUMBER] [--lock FD] [--keep FD=NAME]…
 *
 * It is started by `husk apply` (or huskd), takes the pod's lock, makes the pod's mount namespace, becomes a child
 * subreaper, starts husk-pod and from then on does three things (protocol.h): it reaps whatever ends and writes it
 * down, it holds the descriptors that must outlive a husk-pod, and it starts a new husk-pod when one dies. It knows
 * nothing of Kubernetes. It ends when husk-pod ends with status 0, which means that nothing is left of the pod.
 *
 * If the keeper is killed, husk-pod sees the end of its socket, saves its state and becomes the keeper itself, by
 * execve(2) of this program with --adopt and its descriptors as --keep: so its children stay its children, the mount
 * namespace stays, and a fresh husk-pod goes on from the saved state.
 *
 * SIGUSR2 makes room for another version of husk: husk-pod is ended, and the keeper becomes the program that is on the
 * disk now, in the same way, keeping the lock, its pid and its children; that starts the husk-pod on the disk.
 *
 * This program uses no more of the C library than tiny-libc.c offers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "husk-keeper/keeper-private.h"

#define CGROUP2_MAGIC 0x63677270
#define LOG_SIZE_MAX (1 << 20) /* of supervisor.log, when the keeper starts */
#define QUICK_DEATH_MS 1000    /* a husk-pod that lived less counts as failing */
#define RESTART_DELAY_MAX_MS 10000
#define RETRY_MS 500

struct keeper k;

static int64_t now_ms(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int64_t realtime_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- arguments and folders ---- */

static void path_make(char path[PATH_SIZE], const char *a, const char *b, const char *c, const char *d) {
        const char *end = path + PATH_SIZE;
        char *at = text_put(text_put(text_put(text_put(path, end, a), end, b), end, c), end, d);
        if (at >= end - 1) {
                errno = ENAMETOOLONG;
                fail("path too long: ", a);
        }
}

/* Where this program is, husk-pod is too. */
static void find_program(void) {
        char self[PATH_SIZE];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        if (n < 0)
                fail("read /proc/self/exe", "");
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        if (slash)
                *slash = '\0';
        path_make(k.program, self, "/husk-pod", "", "");
        path_make(k.self, self, "/husk-keeper", "", "");
}

static void stored_put(const char *name, int fd);

static void keep_argument(const char *text) {
        int fd = 0;
        const char *p = text;

        for (; *p >= '0' && *p <= '9' && fd < 1000000; p++)
                fd = fd * 10 + (*p - '0');
        if (p == text || *p != '=' || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                fail("not a descriptor to keep: ", text);
        stored_put(p + 1, fd);
}

static uint64_t number_argument(const char *text) {
        uint64_t n = 0;
        for (; *text >= '0' && *text <= '9'; text++)
                n = n * 10 + (uint64_t)(*text - '0');
        return n;
}

static void read_arguments(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : NULL;
                if (strcmp(argv[i], "--foreground") == 0)
                        k.foreground = true;
                else if (value && strcmp(argv[i], "--adopt") == 0)
                        k.mounts = number_argument(argv[++i]);
                else if (value && strcmp(argv[i], "--root") == 0)
                        k.root = argv[++i];
                else if (value && strcmp(argv[i], "--run") == 0)
                        k.run = argv[++i];
                else if (value && strcmp(argv[i], "--uid") == 0)
                        k.uid = argv[++i];
                else if (value && strcmp(argv[i], "--lock") == 0)
                        k.lock_fd = (int)number_argument(argv[++i]);
                else if (value && strcmp(argv[i], "--keep") == 0)
                        keep_argument(argv[++i]);
                else
                        k.uid = NULL, i = argc;
        }
        if (!k.root || !k.run || !k.uid) {
                errno = 0;
                fail("usage: husk-keeper --root DIR --run DIR --uid UID", "");
        }
}

static void make_folder(const char *path) {
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                fail("create folder ", path);
}

int open_file(const char *name, int flags) {
        char path[PATH_SIZE];

        path_make(path, k.folder, "/", name, "");
        int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                fail("open ", path);
        return fd;
}

static void redirect_output(void) {
        struct stat st;
        int fd = open_file("supervisor.log", O_WRONLY | O_CREAT | O_APPEND);

        if (fstat(fd, &st) == 0 && st.st_size > LOG_SIZE_MAX && ftruncate(fd, 0) < 0)
                say("truncate supervisor.log", "", errno);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        close(fd);
}

static void write_pid_file(void) {
        char text[32];
        int fd = open_file("pid", O_WRONLY | O_CREAT | O_TRUNC);
        char *end = text_put(text_put_number(text, text + sizeof(text), getpid()), text + sizeof(text), "\n");

        if (write(fd, text, end - text) < 0)
                say("write pid", "", errno);
        close(fd);
}

/* One supervisor a pod. It is a record lock (fcntl), not flock: no child inherits it, those who only ask (F_GETLK,
 * which also tells our pid) take nothing that could be in our way, and execve(2) of husk-pod's successor takes it anew.
 */
static void take_lock(void) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat st;

        if (k.lock_fd >= 0 && fcntl(k.lock_fd, F_SETFD, FD_CLOEXEC) < 0)
                fail("not a descriptor: ", "--lock");
        if (k.lock_fd < 0)
                k.lock_fd = open_file("lock", O_RDWR | O_CREAT);
        if (fcntl(k.lock_fd, F_SETLK, &lock) < 0)
                fail("already supervised: ", k.uid);
        /* The pod was deleted between our open and our lock. */
        if (fstat(k.lock_fd, &st) < 0 || st.st_nlink == 0)
                fail("the pod is gone: ", k.uid);
}

/* What the pod mounts stays in this namespace and ends with it, while what the host mounts later still comes in. On a
 * hybrid host crun refuses to start as long as it sees the cgroup2 mount beside the v1 hierarchies, so that is covered
 * for the pod's processes by an empty file system, a writable one, because crun makes its folders there all the same.
 */
static void make_mount_namespace(void) {
        static const char unified[] = "/sys/fs/cgroup/unified";
        struct statfs fs;

        int host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        if (host < 0 || unshare(CLONE_NEWNS) < 0)
                fail("make a mount namespace", "");
        stored_put("host-mounts", host); /* Bidirectional mounts have to reach it */
        k.mounts = (uint64_t)realtime_ns();
        if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
                fail("make / a slave mount", "");
        if (statfs(unified, &fs) == 0 && fs.f_type == CGROUP2_MAGIC &&
            mount("husk", unified, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4m,mode=0755") < 0)
                fail("cover ", unified);
}

/* ---- descriptors kept for husk-pod ---- */

static void stored_remove(unsigned i) {
        close(k.stored[i].fd);
        /* Only husk-pod's own requests come here, when it was told all there is: order does not matter any more. */
        k.stored[i] = k.stored[--k.n_stored];
        k.told_fds = k.n_stored;
}

/* A NAME or, with a '*' at its end, everything that begins so. */
static bool name_matches(const char *pattern, const char *name) {
        size_t n = strlen(pattern);
        if (n && pattern[n - 1] == '*')
                return strncmp(pattern, name, n - 1) == 0;
        return strcmp(pattern, name) == 0;
}

static void stored_drop(const char *pattern) {
        for (unsigned i = k.n_stored; i-- > 0;)
                if (name_matches(pattern, k.stored[i].name))
                        stored_remove(i);
}

static void stored_put(const char *name, int fd) {
        for (unsigned i = 0; i < k.n_stored; i++)
                if (strcmp(k.stored[i].name, name) == 0) {
                        close(k.stored[i].fd);
                        k.stored[i].fd = fd;
                        return;
                }
        if (k.n_stored == STORED_MAX || strlen(name) >= KEEPER_NAME_SIZE) {
                say("too many descriptors, or too long a name: ", name, 0);
                close(fd);
                return;
        }
        struct stored *s = &k.stored[k.n_stored++];
        text_put(s->name, s->name + sizeof(s->name), name);
        s->fd = fd;
}

static void pod_ended(const siginfo_t *info);

/* Writes each exit down, then reaps it. Where it cannot be written down (no space), the zombie stays and keeps it, and
 * false is returned. */
static bool reap(void) {
        for (;;) {
                siginfo_t info;
                info.si_pid = 0;
                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 || info.si_pid == 0)
                        return true;
                if (info.si_pid != k.pod_pid && !exits_append(&info, start_time_of(info.si_pid)))
                        return false;
                siginfo_t reaped;
                waitid(P_PID, info.si_pid, &reaped, WEXITED | __WALL);
                if (info.si_pid == k.pod_pid)
                        pod_ended(&info);
        }
}

/* ---- husk-pod ---- */

static bool send_message(const struct keeper_message *message, int fd) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct iovec iov = { (void *)message, sizeof(*message) };
        struct msghdr packet = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                packet.msg_control = &control;
                packet.msg_controllen = sizeof(control);
                struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                *(int *)CMSG_DATA(c) = fd;
        }
        return sendmsg(k.socket, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool everything_told(void) {
        return k.socket < 0 || (k.told_start && k.told_exits == k.exits_last);
}

/* Tells husk-pod what it has not been told yet, as far as the socket takes it; the rest when it is writable again. */
static void tell(void) {
        static struct keeper_message message;

        while (!everything_told()) {
                int fd = -1;
                message.mounts = k.mounts;
                if (k.told_fds < k.n_stored) {
                        message.type = KEEPER_DESCRIPTOR;
                        text_put(message.name, message.name + KEEPER_NAME_SIZE, k.stored[k.told_fds].name);
                        fd = k.stored[k.told_fds].fd;
                } else if (!k.told_start) {
                        message.type = KEEPER_START;
                        message.started = k.pods_started - 1;
                        message.start.last = k.exits_last;
                        message.start.pending = k.exits_last - k.exits_seen;
                } else {
                        message.type = KEEPER_EXIT;
                        if (pread(k.exits_fd, &message.exit, sizeof(message.exit), exits_offset(k.told_exits + 1)) !=
                            sizeof(message.exit)) {
                                say("read exits", "", errno);
                                return;
                        }
                }
                if (!send_message(&message, fd))
                        return;
                if (message.type == KEEPER_DESCRIPTOR)
                        k.told_fds++;
                else if (message.type == KEEPER_START)
                        k.told_start = true;
                else
                        k.told_exits++;
        }
}

static void handle(struct keeper_message *message, int *fd) {
        message->name[KEEPER_NAME_SIZE - 1] = '\0';
        if (message->type == KEEPER_STORE && *fd >= 0) {
                stored_put(message->name, *fd);
                *fd = -1;
                if (k.told_start)
                        k.told_fds = k.n_stored;
        } else if (message->type == KEEPER_DROP) {
                stored_drop(message->name);
        } else if (message->type == KEEPER_SEEN) {
                exits_seen(message->sequence);
        }
}

/* Reads everything husk-pod has sent; at the end of the stream the socket is closed. */
static void listen_to_pod(void) {
        static struct keeper_message message;

        while (k.socket >= 0) {
                union {
                        struct cmsghdr header;
                        char space[CMSG_SPACE(sizeof(int))];
                } control;
                struct iovec iov = { &message, sizeof(message) };
                struct msghdr packet = {
                        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
                };
                ssize_t n = recvmsg(k.socket, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (n <= 0) {
                        close(k.socket);
                        k.socket = -1;
                        return;
                }
                int fd = -1;
                struct cmsghdr *c = packet.msg_controllen >= CMSG_LEN(sizeof(int)) ? CMSG_FIRSTHDR(&packet) : NULL;
                if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
                        fd = *(int *)CMSG_DATA(c);
                if (n == sizeof(message))
                        handle(&message, &fd);
                if (fd >= 0)
                        close(fd);
        }
}

static void pod_start(void) {
        const char *argv[] = { k.program, "--root", k.root, "--run", k.run, "--uid", k.uid, NULL };
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
                say("make a socket", "", errno);
                k.restart_at_ms = now_ms() + RETRY_MS;
                return;
        }
        pid_t pid = fork();
        if (pid < 0) {
                say("fork", "", errno);
                close(pair[0]);
                close(pair[1]);
                k.restart_at_ms = now_ms() + RETRY_MS;
                return;
        }
        if (pid == 0) {
                sigset_t none;
                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                if (pair[1] == KEEPER_SOCKET)
                        fcntl(pair[1], F_SETFD, 0L);
                else
                        dup2(pair[1], KEEPER_SOCKET);
                execve(k.program, (char *const *)argv, environ);
                fail("run ", k.program);
        }
        close(pair[1]);
        k.socket = pair[0];
        k.pod_pid = pid;
        k.pod_since_ms = now_ms();
        k.pods_started++;
        k.told_fds = 0;
        k.told_start = false;
        k.told_exits = k.exits_seen;
}

/* A husk-pod that dies is started again at once; one that dies again and again right after its start, ever later. */
static void pod_ended(const siginfo_t *info) {
        listen_to_pod(); /* what it said last still counts */
        if (k.socket >= 0)
                close(k.socket);
        k.socket = -1;
        k.pod_pid = 0;
        if (info->si_code == CLD_EXITED && info->si_status == 0)
                _exit(0);

        int64_t now = now_ms();
        char number[24];
        text_put_number(number, number + sizeof(number), info->si_status);
        say(info->si_code == CLD_EXITED ? "husk-pod ended with status " : "husk-pod was killed by signal ", number, 0);
        k.quick_deaths = now - k.pod_since_ms < QUICK_DEATH_MS ? k.quick_deaths + 1 : 0;
        int64_t delay = 0;
        if (k.quick_deaths > 3)
                delay = k.quick_deaths > 10 ? RESTART_DELAY_MAX_MS : 50LL << (k.quick_deaths - 3);
        k.restart_at_ms = now + (delay > RESTART_DELAY_MAX_MS ? RESTART_DELAY_MAX_MS : delay);
}

/* ---- the loop ---- */

static void signals_prepare(void) {
        sigset_t set;

        /* Nobody ends a pod by ending its keeper: the polite signals are ignored. */
        sigfillset(&set);
        sigprocmask(SIG_SETMASK, &set, NULL);
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGUSR2);
        k.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (k.signal_fd < 0)
                fail("signalfd", "");
}

static void signals_read(void) {
        struct signalfd_siginfo info;
        while (read(k.signal_fd, &info, sizeof(info)) > 0)
                if (info.ssi_signo == SIGUSR2)
                        renew_begin();
}

static int time_until(int64_t at_ms) {
        int64_t left = at_ms - now_ms();
        return left < 0 ? 0 : (int)left;
}

static __attribute__((noreturn)) void run(void) {
        for (;;) {
                int timeout = reap() ? -1 : RETRY_MS;
                if (k.renew && !k.pod_pid)
                        renew();
                if (!k.pod_pid && time_until(k.restart_at_ms) == 0)
                        pod_start();
                if (!k.pod_pid) {
                        int left = time_until(k.restart_at_ms);
                        timeout = timeout < 0 || left < timeout ? left : timeout;
                }
                tell();

                struct pollfd fds[] = {
                        { .fd = k.signal_fd, .events = POLLIN },
                        { .fd = k.socket, .events = (short)(POLLIN | (everything_told() ? 0 : POLLOUT)) },
                };
                if (poll(fds, 2, timeout) < 0 && errno != EINTR)
                        fail("poll", "");
                if (fds[0].revents)
                        signals_read();
                if (fds[1].revents & ~POLLOUT)
                        listen_to_pod();
        }
}

int main(int argc, char **argv) {
        k.socket = -1;
        k.lock_fd = -1;
        read_arguments(argc, argv);
        path_make(k.folder, k.root, "/pods/", k.uid, "");
        int folder = open(k.folder, O_PATH | O_CLOEXEC);
        if (folder < 0 && errno == ENOENT && !k.mounts)
                return 0; /* deleted before we came */
        close(folder);
        path_make(k.folder, k.run, "/pods", "", "");
        make_folder(k.folder);
        path_make(k.folder, k.run, "/pods/", k.uid, "");
        make_folder(k.folder);
        signals_prepare(); /* who sees the lock held may send SIGUSR2 */
        take_lock();
        if (!k.foreground)
                redirect_output();
        find_program();
        write_pid_file();
        exits_open();
        if (!k.mounts)
                make_mount_namespace();
        if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0)
                fail("become a subreaper", "");
        run();
}
