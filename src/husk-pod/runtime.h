/* runtime.h - the kernel's side of husk-pod: what the files that carry out struct pod_ops (ops.h) share.
 *
 * runtime.c holds the table and everything that concerns the pod as a whole; the rest is one file for one subject:
 *
 *   runtime-sandbox.c   infra process, pod cgroup, /etc files
 *   runtime-network.c   the sandbox's network, and CNI plugins at work for it (plugin-run.c); network-request.c what is
 *                       asked of it
 *   runtime-resize.c    cpu and memory of a pod that runs
 *   instance*.c         one run of a container: root file system, spec, log, OCI runtime, exit (instance-private.h)
 *   action.c            one probe or hook; exec through the OCI runtime, the others in probe-io.c
 *   image-pull.c        husk-image as a command
 *   claims.c            admission: node, other pods' claims, the lock
 *   disrupt.c           the deletion of pods on the scheduler's or the taint manager's behalf
 *   watch.c             pod.json, node.json, ConfigMaps and Secrets
 *   storage.c           limits of what the pod keeps on the disk
 *   control.c           requests of other programs: attach (control.h)
 *   handover.c          going on where a killed husk-pod (or a killed keeper) stopped
 *   cleanup.c           the end: of a pod, or of whatever is left of one
 *
 * Files of a pod in <run>/pods/<uid>, besides those other folders write (store.h, hosts.h, sandbox.h, volume.h):
 *
 *   state.json            the machine's state (pod_save()), with the boot it belongs to
 *   events.json           array of V1Event
 *   (in <root>) state.json  of the machine's state what outlasts the boot, written a moment after it changed
 *   instances/<id>.json   a container's run: written before anything is made, removed after everything is gone
 *   instances/<id>.pid    pid of its first process, by the OCI runtime
 *   bundles/<id>/         config.json, the OCI runtime's log, processes of probes
 *   crun/                 the OCI runtime's own state (--root)
 *   oci-program           which one it is, if a RuntimeClass says so
 */
#pragma once

#include "husk-pod/log-pump.h"
#include "husk-pod/pod.h"
#include "husk-pod/reaper.h"
#include "loop/loop.h"
#include "base/idmap.h"
#include "oci/runtime.h"
#include "sandbox/cgroup.h"
#include "sandbox/hosts.h"
#include "sandbox/sandbox.h"
#include "store/store.h"
#include "volume/volume.h"

struct runtime {
        struct loop *loop;
        struct store *store;
        char *uid;
        char *folder;     /* <root>/pods/<uid> */
        char *run_folder; /* <run>/pods/<uid> */

        struct api_arena *arena; /* of `spec` */
        V1Pod *spec;
        struct pod *pod;
        struct api_arena *node_arena;
        const V1Node *node; /* runtime_node() */
        V1Pod bound;        /* runtime_volume_context(): shallow copies of `spec` with the node's name */
        V1PodSpec bound_spec;
        char *log_folder; /* of this pod, known with the spec */

        struct reaper *reaper; /* NULL: cleaning up, without a keeper */
        struct log_pump *log;
        struct loop_timer *wake;
        struct loop_timer *removals;     /* instances_delete_later() */
        struct loop_timer *trim;         /* gives memory back when nothing has happened for a while */
        struct loop_timer *lasting;      /* until the state is kept for the next boot */
        bool lasting_due;                /* it is running */
        struct loop_timer *keeper_retry; /* when the keeper is gone and could not be replaced */
        struct loop_deferred *settle;    /* after the events at hand: acknowledges exits */
        bool finished;                   /* the machine's last word was said */
        enum pod_end end;
        struct id_map ids;    /* runtime_ids_open() */
        int host_mounts;      /* the host's mount namespace; -EBADF: not known */
        struct hurry *hurry;  /* hurry.c; NULL: nothing under way */
        int64_t hurried_ns;   /* monotonic: when it was done last */
        char *oci_state_root; /* <run>/pods/<uid>/crun */
        char *oci_program;    /* where the OCI runtime was found; NULL: not looked for, or nowhere */

        struct runtime_sandbox {
                struct sandbox *sandbox;
                struct loop_io *ready;    /* until the infra process has configured itself */
                struct loop_io *infra_io; /* its pidfd, if it is not the keeper's child */
                bool dying;               /* it died while it was made; the keeper will tell of what */
                unsigned attempt;         /* of the sandbox that is up or being made or unmade */
                bool stopping;            /* sandbox_stop() waits for the instances to be gone */
                int64_t step_ns;          /* when the last step of making it was done */
                struct error *failure;    /* why it could not be made, until what there was of it is undone */

                struct plugin_run *plugins; /* CNI plugins at work */
                bool detaching;             /* it is DEL that they are at */
                bool plugins_tried;         /* DEL was called: what it left is for whoever attaches next */
                bool plugins_known;         /* there are none that a predecessor has left running */
                void (*network_done)(struct runtime *rt, struct error *err);
                char *cgroup; /* of the pod */
                char **pod_ips, **host_ips;
                bool dns_known;  /* what follows was read and will not change */
                bool by_plugins; /* make the network, and not husk */
                bool resolver;   /* husk's own answers for names */
                char *cluster_domain, *node_resolv;
                char **cluster_dns;
        } sb;

        struct instance *instances;
        struct action *actions;
        struct image_pull *pulls;
        struct removal *removals_of_others; /* disrupt.c */
        struct resizing *resizing;          /* runtime-resize.c; NULL: nothing under way */
        struct publication *publication;    /* publish.c; NULL: nothing was published yet */
        struct watches *watches;
        struct storage *storage; /* NULL: the pod has no limits of it */
        struct control *control;

        struct { /* what image_lookup() returns lives here until the next call */
                char *id, *name;
        } looked_up;
};

/* ---- runtime.c ---- */

extern const struct pod_ops runtime_ops; /* ctx is a struct runtime */

/* Opens store and folders; the pod's spec is read by runtime_read_spec(). */
struct error *runtime_new(const char *root, const char *run, const char *uid, struct runtime **ret) _must_check_;
struct runtime *runtime_free(struct runtime *rt);
/* Reads pod.json and decodes it into a new arena; ERROR_NOT_FOUND: the pod is gone. The old spec goes with *ret_old. */
struct error *runtime_read_spec(struct runtime *rt, struct api_arena **ret_old) _must_check_;
/* For a pod with hostUsers: false: reserves its range of user ids (again, after a restart of ours) and sets rt->ids. */
struct error *runtime_ids_open(struct runtime *rt) _must_check_;
/* Calls settle soon: something was claimed or saved. */
void runtime_settle_later(struct runtime *rt);
/* Context for volume.h and downward.h; good until the node is forgotten or the spec changes. */
struct volume_context runtime_volume_context(struct runtime *rt);
/* The node object, as it was read last (`fresh`: is now); NULL if it cannot be read. Kept until things are quiet:
 * reading it anew for each container would be a good part of a pod's start. */
const V1Node *runtime_node(struct runtime *rt, bool fresh);
void runtime_forget_node(struct runtime *rt);

/* The pod's spec with the resources it has been granted (pod_allocated()): what cgroups and environments are made of.
 */
const V1Pod *runtime_allocated(const struct runtime *rt);

/* ---- runtime-resize.c ---- */

void runtime_resize(void *ctx, const struct container_run *runs, size_t n);
void runtime_resize_release(struct runtime *rt);

/* ---- runtime-sandbox.c ---- */

/* Limits of the pod's cgroup. */
struct error *runtime_pod_limits(struct runtime *rt, struct cgroup_limits *ret) _must_check_;

/* What /etc/hosts and /etc/resolv.conf of the pod go by; it points into the runtime. */
struct error *runtime_hosts_config(struct runtime *rt, struct hosts_config *ret) _must_check_;
void runtime_sandbox_start(void *ctx, unsigned attempt);
void runtime_sandbox_stop(void *ctx, unsigned attempt);
/* Goes on with a stop that waited for instances. */
void runtime_sandbox_continue(struct runtime *rt);
/* For a successor: takes over the sandbox that runs; false if there is none. */
bool runtime_sandbox_adopt(struct runtime *rt);
void runtime_sandbox_facts(const struct runtime *rt, struct sandbox_facts *ret);
bool runtime_sandbox_exited(struct runtime *rt, const struct keeper_exit *e);
void runtime_sandbox_release(struct runtime *rt);

/* ---- runtime-network.c ---- */

/* Attaches the sandbox's namespace, so that pod_ips and host_ips are known; calls back, from within or later, and takes
 * what plugins made back only when it is detached. */
void runtime_network_attach(struct runtime *rt, void (*done)(struct runtime *rt, struct error *err));
/* An attachment that plugins are at is not wanted any more: its end is told soon, with an error. */
void runtime_network_abandon(struct runtime *rt);
bool runtime_network_is_busy(const struct runtime *rt);
/* Undoes all of it; the error is what husk itself could not undo. */
void runtime_network_detach(struct runtime *rt, void (*done)(struct runtime *rt, struct error *err));
/* The same, waiting for the plugins; what they have just failed to do is left to whoever attaches next. */
struct error *runtime_network_detach_now(struct runtime *rt) _must_check_;
/* For a successor: reads the addresses of the sandbox that runs. */
struct error *runtime_network_adopt(struct runtime *rt) _must_check_;
void runtime_network_release(struct runtime *rt);

/* ---- instance.c, and instance-*.c (instance-private.h says which does what) ---- */

enum instance_state {
        INSTANCE_STARTING, /* the OCI runtime runs */
        INSTANCE_RUNNING,
        INSTANCE_ENDED,    /* reported; runtime state, mounts and folders are still there */
        INSTANCE_REMOVING, /* the OCI runtime deletes it */
};

/* One run of one container, from the intent to start it until nothing of it is left. */
struct instance {
        struct runtime *rt;
        struct instance *next;
        enum instance_state state;

        char *name;
        unsigned attempt, sandbox;
        enum container_role role;
        char *id;     /* 64 hex digits */
        char *cgroup; /* path, as cgroup.h has them */
        char *folder; /* <root>/pods/<uid>/containers/<name>/<attempt> */
        char *bundle; /* <run>/pods/<uid>/bundles/<id> */
        char *record; /* <run>/pods/<uid>/instances/<id>.json */
        char *pid_file;
        char *log_path;
        char *program; /* argv[0], for messages */
        int stop_signal;
        int64_t uid, gid;
        int64_t *groups;
        int n_groups;
        bool own_pidns; /* its end takes all its processes with it */
        bool tty, stdin_once;
        int stdin_fd;      /* writing end of its standard input; -EBADF: it has none (any more) */
        bool log_on_error; /* terminationMessagePolicy FallbackToLogsOnError */

        pid_t pid;
        uint64_t start_time;
        int pidfd;
        struct loop_io *foreign; /* pidfd watched, because the process is not the keeper's child */
        int64_t started_ns;      /* realtime */
        int64_t started_monotonic_ns;
        struct cgroup_entry entry; /* of its cgroup, kept for exec probes (action.c); empty: not open */
        unsigned probed;           /* 1 << enum run_kind: what this husk-pod has executed in it */

        struct loop_command *command; /* run or delete */
        pid_t runner;                 /* pid of a predecessor's OCI runtime, while its end is awaited */
        uint64_t runner_start;
        struct log_source *streams[_LOG_STREAM_MAX];
        struct console *console; /* a terminal is awaited */
};

struct instance *instance_find(struct runtime *rt, const char *name, unsigned attempt); /* NULL: none */
struct instance *instance_running(struct runtime *rt, const char *name);
void instance_start(void *ctx, const struct container_run *run);
void instance_signal(void *ctx, const struct container_run *run, enum stop_signal signal);
void instance_remove(void *ctx, const struct container_run *run);
/* Clears away the runs that were removed: now, or when nothing is starting. */
void instances_delete(struct runtime *rt);
void instances_delete_later(void *rt);
/* True if the exit is one of a container; it has been reported then. */
bool instance_exited(struct runtime *rt, const struct keeper_exit *e);
/* True while some exit may belong to a container whose pid is not known yet. */
bool instances_starting(const struct runtime *rt);
/* Takes over what runs of a predecessor's records; between pod_restore() and pod_restored(). */
void instances_restore(struct runtime *rt);
/* After pod_restored(): removes runs that have ended and of which nothing was new. */
void instances_sweep(struct runtime *rt);
/* Reads the records into rt->instances. */
void instances_read(struct runtime *rt);
/* Its standard input comes to an end. */
void instance_close_stdin(struct instance *i);
/* Undoes whatever there is of a run, at once and waiting for it: of starts that failed, and leftovers. */
void instance_purge(struct instance *i);
struct instance *instance_free(struct instance *i); /* of memory and descriptors only */
void container_id_make(const char *pod_uid, const char *name, unsigned attempt, unsigned sandbox, char ret[static 65]);

/* ---- hurry.c ---- */

/* A container will be started shortly: begins the wait that the kernel imposes on who moves it into its cgroup. Makes
 * making and removing of cgroups wait as well, so not before that. */
void runtime_hurry(struct runtime *rt);
void runtime_hurry_release(struct runtime *rt);

/* ---- oci-program.c ---- */

/* Looks up the program that runtimeClassName stands for, for the sandbox that is being made. */
struct error *runtime_oci_choose(struct runtime *rt) _must_check_;
/* The OCI runtime for this pod. `log`: see struct oci_runtime; with it, as whoever runs something in a container has
 * it, the program is also protected from what it runs. Borrowed from rt.
 * ERROR_UNAVAILABLE if it cannot be executed (it is being upgraded, say): for a pod with a RuntimeClass no other takes
 * its place. */
struct error *runtime_oci(struct runtime *rt, const char *log, struct oci_runtime *ret) _must_check_;

/* ---- termination.c ---- */

/* The termination message of a container that has ended: its file, or the tail of its log where that is asked for; NULL
 * if there is none. Owned by the caller. */
char *termination_message(const char *file, const char *log_path, bool log_on_error);

/* ---- action.c ---- */

void action_start(void *ctx, const struct action_run *run);
void action_cancel(void *ctx, uint64_t id);
void actions_release(struct runtime *rt);

/* ---- image-pull.c ---- */

/* Of <run>/pods/<uid>: what husk-image is given while it pulls. */
#define CREDENTIALS_FOLDER "credentials"

enum image_presence image_lookup(void *ctx, const char *image, struct image_facts *ret);
void image_pull_start(void *ctx, const char *image);
void image_pulls_sweep(struct runtime *rt);
void image_pulls_release(struct runtime *rt);

/* ---- claims.c ---- */

void claims_admit(void *ctx, struct admission_result *ret);
void claims_release(void *ctx);
void claims_renew(void *ctx);
void claims_mark_ending(struct store *store, const char *uid); /* of a pod that is being deleted */
void claims_remove(struct store *store, const char *uid);
char *claims_path(const struct store *store);
/* The labels of namespaces (admit_facts.namespaces) if a pod of this spec needs them beside these claims, else NULL.
 * New reference. */
json_t *claims_namespaces(struct store *store, const V1PodSpec *spec, const json_t *claims);

/* ---- publish.c ---- */

/* Writes it, now or, if that fails, every second until it is written; what comes later takes its place. */
void publish_status(struct runtime *rt, json_t *status, bool terminal); /* takes the reference */
void publish_events(struct runtime *rt, const json_t *events);
void publish_state(struct runtime *rt, const json_t *state);
/* Tries once more; true: nothing is left to be written. */
bool publish_is_done(struct runtime *rt);
void publication_release(struct runtime *rt);

/* ---- waiting.c ---- */

struct admit_facts;
/* Under the store's lock, which the caller holds through all of these. New reference. */
json_t *waiting_read(const struct store *store);
/* The pod waits for room from now on, or still does. */
void waiting_begin(const struct runtime *rt, json_t *waiting);
/* It waits no more; true if it did. */
bool waiting_end(const struct store *store, json_t *waiting, const char *uid);
/* The claims of facts, and those of waiting pods whose turn comes before this one's and that could be placed now. NULL:
 * there is none of these. New reference. */
json_t *waiting_claims(const struct runtime *rt, json_t *waiting, const struct admit_facts *facts);

/* ---- disrupt.c ---- */

void disrupt_pod(void *ctx, const char *uid, const char *reason, const char *message);
void disruptions_release(struct runtime *rt);

/* ---- watch.c ---- */

struct error *watches_begin(struct runtime *rt) _must_check_;
/* The spec is another one: other objects may matter. */
void watches_update(struct runtime *rt);
/* Volumes that show fields of the pod (labels, resources) are brought up to date. */
void watches_refresh_pod(struct runtime *rt);
/* The pod waits for room: watches the claims of other pods and the namespaces, or no longer. */
void watches_others(struct runtime *rt, bool wanted);
/* Images that come, as long as one is waited for. */
void watches_images(struct runtime *rt, bool wanted);
void watches_end(struct runtime *rt);

/* ---- storage.c ---- */

/* Measures the pod's use of the disk from time to time, if it has limits, and evicts it when it is over one. */
void storage_begin(struct runtime *rt);
/* Before the old spec is freed. */
void storage_update(struct runtime *rt);
void storage_end(struct runtime *rt);

/* ---- control.c ---- */

struct error *control_begin(struct runtime *rt) _must_check_;
/* Tells who is attached to it; before its streams are closed. */
void control_container_ended(struct runtime *rt, struct instance *i, int exit_code);
void control_end(struct runtime *rt);

/* ---- handover.c ---- */

/* Makes rt->pod: a new one, or what a predecessor left. */
void handover_receive(struct runtime *rt);
struct error *handover_save(struct runtime *rt, const json_t *state) _must_check_;
/* Writes into <root> what the next boot needs, if that is another than what is there. */
struct error *handover_save_lasting(struct runtime *rt) _must_check_;
/* The keeper is dead: become it. Returns only if that fails. */
void handover_become_keeper(struct runtime *rt);

/* ---- leftover.c: processes that are the pod's and on nobody's record ---- */

/* The OCI runtime that a predecessor has started for the container `id`, if it still runs. A husk-pod that is killed
 * between starting one and writing that down leaves it so. */
pid_t leftover_runner(const struct runtime *rt, const char *id);
/* Kills every husk-pod, husk-keeper and OCI runtime of the pod but the caller, and waits for their end. The caller
 * holds the pod's lock, so no new ones come. */
struct error *leftover_processes_kill(const struct runtime *rt) _must_check_;
/* The same with the CNI plugins that work for the pod, and what they have started. */
struct error *leftover_plugins_kill(const struct runtime *rt) _must_check_;

/* ---- cleanup.c ---- */

/* Ends the pod: see ops.h finished(). */
struct error *cleanup_pod(struct runtime *rt, enum pod_end end) _must_check_;
/* Processes, network, sandbox and cgroups of the pod; goes on after an error and returns the first. */
struct error *cleanup_kernel_objects(struct runtime *rt) _must_check_;
/* `husk-pod --cleanup`: kills and removes whatever there is of a pod that nobody supervises. */
struct error *cleanup_leftovers(const char *root, const char *run, const char *uid) _must_check_;
