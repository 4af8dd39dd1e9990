/* restart.h - is a container started again after it ended, and when?
 *
 * Kubernetes' rules: the container's restartPolicyRules first (by exit code), then its own restartPolicy, then the
 * pod's; an ordinary init container that ended well is done; a sidecar is always started again. The first restart comes
 * at once, later ones after a back-off of 10 s doubling to 300 s, counted from the end of the last run; a run of more
 * than ten minutes starts the series anew. */
#pragma once

#include "husk-pod/ops.h"

enum restart_verdict {
        RESTART_NO,
        RESTART_YES,
        RESTART_EVERYTHING, /* rule RestartAllContainers: the whole pod from its first init container */
};

enum restart_verdict restart_decide(const V1PodSpec *pod, const V1Container *container, enum container_role role,
                                    int exit_code);
/* Is it started again after it was killed for failing a probe, whatever exit code that gave? */
bool restart_after_probe(const V1PodSpec *pod, const V1Container *container, enum container_role role);
/* Can a rule of this pod ever say RESTART_EVERYTHING? Only then the condition AllContainersRestarting is shown. */
bool restart_may_restart_everything(const V1PodSpec *pod);

/* The state of one series. All zero: nothing was started yet. */
struct backoff {
        int64_t delay_ns;   /* what the next event will have to wait; 0: nothing */
        int64_t updated_ns; /* when the delay last grew */
};

#define BACKOFF_INITIAL_NS (10 * 1000000000LL)
#define BACKOFF_MAX_NS (300 * 1000000000LL)
#define BACKOFF_RESET_NS (2 * BACKOFF_MAX_NS)

/* When may it be tried again, if the last try ended at `ended_ns`? May lie in the past. */
int64_t backoff_ready_at(const struct backoff *b, int64_t ended_ns);
/* It is tried again now, after the end at `ended_ns`. */
void backoff_advance(struct backoff *b, int64_t ended_ns, int64_t now_ns);
