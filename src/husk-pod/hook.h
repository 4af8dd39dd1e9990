/* hook.h - one run of a lifecycle hook (postStart or preStop) of a container.
 *
 * exec and httpGet are done by the runtime; sleep is a deadline kept here. A tcpSocket hook passes validation and fails
 * when it is run, and so does a hook that names no action: that is what Kubernetes does.
 *
 *      idle ──begin──▶ running ──answer or time──▶ succeeded / failed
 */
#pragma once

#include "husk-pod/ops.h"

enum hook_state {
        HOOK_IDLE,
        HOOK_RUNNING,
        HOOK_SUCCEEDED,
        HOOK_FAILED,
};

struct hook {
        enum run_kind kind;
        enum hook_state state;
        uint64_t run_id;    /* of the runtime's run; 0 for a sleep */
        int64_t wake_up_ns; /* end of a sleep */
};

/* True if the runtime must be asked to run it (with `id`); otherwise it sleeps, or has failed already. */
bool hook_begin(struct hook *h, const V1LifecycleHandler *spec, uint64_t id, int64_t now_ns);
void hook_answered(struct hook *h, enum run_result result);
/* The clock went on: a sleep may be over. */
void hook_step(struct hook *h, int64_t now_ns);

/* The signal that asks a container to end: lifecycle.stopSignal, else the STOPSIGNAL of its image, else SIGTERM
 * (KEP-4960). Either may be NULL; what names no signal counts for nothing. */
int hook_stop_signal(const V1Lifecycle *lifecycle, const char *image_signal);
