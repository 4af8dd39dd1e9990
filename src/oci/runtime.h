/* runtime.h - the command line of an OCI runtime (crun; runc, runsc, kata by RuntimeClass) and what it answers.
 *
 * Nothing is run here: these functions make argument lists and read results; the caller spawns, with its own loop. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct oci_runtime {
        const char *program;    /* "crun", looked up in PATH, or a path */
        const char *state_root; /* --root: <run>/pods/<uid>/crun */
        const char *log;        /* file the runtime appends its JSON log to; NULL: standard error */
        bool finds_cgroup; /* it is to find the container's cgroup made and limited (oci_runtime_can_leave_cgroups) */
        bool no_cgroups;   /* and to leave cgroups alone: the container inherits its own */
};

/* The program that makes a pod's containers, where it is not the node's usual one (a RuntimeClass chose it, or
 * HUSK_RUNTIME): husk-pod writes it into the pod's run folder. */
#define OCI_PROGRAM_FILE "oci-program"
/* Finds the program to talk to about a pod's containers: the one written down in its run folder; where none is, and the
 * pod has no RuntimeClass (`class_name` is NULL or empty), `usual`, a name in PATH or a path. ERROR_UNAVAILABLE if it
 * is not there, cannot be executed, or cannot be read of: another one would run, or enter, containers outside their
 * sandbox. *ret is owned by the caller. */
struct error *oci_runtime_find(const char *run_folder, const char *class_name, const char *usual,
                               char **ret) _must_check_;

/* Can this program be told to leave cgroups alone (crun's --cgroup-manager=disabled)? What it starts, and what it
 * executes in a container, is then where it is itself. */
bool oci_runtime_can_leave_cgroups(const char *program);
/* Is it one of which nothing is left but files and cgroups (crun, runc), or has it more to undo (a virtual machine's)?
 */
bool oci_runtime_is_plain(const char *program);

/* Argument lists; owned by the caller (strv_free). Paths and ids are copied. */
/* Creates and starts: returns when the container's program has been executed. Standard streams are inherited by the
 * container. `console_socket` (terminal) and `pid_file` may be NULL. */
char **oci_runtime_run_argv(const struct oci_runtime *rt, const char *id, const char *bundle, const char *pid_file,
                            const char *console_socket);
/* Runs `process` (a path to process.json; see oci_process_for_exec) in a running container. detach: do not wait for
 * it.*/
char **oci_runtime_exec_argv(const struct oci_runtime *rt, const char *id, const char *process, const char *pid_file,
                             const char *console_socket, bool detach);
/* force: kill what runs, and no error if there is no such container. */
char **oci_runtime_delete_argv(const struct oci_runtime *rt, const char *id, bool force);
/* Reads new resources (oci_resources()) from standard input. */
char **oci_runtime_update_argv(const struct oci_runtime *rt, const char *id);

/* The error text in a runtime's log (JSON lines, newest error wins; plain lines are taken as they are), shortened to
 * 1 KiB, printable; "" if there is none. Owned by the caller. */
char *oci_runtime_log_message(const char *log, size_t len);

/* What a failed run means in a container status. As a kubelet with containerd shows it: the container is *terminated*
 * with this reason, exit code 128 (126/127 are for exec) and startedAt 1970-01-01T00:00:00Z. */
struct oci_failure {
        const char *reason;   /* "StartError"; "RunContainerError" if the runtime itself could not be run */
        char *message;        /* `failed to start container "app": exec: "x": executable file not found in $PATH` */
        int exit_code;        /* 128 */
        bool command_missing; /* no such program in the image: for exec 127 (126: not executable) */
};
/* `program`: argv[0] of the container; wait_status: of the runtime's process (-1: it could not be run). */
void oci_failure_of(const char *log_message, int wait_status, const char *container_name, const char *program,
                    struct oci_failure *ret);
void oci_failure_release(struct oci_failure *failure);
