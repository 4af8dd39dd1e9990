#include "huskd/manifests.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "api/manifest.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "server/check.h"
#include "server/classes.h"
#include "server/field.h"
#include "server/object.h"

/* What one reading of the folder needs besides its result. */
struct reading {
        struct store *store;
        struct manifests *manifests;
        json_t *node;
        const char *node_name;
};

void manifests_release(struct manifests *m) {
        for (size_t i = 0; i < m->n; i++)
                json_decref(m->objects[i].object);
        for (size_t i = 0; i < m->n_faults; i++) {
                free(m->faults[i].file);
                free(m->faults[i].text);
        }
        free(m->objects);
        free(m->faults);
        *m = (struct manifests)MANIFESTS_INIT;
}

const struct manifest_object *manifests_find(const struct manifests *m, const struct api_kind *kind, const char *ns,
                                             const char *name) {
        for (size_t i = 0; i < m->n; i++)
                if (m->objects[i].kind == kind && streq(m->objects[i].ns, ns) && streq(m->objects[i].name, name))
                        return &m->objects[i];
        return NULL;
}

bool manifests_is_faulty(const struct manifests *m, const char *file) {
        for (size_t i = 0; i < m->n_faults; i++)
                if (streq(m->faults[i].file, file))
                        return true;
        return false;
}

/* Takes the objects of a file out again. */
static void remove_objects(struct manifests *m, const char *file) {
        size_t to = 0;

        for (size_t i = 0; i < m->n; i++)
                if (streq_ptr(m->objects[i].file, file))
                        json_decref(m->objects[i].object);
                else
                        m->objects[to++] = m->objects[i];
        m->n = to;
}

static void add_fault(struct manifests *m, const char *file, char *text) {
        m->faults = xreallocarray(m->faults, m->n_faults + 1, sizeof(*m->faults));
        m->faults[m->n_faults++] = (struct manifest_fault){ .file = xstrdup(file), .text = text };
}

void manifests_reject(struct manifests *m, const struct manifest_object *object, const char *why) {
        _cleanup_free_ char *file = xstrdup(object->file);

        add_fault(m, file, xasprintf("%s: %s \"%s\": %s\n", file, object->kind->plural, object->name, why));
        remove_objects(m, file);
}

/* ---- one document ---- */

/* 128 bits of FNV-1a: what is hashed is the administrator's own, so nobody makes two of the same. */
static void hash_add(unsigned __int128 *hash, const char *text) {
        const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;

        for (const char *p = text;; p++) {
                *hash = (*hash ^ (unsigned char)*p) * prime; /* the final NUL, too, keeps texts apart */
                if (!*p)
                        return;
        }
}

/* The same for the same objects, however their text is laid out. */
static void document_hash(const struct reading *r, const json_t *document, const char *file, char ret[static 33]) {
        _cleanup_free_ char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
        unsigned __int128 hash = (unsigned __int128)0x6c62272e07bb0142ULL << 64 | 0x62b821756295c58dULL;

        hash_add(&hash, text ? text : "");
        hash_add(&hash, r->node_name);
        hash_add(&hash, file);
        snprintf(ret, 33, "%016llx%016llx", (unsigned long long)(hash >> 64), (unsigned long long)hash);
}

static void annotate(json_t *object, bool is_pod, const char *file, const char *hash) {
        json_t *annotations = field_make_object(json_object_get(object, "metadata"), "annotations");
        char seen[RFC3339_MAX];

        json_object_set_new(annotations, MANIFEST_SOURCE, json_string("file"));
        json_object_set_new(annotations, MANIFEST_HASH, json_string(hash));
        json_object_set_new(annotations, MANIFEST_FILE, json_string(file));
        if (!is_pod)
                return;
        json_object_set_new(annotations, MANIFEST_MIRROR, json_string(hash));
        json_object_set_new(annotations, MANIFEST_SEEN, json_string(rfc3339_format_ns(clock_realtime_ns(), 9, seen)));
}

/* What a kubelet adds to a pod it has read from a file, and to the mirror of it that an API server shows. */
static void make_static(const struct reading *r, json_t *pod) {
        json_t *metadata = json_object_get(pod, "metadata"), *spec = json_object_get(pod, "spec");

        if (*object_name(pod)) {
                _cleanup_free_ char *name = xasprintf("%s-%s", object_name(pod), r->node_name);
                json_object_set_new(metadata, "name", json_string(name));
        }
        json_object_set_new(metadata, "ownerReferences",
                            json_pack("[{s:s, s:s, s:s, s:s, s:b}]", "apiVersion", "v1", "kind", "Node", "name",
                                      r->node_name, "uid", field_text_or(r->node, "metadata.uid", ""), "controller",
                                      1));
        if (!json_is_object(spec))
                return;
        json_object_set_new(spec, "nodeName", json_string(r->node_name));
        if (!json_object_get(spec, "tolerations"))
                json_object_set_new(spec, "tolerations", json_array());
        if (json_is_array(json_object_get(spec, "tolerations")))
                json_array_append_new(json_object_get(spec, "tolerations"),
                                      json_pack("{s:s, s:s}", "operator", "Exists", "effect", "NoExecute"));
}

static struct field_path name_path(struct field_path *metadata) {
        *metadata = field_path_child(NULL, "metadata");
        return field_path_child(metadata, "name");
}

/* Does something else in the folder have this name already? */
static void check_unique(const struct reading *r, struct manifest_document *document,
                         const struct manifest_object *object) {
        struct field_path metadata, name = name_path(&metadata);
        const struct manifest_object *other = manifests_find(r->manifests, object->kind, object->ns, object->name);

        if (other)
                diagnostics_add_string(&document->diags, DIAGNOSTIC_DUPLICATE, &name, object->name, "it is also in %s",
                                       other->file);
}

static void add_object(const struct reading *r, const struct api_kind *kind, struct manifest_document *document,
                       json_t *object) {
        const json_t *annotations = field_at(object, "metadata.annotations");
        struct manifest_object made = {
                .kind = kind,
                .ns = kind->namespaced ? field_text_or(object, "metadata.namespace", "default") : "",
                .name = object_name(object),
                .hash = json_string_value(json_object_get(annotations, MANIFEST_HASH)),
                .file = json_string_value(json_object_get(annotations, MANIFEST_FILE)),
                .object = object,
        };
        struct manifests *m = r->manifests;

        check_unique(r, document, &made);
        m->objects = xreallocarray(m->objects, m->n + 1, sizeof(*m->objects));
        m->objects[m->n++] = made;
}

static void read_document(const struct reading *r, struct manifest_document *document, const char *file) {
        const struct api_kind *kind = api_kind_of_json(document->json, &document->diags);
        struct field_path kind_path = field_path_child(NULL, "kind");
        char hash[33];

        if (!kind)
                return;
        if (streq(kind->kind, "Node") || streq(kind->kind, "Event")) {
                diagnostics_add_string(&document->diags, DIAGNOSTIC_FORBIDDEN, &kind_path, kind->kind,
                                       "objects of this kind do not come from manifests of a folder");
                return;
        }
        _cleanup_json_ json_t *copy = json_deep_copy(document->json);
        const char *ns = field_text_or(copy, "metadata.namespace", "default");
        json_t *object = NULL;
        if (json_is_object(json_object_get(copy, "metadata"))) {
                document_hash(r, document->json, file, hash);
                annotate(copy, streq(kind->kind, "Pod"), file, hash);
                if (streq(kind->kind, "Pod"))
                        make_static(r, copy);
        }
        submit_check_new(kind, copy, ns, &document->diags, &object);
        if (!object)
                return;
        classes_add(object); /* if it is one */
        add_object(r, kind, document, object);
}

/* ---- files ---- */

static void read_file(const struct reading *r, const char *path, const char *name) {
        _cleanup_(manifest_freep) struct manifest *manifest = manifest_new();
        _cleanup_error_ struct error *err = manifest_add_path(manifest, path, false);

        if (error_is(err, ERROR_NOT_FOUND))
                return; /* removed meanwhile */
        r->manifests->n_files++;
        if (err) {
                add_fault(r->manifests, name, xasprintf("%s: %s\n", path, error_message(err)));
                return;
        }
        for (size_t i = 0; i < manifest->n; i++)
                if (manifest->documents[i]->json)
                        read_document(r, manifest->documents[i], name);
        if (!manifest_mistakes(manifest))
                return;
        remove_objects(r->manifests, name);
        add_fault(r->manifests, name, manifest_explain(manifest));
}

static bool is_wanted(const struct dirent *entry, const char *path) {
        struct stat st;

        return entry->d_name[0] != '.' && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static struct error *read_folder(const struct reading *r, const char *folder) {
        struct dirent **entries;
        int n = scandir(folder, &entries, NULL, alphasort);

        if (n < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "read the manifests of %s", folder);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = path_join(folder, entries[i]->d_name);
                if (is_wanted(entries[i], path))
                        read_file(r, path, entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        return NULL;
}

/* ---- the folder as a whole ---- */

static bool namespace_exists(const struct reading *r, const char *ns) {
        const struct api_kind *namespaces = api_kind_of("Namespace");
        _cleanup_json_ json_t *found = NULL;

        if (!*ns || manifests_find(r->manifests, namespaces, "", ns))
                return true;
        _cleanup_error_ struct error *err = store_get(r->store, namespaces, NULL, ns, &found);
        return !err;
}

/* A file whose objects have nowhere to be is wrong; so may be, without it, another that needs its namespace. */
static void check_namespaces(const struct reading *r) {
        struct manifests *m = r->manifests;

        for (size_t i = 0; i < m->n; i++) {
                if (namespace_exists(r, m->objects[i].ns))
                        continue;
                manifests_reject(m, &m->objects[i], "its namespace does not exist");
                i = (size_t)-1;
        }
}

/* Stable: objects of one rank keep the order of the text. */
static void sort_objects(struct manifests *m) {
        for (size_t i = 1; i < m->n; i++) {
                struct manifest_object object = m->objects[i];
                size_t at = i;
                for (; at > 0 && object_rank(m->objects[at - 1].kind) > object_rank(object.kind); at--)
                        m->objects[at] = m->objects[at - 1];
                m->objects[at] = object;
        }
}

static bool has_classes(const struct manifests *m) {
        for (size_t i = 0; i < m->n; i++)
                if (streq(m->objects[i].kind->kind, "PriorityClass") || streq(m->objects[i].kind->kind, "RuntimeClass"))
                        return true;
        return false;
}

struct error *manifests_read(struct store *store, const char *folder, struct manifests *ret) {
        _cleanup_manifests_ struct manifests m = MANIFESTS_INIT;
        _cleanup_json_ json_t *node = NULL;
        struct error *err = store_node(store, &node);

        if (err)
                return err;
        struct reading r = { .store = store, .manifests = &m, .node = node, .node_name = object_name(node) };
        classes_load(store);
        runtime_classes_load(store);
        err = read_folder(&r, folder);
        if (!err && m.n_faults && has_classes(&m)) { /* a pod may name a class that is in a file behind its own */
                manifests_release(&m);
                err = read_folder(&r, folder);
        }
        if (err)
                return err;
        check_namespaces(&r);
        sort_objects(&m);
        *ret = m;
        m = (struct manifests)MANIFESTS_INIT;
        return NULL;
}
