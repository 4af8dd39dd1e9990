/* persistentVolumeClaim and ephemeral: a folder of this machine that belongs to a claim (store/claim.h). */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "store/claim.h"
#include "volume/owner.h"
#include "volume/type.h"

/* A generic ephemeral volume has a claim of its own, named after pod and volume. */
static char *claim_name(const struct volume_context *context, const V1Volume *volume) {
        if (volume->volumesource->persistentvolumeclaim)
                return xstrdup(volume->volumesource->persistentvolumeclaim->claimname);
        return xasprintf("%s-%s", context->downward.pod->metadata->name, volume->name);
}

static struct error *claim_read(const struct volume_context *context, const V1Volume *volume, struct api_arena *arena,
                                V1PersistentVolumeClaim **ret) {
        const struct api_kind *kind = api_kind_of("PersistentVolumeClaim");
        _cleanup_free_ char *name = claim_name(context, volume);
        struct error *err;
        json_t *json;

        err = store_get(context->store, kind, volume_namespace(context), name, &json);
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return error_new(ERROR_NOT_FOUND, "persistentvolumeclaim \"%s\" not found", name);
        }
        if (err)
                return err;
        err = api_decode_stored(json, kind->descriptor, arena, ret);
        json_decref(json);
        /* Only a pod that skipped the scheduler (spec.nodeName) comes so far. */
        if (!err && !((*ret)->status && streq_ptr((*ret)->status->phase, "Bound")))
                err = error_new(ERROR_UNAVAILABLE, "error processing PVC %s/%s: PVC is not bound",
                                volume_namespace(context), name);
        if (!err && (str_empty((*ret)->metadata->uid) || strchr((*ret)->metadata->uid, '/')))
                err = error_new(ERROR_INVALID, "persistentvolumeclaim \"%s\" has no uid", name);
        return err;
}

struct error *claim_path(const struct volume_context *context, const V1Volume *volume, char **ret) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        V1PersistentVolumeClaim *claim;
        struct error *err;

        err = claim_read(context, volume, arena, &claim);
        if (!err)
                *ret = claim_folder(context->store, claim->metadata->uid);
        return err;
}

static struct error *make_folder(const char *path) {
        _cleanup_free_ char *unfinished = xasprintf("%s..new", path);
        struct error *err;

        if (file_exists(path))
                return NULL;
        err = mkdir_parents(unfinished, 0700);
        if (err)
                return err;
        if (chmod(unfinished, 0777) < 0 || (rename(unfinished, path) < 0 && errno != ENOTEMPTY && errno != EEXIST))
                return error_errno(errno, "make %s", path);
        return NULL;
}

/* fsGroup reaches everything in a persistent volume; OnRootMismatch spares a large one the walk. */
static struct error *set_group(const V1Pod *pod, const char *path) {
        const V1PodSecurityContext *sc = pod->spec->securitycontext;
        _cleanup_close_ int fd = -EBADF;

        if (!sc || !sc->has_fsgroup)
                return NULL;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        if (streq_ptr(sc->fsgroupchangepolicy, "OnRootMismatch") && owner_is_set(fd, sc->fsgroup, OWNER_READ_WRITE))
                return NULL;
        return owner_set_tree(fd, sc->fsgroup, OWNER_READ_WRITE);
}

struct error *claim_setup(const struct volume_context *context, const V1Volume *volume) {
        _cleanup_free_ char *path = NULL;
        struct error *err;

        err = claim_path(context, volume, &path);
        if (!err)
                err = make_folder(path);
        if (!err)
                err = set_group(context->downward.pod, path);
        return err;
}
