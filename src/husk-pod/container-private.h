/* container-private.h - what the files of a container share: container.c (the object), container-start.c,
 * container-stop.c and container-action.c (probes and hooks). */
#pragma once

#include "husk-pod/pod-private.h"

/* To a state that the table of allowed moves has for the present one; aborts if it has not. */
void container_move(struct container *c, enum container_state to);
/* It has ended, and its policy and its pod let it come back. */
bool container_wants_restart(const struct container *c);

/* ---- container-start.c ---- */

void container_step_waiting(struct container *c);
void container_step_image(struct container *c);
void container_step_retry(struct container *c);
void container_step_post_start(struct container *c);
void container_step_exited(struct container *c);
/* A run has come into being, alive or dead at once. */
void container_begin_run(struct container *c);

/* ---- container-stop.c ---- */

void container_step_stopping(struct container *c);
/* The run is over, however it came to that; the termination has been filled in. `ended_monotonic_ns` 0: now. */
void container_end_run(struct container *c, int64_t ended_monotonic_ns);

/* ---- container-action.c ---- */

/* What its Pod object has for that moment; NULL: nothing. */
const V1LifecycleHandler *container_hook(const struct container *c, enum run_kind kind);
void container_begin_hook(struct container *c, struct hook *h, const V1LifecycleHandler *spec);
/* Asks for a run of the probe if one is due, else to be woken when it is. */
void container_step_probe(struct container *c, struct probe *p);
/* Take back a run that is under way. */
void container_cancel_probe(struct container *c, struct probe *p);
void container_cancel_hook(struct container *c, struct hook *h);
void container_cancel_actions(struct container *c);
