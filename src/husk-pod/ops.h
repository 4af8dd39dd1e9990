/* ops.h - everything the state machine of a pod may ask of the world, as one table of operations.
 *
 * The machine (pod.h) is pure: it reads no clock, forks nothing, opens no file. Whatever it wants done it asks for
 * through this table; what happened it is told by the event functions in pod.h. Tests put a fake world with a virtual
 * clock behind the table; husk-pod puts the kernel, crun and the network behind it.
 *
 * Rules that hold for every operation:
 *  - Asynchronous operations return at once and are answered by exactly one event (named beside each of them). An
 *    answer may come from inside the operation's own call; the machine notes it and steps afterwards.
 *  - A stale answer (of an earlier sandbox, attempt or id) is ignored, so nothing needs to be taken back in the
 * runtime.
 *  - Operations cannot fail by themselves: a failure is an answer with a reason and a message.
 *  - Strings and structures passed in either direction are borrowed for the call only; keep copies.
 *  - Before an effect is asked for, the machine has called save() with a state that says so ("intent before effect"):
 *    a successor that restores it knows what may be half done.
 *  - Instants are nanoseconds: "monotonic" since boot (CLOCK_BOOTTIME), "realtime" since 1970. */
#pragma once

#include <jansson.h>

#include "api/api.h"
#include "base/base.h"

struct pod;

/* ---- admission ---- */

enum admission {
        ADMIT_YES,
        ADMIT_WAIT,   /* does not fit now: stays Pending, PodScheduled=False, asked again on pod_node_changed() */
        ADMIT_REFUSE, /* can never run here: the pod becomes Failed with this reason and message (as a kubelet) */
};

#define ADMIT_VICTIMS_MAX 128

struct admission_result {
        enum admission admission;
        char reason[64]; /* WAIT: "Unschedulable", "SchedulingGated"; REFUSE: "NodeAffinity", "SysctlForbidden", …
                          * of a pod that holds its claim, WAIT: "Deferred", "Infeasible" */
        char message[1024];
        char node[256]; /* YES, nominated: name of the node */
        /* WAIT: room is being made for it (its claim is kept as nominated); by these pods, if there are any, which are
         * to be disrupted now. */
        bool nominated;
        char victims[ADMIT_VICTIMS_MAX][40]; /* uids */
        size_t n_victims;
};

/* ---- sandbox ---- */

struct sandbox_facts {
        const char *const *ips; /* pod addresses, the primary first; NULL-terminated; the host's with hostNetwork */
        const char *const *host_ips; /* node addresses, the primary first; NULL-terminated */
};

/* ---- images ---- */

enum image_presence {
        IMAGE_ABSENT,
        IMAGE_PRESENT,
        IMAGE_INVALID_NAME, /* the reference cannot be parsed */
};

struct image_facts {
        const char *id;    /* what status.containerStatuses[].imageID shows, e.g. "docker.io/x@sha256:…" */
        const char *name;  /* what status.…image shows: a normalised tag; NULL: the text of the spec */
        uint64_t size;     /* bytes, for the Pulled event */
        int64_t pull_ns;   /* how long the transfer took, for the Pulled event; 0 when it was there already */
        int64_t waited_ns; /* including the time it stood in a queue */
};

/* Reasons of a failed pull, as containerStatuses[].state.waiting.reason shows them; NULL means "ErrImagePull".
 * Others: "InvalidImageName", "RegistryUnavailable", "SignatureValidationFailed". */

/* ---- containers ---- */

enum container_role {
        ROLE_INIT,      /* ordinary init container: runs to its end before the next one */
        ROLE_SIDECAR,   /* init container with restartPolicy Always: started in order, stopped last */
        ROLE_MAIN,      /* spec.containers */
        ROLE_EPHEMERAL, /* spec.ephemeralContainers: started once, never restarted, counts for nothing */
};

/* One run of one container. (name, attempt, sandbox) names a run for ever: make the container's ID from it (and the
 * pod's uid) and a successor can find what its predecessor started. */
struct container_run {
        const char *name;
        enum container_role role;
        const V1Container *spec; /* with the resources that are allocated to it; for an ephemeral container the same
                                  * fields copied from its common part */
        const char *target;      /* ephemeral: targetContainerName, else NULL */
        const char *image_id;    /* what image_lookup() or the pull said (image_facts.id) */
        unsigned attempt;        /* = restartCount of the run: the <n> of its log file <n>.log */
        unsigned sandbox;        /* attempt of the sandbox it runs in */
};

struct container_started {
        const char *id; /* 64 hex digits; status shows "husk://" before it */
        pid_t pid;
        uint64_t pid_start_time; /* process_start_time(), so that a successor is not fooled by a recycled pid */
        int64_t realtime_ns;     /* startedAt */
        int64_t monotonic_ns;    /* the same instant; 0: now */
        /* status.…user.linux; n_groups -1: not known, then user is not shown */
        int64_t uid, gid;
        const int64_t *groups;
        int n_groups;
        int stop_signal; /* what STOP_ASK will send */
};

/* Why container_start() could not. The word is the reason that status and events show. */
enum start_failure {
        START_CONFIG_ERROR, /* CreateContainerConfigError: env, ConfigMap key, runAsNonRoot, subPath, … nothing was made
                             */
        START_CREATE_ERROR, /* CreateContainerError: e.g. no command given, the runtime refused to create it */
        START_START_ERROR,  /* the program could not be executed: a finished run, reason StartError, exit code 128 */
        START_RUN_ERROR,    /* RunContainerError: created, but could not be started for a reason not its own */
        _START_FAILURE_MAX,
};

/* A run that was resized. */
struct resized_run {
        const char *name;
        unsigned attempt;
};

struct container_exit {
        int exit_code; /* 128 + signal when a signal ended it */
        int signal;    /* 0, or the signal (state.terminated.signal stays unset as a kubelet leaves it) */
        bool oom_killed;
        int64_t started_at_ns;         /* realtime; 0: as container_started said (for a restored run not yet known) */
        int64_t finished_at_ns;        /* realtime */
        int64_t finished_monotonic_ns; /* 0: now. Back-off counts from it, also for exits during a supervisor's absence
                                        */
        const char *message;           /* termination message, already cut to its limits; NULL or "" for none */
};

enum stop_signal {
        STOP_ASK,  /* the container's own: lifecycle.stopSignal, else the image's STOPSIGNAL, else SIGTERM */
        STOP_KILL, /* SIGKILL for all of its processes (cgroup.kill where there is one) */
};

/* ---- probes and hooks: one thing done for a container, with an answer ---- */

enum run_kind {
        RUN_STARTUP_PROBE,
        RUN_LIVENESS_PROBE,
        RUN_READINESS_PROBE,
        RUN_POST_START,
        RUN_PRE_STOP,
        _RUN_KIND_MAX,
};

/* Exactly one of the four actions is set (sleep hooks are the machine's own: a timer). */
struct action_run {
        uint64_t id;
        enum run_kind kind;
        const char *container;
        const V1Container *spec; /* named ports are looked up here */
        const V1ExecAction *exec;
        const V1HTTPGetAction *http_get;
        const V1TCPSocketAction *tcp_socket;
        const V1GRPCAction *grpc;
        int64_t timeout_ns; /* probes: timeoutSeconds, the runtime enforces it and answers failure; hooks: 0 */
};

enum run_result {
        RUN_SUCCESS,
        RUN_WARNING, /* a probe that succeeded with words to say (a redirect to another host) */
        RUN_FAILURE, /* exit status not 0, 4xx/5xx, refused, timed out, … */
        RUN_ERROR,   /* it could not be found out: the runtime could not exec, …; a probe's result is thrown away */
};

enum pod_end {
        POD_END_TERMINAL, /* Succeeded or Failed: keep what logs and get need, release the rest, exit */
        POD_END_DELETED,  /* deletionTimestamp was set: remove everything, exit */
};

/* ---- the table ---- */

struct pod_ops {
        int64_t (*monotonic_ns)(void *ctx);
        int64_t (*realtime_ns)(void *ctx);
        uint64_t (*random)(void *ctx); /* for the jitter of a probe's first run */
        /* Call pod_step() at that time. There is one timer; a later call replaces an earlier one; INT64_MAX: none. */
        void (*wake_at)(void *ctx, int64_t monotonic_ns);

        /* Does the pod fit this node, now? Synchronous. The runtime takes the node's lock, gathers node and what the
         * other pods claim, asks admit_pod() (admit.h), and on ADMIT_YES records this pod's claim before it unlocks.
         * May be asked again of a pod that holds its claim already. */
        void (*admit)(void *ctx, struct admission_result *ret);
        /* Gives the claim back: the pod is terminal or going. Idempotent. */
        void (*release)(void *ctx);
        /* Labels or the deletion of a pod that was admitted have changed: put admit_claim_renewed() in the place of its
         * claim, if it holds one. May be NULL. */
        void (*claim_renew)(void *ctx);
        /* Delete a pod for somebody: one of lower priority (a victim of admit), or this pod itself (a taint). Writes
         * into the object of `uid` what the scheduler or the taint manager writes through the API: condition
         * DisruptionTarget (status True, this reason and message) into status.conditions, who wanted it into
         * status.message if it is another pod, metadata.deletionTimestamp, metadata.deletionGracePeriodSeconds (its
         * spec's), and marks its claim "ending". Nothing happens to a pod that is being deleted already or is gone. The
         * pod's own husk-pod learns of it as of any deletion, by pod_spec_changed() with an object that carries that
         * condition. May be NULL: nobody is deleted. */
        void (*pod_disrupt)(void *ctx, const char *uid, const char *reason, const char *message);

        /* Infra process, namespaces, pod cgroup, network, /etc files. `attempt` counts sandboxes of this pod from 0.
         * Answer: pod_sandbox_started() or pod_sandbox_failed(); later perhaps pod_sandbox_died(). A failed start has
         * cleaned up after itself. */
        void (*sandbox_start)(void *ctx, unsigned attempt);
        /* Undo it all, also what is left of one that died, or there is of one that is still being made (which is not
         * answered then). Called only when no container runs (those it killed by dying have been reported). Idempotent.
         * Answer: pod_sandbox_stopped(). */
        void (*sandbox_stop)(void *ctx, unsigned attempt);

        /* Set up every volume that some container (init and ephemeral ones included) mounts; volumes that nobody mounts
         * are left alone. Called again after a failure, after pod_objects_changed(), and when ephemeral containers
         * come. Answer: pod_volumes_ready() or pod_volumes_failed(what stands in the FailedMount event of each). */
        void (*volumes_setup)(void *ctx);

        /* Is the image here? Synchronous, file reads only. ret is filled when present; valid until the next call. */
        enum image_presence (*image_lookup)(void *ctx, const char *image, struct image_facts *ret);
        /* Get it from its registry with the pod's imagePullSecrets. One pull for a reference at a time is asked for.
         * Answer: pod_image_pulled() or pod_image_failed(). Goes on, or not, as the runtime likes when the pod ends. */
        void (*image_pull)(void *ctx, const char *image);

        /* Start one run: rootfs, spec, log, crun. Whatever is left of an earlier attempt with the same number is
         * removed first. Answer: pod_container_started() or pod_container_start_failed(). */
        void (*container_start)(void *ctx, const struct container_run *run);
        /* Signals the running container; nothing happens if it is gone already (its exit is on the way). */
        void (*container_signal)(void *ctx, const struct container_run *run, enum stop_signal signal);
        /* The run has ended and was recorded: runtime state, rootfs and cgroup can go; the log stays. No answer: the
         * runtime puts a later container_start() or sandbox_stop() behind it. Idempotent. */
        void (*container_remove)(void *ctx, const struct container_run *run);
        /* What is allocated to the pod (pod_allocated()) has changed: bring the pod's cgroup, and those of these `n`
         * runs, to it. All or nothing where that can be told beforehand. One at a time. Answer: pod_resized(). */
        void (*resize)(void *ctx, const struct container_run *runs, size_t n);

        /* Do a probe or hook. Answer: pod_run_done(id). */
        void (*run_start)(void *ctx, const struct action_run *run);
        /* No longer wanted; its answer will be ignored. Kill what it started. */
        void (*run_cancel)(void *ctx, uint64_t id);

        /* Write the status; called only when something in it changed. `terminal`: keep it across a reboot too. */
        void (*publish_status)(void *ctx, const V1PodStatus *status, bool terminal);
        /* The list of events changed: a JSON array of V1Event, newest last. May be NULL. */
        void (*publish_events)(void *ctx, const json_t *events);
        /* What a successor needs (pod_save() of pod.h): write it where it survives a killed supervisor. May be NULL. */
        void (*save)(void *ctx, const json_t *state);

        /* One line for the supervisor's log (debugging: every move of the machine). May be NULL. */
        void (*trace)(void *ctx, const char *line);

        /* Everything is down: no container, no sandbox. Tear volumes down, remove what is to be removed, exit 0. Called
         * once; no event may follow. */
        void (*finished)(void *ctx, enum pod_end end);
};
