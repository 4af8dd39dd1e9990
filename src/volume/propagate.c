#include "volume/propagate.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/mount.h"
#include "base/socket.h"

#define MESSAGE_MAX 1024

static const char *const names[] = {
        [PROPAGATION_NONE] = "None",
        [PROPAGATION_HOST_TO_CONTAINER] = "HostToContainer",
        [PROPAGATION_BIDIRECTIONAL] = "Bidirectional",
};

bool propagation_parse(const char *name, enum propagation *ret) {
        *ret = PROPAGATION_NONE;
        if (!name || !*name)
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (streq(name, names[i])) {
                        *ret = i;
                        return true;
                }
        return false;
}

/* One system call resolves the whole of it: no component can be exchanged between a check and its use. */
int propagation_open(const char *path, const char *subpath) {
        struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (!subpath || !*subpath)
                return TAKE_FD(fd);
        for (int tries = 0;; tries++) {
                int found = syscall(SYS_openat2, fd, subpath, &how, sizeof(how));

                if (found >= 0)
                        return found;
                if (errno != EAGAIN || tries > 100) /* EAGAIN: a rename raced with the walk */
                        return -errno;
        }
}

struct error *propagation_check_slave(int fd, const char *path) {
        _cleanup_free_ char *mountpoint = NULL;
        bool shared, slave;
        struct error *err;

        err = mount_propagation(fd, &shared, &slave, &mountpoint);
        if (err || shared || slave)
                return err;
        return error_new(ERROR_INVALID, "path \"%s\" is mounted on \"%s\" but it is not a shared or slave mount", path,
                         mountpoint);
}

/* ---- in the host's mount namespace ---- */

static struct error *clone_shared(const char *path, const char *subpath, int *ret_mount_fd) {
        _cleanup_close_ int fd = propagation_open(path, subpath);
        _cleanup_free_ char *mountpoint = NULL;
        bool shared, slave;
        struct error *err;

        if (fd < 0)
                return error_errno(-fd, "open %s", path);
        err = mount_propagation(fd, &shared, &slave, &mountpoint);
        if (err)
                return err;
        if (!shared)
                return error_new(ERROR_INVALID, "path \"%s\" is mounted on \"%s\" but it is not a shared mount", path,
                                 mountpoint);
        return mount_clone(fd, true, ret_mount_fd);
}

/* Answers with the descriptor, or with the words of the error. */
_noreturn_ static void child(int socket_fd, int host_mntns_fd, const char *path, const char *subpath) {
        struct error *err = NULL;
        int mount_fd = -EBADF;
        const char *text = "";

        if (setns(host_mntns_fd, CLONE_NEWNS) < 0)
                err = error_errno(errno, "enter the host's mount namespace");
        if (!err)
                err = clone_shared(path, subpath, &mount_fd);
        if (err)
                text = error_message(err);
        _exit(socket_send(socket_fd, text, MIN(strlen(text) + 1, (size_t)MESSAGE_MAX), &mount_fd, mount_fd >= 0) < 0);
}

struct error *propagation_clone_from_host(int host_mntns_fd, const char *path, const char *subpath, int *ret_mount_fd) {
        char message[MESSAGE_MAX + 1] = "";
        int sockets[2], mount_fd = -EBADF;
        size_t n_fds = 1;
        ssize_t n;
        pid_t pid;

        if (host_mntns_fd < 0)
                return error_new(ERROR_NOT_SUPPORTED,
                                 "mountPropagation Bidirectional of \"%s\": the host's mount namespace "
                                 "is out of reach",
                                 path);
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
                return error_errno(errno, "make a socket pair");
        /* setns(2) into a mount namespace changes the whole process: a child goes. */
        pid = fork();
        if (pid == 0)
                child(sockets[1], host_mntns_fd, path, subpath);
        fd_close(sockets[1]);
        if (pid < 0) {
                fd_close(sockets[0]);
                return error_errno(errno, "fork");
        }
        n = socket_receive(sockets[0], message, MESSAGE_MAX, &mount_fd, &n_fds, 0);
        fd_close(sockets[0]);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        if (n > 0 && n_fds == 1) {
                *ret_mount_fd = mount_fd;
                return NULL;
        }
        message[MAX(n, 0)] = '\0';
        return error_new(ERROR_INVALID, "%s", message[0] ? message : "clone a mount of the host: no answer");
}
