/* pod-image.c - the images of a pod: looked for, pulled, and waited for. */
#include "husk-pod/pod-private.h"

#include <stdio.h>

#include "base/str.h"
#include "image/reference.h"

/* ErrImagePull is shown that long before it becomes ImagePullBackOff. */
#define PULL_ERROR_SHOWN_NS (2 * NSEC_PER_SEC)
/* An image that no pull can bring is looked for again after this time. */
#define IMAGE_LOOK_AGAIN_NS (10 * NSEC_PER_SEC)

struct pull *pod_pull(const struct pod *pod, const char *image) {
        for (size_t i = 0; i < pod->n_pulls; i++)
                if (streq(pod->pulls[i]->image, image))
                        return pod->pulls[i];
        return NULL;
}

static struct pull *pull_get(struct pod *pod, const char *image) {
        struct pull *p = pod_pull(pod, image);

        if (p)
                return p;
        p = new0(struct pull);
        p->image = xstrdup(image);
        pod->pulls = xreallocarray(pod->pulls, pod->n_pulls + 1, sizeof(struct pull *));
        pod->pulls[pod->n_pulls++] = p;
        return p;
}

void pull_free(struct pull *p) {
        free(p->image);
        free(p->reason);
        free(p->message);
        free(p);
}

static const V1ImageVolumeSource *image_of_mount(const struct container *c, const V1VolumeMount *mount) {
        const V1PodSpec *spec = c->pod->spec->spec;

        for (size_t i = 0; i < spec->n_volumes; i++)
                if (spec->volumes[i]->volumesource && streq_ptr(spec->volumes[i]->name, mount->name))
                        return spec->volumes[i]->volumesource->image;
        return NULL;
}

/* The image volume whose image it needs next: a kubelet fetches those of the volumes before the container's own. NULL:
 * they are all here. */
static const V1ImageVolumeSource *volume_needed(const struct container *c) {
        size_t seen = 0;

        for (size_t i = 0; i < c->spec->n_volumemounts; i++) {
                const V1ImageVolumeSource *image = image_of_mount(c, c->spec->volumemounts[i]);
                if (image && seen++ == c->image_at)
                        return image;
        }
        return NULL;
}

const char *pod_image_needed(const struct container *c) {
        const V1ImageVolumeSource *volume = volume_needed(c);

        return volume ? volume->reference ?: "" : c->image;
}

static const char *policy_of_needed(const struct container *c) {
        const V1ImageVolumeSource *volume = volume_needed(c);
        const char *policy = volume ? volume->pullpolicy : c->spec->imagepullpolicy;

        return policy ?: "IfNotPresent";
}

/* Whom events about the image it needs are about: images of volumes are the pod's. */
static struct container *concerned(struct container *c) {
        return volume_needed(c) ? NULL : c;
}

static void take_image(struct container *c, const struct image_facts *facts) {
        str_replace(&c->image_reason, NULL);
        str_replace(&c->image_message, NULL);
        c->image_asked = false;
        if (volume_needed(c)) {
                c->image_at++;
                c->image_looked = false;
        } else {
                str_replace(&c->image_id, facts->id ?: "");
                str_replace(&c->image_name, facts->name);
                c->image_ready = true;
        }
        pod_touch(c->pod);
}

static void image_hopeless(struct container *c, const char *event, const char *reason, const char *message) {
        struct pod *pod = c->pod;

        pod_event(pod, concerned(c), EVENT_WARNING, event, "%s", message);
        pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Error: %s", reason);
        str_replace(&c->image_reason, reason);
        str_replace(&c->image_message, message);
        c->image_retry_ns = pod->now_ns + IMAGE_LOOK_AGAIN_NS;
        pod_wake(pod, c->image_retry_ns);
        pod_touch(pod);
}

/* Looks for the image where it would be. True: nothing more to be done now (it is here, or cannot be had). */
static bool look_for_image(struct pod *pod, struct container *c) {
        const char *policy = policy_of_needed(c), *image = pod_image_needed(c);
        struct image_facts facts = { 0 };
        _cleanup_free_ char *message = NULL, *complaint = NULL;

        c->image_looked = true;
        switch (pod->ops->image_lookup(pod->ctx, image, &facts)) {
        case IMAGE_INVALID_NAME:
                complaint = reference_complaint(image);
                message = xasprintf("Failed to apply default image tag \"%s\": couldn't parse image name \"%s\": %s",
                                    image, image, complaint);
                image_hopeless(c, "InspectFailed", "InvalidImageName", message);
                return true;
        case IMAGE_PRESENT:
                if (streq(policy, "Always"))
                        return false;
                pod_event(pod, concerned(c), EVENT_NORMAL, "Pulled",
                          "Container image \"%s\" already present on machine and can be accessed by the pod", image);
                take_image(c, &facts);
                return true;
        case IMAGE_ABSENT:
                if (!streq(policy, "Never"))
                        return false;
                message = xasprintf("Container image \"%s\" is not present with pull policy of Never", image);
                image_hopeless(c, "ErrImageNeverPull", "ErrImageNeverPull", message);
                return true;
        }
        return false;
}

static void start_pull(struct pod *pod, struct container *c, struct pull *p) {
        pod_event(pod, concerned(c), EVENT_NORMAL, "Pulling", "Pulling image \"%s\"", p->image);
        c->image_asked = true;
        if (p->running)
                return;
        p->running = true;
        pod->state_dirty = true;
        pod_effect_pull(pod, p->image);
}

/* The last try to pull failed: first that is shown, then that the next one is being waited for. */
static void wait_for_pull(struct pod *pod, struct pull *p) {
        int64_t shown_ns = p->failed_ns + PULL_ERROR_SHOWN_NS;

        if (!p->backoff_told && pod->now_ns >= shown_ns) {
                p->backoff_told = true;
                for (size_t i = 0; i < pod->n_containers; i++) {
                        struct container *c = pod->containers[i];

                        if (c->state != CONTAINER_IMAGE || !streq(pod_image_needed(c), p->image))
                                continue;
                        pod_event(pod, concerned(c), EVENT_NORMAL, "BackOff", "Back-off pulling image \"%s\"",
                                  p->image);
                        pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Error: ImagePullBackOff");
                }
                pod_touch(pod);
        }
        pod_wake(pod, p->backoff_told ? p->retry_ns : MIN(shown_ns, p->retry_ns));
}

/* True: the image it needed next is here. */
static bool ensure_next(struct pod *pod, struct container *c) {
        size_t at = c->image_at;
        struct pull *p;

        if (c->image_asked) /* a pull is under way */
                return false;
        if (c->image_reason) {
                if (pod->now_ns < c->image_retry_ns) {
                        pod_wake(pod, c->image_retry_ns);
                        return false;
                }
                c->image_looked = false;
        }
        if (!c->image_looked && look_for_image(pod, c))
                return c->image_ready || c->image_at > at;
        p = pull_get(pod, pod_image_needed(c));
        if (p->failed && !p->running && pod->now_ns < p->retry_ns) {
                c->image_looked = false; /* as a kubelet does at each look at the pod: it may come another way */
                wait_for_pull(pod, p);
                return false;
        }
        start_pull(pod, c, p);
        return false;
}

bool pod_ensure_image(struct pod *pod, struct container *c) {
        while (!c->image_ready)
                if (!ensure_next(pod, c))
                        return false;
        return true;
}

/* Go's way to print a duration, to the millisecond: "523ms", "1.5s", "1m2.25s". */
static char *format_duration(int64_t ns) {
        int64_t ms = ns / NSEC_PER_MSEC;
        char fraction[8] = "";

        if (ms < 1000)
                return xasprintf("%lldms", (long long)ms);
        if (ms % 1000) {
                int len = snprintf(fraction, sizeof(fraction), ".%03d", (int)(ms % 1000));

                while (fraction[len - 1] == '0')
                        fraction[--len] = '\0';
        }
        if (ms < 60000)
                return xasprintf("%lld%ss", (long long)ms / 1000, fraction);
        if (ms < 3600000)
                return xasprintf("%lldm%lld%ss", (long long)ms / 60000, (long long)ms / 1000 % 60, fraction);
        return xasprintf("%lldh%lldm%lld%ss", (long long)ms / 3600000, (long long)ms / 60000 % 60,
                         (long long)ms / 1000 % 60, fraction);
}

void pod_image_pulled(struct pod *pod, const char *image, const struct image_facts *facts) {
        struct pull *p = pod_pull(pod, image);
        _cleanup_free_ char *took = format_duration(facts->pull_ns), *waited = format_duration(facts->waited_ns);

        if (!pod_listens(pod) || !p || !p->running)
                return;
        p->running = false;
        p->failed = false;
        p->backoff = (struct backoff){ 0 };
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->state != CONTAINER_IMAGE || !c->image_asked || !streq(pod_image_needed(c), image))
                        continue;
                pod_event(pod, concerned(c), EVENT_NORMAL, "Pulled",
                          "Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %llu bytes.",
                          image, took, waited, (unsigned long long)facts->size);
                take_image(c, facts);
        }
        pod_touch(pod);
        pod_step(pod);
}

void pod_image_failed(struct pod *pod, const char *image, const char *reason, const char *message) {
        struct pull *p = pod_pull(pod, image);

        if (!pod_listens(pod) || !p || !p->running)
                return;
        p->running = false;
        p->failed = true;
        p->backoff_told = false;
        str_replace(&p->reason, reason ?: "ErrImagePull");
        str_replace(&p->message, message);
        backoff_advance(&p->backoff, pod->now_ns, pod->now_ns);
        p->failed_ns = pod->now_ns;
        p->retry_ns = pod->now_ns + p->backoff.delay_ns;
        for (size_t i = 0; i < pod->n_containers; i++) {
                struct container *c = pod->containers[i];

                if (c->state != CONTAINER_IMAGE || !c->image_asked || !streq(pod_image_needed(c), image))
                        continue;
                c->image_asked = false;
                pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Failed to pull image \"%s\": %s", image,
                          message);
                pod_event(pod, concerned(c), EVENT_WARNING, "Failed", "Error: %s", p->reason);
        }
        pod_touch(pod);
        pod_step(pod);
}
