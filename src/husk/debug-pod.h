/* debug-pod.h - what `husk debug` makes: a container to look around with, in a pod, in a copy of it, or on the node.
 *
 * Plain functions on objects, by kubectl's rules (https://kubernetes.io/docs/tasks/debug/debug-application/
 * debug-running-pod/): profiles say which rights the container gets, copies lose labels, annotations and probes unless
 * they are to be kept. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct debug_options {
        const char *image;     /* of the new container; NULL: none is made (copies only) */
        const char *container; /* its name, or with copies that of one to change; NULL: made up */
        const char *target;    /* container whose processes an ephemeral one sees; NULL: its own only */
        const char *pull_policy, *profile, *copy_to;
        char *const *command; /* NULL-terminated, may be empty */
        bool as_arguments;    /* `command` is args instead */
        char *const *env;     /* NAME=VALUE, NULL: none */
        char *const *images;  /* CONTAINER=IMAGE for copies, NULL: none */
        const json_t *custom; /* part of a container that is merged into the new one; NULL: none */
        bool use_stdin, use_tty, same_node;
        bool stdin_ends;     /* it is no terminal: at its end a container that is not restarted shall end, too */
        int share_processes; /* 1, 0, -1: as the profile says */
        bool keep_labels, keep_annotations, keep_liveness, keep_readiness, keep_startup, keep_init_containers;
};

/* "general", "baseline", "restricted", "netadmin", "sysadmin", "legacy" */
bool debug_profile_is_known(const char *profile);
/* A name that no container of the pod has: "debugger-x7k2p". Owned by the caller. */
char *debug_container_name(const json_t *pod);
/* Adds the ephemeral container to the pod. */
struct error *debug_add_ephemeral(const struct debug_options *options, json_t *pod) _must_check_;
/* A new pod like `pod`; *ret_container is the container to attach to, borrowed from *ret, or NULL. */
struct error *debug_copy(const struct debug_options *options, const json_t *pod, json_t **ret,
                         const char **ret_container) _must_check_;
/* A pod that sees the node: its namespaces, and its files at /host. Its container is "debugger" or options->container.
 */
struct error *debug_node(const struct debug_options *options, const json_t *node, json_t **ret) _must_check_;
