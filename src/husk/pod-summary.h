/* pod-summary.h - a pod in one line: the READY, STATUS and RESTARTS columns of `get pods`.
 *
 * The rules are those by which the Kubernetes API server prints pods: STATUS is the phase unless something says more
 * (a reason of the pod, of an init container, of a container that waits or has ended, the deletion). */
#pragma once

#include <jansson.h>

#include "base/base.h"

struct pod_summary {
        char *status;        /* "Running", "Init:0/2", "CrashLoopBackOff", "Terminating", … */
        size_t ready, total; /* containers and sidecars */
        int64_t restarts;
        int64_t last_restart; /* seconds since 1970 of the exit before the newest restart, 0 if there was none */
};

void pod_summary_make(const json_t *pod, struct pod_summary *ret);
/* "2 (5m ago)" */
char *pod_summary_restarts(const struct pod_summary *summary, int64_t now);
void pod_summary_release(struct pod_summary *summary);
#define _cleanup_pod_summary_ _cleanup_(pod_summary_release)
