#include "huskd/statics.h"

#include <stdio.h>
#include <sys/inotify.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "huskd/manifests.h"
#include "server/check.h"
#include "server/field.h"
#include "server/object.h"
#include "store/claim.h"

/* An editor's several steps are one change. */
#define SETTLE_NS (100 * NSEC_PER_MSEC)
#define RETRY_NS (10 * NSEC_PER_SEC) /* after an error of the machine, as a full disk */
#define CHANGED \
        (IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | \
         IN_ONLYDIR)

struct statics {
        struct loop *loop;
        struct store *store;
        char *folder;
        struct loop_watch *watch; /* NULL: the folder could not be watched */
        struct loop_timer *timer;
        loop_callback changed;
        void *arg;
        struct manifest_fault *told; /* mistakes as they were told last */
        size_t n_told, n_files;
        bool failed; /* in this look, for a reason that may pass */
};

/* ---- what is wrong ---- */

static const char *told_of(const struct statics *s, const char *file) {
        for (size_t i = 0; i < s->n_told; i++)
                if (streq(s->told[i].file, file))
                        return s->told[i].text;
        return NULL;
}

static char *event_name(const char *node, const char *file) {
        uint64_t hash = 0xcbf29ce484222325ULL;

        for (const char *p = file; *p; p++)
                hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
        return xasprintf("%s.%016llx", node, (unsigned long long)hash);
}

static json_t *event_new(const json_t *node, const char *file, const char *text) {
        _cleanup_free_ char *name = event_name(object_name(node), file), *line = xstrndup(text, strcspn(text, "\n"));
        char now[RFC3339_MAX];

        rfc3339_format(clock_realtime_ns() / NSEC_PER_SEC, now);
        return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s}, s:s, s:o, s:{s:s, s:s}, s:s, s:s, s:i, s:s, "
                         "s:s, s:s}",
                         "apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace", "default",
                         "involvedObject", "apiVersion", "v1", "kind", "Node", "name", object_name(node), "uid",
                         field_text_or(node, "metadata.uid", ""), "reason", "FailedValidation", "message",
                         json_string(line) ?: json_string(file), "source", "component", "kubelet", "host",
                         object_name(node), "firstTimestamp", now, "lastTimestamp", now, "count", 1, "type", "Warning",
                         "reportingComponent", "kubelet", "reportingInstance", object_name(node));
}

/* One event a file: it goes when the mistake goes. */
static struct error *event_put(struct statics *s, const char *file, const char *text) {
        const struct api_kind *events = api_kind_of("Event");
        _cleanup_json_ json_t *node = NULL;
        struct error *err = store_node(s->store, &node);

        if (err)
                return err;
        _cleanup_free_ char *name = event_name(object_name(node), file);
        err = store_delete(s->store, events, "default", name);
        if (error_is(err, ERROR_NOT_FOUND))
                err = error_free(err);
        if (err || !text)
                return err;
        _cleanup_json_ json_t *event = event_new(node, file, text);
        return event ? store_create(s->store, events, event) : NULL;
}

static void tell(struct statics *s, const char *file, const char *text) {
        if (text)
                for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                        log_error("%.*s", (int)strcspn(line, "\n"), line);
        else
                log_info("%s/%s: no mistakes any more", s->folder, file);
        _cleanup_error_ struct error *err = event_put(s, file, text);
        if (err)
                log_warning("note an event: %s", error_message(err));
}

static void faults_release(struct statics *s) {
        for (size_t i = 0; i < s->n_told; i++) {
                free(s->told[i].file);
                free(s->told[i].text);
        }
        free(s->told);
        s->told = NULL;
        s->n_told = 0;
}

/* Each mistake is told once, however often the folder is looked at. */
static void faults_tell(struct statics *s, struct manifests *m) {
        for (size_t i = 0; i < m->n_faults; i++)
                if (!streq_ptr(told_of(s, m->faults[i].file), m->faults[i].text))
                        tell(s, m->faults[i].file, m->faults[i].text);
        for (size_t i = 0; i < s->n_told; i++)
                if (!manifests_is_faulty(m, s->told[i].file))
                        tell(s, s->told[i].file, NULL);
        faults_release(s);
        s->told = TAKE_PTR(m->faults);
        s->n_told = m->n_faults;
        m->n_faults = 0;
}

static void failed(struct statics *s, const char *what, const json_t *object, struct error *err) {
        if (!err)
                return;
        log_warning("%s %s \"%s\": %s", what, field_text_or(object, "kind", ""), object_name(object),
                    error_message(err));
        s->failed = true;
        error_free(err);
}

/* ---- what is there ---- */

static const char *annotation(const json_t *object, const char *key) {
        return json_string_value(json_object_get(field_at(object, "metadata.annotations"), key));
}

static bool is_static(const json_t *object) {
        return streq_ptr(annotation(object, MANIFEST_SOURCE), "file") && annotation(object, MANIFEST_FILE);
}

/* A pod is marked: whoever supervises it ends it, and where nobody does, huskd starts a supervisor that will. */
static struct error *object_end(struct statics *s, const struct api_kind *kind, json_t *object) {
        if (streq(kind->kind, "Pod"))
                return pod_mark_deleted(s->store, object, -1);
        return store_delete(s->store, kind, object_namespace(object), object_name(object));
}

/* A claim is data: it outlives its manifest, and its namespace with it. What cannot be looked at may be one. */
static bool keeps_data(struct statics *s, const struct api_kind *kind, const json_t *object) {
        _cleanup_json_ json_t *claims = NULL;

        if (claim_is_kind(kind))
                return true;
        if (!streq(kind->kind, "Namespace"))
                return false;
        _cleanup_error_ struct error *err =
                store_list(s->store, api_kind_of("PersistentVolumeClaim"), object_name(object), &claims);
        return err || json_array_size(claims) > 0;
}

static void remove_unwanted(struct statics *s, const struct manifests *m, const struct api_kind *kind) {
        _cleanup_json_ json_t *objects = NULL;
        struct error *err = store_list(s->store, kind, NULL, &objects);
        json_t *object;
        size_t i;

        if (err) {
                log_warning("%s: %s", kind->plural, error_message(err));
                error_free(err);
                return;
        }
        json_array_foreach(objects, i, object) {
                const char *ns = kind->namespaced ? field_text_or(object, "metadata.namespace", "default") : "";
                if (!is_static(object) || field_text(object, "metadata.deletionTimestamp") ||
                    manifests_is_faulty(m, annotation(object, MANIFEST_FILE)) ||
                    manifests_find(m, kind, ns, object_name(object)) || keeps_data(s, kind, object))
                        continue;
                log_info("%s \"%s\" is no longer in %s: deleted", kind->singular, object_name(object), s->folder);
                failed(s, "delete", object, object_end(s, kind, object));
        }
}

/* ---- one object ---- */

static void create(struct statics *s, const struct manifest_object *wanted) {
        _cleanup_json_ json_t *object = json_deep_copy(wanted->object);
        struct error *err = object_create(s->store, wanted->kind, object);

        if (!err)
                log_info("%s \"%s\" created from %s", wanted->kind->singular, wanted->name, wanted->file);
        failed(s, "create", wanted->object, err);
}

static void keep_field(json_t *object, const json_t *live, const char *part, const char *field) {
        json_t *value = json_object_get(json_object_get(live, part), field);

        if (value && !json_object_get(json_object_get(object, part), field))
                json_object_set(field_make_object(object, part), field, value);
}

/* The object that `live` is to become; NULL if it cannot be changed in place, then `diags` say why. What the binder
 * gave a claim, and what protects it, its manifest need not repeat. New reference. */
static json_t *changed_in_place(const struct manifest_object *wanted, const json_t *live, struct diagnostics *diags) {
        _cleanup_json_ json_t *object = json_deep_copy(wanted->object);
        json_t *version = field_at(live, "metadata.resourceVersion"), *checked = NULL;

        if (version)
                json_object_set(json_object_get(object, "metadata"), "resourceVersion", version);
        if (claim_is_kind(wanted->kind)) {
                keep_field(object, live, "spec", "volumeName");
                keep_field(object, live, "spec", "storageClassName");
                keep_field(object, live, "metadata", "finalizers");
        }
        submit_check_update(wanted->kind, object, live, NULL, diags, &checked);
        return checked;
}

/* What may be changed in place is; the rest (an immutable ConfigMap) is replaced, but never a claim and its data. */
static void update(struct statics *s, const struct manifest_object *wanted, json_t *live) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_json_ json_t *checked = changed_in_place(wanted, live, &diags);
        struct error *err;

        if (checked) {
                err = store_update(s->store, wanted->kind, checked);
        } else if (claim_is_kind(wanted->kind)) { /* changed since reject_fixed_claims() */
                err = submit_refusal(wanted->kind, wanted->name, &diags);
        } else {
                _cleanup_json_ json_t *object = json_deep_copy(wanted->object);
                err = store_delete(s->store, wanted->kind, object_namespace(live), object_name(live));
                if (!err)
                        err = object_create(s->store, wanted->kind, object);
        }
        if (!err)
                log_info("%s \"%s\" changed as %s says", wanted->kind->singular, wanted->name, wanted->file);
        failed(s, "change", wanted->object, err);
}

static void replace(struct statics *s, const struct manifest_object *wanted, json_t *live) {
        if (field_text(live, "metadata.deletionTimestamp"))
                return; /* when it is gone, it comes back */
        if (!streq(wanted->kind->kind, "Pod")) {
                update(s, wanted, live);
                return;
        }
        log_info("pod \"%s\" is another one in %s: replaced", wanted->name, wanted->file);
        failed(s, "delete", live, object_end(s, wanted->kind, live));
}

static void put(struct statics *s, const struct manifest_object *wanted) {
        _cleanup_json_ json_t *live = NULL;
        struct error *err = store_get(s->store, wanted->kind, wanted->ns, wanted->name, &live);

        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                create(s, wanted);
        } else if (err) {
                failed(s, "read", wanted->object, err);
        } else if (!streq_ptr(annotation(live, MANIFEST_HASH), wanted->hash)) {
                replace(s, wanted, live);
        }
}

/* ---- the whole ---- */

/* A name that is taken by what came another way rules its file out before anything of it is carried out. */
static void reject_taken_names(struct statics *s, struct manifests *m) {
        for (size_t i = 0; i < m->n; i++) {
                _cleanup_json_ json_t *live = NULL;
                _cleanup_error_ struct error *err =
                        store_get(s->store, m->objects[i].kind, m->objects[i].ns, m->objects[i].name, &live);
                if (err || is_static(live))
                        continue;
                manifests_reject(m, &m->objects[i], "there is one that came from elsewhere; delete that first");
                i = (size_t)-1;
        }
}

/* Why the change of a claim that its file asks for cannot be; NULL if it can, or none is asked for. */
static struct error *claim_refusal(struct statics *s, const struct manifest_object *wanted) {
        _cleanup_diagnostics_ struct diagnostics diags = DIAGNOSTICS_INIT;
        _cleanup_json_ json_t *live = NULL, *checked = NULL;

        if (!claim_is_kind(wanted->kind))
                return NULL;
        _cleanup_error_ struct error *err = store_get(s->store, wanted->kind, wanted->ns, wanted->name, &live);
        if (err || field_text(live, "metadata.deletionTimestamp") ||
            streq_ptr(annotation(live, MANIFEST_HASH), wanted->hash))
                return NULL;
        checked = changed_in_place(wanted, live, &diags);
        return checked ? NULL : submit_refusal(wanted->kind, wanted->name, &diags);
}

/* Another kind of object would be deleted and made anew; a claim's data would be lost by that. */
static void reject_fixed_claims(struct statics *s, struct manifests *m) {
        for (size_t i = 0; i < m->n; i++) {
                _cleanup_error_ struct error *refusal = claim_refusal(s, &m->objects[i]);
                if (!refusal)
                        continue;
                manifests_reject(m, &m->objects[i], error_message(refusal));
                i = (size_t)-1;
        }
}

/* Pods go first and namespaces last, the other way round than they come. */
static void carry_out(struct statics *s, struct manifests *m) {
        size_t n_kinds;
        const struct api_kind *kinds = api_kinds(&n_kinds);

        reject_taken_names(s, m);
        reject_fixed_claims(s, m);
        for (int rank = 2; rank >= 0; rank--)
                for (size_t k = 0; k < n_kinds; k++)
                        if (object_rank(&kinds[k]) == rank && !streq(kinds[k].kind, "Node") &&
                            !streq(kinds[k].kind, "Event"))
                                remove_unwanted(s, m, &kinds[k]);
        for (size_t i = 0; i < m->n; i++)
                put(s, &m->objects[i]);
}

static void folder_watch(struct statics *s);

void statics_sync(struct statics *s) {
        _cleanup_manifests_ struct manifests m = MANIFESTS_INIT;

        if (!s->watch)
                folder_watch(s);
        s->failed = false;
        struct error *err = manifests_read(s->store, s->folder, &m);
        if (err) {
                log_error("%s", error_message(err));
                error_free(err);
                s->failed = true;
        } else {
                carry_out(s, &m);
                s->n_files = m.n_files;
                faults_tell(s, &m);
        }
        if (s->failed)
                loop_timer_set(s->timer, RETRY_NS);
        s->changed(s->arg);
}

static void settled(void *arg) {
        statics_sync(arg);
}

static void folder_changed(void *arg, uint32_t events, const char *name) {
        struct statics *s = arg;

        if (name[0] == '.' && !(events & (IN_Q_OVERFLOW | IN_IGNORED)))
                return; /* an editor's own */
        if (events & (IN_IGNORED | IN_MOVE_SELF | IN_DELETE_SELF | IN_UNMOUNT))
                s->watch = loop_watch_free(s->watch);
        loop_timer_set(s->timer, SETTLE_NS);
}

static void folder_watch(struct statics *s) {
        _cleanup_error_ struct error *err = mkdir_parents(s->folder, 0755);

        if (!err)
                err = loop_watch_new(s->loop, s->folder, CHANGED, folder_changed, s, &s->watch);
        if (err)
                log_warning("no static pods: %s", error_message(err));
}

struct error *statics_new(struct loop *loop, struct store *store, const char *folder, loop_callback changed, void *arg,
                          struct statics **ret) {
        struct statics *s = new0(struct statics);

        *s = (struct statics){
                .loop = loop, .store = store, .folder = xstrdup(folder), .changed = changed, .arg = arg
        };
        s->timer = loop_timer_new(loop, settled, s);
        *ret = s;
        statics_sync(s);
        return NULL;
}

struct statics *statics_free(struct statics *s) {
        if (!s)
                return NULL;
        loop_watch_free(s->watch);
        loop_timer_free(s->timer);
        faults_release(s);
        free(s->folder);
        free(s);
        return NULL;
}

size_t statics_files(const struct statics *s) {
        return s->n_files;
}

size_t statics_faults(const struct statics *s) {
        return s->n_told;
}
