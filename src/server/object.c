#include "server/object.h"

#include "base/clock.h"
#include "base/file.h"
#include "server/dependents.h"
#include "server/field.h"
#include "server/supervisor.h"

int object_rank(const struct api_kind *kind) {
        static const struct {
                const char *kind;
                int rank;
        } ranks[] = { { "Namespace", 0 }, { "Node", 0 }, { "Pod", 2 } };

        for (size_t i = 0; i < ARRAY_SIZE(ranks); i++)
                if (streq(ranks[i].kind, kind->kind))
                        return ranks[i].rank;
        return 1;
}

struct error *object_create(struct store *store, const struct api_kind *kind, json_t *object) {
        struct error *err = store_create(store, kind, object);

        if (err || !streq(kind->kind, "Pod"))
                return err;
        /* The supervisor sets to work while the files are brought to the disk. */
        const char *uid = field_text_or(object, "metadata.uid", "");
        err = supervisor_start(store, uid);
        if (!err)
                return store_pod_sync(store, uid);
        struct error *undo = store_pod_remove(store, uid);
        error_free(undo);
        return err;
}

static bool has_finalizers(const json_t *object) {
        return json_array_size(field_at(object, "metadata.finalizers")) > 0;
}

/* Pods go with their supervisor, claims when nobody uses them. */
static bool goes_by_itself(const struct api_kind *kind) {
        return streq(kind->kind, "Pod") || streq(kind->kind, "PersistentVolumeClaim");
}

struct error *object_remove(struct store *store, const struct api_kind *kind, const json_t *object) {
        _cleanup_json_ json_t *marked = NULL;
        char now[RFC3339_MAX];

        if (goes_by_itself(kind) || !has_finalizers(object))
                return store_delete(store, kind, object_namespace(object), object_name(object));
        if (field_text(object, "metadata.deletionTimestamp"))
                return NULL;
        marked = json_deep_copy(object);
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, now);
        json_object_set_new(json_object_get(marked, "metadata"), "deletionTimestamp", json_string(now));
        json_object_set_new(json_object_get(marked, "metadata"), "deletionGracePeriodSeconds", json_integer(0));
        return store_update(store, kind, marked);
}

struct error *object_delete(struct store *store, const struct api_kind *kind, const json_t *object) {
        struct error *err = object_remove(store, kind, object);

        return err ? err : dependents_collect(store);
}

struct error *object_update(struct store *store, const struct api_kind *kind, json_t *object) {
        struct error *err = store_update(store, kind, object);

        if (err || !field_text(object, "metadata.deletionTimestamp") || has_finalizers(object))
                return err;
        /* Its deletion has waited, and nothing holds it any more. */
        if (streq(kind->kind, "Pod"))
                return pod_cleanup_if_alone(store, field_text_or(object, "metadata.uid", ""));
        if (!goes_by_itself(kind))
                err = store_delete(store, kind, object_namespace(object), object_name(object));
        return err ? err : dependents_collect(store);
}

bool pod_is_held(struct store *store, const char *uid) {
        json_t *pod = NULL;
        _cleanup_error_ struct error *err = store_pod_spec_read(store, uid, &pod);
        bool held = !err && has_finalizers(pod);

        json_decref(pod);
        return held && !supervisor_is_alive(store, uid);
}

/* What the pod gets to end: as asked for, else its own; nothing for a pod that is over or was never admitted. */
static int64_t pod_grace(const json_t *pod, int64_t asked) {
        const char *phase = field_text_or(pod, "status.phase", "");

        if (streq(phase, "Succeeded") || streq(phase, "Failed"))
                return 0;
        if (asked >= 0)
                return asked;
        return field_number(pod, "spec.terminationGracePeriodSeconds", 30);
}

struct error *pod_mark_deleted(struct store *store, json_t *pod, int64_t asked) {
        int64_t grace = pod_grace(pod, asked), before = field_number(pod, "metadata.deletionGracePeriodSeconds", -1);
        json_t *metadata = json_object_get(pod, "metadata");
        char when[RFC3339_MAX];

        if (field_text(pod, "metadata.deletionTimestamp") && before >= 0 && before <= grace)
                return NULL;
        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC + grace, when);
        json_object_set_new(metadata, "deletionTimestamp", json_string(when));
        json_object_set_new(metadata, "deletionGracePeriodSeconds", json_integer(grace));
        return store_update(store, api_kind_of("Pod"), pod);
}

bool pod_is_gone(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_folder(store, uid);
        return !file_exists(folder);
}

struct error *pod_cleanup_if_alone(struct store *store, const char *uid) {
        if (supervisor_is_alive(store, uid))
                return NULL;
        struct error *err = supervisor_cleanup(store, uid);
        if (err && (supervisor_is_alive(store, uid) || pod_is_gone(store, uid)))
                return error_free(err);
        return err;
}
