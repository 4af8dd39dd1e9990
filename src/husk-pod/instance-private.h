/* instance-private.h - the inside of struct instance (runtime.h), for the files that carry one run of one container.
 *
 *        instance_start                    its exit            instance_remove
 *   (record written) STARTING --> RUNNING -----------> ENDED ------------------> REMOVING --> (record removed)
 *            \__ the OCI runtime failed: everything is undone at once
 *
 *   instance.c           what it is called, which there are, and its exit
 *   instance-record.c    what a successor has to know of it
 *   instance-streams.c   standard streams and terminal
 *   instance-prepare.c   everything that has to be there before the OCI runtime is called
 *   instance-start.c     the OCI runtime, and what it says
 *   instance-remove.c    undoing all that
 *   instance-restore.c   going on after a predecessor
 */
#pragma once

#include "husk-pod/runtime.h"
#include "image/image.h"
#include "oci/env.h"
#include "oci/user.h"

/* ---- instance.c ---- */

/* A run that nothing has been made of yet; owned by rt->instances until instance_forget(). */
struct instance *instance_new(struct runtime *rt, const char *name, unsigned attempt, unsigned sandbox,
                              enum container_role role);
/* Takes it off the list and frees it. */
void instance_forget(struct instance *i);
/* What the machine is told of a start; borrows from `i`. */
struct container_started instance_started_facts(const struct instance *i);
/* The container has ended: tells the machine, which may clear the instance away. */
void instance_exit_take(struct instance *i, const struct keeper_exit *e);
/* Path of the container's termination log on the host; owned by the caller. */
char *instance_termination_log(const struct instance *i);
/* For what cannot be helped: logs the error, if there is one, with the container's name, and frees it. */
void instance_warn(const struct instance *i, struct error *err);

/* ---- instance-record.c ---- */

struct error *instance_record_write(const struct instance *i) _must_check_;
/* The same where the run goes on without; a failure is logged. */
void instance_record_update(const struct instance *i);

/* ---- instance-streams.c ---- */

/* What a container gets as descriptors 0, 1 and 2; -EBADF: nothing. */
struct standard_streams {
        int fds[3];
};
void standard_streams_release(struct standard_streams *s);

/* Makes log folder and pipes, or the socket to which the OCI runtime will send a terminal. The container's ends are in
 * *ret, also after a failure. */
struct error *instance_streams_open(struct instance *i, const V1Container *spec,
                                    struct standard_streams *ret) _must_check_;
/* Takes over a predecessor's ends from the keeper. */
void instance_streams_restore(struct instance *i);
/* Carries what is in the pipes now (log_source_drain()). */
void instance_streams_drain(struct instance *i);
void instance_streams_close(struct instance *i);
/* Path of the socket for a terminal, NULL: the container has none. Borrowed. */
const char *instance_console_path(const struct instance *i);
/* The OCI runtime has ended: takes the terminal that it sent, and closes the socket. */
void instance_console_finish(struct instance *i);
struct console *instance_console_free(struct console *c); /* accepts NULL, returns NULL */

/* ---- instance-prepare.c ---- */

struct preparation {
        struct instance *instance;
        const struct container_run *run;
        enum start_failure failure; /* what an error means at this point */
        struct image *image;
        struct env env;
        struct oci_user user;
        struct mount_list mounts;
        char **argv;
        json_t *spec; /* the runtime-spec, as it will be in the bundle */
        char *rootfs;
        char *hosts, *resolv, *hostname_file, *termination_log;
        char *namespaces[5];
        struct standard_streams streams;
};
#define PREPARATION_INIT(i, r) \
        { \
                .instance = (i), .run = (r), .streams = { { -EBADF, -EBADF, -EBADF } } \
        }

/* Writes the record, then makes all a run needs up to what is in the bundle. p->failure says what a failure means to
 * the machine; what has been made by then is undone by instance_purge(). */
struct error *preparation_make(struct preparation *p) _must_check_;
void preparation_release(struct preparation *p);
/* Writes the runtime-spec into the bundle, whose folder preparation_make() has made. */
struct error *instance_bundle_write(const struct instance *i, const json_t *spec) _must_check_;

/* ---- instance-start.c ---- */

/* Reads the pid file that the OCI runtime has written: i->pid, and i->pidfd and i->start_time if the process is (still)
 * the container's. */
struct error *instance_pid_read(struct instance *i) _must_check_;
