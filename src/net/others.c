#include "net/others.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/str.h"

#define DOCKER_CHAIN "DOCKER-USER"
#define IPTABLES_TIMEOUT_MS 10000

static const struct family {
        uint8_t family;
        const char *program; /* what the rules are written with: iptables must be able to read them */
} families[] = { { NFPROTO_IPV4, "iptables" }, { NFPROTO_IPV6, "ip6tables" } };

static uint16_t nft_type(uint16_t message) {
        return NFNL_SUBSYS_NFTABLES << 8 | message;
}

static const char *text_of(const struct nlmsghdr *h, uint16_t type) {
        const struct nlattr *a;

        mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == type &&
                                                             mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >=
                                                                     0) return mnl_attr_get_str(a);
        return "";
}

static bool chain_exists(struct host *host, uint8_t family, const char *table, const char *chain) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;
        struct nfgenmsg *m =
                netlink_batch_message(&b, nft_type(NFT_MSG_GETCHAIN), 0, sizeof(*m), 0, "look for chain %s", chain);

        m->nfgen_family = family;
        mnl_attr_put_strz(b.open, NFTA_CHAIN_TABLE, table);
        mnl_attr_put_strz(b.open, NFTA_CHAIN_NAME, chain);
        _cleanup_error_ struct error *err = netlink_run(&host->filter, &b);
        return !err;
}

/* ---- who speaks of the bridge? ---- */

struct mention {
        const char *bridge, *chain; /* NULL: any chain */
        unsigned n;
};

static void look_for_mention(const struct nlmsghdr *h, void *data) {
        struct mention *m = data;

        if (!m->chain || streq(text_of(h, NFTA_RULE_CHAIN), m->chain))
                m->n += memmem(h, h->nlmsg_len, m->bridge, strlen(m->bridge)) != NULL;
}

/* How many rules of the table (and chain) have the bridge's name in them? Rules of all kinds compare it as bytes. */
static unsigned mentions_bridge(struct host *host, uint8_t family, const char *table, const char *chain) {
        size_t len = strnlen(table, NFT_TABLE_MAXNAMELEN - 1);
        struct {
                struct nfgenmsg head;
                struct nlattr table;
                char name[NFT_TABLE_MAXNAMELEN];
        } request = { .head.nfgen_family = family,
                      .table = { .nla_len = (uint16_t)(sizeof(struct nlattr) + len + 1),
                                 .nla_type = NFTA_RULE_TABLE } };
        struct mention m = { .bridge = host->bridge, .chain = chain };

        memcpy(request.name, table, len);
        error_free(netlink_dump(&host->filter, nft_type(NFT_MSG_GETRULE), &request,
                                offsetof(typeof(request), name) + MNL_ALIGN(len + 1), look_for_mention, &m));
        return m.n;
}

/* ---- Docker ---- */

static struct error *iptables(const char *program, const char *const *words) {
        char *argv[16] = { (char *)program, (char *)"-w", (char *)"5" };
        struct process_options options = { .timeout_ms = IPTABLES_TIMEOUT_MS };
        _cleanup_free_ char *complaint = NULL;
        int status;

        for (size_t i = 0; words[i]; i++)
                argv[i + 3] = (char *)words[i];
        struct error *err = process_run(argv, &options, &status, NULL, &complaint);
        if (err || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
                return err;
        complaint[strcspn(complaint, "\n")] = '\0';
        return error_new(ERROR_UNAVAILABLE, "%s %s %s: %s", program, words[0], words[1], complaint);
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

struct error *others_accept(struct host *host) {
        struct error *err = host_filter(host);

        if (err || !chain_exists(host, NFPROTO_IPV4, "filter", DOCKER_CHAIN))
                return err;
        for (size_t i = 0; !err && i < ARRAY_SIZE(families); i++) {
                const struct family *f = &families[i];
                if (!chain_exists(host, f->family, "filter", DOCKER_CHAIN))
                        continue;
                unsigned n = mentions_bridge(host, f->family, "filter", DOCKER_CHAIN);
                if (n >= DOCKER_RULES)
                        continue;
                if (n) /* who made them was killed between the two */
                        error_free(docker_rules(host, f->program, "-D"));
                err = docker_rules(host, f->program, "-I");
        }
        return error_context(err, "let Docker's firewall forward for pods");
}

void others_forget(struct host *host) {
        struct error *err = host_filter(host);

        for (size_t i = 0; !err && i < ARRAY_SIZE(families); i++)
                if (chain_exists(host, families[i].family, "filter", DOCKER_CHAIN) &&
                    mentions_bridge(host, families[i].family, "filter", DOCKER_CHAIN))
                        error_free(docker_rules(host, families[i].program, "-D"));
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
        d->list[d->n++] = (struct base_chain){ m->nfgen_family, xstrdup(text_of(h, NFTA_CHAIN_TABLE)),
                                               xstrdup(text_of(h, NFTA_CHAIN_NAME)) };
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

static bool docker_forwards(struct host *host, const struct base_chain *c) {
        return streq(c->table, "filter") && c->family != NFPROTO_INET &&
               chain_exists(host, c->family, "filter", DOCKER_CHAIN) &&
               mentions_bridge(host, c->family, "filter", DOCKER_CHAIN);
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
                err = firewall_exists(&host.filter, "firewalld", &firewalld);
        if (!err)
                err = netlink_dump(&host.filter, nft_type(NFT_MSG_GETCHAIN), &all, sizeof(all), look_for_dropping, &d);
        if (firewalld && !mentions_bridge(&host, NFPROTO_INET, "firewalld", NULL))
                *ret = strv_add_take(
                        *ret, xasprintf("firewalld has the bridge in no zone, and rejects what is forwarded between "
                                        "others. To let pods out, their host ports be reached, and pods ask "
                                        "the machine:\n"
                                        "    firewall-cmd --permanent --zone=trusted --add-interface=%s && "
                                        "firewall-cmd --reload",
                                        host.bridge));
        for (size_t i = 0; i < d.n; i++) {
                struct base_chain *c = &d.list[i];
                if (!docker_forwards(&host, c) && !mentions_bridge(&host, c->family, c->table, c->name) &&
                    !(firewalld && streq(c->table, "firewalld")))
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

static bool is_of_interest(const struct nlmsghdr *h, const char *own_table) {
        if (h->nlmsg_type == nft_type(NFT_MSG_DELTABLE))
                return streq(text_of(h, NFTA_TABLE_NAME), own_table);
        return h->nlmsg_type == nft_type(NFT_MSG_NEWCHAIN) && streq(text_of(h, NFTA_CHAIN_NAME), DOCKER_CHAIN);
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
                        due |= is_of_interest(h, table);
        }
}
