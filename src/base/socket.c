#include "base/socket.h"

#include <sys/socket.h>

#define SOCKET_FDS_MAX 8

int socket_send(int fd, const void *data, size_t len, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(SOCKET_FDS_MAX * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > SOCKET_FDS_MAX)
                return -EINVAL;
        if (n_fds) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                struct cmsghdr *c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
        }
        for (;;) {
                if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

ssize_t socket_receive(int fd, void *data, size_t size, int *fds, size_t *n_fds, int flags) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(SOCKET_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = data, .iov_len = size };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        size_t capacity = n_fds ? *n_fds : 0, count = 0;
        ssize_t n;

        do
                n = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < got; i++) {
                        int received;
                        memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        if (count < capacity)
                                fds[count++] = received;
                        else
                                fd_close(received);
                }
        }
        if (n_fds)
                *n_fds = count;
        return n;
}
