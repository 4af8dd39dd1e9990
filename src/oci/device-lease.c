#include "oci/device-lease.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "api/quantity.h"
#include "base/file.h"
#include "base/str.h"
#include "oci/cdi.h"

#define LEASE_SIZE_MAX (1U << 20)

/* ---- what is asked for ---- */

/* "vendor.com/class" and how many; Kubernetes' own names have no slash or its domain in front. */
static bool device_limit(const V1ResourceRequirements *resources, size_t i, const char **ret_kind, int64_t *ret_count) {
        const V1QuantityEntry *entry = resources->limits[i];
        const char *slash = strchr(entry->key, '/');

        if (!slash || strncmp(entry->key, "kubernetes.io/", (size_t)(slash - entry->key) + 1) == 0 || !entry->value)
                return false;
        *ret_kind = entry->key;
        *ret_count = quantity_text_value(entry->value->string);
        return *ret_count > 0;
}

static bool container_wants(const V1Container *container) {
        const char *kind;
        int64_t count;

        for (size_t i = 0; container->resources && i < container->resources->n_limits; i++)
                if (device_limit(container->resources, i, &kind, &count))
                        return true;
        return false;
}

bool devices_are_wanted(const V1Pod *pod) {
        for (size_t i = 0; i < pod->spec->n_initcontainers; i++)
                if (container_wants(pod->spec->initcontainers[i]))
                        return true;
        for (size_t i = 0; i < pod->spec->n_containers; i++)
                if (container_wants(pod->spec->containers[i]))
                        return true;
        return false;
}

/* ---- records ---- */

static char *leases_folder(const struct store *store) {
        return path_join(store->run, "devices");
}

static char *lease_path(const struct store *store, const char *pod_uid) {
        return xasprintf("%s/devices/%s.json", store->run, pod_uid);
}

static struct error *lock(const struct store *store, int *ret_fd) {
        _cleanup_free_ char *folder = leases_folder(store);

        return folder_lock(folder, ret_fd);
}

static json_t *lease_read(int folder_fd, const char *name) {
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ struct error *err = file_read_at(folder_fd, name, LEASE_SIZE_MAX, &text, NULL);
        json_t *json = err ? NULL : json_loads(text, 0, NULL);

        return json;
}

static void take_all(json_t *taken, const json_t *lease) {
        const char *container;
        json_t *list, *device;
        size_t i;

        json_object_foreach((json_t *)lease, container, list)
                json_array_foreach(list, i, device) if (json_is_string(device))
                        json_object_set_new(taken, json_string_value(device), json_true());
}

/* Every device that some other pod has, as {"vendor.com/class=0": true}; leases of dead pods go. */
static struct error *taken_by_others(const struct store *store, json_t **ret) {
        _cleanup_free_ char *folder = leases_folder(store);
        DIR *dir = opendir(folder);
        json_t *taken = json_object();

        *ret = taken;
        if (!dir)
                return error_errno(errno, "open %s", folder);
        for (struct dirent *entry; (entry = readdir(dir));) {
                const char *end = strstr(entry->d_name, ".json");

                if (entry->d_name[0] == '.' || !end || end[5])
                        continue;
                _cleanup_free_ char *uid = xstrndup(entry->d_name, (size_t)(end - entry->d_name));
                _cleanup_free_ char *pod = store_pod_run_folder((struct store *)store, uid);
                if (access(pod, F_OK) < 0 && errno == ENOENT) {
                        unlinkat(dirfd(dir), entry->d_name, 0);
                        continue;
                }
                json_t *lease = lease_read(dirfd(dir), entry->d_name);
                take_all(taken, lease);
                json_decref(lease);
        }
        closedir(dir);
        return NULL;
}

/* ---- choosing ---- */

struct choice {
        const struct cdi_registry *registry;
        json_t *taken;      /* by others, and by containers of this pod that keep theirs */
        json_t *reusable;   /* what init containers had */
        json_t *allocation; /* the result */
};

static bool is_kind_of(const char *device, const char *kind) {
        size_t len = strlen(kind);

        return strncmp(device, kind, len) == 0 && device[len] == '=';
}

/* One that an init container had and that this container has not got already. */
static char *choose_again(const struct choice *choice, const char *kind, const json_t *chosen) {
        const char *device;
        json_t *value, *has;
        size_t i;

        json_object_foreach(choice->reusable, device, value) {
                bool already = false;

                json_array_foreach(chosen, i, has) already |= streq(json_string_value(has), device);
                if (!already && is_kind_of(device, kind))
                        return xstrdup(device);
        }
        return NULL;
}

static char *choose_new(const struct choice *choice, const char *kind) {
        for (size_t i = 0; i < choice->registry->n; i++) {
                const struct cdi_device *d = &choice->registry->devices[i];

                if (!streq(d->kind, kind) || !cdi_is_offered(choice->registry, d))
                        continue;
                _cleanup_free_ char *name = xasprintf("%s=%s", d->kind, d->name);
                if (!json_object_get(choice->taken, name))
                        return TAKE_PTR(name);
        }
        return NULL;
}

static struct error *choose_kind(struct choice *choice, const char *kind, int64_t count, bool passes_on,
                                 json_t *chosen) {
        for (int64_t n = 0; n < count; n++) {
                _cleanup_free_ char *device = choose_again(choice, kind, chosen);

                if (!device)
                        device = choose_new(choice, kind);
                if (!device)
                        return error_new(ERROR_EXHAUSTED,
                                         "Allocate failed due to requested number of devices unavailable for %s. "
                                         "Requested: %lld, Available: %lld, which is unexpected",
                                         kind, (long long)count, (long long)n);
                json_array_append_new(chosen, json_string(device));
                json_object_set_new(choice->taken, device, json_true());
                if (passes_on)
                        json_object_set_new(choice->reusable, device, json_true());
                else
                        json_object_del(choice->reusable, device);
        }
        return NULL;
}

static struct error *choose_for(struct choice *choice, const V1Container *container, bool passes_on) {
        json_t *chosen = json_array();
        struct error *err = NULL;

        for (size_t i = 0; container->resources && i < container->resources->n_limits && !err; i++) {
                const char *kind;
                int64_t count;

                if (device_limit(container->resources, i, &kind, &count))
                        err = choose_kind(choice, kind, count, passes_on, chosen);
        }
        if (json_array_size(chosen))
                json_object_set(choice->allocation, container->name, chosen);
        json_decref(chosen);
        return err;
}

static struct error *choose(const V1PodSpec *spec, struct choice *choice) {
        struct error *err = NULL;

        for (size_t i = 0; i < spec->n_initcontainers && !err; i++)
                err = choose_for(choice, spec->initcontainers[i],
                                 !streq_ptr(spec->initcontainers[i]->restartpolicy, "Always"));
        for (size_t i = 0; i < spec->n_containers && !err; i++)
                err = choose_for(choice, spec->containers[i], false);
        return err;
}

static struct error *allocate_new(const struct store *store, const V1Pod *pod, const struct cdi_registry *registry,
                                  json_t *allocation) {
        _cleanup_free_ char *path = lease_path(store, pod->metadata->uid), *text = NULL;
        struct choice choice = { .registry = registry, .reusable = json_object(), .allocation = allocation };
        struct error *err = taken_by_others(store, &choice.taken);

        if (!err)
                err = choose(pod->spec, &choice);
        json_decref(choice.taken);
        json_decref(choice.reusable);
        if (err)
                return err;
        text = json_dumps(allocation, JSON_COMPACT);
        _cleanup_free_ char *temporary = path_join(store->run, ".devices.new");
        return file_replace_through(temporary, path, text, strlen(text), 0600, 0);
}

struct error *devices_allocate(const struct store *store, const V1Pod *pod, const struct cdi_registry *registry,
                               json_t **ret) {
        _cleanup_free_ char *path = lease_path(store, pod->metadata->uid);
        _cleanup_close_ int lock_fd = -EBADF;
        struct error *err = lock(store, &lock_fd);

        if (err)
                return error_context(err, "devices");
        json_t *allocation = lease_read(AT_FDCWD, path);
        if (!json_is_object(allocation)) {
                json_decref(allocation);
                allocation = json_object();
                err = allocate_new(store, pod, registry, allocation);
        }
        if (err)
                json_decref(allocation);
        else
                *ret = allocation;
        return err;
}

struct error *devices_release(const struct store *store, const char *pod_uid) {
        _cleanup_free_ char *path = lease_path(store, pod_uid);

        return unlink(path) < 0 && errno != ENOENT ? error_errno(errno, "remove %s", path) : NULL;
}

/* ---- applying ---- */

/* What the specification has for all of its devices is applied once, before them. */
static struct error *apply_one(const json_t *device, const struct cdi_registry *registry, bool userns, json_t *spec,
                               json_t *seen) {
        const char *name = json_string_value(device), *equals = name ? strchr(name, '=') : NULL;
        _cleanup_free_ char *kind = equals ? xstrndup(name, (size_t)(equals - name)) : NULL;
        const struct cdi_device *d = equals ? cdi_find(registry, kind, equals + 1) : NULL;
        struct error *err = NULL;
        json_t *common;
        size_t i;

        if (!d)
                return error_new(ERROR_NOT_FOUND, "device %s is not described (any more)", name ? name : "");
        bool applied = false;
        json_array_foreach(seen, i, common) applied |= common == d->common;
        if (!applied) {
                json_array_append(seen, d->common);
                err = cdi_apply(d->common, userns, spec);
        }
        if (!err)
                err = cdi_apply(d->edits, userns, spec);
        return error_context(err, "device %s", name);
}

struct error *devices_apply(const json_t *allocation, const char *container, const struct cdi_registry *registry,
                            bool userns, json_t *spec) {
        json_t *device, *seen = json_array();
        struct error *err = NULL;
        size_t i;

        json_array_foreach(json_object_get(allocation, container), i, device) {
                err = apply_one(device, registry, userns, spec, seen);
                if (err)
                        break;
        }
        json_decref(seen);
        return err;
}
