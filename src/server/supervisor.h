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
/* Is there a pod that has not ended? It is to have a supervisor then, also after a reboot. */
bool supervisor_is_wanted(struct store *store, const char *uid);
/* Are there folders without a pod: one half made or half removed when its maker was killed, unless that is still at it?
 */
bool supervisor_left_debris(struct store *store, const char *uid);
/* Uids of pods that have a husk-keeper or husk-pod, also one that is only about to take the lock: a husk-pod does that
 * when its keeper was killed, and nobody should come between. One look at all of /proc. */
char **supervisor_uids_at_work(struct store *store);
/* Starts a keeper for every pod that is to have one and has none; their number goes to *ret_started. Goes on after an
 * error and returns the first. */
struct error *supervisors_start_missing(struct store *store, size_t *ret_started) _must_check_;
/* Do keeper or husk-pod run another program than the one that is on the disk now? After an upgrade they do. */
bool supervisor_is_outdated(struct store *store, const char *uid);
/* Replaces both by those on the disk, under the running containers, which notice nothing. Returns at once. */
struct error *supervisor_renew(struct store *store, const char *uid) _must_check_;
/* The same for every pod where it is due; their number goes to *ret_renewed. Goes on after an error, returns the first.
 */
struct error *supervisors_renew_outdated(struct store *store, size_t *ret_renewed) _must_check_;
/* pidfd of the keeper, or of a `husk-pod --cleanup` at work, for waiting for its end; negative if there is none. */
int supervisor_open(struct store *store, const char *uid);
/* Undoes everything that is left of a pod without a supervisor, its folders included. Idempotent. */
struct error *supervisor_cleanup(struct store *store, const char *uid) _must_check_;
/* Starts that and returns at once. */
struct error *supervisor_cleanup_start(struct store *store, const char *uid) _must_check_;
/* Enters the mount namespace in which the pod's mounts are (and where crun accepts the machine's cgroups). */
struct error *supervisor_enter_mounts(struct store *store, const char *uid) _must_check_;
