#include "sandbox/hosts.h"

#include <sys/utsname.h>

#include "base/str.h"
#include "fixture.h"

#define POD(spec) "{'metadata':{'name':'web','namespace':'shop','uid':'u1'},'spec':{" spec "}}"

static const char ips[][40] = { "10.85.0.7", "fd12::7" };
static char *pod_ips[] = { (char *)ips[0], (char *)ips[1], NULL };

static char *temporary_file(struct node *node, const char *name, const char *text) {
        char *path = path_join(node->folder, name);
        assert_ok(file_replace(path, text, strlen(text), 0600, 0));
        return path;
}

static void assert_hosts(const char *pod, const char *wanted) {
        struct api_arena *arena = api_arena_new();
        struct hosts_config config = { .pod = pod_of(arena, pod), .pod_ips = pod_ips };
        _cleanup_free_ char *text = NULL;
        assert_ok(hosts_text(&config, &text));
        assert_string_equal(text, wanted);
        api_arena_free(arena);
}

#define HEAD \
        "# Kubernetes-managed hosts file.\n" \
        "127.0.0.1\tlocalhost\n" \
        "::1\tlocalhost ip6-localhost ip6-loopback\n" \
        "fe00::0\tip6-localnet\n" \
        "fe00::0\tip6-mcastprefix\n" \
        "fe00::1\tip6-allnodes\n" \
        "fe00::2\tip6-allrouters\n"

TEST(the_hosts_file_has_kubernetes_layout) {
        assert_hosts(POD(""), HEAD "10.85.0.7\tweb\nfd12::7\tweb\n");
        assert_hosts(POD("'hostname':'custom'"), HEAD "10.85.0.7\tcustom\nfd12::7\tcustom\n");
        assert_hosts(POD("'hostname':'a','subdomain':'sub'"), HEAD "10.85.0.7\ta.sub.shop.svc.cluster.local\ta\n"
                                                                   "fd12::7\ta.sub.shop.svc.cluster.local\ta\n");
        assert_hosts(POD("'subdomain':'sub'"), HEAD "10.85.0.7\tweb.sub.shop.svc.cluster.local\tweb\n"
                                                    "fd12::7\tweb.sub.shop.svc.cluster.local\tweb\n");
        assert_hosts(POD("'hostAliases':[{'ip':'192.0.2.10','hostnames':['foo.local','bar.local']},"
                         "{'ip':'192.0.2.11','hostnames':['baz']}]"),
                     HEAD "10.85.0.7\tweb\nfd12::7\tweb\n\n# Entries added by HostAliases.\n"
                          "192.0.2.10\tfoo.local\tbar.local\n192.0.2.11\tbaz\n");
}

TEST(a_host_network_pod_has_the_nodes_hosts_file) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_free_ char *file = temporary_file(&node, "hosts", "127.0.0.1 localhost\n192.0.2.1 db\n"), *text = NULL;
        struct hosts_config config = { .pod = pod_of(arena,
                                                     POD("'hostNetwork':true,'hostname':'x','hostAliases':[{'ip':"
                                                         "'192.0.2.11','hostnames':['baz']}]")),
                                       .pod_ips = pod_ips,
                                       .node_hosts = file };
        assert_ok(hosts_text(&config, &text));
        assert_string_equal(text, "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n192.0.2.1 db\n"
                                  "\n# Entries added by HostAliases.\n192.0.2.11\tbaz\n");
        free(TAKE_PTR(text));
        struct utsname names;
        uname(&names);
        _cleanup_free_ char *wanted = xasprintf("%s\n", names.nodename);
        assert_ok(hostname_text(&config, &text));
        assert_string_equal(text, wanted);
        api_arena_free(arena);
}

static void assert_hostname(const char *pod, const char *hostname, const char *domain, const char *kernel) {
        struct api_arena *arena = api_arena_new();
        struct pod_hostname h;
        assert_ok(pod_hostname_of(pod_of(arena, pod), NULL, &h));
        assert_string_equal(h.hostname, hostname);
        assert_string_equal(h.domain, domain);
        assert_string_equal(h.kernel, kernel);
        pod_hostname_release(&h);
        api_arena_free(arena);
}

TEST(the_hostname_follows_kubernetes_rules) {
        assert_hostname(POD(""), "web", "", "web");
        assert_hostname(POD("'hostname':'a'"), "a", "", "a");
        assert_hostname(POD("'hostname':'a','subdomain':'s'"), "a", "s.shop.svc.cluster.local", "a");
        assert_hostname(POD("'hostname':'a','subdomain':'s','setHostnameAsFQDN':true"), "a", "s.shop.svc.cluster.local",
                        "a.s.shop.svc.cluster.local");
        assert_hostname(POD("'setHostnameAsFQDN':true"), "web", "", "web");
        assert_hostname(POD("'hostnameOverride':'db.example','subdomain':'s'"), "db.example", "", "db.example");
        /* 63 bytes, and no separator left at the end of what was cut. */
        assert_hostname("{'metadata':{'name':'a23456789-123456789-123456789-123456789-123456789-123456789-1-.tail',"
                        "'namespace':'d'},'spec':{}}",
                        "a23456789-123456789-123456789-123456789-123456789-123456789-1", "",
                        "a23456789-123456789-123456789-123456789-123456789-123456789-1");
}

TEST(a_hostname_longer_than_the_kernel_takes_is_refused) {
        struct api_arena *arena = api_arena_new();
        struct pod_hostname h;
        assert_error(pod_hostname_of(pod_of(arena, POD("'hostname':'a-rather-long-hostname-for-a-pod','subdomain':"
                                                       "'and-a-subdomain','setHostnameAsFQDN':true")),
                                     NULL, &h),
                     ERROR_INVALID, "is too long (64 characters is the max, 71 characters requested)");
        api_arena_free(arena);
}

static void assert_resolv(struct node *node, const char *pod, char *const *dns, const char *node_text,
                          const char *wanted, const char *warning) {
        struct api_arena *arena = api_arena_new();
        _cleanup_free_ char *file = temporary_file(node, "resolv.conf", node_text), *text = NULL;
        _cleanup_strv_ char **warnings = NULL;
        struct hosts_config config = { .pod = pod_of(arena, pod), .node_resolv = file, .cluster_dns = dns };
        assert_ok(resolv_conf_text(&config, &text, &warnings));
        assert_string_equal(text, wanted);
        assert_int_equal(strv_len(warnings), warning ? 1 : 0);
        if (warning)
                assert_string_equal(warnings[0], warning);
        api_arena_free(arena);
}

#define NODE_RESOLV \
        "# comment\n; another\nnameserver 192.0.2.53 \nnameserver 2001:db8::53\nsearch old.example\n" \
        "search corp.example. lab.example\noptions timeout:1 edns0\noptions timeout:2\nunknown line\nnameserver\n"

TEST(resolv_conf_is_the_nodes_for_default_and_without_cluster_dns) {
        _cleanup_node_ struct node node;
        node_make(&node);
        static const char wanted[] = "search corp.example lab.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
                                     "options timeout:2 edns0\n";
        assert_resolv(&node, POD("'dnsPolicy':'Default'"), NULL, NODE_RESOLV, wanted, NULL);
        assert_resolv(&node, POD("'dnsPolicy':'ClusterFirst'"), NULL, NODE_RESOLV, wanted, NULL);
        assert_resolv(&node, POD(""), NULL, NODE_RESOLV, wanted, NULL);
        assert_resolv(&node, POD("'dnsPolicy':'Default'"), NULL, "", "", NULL);
}

TEST(dns_config_adds_to_what_the_policy_gives) {
        _cleanup_node_ struct node node;
        node_make(&node);
        assert_resolv(
                &node,
                POD("'dnsPolicy':'Default','dnsConfig':{'searches':['extra.example','lab.example'],'nameservers':"
                    "['192.0.2.99'],'options':[{'name':'ndots','value':'7'},{'name':'timeout','value':'9'},{'name':"
                    "'edns0'}]}"),
                NULL, NODE_RESOLV,
                "search corp.example lab.example extra.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"
                "nameserver 192.0.2.99\noptions timeout:9 edns0 ndots:7\n",
                NULL);
        assert_resolv(
                &node,
                POD("'dnsPolicy':'None','dnsConfig':{'nameservers':['192.0.2.1','192.0.2.2'],'searches':['a.example',"
                    "'b.example'],'options':[{'name':'ndots','value':'3'},{'name':'edns0'}]}"),
                NULL, NODE_RESOLV,
                "search a.example b.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:3 edns0\n",
                NULL);
}

TEST(with_cluster_dns_the_clusters_domains_come_first) {
        _cleanup_node_ struct node node;
        node_make(&node);
        char *dns[] = { (char *)"10.96.0.10", NULL };
        static const char cluster[] =
                "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example lab.example\n"
                "nameserver 10.96.0.10\noptions ndots:5\n";
        assert_resolv(&node, POD("'dnsPolicy':'ClusterFirst'"), dns, NODE_RESOLV, cluster, NULL);
        assert_resolv(&node, POD("'dnsPolicy':'ClusterFirstWithHostNet','hostNetwork':true"), dns, NODE_RESOLV, cluster,
                      NULL);
        assert_resolv(&node, POD("'dnsPolicy':'ClusterFirst','hostNetwork':true"), dns, "nameserver 192.0.2.1\n",
                      "nameserver 192.0.2.1\n", NULL);
}

TEST(limits_of_the_resolver_are_kept_and_told) {
        _cleanup_node_ struct node node;
        node_make(&node);
        assert_resolv(
                &node, POD("'dnsPolicy':'Default','dnsConfig':{'nameservers':['192.0.2.3','192.0.2.4']}"), NULL,
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n",
                "DNSConfigForming: Nameserver limits were exceeded, some nameservers have been omitted, the applied "
                "nameserver line is: 192.0.2.1 192.0.2.2 192.0.2.3");
}

TEST(the_files_are_rewritten_in_place) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        struct hosts_config config = { .pod = pod_of(arena, POD("")), .pod_ips = pod_ips };
        _cleanup_free_ char *folder = hosts_folder(&node.store, "u1"), *path = path_join(folder, "hosts"), *text = NULL;
        struct stat before, after;

        assert_ok(hosts_write(&node.store, &config, NULL));
        assert_int_equal(stat(path, &before), 0);
        assert_int_equal(before.st_mode & 0777, 0644);
        /* A container scribbles into it; the next start of a container puts it right. */
        assert_ok(file_poke(
                path, "this is longer than what was there before by far: 0123456789012345678901234567890123456789"
                      "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"
                      "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"));
        assert_ok(hosts_write_hosts(&node.store, &config));
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_ok(file_read(path, 4096, &text, NULL));
        assert_string_equal(text, HEAD "10.85.0.7\tweb\nfd12::7\tweb\n");
        api_arena_free(arena);
}
