/* obstacle.c - other firewalls that drop the pods' packets, and what whoever runs the machine can do about it. */
#include <stdio.h>

#include "base/str.h"
#include "net/others-private.h"
#include "store/node-config.h"

/* Chains that see what is forwarded, or what comes in, and drop what no rule of theirs accepts. */
struct dropping {
        struct base_chain {
                uint8_t family;
                uint32_t hook; /* NF_INET_FORWARD or NF_INET_LOCAL_IN */
                char *table, *name;
        } * list;
        size_t n;
};

static void look_for_dropping(const struct nlmsghdr *h, void *data) {
        const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
        struct dropping *d = data;
        uint32_t hook = NF_INET_NUMHOOKS;
        bool drops = false;
        const struct nlattr *a, *inner;

        mnl_attr_for_each(a, h, sizeof(*m)) {
                if (mnl_attr_get_type(a) == NFTA_CHAIN_POLICY && mnl_attr_get_payload_len(a) == 4)
                        drops = ntohl(mnl_attr_get_u32(a)) == NF_DROP;
                if (mnl_attr_get_type(a) != NFTA_CHAIN_HOOK)
                        continue;
                mnl_attr_for_each_nested(inner, a) if (mnl_attr_get_type(inner) == NFTA_HOOK_HOOKNUM &&
                                                       mnl_attr_get_payload_len(inner) == 4) hook =
                        ntohl(mnl_attr_get_u32(inner));
        }
        if ((hook != NF_INET_FORWARD && hook != NF_INET_LOCAL_IN) || !drops ||
            (m->nfgen_family != NFPROTO_INET && m->nfgen_family != NFPROTO_IPV4 && m->nfgen_family != NFPROTO_IPV6))
                return;
        d->list = xreallocarray(d->list, d->n + 1, sizeof(*d->list));
        d->list[d->n++] = (struct base_chain){ m->nfgen_family, hook, xstrdup(rules_text_of(h, NFTA_CHAIN_TABLE)),
                                               xstrdup(rules_text_of(h, NFTA_CHAIN_NAME)) };
}

/* Is it one that iptables writes, and reads only what it has written? */
static bool is_of_iptables(const struct base_chain *c) {
        return streq(c->table, "filter") && c->family != NFPROTO_INET &&
               streq(c->name, c->hook == NF_INET_FORWARD ? "FORWARD" : "INPUT");
}

static const char *iptables_of(const struct base_chain *c) {
        return c->family == NFPROTO_IPV6 ? "ip6tables" : "iptables";
}

/* "inet filter forward" */
static char *chain_text(const struct base_chain *c) {
        const char *family = c->family == NFPROTO_INET ? "inet" : c->family == NFPROTO_IPV4 ? "ip" : "ip6";
        return xasprintf("%s %s %s", family, c->table, c->name);
}

static char *advice_on_forward(const struct host *host, const struct base_chain *c) {
        const char *program = iptables_of(c);

        if (is_of_iptables(c))
                return xasprintf(
                        "%s drops what is forwarded unless a rule accepts it, and none speaks of the bridge. To let "
                        "pods out and their host ports be reached:\n"
                        "    %s -I FORWARD -i %s -j ACCEPT\n"
                        "    %s -I FORWARD -o %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
                        program, program, host->bridge, program, host->bridge);
        _cleanup_free_ char *chain = chain_text(c);
        return xasprintf(
                "The chain \"%s\" of nftables drops what is forwarded unless a rule accepts it, and none speaks "
                "of the bridge. To let pods out and their host ports be reached:\n"
                "    nft insert rule %s iifname %s accept\n"
                "    nft insert rule %s oifname %s ct state established,related accept\n"
                "    nft insert rule %s oifname %s ct status dnat accept",
                chain, chain, host->bridge, chain, host->bridge, chain, host->bridge);
}

static char *advice_on_input(const struct host *host, const struct base_chain *c) {
        const char *program = iptables_of(c);

        if (is_of_iptables(c))
                return xasprintf(
                        "%s drops what comes in unless a rule accepts it, and none speaks of the bridge. To let "
                        "pods ask the resolver:\n"
                        "    %s -I INPUT -i %s -p udp --dport %d -j ACCEPT\n"
                        "    %s -I INPUT -i %s -p tcp --dport %d -j ACCEPT",
                        program, program, host->bridge, RESOLVER_PORT, program, host->bridge, RESOLVER_PORT);
        _cleanup_free_ char *chain = chain_text(c);
        return xasprintf(
                "The chain \"%s\" of nftables drops what comes in unless a rule accepts it, and none speaks of the "
                "bridge. To let pods ask the resolver:\n"
                "    nft insert rule %s iifname %s meta l4proto { tcp, udp } th dport %d accept",
                chain, chain, host->bridge, RESOLVER_PORT);
}

static char *firewalld_advice(const struct host *host) {
        _cleanup_free_ char *why = firewalld_failure(host);

        return xasprintf(
                "firewalld has the bridge in no zone, and rejects what is forwarded between others.%s%s%s To let "
                "pods out, their host ports be reached, and pods ask the machine:\n"
                "    firewall-cmd --permanent --zone=trusted --add-interface=%s && firewall-cmd --reload",
                why ? " husk could not put it into one (" : "", why ? why : "", why ? ")." : "", host->bridge);
}

/* NULL: it does not stand in the way. What comes in matters to the resolver alone: what else of the machine pods may
 * reach is for its firewall to say. */
static char *obstacle_text(struct host *host, const struct base_chain *c, bool resolver) {
        bool forward = c->hook == NF_INET_FORWARD;

        if ((!forward && !resolver) || rules_mention(host, c->family, c->table, c->name, host->bridge) ||
            (forward && is_of_iptables(c) && docker_forwards(host, c->family)))
                return NULL;
        return forward ? advice_on_forward(host, c) : advice_on_input(host, c);
}

static struct error *look(struct host *host, char ***ret) {
        struct nfgenmsg all = { .nfgen_family = NFPROTO_UNSPEC };
        _cleanup_node_config_ struct node_config config = { 0 };
        struct dropping d = { 0 };
        bool firewalld = false;
        struct error *err = node_config_read(host->store, &config);

        if (!err)
                err = host_filter(host);
        if (!err)
                err = firewall_exists(&host->filter, FIREWALLD_TABLE, &firewalld);
        if (!err)
                err = netlink_dump(&host->filter, nft_type(NFT_MSG_GETCHAIN), &all, sizeof(all), look_for_dropping, &d);
        if (firewalld && !rules_mention(host, NFPROTO_INET, FIREWALLD_TABLE, NULL, host->bridge))
                *ret = strv_add_take(*ret, firewalld_advice(host));
        for (size_t i = 0; i < d.n; i++) {
                bool is_firewallds = firewalld && streq(d.list[i].table, FIREWALLD_TABLE);
                char *text = is_firewallds ? NULL : obstacle_text(host, &d.list[i], config.resolver);
                if (text)
                        *ret = strv_add_take(*ret, text);
                free(d.list[i].table);
                free(d.list[i].name);
        }
        free(d.list);
        return err;
}

struct error *net_obstacles(const struct store *store, char ***ret) {
        _cleanup_host_ struct host host;
        struct error *err = host_open(store, &host);

        return error_context(err ? err : look(&host, ret), "look at other firewalls");
}
