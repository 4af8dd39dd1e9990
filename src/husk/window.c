#include "husk/window.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/process.h"
#include "base/str.h"

/* The device of every terminal's master side, /dev/ptmx (Linux: Documentation/admin-guide/devices.txt). */
#define PTMX_MAJOR 5
#define PTMX_MINOR 2

/* The master that the runtime holds. It is asked for its descriptor, not a process in the container, whose could be
 * anything. Negative: it has none (yet). */
static int find_master(pid_t pid, int pidfd) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/fd", pid);
        DIR *dir = opendir(path);
        struct dirent *entry;
        int master = -ENOENT;

        while (dir && master < 0 && (entry = readdir(dir))) {
                struct stat st;
                if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISCHR(st.st_mode) &&
                    st.st_rdev == makedev(PTMX_MAJOR, PTMX_MINOR))
                        master = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
        }
        if (dir)
                closedir(dir);
        return master;
}

static void copy_size(int master) {
        struct winsize size;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
                ioctl(master, TIOCSWINSZ, &size);
}

/* What a terminal sends to whoever is in its foreground is meant for the runtime. */
static int hear_of_changes(void) {
        static const int others[] = { SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP, SIGTERM, SIGPIPE };
        sigset_t set;

        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                signal(others[i], SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        sigprocmask(SIG_BLOCK, &set, NULL);
        return signalfd(-1, &set, SFD_CLOEXEC);
}

static void follow(pid_t pid, int pidfd, int changes) {
        _cleanup_close_ int master = -EBADF;

        for (;;) {
                struct pollfd fds[] = { { .fd = pidfd, .events = POLLIN }, { .fd = changes, .events = POLLIN } };
                struct signalfd_siginfo info;
                if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
                        return;
                if (fds[0].revents)
                        return;
                if (!fds[1].revents || read(changes, &info, sizeof(info)) < 0)
                        continue;
                if (master < 0)
                        master = find_master(pid, pidfd);
                if (master >= 0)
                        copy_size(master);
        }
}

/* The helper must not be the runtime's child: that may wait for all it has. So its parent ends at once. */
struct error *window_follow(void) {
        pid_t own = getpid();
        int pidfd = process_open(own, 0);

        if (pidfd < 0)
                return error_errno(-pidfd, "look at this process");
        pid_t between = fork();
        if (between < 0) {
                fd_close(pidfd);
                return error_errno(errno, "start a helper");
        }
        if (between == 0) {
                if (fork() != 0)
                        _exit(0);
                int changes = hear_of_changes(), null = open("/dev/null", O_RDWR | O_CLOEXEC);
                dup2(null, STDOUT_FILENO);
                dup2(null, STDERR_FILENO);
                if (changes >= 0)
                        follow(own, pidfd, changes);
                _exit(0);
        }
        while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
                ;
        fd_close(pidfd);
        return NULL;
}
