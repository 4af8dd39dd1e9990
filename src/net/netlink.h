/* netlink.h - inside src/net: requests to the kernel's network configuration, several in one system call.
 *
 * A batch collects messages, each with the words for what it does and the errno that is no failure for it ("is there
 * already", "is gone already"); netlink_run() sends them together and waits for all answers. The kernel carries them
 * out one after the other and goes on after one that failed; the first failure is reported with the kernel's own
 * explanation where it gives one. */
#pragma once

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <netinet/in.h>

#include "base/error.h"

struct netlink {
        int fd;
        uint32_t sequence;
};
#define NETLINK_INIT \
        { .fd = -EBADF }

/* A socket in the network namespace of the calling thread; it stays there. */
struct error *netlink_open(int protocol, struct netlink *ret) _must_check_;
void netlink_close(struct netlink *nl);

struct netlink_batch {
        char *data;
        size_t size;           /* of data */
        size_t used;           /* bytes of complete messages */
        struct nlmsghdr *open; /* the message that attributes are added to */
        struct netlink_expectation {
                char what[96];
                int tolerated; /* errno that is fine; 0: none */
        } * messages;
        size_t n_messages;
};
#define NETLINK_BATCH_INIT \
        { 0 }
void netlink_batch_release(struct netlink_batch *b);
#define _cleanup_netlink_batch_ _cleanup_(netlink_batch_release)

#define NETLINK_MESSAGE_MAX 4096 /* room for one message; more than any of ours */
/* Begins a message: the place for its header, at least NETLINK_MESSAGE_MAX bytes long. It ends where the next one
 * begins. */
char *netlink_batch_add(struct netlink_batch *b, int tolerated, const char *format, ...) _printf_(3, 4);
/* The same with a header and a zeroed extra header of `extra` bytes, which is returned; attributes go to b->open. */
void *netlink_batch_message(struct netlink_batch *b, uint16_t type, uint16_t flags, size_t extra, int tolerated,
                            const char *format, ...) _printf_(6, 7);
/* Sends a batch; all its messages ask for an acknowledgement. */
struct error *netlink_run(struct netlink *nl, struct netlink_batch *b) _must_check_;
/* Sends a batch of nf_tables messages: one transaction between its begin and end, which are not answered. */
struct error *netlink_run_transaction(struct netlink *nl, struct netlink_batch *b) _must_check_;

/* Asks for a list; `each` is called for every message of it. */
struct error *netlink_dump(struct netlink *nl, uint16_t type, const void *extra, size_t extra_len,
                           void (*each)(const struct nlmsghdr *message, void *data), void *data) _must_check_;

/* Either family. `family` AF_UNSPEC: none. */
struct net_address {
        int family;
        union {
                struct in_addr ip4;
                struct in6_addr ip6;
                uint8_t bytes[16];
        };
};
static inline size_t address_len(int family) {
        return family == AF_INET6 ? 16 : 4;
}

/* The messages husk needs (rtnetlink). A link is named, or given by index where it is in another namespace. */
void link_add_bridge(struct netlink_batch *b, const char *name, const uint8_t mac[static 6], uint32_t mtu);
struct veth {
        const char *name, *peer;
        int peer_netns_fd;
        uint8_t peer_mac[6];
        uint32_t mtu;
        uint32_t gso_ip4_max; /* bytes of TCP over IPv4 that may go through in one piece; 0: as the kernel has it */
        unsigned master;      /* bridge that `name` becomes a port of */
};
/* Both ends are down; the pod's is in its namespace. (The kernel opens neither before both exist.) */
void link_add_veth(struct netlink_batch *b, const struct veth *veth);
/* Sets a link up, as a port of a bridge (0: of none), without an IPv6 link-local address made by the kernel. `hairpin`,
 * for what is a port of the bridge already, lets the bridge send a frame out where it came in: with br_netfilter, a
 * packet that a host port sends back to the pod it came from is such a frame. */
void link_set_up(struct netlink_batch *b, const char *name, unsigned master, bool hairpin);
void link_set_mtu(struct netlink_batch *b, const char *name, uint32_t mtu);
/* Before a link is set up: the kernel gives it no IPv6 link-local address. */
void link_without_link_local(struct netlink_batch *b, unsigned index);
void link_set_up_by_index(struct netlink_batch *b, unsigned index);
/* Lets a link send at most so many bits a second (a token bucket). */
void link_shape(struct netlink_batch *b, unsigned index, uint64_t bits_per_second);
void link_delete(struct netlink_batch *b, const char *name);
void address_add(struct netlink_batch *b, unsigned index, const struct net_address *address, unsigned prefix_len);
void route_add_default(struct netlink_batch *b, unsigned index, const struct net_address *gateway);
