#include "volume/volume.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/str.h"
#include "volume/type.h"

#define SOURCE(field) offsetof(V1VolumeSource, field)

static const struct volume_type types[] = {
        { "emptyDir", SOURCE(emptydir), .relabelled = true, .path = volume_disk_path, .setup = empty_dir_setup },
        { "hostPath", SOURCE(hostpath), .path = host_path_path, .setup = host_path_setup },
        { "configMap", SOURCE(configmap), .relabelled = true, .read_only = true, .path = object_path,
          .setup = object_setup, .payload = config_map_payload },
        { "secret", SOURCE(secret), .relabelled = true, .read_only = true, .path = object_path, .setup = object_setup,
          .payload = secret_payload },
        { "downwardAPI", SOURCE(downwardapi), .relabelled = true, .read_only = true, .path = object_path,
          .setup = object_setup, .payload = downward_payload },
        { "projected", SOURCE(projected), .relabelled = true, .read_only = true, .path = object_path,
          .setup = object_setup, .payload = projected_payload },
        { "persistentVolumeClaim", SOURCE(persistentvolumeclaim), .relabelled = true, .path = claim_path,
          .setup = claim_setup },
        { "ephemeral", SOURCE(ephemeral), .relabelled = true, .path = claim_path, .setup = claim_setup },
        { "image", SOURCE(image), .read_only = true, .late = true, .mapped = true, .options = "noexec",
          .path = volume_disk_path, .setup = image_volume_setup },
};

static bool has_source(const V1Volume *volume, const struct volume_type *type) {
        return volume->volumesource && *(void *const *)((const char *)volume->volumesource + type->offset);
}

struct error *volume_type_of(const V1Volume *volume, const struct volume_type **ret) {
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (has_source(volume, &types[i])) {
                        *ret = &types[i];
                        return NULL;
                }
        return error_new(ERROR_NOT_SUPPORTED, "this type of volume is not supported");
}

/* ---- places ---- */

char *volume_disk_folder(const struct volume_context *context) {
        _cleanup_free_ char *pod = store_pod_folder(context->store, context->downward.pod->metadata->uid);

        return path_join(pod, "volumes");
}

char *volume_object_folder(const struct volume_context *context) {
        _cleanup_free_ char *pod = store_pod_run_folder(context->store, context->downward.pod->metadata->uid);

        return path_join(pod, "volumes");
}

char *volume_subpath_folder(const struct volume_context *context) {
        _cleanup_free_ char *pod = store_pod_run_folder(context->store, context->downward.pod->metadata->uid);

        return path_join(pod, "subpaths");
}

struct error *volume_disk_path(const struct volume_context *context, const V1Volume *volume, char **ret) {
        _cleanup_free_ char *folder = volume_disk_folder(context);

        *ret = path_join(folder, volume->name);
        return NULL;
}

const char *volume_namespace(const struct volume_context *context) {
        return context->downward.pod->metadata->namespace_;
}

const V1Volume *volume_find(const V1Pod *pod, const char *name) {
        for (size_t i = 0; i < pod->spec->n_volumes; i++)
                if (streq_ptr(pod->spec->volumes[i]->name, name))
                        return pod->spec->volumes[i];
        return NULL;
}

int volume_open(const struct volume_context *context, const char *volume_name) {
        const V1Volume *volume = volume_find(context->downward.pod, volume_name);
        _cleanup_free_ char *path = NULL;
        const struct volume_type *type;
        struct error *err;
        int fd;

        if (!volume)
                return -ENOENT;
        err = volume_type_of(volume, &type);
        if (!err)
                err = type->path(context, volume, &path);
        if (err) {
                error_free(err);
                return -ENOENT;
        }
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* ---- who uses what ---- */

static bool mounts_volume(V1VolumeMount *const *mounts, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq_ptr(mounts[i]->name, name))
                        return true;
        return false;
}

/* A file of the volume may be read for an environment variable as well. */
static bool reads_volume(V1EnvVar *const *env, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (env[i]->valuefrom && env[i]->valuefrom->filekeyref &&
                    streq_ptr(env[i]->valuefrom->filekeyref->volumename, name))
                        return true;
        return false;
}

static bool containers_use(V1Container *const *containers, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (mounts_volume(containers[i]->volumemounts, containers[i]->n_volumemounts, name) ||
                    reads_volume(containers[i]->env, containers[i]->n_env, name))
                        return true;
        return false;
}

bool volume_is_used(const V1Pod *pod, const V1Volume *volume) {
        const V1PodSpec *spec = pod->spec;

        if (containers_use(spec->containers, spec->n_containers, volume->name) ||
            containers_use(spec->initcontainers, spec->n_initcontainers, volume->name))
                return true;
        for (size_t i = 0; i < spec->n_ephemeralcontainers; i++) {
                const V1EphemeralContainerCommon *c = spec->ephemeralcontainers[i]->ephemeralcontainercommon;

                if (c && (mounts_volume(c->volumemounts, c->n_volumemounts, volume->name) ||
                          reads_volume(c->env, c->n_env, volume->name)))
                        return true;
        }
        return false;
}

static bool projection_depends_on(const V1VolumeProjection *source, const char *kind, const char *name) {
        if (source->configmap)
                return streq(kind, "ConfigMap") && streq_ptr(source->configmap->localobjectreference->name, name);
        if (source->secret)
                return streq(kind, "Secret") && streq_ptr(source->secret->localobjectreference->name, name);
        return false;
}

bool volume_depends_on(const V1Volume *volume, const char *kind, const char *name) {
        const V1VolumeSource *source = volume->volumesource;

        if (source->configmap)
                return streq(kind, "ConfigMap") && streq_ptr(source->configmap->localobjectreference->name, name);
        if (source->secret)
                return streq(kind, "Secret") && streq_ptr(source->secret->secretname, name);
        for (size_t i = 0; source->projected && i < source->projected->n_sources; i++)
                if (projection_depends_on(source->projected->sources[i], kind, name))
                        return true;
        return false;
}

bool volume_depends_on_pod(const V1Volume *volume) {
        const V1VolumeSource *source = volume->volumesource;

        for (size_t i = 0; source->projected && i < source->projected->n_sources; i++)
                if (source->projected->sources[i]->downwardapi)
                        return true;
        return source->downwardapi;
}

/* ---- setting up and tearing down ---- */

struct error *volume_setup(const struct volume_context *context, const V1Volume *volume) {
        const struct volume_type *type;
        struct error *err;

        err = volume_type_of(volume, &type);
        if (!err && !type->late)
                err = type->setup(context, volume);
        return error_context(err, "MountVolume.SetUp failed for volume \"%s\" ", volume->name);
}

void volumes_setup_each(const struct volume_context *context, char ***ret) {
        const V1Pod *pod = context->downward.pod;

        *ret = NULL;
        /* All are tried: a missing ConfigMap must not keep an emptyDir from being there when it arrives. */
        for (size_t i = 0; i < pod->spec->n_volumes; i++) {
                if (!volume_is_used(pod, pod->spec->volumes[i]))
                        continue;
                _cleanup_error_ struct error *err = volume_setup(context, pod->spec->volumes[i]);
                if (err)
                        *ret = strv_add(*ret, error_message(err));
        }
}

struct error *volumes_setup(const struct volume_context *context) {
        _cleanup_strv_ char **failures = NULL;

        volumes_setup_each(context, &failures);
        return failures ? error_new(ERROR_INTERNAL, "%s", failures[0]) : NULL;
}

static struct error *remove_folder(const char *parent, const char *name) {
        _cleanup_free_ char *path = path_join(parent, name);
        struct error *err;

        err = unmount_below(path);
        if (!err)
                err = remove_tree(path);
        return err;
}

struct error *volumes_teardown(const char *pod_folder, const char *run_folder) {
        struct error *err;

        /* subPath mounts first: they are clones of what lies in the other two. */
        err = remove_folder(run_folder, "subpaths");
        if (!err)
                err = remove_folder(run_folder, "volumes");
        if (!err)
                err = remove_folder(pod_folder, "volumes");
        return error_context(err, "remove volumes");
}
