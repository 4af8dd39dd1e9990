#include "net/net.h"

#include "base/str.h"
#include "fixture.h"

#define TCP SOCK_STREAM
#define UDP SOCK_DGRAM

MACHINE_TEST(a_pod_gets_addresses_and_routes_at_once) {
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0);
        const char *text;

        check(*a.net.ip4 && *a.net.ip6);
        check_text(a.net.ifname, "eth0");
        check(a.net.mtu == 1400); /* of the machine's way out */
        text = shell_in(a.netns, "ip -o addr show dev eth0; ip -4 route; ip -6 route; ip link show eth0");
        check(strstr(text, a.net.ip4) && strstr(text, a.net.ip6));
        check(strstr(text, "mtu 1400"));
        /* The link's own address, which the kernel makes, is checked by a worker of its a moment later. */
        check(!strstr(shell_in(a.netns, "ip -o -6 addr show dev eth0 scope global"), "tentative"));
        text = shell_in(a.netns, "ip -4 route; ip -6 route");
        check(strstr(text, xasprintf("default via %s dev eth0", a.net.gateway4)));
        check(strstr(text, xasprintf("default via %s dev eth0", a.net.gateway6)));
        text = shell_in(a.netns, "ip link show eth0; ip -o addr show lo");
        check(strstr(text, a.net.mac) && strstr(text, "127.0.0.1/8") && strstr(text, "::1/128"));

        struct net_result again;
        struct net_request request = { "default/a", NULL, 0 };
        check_ok(net_attach(&m->store, "uid-a", a.netns, &request, &again));
        check(memcmp(&again, &a.net, sizeof(again)) == 0);
        check_ok(net_read(&m->store, "uid-a", &again));
        check(memcmp(&again, &a.net, sizeof(again)) == 0);
        check_error(net_read(&m->store, "uid-b", &again), ERROR_NOT_FOUND, "uid-b");
}

MACHINE_TEST(pods_reach_each_other_as_themselves_and_the_outside_as_the_node) {
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0), b = pod_new(&m->store, "uid-b", NULL, 0);

        check(strcmp(a.net.ip4, b.net.ip4) != 0 && strcmp(a.net.mac, b.net.mac) != 0);
        server(b.netns, TCP, 80);
        server(m->outside, TCP, 80);
        server(m->outside, UDP, 53);
        check_text(ask(a.netns, TCP, b.net.ip4, 80), a.net.ip4);
        check_text(ask(a.netns, TCP, b.net.ip6, 80), a.net.ip6);
        check_text(ask(b.netns, TCP, b.net.ip4, 80), b.net.ip4);
        check_text(ask(-1, TCP, b.net.ip4, 80), b.net.gateway4);
        check_text(ask(a.netns, TCP, "192.0.2.1", 80), "192.0.2.2");
        check_text(ask(a.netns, UDP, "192.0.2.1", 53), "192.0.2.2");
        check_text(ask(a.netns, TCP, "2001:db8::1", 80), "2001:db8::2");
}

MACHINE_TEST(pods_cannot_reach_services_on_the_nodes_loopback) {
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0);

        server(-1, TCP, 10250);
        check_text(ask(a.netns, TCP, a.net.gateway4, 10250), a.net.ip4);
        shell_in(a.netns,
                 "ip addr del 127.0.0.1/8 dev lo; echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet; "
                 "ip route add 127.0.0.1 via %s src %s",
                 a.net.gateway4, a.net.ip4);
        check_text(ask_within(a.netns, TCP, "127.0.0.1", 10250, 500), "timeout");
}

MACHINE_TEST(the_last_pod_of_a_node_takes_everything_with_it) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1), b = pod_new(&m->store, "uid-b", NULL, 0);
        char bridge[IFNAMSIZ], table[32];

        net_names(&m->store, bridge, table);
        check(if_nametoindex(bridge));
        check(strstr(shell_text("nft list tables"), table));
        check_ok(net_detach(&m->store, a.uid));
        check(if_nametoindex(bridge));
        close(b.netns); /* the namespace goes, and with it the link, before anybody detaches */
        for (unsigned i = 0; i < 2000 && if_nametoindex(b.net.host_ifname); i++)
                usleep(1000);
        check(!if_nametoindex(b.net.host_ifname));
        check_ok(net_detach(&m->store, b.uid));
        check_ok(net_detach(&m->store, b.uid));
        check_ok(net_detach(&m->store, "never-there"));
        check_text(links(-1), "lo up0 ");
        check_text(shell_text("nft list ruleset"), "");
        check_text(shell_text("ls %s/net/pods", m->store.run), "");

        struct pod_fixture again = pod_new(&m->store, "uid-a", ports, 1);
        server(again.netns, TCP, 80);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");
}

MACHINE_TEST(the_default_node_keeps_its_bridge) {
        struct store store = m->store;

        store.is_default = true;
        pod_new(&store, "uid-a", NULL, 0);
        check_ok(net_detach(&store, "uid-a"));
        check(if_nametoindex("husk0"));
        check_text(shell_text("nft list tables"), "table inet husk\n");
        check(strstr(shell_text("cat %s/net.json", store.root), "\"10.85.0.0/22\""));
}

MACHINE_TEST(what_dead_pods_had_is_taken_back) {
        static const struct net_port ports[] = { { "UDP", 53, 53, NULL } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1), b;
        struct net_result result;
        _cleanup_free_ char *folder = store_pod_run_folder(&m->store, "uid-a");

        check(rmdir(folder) == 0);
        check_ok(pod_try(&m->store, "uid-b", ports, 1, &b));
        check_error(net_read(&m->store, "uid-a", &result), ERROR_NOT_FOUND, "uid-a");
        check(!if_nametoindex(a.net.host_ifname));
}

MACHINE_TEST(a_new_sandbox_of_a_pod_replaces_the_old_one) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        struct pod_fixture old = pod_new(&m->store, "uid-a", ports, 1), new = pod_new(&m->store, "uid-a", ports, 1);

        check(strcmp(old.net.ip4, new.net.ip4) != 0); /* an address rests before it is used again */
        check_text(links(old.netns), "lo ");
        server(new.netns, TCP, 80);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");
}

MACHINE_TEST(a_full_range_is_a_clear_error_and_a_freed_address_is_found) {
        static const char text[] = "{\"ipv4\": \"10.1.2.0/29\", \"ipv6\": null}";
        _cleanup_free_ char *path = path_join(m->store.root, "net.json");
        struct pod_fixture pod, third;
        char uid[16];

        check_ok(file_replace(path, text, strlen(text), 0600, 0));
        for (unsigned i = 2; i <= 6; i++) {
                snprintf(uid, sizeof(uid), "uid-%u", i);
                pod = pod_new(&m->store, uid, NULL, 0);
                check_text(pod.net.ip4, xasprintf("10.1.2.%u", i));
                check_text(pod.net.ip6, "");
        }
        check_error(pod_try(&m->store, "uid-x", NULL, 0, &pod), ERROR_EXHAUSTED,
                    "network: all addresses of the pods' range 10.1.2.0/29 are in use (5 pods)");
        check_ok(net_detach(&m->store, "uid-4"));
        third = pod_new(&m->store, "uid-y", NULL, 0);
        check_text(third.net.ip4, "10.1.2.4");
}

MACHINE_TEST(links_take_what_the_file_says) {
        static const char small[] = "{\"ipv4\": \"10.1.2.0/24\", \"ipv6\": null, \"mtu\": 1300}",
                          large[] = "{\"ipv4\": \"10.1.2.0/24\", \"ipv6\": null, \"mtu\": 9000}",
                          tiny[] = "{\"ipv4\": \"10.1.2.0/24\", \"mtu\": 68}";
        _cleanup_free_ char *path = path_join(m->store.root, "net.json");
        struct pod_fixture a, b;

        check_ok(file_replace(path, tiny, strlen(tiny), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &a), ERROR_INVALID,
                    "net.json: \"mtu\" must be a number from 1280 to 65535");
        check_ok(file_replace(path, small, strlen(small), 0600, 0));
        a = pod_new(&m->store, "uid-a", NULL, 0);
        check(a.net.mtu == 1300);
        check(strstr(shell_in(a.netns, "ip link show eth0"), "mtu 1300"));
        check(strstr(shell_text("ip link show %s", a.net.host_ifname), "mtu 1300"));
        check_ok(file_replace(path, large, strlen(large), 0600, 0));
        b = pod_new(&m->store, "uid-b", NULL, 0);
        check(strstr(shell_in(b.netns, "ip link show eth0"), "mtu 9000"));
        check(strstr(shell_in(a.netns, "ip link show eth0"), "mtu 1300")); /* as it was when it began */
        server(a.netns, SOCK_STREAM, 80);
        check_text(ask(b.netns, SOCK_STREAM, a.net.ip4, 80), b.net.ip4);
}

MACHINE_TEST(the_bridge_has_the_name_that_the_file_gives) {
        static const char named[] = "{\"bridge\": \"pods0\", \"ipv6\": null}",
                          other[] = "{\"bridge\": \"pods1\", \"ipv6\": null}",
                          taken[] = "{\"bridge\": \"lo\", \"ipv6\": null}", odd[] = "{\"bridge\": \"a b\"}",
                          slip[] = "{\"brige\": \"pods0\"}";
        _cleanup_free_ char *path = path_join(m->store.root, "net.json");
        struct pod_fixture a, b;

        check_ok(file_replace(path, odd, strlen(odd), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &a), ERROR_INVALID, "\"bridge\" must be a name");
        check_ok(file_replace(path, slip, strlen(slip), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &a), ERROR_INVALID, "net.json: unknown field \"brige\"");
        check_ok(file_replace(path, taken, strlen(taken), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &a), ERROR_CONFLICT, "an interface lo already");
        check_ok(file_replace(path, named, strlen(named), 0600, 0));
        a = pod_new(&m->store, "uid-a", NULL, 0);
        check(strstr(shell_text("ip link show %s", a.net.host_ifname), "master pods0"));
        server(a.netns, SOCK_STREAM, 80);
        b = pod_new(&m->store, "uid-b", NULL, 0);
        check_text(ask(b.netns, SOCK_STREAM, a.net.ip4, 80), b.net.ip4);
        check_ok(file_replace(path, other, strlen(other), 0600, 0));
        check_error(pod_try(&m->store, "uid-c", NULL, 0, &b), ERROR_CONFLICT, "pods are on pods0: delete them first");
        check_ok(net_detach(&m->store, "uid-a"));
        check_ok(net_detach(&m->store, "uid-b"));
        check_text(links(-1), "lo up0 ");
        b = pod_new(&m->store, "uid-c", NULL, 0);
        check(strstr(shell_text("ip link show %s", b.net.host_ifname), "master pods1"));
}

MACHINE_TEST(nodes_on_one_machine_keep_apart) {
        struct store other;
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0), b;

        machine_store(m, "b", &other);
        b = pod_new(&other, "uid-a", NULL, 0); /* even with the same uid */
        check(strncmp(a.net.ip4, b.net.ip4, strlen(a.net.ip4) - 1) != 0);
        server(b.netns, TCP, 80);
        check_text(ask(a.netns, TCP, b.net.ip4, 80), b.net.gateway4);
        check_ok(net_detach(&m->store, "uid-a"));
        check_text(ask(-1, TCP, b.net.ip4, 80), b.net.gateway4);
}

MACHINE_TEST(a_range_somebody_chose_is_not_exchanged) {
        static const char taken[] = "{\"ipv4\": \"192.0.2.0/25\"}", odd[] = "{\"ipv4\": \"10.0.0.1/24\"}",
                          none[] = "{\"ipv6\": \"fd12:3456:789a:1::/64\"}", torn[] = "{\"ipv4\"";
        _cleanup_free_ char *path = path_join(m->store.root, "net.json");
        struct pod_fixture pod;

        check_ok(file_replace(path, taken, strlen(taken), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &pod), ERROR_CONFLICT,
                    "net.json: the range 192.0.2.0/25 is in use on this machine");
        check_ok(file_replace(path, odd, strlen(odd), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &pod), ERROR_INVALID,
                    "net.json: \"ipv4\" must be a range as \"10.85.0.0/24\"");
        check_ok(file_replace(path, none, strlen(none), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &pod), ERROR_INVALID, "\"ipv4\" is missing");
        check_ok(file_replace(path, torn, strlen(torn), 0600, 0));
        check_error(pod_try(&m->store, "uid-a", NULL, 0, &pod), ERROR_INVALID, "net.json:1:");
        check_text(links(-1), "lo up0 ");
}

MACHINE_TEST(a_range_husk_picked_moves_when_the_machine_needs_it) {
        struct pod_fixture before = pod_new(&m->store, "uid-a", NULL, 0), after;

        check_ok(net_detach(&m->store, "uid-a"));
        SHELL("ip route add blackhole %s/32", before.net.ip4);
        after = pod_new(&m->store, "uid-a", NULL, 0);
        check(strcmp(before.net.gateway4, after.net.gateway4) != 0);
        check_text(after.net.gateway6, before.net.gateway6);
}

MACHINE_TEST(bridge_and_table_that_somebody_removed_come_back) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1), b;
        char bridge[IFNAMSIZ], table[32];

        server(a.netns, TCP, 80);
        SHELL("nft flush ruleset");
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "refused");
        b = pod_new(&m->store, "uid-b", NULL, 0);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");

        net_names(&m->store, bridge, table);
        SHELL("ip link del %s", bridge);
        pod_new(&m->store, "uid-c", NULL, 0);
        check_text(ask(b.netns, TCP, a.net.ip4, 80), b.net.ip4);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");

        /* Elements somebody took away do not keep the pod from being removed. */
        SHELL("nft flush map inet %s ports4", table);
        check_ok(net_detach(&m->store, "uid-a"));
        check(!strstr(shell_text("nft list ruleset"), ". 80 :"));
}

MACHINE_TEST(what_somebody_flushed_is_repaired_when_that_is_asked_for) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        int watch;

        check_ok(net_repair(&m->store)); /* without pods there is nothing to do */
        check_text(links(-1), "lo up0 ");
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1);
        server(a.netns, TCP, 80);
        check_ok(net_watch_open(&watch));
        SHELL("nft add table inet other");
        check(!net_watch_read(watch, &m->store));
        SHELL("nft flush ruleset");
        check(net_watch_read(watch, &m->store));
        check_error(net_check(&m->store, "uid-a"), ERROR_CONFLICT, "is gone: host ports and the way out do not work");
        check_ok(net_repair(&m->store));
        check_ok(net_check(&m->store, "uid-a"));
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");
        check(!strstr(shell_text("nft list tables"), "other")); /* others' tables are theirs */
}

static void docker_comes(void) {
        for (size_t i = 0; i < 2; i++) {
                const char *program = i ? "ip6tables" : "iptables";
                SHELL("%s -P FORWARD DROP; %s -N DOCKER-USER; %s -A DOCKER-USER -j RETURN; %s -A FORWARD -j "
                      "DOCKER-USER",
                      program, program, program, program);
        }
}

static size_t count_obstacles(const struct store *store) {
        _cleanup_strv_ char **list = NULL;
        check_ok(net_obstacles(store, &list));
        return strv_len(list);
}

static void reaches_all(struct machine *m, const struct pod_fixture *pod) {
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");
        check_text(ask(m->outside, TCP, "2001:db8::2", 80), "2001:db8::1");
        check_text(ask(pod->netns, TCP, "192.0.2.1", 81), "192.0.2.2");
        check_text(ask(pod->netns, TCP, "2001:db8::1", 81), "2001:db8::2");
}

MACHINE_TEST(beside_docker_pods_reach_and_are_reached) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        struct pod_fixture a, b;
        int watch;

        docker_comes();
        a = pod_new(&m->store, "uid-a", ports, 1);
        server(a.netns, TCP, 80);
        server(m->outside, TCP, 81);
        reaches_all(m, &a);
        check(count_obstacles(&m->store) == 0);
        /* Only what Docker would forward for its own: nobody comes in by the pods' addresses. */
        shell_in(m->outside, "ip route add %s via 192.0.2.2", a.net.ip4);
        check_text(ask_within(m->outside, TCP, a.net.ip4, 80, 500), "timeout");
        b = pod_new(&m->store, "uid-b", NULL, 0);
        check_text(ask(b.netns, TCP, a.net.ip4, 80), b.net.ip4);
        check(atoi(shell_text("iptables -S DOCKER-USER | grep -c -e '-i hk'")) == 1); /* once */
        /* Who made them was killed between the two, or somebody took one away: one is not both. */
        check_ok(net_watch_open(&watch));
        SHELL("iptables -D DOCKER-USER 1");
        check(net_watch_read(watch, &m->store));
        close(watch);
        check(atoi(shell_text("iptables -S DOCKER-USER | grep -c ' hk'")) == 1);
        check_ok(net_repair(&m->store));
        check(atoi(shell_text("iptables -S DOCKER-USER | grep -c ' hk'")) == 2);
        reaches_all(m, &a);
        SHELL("iptables -D FORWARD -j DOCKER-USER");
        check(count_obstacles(&m->store) == 1); /* nobody asks Docker's chain any more */
        SHELL("iptables -A FORWARD -j DOCKER-USER");
        check_ok(net_detach(&m->store, "uid-b"));
        check_ok(net_detach(&m->store, "uid-a"));
        check(!strstr(shell_text("iptables -S DOCKER-USER; ip6tables -S DOCKER-USER"), "hk"));

        /* It may come later. */
        SHELL("nft flush ruleset");
        a = pod_new(&m->store, "uid-a", ports, 1);
        server(a.netns, TCP, 80);
        check_ok(net_watch_open(&watch));
        docker_comes();
        check(net_watch_read(watch, &m->store));
        check_ok(net_repair(&m->store));
        reaches_all(m, &a);
}

/* Does what is advised: the lines that are indented. */
static void take_advice(const struct store *store) {
        _cleanup_strv_ char **list = NULL;
        check_ok(net_obstacles(store, &list));
        for (char **text = list; text && *text; text++) {
                char *save = NULL;
                for (char *line = strtok_r(*text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                        if (str_starts_with(line, "    "))
                                SHELL("%s", line);
        }
}

MACHINE_TEST(a_firewall_that_drops_is_told_of_with_what_would_help) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1);

        server(a.netns, TCP, 80);
        server(m->outside, TCP, 81);
        check(count_obstacles(&m->store) == 0);
        SHELL("nft 'add table inet fw; add chain inet fw forward { type filter hook forward priority 0; policy drop; "
              "}'");
        SHELL("iptables -P FORWARD DROP");
        check_text(ask_within(m->outside, TCP, "192.0.2.2", 80, 300), "timeout");
        check_text(ask_within(a.netns, TCP, "192.0.2.1", 81, 300), "timeout");
        check(count_obstacles(&m->store) == 2);
        pod_new(&m->store, "uid-b", NULL, 0);
        check(count_obstacles(&m->store) == 2); /* what somebody decided is not changed behind his back */
        take_advice(&m->store);
        check(count_obstacles(&m->store) == 0);
        reaches_all(m, &a);
}

MACHINE_TEST(a_firewall_that_drops_what_comes_in_is_told_of_where_pods_ask_the_resolver) {
        static const char config[] = "resolver: true\n";
        _cleanup_free_ char *path = path_join(m->store.root, "config.yaml");
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0);

        server(-1, UDP, 53);
        server(-1, TCP, 53);
        SHELL("nft 'add table inet fw; add chain inet fw input { type filter hook input priority 0; policy drop; }'");
        SHELL("iptables -P INPUT DROP");
        check(count_obstacles(&m->store) == 0); /* what pods may ask of the machine is not husk's to say */
        check_ok(file_replace(path, config, strlen(config), 0600, 0));
        check(count_obstacles(&m->store) == 2);
        check_text(ask_within(a.netns, UDP, a.net.gateway4, 53, 300), "timeout");
        take_advice(&m->store);
        check(count_obstacles(&m->store) == 0);
        check_text(ask(a.netns, UDP, a.net.gateway4, 53), a.net.ip4);
        check_text(ask(a.netns, TCP, a.net.gateway4, 53), a.net.ip4);
}

MACHINE_TEST(a_lost_record_does_not_stand_in_the_way) {
        static const struct net_port ports[] = { { "TCP", 80, 80, NULL } };
        struct pod_fixture a = pod_new(&m->store, "uid-a", ports, 1), again;
        struct net_request request = { "default/a", ports, 1 };

        SHELL("rm -r %s/net", m->store.run);
        check_ok(net_attach(&m->store, "uid-a", a.netns, &request, &again.net));
        server(a.netns, TCP, 80);
        check_text(ask(m->outside, TCP, "192.0.2.2", 80), "192.0.2.1");
        SHELL("rm -r %s/net", m->store.run);
        check_ok(net_detach(&m->store, "uid-a"));
        check_text(links(-1), "lo up0 ");
        check_text(shell_text("nft list ruleset"), "");
}

MACHINE_TEST(a_damaged_record_does_not_stand_in_the_way) {
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0);

        SHELL("for f in %s/net/pods/*; do echo '{' > $f; done", m->store.run);
        check_ok(net_detach(&m->store, "uid-a"));
        check(!if_nametoindex(a.net.host_ifname));
        check_text(shell_text("ls %s/net/pods", m->store.run), "");
}

MACHINE_TEST(many_pods_at_once_all_get_their_own) {
        enum { PROCESSES = 6, PODS = 5 };
        int status;

        for (int p = 0; p < PROCESSES; p++)
                if (fork() == 0) {
                        for (int i = 0; i < PODS; i++) {
                                struct net_port port = { "TCP", 80, (uint16_t)(1000 + p * PODS + i), NULL };
                                char uid[32];
                                snprintf(uid, sizeof(uid), "uid-%d-%d", p, i);
                                struct pod_fixture pod = pod_new(&m->store, uid, &port, 1);
                                if (i % 2)
                                        check_ok(net_detach(&m->store, uid));
                                else
                                        fcntl(pod.netns, F_SETFD, 0);
                        }
                        _exit(0);
                }
        for (int p = 0; p < PROCESSES; p++)
                check(wait(&status) > 0 && status == 0);
        check_text(shell_text("cat %s/net/pods/* | grep '\"ipv4\"' | sort -u | wc -l", m->store.run), "18\n");
        char bridge[IFNAMSIZ], table[32];
        net_names(&m->store, bridge, table);
        check_text(shell_text("nft list map inet %s ports4 | grep -o ' : [0-9]' | wc -l", table), "18\n");
        for (int p = 0; p < PROCESSES; p++)
                for (int i = 0; i < PODS; i += 2)
                        check_ok(net_detach(&m->store, xasprintf("uid-%d-%d", p, i)));
        check_text(links(-1), "lo up0 ");
        check_text(shell_text("nft list ruleset"), "");
}

MACHINE_TEST(the_machine_forwards_and_goes_on_listening_to_its_routers) {
        SHELL("echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding; "
              "echo 1 > /proc/sys/net/ipv6/conf/up0/accept_ra");
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0);
        char bridge[IFNAMSIZ], table[32];

        net_names(&m->store, bridge, table);
        check(*a.net.ip4);
        check_text(shell_text("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding "
                              "/proc/sys/net/ipv6/conf/up0/accept_ra"),
                   "1\n1\n2\n");
        check_text(shell_text("cat /proc/sys/net/ipv6/conf/%s/accept_ra", bridge), "0\n");
        check(strstr(shell_text("cat %s/net/changed", m->store.run), "/proc/sys/net/ipv4/ip_forward: 0 -> 1\n"));
}

MACHINE_TEST(without_ipv6_there_is_ipv4) {
        SHELL("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
        struct pod_fixture a = pod_new(&m->store, "uid-a", NULL, 0), other;
        static const struct net_port six[] = { { "TCP", 80, 80, "2001:db8::2" } };
        struct net_node node;

        check_text(a.net.ip6, "");
        /* No link-local address either: what it announces would go to every pod on the bridge. */
        check_text(shell_in(a.netns, "sleep 0.1; ip -o -6 addr show dev eth0"), "");
        server(a.netns, TCP, 80);
        check_text(ask(-1, TCP, a.net.ip4, 80), a.net.gateway4);
        check_error(pod_try(&m->store, "uid-b", six, 1, &other), ERROR_NOT_SUPPORTED, "hostIP is an IPv6 address");
        check_ok(net_node_addresses(&node));
        check_text(node.ip4, "192.0.2.2");
        check_text(node.ip6, "");
}

MACHINE_TEST(pods_have_ipv6_where_the_machine_itself_has_it_or_it_is_asked_for) {
        static const char on[] = "{\"ipv6\": true}", chosen[] = "{\"ipv4\": \"10.1.2.0/24\", \"ipv6\": true}",
                          off[] = "{\"ipv6\": null}";
        struct store asked, kept, without;
        struct pod_fixture pod;

        machine_store(m, "b", &asked);
        machine_store(m, "c", &kept);
        machine_store(m, "d", &without);
        SHELL("ip -6 route del default");
        pod = pod_new(&m->store, "uid-a", NULL, 0);
        check(*pod.net.ip4);
        check_text(pod.net.ip6, "");

        _cleanup_free_ char *asked_path = path_join(asked.root, "net.json"),
                            *kept_path = path_join(kept.root, "net.json"),
                            *without_path = path_join(without.root, "net.json");
        check_ok(file_replace(asked_path, on, strlen(on), 0600, 0));
        pod = pod_new(&asked, "uid-a", NULL, 0);
        check(*pod.net.ip4 && *pod.net.ip6);
        check(strstr(shell_text("cat %s", asked_path), "\"picked\": true"));

        check_ok(file_replace(kept_path, chosen, strlen(chosen), 0600, 0));
        pod = pod_new(&kept, "uid-a", NULL, 0);
        check_text(pod.net.ip4, "10.1.2.2");
        check(*pod.net.ip6);
        check(strstr(shell_text("cat %s", kept_path), "\"picked\": false"));

        /* A unique local address is none that the world knows. */
        SHELL("ip -6 addr flush dev up0; ip -6 addr add fd00::2/64 dev up0 nodad; ip -6 route add default dev up0");
        struct store local;
        machine_store(m, "e", &local);
        pod = pod_new(&local, "uid-a", NULL, 0);
        check_text(pod.net.ip6, "");

        SHELL("ip -6 addr add 2001:db8::2/64 dev up0 nodad");
        check_ok(file_replace(without_path, off, strlen(off), 0600, 0));
        pod = pod_new(&without, "uid-a", NULL, 0);
        check_text(pod.net.ip6, "");
        check(strstr(shell_text("cat %s", without_path), "\"ipv6\": null"));

        check_ok(net_detach(&m->store, "uid-a"));
        pod = pod_new(&m->store, "uid-b", NULL, 0); /* the network is made anew: by now there is a way out */
        check(*pod.net.ip6);
}

MACHINE_TEST(the_nodes_addresses_are_those_it_sends_from) {
        struct net_node node;

        pod_new(&m->store, "uid-a", NULL, 0);
        check_ok(net_node_addresses(&node));
        check_text(node.ip4, "192.0.2.2");
        check_text(node.ip6, "2001:db8::2");
        SHELL("ip -6 route del default");
        check_ok(net_node_addresses(&node));
        check_text(node.ip4, "192.0.2.2");
        check_text(node.ip6, "");
        SHELL("ip route del default");
        check_ok(net_node_addresses(&node));
        check_text(node.ip4, "192.0.2.2");
        check_text(node.ip6, "2001:db8::2");
        SHELL("ip addr flush dev up0");
        check_ok(net_node_addresses(&node));
        check_text(node.ip4, "127.0.0.1");
        check_text(node.ip6, "");
}

MACHINE_TEST(what_goes_wrong_in_the_pods_namespace_is_undone) {
        struct net_result result;
        struct net_request request = { "default/a", NULL, 0 };
        int netns = netns_new();

        pod_folder_make(&m->store, "uid-a");
        shell_in(netns, "ip link add eth0 type veth peer name x");
        check_error(net_attach(&m->store, "uid-a", netns, &request, &result), ERROR_ALREADY_EXISTS,
                    "network: create interface");
        check_text(links(-1), "lo up0 ");
        int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        check_error(net_attach(&m->store, "uid-a", file, &request, &result), ERROR_INTERNAL,
                    "enter the pod's network namespace");
        check_text(shell_text("ls %s/net/pods", m->store.run), "");
}
