/* watch.c - files whose change matters to the pod: its own object, the node, those it takes configuration from, and, as
 * long as it does not fit, what other pods have claimed. */
#include "husk-pod/runtime.h"

#include <sys/inotify.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "image/image.h"
#include "oci/device-lease.h"
#include "store/node-config.h"

#define REPLACED (IN_MOVED_TO | IN_DELETE | IN_MOVED_FROM)
#define WRITTEN (REPLACED | IN_CLOSE_WRITE) /* by people, who need not replace files at once */
#define DEVICE_FOLDERS_MAX 8

static const char *const kinds[] = { "ConfigMap", "Secret" };

struct watches {
        struct loop_watch *pod;
        struct loop_watch *objects[ARRAY_SIZE(kinds)];
        struct loop_watch *node;
        struct loop_watch *claims;                      /* while the pod waits for room: */
        struct loop_watch *volume_claims;               /* likewise */
        struct loop_watch *namespaces;                  /* their labels matter to affinity */
        struct loop_watch *images;                      /* while the pod waits for an image */
        struct loop_watch *devices[DEVICE_FOLDERS_MAX]; /* folders of device specifications */
        struct loop_deferred *changed;
        char **names[ARRAY_SIZE(kinds)]; /* changed since, by kind */
        bool node_changed, pod_changed;
        bool node_seen;      /* the machine was told what the node is */
        bool others_changed; /* claims or namespaces */
        bool images_changed;
};

static void note_pod(void *arg, uint32_t events, const char *name) {
        struct runtime *rt = arg;
        if (streq(name, "pod.json") || events & IN_Q_OVERFLOW) {
                rt->watches->pod_changed = true;
                loop_deferred_arm(rt->watches->changed);
        }
}

static void note_node(void *arg, uint32_t events, const char *name) {
        struct runtime *rt = arg;
        if (streq(name, "node.json") || events & IN_Q_OVERFLOW) {
                rt->watches->node_changed = true;
                loop_deferred_arm(rt->watches->changed);
        } else if (streq(name, "config.yaml") && rt->watches->claims) {
                rt->watches->others_changed = true;
                loop_deferred_arm(rt->watches->changed);
        }
}

static void note_claims(void *arg, uint32_t events, const char *name) {
        struct runtime *rt = arg;
        if (streq(name, "claims.json") || events & IN_Q_OVERFLOW) {
                rt->watches->others_changed = true;
                loop_deferred_arm(rt->watches->changed);
        }
}

static void note_other(void *arg, uint32_t events, const char *name) {
        note_claims(arg, events, "claims.json");
}

static void note_images(void *arg, uint32_t events, const char *name) {
        struct runtime *rt = arg;

        if (*name && !(events & IN_Q_OVERFLOW))
                return;          /* a name came or went; what counts is said by the folder's own time */
        if (events & IN_IGNORED) /* somebody removed the folder: it is made and watched anew */
                rt->watches->images = loop_watch_free(rt->watches->images);
        rt->watches->images_changed = true;
        loop_deferred_arm(rt->watches->changed);
}

static void note_object(struct runtime *rt, int kind, uint32_t events, const char *name) {
        if (events & IN_Q_OVERFLOW) {
                for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                        rt->watches->names[k] = strv_add(rt->watches->names[k], ""); /* any of them */
        } else if (str_ends_with(name, ".json") && name[0] != '.') {
                char *plain = xstrndup(name, strlen(name) - strlen(".json"));
                rt->watches->names[kind] = strv_add_take(rt->watches->names[kind], plain);
        } else {
                return;
        }
        loop_deferred_arm(rt->watches->changed);
}

static void note_config_map(void *arg, uint32_t events, const char *name) {
        note_object(arg, 0, events, name);
}

static void note_secret(void *arg, uint32_t events, const char *name) {
        note_object(arg, 1, events, name);
}

/* ---- acting on it ---- */

static void refresh(struct volume_context *context, const V1Volume *volume) {
        _cleanup_error_ struct error *err = volume_refresh(context, volume, NULL);
        if (err) /* a kubelet keeps the old content, too, until it can be had anew */
                log_warning("volume %s: %s", volume->name, error_message(err));
}

static bool depends_on_any(const V1Volume *volume, const char *kind, char *const *names) {
        for (; names && *names; names++)
                if (!**names || volume_depends_on(volume, kind, *names))
                        return true;
        return false;
}

static void objects_changed(struct runtime *rt) {
        struct volume_context context = runtime_volume_context(rt);
        struct watches *w = rt->watches;

        for (size_t v = 0; v < rt->spec->spec->n_volumes; v++) {
                const V1Volume *volume = rt->spec->spec->volumes[v];
                if (depends_on_any(volume, kinds[0], w->names[0]) || depends_on_any(volume, kinds[1], w->names[1]))
                        refresh(&context, volume);
        }
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                w->names[k] = strv_free(w->names[k]);
        pod_objects_changed(rt->pod);
}

void watches_refresh_pod(struct runtime *rt) {
        struct volume_context context = runtime_volume_context(rt);

        for (size_t v = 0; !rt->finished && v < rt->spec->spec->n_volumes; v++)
                if (volume_depends_on_pod(rt->spec->spec->volumes[v]))
                        refresh(&context, rt->spec->spec->volumes[v]);
}

static void spec_changed(struct runtime *rt) {
        struct api_arena *old = NULL;
        struct error *err = runtime_read_spec(rt, &old);

        if (error_is(err, ERROR_NOT_FOUND)) { /* removed under our feet: what is left to do is to end */
                error_free(err);
                log_warning("pod.json is gone; ending the pod");
                loop_stop(rt->loop);
                return;
        }
        if (err) {
                log_warning("pod.json: %s", error_message(err));
                error_free(err);
                return;
        }
        watches_update(rt);
        storage_update(rt);
        pod_spec_changed(rt->pod, rt->spec);
        watches_refresh_pod(rt); /* after the machine: it says what of the change holds */
        api_arena_free(old);
}

/* Taints may end the pod, everything may let it in. */
static void node_changed(struct runtime *rt) {
        struct watches *w = rt->watches;
        const V1Node *node = runtime_node(rt, w->node_changed);
        bool again = w->node_seen;

        w->node_changed = false;
        w->node_seen = true;
        if (node)
                pod_node_seen(rt->pod, node);
        if (again && !rt->finished)
                pod_node_changed(rt->pod);
}

static void changed(void *arg) {
        struct runtime *rt = arg;
        struct watches *w = rt->watches;

        if (w->pod_changed) {
                w->pod_changed = false;
                spec_changed(rt);
        }
        if (rt->finished)
                return;
        if (w->names[0] || w->names[1])
                objects_changed(rt);
        if (rt->finished)
                return;
        if (w->node_changed || !w->node_seen)
                node_changed(rt);
        if (!rt->finished && w->images_changed) {
                w->images_changed = false;
                pod_images_changed(rt->pod);
                watches_images(rt, pod_waits_for_image(rt->pod));
        }
        if (rt->finished || !w->others_changed)
                return;
        w->others_changed = false;
        pod_node_changed(rt->pod);
}

/* ---- what to watch ---- */

static void watch_objects(struct runtime *rt, int kind, bool wanted) {
        static const loop_watch_callback callbacks[] = { note_config_map, note_secret };
        struct watches *w = rt->watches;

        if (wanted == (w->objects[kind] != NULL))
                return;
        if (!wanted) {
                w->objects[kind] = loop_watch_free(w->objects[kind]);
                return;
        }
        _cleanup_free_ char *folder =
                store_objects_folder(rt->store, api_kind_of(kinds[kind]), rt->spec->metadata->namespace_);
        _cleanup_error_ struct error *err =
                loop_watch_new(rt->loop, folder, REPLACED, callbacks[kind], rt, &w->objects[kind]);
        if (err)
                log_warning("%s", error_message(err));
}

static bool container_reads_environment(const V1Container *c) {
        if (c->n_envfrom)
                return true;
        for (size_t i = 0; i < c->n_env; i++)
                if (c->env[i]->valuefrom)
                        return true;
        return false;
}

/* A pod that takes nothing from objects need not be woken by their changes. */
static bool pod_reads_objects(const V1PodSpec *pod) {
        for (size_t v = 0; v < pod->n_volumes; v++) {
                const V1VolumeSource *source = pod->volumes[v]->volumesource;
                if (source && (source->configmap || source->secret || source->projected))
                        return true;
        }
        for (size_t i = 0; i < pod->n_containers; i++)
                if (container_reads_environment(pod->containers[i]))
                        return true;
        for (size_t i = 0; i < pod->n_initcontainers; i++)
                if (container_reads_environment(pod->initcontainers[i]))
                        return true;
        return pod->n_imagepullsecrets > 0 || pod->n_ephemeralcontainers > 0;
}

void watches_update(struct runtime *rt) {
        bool wanted = pod_reads_objects(rt->spec->spec);
        for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++)
                watch_objects(rt, kind, wanted);
}

/* A pod that waits for devices starts when they are described. Folders that are not there are not watched. */
static void watch_devices(struct runtime *rt, bool wanted) {
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_error_ struct error *err = NULL;
        struct watches *w = rt->watches;

        for (size_t i = 0; i < DEVICE_FOLDERS_MAX; i++)
                w->devices[i] = loop_watch_free(w->devices[i]);
        if (!wanted || !devices_are_wanted(rt->spec))
                return;
        err = node_config_read(rt->store, &config);
        for (size_t i = 0; !err && i < DEVICE_FOLDERS_MAX && config.cdi_spec_dirs && config.cdi_spec_dirs[i]; i++)
                error_free(loop_watch_new(rt->loop, config.cdi_spec_dirs[i], WRITTEN, note_other, rt, &w->devices[i]));
}

void watches_others(struct runtime *rt, bool wanted) {
        struct watches *w = rt->watches;

        if (!w || wanted == (w->claims != NULL))
                return;
        if (!wanted) {
                w->claims = loop_watch_free(w->claims);
                w->namespaces = loop_watch_free(w->namespaces);
                w->volume_claims = loop_watch_free(w->volume_claims);
                watch_devices(rt, false);
                return;
        }
        _cleanup_free_ char *namespaces = store_objects_folder(rt->store, api_kind_of("Namespace"), NULL);
        _cleanup_free_ char *volume_claims =
                store_objects_folder(rt->store, api_kind_of("PersistentVolumeClaim"), rt->spec->metadata->namespace_);
        _cleanup_error_ struct error *err =
                loop_watch_new(rt->loop, rt->store->run, REPLACED, note_claims, rt, &w->claims);
        if (!err)
                err = loop_watch_new(rt->loop, namespaces, REPLACED, note_other, rt, &w->namespaces);
        if (!err)
                err = loop_watch_new(rt->loop, volume_claims, REPLACED, note_other, rt, &w->volume_claims);
        if (err)
                log_warning("%s", error_message(err));
        watch_devices(rt, true);
        /* What changed between the look at the claims and now would be missed. */
        w->others_changed = true;
        loop_deferred_arm(w->changed);
}

void watches_images(struct runtime *rt, bool wanted) {
        struct watches *w = rt->watches;

        if (!w || wanted == (w->images != NULL))
                return;
        if (!wanted) {
                w->images = loop_watch_free(w->images);
                return;
        }
        _cleanup_free_ char *folder = image_names_folder(rt->store);
        _cleanup_error_ struct error *err = mkdir_parents(folder, 0700);
        if (!err)
                err = loop_watch_new(rt->loop, folder, IN_ATTRIB | IN_ONLYDIR, note_images, rt, &w->images);
        if (err)
                log_warning("%s", error_message(err));
        /* What came between the look at the store and now would be missed. */
        w->images_changed = true;
        loop_deferred_arm(w->changed);
}

struct error *watches_begin(struct runtime *rt) {
        struct watches *w = rt->watches = new0(struct watches);
        struct error *err;

        w->changed = loop_deferred_new(rt->loop, changed, rt);
        err = loop_watch_new(rt->loop, rt->folder, REPLACED, note_pod, rt, &w->pod);
        if (!err)
                err = loop_watch_new(rt->loop, rt->store->root, WRITTEN, note_node, rt, &w->node);
        loop_deferred_arm(w->changed); /* for the first look at the node */
        return err;
}

void watches_end(struct runtime *rt) {
        struct watches *w = rt->watches;

        if (!w)
                return;
        loop_watch_free(w->pod);
        loop_watch_free(w->node);
        loop_watch_free(w->claims);
        loop_watch_free(w->namespaces);
        loop_watch_free(w->volume_claims);
        loop_watch_free(w->images);
        watch_devices(rt, false);
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
                loop_watch_free(w->objects[k]);
                strv_free(w->names[k]);
        }
        loop_deferred_free(w->changed);
        free(w);
        rt->watches = NULL;
}
