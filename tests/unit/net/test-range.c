#include "net/range.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "net/inventory.h"
#include "test.h"

static struct net_range range(const char *text) {
        struct net_range r;
        if (!range_parse(text, &r))
                fail_msg("%s is no range", text);
        return r;
}

TEST(ranges_are_parsed_strictly) {
        static const char *const good[] = { "10.85.0.0/24", "0.0.0.0/0", "192.168.1.1/32", "fd12:3456:789a:1::/64",
                                            "::/0" };
        static const char *const bad[] = { "",
                                           "/",
                                           "10.85.0.0",
                                           "10.85.0.0/",
                                           "10.85.0.0/33",
                                           "10.85.0.1/24",
                                           "10.85.0/24",
                                           "10.85.0.0/24 ",
                                           "10.85.0.0/-1",
                                           "10.85.0.0/024x",
                                           "fd00::1/64",
                                           "fd00::/129",
                                           "g::/8",
                                           "1111111111111111111111111111111111111111111111111/8" };
        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                struct net_range r = range(good[i]);
                char text[64];
                range_format(&r, text, sizeof(text));
                assert_string_equal(text, good[i]);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct net_range r;
                assert_false(range_parse(bad[i], &r));
        }
}

TEST(overlap_is_containment_in_either_direction) {
        static const struct {
                const char *a, *b;
                bool overlap;
        } rows[] = { { "10.85.0.0/24", "10.85.0.0/24", true },   { "10.85.0.0/24", "10.0.0.0/8", true },
                     { "10.0.0.0/8", "10.85.3.0/24", true },     { "10.85.0.0/24", "10.85.1.0/24", false },
                     { "10.85.0.0/24", "fd00::/8", false },      { "fd00::/8", "fd12::/64", true },
                     { "10.85.0.128/25", "10.85.0.0/25", false } };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct net_range a = range(rows[i].a), b = range(rows[i].b);
                assert_int_equal(range_overlaps(&a, &b), rows[i].overlap);
                assert_int_equal(range_overlaps(&b, &a), rows[i].overlap);
        }
}

TEST(a_number_is_the_same_place_in_both_ranges) {
        struct net_ranges r = { range("10.85.4.0/22"), range("fd12::/64"), false, false };
        char text[64];
        struct net_address a = range_address(&r.ip4, 258);
        address_format(&a, text, sizeof(text));
        assert_string_equal(text, "10.85.5.2");
        a = range_address(&r.ip6, 258);
        address_format(&a, text, sizeof(text));
        assert_string_equal(text, "fd12::102");
        assert_int_equal(ranges_last_number(&r), 1022);
        r.ip6 = range("fd12::/120");
        assert_int_equal(ranges_last_number(&r), 254);
}

static struct lease_port port(uint8_t protocol, uint16_t host_port, const char *ip) {
        struct lease_port p = { protocol, 1, host_port, { 0 } };
        if (*ip) {
                p.host_ip.family = strchr(ip, ':') ? AF_INET6 : AF_INET;
                inet_pton(p.host_ip.family, ip, p.host_ip.bytes);
        }
        return p;
}

TEST(ports_conflict_as_kubernetes_counts) {
        static const struct {
                uint8_t protocol_a;
                uint16_t port_a;
                const char *ip_a;
                uint8_t protocol_b;
                uint16_t port_b;
                const char *ip_b;
                bool conflict;
        } rows[] = {
                { IPPROTO_TCP, 80, "", IPPROTO_TCP, 80, "", true },
                { IPPROTO_TCP, 80, "", IPPROTO_TCP, 80, "127.0.0.1", true },
                { IPPROTO_TCP, 80, "192.0.2.1", IPPROTO_TCP, 80, "127.0.0.1", false },
                { IPPROTO_TCP, 80, "127.0.0.1", IPPROTO_TCP, 80, "127.0.0.1", true },
                { IPPROTO_TCP, 80, "::1", IPPROTO_TCP, 80, "127.0.0.1", false },
                { IPPROTO_TCP, 80, "", IPPROTO_UDP, 80, "", false },
                { IPPROTO_TCP, 80, "", IPPROTO_TCP, 81, "", false },
        };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct lease_port a = port(rows[i].protocol_a, rows[i].port_a, rows[i].ip_a);
                struct lease_port b = port(rows[i].protocol_b, rows[i].port_b, rows[i].ip_b);
                assert_int_equal(lease_ports_conflict(&a, &b), rows[i].conflict);
                assert_int_equal(lease_ports_conflict(&b, &a), rows[i].conflict);
        }
}

TEST(protocols_are_kubernetes_three) {
        assert_int_equal(protocol_parse("TCP"), IPPROTO_TCP);
        assert_int_equal(protocol_parse("UDP"), IPPROTO_UDP);
        assert_int_equal(protocol_parse("SCTP"), IPPROTO_SCTP);
        assert_int_equal(protocol_parse(NULL), IPPROTO_TCP);
        assert_int_equal(protocol_parse("tcp"), 0);
        assert_string_equal(protocol_string(IPPROTO_SCTP), "SCTP");
}

TEST(a_lease_comes_back_as_it_was_written) {
        char folder[] = "/tmp/husk-test-net-XXXXXX";
        assert_non_null(mkdtemp(folder));
        struct store store = { .root = folder, .run = folder };
        struct lease_port ports[] = { port(IPPROTO_TCP, 80, ""), port(IPPROTO_SCTP, 9, "fd00::1") };
        struct net_range ip4 = range("10.85.0.0/24");
        struct lease lease = { .number = 7,
                               .uid = (char *)"uid-with-dashes",
                               .pod_name = (char *)"default/w\"eb",
                               .ip4 = range_address(&ip4, 7),
                               .gateway4 = range_address(&ip4, 1),
                               .mac = { 1, 2, 3, 0xaa, 0xbb, 0xff },
                               .host_ifname = "hkv0",
                               .mtu = 1400,
                               .netns = 4026531840,
                               .attached = true,
                               .ports = ports,
                               .n_ports = 2 };
        _cleanup_lease_list_ struct lease_list list = { 0 };
        _cleanup_lease_ struct lease read = { 0 };

        assert_ok(lease_write(&store, &lease));
        assert_ok(lease_list_read(&store, &list));
        assert_int_equal(list.n, 1);
        const struct lease_name *name = lease_list_find(&list, "uid-with-dashes");
        assert_non_null(name);
        assert_int_equal(name->number, 7);
        assert_ok(lease_read(&store, name, &read));
        assert_string_equal(read.pod_name, lease.pod_name);
        assert_memory_equal(&read.ip4, &lease.ip4, sizeof(lease.ip4));
        assert_int_equal(read.ip6.family, AF_UNSPEC);
        assert_memory_equal(read.mac, lease.mac, 6);
        assert_int_equal(read.netns, lease.netns);
        assert_true(read.attached);
        assert_int_equal(read.n_ports, 2);
        assert_memory_equal(read.ports, ports, sizeof(ports));
        assert_ok(lease_remove(&store, name));
        assert_ok(lease_remove(&store, name));
        assert_ok(remove_tree(folder));
}
