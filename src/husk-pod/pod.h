/* pod.h - the life of one pod: a state machine that decides, and never touches the kernel itself.
 *
 * Make one with pod_new() (or pod_restore() in a successor), tell it facts with the event functions, and it asks for
 * what is to be done through struct pod_ops (ops.h). Event functions only record the fact and call pod_step(), which
 * compares what is wanted with what is and moves until nothing moves any more. Everything is level-triggered: telling a
 * fact twice, late, or for something that is gone does no harm, and pod_step() may be called at any time.
 *
 *   struct pod *pod = pod_new(&ops, ctx, spec);
 *   pod_step(pod);                       -> ops.admit, ops.sandbox_start, ops.volumes_setup …
 *   pod_sandbox_started(pod, 0, &facts); -> ops.image_lookup, ops.container_start …
 *   …
 *                                        -> ops.finished: free it and exit
 *
 * A successor of a killed supervisor (or the first supervisor after a reboot):
 *
 *   pod = pod_restore(&ops, ctx, spec, state, events, same_boot);
 *   pod_sandbox_found(…); pod_container_found(…) or pod_container_exited(…) for each thing that is known to live or to
 *   have ended; pod_restored(pod);       -> what nobody reported is taken as lost, and it goes on
 *
 * The states, rules and invariants are drawn in docs/lifecycle.md. */
#pragma once

#include "husk-pod/ops.h"

/* `spec` is the admitted Pod: defaults applied, metadata filled. It is borrowed and must live until the call of
 * pod_spec_changed() that replaces it has returned, or the pod is freed. Nothing is asked for before the first step. */
struct pod *pod_new(const struct pod_ops *ops, void *ctx, const V1Pod *spec);
struct pod *pod_free(struct pod *pod); /* accepts NULL, returns NULL */

/* Compare, move, ask; publishes status, events and state if they changed, then sets the timer. */
void pod_step(struct pod *pod);

/* ---- facts about the pod itself ---- */

/* The object changed: labels, images, activeDeadlineSeconds, resources, new ephemeral containers, a
 * metadata.deletionTimestamp with deletionGracePeriodSeconds (0: by force, SIGKILL at once; a later, smaller value
 * shortens a termination under way). A condition DisruptionTarget that comes with the deletion in status.conditions
 * says for whom it is (preemption, the taint manager), status.message with it what the event Preempted says; nothing
 * else of the object's status is looked at. */
void pod_spec_changed(struct pod *pod, const V1Pod *spec);
/* node.json changed or another pod gave its claims back: ask for admission again if the pod waits for it. */
void pod_node_changed(struct pod *pod);
/* The node's object as it is: at the start, and whenever node.json changed. Its NoExecute taints end pods that run:
 * when their tolerationSeconds are over the pod asks to be deleted (ops.pod_disrupt, DeletionByTaintManager). Copied.
 */
void pod_node_seen(struct pod *pod, const V1Node *node);
/* Something changed that a waiting pod may wait for: a ConfigMap, a Secret, a claim. Failed
 * volume set-ups, CreateContainerConfigErrors and ErrImageNeverPull are tried again at once. */
void pod_objects_changed(struct pod *pod);
/* Images came or got other names: those that are waited for are looked for again, whatever the back-off of their pull.
 */
void pod_images_changed(struct pod *pod);
bool pod_waits_for_image(const struct pod *pod);
/* The node evicts the pod, which is over an emptyDir or ephemeral-storage limit: Failed, reason Evicted, this message.
 * No condition DisruptionTarget: that is for pods that have to go for others' sake. Containers get `grace_seconds` (a
 * kubelet: 1 for a local limit) or the pod's own if that is less. */
void pod_evict(struct pod *pod, const char *message, int64_t grace_seconds);
/* Something about the pod as a whole deserves a Warning event, but stops nothing (InvalidEnvironmentVariableNames,
 * DNSConfigForming). */
void pod_warned(struct pod *pod, const char *reason, const char *message);
/* Somebody wrote a condition that is not the machine's own (a readiness gate). Types that are its own are refused. */
bool pod_set_condition(struct pod *pod, const char *type, const char *status, const char *reason, const char *message);

/* ---- answers and facts from the runtime ---- */

void pod_sandbox_started(struct pod *pod, unsigned attempt, const struct sandbox_facts *facts);
void pod_sandbox_failed(struct pod *pod, unsigned attempt, const char *message);
/* The infra process is gone. Containers' exits are reported as well, each by itself, before or after. */
void pod_sandbox_died(struct pod *pod, unsigned attempt);
void pod_sandbox_stopped(struct pod *pod, unsigned attempt);

void pod_volumes_ready(struct pod *pod);
/* What went wrong with each volume that failed; at least one. */
void pod_volumes_failed(struct pod *pod, char *const *messages);

void pod_image_pulled(struct pod *pod, const char *image, const struct image_facts *facts);
void pod_image_failed(struct pod *pod, const char *image, const char *reason, const char *message);

/* Those of the runs whose cgroups have been written, whatever else failed; failure: NULL, or what is shown in the pod's
 * condition. */
void pod_resized(struct pod *pod, const struct resized_run *done, size_t n, const char *failure);

void pod_container_started(struct pod *pod, const char *name, unsigned attempt,
                           const struct container_started *started);
/* START_START_ERROR may carry the id the container had; NULL otherwise. */
void pod_container_start_failed(struct pod *pod, const char *name, unsigned attempt, enum start_failure failure,
                                const char *message, const char *id);
void pod_container_exited(struct pod *pod, const char *name, unsigned attempt, const struct container_exit *end);

void pod_run_done(struct pod *pod, uint64_t id, enum run_result result, const char *output);

/* ---- going on where another supervisor stopped ---- */

/* The same JSON that ops.save() is given. New reference. */
json_t *pod_save(const struct pod *pod);
/* Of that what is still worth something in another boot: counts, how containers ended, conditions; no instants of this
 * boot's clock, no probes. It changes only when the pod does, so it may be kept on a disk. */
json_t *pod_save_lasting(const struct pod *pod);
/* `state` is what was saved last (NULL: nothing was, then this is pod_new()), `events` the last published list or NULL.
 * With same_boot false (the machine was started anew meanwhile) monotonic deadlines are dropped; restart counts, last
 * states and conditions stay. State that makes no sense is ignored piece by piece. */
struct pod *pod_restore(const struct pod_ops *ops, void *ctx, const V1Pod *spec, const json_t *state,
                        const json_t *events, bool same_boot);
/* Between pod_restore() and pod_restored(), as far as it applies: the sandbox of this attempt lives (facts
 * may be NULL: its addresses are known); this run lives
 * (also one whose start the predecessor was never told of); pod_container_exited() for a run that ended meanwhile.
 * Exits for which the kernel has no answer are left out: they become ContainerStatusUnknown. */
void pod_sandbox_found(struct pod *pod, unsigned attempt, const struct sandbox_facts *facts);
void pod_container_found(struct pod *pod, const char *name, unsigned attempt, const struct container_started *started);
void pod_restored(struct pod *pod); /* that was all; the machine takes over and steps */

/* ---- looking ---- */

/* The status as it was published last (NULL before); owned by the pod, valid until the next step. */
const V1PodStatus *pod_status(const struct pod *pod);
/* The same with the resources that the node has granted, which are other ones while a resize has to wait; good until
 * the next event function is called. */
const V1Pod *pod_allocated(const struct pod *pod);
