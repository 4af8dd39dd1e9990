/* network.c - `husk network`: which pod is connected to what. */
#include <stdio.h>

#include "base/str.h"
#include "husk/table.h"
#include "husk/verbs.h"
#include "net/net.h"
#include "server/resolver.h"

static bool all_namespaces, check, repair;
static const char *output;

const struct flag network_flags[] = {
        { "all-namespaces", 'A', FLAG_BOOL, &all_namespaces, NULL, NULL, "Pods of all namespaces" },
        { "check", 0, FLAG_BOOL, &check, NULL, NULL, "Look whether what is on record is there; exit status 1 if not" },
        { "repair", 0, FLAG_BOOL, &repair, NULL, NULL,
          "Make anew what somebody removed of the bridge and the nftables table, and show what there is then" },
        { "output", 'o', FLAG_TEXT, &output, "json", NULL, "All that is known, for programs" },
        { 0 },
};

const struct flag network_inspect_flags[] = {
        { "all-namespaces", 'A', FLAG_BOOL, &all_namespaces, NULL, NULL, "Pods of all namespaces" },
        { "output", 'o', FLAG_TEXT, &output, "json", NULL, "All that is known, for programs" },
        { 0 },
};

struct listing {
        struct net_overview overview;
        struct net_entry *list;
        size_t n;
        char **obstacles; /* other firewalls, and what would help */
        bool resolver_runs;
        char *resolver_log;      /* where it says why it does not */
        struct error *not_ready; /* CNI plugins, and why */
};

static void listing_release(struct listing *l) {
        net_list_free(l->list, l->n);
        net_overview_release(&l->overview);
        strv_free(l->obstacles);
        free(l->resolver_log);
        error_free(l->not_ready);
}

/* The namespace and the names that were given choose. */
static bool is_wanted(const struct net_entry *e, const char *ns, const struct arguments *arguments) {
        const char *slash = strchr(e->pod_name, '/');
        size_t len = slash ? (size_t)(slash - e->pod_name) : 0;

        if (!all_namespaces && !(strlen(ns) == len && strncmp(ns, e->pod_name, len) == 0))
                return false;
        if (!arguments->n_words)
                return true;
        for (size_t i = 0; i < arguments->n_words; i++) {
                const char *name = arguments->words[i];
                if (streq(slash ? slash + 1 : e->pod_name, str_starts_with(name, "pod/") ? name + 4 : name))
                        return true;
        }
        return false;
}

/* "8080->80/TCP, 127.0.0.1:53->53/UDP" */
static char *ports_text(const struct net_entry *e) {
        struct strbuf text = STRBUF_INIT;

        for (size_t i = 0; i < e->n_ports; i++) {
                const struct net_entry_port *p = &e->ports[i];
                bool bracket = strchr(p->host_ip, ':') != NULL;
                strbuf_adds(&text, i ? ", " : "");
                if (*p->host_ip)
                        strbuf_addf(&text, "%s%s%s:", bracket ? "[" : "", p->host_ip, bracket ? "]" : "");
                strbuf_addf(&text, "%u->%u/%s", p->host_port, p->container_port, p->protocol);
        }
        if (!e->n_ports)
                strbuf_adds(&text, "<none>");
        return strbuf_take(&text);
}

static const char *or_none(const char *text) {
        return *text ? text : "<none>";
}

static void print_table(const struct listing *l, const char *ns, const struct arguments *arguments) {
        _cleanup_table_ struct table table = TABLE_INIT;
        const struct net_overview *o = &l->overview;

        if (o->cni_conf_dir)
                printf("CNI plugins, by the configuration in %s%s%s%s%s\n\n", o->cni_conf_dir,
                       o->cni_summary ? ": " : "", o->cni_summary ? o->cni_summary : "",
                       l->not_ready ? "\nNot ready: " : "", l->not_ready ? error_message(l->not_ready) : "");
        else
                printf("Bridge %s (%s), ranges %s and %s, nftables table inet %s\n\n", o->bridge,
                       o->is_up ? "up" : "not made yet", *o->range4 ? o->range4 : "(chosen with the first pod)",
                       *o->range6 ? o->range6 : "no IPv6", o->table);
        if (o->resolver)
                printf("Names are answered by husk-resolver%s%s\n\n",
                       l->resolver_runs ? "" : ", which does not run: see ", l->resolver_runs ? "" : l->resolver_log);
        for (char **text = l->obstacles; text && *text; text++)
                printf("%s\n\n", *text);
        table_row(&table);
        if (all_namespaces)
                table_cell(&table, "NAMESPACE");
        static const char *const titles[] = { "POD", "IP", "IPV6", "MAC", "INTERFACE", "HOST-PORTS", "MADE-BY" };
        for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
                table_cell(&table, titles[i]);
        for (size_t i = 0; i < l->n; i++) {
                const struct net_entry *e = &l->list[i];
                const char *slash = strchr(e->pod_name, '/');
                if (!is_wanted(e, ns, arguments))
                        continue;
                table_row(&table);
                if (all_namespaces)
                        table_cell_take(&table, xstrndup(e->pod_name, slash ? slash - e->pod_name : 0));
                table_cell(&table, slash ? slash + 1 : e->pod_name);
                table_cell(&table, or_none(e->result.ip4));
                table_cell(&table, or_none(e->result.ip6));
                table_cell(&table, or_none(e->result.mac));
                table_cell(&table, or_none(e->result.host_ifname));
                table_cell_take(&table, e->by_plugins ? xstrdup("<plugins>") : ports_text(e));
                table_cell(&table, e->by_plugins ? "CNI" : "husk");
        }
        table_print(&table, stdout);
}

static json_t *entry_json(const struct net_entry *e) {
        json_t *ports = json_array();

        for (size_t i = 0; i < e->n_ports; i++)
                json_array_append_new(ports,
                                      json_pack("{s:s, s:s, s:i, s:i}", "protocol", e->ports[i].protocol, "hostIP",
                                                e->ports[i].host_ip, "hostPort", (int)e->ports[i].host_port,
                                                "containerPort", (int)e->ports[i].container_port));
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:s}", "pod", e->pod_name, "uid",
                         e->pod_uid, "ipv4", e->result.ip4, "ipv6", e->result.ip6, "gateway4", e->result.gateway4,
                         "gateway6", e->result.gateway6, "mac", e->result.mac, "interface", e->result.ifname,
                         "hostInterface", e->result.host_ifname, "mtu", (int)e->result.mtu, "hostPorts", ports,
                         "madeBy", e->by_plugins ? "CNI" : "husk");
}

static void print_json(const struct listing *l, const char *ns, const struct arguments *arguments) {
        const struct net_overview *o = &l->overview;
        json_auto_t *pods = json_array();

        for (size_t i = 0; i < l->n; i++)
                if (is_wanted(&l->list[i], ns, arguments))
                        json_array_append_new(pods, entry_json(&l->list[i]));
        json_auto_t *json = json_pack("{s:s, s:b, s:s, s:s, s:s, s:O}", "bridge", o->bridge, "up", (int)o->is_up,
                                      "ipv4", o->range4, "ipv6", o->range6, "nftablesTable", o->table, "pods", pods);
        if (o->cni_conf_dir)
                json_object_set_new(json, "cni",
                                    json_pack("{s:s, s:s*, s:b, s:s*}", "configuration", o->cni_conf_dir, "summary",
                                              o->cni_summary, "ready", (int)!l->not_ready, "message",
                                              l->not_ready ? error_message(l->not_ready) : NULL));
        _cleanup_free_ char *text = json_dumps(json, JSON_INDENT(4));
        puts(text);
}

static void check_all(struct cli *cli, const struct store *store, const struct listing *l, const char *ns,
                      const struct arguments *arguments) {
        for (size_t i = 0; i < l->n; i++) {
                if (!is_wanted(&l->list[i], ns, arguments))
                        continue;
                _cleanup_error_ struct error *err = net_check(store, l->list[i].pod_uid);
                printf("%s: %s\n", l->list[i].pod_name, err ? error_message(err) : "ok");
                if (err)
                        cli->status = 1;
        }
}

static void print_address(const char *title, const char *address, const char *gateway) {
        printf("  %-12s %s%s%s\n", title, or_none(address), *gateway ? ", gateway " : "", gateway);
}

/* Everything that is known of each pod, for a person. */
static void print_details(const struct store *store, const struct listing *l, const char *ns,
                          const struct arguments *arguments) {
        for (size_t i = 0; i < l->n; i++) {
                const struct net_entry *e = &l->list[i];
                const struct net_result *r = &e->result;
                if (!is_wanted(e, ns, arguments))
                        continue;
                _cleanup_free_ char *ports = e->by_plugins ? xstrdup("the plugins'") : ports_text(e);
                _cleanup_error_ struct error *err = net_check(store, e->pod_uid);
                printf("%s\n", e->pod_name);
                printf("  %-12s %s (%s), MTU %u\n", "in the pod:", or_none(r->ifname), or_none(r->mac), r->mtu);
                printf("  %-12s %s%s%s\n", "on the node:", or_none(r->host_ifname), e->by_plugins ? "" : " on bridge ",
                       e->by_plugins ? "" : l->overview.bridge);
                print_address("IPv4:", r->ip4, r->gateway4);
                print_address("IPv6:", r->ip6, r->gateway6);
                printf("  %-12s %s\n", "host ports:", ports);
                printf("  %-12s %s\n", "made by:", e->by_plugins ? "CNI plugins" : "husk");
                printf("  %-12s %s\n", "state:", err ? error_message(err) : "ok");
        }
}

enum form { FORM_LIST, FORM_DETAILS };

/* Every pod that was named has a network of its own. */
static struct error *check_names(const struct listing *l, const char *ns, const struct arguments *arguments) {
        for (size_t i = 0; i < arguments->n_words; i++) {
                struct arguments one = { .words = &arguments->words[i], .n_words = 1 };
                bool found = false;
                for (size_t k = 0; k < l->n; k++)
                        found |= is_wanted(&l->list[k], ns, &one);
                if (!found)
                        return error_new(ERROR_NOT_FOUND,
                                         "pod \"%s\" has no network of its own: it does not run, or uses the machine's",
                                         arguments->words[i]);
        }
        return NULL;
}

static struct error *show(struct cli *cli, struct arguments *arguments, enum form form) {
        _cleanup_(listing_release) struct listing l = { 0 };
        const char *ns = cli_namespace(cli);
        struct store *store;
        struct error *err;

        if (output && !streq(output, "json"))
                return usage_error("--output knows json only");
        err = cli_store(cli, &store);
        if (!err && repair)
                err = net_repair(store);
        if (!err)
                err = net_overview(store, &l.overview);
        if (!err)
                err = net_list(store, &l.list, &l.n);
        if (!err)
                err = check_names(&l, ns, arguments);
        if (err)
                return err;
        /* Who may not look at nftables is told of the pods all the same. */
        if (!l.overview.cni_conf_dir)
                error_free(net_obstacles(store, &l.obstacles));
        else
                l.not_ready = net_plugins_ready(store);
        l.resolver_runs = l.overview.resolver && resolver_is_answering(store);
        l.resolver_log = resolver_log_path(store);
        if (check)
                check_all(cli, store, &l, ns, arguments);
        else if (output)
                print_json(&l, ns, arguments);
        else if (form == FORM_DETAILS)
                print_details(store, &l, ns, arguments);
        else
                print_table(&l, ns, arguments);
        return NULL;
}

struct error *network_run(struct cli *cli, struct arguments *arguments) {
        return show(cli, arguments, FORM_LIST);
}

struct error *network_inspect_run(struct cli *cli, struct arguments *arguments) {
        return show(cli, arguments, FORM_DETAILS);
}
