/* storage.c - holds the pod to what it may keep on the node's disk: sizeLimit of its emptyDirs, and the limits of
 * ephemeral-storage of its containers (writable layers and logs; emptyDirs too for the sum of them). Who has more is
 * evicted, in the words and in the order of a kubelet's eviction manager
 * (https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#local-ephemeral-storage).
 *
 * A pod without such limits is never looked at. The others are measured every ten seconds as a kubelet does, and more
 * often when they grow so fast that they would be past a limit before. Nothing is written for it. A large pod is
 * measured in slices, between which the supervisor does its other work. */
#include "husk-pod/runtime.h"

#include "api/quantity.h"
#include "api/resources.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "volume/usage.h"

#define FIRST_NS (2 * NSEC_PER_SEC)
#define PERIOD_NS (10 * NSEC_PER_SEC)
#define PERIOD_MIN_NS (1 * NSEC_PER_SEC)
#define SLICE_ENTRIES 500
#define SLICE_PAUSE_NS (20 * NSEC_PER_MSEC)
#define EVICTION_GRACE_SECONDS 1
/* Priorities from here on are the system's own: such pods are not evicted. */
#define PRIORITY_CRITICAL 2000000000
#define STORAGE "ephemeral-storage"

/* A folder to be measured in this round. */
struct part {
        const char *volume; /* NULL: it is a container's */
        const char *container;
        char *path;
        uint64_t bytes;
};

struct storage {
        struct loop_timer *timer;
        struct part *parts;
        size_t n_parts, at;
        struct usage *usage; /* of parts[at], begun */
        double fullest;      /* largest share of a limit that was in use at the end of the last round */
        int64_t measured_ns; /* when that was */
};

/* ---- limits ---- */

static int64_t size_limit(const V1Volume *volume) {
        const V1EmptyDirVolumeSource *source = volume->volumesource ? volume->volumesource->emptydir : NULL;

        return source && source->sizelimit ? quantity_text_value(source->sizelimit->string) : 0;
}

static bool is_on_disk(const V1Volume *volume) {
        return volume->volumesource && volume->volumesource->emptydir &&
               str_empty(volume->volumesource->emptydir->medium);
}

/* NULL: the container has none, or 0, which is none either. */
static const char *container_limit(const V1Container *c) {
        const V1Quantity *limit =
                c->resources ? api_quantity_get(c->resources->limits, c->resources->n_limits, STORAGE) : NULL;

        return limit && quantity_text_value(limit->string) > 0 ? limit->string : NULL;
}

/* The sum of the containers' limits, owned by the caller; NULL: there is none. */
static char *pod_limit(const V1Pod *pod) {
        _cleanup_resource_list_ struct resource_list limits = RESOURCE_LIST_INIT;

        api_pod_limits(pod, &limits);
        const struct quantity *limit = resource_list_get(&limits, STORAGE);
        return limit ? quantity_format(*limit) : NULL;
}

/* As a kubelet has it: static pods, and those of a system priority. */
static bool is_critical(const V1Pod *pod) {
        for (size_t i = 0; i < pod->metadata->n_annotations; i++)
                if (streq(pod->metadata->annotations[i]->key, "kubernetes.io/config.source"))
                        return !streq(pod->metadata->annotations[i]->value, "api");
        return pod->spec->has_priority && pod->spec->priority >= PRIORITY_CRITICAL;
}

static bool has_limits(const V1Pod *pod) {
        _cleanup_free_ char *sum = pod_limit(pod);

        if (sum)
                return true;
        for (size_t i = 0; i < pod->spec->n_volumes; i++)
                if (is_on_disk(pod->spec->volumes[i]) && size_limit(pod->spec->volumes[i]) > 0)
                        return true;
        return false;
}

/* ---- what is measured ---- */

static void add_part(struct storage *s, const char *volume, const char *container, char *path) {
        s->parts = xreallocarray(s->parts, s->n_parts + 1, sizeof(*s->parts));
        s->parts[s->n_parts++] = (struct part){ .volume = volume, .container = container, .path = path };
}

static void add_container(struct runtime *rt, const char *name) {
        _cleanup_free_ char *containers = path_join(rt->folder, "containers");

        add_part(rt->storage, NULL, name, path_join(containers, name));
        add_part(rt->storage, NULL, name, path_join(rt->log_folder, name));
}

static void parts_release(struct storage *s) {
        s->usage = usage_free(s->usage);
        for (size_t i = 0; i < s->n_parts; i++)
                free(s->parts[i].path);
        free(s->parts);
        s->parts = NULL;
        s->n_parts = s->at = 0;
}

/* Names are borrowed from the spec: a round does not outlive it (storage_update()). */
static void parts_gather(struct runtime *rt) {
        const V1PodSpec *pod = rt->spec->spec;
        _cleanup_free_ char *folder = path_join(rt->folder, "volumes"), *sum = pod_limit(rt->spec);

        for (size_t i = 0; i < pod->n_volumes; i++)
                if (is_on_disk(pod->volumes[i]) && (sum || size_limit(pod->volumes[i]) > 0))
                        add_part(rt->storage, pod->volumes[i]->name, NULL, path_join(folder, pod->volumes[i]->name));
        if (!sum)
                return;
        for (size_t i = 0; i < pod->n_initcontainers; i++)
                add_container(rt, pod->initcontainers[i]->name);
        for (size_t i = 0; i < pod->n_containers; i++)
                add_container(rt, pod->containers[i]->name);
        for (size_t i = 0; i < pod->n_ephemeralcontainers; i++)
                add_container(rt, pod->ephemeralcontainers[i]->ephemeralcontainercommon->name);
}

/* ---- judging ---- */

static uint64_t used_by(const struct storage *s, const char *volume, const char *container) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < s->n_parts; i++)
                if ((!volume && !container) || (volume && streq_ptr(s->parts[i].volume, volume)) ||
                    (container && streq_ptr(s->parts[i].container, container)))
                        bytes += s->parts[i].bytes;
        return bytes;
}

static bool is_over(uint64_t used, const char *limit, double *fullest) {
        int64_t most = quantity_text_value(limit);

        *fullest = MAX(*fullest, (double)used / (double)MAX(most, (int64_t)1));
        return used > (uint64_t)most;
}

/* The message of the first limit that is broken, owned by the caller; NULL: none is. */
static char *verdict(const struct runtime *rt, double *fullest) {
        const V1PodSpec *pod = rt->spec->spec;
        _cleanup_free_ char *sum = pod_limit(rt->spec);

        for (size_t i = 0; i < pod->n_volumes; i++) {
                const V1Volume *v = pod->volumes[i];
                if (!is_on_disk(v) || size_limit(v) <= 0)
                        continue;
                const char *limit = v->volumesource->emptydir->sizelimit->string;
                if (is_over(used_by(rt->storage, v->name, NULL), limit, fullest))
                        return xasprintf("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ", v->name, limit);
        }
        if (sum && is_over(used_by(rt->storage, NULL, NULL), sum, fullest))
                return xasprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", sum);
        for (size_t i = 0; i < pod->n_containers; i++) {
                const char *name = pod->containers[i]->name, *limit = container_limit(pod->containers[i]);
                if (limit && is_over(used_by(rt->storage, NULL, name), limit, fullest))
                        return xasprintf("Container %s exceeded its local ephemeral storage limit \"%s\". ", name,
                                         limit);
        }
        return NULL;
}

/* Half the time in which the fullest limit would be reached if it goes on as it did. */
static int64_t next_period(struct storage *s, double fullest) {
        int64_t now = clock_monotonic_ns(), period = PERIOD_NS;
        double grown = fullest - s->fullest;

        if (grown > 0) {
                double left = (1 - fullest) / grown * (double)(now - s->measured_ns) / 2;
                period = left < (double)PERIOD_NS ? MAX((int64_t)left, PERIOD_MIN_NS) : PERIOD_NS;
        }
        s->fullest = fullest;
        s->measured_ns = now;
        return period;
}

static void round_ended(struct runtime *rt) {
        struct storage *s = rt->storage;
        double fullest = 0;
        _cleanup_free_ char *message = verdict(rt, &fullest);

        parts_release(s);
        if (message)
                pod_evict(rt->pod, message, EVICTION_GRACE_SECONDS);
        else
                loop_timer_set(s->timer, next_period(s, fullest));
}

/* ---- measuring ---- */

/* True: the part at hand is done. */
static bool measure_part(struct storage *s) {
        struct part *part = &s->parts[s->at];

        if (!s->usage) {
                _cleanup_error_ struct error *err = usage_new(part->path, &s->usage);
                if (err) {
                        log_warning("measure the pod's storage: %s", error_message(err));
                        return true;
                }
        }
        if (!usage_step(s->usage, SLICE_ENTRIES, UINT64_MAX))
                return false;
        part->bytes = usage_bytes(s->usage);
        s->usage = usage_free(s->usage);
        return true;
}

static void measure(void *arg) {
        struct runtime *rt = arg;
        struct storage *s = rt->storage;

        if (s->n_parts == 0)
                parts_gather(rt);
        for (; s->at < s->n_parts; s->at++)
                if (!measure_part(s)) {
                        loop_timer_set(s->timer, SLICE_PAUSE_NS);
                        return;
                }
        round_ended(rt);
}

/* ---- beginning and end ---- */

void storage_begin(struct runtime *rt) {
        if (is_critical(rt->spec) || !has_limits(rt->spec))
                return;
        rt->storage = new0(struct storage);
        rt->storage->timer = loop_timer_new(rt->loop, measure, rt);
        rt->storage->measured_ns = clock_monotonic_ns();
        loop_timer_set(rt->storage->timer, FIRST_NS);
}

void storage_update(struct runtime *rt) {
        if (!rt->storage || rt->storage->n_parts == 0)
                return;
        parts_release(rt->storage);
        loop_timer_set(rt->storage->timer, PERIOD_MIN_NS);
}

void storage_end(struct runtime *rt) {
        if (!rt->storage)
                return;
        parts_release(rt->storage);
        loop_timer_free(rt->storage->timer);
        free(rt->storage);
        rt->storage = NULL;
}
