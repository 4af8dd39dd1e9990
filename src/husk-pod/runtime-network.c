/* runtime-network.c - the network of the sandbox that is being made or unmade. What husk does itself is done within the
 * call; CNI plugins run beside everything else (plugin-run.h). */
#include "husk-pod/runtime.h"

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "husk-pod/network-request.h"
#include "husk-pod/plugin-run.h"

static bool uses_host_network(const V1Pod *pod) {
        return pod->spec->has_hostnetwork && pod->spec->hostnetwork;
}

static char **two_addresses(const char *ip4, const char *ip6) {
        char **list = NULL;
        if (*ip4)
                list = strv_add(list, ip4);
        if (*ip6)
                list = strv_add(list, ip6);
        return list;
}

static struct error *find_node_addresses(struct runtime *rt) {
        struct net_node node = { 0 };
        struct error *err = net_node_addresses(&node);
        if (err)
                return err;
        strv_free(rt->sb.host_ips);
        rt->sb.host_ips = two_addresses(node.ip4, node.ip6);
        return NULL;
}

/* ---- plugins ---- */

/* Plugins that a predecessor was running, or what they had started themselves, end before anything is asked of others:
 * who is still at work on an ADD may make what the DEL after it did not see. */
static struct error *end_leftovers(struct runtime *rt) {
        struct error *err = rt->sb.plugins_known ? NULL : leftover_plugins_kill(rt);

        rt->sb.plugins_known |= !err;
        return err;
}

/* *ret_job: as from net_attach_begin() and net_detach_begin(), but gone after an error. */
static struct error *job_check(struct runtime *rt, struct net_job **job) {
        struct error *err = *job ? end_leftovers(rt) : NULL;

        if (err)
                *job = net_job_free(*job);
        return err;
}

/* ---- attaching ---- */

/* A pod on the machine's network asks the resolver by the bridge's address, on which there need be no other pod. */
static bool asks_resolver(const struct runtime *rt) {
        return streq_ptr(rt->spec->spec->dnspolicy, "ClusterFirstWithHostNet") && rt->sb.resolver;
}

static struct error *attach(struct runtime *rt, struct net_job **ret_job) {
        _cleanup_network_request_ struct network_request request = { 0 };
        struct net_result result = { 0 };
        struct error *err = find_node_addresses(rt);

        *ret_job = NULL;
        if (err)
                return err;
        rt->sb.pod_ips = strv_free(rt->sb.pod_ips);
        if (uses_host_network(rt->spec)) {
                rt->sb.pod_ips = strv_copy(rt->sb.host_ips);
                return asks_resolver(rt) ? net_prepare(rt->store, rt->uid) : NULL;
        }
        err = network_request_of(rt, &request);
        if (!err)
                err = net_attach_begin(rt->store, rt->uid, rt->sb.sandbox->netns_fd, &request.net, &result, ret_job);
        if (!err)
                err = job_check(rt, ret_job);
        if (!err && !*ret_job)
                rt->sb.pod_ips = two_addresses(result.ip4, result.ip6);
        return err;
}

/* Once more, to learn what there is now. */
static void plugins_attached(void *arg, struct error *err) {
        struct runtime *rt = arg;
        struct net_job *again = NULL;

        rt->sb.plugins = NULL;
        if (!err)
                err = attach(rt, &again);
        if (again) {
                net_job_free(again);
                err = error_new(ERROR_CONFLICT, "network: its configuration changed meanwhile");
        }
        rt->sb.network_done(rt, err);
}

void runtime_network_attach(struct runtime *rt, void (*done)(struct runtime *rt, struct error *err)) {
        struct net_job *job = NULL;
        struct error *err = attach(rt, &job);

        rt->sb.plugins_tried = false;
        rt->sb.network_done = done;
        if (job)
                rt->sb.plugins = plugin_run_new(rt->loop, job, plugins_attached, rt);
        else
                done(rt, err);
}

void runtime_network_abandon(struct runtime *rt) {
        if (rt->sb.plugins && !rt->sb.detaching)
                plugin_run_abandon(rt->sb.plugins);
}

bool runtime_network_is_busy(const struct runtime *rt) {
        return rt->sb.plugins != NULL;
}

struct error *runtime_network_adopt(struct runtime *rt) {
        struct net_result result = { 0 };
        struct error *err = find_node_addresses(rt);

        if (!err && uses_host_network(rt->spec)) {
                rt->sb.pod_ips = strv_copy(rt->sb.host_ips);
        } else if (!err) {
                err = net_read(rt->store, rt->uid, &result);
                rt->sb.pod_ips = two_addresses(result.ip4, result.ip6);
        }
        return err;
}

/* ---- detaching ---- */

static void plugins_detached(void *arg, struct error *err) {
        struct runtime *rt = arg;

        rt->sb.plugins = NULL;
        rt->sb.detaching = false;
        rt->sb.plugins_tried = true;
        rt->sb.network_done(rt, err);
}

void runtime_network_detach(struct runtime *rt, void (*done)(struct runtime *rt, struct error *err)) {
        struct net_job *job = NULL;
        struct error *err = net_detach_begin(rt->store, rt->uid, &job);

        error_keep_first(&err, job_check(rt, &job));
        rt->sb.network_done = done;
        if (!job) {
                done(rt, err);
                return;
        }
        if (err) { /* the plugins' part is not done for all that */
                log_warning("%s", error_message(err));
                error_free(err);
        }
        rt->sb.detaching = true;
        rt->sb.plugins = plugin_run_new(rt->loop, job, plugins_detached, rt);
}

struct error *runtime_network_detach_now(struct runtime *rt) {
        _cleanup_net_job_ struct net_job *job = NULL;
        struct error *err = net_detach_begin(rt->store, rt->uid, &job);

        error_keep_first(&err, job_check(rt, &job));
        if (!rt->sb.plugins_tried)
                error_keep_first(&err, net_job_run(job));
        return err;
}

void runtime_network_release(struct runtime *rt) {
        rt->sb.plugins = plugin_run_free(rt->sb.plugins);
        rt->sb.pod_ips = strv_free(rt->sb.pod_ips);
        rt->sb.host_ips = strv_free(rt->sb.host_ips);
}
