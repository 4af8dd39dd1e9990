/* reaper.h - husk-pod's end of the line to husk-keeper: exits come in, descriptors are kept (husk-keeper/protocol.h).
 *
 * Every exit of a process that is no child of husk-pod itself arrives here: containers, the infra process, and orphans
 * that nobody knows. An exit may arrive before its owner knows the pid (a container that ends while the OCI runtime
 * that started it is still running), so an exit that nobody claims waits until it is claimed or given up. What was
 * dealt with is acknowledged to the keeper after the state has been saved; what was not is told again to a successor.
 */
#pragma once

#include "husk-keeper/protocol.h"
#include "loop/loop.h"

struct reaper;

/* Returns true if the exit is this owner's. */
typedef bool (*reaper_exit_callback)(void *arg, const struct keeper_exit *exit);

struct reaper_callbacks {
        reaper_exit_callback exited;
        loop_callback orphaned; /* the keeper is gone */
        void *arg;
};

/* `socket` (owned from now on) is the keeper's; reads what the keeper has kept. Exits that came with it wait to be
 * claimed; `callbacks` are used from the loop only. */
struct error *reaper_new(struct loop *loop, int socket, const struct reaper_callbacks *callbacks,
                         struct reaper **ret) _must_check_;
struct reaper *reaper_free(struct reaper *reaper);

/* A number for the mount namespace the keeper gave us: another one if that is another one. */
uint64_t reaper_mounts(const struct reaper *reaper);
/* True if the keeper died while it told what it had kept. */
bool reaper_is_orphan(const struct reaper *reaper);
/* Takes an exit that waits, of this pid and start time (0: any); false if there is none. */
bool reaper_claim(struct reaper *reaper, pid_t pid, uint64_t start_time, struct keeper_exit *ret);
/* Takes in what the keeper has sent by now, to be claimed. */
void reaper_listen(struct reaper *reaper);
/* Offers every exit that waits to the callback: after owners have been restored. */
void reaper_offer(struct reaper *reaper);
/* Everything that is claimed has been saved. With `give_up`, nobody can want the unclaimed ones either. */
void reaper_acknowledge(struct reaper *reaper, bool give_up);

/* Keeps a descriptor for a successor; the caller's own one must stay open until it is dropped. */
void reaper_store(struct reaper *reaper, const char *name, int fd);
void reaper_drop(struct reaper *reaper, const char *name);
/* Takes a descriptor that a predecessor had stored; the caller owns it, the keeper goes on keeping its copy. -EBADF if
 * there is none. */
int reaper_take(struct reaper *reaper, const char *name);
/* Closes and drops what was stored by a predecessor and taken by nobody. */
void reaper_drop_untaken(struct reaper *reaper);
/* The descriptors stored now, as arguments for a new keeper: "FD=NAME" each. */
char **reaper_keep_arguments(struct reaper *reaper);
