/* What the creator of an infra process says to it and hears from it. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/str.h"
#include "sandbox/infra.h"

#define ANSWER_TIMEOUT_MS 10000

/* One message: 0 bytes is the end of the socket, that is execve(2) or death. A failure is told as the error it is. */
static struct error *infra_hear(struct sandbox *s, size_t *ret_n) {
        struct pollfd readable = { .fd = s->ready_fd, .events = POLLIN };
        struct infra_failure failure;
        ssize_t n;
        int rc;

        while ((rc = poll(&readable, 1, ANSWER_TIMEOUT_MS)) < 0 && errno == EINTR)
                ;
        if (rc == 0)
                return error_new(ERROR_TIMEOUT, "the infra process is not ready after %d s", ANSWER_TIMEOUT_MS / 1000);
        /* ECONNRESET is told once, before what lies in the socket, when the child ended without having read its "go".
         */
        while ((n = recv(s->ready_fd, &failure, sizeof(failure), 0)) < 0 && (errno == EINTR || errno == ECONNRESET))
                ;
        if (n < 0)
                return error_errno(errno, "hear from the infra process");
        if (n == sizeof(failure))
                return infra_failed(&failure);
        *ret_n = (size_t)n;
        if (n > 0)
                return NULL;
        s->died = !sandbox_is_running(s);
        return s->died ? infra_died(0, 0, false) : NULL;
}

struct error *infra_answer(struct sandbox *s) {
        size_t n;
        return infra_hear(s, &n);
}

struct error *infra_await_namespaces(struct sandbox *s) {
        char path[64];
        size_t n;
        struct error *err = infra_hear(s, &n);

        if (err || !(s->namespaces & SANDBOX_NET))
                return err;
        snprintf(path, sizeof(path), "/proc/%d/ns/net", s->pid);
        s->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (s->netns_fd >= 0)
                return NULL;
        int saved = errno; /* most likely because it has failed and ended: then its words say more */
        err = infra_answer(s);
        return err ? err : error_errno(saved, "open %s", path);
}

struct error *infra_go(struct sandbox *s, const struct cgroup_entry *cgroup) {
        char text[INFRA_GO_MAX] = "g";
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * CGROUP_ENTRIES_MAX)];
        } control = { 0 };
        struct iovec part = { text, 1 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

        for (size_t i = 0; i < cgroup->n; i++) {
                size_t len = strlen(cgroup->hierarchies[i]) + 1;
                if (part.iov_len + len > sizeof(text))
                        return error_new(ERROR_INTERNAL, "the names of cgroup hierarchies are too long");
                memcpy(text + part.iov_len, cgroup->hierarchies[i], len);
                part.iov_len += len;
        }
        if (cgroup->n) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * cgroup->n);
                control.header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * cgroup->n),
                                                   .cmsg_level = SOL_SOCKET,
                                                   .cmsg_type = SCM_RIGHTS };
                memcpy(CMSG_DATA(&control.header), cgroup->fds, sizeof(int) * cgroup->n);
        }
        /* If it has failed already its words are waiting in the socket: sandbox_finish() reads them. */
        if (sendmsg(s->ready_fd, &message, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
                return error_errno(errno, "start husk-infra");
        return NULL;
}
