/* Volumes whose files husk writes: configMap, secret, downwardAPI and projected. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "store/config.h"
#include "volume/owner.h"
#include "volume/type.h"

#define MODE_DEFAULT 0644

/* ---- payloads ---- */

static mode_t file_mode(bool has_mode, int32_t mode, bool has_default, int32_t default_mode) {
        return has_mode ? mode : has_default ? default_mode : MODE_DEFAULT;
}

/* A source of keys: all of them, or `items`. */
struct keys {
        V1KeyToPath *const *items;
        size_t n_items;
        bool has_default_mode;
        int32_t default_mode;
        bool optional;
        const char *missing; /* "configmap references non-existent config key" */
};

struct key_source {
        bool (*value)(const void *object, const char *key, ProtobufCBinaryData *ret);
        const void *object;
};

static struct error *add_items(struct payload *payload, const struct keys *keys, const struct key_source *source) {
        for (size_t i = 0; i < keys->n_items; i++) {
                const V1KeyToPath *item = keys->items[i];
                ProtobufCBinaryData bytes;

                if (source->value(source->object, item->key, &bytes))
                        payload_add(payload, item->path, bytes.data, bytes.len,
                                    file_mode(item->has_mode, item->mode, keys->has_default_mode, keys->default_mode));
                else if (!keys->optional)
                        return error_new(ERROR_NOT_FOUND, "%s: %s", keys->missing, item->key);
        }
        return NULL;
}

static bool value_of_config_map(const void *object, const char *key, ProtobufCBinaryData *ret) {
        return config_map_value(object, key, ret);
}

static bool value_of_secret(const void *object, const char *key, ProtobufCBinaryData *ret) {
        return secret_value(object, key, ret);
}

static struct error *add_config_map(const struct volume_context *context, const char *name, struct keys keys,
                                    struct payload *payload) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        mode_t mode = file_mode(false, 0, keys.has_default_mode, keys.default_mode);
        V1ConfigMap *map;
        struct error *err;

        err = config_map_read(context->store, volume_namespace(context), name, arena, &map);
        if (error_is(err, ERROR_NOT_FOUND) && keys.optional) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        keys.missing = "configmap references non-existent config key";
        if (keys.n_items > 0)
                return add_items(payload, &keys, &(struct key_source){ value_of_config_map, map });
        for (size_t i = 0; i < map->n_data; i++)
                payload_add(payload, map->data[i]->key, map->data[i]->value,
                            map->data[i]->value ? strlen(map->data[i]->value) : 0, mode);
        for (size_t i = 0; i < map->n_binarydata; i++)
                payload_add(payload, map->binarydata[i]->key, map->binarydata[i]->value.data,
                            map->binarydata[i]->value.len, mode);
        return NULL;
}

static struct error *add_secret(const struct volume_context *context, const char *name, struct keys keys,
                                struct payload *payload) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1Secret *secret;
        struct error *err;

        err = secret_read(context->store, volume_namespace(context), name, arena, &secret);
        if (error_is(err, ERROR_NOT_FOUND) && keys.optional) {
                error_free(err);
                return NULL;
        }
        if (err)
                return err;
        keys.missing = "references non-existent secret key";
        if (keys.n_items > 0)
                return add_items(payload, &keys, &(struct key_source){ value_of_secret, secret });
        for (size_t i = 0; i < secret->n_data; i++)
                payload_add(payload, secret->data[i]->key, secret->data[i]->value.data, secret->data[i]->value.len,
                            file_mode(false, 0, keys.has_default_mode, keys.default_mode));
        return NULL;
}

static struct error *add_downward(const struct volume_context *context, V1DownwardAPIVolumeFile *const *items, size_t n,
                                  bool has_default_mode, int32_t default_mode, struct payload *payload) {
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *text = NULL;
                struct error *err;

                if (items[i]->fieldref)
                        err = downward_field(&context->downward, items[i]->fieldref->fieldpath, &text);
                else if (items[i]->resourcefieldref)
                        err = downward_resource(&context->downward, NULL, items[i]->resourcefieldref, &text);
                else
                        err = error_new(ERROR_INVALID, "%s: neither fieldRef nor resourceFieldRef", items[i]->path);
                if (err)
                        return err;
                payload_add(payload, items[i]->path, text, strlen(text),
                            file_mode(items[i]->has_mode, items[i]->mode, has_default_mode, default_mode));
        }
        return NULL;
}

#define KEYS(source, with_mode) \
        { \
                .items = (source)->items, .n_items = (source)->n_items, \
                .has_default_mode = (with_mode)->has_defaultmode, .default_mode = (with_mode)->defaultmode, \
                .optional = (source)->has_optional && (source)->optional, \
        }

struct error *config_map_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret) {
        const V1ConfigMapVolumeSource *source = volume->volumesource->configmap;

        return add_config_map(context, source->localobjectreference->name, (struct keys)KEYS(source, source), ret);
}

struct error *secret_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret) {
        const V1SecretVolumeSource *source = volume->volumesource->secret;

        return add_secret(context, source->secretname, (struct keys)KEYS(source, source), ret);
}

struct error *downward_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret) {
        const V1DownwardAPIVolumeSource *source = volume->volumesource->downwardapi;

        return add_downward(context, source->items, source->n_items, source->has_defaultmode, source->defaultmode, ret);
}

static struct error *add_projection(const struct volume_context *context, const V1ProjectedVolumeSource *projected,
                                    const V1VolumeProjection *source, struct payload *payload) {
        if (source->configmap)
                return add_config_map(context, source->configmap->localobjectreference->name,
                                      (struct keys)KEYS(source->configmap, projected), payload);
        if (source->secret)
                return add_secret(context, source->secret->localobjectreference->name,
                                  (struct keys)KEYS(source->secret, projected), payload);
        if (source->downwardapi)
                return add_downward(context, source->downwardapi->items, source->downwardapi->n_items,
                                    projected->has_defaultmode, projected->defaultmode, payload);
        return error_new(ERROR_NOT_SUPPORTED,
                         "a projected source other than configMap, secret and downwardAPI needs a cluster");
}

/* All sources are tried, so that the message names everything that is missing. */
struct error *projected_payload(const struct volume_context *context, const V1Volume *volume, struct payload *ret) {
        const V1ProjectedVolumeSource *projected = volume->volumesource->projected;
        _cleanup_strv_ char **messages = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < projected->n_sources; i++) {
                struct error *err = add_projection(context, projected, projected->sources[i], ret);

                if (err && !strv_contains(messages, error_message(err)))
                        messages = strv_add(messages, error_message(err));
                error_free(err);
        }
        if (!messages)
                return NULL;
        text = strv_join(messages, ", ");
        return strv_len(messages) == 1 ? error_new(ERROR_NOT_FOUND, "%s", text)
                                       : error_new(ERROR_NOT_FOUND, "[%s]", text);
}

/* ---- where they are ---- */

struct error *object_path(const struct volume_context *context, const V1Volume *volume, char **ret) {
        _cleanup_free_ char *folder = volume_object_folder(context);

        *ret = path_join(folder, volume->name);
        return NULL;
}

/* One tmpfs for the volumes of this kind: secrets never reach a disk (not even swap, Linux 6.4), and flash is spared.
 */
static struct error *mount_object_folder(const struct volume_context *context) {
        _cleanup_free_ char *folder = volume_object_folder(context);
        _cleanup_close_ int fd = -EBADF, mount_fd = -EBADF;
        struct error *err;

        err = mkdir_parents(folder, 0700);
        if (err)
                return err;
        fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", folder);
        if (mount_is_root(fd))
                return NULL;
        err = mount_new("tmpfs", "mode=0700,?noswap", &mount_fd);
        if (!err)
                err = mount_attach(mount_fd, fd);
        return error_context(err, "mount %s", folder);
}

static const int64_t *fs_group(const struct volume_context *context) {
        const V1PodSecurityContext *sc = context->downward.pod->spec->securitycontext;

        return sc && sc->has_fsgroup ? &sc->fsgroup : NULL;
}

/* Group of the files in it; ids are shifted where they cannot be mapped. */
static const int64_t *group_in_volume(const struct volume_context *context, uint32_t shift, int64_t *buf) {
        const int64_t *gid = fs_group(context);

        if (!gid)
                return NULL;
        *buf = *gid + shift;
        return buf;
}

static struct error *write_volume(const struct volume_context *context, const V1Volume *volume, int fd,
                                  bool *ret_changed) {
        _cleanup_payload_ struct payload payload = PAYLOAD_INIT;
        const struct volume_type *type;
        struct error *err;
        int64_t gid;

        payload.owner = id_map_shift(context->ids, "tmpfs");

        err = volume_type_of(volume, &type);
        if (!err)
                err = type->payload(context, volume, &payload);
        if (!err)
                err = payload_write(fd, &payload, group_in_volume(context, payload.owner, &gid), ret_changed);
        return err;
}

struct error *object_setup(const struct volume_context *context, const V1Volume *volume) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct error *err;
        int64_t group;

        err = mount_object_folder(context);
        if (!err)
                err = object_path(context, volume, &path);
        if (err)
                return err;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_errno(errno, "make %s", path);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        /* 0777 as a kubelet's: it is mounted read-only, and the way to it on the host is root's alone. */
        uint32_t shift = id_map_shift(context->ids, "tmpfs");
        const int64_t *gid = group_in_volume(context, shift, &group);
        if (fchown(fd, shift, -1) < 0 || (shift && fchown(fd, -1, shift) < 0) || fchmod(fd, 0777) < 0)
                return error_errno(errno, "change %s", path);
        err = write_volume(context, volume, fd, NULL);
        if (!err && gid)
                err = owner_set_tree(fd, *gid, OWNER_READ_ONLY);
        return err;
}

struct error *volume_refresh(const struct volume_context *context, const V1Volume *volume, bool *ret_changed) {
        _cleanup_free_ char *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        const struct volume_type *type;
        bool changed = false;
        struct error *err;

        err = volume_type_of(volume, &type);
        if (!err && type->payload)
                err = object_path(context, volume, &path);
        if (!err && path) {
                fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (fd >= 0)
                        err = write_volume(context, volume, fd, &changed);
        }
        if (!err && ret_changed)
                *ret_changed = changed;
        return error_context(err, "MountVolume.SetUp failed for volume \"%s\" ", volume->name);
}
