#include "store/claim.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "store/store-private.h"

#define FINALIZER "kubernetes.io/pvc-protection"
#define FOLDERS "persistent-volumes"
#define REMOVED "..removed" /* a folder that is on its way out */

static const struct api_kind *claim_kind(void) {
        return api_kind_of("PersistentVolumeClaim");
}

bool claim_is_kind(const struct api_kind *kind) {
        return streq(kind->kind, "PersistentVolumeClaim");
}

char *claim_folder(const struct store *store, const char *uid) {
        return xasprintf("%s/" FOLDERS "/%s", store->root, uid);
}

/* ---- reading ---- */

static const char *text(const json_t *object, const char *part, const char *key) {
        return json_string_value(json_object_get(json_object_get(object, part), key));
}

static json_t *part_of(json_t *object, const char *key) {
        json_t *part = json_object_get(object, key);

        if (!json_is_object(part)) {
                part = json_object();
                json_object_set_new(object, key, part);
        }
        return part;
}

static bool is_being_deleted(const json_t *claim) {
        return text(claim, "metadata", "deletionTimestamp");
}

static bool is_bound(const json_t *claim) {
        return streq_ptr(text(claim, "status", "phase"), "Bound");
}

static bool has_mode(const json_t *claim, const char *wanted) {
        json_t *mode;
        size_t i;

        json_array_foreach(json_object_get(json_object_get(claim, "spec"), "accessModes"), i,
                           mode) if (streq_ptr(json_string_value(mode), wanted)) return true;
        return false;
}

bool claim_is_owned_by(const json_t *claim, const char *pod_uid) {
        json_t *owner;
        size_t i;

        json_array_foreach(json_object_get(json_object_get(claim, "metadata"), "ownerReferences"), i,
                           owner) if (streq_ptr(json_string_value(json_object_get(owner, "kind")), "Pod") &&
                                      streq_ptr(json_string_value(json_object_get(owner, "uid")), pod_uid)) return true;
        return false;
}

char *claim_name_of_volume(const char *pod_name, const json_t *volume) {
        const char *claim = text(volume, "persistentVolumeClaim", "claimName");

        if (claim)
                return xstrdup(claim);
        if (json_object_get(volume, "ephemeral"))
                return xasprintf("%s-%s", pod_name ?: "", json_string_value(json_object_get(volume, "name")) ?: "");
        return NULL;
}

static json_t *volumes_of(const json_t *pod) {
        return json_object_get(json_object_get(pod, "spec"), "volumes");
}

/* ---- binding ---- */

/* Only a volume that somebody has made by hand could be bound to it, and nobody can here. */
static bool waits_for_a_hand(const json_t *spec) {
        const char *class = json_string_value(json_object_get(spec, "storageClassName"));
        const char *volume = json_string_value(json_object_get(spec, "volumeName"));

        return (class && !streq(class, CLAIM_CLASS)) || !str_empty(volume) || json_object_get(spec, "selector");
}

static void add_finalizer(json_t *metadata) {
        json_t *finalizers = json_object_get(metadata, "finalizers"), *finalizer;
        size_t i;

        json_array_foreach(finalizers, i, finalizer) if (streq_ptr(json_string_value(finalizer), FINALIZER)) return;
        if (!json_is_array(finalizers)) {
                finalizers = json_array();
                json_object_set_new(metadata, "finalizers", finalizers);
        }
        json_array_append_new(finalizers, json_string(FINALIZER));
}

static void show_bound(json_t *claim) {
        json_t *spec = json_object_get(claim, "spec"), *status = part_of(claim, "status");
        json_t *size = json_object_get(json_object_get(json_object_get(spec, "resources"), "requests"), "storage");

        json_object_set_new(status, "phase", json_string("Bound"));
        json_object_set(status, "accessModes", json_object_get(spec, "accessModes"));
        if (size)
                json_object_set(part_of(status, "capacity"), "storage", size);
}

void claim_bind(json_t *claim) {
        json_t *spec = part_of(claim, "spec");
        const char *uid = text(claim, "metadata", "uid");

        add_finalizer(part_of(claim, "metadata"));
        if (!is_bound(claim)) {
                json_object_set_new(claim, "status", json_pack("{s:s}", "phase", "Pending"));
                if (waits_for_a_hand(spec) || !uid)
                        return;
                _cleanup_free_ char *volume = xasprintf("pvc-%s", uid);
                json_object_set_new(spec, "storageClassName", json_string(CLAIM_CLASS));
                json_object_set_new(spec, "volumeName", json_string(volume));
        }
        show_bound(claim);
}

bool claim_update(json_t *claim, const json_t *old) {
        static const char *const fixed[] = { "deletionTimestamp", "deletionGracePeriodSeconds" };
        json_t *metadata = part_of(claim, "metadata"), *status = json_object_get(old, "status");

        for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
                json_t *value = json_object_get(json_object_get(old, "metadata"), fixed[i]);
                if (value)
                        json_object_set(metadata, fixed[i], value);
                else
                        json_object_del(metadata, fixed[i]);
        }
        if (status)
                json_object_set_new(claim, "status", json_deep_copy(status));
        if (is_being_deleted(claim))
                return json_array_size(json_object_get(metadata, "finalizers")) == 0;
        add_finalizer(metadata); /* whoever replaces a claim need not know of it */
        if (is_bound(claim))
                show_bound(claim); /* it may ask for more room now */
        return false;
}

/* ---- who uses it ---- */

static bool pod_names(const json_t *pod, const json_t *claim) {
        const char *name = text(pod, "metadata", "name"), *uid = text(pod, "metadata", "uid");
        json_t *volume;
        size_t i;

        json_array_foreach(volumes_of(pod), i, volume) {
                _cleanup_free_ char *claimed = claim_name_of_volume(name, volume);
                if (claimed && streq_ptr(claimed, text(claim, "metadata", "name")) &&
                    (!json_object_get(volume, "ephemeral") || claim_is_owned_by(claim, uid)))
                        return true;
        }
        return false;
}

/* A pod that was not placed yet does not hold a claim: it will not be placed while the claim is going. */
static bool is_placed(const json_t *pod) {
        json_t *condition;
        size_t i;

        json_array_foreach(json_object_get(json_object_get(pod, "status"), "conditions"), i, condition) if (
                streq_ptr(json_string_value(json_object_get(condition, "type")),
                          "PodScheduled")) return !streq_ptr(json_string_value(json_object_get(condition, "status")),
                                                             "False");
        return true;
}

static struct error *is_used(struct store *store, const json_t *claim, bool *ret) {
        json_t *pods = NULL;
        struct error *err = store_list(store, api_kind_of("Pod"), text(claim, "metadata", "namespace"), &pods);

        if (err)
                return err;
        *ret = false;
        for (size_t i = 0; i < json_array_size(pods) && !*ret; i++) {
                const json_t *pod = json_array_get(pods, i);
                *ret = pod_names(pod, claim) && is_placed(pod);
        }
        json_decref(pods);
        return NULL;
}

/* ---- its end ---- */

static struct error *write_claim(struct store *store, json_t *claim, const char *path) {
        store_set_version(store, part_of(claim, "metadata"));
        return store_object_write(store, path, claim, 0644, FILE_DURABLE);
}

/* The folder gets a name under which nobody looks for it; its content is removed by claim_discard(), for that can take
 * long, and the store is locked. */
static struct error *put_aside(const struct store *store, const char *uid) {
        _cleanup_free_ char *folder = claim_folder(store, uid), *aside = xasprintf("%s" REMOVED, folder);

        if (rename(folder, aside) < 0 && errno != ENOENT)
                return error_errno(errno, "rename %s", folder);
        return NULL;
}

/* The object first: a folder without one is swept away, an object whose folder is gone would be a broken promise. */
static struct error *remove_claim(struct store *store, const json_t *claim, const char *path) {
        const char *uid = text(claim, "metadata", "uid");
        struct error *err = owner_leaves(store, claim_kind(), claim);

        if (err)
                return err;
        if (unlink(path) < 0 && errno != ENOENT)
                return error_errno(errno, "remove %s", path);
        owner_forget(store, claim);
        return str_empty(uid) || strchr(uid, '/') ? NULL : put_aside(store, uid);
}

/* Everything but its protection: another finalizer is somebody else's to remove. */
static bool is_held(const json_t *claim, bool used) {
        json_t *finalizer;
        size_t i;

        json_array_foreach(json_object_get(json_object_get(claim, "metadata"), "finalizers"), i,
                           finalizer) if (used || !streq_ptr(json_string_value(finalizer), FINALIZER)) return true;
        return false;
}

struct error *claim_delete(struct store *store, json_t *claim, const char *path) {
        char now[RFC3339_MAX];
        bool used;
        struct error *err = is_used(store, claim, &used);

        if (err)
                return err;
        if (!is_held(claim, used))
                return remove_claim(store, claim, path);
        if (is_being_deleted(claim))
                return NULL;
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, now);
        json_object_set_new(part_of(claim, "metadata"), "deletionTimestamp", json_string(now));
        json_object_set_new(part_of(claim, "metadata"), "deletionGracePeriodSeconds", json_integer(0));
        return write_claim(store, claim, path);
}

/* ---- sweeping ---- */

/* The pod for which it was made is gone. */
static bool has_lost_its_pod(struct store *store, const json_t *claim) {
        json_t *owner;
        size_t i;

        json_array_foreach(json_object_get(json_object_get(claim, "metadata"), "ownerReferences"), i, owner) {
                const char *uid = json_string_value(json_object_get(owner, "uid"));
                if (!uid || !streq_ptr(json_string_value(json_object_get(owner, "kind")), "Pod"))
                        continue;
                _cleanup_free_ char *folder = store_pod_folder(store, uid), *run = store_pod_run_folder(store, uid);
                if (!file_exists(folder) && !file_exists(run))
                        return true;
        }
        return false;
}

static void sweep_claims(struct store *store, json_t *claims, struct error **first) {
        json_t *claim;
        size_t i;

        json_array_foreach(claims, i, claim) {
                if (!is_being_deleted(claim) && !has_lost_its_pod(store, claim))
                        continue;
                _cleanup_free_ char *path = store_object_path(store, claim_kind(), text(claim, "metadata", "namespace"),
                                                              text(claim, "metadata", "name"));
                error_keep_first(first, claim_delete(store, claim, path));
        }
}

static bool has_claim(json_t *claims, const char *uid) {
        json_t *claim;
        size_t i;

        json_array_foreach(claims, i, claim) if (streq_ptr(text(claim, "metadata", "uid"), uid)) return true;
        return false;
}

/* As store_new_uid() makes them. Nothing else in the folder is husk's, as lost+found. */
static bool is_uid(const char *text) {
        static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

        for (size_t i = 0; i < sizeof(form); i++)
                if (form[i] == 'x' ? !text[i] || !strchr("0123456789abcdef", text[i]) : text[i] != form[i])
                        return false;
        return true;
}

/* A claim whose object is damaged is one all the same: its folder must not be taken for nobody's. */
static struct error *check_uids(json_t *claims) {
        json_t *claim;
        size_t i;

        json_array_foreach(claims, i, claim) {
                const char *ns = text(claim, "metadata", "namespace"), *name = text(claim, "metadata", "name");
                if (!text(claim, "metadata", "uid"))
                        return error_new(ERROR_INTERNAL, "persistentvolumeclaim %s/%s is damaged: it has no uid",
                                         ns ?: "?", name ?: "?");
        }
        return NULL;
}

/* The folder of all claims' folders; NULL without an error if there is none. */
static struct error *folders_open(const struct store *store, DIR **ret) {
        _cleanup_free_ char *folder = path_join(store->root, FOLDERS);

        *ret = opendir(folder);
        return *ret || errno == ENOENT ? NULL : error_errno(errno, "open %s", folder);
}

/* Folders of claims that are not there, because somebody died between removing the one and the other. */
static struct error *put_orphans_aside(struct store *store, json_t *claims) {
        DIR *dir;
        struct error *err = folders_open(store, &dir);

        if (err || !dir)
                return err;
        err = check_uids(claims);
        for (struct dirent *entry; !err && (entry = readdir(dir));) {
                size_t len = strcspn(entry->d_name, "."); /* "<uid>", or "<uid>..new": not finished yet */
                _cleanup_free_ char *uid = xstrndup(entry->d_name, len);
                if (is_uid(uid) && !str_ends_with(entry->d_name, REMOVED) && !has_claim(claims, uid))
                        err = put_aside(store, entry->d_name);
        }
        closedir(dir);
        return err;
}

/* What was put aside. It takes as long as that takes, and no lock. */
static struct error *empty_bin(const struct store *store) {
        DIR *dir;
        struct error *err = folders_open(store, &dir);

        if (err || !dir)
                return err;
        for (struct dirent *entry; (entry = readdir(dir));)
                if (str_ends_with(entry->d_name, REMOVED))
                        error_keep_first(&err, remove_tree_at(dirfd(dir), entry->d_name));
        closedir(dir);
        return err;
}

struct error *claim_discard(const struct store *store, const json_t *claim) {
        const char *uid = text(claim, "metadata", "uid");

        if (!uid || !is_uid(uid))
                return NULL;
        _cleanup_free_ char *folder = claim_folder(store, uid), *aside = xasprintf("%s" REMOVED, folder);
        return remove_tree(aside);
}

/* Under the lock: claims that nothing holds any more, then folders that are nobody's. A claim that cannot be read holds
 * up only the second. */
static struct error *sweep_locked(struct store *store) {
        _cleanup_close_ int lock = -EBADF;
        json_t *claims = NULL;
        struct error *first = NULL, *err = store_lock(store, &lock);

        if (!err)
                err = store_list_readable(store, claim_kind(), NULL, &claims, &first);
        if (err)
                return err;
        sweep_claims(store, claims, &first);
        if (!first) /* those that have just gone are in the list, and their folders aside */
                first = put_orphans_aside(store, claims);
        json_decref(claims);
        return first;
}

struct error *claims_sweep(struct store *store) {
        _cleanup_free_ char *folder = path_join(store->root, FOLDERS);
        struct error *first = NULL;

        if (file_exists(folder) || store_may_have_any(store, claim_kind())) {
                first = sweep_locked(store);
                error_keep_first(&first, empty_bin(store));
        }
        return error_context(first, "persistent volume claims");
}

/* ---- what a pod needs ---- */

/* Another pod has it for itself (ReadWriteOncePod). */
static bool is_taken(struct store *store, const json_t *claim, const json_t *pod, const json_t *others) {
        const char *uid;
        json_t *value;

        if (!has_mode(claim, "ReadWriteOncePod"))
                return false;
        json_object_foreach((json_t *)others, uid, value) {
                json_t *other = NULL;
                if (streq_ptr(uid, text(pod, "metadata", "uid")) || json_is_true(json_object_get(value, "nominated")))
                        continue;
                struct error *err = store_pod_spec_read(store, uid, &other);
                bool taken = !err &&
                             streq_ptr(text(other, "metadata", "namespace"), text(pod, "metadata", "namespace")) &&
                             pod_names(other, claim);
                error_free(err);
                json_decref(other);
                if (taken)
                        return true;
        }
        return false;
}

static char *hindrance(struct store *store, const json_t *pod, const json_t *volume, const json_t *claim,
                       const json_t *others) {
        const char *name = text(claim, "metadata", "name"), *ns = text(pod, "metadata", "namespace");

        if (is_being_deleted(claim))
                return xasprintf("persistentvolumeclaim \"%s\" is being deleted", name);
        if (json_object_get(volume, "ephemeral") && !claim_is_owned_by(claim, text(pod, "metadata", "uid")))
                return xasprintf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", ns, name, ns,
                                 text(pod, "metadata", "name"));
        if (!is_bound(claim))
                return xstrdup("pod has unbound immediate PersistentVolumeClaims");
        if (is_taken(store, claim, pod, others))
                return xstrdup(
                        "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access "
                        "mode");
        return NULL;
}

struct error *claims_hinder(struct store *store, const json_t *pod, const json_t *others, char **ret) {
        json_t *volume;
        size_t i;

        json_array_foreach(volumes_of(pod), i, volume) {
                _cleanup_free_ char *name = claim_name_of_volume(text(pod, "metadata", "name"), volume);
                json_t *claim = NULL;
                if (!name)
                        continue;
                struct error *err = store_get(store, claim_kind(), text(pod, "metadata", "namespace"), name, &claim);
                if (error_is(err, ERROR_NOT_FOUND)) {
                        error_free(err);
                        *ret = xasprintf("persistentvolumeclaim \"%s\" not found", name);
                        return NULL;
                }
                if (err)
                        return err;
                *ret = hindrance(store, pod, volume, claim, others);
                json_decref(claim);
                if (*ret)
                        return NULL;
        }
        return NULL;
}

/* ---- generic ephemeral volumes ---- */

static json_t *claim_of_template(const json_t *pod, const json_t *volume, const char *name) {
        json_t *template = json_object_get(json_object_get(volume, "ephemeral"), "volumeClaimTemplate");
        json_t *metadata = json_deep_copy(json_object_get(template, "metadata"));
        json_t *owner = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion", "v1", "kind", "Pod", "name",
                                  text(pod, "metadata", "name"), "uid", text(pod, "metadata", "uid"), "controller", 1,
                                  "blockOwnerDeletion", 1);

        if (!json_is_object(metadata)) {
                json_decref(metadata);
                metadata = json_object();
        }
        json_object_set_new(metadata, "name", json_string(name));
        json_object_set(metadata, "namespace", json_object_get(json_object_get(pod, "metadata"), "namespace"));
        json_object_set_new(metadata, "ownerReferences", json_pack("[o]", owner));
        return json_pack("{s:s, s:s, s:o, s:o*}", "apiVersion", "v1", "kind", "PersistentVolumeClaim", "metadata",
                         metadata, "spec", json_deep_copy(json_object_get(template, "spec")));
}

struct error *claims_make(struct store *store, const json_t *pod) {
        json_t *volume;
        size_t i;

        json_array_foreach(volumes_of(pod), i, volume) {
                _cleanup_free_ char *name = NULL;
                if (!json_object_get(volume, "ephemeral"))
                        continue;
                name = claim_name_of_volume(text(pod, "metadata", "name"), volume);
                json_t *claim = claim_of_template(pod, volume, name);
                struct error *err = store_create(store, claim_kind(), claim);
                json_decref(claim);
                if (err && !error_is(err, ERROR_ALREADY_EXISTS)) /* whose that is, claims_hinder() looks at */
                        return err;
                error_free(err);
        }
        return NULL;
}
