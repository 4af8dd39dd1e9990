/* runtime-sandbox.c - the pod's sandbox: cgroup, infra process, network, /etc files; in that order, and undone in the
 * other. */
#include "husk-pod/runtime.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "net/net.h"
#include "sandbox/cgroup.h"
#include "sandbox/hosts.h"
#include "store/node-config.h"

static void forget_dns(struct runtime *rt) {
        str_replace(&rt->sb.cluster_domain, NULL);
        str_replace(&rt->sb.node_resolv, NULL);
        rt->sb.cluster_dns = strv_free(rt->sb.cluster_dns);
        rt->sb.dns_known = false;
}

/* Whom pods ask for names: husk's own resolver, on their gateway, or the servers of the configuration. */
static struct error *read_dns(struct runtime *rt) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct net_gateway gateway = { 0 };
        struct error *err = rt->sb.dns_known ? NULL : node_config_read(rt->store, &config);

        if (!err && config.resolver)
                err = net_gateway_read(rt->store, &gateway);
        if (err || rt->sb.dns_known)
                return err;
        forget_dns(rt);
        rt->sb.by_plugins = config.cni_conf_dir != NULL;
        rt->sb.resolver = config.resolver;
        rt->sb.cluster_domain = xstrdup(node_config_cluster_domain(&config));
        rt->sb.node_resolv = TAKE_PTR(config.resolv_conf);
        if (config.resolver && *gateway.ip4)
                rt->sb.cluster_dns = strv_add(NULL, gateway.ip4);
        else
                rt->sb.cluster_dns = TAKE_PTR(config.cluster_dns);
        rt->sb.dns_known = !config.resolver || *gateway.ip4; /* the node's first pod makes the gateway */
        return NULL;
}

struct error *runtime_hosts_config(struct runtime *rt, struct hosts_config *ret) {
        struct error *err = read_dns(rt);

        *ret = (struct hosts_config){ .pod = rt->spec,
                                      .pod_ips = rt->sb.pod_ips,
                                      .cluster_domain = rt->sb.cluster_domain,
                                      .cluster_dns = rt->sb.cluster_dns,
                                      .node_resolv = rt->sb.node_resolv };
        return err;
}

static struct error *write_etc_files(struct runtime *rt) {
        struct hosts_config config;
        _cleanup_strv_ char **warnings = NULL;
        struct error *err = runtime_hosts_config(rt, &config);

        if (!err)
                err = hosts_write(rt->store, &config, &warnings);

        for (char **w = warnings; w && *w; w++) {
                _cleanup_free_ char *reason = xstrndup(*w, strcspn(*w, ":"));
                const char *message = *w + strlen(reason);

                pod_warned(rt->pod, reason, message + strspn(message, ": "));
        }
        return err;
}

static void forget_sandbox(struct runtime *rt) {
        rt->sb.ready = loop_io_free(rt->sb.ready);
        rt->sb.infra_io = loop_io_free(rt->sb.infra_io);
        rt->sb.dying = false;
        rt->sb.sandbox = sandbox_free(rt->sb.sandbox);
}

static void warn(struct error *err, const char *what) {
        if (err)
                log_warning("%s: %s", what, error_message(err));
        error_free(err);
}

void runtime_sandbox_facts(const struct runtime *rt, struct sandbox_facts *ret) {
        static char *const none[] = { NULL };
        ret->ips = (const char *const *)(rt->sb.pod_ips ? rt->sb.pod_ips : none);
        ret->host_ips = (const char *const *)(rt->sb.host_ips ? rt->sb.host_ips : none);
}

/* ---- unmaking it ---- */

static bool is_removing(const struct runtime *rt) {
        for (const struct instance *i = rt->instances; i; i = i->next)
                if (i->state == INSTANCE_REMOVING)
                        return true;
        return false;
}

/* The network is the first to go, while the namespace is still there; this is the rest. */
static void network_detached(struct runtime *rt, struct error *err) {
        _cleanup_error_ struct error *failure = TAKE_PTR(rt->sb.failure);

        warn(err, "detach the network");
        warn(sandbox_destroy(rt->store, rt->uid), "destroy the sandbox");
        warn(cgroup_pod_remove(rt->store, rt->uid), "remove cgroups");
        if (!rt->sb.stopping) {
                pod_sandbox_failed(rt->pod, rt->sb.attempt, failure ? error_message(failure) : "it failed");
        } else if (!is_removing(rt)) { /* else once more when that is done */
                rt->sb.stopping = false;
                pod_sandbox_stopped(rt->pod, rt->sb.attempt);
        }
}

static void undo(struct runtime *rt) {
        forget_sandbox(rt);
        runtime_network_detach(rt, network_detached);
}

static void sandbox_failed(struct runtime *rt, struct error *err) {
        error_free(rt->sb.failure);
        rt->sb.failure = err;
        undo(rt);
}

/* ---- making it ---- */

/* For whoever looks for where the time of a start goes (bench/network.py reads it): microseconds since the last step.
 */
static void trace_step(struct runtime *rt, const char *what) {
        int64_t now = clock_monotonic_ns();

        log_debug("sandbox: %s %lld us", what, (long long)((now - rt->sb.step_ns) / 1000));
        rt->sb.step_ns = now;
}

static void sandbox_ready(void *arg, int events) {
        struct runtime *rt = arg;
        struct sandbox_facts facts;
        struct error *err;

        rt->sb.ready = loop_io_free(rt->sb.ready);
        err = sandbox_finish(rt->sb.sandbox);
        rt->sb.dying = rt->sb.sandbox->died;
        if (rt->sb.dying) {
                error_free(err);
                return;
        }
        if (err) {
                sandbox_failed(rt, err);
                return;
        }
        trace_step(rt, "ready");
        runtime_sandbox_facts(rt, &facts);
        pod_sandbox_started(rt->pod, rt->sb.attempt, &facts);
}

static char *pod_cgroup_path(struct runtime *rt) {
        return cgroup_pod_path(rt->store, rt->uid, pod_qos(rt->spec));
}

struct error *runtime_pod_limits(struct runtime *rt, struct cgroup_limits *ret) {
        _cleanup_node_config_ struct node_config config = { 0 };
        struct error *err = node_config_read(rt->store, &config);

        if (!err)
                *ret = cgroup_limits_of_pod(runtime_allocated(rt), config.pod_pids_limit);
        return err;
}

static struct error *make_cgroups(void *arg) {
        struct runtime *rt = arg;
        struct cgroup_limits limits;
        struct error *err = runtime_pod_limits(rt, &limits);

        if (!err)
                err = cgroup_pod_create(rt->store, rt->uid, pod_qos(rt->spec), &limits);
        if (err)
                return err;
        runtime_hurry(rt);
        trace_step(rt, "cgroups");
        return NULL;
}

/* The network is made: the files that name its addresses, and the last words of the infra process. */
static struct error *finish(struct runtime *rt) {
        trace_step(rt, "network");
        struct error *err = write_etc_files(rt);

        if (err || rt->sb.sandbox->ready_fd < 0)
                return err ? err : sandbox_finish(rt->sb.sandbox);
        return loop_io_new(rt->loop, rt->sb.sandbox->ready_fd, LOOP_READABLE, sandbox_ready, rt, &rt->sb.ready);
}

static void network_attached(struct runtime *rt, struct error *err) {
        if (rt->sb.stopping) {
                error_free(err);
                runtime_sandbox_continue(rt);
                return;
        }
        if (rt->sb.failure) { /* the infra process died meanwhile */
                error_free(err);
                err = TAKE_PTR(rt->sb.failure);
        }
        if (!err)
                err = finish(rt);
        if (err)
                sandbox_failed(rt, err);
        else if (!rt->sb.ready)
                sandbox_ready(rt, 0);
}

/* Up to the network. The infra process makes and configures its namespaces beside the cgroups, and gets ready beside
 * the network. */
static struct error *make_sandbox(struct runtime *rt) {
        struct sandbox_config config = { .store = rt->store,
                                         .pod = rt->spec,
                                         .attempt = rt->sb.attempt,
                                         .ids = &rt->ids,
                                         .make_cgroups = make_cgroups,
                                         .arg = rt };
        struct error *err = runtime_oci_choose(rt);

        forget_dns(rt); /* the node may say something else by now */
        if (!err)
                err = read_dns(rt);
        rt->sb.step_ns = clock_monotonic_ns();
        if (!err)
                err = runtime_ids_open(rt);
        if (err)
                return err;
        free(rt->sb.cgroup);
        rt->sb.cgroup = pod_cgroup_path(rt);
        config.cgroup_path = rt->sb.cgroup;
        config.cluster_domain = rt->sb.cluster_domain;
        config.foreign_network = rt->sb.by_plugins;
        err = sandbox_start(&config, &rt->sb.sandbox);
        if (err)
                return err;
        trace_step(rt, "namespaces");
        return NULL;
}

void runtime_sandbox_start(void *ctx, unsigned attempt) {
        struct runtime *rt = ctx;

        rt->sb.attempt = attempt;
        struct error *err = make_sandbox(rt);
        if (err)
                sandbox_failed(rt, err);
        else
                runtime_network_attach(rt, network_attached);
}

void runtime_sandbox_continue(struct runtime *rt) {
        if (rt->sb.stopping && !is_removing(rt) && !runtime_network_is_busy(rt))
                undo(rt);
}

void runtime_sandbox_stop(void *ctx, unsigned attempt) {
        struct runtime *rt = ctx;

        rt->sb.attempt = attempt;
        rt->sb.stopping = true;
        runtime_network_abandon(rt); /* of one that is only being made */
        instances_delete(rt);
        runtime_sandbox_continue(rt);
}

/* Before its network was made. It may have said of what. */
static void died_early(struct runtime *rt, const struct keeper_exit *e) {
        struct error *err = sandbox_finish(rt->sb.sandbox);

        if (!err || rt->sb.sandbox->died) {
                error_free(err);
                err = sandbox_died(rt->sb.cgroup, e->code, e->status);
        }
        error_free(rt->sb.failure);
        rt->sb.failure = err;
        runtime_network_abandon(rt);
}

bool runtime_sandbox_exited(struct runtime *rt, const struct keeper_exit *e) {
        struct sandbox *s = rt->sb.sandbox;

        if (!s || e->pid != s->pid || (e->start_time && e->start_time != s->start_time))
                return false;
        if (runtime_network_is_busy(rt)) {
                died_early(rt, e);
                return true;
        }
        bool young = rt->sb.ready || rt->sb.dying;
        if (rt->sb.ready) /* it dies while it is being made, and may have said of what */
                sandbox_ready(rt, 0);
        if (rt->sb.dying)
                sandbox_failed(rt, sandbox_died(rt->sb.cgroup, e->code, e->status));
        if (young)
                return true;
        forget_sandbox(rt);
        pod_sandbox_died(rt->pod, rt->sb.attempt);
        return true;
}

/* An infra process whose keeper has died is nobody's child any more; its end shows on its pidfd. */
static void infra_gone(void *arg, int events) {
        struct runtime *rt = arg;
        struct keeper_exit e = { .pid = rt->sb.sandbox->pid, .start_time = rt->sb.sandbox->start_time };
        runtime_sandbox_exited(rt, &e);
}

bool runtime_sandbox_adopt(struct runtime *rt) {
        _cleanup_error_ struct error *err = sandbox_open(rt->store, rt->uid, &rt->sb.sandbox);

        if (err || !rt->sb.sandbox)
                return false;
        rt->sb.attempt = rt->sb.sandbox->attempt;
        free(rt->sb.cgroup);
        rt->sb.cgroup = pod_cgroup_path(rt);
        err = runtime_ids_open(rt);
        if (!err)
                err = runtime_network_adopt(rt);
        if (!err && process_parent(rt->sb.sandbox->pid) != getppid())
                err = loop_io_new(rt->loop, rt->sb.sandbox->pidfd, LOOP_READABLE, infra_gone, rt, &rt->sb.infra_io);
        if (err) {
                log_warning("the sandbox cannot be taken over: %s", error_message(err));
                forget_sandbox(rt);
                return false;
        }
        return true;
}

void runtime_sandbox_release(struct runtime *rt) {
        forget_sandbox(rt);
        runtime_network_release(rt);
        error_free(rt->sb.failure);
        forget_dns(rt);
        free(rt->sb.cgroup);
}
