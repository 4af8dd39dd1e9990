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

/* Whoever empties all chains leaves Docker's without anybody who asks it. */
bool docker_forwards(struct host *host, uint8_t family) {
        return rules_mention(host, family, "filter", "FORWARD", DOCKER_CHAIN) &&
               docker_mentions_bridge(host, family) >= DOCKER_RULES;
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
                       rules_hold_word(h, h->nlmsg_len, bridge);
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
