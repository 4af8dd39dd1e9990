#include <endian.h>
#include <sys/wait.h>

#include "base/process.h"
#include "base/str.h"
#include "net/others-private.h"

const char *rules_text_of(const struct nlmsghdr *h, uint16_t type) {
        const struct nlattr *a;

        mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == type &&
                                                             mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >=
                                                                     0) return mnl_attr_get_str(a);
        return "";
}

bool rules_chain_exists(struct host *host, uint8_t family, const char *table, const char *chain) {
        _cleanup_netlink_batch_ struct netlink_batch b = NETLINK_BATCH_INIT;
        struct nfgenmsg *m =
                netlink_batch_message(&b, nft_type(NFT_MSG_GETCHAIN), 0, sizeof(*m), 0, "look for chain %s", chain);

        m->nfgen_family = family;
        mnl_attr_put_strz(b.open, NFTA_CHAIN_TABLE, table);
        mnl_attr_put_strz(b.open, NFTA_CHAIN_NAME, chain);
        _cleanup_error_ struct error *err = netlink_run(&host->filter, &b);
        return !err;
}

struct mention {
        const char *word, *chain; /* NULL: any chain */
        unsigned n;
};

bool rules_hold_word(const void *bytes, size_t len, const char *word) {
        const char *from = bytes, *end = from + len, *found;

        while ((found = memmem(from, (size_t)(end - from), word, strlen(word) + 1))) {
                if (found == bytes || (unsigned char)found[-1] < ' ')
                        return true;
                from = found + 1;
        }
        return false;
}

static void look_for_mention(const struct nlmsghdr *h, void *data) {
        struct mention *m = data;
        const struct nlattr *a;

        if (m->chain && !streq(rules_text_of(h, NFTA_RULE_CHAIN), m->chain))
                return;
        mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) if (mnl_attr_get_type(a) == NFTA_RULE_EXPRESSIONS) m->n +=
                rules_hold_word(a, a->nla_len, m->word);
}

unsigned rules_mention(struct host *host, uint8_t family, const char *table, const char *chain, const char *word) {
        size_t len = strnlen(table, NFT_TABLE_MAXNAMELEN - 1);
        struct {
                struct nfgenmsg head;
                struct nlattr table;
                char name[NFT_TABLE_MAXNAMELEN];
        } request = { .head.nfgen_family = family,
                      .table = { .nla_len = (uint16_t)(sizeof(struct nlattr) + len + 1),
                                 .nla_type = NFTA_RULE_TABLE } };
        struct mention m = { .word = word, .chain = chain };

        memcpy(request.name, table, len);
        error_free(netlink_dump(&host->filter, nft_type(NFT_MSG_GETRULE), &request,
                                offsetof(typeof(request), name) + MNL_ALIGN(len + 1), look_for_mention, &m));
        return m.n;
}

struct wanted_table {
        uint8_t family;
        const char *name;
        uint64_t handle;
};

static void look_for_table(const struct nlmsghdr *h, void *data) {
        const struct nfgenmsg *m = mnl_nlmsg_get_payload(h);
        struct wanted_table *w = data;
        const struct nlattr *a;

        if (m->nfgen_family != w->family || !streq(rules_text_of(h, NFTA_TABLE_NAME), w->name))
                return;
        mnl_attr_for_each(a, h,
                          sizeof(*m)) if (mnl_attr_get_type(a) == NFTA_TABLE_HANDLE && mnl_attr_get_payload_len(a) == 8)
                w->handle = be64toh(mnl_attr_get_u64(a));
}

uint64_t rules_table_handle(struct host *host, uint8_t family, const char *table) {
        struct nfgenmsg all = { .nfgen_family = family };
        struct wanted_table w = { family, table, 0 };

        error_free(netlink_dump(&host->filter, nft_type(NFT_MSG_GETTABLE), &all, sizeof(all), look_for_table, &w));
        return w.handle;
}

struct error *rules_command(char *const *argv, int timeout_ms) {
        struct process_options options = { .timeout_ms = timeout_ms };
        _cleanup_free_ char *complaint = NULL;
        _cleanup_strbuf_ struct strbuf line = STRBUF_INIT;
        int status;
        struct error *err = process_run(argv, &options, &status, NULL, &complaint);

        if (err || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
                return err;
        complaint[strcspn(complaint, "\n")] = '\0';
        for (char *const *word = argv; *word; word++)
                strbuf_addf(&line, "%s%s", word == argv ? "" : " ", *word);
        return error_new(ERROR_UNAVAILABLE, "%s: %s", strbuf_str(&line), *complaint ? complaint : "failed");
}
