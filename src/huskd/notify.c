#include "huskd/notify.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

static struct {
        int fd;
        struct sockaddr_un address;
        socklen_t size;
        char *said; /* the last status */
        struct loop_timer *timer;
        int64_t interval_ns;
} n = { .fd = -EBADF };

static void say(const char *text) {
        if (n.fd >= 0 && sendto(n.fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&n.address, n.size) < 0)
                log_warning("tell the service manager: %s", strerror(errno));
}

static void alive(void *arg) {
        say("WATCHDOG=1");
        loop_timer_set(n.timer, n.interval_ns);
}

/* A path, or, with '@' in front, a name of the abstract namespace. */
static bool address_set(const char *name) {
        size_t len = strlen(name);

        if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof(n.address.sun_path))
                return false;
        n.address.sun_family = AF_UNIX;
        memcpy(n.address.sun_path, name, len);
        if (*name == '@')
                n.address.sun_path[0] = '\0';
        n.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
        return true;
}

static void watchdog_begin(struct loop *loop) {
        const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
        uint64_t interval, wanted;

        if (!usec || !str_to_u64(usec, &interval) || !interval || interval > INT64_MAX / 1000)
                return;
        if (pid && (!str_to_u64(pid, &wanted) || (pid_t)wanted != getpid()))
                return; /* another's */
        n.interval_ns = (int64_t)interval * 1000 / 2;
        n.timer = loop_timer_new(loop, alive, NULL);
        loop_timer_set(n.timer, n.interval_ns);
}

void notify_begin(struct loop *loop) {
        static const char *const variables[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };
        const char *name = getenv("NOTIFY_SOCKET");

        if (name && !address_set(name))
                log_warning("NOTIFY_SOCKET is no name of a socket: %s", name);
        else if (name)
                n.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (n.fd >= 0)
                watchdog_begin(loop);
        for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
                unsetenv(variables[i]);
}

void notify_end(void) {
        n.timer = loop_timer_free(n.timer);
        n.fd = fd_close(n.fd);
        free(TAKE_PTR(n.said));
}

void notify_ready(const char *status) {
        _cleanup_free_ char *text = xasprintf("READY=1\nSTATUS=%s", status);

        free(n.said);
        n.said = xstrdup(status);
        say(text);
}

void notify_status(const char *status) {
        if (streq_ptr(status, n.said))
                return;
        _cleanup_free_ char *text = xasprintf("STATUS=%s", status);
        free(n.said);
        n.said = xstrdup(status);
        say(text);
}

void notify_reloading(void) {
        struct timespec now;
        char text[64];

        clock_gettime(CLOCK_MONOTONIC, &now); /* what the manager compares with */
        snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", now.tv_sec * 1000000LL + now.tv_nsec / 1000);
        say(text);
}

void notify_stopping(void) {
        say("STOPPING=1");
}
