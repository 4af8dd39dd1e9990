/* others-private.h - what the files about other firewalls share: others.c (Docker, what stands in the way, being told
 * of changes), firewalld.c, obstacle.c, and rules.c, which reads what nftables holds of them. */
#pragma once

#include "net/host.h" /* before the kernel's own headers, which otherwise define what <netinet/in.h> does */

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#define FIREWALLD_TABLE "firewalld" /* of family inet, where firewalld writes to nftables */

/* ---- rules.c ---- */

static inline uint16_t nft_type(uint16_t message) {
        return NFNL_SUBSYS_NFTABLES << 8 | message;
}

/* An attribute of a message about tables, chains or rules; "" if it is not there. */
const char *rules_text_of(const struct nlmsghdr *h, uint16_t type);
bool rules_chain_exists(struct host *host, uint8_t family, const char *table, const char *chain);
/* Is this word, a name of an interface or a chain, in a message or an attribute of rules? Names are compared as bytes:
 * rules of all kinds hold them so. Before one is the head of an attribute or the end of another name, no letter: "br0"
 * is not meant by "vmbr0". */
bool rules_hold_word(const void *bytes, size_t len, const char *word);
/* How many rules of the table (and chain; NULL: of any) hold it? */
unsigned rules_mention(struct host *host, uint8_t family, const char *table, const char *chain, const char *word);
/* A number that a table gets when it is made and no other table ever has again; 0: there is no such table. */
uint64_t rules_table_handle(struct host *host, uint8_t family, const char *table);

/* ---- others.c ---- */

/* Is Docker's chain asked, and does it let through what is the pods'? */
bool docker_forwards(struct host *host, uint8_t family);

/* ---- firewalld.c ---- */

/* Puts the bridge into the zone of the node's configuration, if firewalld is there and has it in none. What firewalld
 * answers keeps no pod from starting: it is noted for firewalld_failure(), and asked again after five minutes, or when
 * firewalld has made its table anew. The caller holds the node's lock. */
struct error *firewalld_accept(struct host *host) _must_check_;
/* The next firewalld_accept() asks, whatever was answered before. */
void firewalld_ask_again(const struct host *host);
/* Takes the bridge out of the zone if husk has put it there. */
void firewalld_forget(struct host *host);
/* Why the bridge could not be put there; NULL: nothing went wrong. Owned by the caller. */
char *firewalld_failure(const struct host *host);

/* Runs such a program as iptables or firewall-cmd. The error has its first line and the words of the command. */
struct error *rules_command(char *const *argv, int timeout_ms) _must_check_;
