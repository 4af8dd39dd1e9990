/* pod-private.h - the inside of struct pod, for the files of the state machine only (pod*, container*,
 * status, save). */
#pragma once

#include "husk-pod/container.h"
#include "husk-pod/event.h"
#include "husk-pod/pod.h"

enum pod_state {
        POD_WAITING,     /* does not fit the node (yet), nothing exists */
        POD_RUNNING,     /* admitted: sandbox, volumes and containers by the rules */
        POD_REPLACING,   /* the sandbox died: containers end, the rest of it is removed, then a new one */
        POD_RESTARTING,  /* rule RestartAllContainers: containers end, then all start anew in the same sandbox */
        POD_TERMINATING, /* containers end, in order */
        POD_RELEASING,   /* no container is left; the sandbox is removed */
        POD_ENDED,
        _POD_STATE_MAX,
};

/* Why a pod comes to its end; a later row wins over an earlier one. */
enum pod_cause {
        POD_CAUSE_NONE,
        POD_CAUSE_COMPLETED, /* its containers have ended and none is to be restarted */
        POD_CAUSE_LOST,      /* the sandbox died, and the restart policy is Never */
        POD_CAUSE_REFUSED,   /* not admitted by the node */
        POD_CAUSE_EVICTED,
        POD_CAUSE_DEADLINE, /* activeDeadlineSeconds */
        _POD_CAUSE_MAX,
};

enum sandbox_state {
        SANDBOX_NONE,
        SANDBOX_STARTING,
        SANDBOX_UP,
        SANDBOX_RETRY, /* could not be made; again at sandbox_retry_ns */
        SANDBOX_DEAD,  /* its infra process is gone; not removed yet */
        SANDBOX_STOPPING,
        _SANDBOX_STATE_MAX,
};

enum volumes_state {
        VOLUMES_WANTED,
        VOLUMES_ASKED,
        VOLUMES_READY,
        VOLUMES_RETRY,
        _VOLUMES_STATE_MAX,
};

/* One image reference that is or was to be pulled, with its back-off (a kubelet keeps one for each pod and image). */
struct pull {
        char *image;
        bool running;
        bool failed;       /* the last try failed: reason, message, retry_ns hold */
        bool backoff_told; /* the change from ErrImagePull to ImagePullBackOff was made */
        char *reason, *message;
        int64_t failed_ns, retry_ns;
        struct backoff backoff;
};

struct condition {
        char *type, *reason, *message;
        char status[8];        /* True, False, Unknown */
        int64_t transition_ns; /* realtime; 0: never changed since the pod was made */
        bool foreign;          /* set from outside (a readiness gate) */
};

enum effect_kind {
        EFFECT_SANDBOX_START,
        EFFECT_SANDBOX_STOP,
        EFFECT_VOLUMES_SETUP,
        EFFECT_IMAGE_PULL,
        EFFECT_CONTAINER_START,
        EFFECT_CONTAINER_ASK,
        EFFECT_CONTAINER_KILL,
        EFFECT_CONTAINER_REMOVE,
        EFFECT_RUN_START,
        EFFECT_RUN_CANCEL,
        EFFECT_DISRUPT,
        EFFECT_CLAIM_RENEW,
};

/* Something to be asked of the world once the state that says so is saved. */
struct effect {
        enum effect_kind kind;
        struct container *container;
        enum run_kind run;
        uint64_t id;      /* run id, sandbox attempt */
        unsigned attempt; /* of the container's run meant: dropped if that is over */
        char *image;
        char *uid; /* of the pod to be disrupted, and why: */
        const char *reason, *message;
};

struct pod {
        const struct pod_ops *ops;
        void *ctx;
        const V1Pod *spec;
        char *uid, *name, *namespace;
        char *node; /* name of the node, once known, for events */

        enum pod_state state;
        enum pod_cause cause;
        char *reason, *message; /* status.reason, status.message */
        bool deleted;           /* the object carries a deletionTimestamp */
        bool ask_admission;     /* admission is to be asked for (again) */
        bool scheduled;
        bool finished;                        /* ops.finished was called: nothing may be asked any more */
        bool restoring;                       /* between pod_restore() and pod_restored(): record, do not step */
        int64_t start_ns, start_monotonic_ns; /* startTime: when the node took it */
        int64_t stop_deadline_ns;             /* TERMINATING: end of the pod's grace period */
        bool initialized;                     /* all init containers have done their part in this sandbox */
        bool was_initialized; /* and in any: the condition Initialized never goes back by a restart of all */
        bool restarting_all;  /* condition AllContainersRestarting */
        bool disrupted;       /* condition DisruptionTarget */
        char *disruption_reason, *disruption_message;
        char *admission_message; /* of the last refusal, so that its event is written once */
        char *nominated_node;    /* room is being made for it there */
        char *resize_pending_reason, *resize_pending_message;
        int64_t pending_generation;
        V1Pod *allocated; /* in allocated_arena; NULL: the Pod object, no resize waits for room (resize.h) */
        struct api_arena *allocated_arena;
        bool resizing; /* ResizeStarted was told, ResizeCompleted was not */
        int64_t resizing_generation;
        bool cgroup_is_old; /* the pod's cgroup is not yet what is allocated */
        bool resize_asked;  /* of the runtime, of which the answer is awaited; what is allocated stays until then */
        unsigned resize_sandbox; /* attempt of the sandbox that it was asked for */
        char *resize_error;      /* why the last try failed */
        int64_t resize_retry_ns;
        V1ResourceRequirements *resources; /* spec.resources as applied to the pod's cgroup; in resources_arena */
        struct api_arena *resources_arena;
        V1Node *node_seen; /* its taints, in node_arena; NULL: not told yet */
        struct api_arena *node_arena;
        int64_t taint_since_ns; /* monotonic: since when taints have been limiting its stay; 0: they do not */
        int64_t taint_retry_ns;

        struct {
                enum sandbox_state state;
                unsigned attempt;
                bool ever;  /* there was one before: attempt counts */
                bool found; /* after a restore: it was reported to live */
                int64_t retry_ns, delay_ns;
                char **ips, **host_ips;
        } sandbox;
        struct {
                enum volumes_state state;
                bool again; /* something changed while the set-up was under way */
                int64_t retry_ns, delay_ns;
        } volumes;

        struct container **containers; /* init, main, ephemeral */
        size_t n_containers;
        struct pull **pulls;
        size_t n_pulls;
        struct event_log events;
        struct condition *conditions;
        size_t n_conditions;
        uint64_t next_run_id;

        /* of the step under way */
        int64_t now_ns;  /* monotonic */
        int64_t wake_ns; /* the earliest deadline anybody named */
        bool stepping, again, moved;
        struct effect *effects;
        size_t n_effects;

        bool status_dirty, state_dirty;
        V1PodStatus *status; /* as published last, in status_arena */
        struct api_arena *status_arena;
        char phase[16]; /* as published last */
};

/* ---- pod.c ---- */

extern const char *const pod_state_names[_POD_STATE_MAX];
/* To a state that the table of allowed moves has for the present one; aborts if it has not. */
void pod_move(struct pod *pod, enum pod_state to);

/* Something a successor or a reader of the status should know has changed. */
static inline void pod_touch(struct pod *pod) {
        pod->status_dirty = true;
        pod->state_dirty = true;
}
/* Step again no later than this. */
static inline void pod_wake(struct pod *pod, int64_t at_ns) {
        pod->wake_ns = MIN(pod->wake_ns, at_ns);
}
int64_t pod_realtime(const struct pod *pod);
void pod_trace(struct pod *pod, const char *format, ...) _printf_(2, 3);
/* An event about a container (or, with NULL, the pod) from the kubelet's mouth. */
void pod_event(struct pod *pod, const struct container *c, enum event_type type, const char *reason, const char *format,
               ...) _printf_(5, 6);

/* The same with a source and a text that is there already. */
void pod_event_text(struct pod *pod, enum event_source source, const struct container *c, enum event_type type,
                    const char *reason, const char *message);

/* May an init or main container be started now, as far as the pod is concerned? */
bool pod_is_turn_of(const struct pod *pod, const struct container *c);
/* Have all that must end before this sidecar ended? */
bool pod_is_turn_to_stop(const struct pod *pod, const struct container *c);
int64_t pod_grace_ns(const struct pod *pod); /* of the deletion, else of the spec */

struct container *pod_container(const struct pod *pod, const char *name);
/* The container, if it is this attempt of it that is meant. */
struct container *pod_container_run_of(const struct pod *pod, const char *name, unsigned attempt);
/* Points the containers to their places in the Pod object, and makes those that are new (ephemeral ones): true then. */
bool pod_bind_containers(struct pod *pod);
/* Has `after` the containers of `before`, ephemeral ones anywhere and perhaps more of them? */
bool pod_keeps_containers(const V1PodSpec *before, const V1PodSpec *after);
static inline int64_t pod_generation(const struct pod *pod) {
        return pod->spec->metadata->has_generation ? pod->spec->metadata->generation : 0;
}

/* ---- pod-step.c ---- */

/* Begins the end of the pod, or, if that is under way, shortens it. */
void pod_terminate(struct pod *pod, enum pod_cause cause, const char *reason, const char *message, int64_t grace_ns);

/* ---- pod-fact.c ---- */

/* Every event function begins with this: the clock goes on while the machine is at rest. False: nobody listens. */
bool pod_listens(struct pod *pod);
/* Whoever deleted it may have said why. */
void pod_take_disruption(struct pod *pod);
void pod_take_addresses(struct pod *pod, const struct sandbox_facts *facts);

/* ---- pod-effect.c ---- */

void pod_effect(struct pod *pod, enum effect_kind kind, struct container *c);
void pod_effect_run(struct pod *pod, enum effect_kind kind, struct container *c, enum run_kind run, uint64_t id);
void pod_effect_pull(struct pod *pod, const char *image);
/* Asks for the deletion of a pod, perhaps another one; reason and message live as long as the program. */
void pod_effect_disrupt(struct pod *pod, const char *uid, const char *reason, const char *message);
/* What is saved says what is about to be done: intent before effect. Answers that come at once only record facts
 * (pod->stepping is set) and may add effects of the next round. */
void pod_effects_perform(struct pod *pod);
void effect_release(struct effect *e);

/* ---- pod-image.c ---- */

/* The pull of the images a container needs: starts it when due. True when they are here (c->image_id is set). */
bool pod_ensure_image(struct pod *pod, struct container *c);
struct pull *pod_pull(const struct pod *pod, const char *image);
/* Reference of the image it needs next. */
const char *pod_image_needed(const struct container *c);
void pull_free(struct pull *p);

/* ---- save.c ---- */

void pod_load(struct pod *pod, const json_t *state, bool same_boot);
