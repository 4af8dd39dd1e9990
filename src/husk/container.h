/* container.h - the containers of a pod as the CLI looks for them. */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "server/field.h"
#include "husk/flag.h"
#include "store/store.h"

/* Which container a verb means: `wanted` (-c; NULL: not given), else what the annotation
 * kubectl.kubernetes.io/default-container names, else the first one, which is said on standard error unless `quiet`
 * or the pod has only one. The name is borrowed from the pod. An unknown name is an error. */
struct error *container_choose(const json_t *pod, const char *wanted, bool quiet, const char **ret) _must_check_;
/* Entry of spec.containers, initContainers or ephemeralContainers; NULL if there is none. Borrowed. */
json_t *container_spec(const json_t *pod, const char *name);
/* Its entry in the status; NULL if there is none (yet). Borrowed. */
json_t *container_status(const json_t *pod, const char *name);
/* "app", "x (init)", "y (ephem)": names of all containers; owned by the caller. */
char **container_names(const json_t *pod);
/* Plain names: init containers, containers, ephemeral ones. Borrowed, NULL-terminated; free the list only. */
const char **container_names_in_order(const json_t *pod);

/* A running container, ready to be entered. */
struct running {
        char *id;       /* of the OCI runtime */
        json_t *config; /* its config.json */
        pid_t pid;
        int pidfd; /* on that pid */
};
#define RUNNING_INIT \
        { .pidfd = -EBADF }
/* An error says why not: "container not found", "cannot exec into a container in a completed pod; …". */
struct error *container_open(struct store *store, const json_t *pod, const char *name,
                             struct running *ret) _must_check_;
/* An id of the container as this machine has it, by /proc/PID/<file> ("uid_map" or "gid_map"); false: not mapped. */
bool running_map_id(const struct running *running, const char *file, uint64_t inside, uint64_t *ret);
void running_release(struct running *running);
#define _cleanup_running_ _cleanup_(running_release)
