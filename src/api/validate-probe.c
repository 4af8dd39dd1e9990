#include "api/validate-walk.h"

#include <inttypes.h>

#include "api/signal-name.h"

static const char *const http_schemes[] = { "HTTP", "HTTPS", NULL };

/* Probes and lifecycle hooks do something in or to a container; each names exactly one way. */
struct handler {
        const V1ExecAction *exec;
        const V1HTTPGetAction *http;
        const V1TCPSocketAction *tcp;
        const V1GRPCAction *grpc;
        const V1SleepAction *sleep;
};

static void validate_http(struct diagnostics *diags, const V1HTTPGetAction *http, path_t path) {
        if (str_empty(http->path))
                fault_required(diags, CHILD(path, "path"), NULL);
        validate_port_or_name(diags, http->port, CHILD(path, "port"));
        validate_word(diags, http->scheme, http_schemes, CHILD(path, "scheme"));
        for (size_t i = 0; i < http->n_httpheaders; i++)
                validate_text(diags, http->httpheaders[i]->name, text_check_http_header, CHILD(path, "httpHeaders"));
}

/* A hook that sleeps longer than the grace period would be cut off. */
static void validate_sleep(const struct pod_walk *walk, const V1SleepAction *sleep, path_t path) {
        const V1PodSpec *spec = walk->spec;

        if (spec->has_terminationgraceperiodseconds &&
            (sleep->seconds < 0 || sleep->seconds > spec->terminationgraceperiodseconds))
                diagnostics_add_int(walk->diags, DIAGNOSTIC_INVALID, path, sleep->seconds,
                                    "must be non-negative and less than terminationGracePeriodSeconds (%" PRId64 ")",
                                    spec->terminationgraceperiodseconds);
}

/* True if this is the first way named; another one is forbidden by its own path. */
static bool first_way(struct diagnostics *diags, size_t *n, path_t path) {
        if ((*n)++ == 0)
                return true;
        fault_forbidden(diags, path, "may not specify more than 1 handler type");
        return false;
}

static void validate_handler(const struct pod_walk *walk, const struct handler *h, path_t path) {
        struct diagnostics *diags = walk->diags;
        size_t n = 0;

        if (h->exec && first_way(diags, &n, CHILD(path, "exec")) && h->exec->n_command == 0)
                fault_required(diags, CHILD(CHILD(path, "exec"), "command"), NULL);
        if (h->http && first_way(diags, &n, CHILD(path, "httpGet")))
                validate_http(diags, h->http, CHILD(path, "httpGet"));
        if (h->tcp && first_way(diags, &n, CHILD(path, "tcpSocket")))
                validate_port_or_name(diags, h->tcp->port, CHILD(CHILD(path, "tcpSocket"), "port"));
        if (h->grpc && first_way(diags, &n, CHILD(path, "grpc")))
                validate_port(diags, h->grpc->port, CHILD(CHILD(path, "grpc"), "port"));
        if (h->sleep && first_way(diags, &n, CHILD(path, "sleep")))
                validate_sleep(walk, h->sleep, CHILD(path, "sleep"));
        if (n == 0)
                fault_required(diags, path, "must specify a handler type");
}

static void validate_hook(const struct pod_walk *walk, const V1LifecycleHandler *hook, path_t path) {
        if (hook)
                validate_handler(walk,
                                 &(struct handler){ .exec = hook->exec,
                                                    .http = hook->httpget,
                                                    .tcp = hook->tcpsocket,
                                                    .sleep = hook->sleep },
                                 path);
}

/* Which signals there are depends on the system, so a pod that names one has to say which system it is for. That gate,
 * ContainerStopSignals, is off in Kubernetes 1.36, where the field is dropped unseen; husk honours it, by the rules of
 * the gate (KEP-4960). */
static void validate_stop_signal(const struct pod_walk *walk, const char *signal, path_t path) {
        static const char *const of_windows[] = { "SIGKILL", "SIGTERM", NULL };
        const char *os = walk->spec->os ? walk->spec->os->name : NULL;

        if (!signal)
                return;
        if (str_empty(os))
                fault_forbidden(walk->diags, path, "may not be set for containers with empty `spec.os.name`");
        else
                validate_word(walk->diags, signal, streq(os, "windows") ? of_windows : signal_names, path);
}

void validate_lifecycle(const struct pod_walk *walk, const V1Lifecycle *lifecycle, path_t path) {
        if (!lifecycle)
                return;
        validate_hook(walk, lifecycle->poststart, CHILD(path, "postStart"));
        validate_hook(walk, lifecycle->prestop, CHILD(path, "preStop"));
        validate_stop_signal(walk, lifecycle->stopsignal, CHILD(path, "stopSignal"));
}

static void validate_probe(const struct pod_walk *walk, const V1Probe *probe, path_t path) {
        const V1ProbeHandler *h = probe->handler;
        struct handler handler = { 0 };

        if (h)
                handler = (struct handler){ .exec = h->exec, .http = h->httpget, .tcp = h->tcpsocket, .grpc = h->grpc };
        validate_handler(walk, &handler, path);
        validate_non_negative(walk->diags, probe->initialdelayseconds, CHILD(path, "initialDelaySeconds"));
        validate_non_negative(walk->diags, probe->timeoutseconds, CHILD(path, "timeoutSeconds"));
        validate_non_negative(walk->diags, probe->periodseconds, CHILD(path, "periodSeconds"));
        validate_non_negative(walk->diags, probe->successthreshold, CHILD(path, "successThreshold"));
        validate_non_negative(walk->diags, probe->failurethreshold, CHILD(path, "failureThreshold"));
        if (probe->has_terminationgraceperiodseconds && probe->terminationgraceperiodseconds <= 0)
                fault_invalid_int(walk->diags, CHILD(path, "terminationGracePeriodSeconds"),
                                  probe->terminationgraceperiodseconds, "must be greater than 0");
}

/* Liveness and startup: what failed once and is well again has been restarted, so more than one success means nothing.
 */
void validate_liveness_probe(const struct pod_walk *walk, const V1Probe *probe, path_t path) {
        if (!probe)
                return;
        validate_probe(walk, probe, path);
        if (probe->successthreshold != 1)
                fault_invalid_int(walk->diags, CHILD(path, "successThreshold"), probe->successthreshold, "must be 1");
}

void validate_readiness_probe(const struct pod_walk *walk, const V1Probe *probe, path_t path) {
        if (!probe)
                return;
        validate_probe(walk, probe, path);
        if (probe->has_terminationgraceperiodseconds)
                fault_invalid_int(walk->diags, CHILD(path, "terminationGracePeriodSeconds"),
                                  probe->terminationgraceperiodseconds, "must not be set for readinessProbes");
}
