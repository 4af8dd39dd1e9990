/* Streams in pieces larger than the length field of IPv4 can say: to pods, to the node, and outside, where they are
 * cut. */
#include "fixture.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#define STREAM_BYTES (64U << 20)
#define GSO_IPV4_MAX_SIZE 63 /* IFLA_GSO_IPV4_MAX_SIZE, Linux 6.3 */

static uint8_t pattern(size_t i) {
        return (uint8_t)(i * 2654435761U >> 13);
}

static _noreturn_ void stream_send(int listening) {
        static uint8_t buf[1U << 20];
        int fd = accept(listening, NULL, NULL);

        check(fd >= 0);
        for (size_t sent = 0; sent < STREAM_BYTES;) {
                for (size_t i = 0; i < sizeof(buf); i++)
                        buf[i] = pattern(sent + i);
                for (size_t done = 0; done < sizeof(buf);) {
                        ssize_t n = send(fd, buf + done, sizeof(buf) - done, MSG_NOSIGNAL);
                        check(n > 0);
                        done += (size_t)n;
                }
                sent += sizeof(buf);
        }
        _exit(0);
}

/* Someone at `ip` in one namespace sends, someone in another (-1: here) reads and compares every byte. */
static void stream(int from, const char *ip, int to) {
        static uint8_t buf[1U << 20];
        int own = netns_own(), status;
        struct sockaddr_storage address;
        socklen_t len = endpoint(ip, 9000, &address);
        size_t got = 0;

        netns_enter(from);
        int listening = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        check(setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
        check(bind(listening, (struct sockaddr *)&address, len) == 0 && listen(listening, 1) == 0);
        pid_t pid = fork();
        check(pid >= 0);
        if (pid == 0)
                stream_send(listening);
        netns_enter(to < 0 ? own : to);
        int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        check(connect(fd, (struct sockaddr *)&address, len) == 0);
        for (ssize_t n; (n = recv(fd, buf, sizeof(buf), 0)) > 0; got += (size_t)n)
                for (size_t i = 0; i < (size_t)n; i++)
                        check(buf[i] == pattern(got + i));
        check(got == STREAM_BYTES);
        netns_enter(own);
        close(fd);
        close(listening);
        close(own);
        check(waitpid(pid, &status, 0) == pid && status == 0);
}

MACHINE_TEST(large_pieces_of_a_stream_reach_pods_node_and_outside_whole) {
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0), b = pod_new(&m->store, "uid-b", NULL, 0);

        stream(a.netns, a.net.ip4, b.netns);
        stream(a.netns, a.net.ip4, -1);
        stream(a.netns, a.net.ip6, b.netns);
        shell_in(m->outside, "ip route add %s/32 via 192.0.2.2", a.net.ip4);
        stream(a.netns, a.net.ip4, m->outside);
}

MACHINE_TEST(large_pieces_pass_a_limited_pod) {
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0), b = { .uid = "uid-b", .netns = netns_new() };
        struct net_request request = { .pod_name = "default/b",
                                       .ingress_bits = 4000000000U,
                                       .egress_bits = 4000000000U };

        pod_folder_make(&m->store, b.uid);
        check_ok(net_attach(&m->store, b.uid, b.netns, &request, &b.net));
        stream(a.netns, a.net.ip4, b.netns);
        stream(b.netns, b.net.ip4, a.netns);
}

static int gso_found(const struct nlattr *attr, void *data) {
        if (mnl_attr_get_type(attr) == GSO_IPV4_MAX_SIZE)
                *(uint32_t *)data = mnl_attr_get_u32(attr);
        return MNL_CB_OK;
}

static int link_found(const struct nlmsghdr *message, void *data) {
        return mnl_attr_parse(message, sizeof(struct ifinfomsg), gso_found, data);
}

/* How much an interface takes in one piece; 0: the kernel does not say. */
static uint32_t gso_of(int netns, const char *ifname) {
        char buf[16384];
        int own = netns_own();
        uint32_t bytes = 0;

        if (netns >= 0)
                netns_enter(netns);
        struct mnl_socket *nl = mnl_socket_open(NETLINK_ROUTE);
        check(nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0);
        struct nlmsghdr *message = mnl_nlmsg_put_header(buf);
        message->nlmsg_type = RTM_GETLINK;
        message->nlmsg_flags = NLM_F_REQUEST;
        struct ifinfomsg *link = mnl_nlmsg_put_extra_header(message, sizeof(*link));
        link->ifi_index = (int)if_nametoindex(ifname);
        check(mnl_socket_sendto(nl, message, message->nlmsg_len) > 0);
        ssize_t n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
        check(n > 0);
        mnl_cb_run(buf, (size_t)n, 0, 0, link_found, &bytes);
        mnl_socket_close(nl);
        netns_enter(own);
        close(own);
        return bytes;
}

MACHINE_TEST(links_take_large_pieces_unless_the_file_says_no) {
        static const char on[] = "{\"ipv4\": \"10.1.2.0/24\"}",
                          off[] = "{\"ipv4\": \"10.1.2.0/24\", \"bigTcp\": false}",
                          wrong[] = "{\"ipv4\": \"10.1.2.0/24\", \"bigTcp\": 1}";
        _cleanup_free_ char *path = path_join(m->store.root, "net.json");
        struct pod_fixture a, b;
        uint32_t usual = gso_of(-1, "up0");

        check_ok(file_replace(path, on, strlen(on), 0600, 0));
        a = pod_new(&m->store, "uid-a", NULL, 0);
        check(gso_of(a.netns, "eth0") == (usual ? 192U << 10 : 0));
        check(gso_of(-1, a.net.host_ifname) == (usual ? 192U << 10 : 0));
        check_ok(file_replace(path, off, strlen(off), 0600, 0));
        b = pod_new(&m->store, "uid-b", NULL, 0);
        check(gso_of(b.netns, "eth0") == usual && gso_of(-1, b.net.host_ifname) == usual);
        stream(a.netns, a.net.ip4, b.netns); /* who takes more sends to who takes less */
        check_ok(file_replace(path, wrong, strlen(wrong), 0600, 0));
        check_error(pod_try(&m->store, "uid-c", NULL, 0, &b), ERROR_INVALID,
                    "net.json: \"bigTcp\" must be true or false");
}
