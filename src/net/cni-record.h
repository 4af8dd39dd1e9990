/* cni-record.h - inside src/net: what CNI plugins made for a pod, on record from before they are called until every one
 * of them has taken back what it made. <root>/cni/<uid>.json: it outlasts a reboot, as what plugins reserve does. */
#pragma once

#include <jansson.h>

#include "net/cni-config.h"
#include "store/node-config.h"
#include "store/store.h"

#define CNI_IFNAME "eth0" /* in every pod */

struct attachment {
        const struct store *store;
        char *uid, *path;
        struct cni_config config;
        char **bin_dirs;
        char *ns, *pod;         /* the pod's namespace and name */
        pid_t infra;            /* whose /proc/PID/ns/net the namespace is, as long as its inode is */
        uint64_t netns;         /* that inode */
        char *boot;             /* of the machine, in which pid and inode mean something */
        json_t *runtime_config; /* what is known for capabilities: portMappings, bandwidth and so on */
        json_t *result;         /* of ADD; NULL: not finished */
        json_t *partial;        /* of those plugins that had succeeded when another failed; NULL: none */
};
void attachment_release(struct attachment *a);
void attachment_clear(struct attachment *a); /* and makes it an empty one */
#define _cleanup_attachment_ _cleanup_(attachment_release)
/* Is the record of the machine's running life? */
bool attachment_is_of_this_boot(const struct attachment *a);

char *records_folder(const struct store *store);
char *record_path(const struct store *store, const char *uid);
struct error *record_write(const struct attachment *a) _must_check_;
/* *ret_found: there is one. ERROR_INTERNAL: it is damaged. */
struct error *record_read(const struct store *store, const char *uid, struct attachment *ret,
                          bool *ret_found) _must_check_;
/* The same for who takes back what there is: a damaged record is made anew from the node's configuration, so that DEL
 * can be called without a result, which is told once. Where there is no such configuration any more, the record goes,
 * and that is told. */
struct error *record_read_healed(const struct store *store, const struct node_config *config, const char *uid,
                                 struct attachment *ret, bool *ret_found) _must_check_;
/* The lock of the records, shared by all who attach and detach, or `alone`. *ret is -EBADF if somebody has it who does
 * not let others in. */
struct error *records_lock(const struct store *store, bool alone, int *ret) _must_check_;
/* The record of a dead pod is one's own to take back: *ret is -EBADF if somebody else is about it. */
struct error *record_lock(const struct store *store, const char *uid, int *ret) _must_check_;
/* Calls `f` for the uid of each record, until an error. */
struct error *records_each(const struct store *store, struct error *(*f)(const char *uid, void *data),
                           void *data) _must_check_;
