/* supervisor.h - the processes behind a pod, as the CLI starts, asks and replaces them.
 *
 * A pod that is not finished has a husk-keeper, which holds the lock <run>/pods/<uid>/lock as long as it lives. Where
 * nobody holds it there is no supervisor: the pod has ended, or its processes were killed, and what is left of it is
 * undone by `husk-pod --cleanup`. */
#pragma once

#include "base/error.h"
#include "store/store.h"

/* Starts husk-keeper for a pod and returns at once: what it does shows in the pod's status. */
struct error *supervisor_start(struct store *store, const char *uid) _must_check_;
bool supervisor_is_alive(struct store *store, const char *uid);
/* pidfd of the keeper, or of a `husk-pod --cleanup` at work, for waiting for its end; negative if there is none. */
int supervisor_open(struct store *store, const char *uid);
/* Undoes everything that is left of a pod without a supervisor, its folders included. Idempotent. */
struct error *supervisor_cleanup(struct store *store, const char *uid) _must_check_;
/* Enters the mount namespace in which the pod's mounts are (and where crun accepts the machine's cgroups). */
struct error *supervisor_enter_mounts(struct store *store, const char *uid) _must_check_;
