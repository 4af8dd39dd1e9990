#include "net/netlink.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdio.h>
#include <sys/socket.h>

/* ---- socket and batches ---- */

struct error *netlink_open(int protocol, struct netlink *ret) {
        struct sockaddr_nl address = { .nl_family = AF_NETLINK };
        int on = 1, size = 1 << 20;

        _cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
        if (fd < 0)
                return error_errno(errno, "open a netlink socket");
        /* Explanations instead of a copy of what was asked. Both are only a help. */
        setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
        setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return error_errno(errno, "bind a netlink socket");
        ret->fd = TAKE_FD(fd);
        ret->sequence = 1;
        return NULL;
}

void netlink_close(struct netlink *nl) {
        nl->fd = fd_close(nl->fd);
}

void netlink_batch_release(struct netlink_batch *b) {
        free(b->data);
        free(b->messages);
        memset(b, 0, sizeof(*b));
}

static void batch_end_message(struct netlink_batch *b) {
        if (b->open)
                b->used += MNL_ALIGN(b->open->nlmsg_len);
        b->open = NULL;
}

static char *batch_begin_message(struct netlink_batch *b, int tolerated, const char *format, va_list ap) {
        batch_end_message(b);
        if (b->used + NETLINK_MESSAGE_MAX > b->size) {
                b->size = b->size ? b->size * 2 : NETLINK_MESSAGE_MAX * 4;
                b->data = xrealloc(b->data, b->size);
        }
        b->messages = xreallocarray(b->messages, b->n_messages + 1, sizeof(*b->messages));
        struct netlink_expectation *e = &b->messages[b->n_messages++];
        e->tolerated = tolerated;
        vsnprintf(e->what, sizeof(e->what), format, ap);
        char *at = b->data + b->used;
        memset(at, 0, NETLINK_MESSAGE_MAX);
        b->open = (struct nlmsghdr *)at;
        return at;
}

char *netlink_batch_add(struct netlink_batch *b, int tolerated, const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        char *at = batch_begin_message(b, tolerated, format, ap);
        va_end(ap);
        return at;
}

void *netlink_batch_message(struct netlink_batch *b, uint16_t type, uint16_t flags, size_t extra, int tolerated,
                            const char *format, ...) {
        va_list ap;
        va_start(ap, format);
        char *at = batch_begin_message(b, tolerated, format, ap);
        va_end(ap);
        struct nlmsghdr *header = mnl_nlmsg_put_header(at);
        header->nlmsg_type = type;
        header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        return mnl_nlmsg_put_extra_header(header, extra);
}

/* ---- answers ---- */

/* The kernel's explanation behind an error, if there is one. */
static const char *explanation(const struct nlmsghdr *header) {
        const struct nlmsgerr *answer = mnl_nlmsg_get_payload(header);
        size_t offset = sizeof(*answer);
        const struct nlattr *attribute;

        if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
                return NULL;
        if (!(header->nlmsg_flags & NLM_F_CAPPED))
                offset += answer->msg.nlmsg_len - sizeof(struct nlmsghdr);
        mnl_attr_for_each(attribute, header, offset) if (mnl_attr_get_type(attribute) == NLMSGERR_ATTR_MSG &&
                                                         mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >=
                                                                 0) return mnl_attr_get_str(attribute);
        return NULL;
}

static struct error *answer_error(const struct nlmsghdr *header, const struct netlink_expectation *e) {
        const struct nlmsgerr *answer = mnl_nlmsg_get_payload(header);
        const char *why = explanation(header);

        if (answer->error == 0 || -answer->error == e->tolerated)
                return NULL;
        if (why)
                return error_errno(-answer->error, "%s: %s", e->what, why);
        return error_errno(-answer->error, "%s", e->what);
}

static ssize_t receive(struct netlink *nl, char *buf, size_t size) {
        ssize_t n;
        while ((n = recv(nl->fd, buf, size, 0)) < 0 && errno == EINTR)
                ;
        return n;
}

static struct error *batch_send(struct netlink *nl, struct netlink_batch *b) {
        uint32_t sequence = nl->sequence;

        batch_end_message(b);
        for (size_t at = 0; at < b->used;) {
                struct nlmsghdr *header = (struct nlmsghdr *)(b->data + at);
                header->nlmsg_seq = sequence++;
                at += MNL_ALIGN(header->nlmsg_len);
        }
        ssize_t n = send(nl->fd, b->data, b->used, 0);
        return n < 0 ? error_errno(errno, "send %zu netlink messages", b->n_messages) : NULL;
}

/* Waits for `expected` acknowledgements; with `first_error_ends`, one that refuses is the last (a transaction). */
static struct error *batch_answers(struct netlink *nl, struct netlink_batch *b, size_t expected,
                                   bool first_error_ends) {
        char buf[16384] __attribute__((aligned(8)));
        struct error *err = NULL;

        while (expected) {
                ssize_t n = receive(nl, buf, sizeof(buf));
                if (n < 0) {
                        error_free(err);
                        return error_errno(errno, "receive the answer to netlink messages");
                }
                int left = (int)n;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buf; expected && mnl_nlmsg_ok(h, left);
                     h = mnl_nlmsg_next(h, &left)) {
                        uint32_t i = h->nlmsg_seq - nl->sequence;
                        if (h->nlmsg_type != NLMSG_ERROR || i >= b->n_messages)
                                continue;
                        expected--;
                        struct error *one = answer_error(h, &b->messages[i]);
                        if (one && first_error_ends)
                                expected = 0;
                        if (err)
                                error_free(one);
                        else
                                err = one;
                }
        }
        return err;
}

struct error *netlink_run(struct netlink *nl, struct netlink_batch *b) {
        if (!b->n_messages)
                return NULL;
        struct error *err = batch_send(nl, b);
        if (!err)
                err = batch_answers(nl, b, b->n_messages, false);
        nl->sequence += b->n_messages;
        return err;
}

struct error *netlink_run_transaction(struct netlink *nl, struct netlink_batch *b) {
        struct error *err = batch_send(nl, b);
        if (!err)
                err = batch_answers(nl, b, b->n_messages - 2, true);
        nl->sequence += b->n_messages;
        return err;
}

struct error *netlink_dump(struct netlink *nl, uint16_t type, const void *extra, size_t extra_len,
                           void (*each)(const struct nlmsghdr *message, void *data), void *data) {
        char buf[32768] __attribute__((aligned(8)));
        uint32_t sequence = nl->sequence++;

        struct nlmsghdr *request = mnl_nlmsg_put_header(buf);
        request->nlmsg_type = type;
        request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        request->nlmsg_seq = sequence;
        memcpy(mnl_nlmsg_put_extra_header(request, extra_len), extra, extra_len);
        if (send(nl->fd, request, request->nlmsg_len, 0) < 0)
                return error_errno(errno, "send a netlink request");
        for (;;) {
                ssize_t n = receive(nl, buf, sizeof(buf));
                if (n < 0)
                        return error_errno(errno, "receive a netlink list");
                int left = (int)n;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
                        if (h->nlmsg_seq != sequence)
                                continue;
                        if (h->nlmsg_type == NLMSG_DONE)
                                return NULL;
                        if (h->nlmsg_type == NLMSG_ERROR) {
                                const struct nlmsgerr *answer = mnl_nlmsg_get_payload(h);
                                return answer->error ? error_errno(-answer->error, "netlink list") : NULL;
                        }
                        each(h, data);
                }
        }
}

/* ---- links, addresses, routes ---- */

#define IFLA_GSO_IPV4_MAX_SIZE 63 /* Linux 6.3; younger than the headers */

void link_add_bridge(struct netlink_batch *b, const char *name, const uint8_t mac[static 6], uint32_t mtu) {
        netlink_batch_message(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg), EEXIST,
                              "create bridge %s", name);
        mnl_attr_put_strz(b->open, IFLA_IFNAME, name);
        /* An address of its own: else the bridge takes its lowest port's, and changes it as pods come and go. */
        mnl_attr_put(b->open, IFLA_ADDRESS, 6, mac);
        mnl_attr_put_u32(b->open, IFLA_MTU, mtu);
        struct nlattr *info = mnl_attr_nest_start(b->open, IFLA_LINKINFO);
        mnl_attr_put_strz(b->open, IFLA_INFO_KIND, "bridge");
        /* Nobody asks here who listens to which multicast group, and without a querier all ports get everything anyway;
         * but with snooping the kernel goes through all ports whenever one comes or goes. */
        struct nlattr *data = mnl_attr_nest_start(b->open, IFLA_INFO_DATA);
        mnl_attr_put_u8(b->open, IFLA_BR_MCAST_SNOOPING, 0);
        mnl_attr_nest_end(b->open, data);
        mnl_attr_nest_end(b->open, info);
}

/* Before Linux 6.3 there is no such attribute, and the kernel passes over it. */
static void veth_end_put(struct nlmsghdr *message, const char *name, const struct veth *veth) {
        mnl_attr_put_strz(message, IFLA_IFNAME, name);
        mnl_attr_put_u32(message, IFLA_MTU, veth->mtu);
        if (veth->gso_ip4_max)
                mnl_attr_put_u32(message, IFLA_GSO_IPV4_MAX_SIZE, veth->gso_ip4_max);
}

void link_add_veth(struct netlink_batch *b, const struct veth *veth) {
        netlink_batch_message(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg), 0,
                              "create interface %s", veth->name);
        veth_end_put(b->open, veth->name, veth);
        mnl_attr_put_u32(b->open, IFLA_MASTER, veth->master);
        struct nlattr *info = mnl_attr_nest_start(b->open, IFLA_LINKINFO);
        mnl_attr_put_strz(b->open, IFLA_INFO_KIND, "veth");
        struct nlattr *data = mnl_attr_nest_start(b->open, IFLA_INFO_DATA);
        struct nlattr *other = mnl_attr_nest_start(b->open, VETH_INFO_PEER);
        mnl_nlmsg_put_extra_header(b->open, sizeof(struct ifinfomsg));
        veth_end_put(b->open, veth->peer, veth);
        mnl_attr_put(b->open, IFLA_ADDRESS, 6, veth->peer_mac);
        mnl_attr_put_u32(b->open, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
        mnl_attr_nest_end(b->open, other);
        mnl_attr_nest_end(b->open, data);
        mnl_attr_nest_end(b->open, info);
}

/* Asked once: what a running kernel has not got does not come. */
static bool kernel_has_ip6(void) {
        static enum { UNKNOWN, ABSENT, PRESENT } answer;

        if (answer == UNKNOWN) {
                /* Not by a look into /proc/sys/net: its entries for all network namespaces are one long chain. */
                _cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
                answer = fd >= 0 || errno != EAFNOSUPPORT ? PRESENT : ABSENT;
        }
        return answer == PRESENT;
}

static void make_no_link_local(struct netlink_batch *b) {
        struct nlattr *families = mnl_attr_nest_start(b->open, IFLA_AF_SPEC);
        struct nlattr *ip6 = mnl_attr_nest_start(b->open, AF_INET6);

        mnl_attr_put_u8(b->open, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        mnl_attr_nest_end(b->open, ip6);
        mnl_attr_nest_end(b->open, families);
}

void link_set_up(struct netlink_batch *b, const char *name, unsigned master, bool hairpin) {
        struct ifinfomsg *link =
                netlink_batch_message(b, RTM_NEWLINK, 0, sizeof(*link), 0, "set interface %s up", name);
        link->ifi_flags = link->ifi_change = IFF_UP;
        mnl_attr_put_strz(b->open, IFLA_IFNAME, name);
        if (master)
                mnl_attr_put_u32(b->open, IFLA_MASTER, master);
        if (hairpin) {
                struct nlattr *info = mnl_attr_nest_start(b->open, IFLA_LINKINFO);
                mnl_attr_put_strz(b->open, IFLA_INFO_SLAVE_KIND, "bridge");
                struct nlattr *port = mnl_attr_nest_start(b->open, IFLA_INFO_SLAVE_DATA);
                mnl_attr_put_u8(b->open, IFLA_BRPORT_MODE, 1);
                mnl_attr_nest_end(b->open, port);
                mnl_attr_nest_end(b->open, info);
        }
        if (kernel_has_ip6())
                make_no_link_local(b);
}

void link_set_mtu(struct netlink_batch *b, const char *name, uint32_t mtu) {
        netlink_batch_message(b, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), 0, "set the MTU of interface %s to %u", name,
                              mtu);
        mnl_attr_put_strz(b->open, IFLA_IFNAME, name);
        mnl_attr_put_u32(b->open, IFLA_MTU, mtu);
}

/* A message of its own: in one that also sets the link up, that comes first. */
void link_without_link_local(struct netlink_batch *b, unsigned index) {
        if (!kernel_has_ip6())
                return;
        struct ifinfomsg *link =
                netlink_batch_message(b, RTM_NEWLINK, 0, sizeof(*link), 0, "prepare the pod's interface");
        link->ifi_index = (int)index;
        make_no_link_local(b);
}

void link_set_up_by_index(struct netlink_batch *b, unsigned index) {
        struct ifinfomsg *link =
                netlink_batch_message(b, RTM_NEWLINK, 0, sizeof(*link), 0, "set the pod's interface up");
        link->ifi_index = (int)index;
        link->ifi_flags = link->ifi_change = IFF_UP;
}

#define SHAPE_BURST_MS 50
#define SHAPE_QUEUE_MS 50
#define SHAPE_BURST_MIN (128U << 10) /* two of the largest packets that segmentation offload makes */

void link_shape(struct netlink_batch *b, unsigned index, uint64_t bits_per_second) {
        uint64_t rate = MAX(bits_per_second / 8, 1U), burst = MIN(rate * SHAPE_BURST_MS / 1000, (uint64_t)INT32_MAX);
        struct tc_tbf_qopt options = { .rate = { .rate = (uint32_t)MIN(rate, (uint64_t)UINT32_MAX),
                                                 .linklayer = TC_LINKLAYER_ETHERNET } };
        struct tcmsg *message = netlink_batch_message(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*message),
                                                      0, "limit the bandwidth of interface %u", index);

        burst = MAX(burst, (uint64_t)SHAPE_BURST_MIN);
        options.limit = (uint32_t)MIN(burst + rate * SHAPE_QUEUE_MS / 1000, (uint64_t)UINT32_MAX);
        message->tcm_family = AF_UNSPEC;
        message->tcm_ifindex = (int)index;
        message->tcm_parent = TC_H_ROOT;
        mnl_attr_put_strz(b->open, TCA_KIND, "tbf");
        struct nlattr *nest = mnl_attr_nest_start(b->open, TCA_OPTIONS);
        mnl_attr_put(b->open, TCA_TBF_PARMS, sizeof(options), &options);
        mnl_attr_put_u32(b->open, TCA_TBF_BURST, (uint32_t)burst);
        if (rate > UINT32_MAX)
                mnl_attr_put_u64(b->open, TCA_TBF_RATE64, rate);
        mnl_attr_nest_end(b->open, nest);
}

void link_delete(struct netlink_batch *b, const char *name) {
        netlink_batch_message(b, RTM_DELLINK, 0, sizeof(struct ifinfomsg), ENODEV, "delete interface %s", name);
        mnl_attr_put_strz(b->open, IFLA_IFNAME, name);
}

void address_add(struct netlink_batch *b, unsigned index, const struct net_address *address, unsigned prefix_len) {
        bool ip6 = address->family == AF_INET6;
        struct ifaddrmsg *a = netlink_batch_message(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*a), EEXIST,
                                                    "add %s address", ip6 ? "IPv6" : "IPv4");
        a->ifa_family = address->family;
        a->ifa_prefixlen = prefix_len;
        a->ifa_scope = ip6 && IN6_IS_ADDR_LINKLOCAL(&address->ip6) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        a->ifa_flags = ip6 ? IFA_F_NODAD | IFA_F_PERMANENT : IFA_F_PERMANENT; /* at once, not after a second */
        a->ifa_index = index;
        mnl_attr_put(b->open, IFA_LOCAL, address_len(address->family), address->bytes);
        mnl_attr_put(b->open, IFA_ADDRESS, address_len(address->family), address->bytes);
        if (!ip6 && prefix_len < 31) {
                struct in_addr broadcast = { address->ip4.s_addr | htonl(0xffffffffu >> prefix_len) };
                mnl_attr_put(b->open, IFA_BROADCAST, 4, &broadcast);
        }
}

void route_add_default(struct netlink_batch *b, unsigned index, const struct net_address *gateway) {
        struct rtmsg *r = netlink_batch_message(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*r), 0,
                                                "add %s default route", gateway->family == AF_INET6 ? "IPv6" : "IPv4");
        r->rtm_family = gateway->family;
        r->rtm_table = RT_TABLE_MAIN;
        r->rtm_protocol = RTPROT_STATIC;
        r->rtm_scope = RT_SCOPE_UNIVERSE;
        r->rtm_type = RTN_UNICAST;
        mnl_attr_put(b->open, RTA_GATEWAY, address_len(gateway->family), gateway->bytes);
        mnl_attr_put_u32(b->open, RTA_OIF, index);
}
