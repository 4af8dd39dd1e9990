#include "net/others.h"

#include <stdio.h>

#include "base/str.h"
#include "net/others-private.h"

#define DOCKER_CHAIN "DOCKER-USER"
#define IPTABLES_TIMEOUT_MS 10000

static const struct family {
        uint8_t family;
        const char *program; /* what the rules are written with: iptables must be able to read them */
} families[] = { { NFPROTO_IPV4, "iptables" }, { NFPROTO_IPV6, "ip6tables" } };

/* ---- Docker ---- */

static struct error *iptables(const char *program, const char *const *words) {
        char *argv[16] = { (char *)program, (char *)"-w", (char *)"5" };

        for (size_t i = 0; words[i]; i++)
                argv[i + 3] = (char *)words[i];
        return rules_command(argv, IPTABLES_TIMEOUT_MS);
}

#define DOCKER_RULES 2

/* `how` is "-I" or "-D"; one after the other, whatever becomes of the first. */
static struct error *docker_rules(const struct host *host, const char *program, const char *how) {
        const char *out[] = { how, DOCKER_CHAIN, "-i", host->bridge, "-j", "ACCEPT", NULL };
        const char *in[] = { how,  DOCKER_CHAIN, "-o",        host->bridge,
                             "-m", "conntrack",  "--ctstate", "RELATED,ESTABLISHED,DNAT",
                             "-j", "ACCEPT",     NULL };
        struct error *err = iptables(program, in);

        error_keep_first(&err, iptables(program, out));
        return err;
}

static unsigned docker_mentions_bridge(struct host *host, uint8_t family) {
        return rules_mention(host, family, "filter", DOCKER_CHAIN, host->bridge);
}

static struct error *docker_accept(struct host *host) {
        struct error *err = NULL;

        if (!rules_chain_exists(host, NFPROTO_IPV4, "filter", DOCKER_CHAIN))
                return NULL;
        for (size_t i = 0; !err && i < ARRAY_SIZE(families); i++) {
                const struct family *f = &families[i];
                if (!rules_chain_exists(host, f->family, "filter", DOCKER_CHAIN))
                        continue;
                unsigned n = docker_mentions_bridge(host, f->family);
                if (n >= DOCKER_RULES)
                        continue;
                if (n) /* who made them was killed between the two, or somebody took one away */
                        error_free(docker_rules(host, f->program, "-D"));
                err = docker_rules(host, f->program, "-I");
        }
        return error_context(err, "let Docker's firewall forward for pods");
}

static void docker_forget(struct host *host) {
        for (size_t i = 0; i < ARRAY_SIZE(families); i++)
                if (rules_chain_exists(host, families[i].family, "filter", DOCKER_CHAIN) &&
                    docker_mentions_bridge(host, families[i].family))
                        error_free(docker_rules(host, families[i].program, "-D"));
}

/* ---- all that are known by name ---- */

struct error *others_accept(struct host *host) {
        struct error *err = host_filter(host);

        if (!err)
                err = docker_accept(host);
        return err ? err : firewalld_accept(host);
}

struct error *others_look_again(struct host *host) {
        firewalld_ask_again(host);
        return others_accept(host);
}

void others_forget(struct host *host) {
        struct error *err = host_filter(host);

        if (!err) {
                docker_forget(host);
                firewalld_forget(host);
        }
        error_free(err);
}

/* ---- what stands in the way ---- */

struct dropping {
        struct base_chain {
                uint8_t family;
                char *table, *name;
        } * list;
        size_t n;
};

/* Chains that see what is forwarded and drop what no rule of theirs accepts. */
static void look_for_dropping(const struct nlmsghdr *h, void *data) {
        const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
        struct dropping *d = data;
        bool forwards = false, drops = false;
        const struct nlattr *a, *inner;

        mnl_attr_for_each(a, h, sizeof(*m)) {
                if (mnl_attr_get_type(a) == NFTA_CHAIN_POLICY && mnl_attr_get_payload_len(a) == 4)
                        drops = ntohl(mnl_attr_get_u32(a)) == NF_DROP;
                if (mnl_attr_get_type(a) != NFTA_CHAIN_HOOK)
                        continue;
                mnl_attr_for_each_nested(inner, a) if (mnl_attr_get_type(inner) == NFTA_HOOK_HOOKNUM &&
                                                       mnl_attr_get_payload_len(inner) == 4) forwards =
                        ntohl(mnl_attr_get_u32(inner)) == NF_INET_FORWARD;
        }
        if (!forwards || !drops ||
            (m->nfgen_family != NFPROTO_INET && m->nfgen_family != NFPROTO_IPV4 && m->nfgen_family != NFPROTO_IPV6))
                return;
        d->list = xreallocarray(d->list, d->n + 1, sizeof(*d->list));
        d->list[d->n++] = (struct base_chain){ m->nfgen_family, xstrdup(rules_text_of(h, NFTA_CHAIN_TABLE)),
                                               xstrdup(rules_text_of(h, NFTA_CHAIN_NAME)) };
}

static char *advice(const struct host *host, const struct base_chain *c) {
        const char *family = c->family == NFPROTO_INET ? "inet" : c->family == NFPROTO_IPV4 ? "ip" : "ip6";
        const char *program = c->family == NFPROTO_IPV6 ? "ip6tables" : "iptables";

        if (streq(c->table, "filter") && streq(c->name, "FORWARD") && c->family != NFPROTO_INET)
                return xasprintf(
                        "%s drops what is forwarded unless a rule accepts it, and none speaks of the bridge. To let "
                        "pods out and their host ports be reached:\n"
                        "    %s -I FORWARD -i %s -j ACCEPT\n"
                        "    %s -I FORWARD -o %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
                        program, program, host->bridge, program, host->bridge);
        return xasprintf(
                "The chain \"%s %s %s\" of nftables drops what is forwarded unless a rule accepts it, and none speaks "
                "of the bridge. To let pods out and their host ports be reached:\n"
                "    nft insert rule %s %s %s iifname %s accept\n"
                "    nft insert rule %s %s %s oifname %s ct state established,related accept\n"
                "    nft insert rule %s %s %s oifname %s ct status dnat accept",
                family, c->table, c->name, family, c->table, c->name, host->bridge, family, c->table, c->name,
                host->bridge, family, c->table, c->name, host->bridge);
}

/* Whoever empties all chains leaves Docker's without anybody who asks it. */
static bool docker_forwards(struct host *host, const struct base_chain *c) {
        return streq(c->table, "filter") && streq(c->name, "FORWARD") && c->family != NFPROTO_INET &&
               rules_mention(host, c->family, "filter", "FORWARD", DOCKER_CHAIN) &&
               docker_mentions_bridge(host, c->family) >= DOCKER_RULES;
}

static char *firewalld_advice(const struct host *host) {
        _cleanup_free_ char *why = firewalld_failure(host);

        return xasprintf(
                "firewalld has the bridge in no zone, and rejects what is forwarded between others.%s%s%s To let "
                "pods out, their host ports be reached, and pods ask the machine:\n"
                "    firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload",
                why ? " husk could not put it into one (" : "", why ? why : "", why ? ")." : "", host->bridge);
}

struct error *net_obstacles(const struct store *store, char ***ret) {
        struct nfgenmsg all = { .nfgen_family = NFPROTO_UNSPEC };
        struct dropping d = { 0 };
        _cleanup_host_ struct host host;
        bool firewalld = false;
        struct error *err = host_open(store, &host);

        if (!err)
                err = host_filter(&host);
        if (!err)
                err = firewall_exists(&host.filter, FIREWALLD_TABLE, &firewalld);
        if (!err)
                err = netlink_dump(&host.filter, nft_type(NFT_MSG_GETCHAIN), &all, sizeof(all), look_for_dropping, &d);
        if (firewalld && !rules_mention(&host, NFPROTO_INET, FIREWALLD_TABLE, NULL, host.bridge))
                *ret = strv_add_take(*ret, firewalld_advice(&host));
        for (size_t i = 0; i < d.n; i++) {
                struct base_chain *c = &d.list[i];
                if (!docker_forwards(&host, c) && !rules_mention(&host, c->family, c->table, c->name, host.bridge) &&
                    !(firewalld && streq(c->table, FIREWALLD_TABLE)))
                        *ret = strv_add_take(*ret, advice(&host, c));
                free(c->table);
                free(c->name);
        }
        free(d.list);
        return error_context(err, "look at other firewalls");
}

/* ---- being told ---- */

struct error *net_watch_open(int *ret_fd) {
        int group = NFNLGRP_NFTABLES, size = 256 << 10;
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);

        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
                return error_errno(errno, "listen to changes of nftables");
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        *ret_fd = TAKE_FD(fd);
        return NULL;
}

/* Husk's own table went; Docker's chain came, or lost a rule about the bridge; firewalld was loaded (anew), and has
 * forgotten by that which zone the bridge was put into. */
static bool is_of_interest(const struct nlmsghdr *h, const char *own_table, const char *bridge) {
        if (h->nlmsg_type == nft_type(NFT_MSG_DELTABLE))
                return streq(rules_text_of(h, NFTA_TABLE_NAME), own_table);
        if (h->nlmsg_type == nft_type(NFT_MSG_NEWTABLE))
                return streq(rules_text_of(h, NFTA_TABLE_NAME), FIREWALLD_TABLE);
        if (h->nlmsg_type == nft_type(NFT_MSG_DELRULE))
                return streq(rules_text_of(h, NFTA_RULE_CHAIN), DOCKER_CHAIN) &&
                       memmem(h, h->nlmsg_len, bridge, strlen(bridge) + 1);
        return h->nlmsg_type == nft_type(NFT_MSG_NEWCHAIN) && streq(rules_text_of(h, NFTA_CHAIN_NAME), DOCKER_CHAIN);
}

bool net_watch_read(int fd, const struct store *store) {
        char buf[16384] __attribute__((aligned(8))), bridge[IFNAMSIZ], table[32];
        bool due = false;

        net_names(store, bridge, table);
        for (;;) {
                ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return due || errno == ENOBUFS; /* more than fitted: anything may have happened */
                int left = (int)n;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
                        due |= is_of_interest(h, table, bridge);
        }
}
