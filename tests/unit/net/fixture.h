/* fixture.h - a machine of its own for tests of the pod network: a fresh network namespace as the node, another one as
 * the world outside, and namespaces for pods. Every test runs in a child process, with which all of it ends; the
 * machine the tests run on is never touched.
 *
 *   outside 192.0.2.1/24, 2001:db8::1/64  ── up0 ── node 192.0.2.2, 2001:db8::2 (default routes) ── bridge ── pods */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "net/net.h"
#include "test.h"

#define check(condition) \
        do { \
                if (!(condition)) { \
                        fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
                        _exit(1); \
                } \
        } while (0)
#define check_ok(call) \
        do { \
                struct error *_e = (call); \
                if (_e) { \
                        fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, error_message(_e)); \
                        _exit(1); \
                } \
        } while (0)
#define check_error(call, wanted_reason, text) \
        do { \
                struct error *_e = (call); \
                if (!_e || error_reason(_e) != (wanted_reason) || !strstr(error_message(_e), (text))) { \
                        fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, \
                                _e ? error_message(_e) : "no error"); \
                        _exit(1); \
                } \
                error_free(_e); \
        } while (0)
#define check_text(got, wanted) \
        do { \
                const char *_got = (got); \
                if (strcmp(_got, (wanted)) != 0) { \
                        fprintf(stderr, "%s:%d: \"%s\" is not \"%s\"\n", __FILE__, __LINE__, _got, (wanted)); \
                        _exit(1); \
                } \
        } while (0)

#define SHELL(...) check(shell(__VA_ARGS__) == 0)
static inline int _printf_(1, 2) shell(const char *format, ...) {
        char line[1024];
        va_list ap;
        va_start(ap, format);
        vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        return system(line);
}
/* What a command prints; static storage. */
static inline const char *_printf_(1, 2) shell_text(const char *format, ...) {
        static char text[8192];
        char line[1024];
        va_list ap;
        va_start(ap, format);
        vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        FILE *f = popen(line, "r");
        check(f);
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        pclose(f);
        return text;
}

static inline int netns_own(void) {
        int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        check(fd >= 0);
        return fd;
}
static inline void netns_enter(int fd) {
        check(setns(fd, CLONE_NEWNET) == 0);
}
/* A new network namespace; the caller stays where it is. */
static inline int netns_new(void) {
        int own = netns_own();
        check(unshare(CLONE_NEWNET) == 0);
        int fd = netns_own();
        netns_enter(own);
        close(own);
        return fd;
}
static inline const char *_printf_(2, 3) shell_in(int netns, const char *format, ...) {
        char line[1024];
        va_list ap;
        va_start(ap, format);
        vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);
        int own = netns_own();
        netns_enter(netns);
        const char *text = shell_text("%s", line);
        netns_enter(own);
        close(own);
        return text;
}

/* Names of the interfaces in a namespace (-1: here), sorted. */
static inline const char *links(int netns) {
        int own = netns_own();
        if (netns >= 0)
                netns_enter(netns);
        const char *text = shell_text(
                "ip -o link | awk -F'[ :@]+' '{print $2}' | grep -v -e '^ip6*tnl0' -e '^sit0' -e '^tunl0' | sort | "
                "tr '\\n' ' '");
        netns_enter(own);
        close(own);
        return text;
}

struct machine {
        struct store store;
        char folder[64];
        int outside;
};

static inline void machine_store(struct machine *m, const char *name, struct store *ret) {
        *ret = (struct store){ xasprintf("%s/%s/root", m->folder, name), xasprintf("%s/%s/run", m->folder, name), NULL,
                               false };
        check_ok(mkdir_parents(ret->root, 0700));
        check_ok(mkdir_parents(ret->run, 0700));
}

/* Turns the calling process into a machine. */
static inline void machine_boot(struct machine *m, const char *folder) {
        snprintf(m->folder, sizeof(m->folder), "%s", folder);
        machine_store(m, "a", &m->store);
        check(unshare(CLONE_NEWNET) == 0);
        m->outside = netns_new();
        SHELL("ip link set lo up");
        SHELL("ip link add up0 type veth peer name in0 netns /proc/%d/fd/%d", getpid(), m->outside);
        SHELL("ip addr add 192.0.2.2/24 dev up0 && ip addr add 2001:db8::2/64 dev up0 nodad && ip link set up0 mtu "
              "1400 up");
        shell_in(m->outside,
                 "ip link set lo up; ip addr add 192.0.2.1/24 dev in0; ip addr add 2001:db8::1/64 dev in0 nodad; "
                 "ip link set in0 mtu 1400 up");
        SHELL("ip route add default via 192.0.2.1 && ip -6 route add default via 2001:db8::1");
}

#define MACHINE_TEST(sentence) \
        static void sentence##_on(struct machine *m); \
        TEST(sentence) { \
                machine_test(sentence##_on); \
        } \
        static void sentence##_on(struct machine *m)

static inline void machine_test(void (*test)(struct machine *)) {
        char folder[] = "/tmp/husk-test-net-XXXXXX";
        int status;

        assert_non_null(mkdtemp(folder));
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
                struct machine m = { .outside = -EBADF };
                machine_boot(&m, folder);
                test(&m);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_ok(remove_tree(folder));
        assert_int_equal(status, 0);
}

struct pod_fixture {
        char uid[40];
        int netns;
        struct net_result net;
};

/* There are no plugins here: everything is done at once. */
static inline struct error *net_attach(const struct store *store, const char *uid, int netns,
                                       const struct net_request *request, struct net_result *ret) {
        struct net_job *job = NULL;
        struct error *err = net_attach_begin(store, uid, netns, request, ret, &job);
        check(!job);
        return err;
}

static inline struct error *net_detach(const struct store *store, const char *uid) {
        struct net_job *job = NULL;
        struct error *err = net_detach_begin(store, uid, &job);
        check(!job);
        return err;
}

static inline void pod_folder_make(const struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_run_folder((struct store *)store, uid);
        check_ok(mkdir_parents(folder, 0700));
}

static inline struct error *pod_try(const struct store *store, const char *uid, const struct net_port *ports, size_t n,
                                    struct pod_fixture *pod) {
        snprintf(pod->uid, sizeof(pod->uid), "%s", uid);
        pod->netns = netns_new();
        pod_folder_make(store, uid);
        _cleanup_free_ char *name = xasprintf("default/%s", uid);
        struct net_request request = { name, ports, n };
        return net_attach(store, uid, pod->netns, &request, &pod->net);
}

static inline struct pod_fixture pod_new(const struct store *store, const char *uid, const struct net_port *ports,
                                         size_t n) {
        struct pod_fixture pod;
        check_ok(pod_try(store, uid, ports, n, &pod));
        return pod;
}

/* ---- traffic: servers that answer with the address they see, and questions to them ---- */

static inline socklen_t endpoint(const char *ip, uint16_t port, struct sockaddr_storage *ret) {
        struct sockaddr_in *in4 = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        memset(ret, 0, sizeof(*ret));
        if (strchr(ip, ':')) {
                *in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port) };
                check(inet_pton(AF_INET6, ip, &in6->sin6_addr) == 1);
                return sizeof(*in6);
        }
        *in4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
        check(inet_pton(AF_INET, ip, &in4->sin_addr) == 1);
        return sizeof(*in4);
}

/* The peer's address as text, without the disguise that a socket for both families gives an IPv4 one. */
static inline void peer_text(const struct sockaddr_storage *peer, char *buf, size_t size) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)peer;
        inet_ntop(AF_INET6, &in6->sin6_addr, buf, (socklen_t)size);
        if (strncmp(buf, "::ffff:", 7) == 0)
                memmove(buf, buf + 7, strlen(buf + 7) + 1);
}

static inline _noreturn_ void serve(int fd, int type) {
        struct sockaddr_storage peer;
        char buf[64], text[64];

        for (;;) {
                socklen_t len = sizeof(peer);
                if (type == SOCK_STREAM) {
                        int connection = accept(fd, (struct sockaddr *)&peer, &len);
                        check(connection >= 0);
                        peer_text(&peer, text, sizeof(text));
                        check(write(connection, text, strlen(text)) > 0);
                        close(connection);
                } else {
                        check(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&peer, &len) >= 0);
                        peer_text(&peer, text, sizeof(text));
                        sendto(fd, text, strlen(text), 0, (struct sockaddr *)&peer, len);
                }
        }
}

/* A server for both families in a namespace (-1: here). */
static inline void server(int netns, int type, uint16_t port) {
        int own = netns_own(), off = 0;
        struct sockaddr_storage any;

        if (netns >= 0)
                netns_enter(netns);
        int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
        check(fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0);
        socklen_t len = endpoint("::", port, &any);
        check(bind(fd, (struct sockaddr *)&any, len) == 0);
        check(type != SOCK_STREAM || listen(fd, 16) == 0);
        netns_enter(own);
        close(own);
        pid_t parent = getpid(), pid = fork();
        check(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(0); /* the test ended before it could be told of */
                serve(fd, type);
        }
        close(fd);
}

/* Asks a server from a namespace (-1: here): the address it saw, or "refused", "timeout", "unreachable". */
static inline const char *ask_within(int netns, int type, const char *ip, uint16_t port, int timeout_ms) {
        static char answer[64];
        struct sockaddr_storage to;
        int own = netns_own(), error = 0;
        socklen_t error_len = sizeof(error), len = endpoint(ip, port, &to);

        if (netns >= 0)
                netns_enter(netns);
        int fd = socket(to.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        check(fd >= 0);
        int rc = connect(fd, (struct sockaddr *)&to, len);
        netns_enter(own);
        close(own);
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        snprintf(answer, sizeof(answer), "unreachable");
        if (rc == 0 || errno == EINPROGRESS) {
                snprintf(answer, sizeof(answer), "timeout");
                if (poll(&p, 1, timeout_ms) > 0) {
                        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
                        if (!error && type == SOCK_DGRAM)
                                check(send(fd, "?", 1, 0) == 1);
                        p.events = POLLIN;
                        ssize_t n =
                                !error && poll(&p, 1, timeout_ms) > 0 ? recv(fd, answer, sizeof(answer) - 1, 0) : -1;
                        if (n > 0)
                                answer[n] = '\0';
                        else if (error == ECONNREFUSED || (p.revents && errno == ECONNREFUSED))
                                snprintf(answer, sizeof(answer), "refused");
                        else if (error)
                                snprintf(answer, sizeof(answer), "error %d", error);
                }
        }
        close(fd);
        return answer;
}
static inline const char *ask(int netns, int type, const char *ip, uint16_t port) {
        return ask_within(netns, type, ip, port, 3000);
}
