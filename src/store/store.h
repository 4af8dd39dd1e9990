/* store.h - the objects of a node, as files.
 *
 * A store is two folders: `root` (what survives a reboot) and `run` (a tmpfs: what does not). Every program of husk is
 * given the same two, so that any number of independent nodes can live on one machine. An object is a JSON file that
 * is replaced atomically: readers need no lock and no daemon, and see the old object or the new one. Writers that read
 * first take the store's lock; store_update() and store_delete() do that themselves.
 *
 *   <root>/objects/<namespace>/<kind>/<name>.json     plain objects; cluster-wide kinds below the namespace "_"
 *   <root>/objects/<namespace>/Pod/<name>             link to ../../../pods/<uid>: reserves the name
 *   <root>/node.json                                  the Node object
 *   <root>/pods/<uid>/pod.json                        the admitted Pod without its status (but for the reason why it
 *                                                     is deleted: store_pod_disrupt())
 *   <root>/pods/<uid>/status.json                     last status of a pod that has ended
 *   <run>/pods/<uid>/status.json                      status of a pod that lives, written by its supervisor
 *   <run>/rv                                          the counter behind metadata.resourceVersion
 *   <run>/lock                                        taken for read-modify-write
 *
 * Objects are JSON as the Kubernetes API shows them (kind and apiVersion included); whoever needs typed ones decodes
 * them. Files of Secrets have mode 0600, all folders 0700. */
#pragma once

#include <jansson.h>

#include "base/error.h"

struct api_kind;

struct store {
        char *root;
        char *run;
        char *logs;        /* /var/log/pods, or <root>/logs for a root of one's own */
        bool is_default;   /* root is /var/lib/husk */
        uint64_t *counter; /* <run>/rv, mapped when first needed */
        char *node_name;   /* read when first needed */
};

/* Opens (and makes, mode 0700) a store. NULL means HUSK_ROOT or HUSK_RUN, else /var/lib/husk and /run/husk, else,
 * without privileges, $XDG_DATA_HOME/husk and $XDG_RUNTIME_DIR/husk. */
struct error *store_open(const char *root, const char *run, struct store **ret) _must_check_;
struct store *store_free(struct store *store); /* accepts NULL, returns NULL */
static inline void store_freep(struct store **store) {
        *store = store_free(*store);
}
#define _cleanup_store_ _cleanup_(store_freep)

/* Reads one object; for a Pod its spec and the newest status in one (phase Unknown, reason SupervisorLost, if the pod
 * has begun, has not ended, and nobody looks after it any more). ERROR_NOT_FOUND says `pods "x" not found`.
 * `ns` is ignored for cluster-wide kinds. The result is owned by the caller. */
struct error *store_get(struct store *store, const struct api_kind *kind, const char *ns, const char *name,
                        json_t **ret) _must_check_;
/* All objects of a kind in one namespace (NULL: all), sorted by namespace and name, as a JSON array. Objects that
 * vanish meanwhile are left out; an unreadable one is an error that names its file. */
struct error *store_list(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret) _must_check_;
/* As store_list(), for who goes on without those that cannot be read: they are left out, and *ret_bad, owned by the
 * caller, tells of the first of them (NULL: there is none). That a folder cannot be read remains an error. */
struct error *store_list_readable(struct store *store, const struct api_kind *kind, const char *ns, json_t **ret,
                                  struct error **ret_bad) _must_check_;
/* Adds an object: sets metadata.uid (unless given), creationTimestamp, resourceVersion (and, for a Pod, generation 1)
 * in `object` itself, then writes it. The name must be free: ERROR_ALREADY_EXISTS `pods "x" already exists`. A Pod's
 * status, if any, is not stored. */
struct error *store_create(struct store *store, const struct api_kind *kind, json_t *object) _must_check_;
/* store_create() of a pod returns before its files are on the disk, so that starting it need not wait for that; whoever
 * promises the pod to a user calls this before saying so. */
struct error *store_pod_sync(struct store *store, const char *uid) _must_check_;
/* Replaces an object. uid and creationTimestamp stay; resourceVersion grows, and for a Pod metadata.generation if the
 * spec or the deletionTimestamp changed; all are set in `object`. If `object` carries a resourceVersion that is not the
 * stored one: ERROR_CONFLICT. A Pod's status is not touched. */
struct error *store_update(struct store *store, const struct api_kind *kind, json_t *object) _must_check_;
/* Removes an object that is no pod (a pod's end is its supervisor's: see store_pod_remove). A PersistentVolumeClaim
 * that a pod uses is only marked, and goes with the last of them (claim.h). */
struct error *store_delete(struct store *store, const struct api_kind *kind, const char *ns,
                           const char *name) _must_check_;

/* Folder watched for changes of a kind's objects in a namespace (made if missing). For pods: the links. */
char *store_objects_folder(struct store *store, const struct api_kind *kind, const char *ns);

/* Pods by uid. The folders are made by store_create; the strings are owned by the caller. */
char *store_pod_folder(struct store *store, const char *uid);     /* <root>/pods/<uid> */
char *store_pod_run_folder(struct store *store, const char *uid); /* <run>/pods/<uid> */
char *store_pod_log_folder(struct store *store, const char *ns, const char *name, const char *uid);
/* uid of the pod with this name; ERROR_NOT_FOUND as store_get. */
struct error *store_pod_uid(struct store *store, const char *ns, const char *name, char **ret) _must_check_;
/* The Pod object without status; ERROR_NOT_FOUND if the pod is gone. */
struct error *store_pod_spec_read(struct store *store, const char *uid, json_t **ret) _must_check_;
/* Pid of the pod's husk-keeper (or of whoever is removing the pod), which holds the lock <run>/pods/<uid>/lock from
 * its start to its end; 0 if there is none. */
pid_t store_pod_supervisor(struct store *store, const char *uid);
/* The newest status; {"phase": "Pending"} if none was written yet. */
struct error *store_pod_status_read(struct store *store, const char *uid, json_t **ret) _must_check_;
/* Publishes a status. `durable` also keeps it in <root> (for a pod that has ended). */
struct error *store_pod_status_write(struct store *store, const char *uid, const json_t *status,
                                     bool durable) _must_check_;
/* Marks a pod for deletion with its own grace period, as the scheduler or the taint manager does through the API. What
 * they write into its status (condition DisruptionTarget; in `message` who wanted it) is kept in the object, where the
 * pod's supervisor finds it. Nothing happens to a pod that is being deleted already or is gone. */
struct error *store_pod_disrupt(struct store *store, const char *uid, const json_t *status) _must_check_;
/* Last step of a pod's end: removes its name, its folders in <run> and <root>. Nothing may be mounted there any more.
 * Its claims are claims_sweep()'s to remove (claim.h). Idempotent; works from whatever is left of the pod. */
struct error *store_pod_remove(struct store *store, const char *uid) _must_check_;
/* Uids of all pods that have a folder in <root> or <run>, also half-made and half-removed ones. */
struct error *store_pod_uids(struct store *store, char ***ret) _must_check_;

/* The Node object, made on first use from what the machine is. */
struct error *store_node(struct store *store, json_t **ret) _must_check_;

/* A number larger than any given out before. */
uint64_t store_next_resource_version(struct store *store);
/* Takes the store's lock (flock; released by closing the descriptor, or by death). */
struct error *store_lock(struct store *store, int *ret_fd) _must_check_;
/* Replaces a file below <run> that is changed under that lock, which the caller holds. */
struct error *store_run_write(const struct store *store, const char *path, const char *text) _must_check_;
#define STORE_TAG_SIZE 11
/* Ten hex digits that tell this node's kernel objects (bridge, table, cgroups) from those of other nodes on the
 * machine; made from the root's real path. Returns buf. */
const char *store_tag(const struct store *store, char buf[static STORE_TAG_SIZE]);
/* Random (version 4) UUID. */
char *store_new_uid(void);
