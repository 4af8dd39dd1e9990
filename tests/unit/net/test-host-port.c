#include "net/net.h"

#include <errno.h>

#include "fixture.h"

#define TCP SOCK_STREAM
#define UDP SOCK_DGRAM
#define SCTP SOCK_RAW /* packets made here, for a kernel need not have sockets for it to translate them */

/* ---- SCTP ---- */

static uint32_t crc32c(const uint8_t *data, size_t len) {
        uint32_t crc = ~0U;

        for (size_t i = 0; i < len; i++) {
                crc ^= data[i];
                for (int bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
        }
        return ~crc;
}

#define SCTP_PACKET 32
/* The chunk that begins an association, and its answer. */
enum { INIT = 1, INIT_ACK = 2 };

/* A packet with one chunk and the right checksum. */
static void sctp_packet(uint8_t out[static SCTP_PACKET], uint16_t from, uint16_t to, uint8_t chunk, uint32_t tag) {
        const uint8_t head[SCTP_PACKET] = { (uint8_t)(from >> 8),
                                            (uint8_t)from,
                                            (uint8_t)(to >> 8),
                                            (uint8_t)to,
                                            [7] = (uint8_t)tag,
                                            [12] = chunk,
                                            [15] = 20,
                                            [19] = 77,
                                            [22] = 1,
                                            [25] = 1,
                                            [27] = 1 };

        memcpy(out, head, SCTP_PACKET);
        uint32_t crc = htole32(crc32c(out, SCTP_PACKET));
        memcpy(out + 8, &crc, 4);
}

static bool sctp_is_whole(const uint8_t *packet) {
        uint8_t copy[SCTP_PACKET];
        uint32_t crc;

        memcpy(copy, packet, SCTP_PACKET);
        memset(copy + 8, 0, 4);
        crc = htole32(crc32c(copy, SCTP_PACKET));
        return memcmp(&crc, packet + 8, 4) == 0;
}

static int sctp_socket(int netns, int family) {
        int own = netns_own();

        if (netns >= 0)
                netns_enter(netns);
        int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP);
        netns_enter(own);
        close(own);
        check(fd >= 0);
        return fd;
}

/* The next packet with this chunk to this port, behind the header that IPv4 shows; who sent it goes to `from`. NULL:
 * none came. Such a socket sees all that comes to its namespace, also what is meant for another one of this test. */
static const uint8_t *sctp_receive(int fd, int family, uint8_t chunk, uint16_t port, struct sockaddr_storage *from) {
        static uint8_t buffer[256];
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t head = family == AF_INET ? 20 : 0;

        while (poll(&p, 1, 3000) > 0) {
                socklen_t len = sizeof(*from);
                ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)from, &len);
                const uint8_t *packet = buffer + head;
                if (n == (ssize_t)(head + SCTP_PACKET) && packet[12] == chunk && packet[2] == port >> 8 &&
                    packet[3] == (port & 0xff))
                        return packet;
        }
        return NULL;
}

static const char *address_text(const struct sockaddr_storage *address) {
        static char text[INET6_ADDRSTRLEN];
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)address;
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

        check(inet_ntop(address->ss_family,
                        in4->sin_family == AF_INET ? (void *)&in4->sin_addr : (void *)&in6->sin6_addr, text,
                        sizeof(text)));
        return text;
}

#define CLIENT_PORT 5000

/* Begins an association from a namespace (-1: the node) with ip:host_port, and answers in the pod, at `port`: both
 * packets have to arrive whole and from whom they were sent to. Returns the client's address as the pod saw it. */
static const char *sctp_ask(int client_ns, const char *ip, uint16_t host_port, int pod_ns, uint16_t port) {
        static char seen[INET6_ADDRSTRLEN];
        int family = strchr(ip, ':') ? AF_INET6 : AF_INET;
        int client = sctp_socket(client_ns, family), inside = sctp_socket(pod_ns, family);
        struct sockaddr_storage to, from = { 0 };
        uint8_t packet[SCTP_PACKET];
        socklen_t len = endpoint(ip, 0, &to);

        sctp_packet(packet, CLIENT_PORT, host_port, INIT, 0);
        check(sendto(client, packet, SCTP_PACKET, 0, (struct sockaddr *)&to, len) == SCTP_PACKET);
        const uint8_t *got = sctp_receive(inside, family, INIT, port, &from);
        if (!got)
                return "timeout";
        check(sctp_is_whole(got));
        snprintf(seen, sizeof(seen), "%s", address_text(&from));
        uint16_t back = (uint16_t)(got[0] << 8 | got[1]);
        sctp_packet(packet, port, back, INIT_ACK, 77);
        check(sendto(inside, packet, SCTP_PACKET, 0, (struct sockaddr *)&from, len) == SCTP_PACKET);
        got = sctp_receive(client, family, INIT_ACK, CLIENT_PORT, &from);
        check(got && (got[0] << 8 | got[1]) == host_port && sctp_is_whole(got));
        check_text(address_text(&from), ip);
        close(client);
        close(inside);
        return seen;
}

/* ---- where a host port answers ---- */

#define CONTAINER_PORT 8080
#define HOST_PORT 80

static const struct net_port all_protocols[] = { { "TCP", CONTAINER_PORT, HOST_PORT, NULL },
                                                 { "UDP", CONTAINER_PORT, HOST_PORT, "" },
                                                 { "SCTP", CONTAINER_PORT, HOST_PORT, "0.0.0.0" } };

/* Whom the pod sees if it is asked by this protocol from that namespace. */
static const char *seen_by(const struct pod_fixture *pod, int type, int client_ns, const char *ip) {
        if (type == SCTP)
                return sctp_ask(client_ns, ip, HOST_PORT, pod->netns, CONTAINER_PORT);
        return ask(client_ns, type, ip, HOST_PORT);
}

/* The outside keeps its address; the node has the one that it has towards the pod, where it asked by loopback; pods
 * have the gateway's, for their answer has to come back through the node. */
static void answers_wherever_it_is_asked(struct machine *m, struct pod_fixture *a, struct pod_fixture *b) {
        static const struct {
                int type;
                const char *name;
        } protocols[] = { { TCP, "TCP" }, { UDP, "UDP" }, { SCTP, "SCTP" } };
        const struct {
                const char *origin;
                int netns;
                const char *ip, *seen;
        } rows[] = {
                { "outside", m->outside, "192.0.2.2", "192.0.2.1" },
                { "outside", m->outside, "2001:db8::2", "2001:db8::1" },
                { "node", -1, "127.0.0.1", a->net.gateway4 },
                { "node", -1, "127.9.9.9", a->net.gateway4 },
                { "node", -1, "192.0.2.2", "192.0.2.2" },
                { "node", -1, "2001:db8::2", "2001:db8::2" },
                { "node", -1, a->net.gateway4, a->net.gateway4 },
                { "node", -1, a->net.gateway6, a->net.gateway6 },
                { "another pod", b->netns, "192.0.2.2", a->net.gateway4 },
                { "another pod", b->netns, "2001:db8::2", a->net.gateway6 },
                { "another pod", b->netns, a->net.gateway4, a->net.gateway4 },
                { "another pod", b->netns, a->net.gateway6, a->net.gateway6 },
                { "itself", a->netns, "192.0.2.2", a->net.gateway4 },
                { "itself", a->netns, "2001:db8::2", a->net.gateway6 },
                { "itself", a->netns, a->net.gateway4, a->net.gateway4 },
                { "itself", a->netns, a->net.gateway6, a->net.gateway6 },
        };

        for (size_t p = 0; p < ARRAY_SIZE(protocols); p++)
                for (size_t r = 0; r < ARRAY_SIZE(rows); r++) {
                        const char *seen = seen_by(a, protocols[p].type, rows[r].netns, rows[r].ip);
                        if (strcmp(seen, rows[r].seen) != 0)
                                fprintf(stderr, "%s from %s to %s:\n", protocols[p].name, rows[r].origin, rows[r].ip);
                        check_text(seen, rows[r].seen);
                }
}

static void pods_with_a_server(struct machine *m, struct pod_fixture *a, struct pod_fixture *b) {
        *a = pod_new(&m->store, "uid-a", all_protocols, ARRAY_SIZE(all_protocols));
        *b = pod_new(&m->store, "uid-b", NULL, 0);
        server(a->netns, TCP, CONTAINER_PORT);
        server(a->netns, UDP, CONTAINER_PORT);
}

/* Docker and Kubernetes turn this on for the whole machine: what a bridge passes on goes through iptables, too. A new
 * network namespace has it on. False: this kernel has it not. */
static bool filter_bridged_packets(bool on) {
        if (access("/proc/sys/net/bridge", F_OK) < 0)
                return false;
        SHELL("echo %d > /proc/sys/net/bridge/bridge-nf-call-iptables; "
              "echo %d > /proc/sys/net/bridge/bridge-nf-call-ip6tables",
              on, on);
        return true;
}

MACHINE_TEST(a_host_port_answers_wherever_it_is_asked) {
        struct pod_fixture a, b;

        filter_bridged_packets(false);
        pods_with_a_server(m, &a, &b);
        answers_wherever_it_is_asked(m, &a, &b);
        check_ok(net_detach(&m->store, "uid-a"));
        check_text(ask(m->outside, TCP, "192.0.2.2", HOST_PORT), "refused");
        check_text(ask(-1, TCP, "127.0.0.1", HOST_PORT), "refused");
        check_text(ask(-1, UDP, "127.0.0.1", HOST_PORT), "refused");
        check_text(ask(b.netns, TCP, "2001:db8::2", HOST_PORT), "refused");
}

MACHINE_TEST(a_host_port_answers_where_bridged_packets_are_filtered) {
        struct pod_fixture a, b;

        if (!filter_bridged_packets(true))
                return;
        pods_with_a_server(m, &a, &b);
        answers_wherever_it_is_asked(m, &a, &b);
        check_text(ask(b.netns, TCP, a.net.ip4, CONTAINER_PORT), b.net.ip4); /* and pods stay who they are */
        check_text(ask(b.netns, TCP, a.net.ip6, CONTAINER_PORT), b.net.ip6);
}

/* The kernel takes what is meant for ::1 from the loopback interface alone, so no answer of a pod could come back. It
 * is refused at once, so that clients of "localhost" go on to 127.0.0.1. */
MACHINE_TEST(the_loopback_address_of_ipv6_refuses_host_ports_at_once) {
        struct pod_fixture a, b;
        int inside, none;
        struct sockaddr_storage to;
        uint8_t packet[SCTP_PACKET];

        pods_with_a_server(m, &a, &b);
        check_text(ask(-1, TCP, "::1", HOST_PORT), "refused");
        check_text(ask(-1, UDP, "::1", HOST_PORT), "refused");
        inside = sctp_socket(a.netns, AF_INET6);
        none = sctp_socket(-1, AF_INET6);
        sctp_packet(packet, CLIENT_PORT, HOST_PORT, INIT, 0);
        check(sendto(none, packet, SCTP_PACKET, 0, (struct sockaddr *)&to, endpoint("::1", 0, &to)) == SCTP_PACKET);
        check(sctp_receive(none, AF_INET6, INIT, HOST_PORT, &to)); /* it stayed here, as it was */
        struct pollfd p = { .fd = inside, .events = POLLIN };
        check(poll(&p, 1, 0) == 0);
}

MACHINE_TEST(a_host_port_with_an_address_answers_there_only) {
        static const struct net_port ports[] = { { "TCP", 8080, 80, "127.0.0.1" },
                                                 { "TCP", 8081, 80, "192.0.2.2" },
                                                 { "TCP", 8082, 81, "2001:db8::2" } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 3);

        server(a.netns, TCP, 8080);
        check_text(ask(-1, TCP, "127.0.0.1", 80), a.net.gateway4);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "refused"); /* goes to 8081, where nobody listens */
        server(a.netns, TCP, 8081);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");
        server(a.netns, TCP, 8082);
        check_text(ask(m->outside, TCP, "2001:db8::2", 81), "2001:db8::1");
        check_text(ask(m->outside, TCP, "192.0.2.2", 81), "refused");
}

MACHINE_TEST(a_host_port_belongs_to_one_pod) {
        static const struct net_port all[] = { { "TCP", 80, 80, NULL } }, one[] = { { "TCP", 80, 80, "192.0.2.2" } },
                                     udp[] = { { "UDP", 80, 80, NULL } },
                                     twice[] = { { "TCP", 80, 90, NULL }, { "TCP", 81, 90, NULL } },
                                     bad[] = { { "TCP", 80, 91, "not-an-ip" } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", all, 1), other;
        struct net_result result;

        check_error(pod_try(&m->store, "uid-b", one, 1, &other), ERROR_CONFLICT,
                    "network: host port 80/TCP is in use by pod default/uid-a");
        check_error(net_read(&m->store, "uid-b", &result), ERROR_NOT_FOUND, "uid-b");
        check_error(pod_try(&m->store, "uid-b", twice, 2, &other), ERROR_CONFLICT,
                    "host port 90/TCP is asked for twice");
        check_error(pod_try(&m->store, "uid-b", bad, 1, &other), ERROR_INVALID, "\"not-an-ip\" is not an IP address");
        check_ok(pod_try(&m->store, "uid-b", udp, 1, &other));
        check_ok(net_detach(&m->store, a.uid));
        check_ok(pod_try(&m->store, "uid-c", one, 1, &other));
}

MACHINE_TEST(udp_clients_follow_a_host_port_to_its_next_pod) {
        static const struct net_port ports[] = { { "UDP", 53, 53, NULL } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1), b;
        struct sockaddr_storage to;
        int own = netns_own();
        char buf[64];

        server(a.netns, UDP, 53);
        netns_enter(m->outside);
        int client = socket(AF_INET, SOCK_DGRAM, 0); /* one client, one source port: one connection to the kernel */
        socklen_t len = endpoint("192.0.2.2", 53, &to);
        check(connect(client, (struct sockaddr *)&to, len) == 0);
        netns_enter(own);
        check(send(client, "?", 1, 0) == 1 && recv(client, buf, sizeof(buf), 0) > 0);
        check_ok(net_detach(&m->store, "uid-a"));
        b = pod_new(&m->store, "uid-b", ports, 1);
        server(b.netns, UDP, 53);
        struct pollfd p = { .fd = client, .events = POLLIN };
        check(send(client, "?", 1, 0) == 1 && poll(&p, 1, 3000) > 0 && recv(client, buf, sizeof(buf), 0) > 0);
}

MACHINE_TEST(every_protocol_keeps_to_the_address_it_was_given) {
        static const struct net_port ports[] = { { "SCTP", CONTAINER_PORT, HOST_PORT, "192.0.2.2" },
                                                 { "UDP", CONTAINER_PORT, HOST_PORT, "2001:db8::2" },
                                                 { "TCP", CONTAINER_PORT, HOST_PORT, "127.0.0.1" } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, ARRAY_SIZE(ports)),
                           b = pod_new(&m->store, "uid-b", NULL, 0);

        server(a.netns, TCP, CONTAINER_PORT);
        server(a.netns, UDP, CONTAINER_PORT);
        check_text(seen_by(&a, SCTP, m->outside, "192.0.2.2"), "192.0.2.1");
        check_text(seen_by(&a, SCTP, b.netns, "192.0.2.2"), a.net.gateway4);
        check_text(seen_by(&a, SCTP, -1, "192.0.2.2"), "192.0.2.2");
        check_text(seen_by(&a, UDP, m->outside, "2001:db8::2"), "2001:db8::1");
        check_text(seen_by(&a, UDP, a.netns, "2001:db8::2"), a.net.gateway6);
        check_text(seen_by(&a, TCP, -1, "127.0.0.1"), a.net.gateway4);
        check_text(ask(-1, TCP, "192.0.2.2", HOST_PORT), "refused");
        check_text(ask(m->outside, UDP, "192.0.2.2", HOST_PORT), "refused");
}

static void ask_for_resolver(const struct store *store, bool on) {
        _cleanup_free_ char *path = path_join(store->root, "config.yaml");
        const char *text = on ? "resolver: true\n" : "resolver: false\n";
        check_ok(file_replace(path, text, strlen(text), 0600, 0));
}

MACHINE_TEST(port_53_of_the_bridge_is_the_resolvers_while_there_is_one) {
        static const struct net_port all[] = { { "TCP", 53, 53, NULL } };
        char bridge[IFNAMSIZ], table[32];

        net_names(&m->store, bridge, table);
        check_ok(net_keep_resolver_port(&m->store, true)); /* before the first pod there is nothing to keep */
        struct pod_fixture a = pod_new(&m->store, "uid-a", all, 1), b = pod_new(&m->store, "uid-b", NULL, 0), c;
        server(a.netns, TCP, 53);
        const char *gateway = a.net.gateway4;
        const struct net_port one[] = { { "TCP", 53, 53, gateway } }, other[] = { { "TCP", 53, 5353, gateway } };

        check_text(ask(b.netns, TCP, gateway, 53), gateway);
        for (unsigned i = 0; i < 2; i++) { /* twice each is once */
                check_ok(net_keep_resolver_port(&m->store, true));
                check_ok(net_keep_resolver_port(&m->store, true));
                check_text(ask(b.netns, TCP, gateway, 53), "refused"); /* it is the machine's own */
                check_text(ask(b.netns, TCP, a.net.gateway6, 53), "refused");
                check_text(ask(m->outside, TCP, "192.0.2.2", 53), "192.0.2.1");
                check_ok(net_keep_resolver_port(&m->store, false));
                check_ok(net_keep_resolver_port(&m->store, false));
                check_text(ask(b.netns, TCP, gateway, 53), gateway);
        }
        check_ok(net_detach(&m->store, "uid-a"));

        ask_for_resolver(&m->store, true);
        check_error(pod_try(&m->store, "uid-c", one, 1, &c), ERROR_CONFLICT,
                    "network: host port 53: this port of the bridge's own address is the resolver's");
        check_ok(pod_try(&m->store, "uid-d", other, 1, &c));
        /* A pod that has it already keeps it, also in a table that is made anew. */
        ask_for_resolver(&m->store, false);
        check_ok(pod_try(&m->store, "uid-e", one, 1, &c));
        server(c.netns, TCP, 53);
        ask_for_resolver(&m->store, true);
        check_error(net_keep_resolver_port(&m->store, true), ERROR_CONFLICT, "is the host port of a pod");
        SHELL("nft delete table inet %s", table);
        check_ok(net_repair(&m->store));
        check_text(ask(b.netns, TCP, gateway, 53), gateway);
}
