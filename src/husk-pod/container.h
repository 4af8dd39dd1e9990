/* container.h - one container of the pod: from its entry in the Pod spec to its last exit.
 *
 *                                          ┌─────────────────── reset: new sandbox, RestartAllContainers ──────┐
 *                                          ▼                                                                   │
 *   ┌─────────┐ its turn ┌───────┐ image is here ┌──────────┐ started ┌────────────┐ hook done ┌─────────┐     │
 *   │ WAITING │ ───────▶ │ IMAGE │ ────────────▶ │ STARTING │ ──────▶ │ POST_START │ ────────▶ │ RUNNING │     │
 *   └─────────┘          └───────┘               └──────────┘         └────────────┘           └─────────┘     │
 *                          ▲   ▲                   │      │                 │ hook failed          │           │
 *                          │   └── again at ── RETRY      │ StartError      ▼   probe, image,      │ exit      │
 *                          │                (not created) │            ┌──────────┐ end of the pod │           │
 *                          │                              │            │ STOPPING │ ◀──────────────┤           │
 *                          │                              ▼            └──────────┘                ▼           │
 *                          │   restart, perhaps later  ┌────────┐            │ exit             ┌────────┐     │
 *                          └────────────────────────── │ EXITED │ ◀──────────┴───────────────── │ EXITED │ ────┘
 *                                                      └────────┘                               └────────┘
 *
 * The pod decides whose turn it is and when everything must stop (pod.c); the container does the rest by itself. Events
 * record facts in the fields below and call pod_step(), which calls container_step(): it compares and moves as far as
 * it can. The process lives in POST_START, RUNNING and STOPPING, and may live in STARTING. */
#pragma once

#include "base/clock.h"
#include "husk-pod/hook.h"
#include "husk-pod/probe.h"
#include "husk-pod/restart.h"

enum container_state {
        CONTAINER_WAITING,    /* not its turn; nothing of it exists (any more) */
        CONTAINER_IMAGE,      /* its image is looked for or pulled, or waits for the next try to pull it */
        CONTAINER_STARTING,   /* container_start was asked for, the answer is out */
        CONTAINER_RETRY,      /* it could not be created; tried again later */
        CONTAINER_POST_START, /* the process runs, its postStart hook goes on; still shown as waiting */
        CONTAINER_RUNNING,
        CONTAINER_STOPPING, /* to be ended: preStop, its turn, stop signal, SIGKILL */
        CONTAINER_EXITED,   /* the last run has ended; restarted if it may be */
        _CONTAINER_STATE_MAX,
};

/* How far the ending of a container has come. */
enum stop_step {
        STOP_STEP_PRE_STOP, /* the hook runs, the grace period with it */
        STOP_STEP_TURN,     /* a sidecar waits for those that must end before it */
        STOP_STEP_ASKED,    /* the stop signal was sent */
        STOP_STEP_KILLED,   /* SIGKILL was sent; again from time to time */
};

/* Why a container is stopped: decides event, grace period, preStop, and whether it comes back whatever the policy. */
enum stop_cause {
        STOP_POD, /* the pod ends, or gets a new sandbox */
        STOP_LIVENESS,
        STOP_STARTUP,
        STOP_HOOK,        /* postStart failed */
        STOP_CHANGED,     /* another image */
        STOP_RESTART_ALL, /* rule RestartAllContainers: no preStop, no grace */
        STOP_RESIZE,      /* resources that need a restart; last, because states are saved as numbers */
        _STOP_CAUSE_MAX,
};

/* One ended run, as state.terminated shows it. */
struct termination {
        bool set;
        int exit_code;
        char *reason, *message, *id;
        int64_t started_ns, finished_ns; /* realtime */
};

struct container {
        struct pod *pod;
        enum container_role role;
        size_t index;               /* place in pod->containers: init containers, then main ones, then ephemeral ones */
        const V1Container *spec;    /* in the current Pod object; for an ephemeral container &common */
        const V1Container *granted; /* the same with the resources that are allocated to it (resize.h) */
        V1Container common;         /* an ephemeral container's fields in the shape all containers have */
        const char *target;         /* ephemeral: targetContainerName */

        enum container_state state;
        unsigned attempt;  /* of the run that is being started, goes on, or ended last */
        bool ran;          /* there was a run: attempt counts, the next one is attempt + 1 */
        unsigned restarts; /* restartCount as shown: attempt of the last run that came into being */

        /* image */
        char *image;                        /* the reference it was or is being started with */
        char *image_id;                     /* what that turned out to be */
        char *image_name;                   /* normalised, as the runtime named it; NULL: `image` */
        size_t image_at;                    /* how many of its image volumes' images are here; then comes its own */
        bool image_looked;                  /* the store was asked whether it is there */
        bool image_asked;                   /* waits for the pull of it that is under way */
        bool image_ready;                   /* it is here: go on */
        char *image_reason, *image_message; /* ErrImageNeverPull, InvalidImageName: no pull will help */
        int64_t image_retry_ns;

        /* the current or last run */
        char *id;
        pid_t pid;
        uint64_t pid_start_time;
        int64_t started_ns, started_monotonic_ns;
        int64_t ended_monotonic_ns;
        bool has_user;
        int64_t uid, gid, *groups;
        int n_groups;
        int stop_signal;       /* that it will be asked to stop with; 0: not known */
        bool started;          /* startup probe succeeded and postStart is done: others may follow */
        bool has_been_started; /* in this sandbox: a sidecar that restarts does not hold up those after it again */
        V1ResourceRequirements *resources; /* as applied to the run; in resources_arena */
        struct api_arena *resources_arena;
        /* What kept the last run from coming up (RunContainerError, PostStartHookError); shown until the next one is
         * up, or its back-off. */
        char *held_reason, *held_message;
        char *hook_message; /* what the postStart hook had to say */

        struct termination term;      /* of the last run, once it has ended */
        struct termination last;      /* of the one before */
        enum restart_verdict verdict; /* what the rules said when it ended */
        bool restart_forced;          /* it was stopped for a change: it comes back whatever the policy */
        bool restart_all_seen;        /* its RESTART_EVERYTHING was acted upon */
        bool backoff_told;            /* the BackOff event of this wait was written */
        bool backoff_due;             /* the next start is the first since the last end: the delay grows */
        struct backoff backoff;

        /* CONTAINER_RETRY */
        enum start_failure failure;
        char *failure_message;
        int64_t retry_ns;

        /* CONTAINER_STOPPING */
        enum stop_step stop_step;
        enum stop_cause stop_cause;
        int64_t stop_deadline_ns; /* end of the grace period */
        bool stop_delayed;        /* a hook or others took some of it */
        int64_t kill_ns;          /* when SIGKILL is due (again) */
        int64_t kill_interval_ns;

        bool found; /* after a restore: it was reported to live */
        struct probe startup, liveness, readiness;
        struct hook post_start, pre_stop;
};

/* Seconds of an API field as nanoseconds, negative ones as none, absurd ones as thirty years. */
static inline int64_t seconds_to_ns(int64_t seconds) {
        return (seconds < 0 ? 0 : MIN(seconds, 1000000000LL)) * NSEC_PER_SEC;
}

struct container *container_new(struct pod *pod, enum container_role role, const V1Container *spec);
struct container *container_free(struct container *c); /* accepts NULL, returns NULL */
/* The Pod object was replaced: point to the same container in the new one. */
void container_set_spec(struct container *c, const V1Container *spec, const V1Container *granted);
void container_set_ephemeral_spec(struct container *c, const V1EphemeralContainer *spec);

void container_step(struct container *c);

/* Ends it, if it runs: preStop, stop signal, SIGKILL after `grace_ns`. Called again it can only shorten the grace. */
void container_stop(struct container *c, enum stop_cause cause, int64_t grace_ns);
/* Back to WAITING, its past kept as last state. Only if no process of it can be alive. */
void container_reset(struct container *c);

/* Facts; they only record. */
void container_started(struct container *c, const struct container_started *started);
void container_start_failed(struct container *c, enum start_failure failure, const char *message, const char *id);
void container_exited(struct container *c, const struct container_exit *end);
void container_lost(struct container *c); /* it ran, and nobody knows what became of it */
/* A start asked for by a predecessor came to nothing, and is not wanted any more. */
void container_forget_start(struct container *c);
void container_run_done(struct container *c, uint64_t id, enum run_result result, const char *output);
bool container_has_run(const struct container *c, uint64_t id);

bool container_is_alive(const struct container *c);       /* its process runs, as far as is known */
bool container_is_busy(const struct container *c);        /* alive, or being started */
bool container_is_ready(const struct container *c);       /* as status.…ready */
bool container_is_finished(const struct container *c);    /* has ended for good */
bool container_is_initialized(const struct container *c); /* an init container that holds up nothing any more */
bool container_shows_held(const struct container *c); /* its next run is awaited, held_reason says what went wrong */
bool container_in_backoff(const struct container *c); /* waits for its restart: CrashLoopBackOff */
/* When an ended container may be started again. */
int64_t container_restart_ns(const struct container *c);

void container_describe_run(const struct container *c, struct container_run *ret);
void termination_release(struct termination *t);

extern const char *const container_state_names[_CONTAINER_STATE_MAX];
extern const char *const start_failure_reasons[_START_FAILURE_MAX];
