/* image-pull.c - is an image here, and if not, husk-image gets it. */
#include "husk-pod/runtime.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "image/image.h"

#define MESSAGE_MAX 4096

struct image_pull {
        struct runtime *rt;
        struct image_pull *next;
        char *image;
        char *credentials; /* file made of the pod's imagePullSecrets; NULL: none */
        int64_t begun_ns;
        struct loop_command *command;
};

/* What status.containerStatuses[] shows: imageID the name with digest (the id of an image that no registry gave), image
 * the name with tag. */
static void facts_fill(struct runtime *rt, const struct image *image, struct image_facts *ret) {
        free(rt->looked_up.id);
        free(rt->looked_up.name);
        rt->looked_up.id = xstrdup(image->repo_digests && image->repo_digests[0] ? image->repo_digests[0] : image->id);
        rt->looked_up.name = xstrdup(image->repo_tags && image->repo_tags[0] ? image->repo_tags[0] : image->reference);
        *ret = (struct image_facts){ .id = rt->looked_up.id, .name = rt->looked_up.name, .size = image->size };
}

enum image_presence image_lookup(void *ctx, const char *name, struct image_facts *ret) {
        struct runtime *rt = ctx;
        _cleanup_image_ struct image *image = NULL;
        _cleanup_error_ struct error *err = image_open(rt->store, name, &image);

        if (error_is(err, ERROR_INVALID))
                return IMAGE_INVALID_NAME;
        if (err) {
                if (!error_is(err, ERROR_NOT_FOUND))
                        log_warning("image %s: %s", name, error_message(err));
                watches_images(rt, true);
                return IMAGE_ABSENT;
        }
        facts_fill(rt, image, ret);
        return IMAGE_PRESENT;
}

/* ---- credentials ---- */

static const V1BytesEntry *secret_entry(const V1Secret *secret, const char *key) {
        for (size_t i = 0; i < secret->n_data; i++)
                if (streq_ptr(secret->data[i]->key, key))
                        return secret->data[i];
        return NULL;
}

/* The "auths" of a secret of type kubernetes.io/dockerconfigjson, or the older dockercfg, which is nothing else. */
static json_t *secret_auths(const V1Secret *secret) {
        const V1BytesEntry *entry = secret_entry(secret, ".dockerconfigjson");
        bool whole = entry != NULL;

        if (!entry)
                entry = secret_entry(secret, ".dockercfg");
        if (!entry)
                return NULL;
        json_t *json = json_loadb((const char *)entry->value.data, entry->value.len, 0, NULL);
        json_t *auths = whole ? json_incref(json_object_get(json, "auths")) : json_incref(json);
        json_decref(json);
        return auths;
}

/* False: there is no such secret. */
static bool add_secret(struct runtime *rt, const char *name, json_t *auths) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        json_t *json = NULL;
        V1Secret *secret;
        _cleanup_error_ struct error *err =
                store_get(rt->store, api_kind_of("Secret"), rt->spec->metadata->namespace_, name, &json);

        if (!err)
                err = api_decode_stored(json, &v1_secret__descriptor, arena, &secret);
        json_decref(json);
        if (err) {
                log_warning("imagePullSecret %s: %s", name, error_message(err));
                return false;
        }
        json_t *more = secret_auths(secret);
        if (json_is_object(more))
                json_object_update_missing(auths, more);
        json_decref(more);
        return true;
}

/* A kubelet goes on without them, too. */
static void warn_of_missing(struct runtime *rt, char *const *names) {
        _cleanup_free_ char *list = strv_join(names, ", ");
        _cleanup_free_ char *text = xasprintf(
                "Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", list);

        pod_warned(rt->pod, "FailedToRetrieveImagePullSecret", text);
}

/* One auth.json of all the pod's imagePullSecrets. */
static struct error *credentials_write(struct image_pull *p) {
        const V1PodSpec *pod = p->rt->spec->spec;
        _cleanup_strv_ char **missing = NULL;
        json_t *auths, *file;
        struct error *err = NULL;

        if (!pod->n_imagepullsecrets)
                return NULL;
        auths = json_object();
        for (size_t i = 0; i < pod->n_imagepullsecrets; i++)
                if (!str_empty(pod->imagepullsecrets[i]->name) &&
                    !add_secret(p->rt, pod->imagepullsecrets[i]->name, auths))
                        missing = strv_add(missing, pod->imagepullsecrets[i]->name);
        if (missing)
                warn_of_missing(p->rt, missing);
        file = json_pack("{s:o}", "auths", auths);
        _cleanup_free_ char *text = json_dumps(file, JSON_COMPACT);
        json_decref(file);
        p->credentials = xasprintf("%s/credentials-%p.json", p->rt->run_folder, (void *)p);
        err = file_replace(p->credentials, text, strlen(text), 0600, 0);
        return err;
}

/* ---- the pull ---- */

static struct image_pull *pull_free(struct image_pull *p) {
        struct image_pull **link = &p->rt->pulls;
        while (*link && *link != p)
                link = &(*link)->next;
        if (*link)
                *link = p->next;
        loop_command_free(p->command);
        if (p->credentials)
                unlink(p->credentials);
        free(p->credentials);
        free(p->image);
        free(p);
        return NULL;
}

static void pull_failed(struct image_pull *p, const char *reason, const char *message) {
        struct runtime *rt = p->rt;
        _cleanup_free_ char *image = xstrdup(p->image);

        pull_free(p);
        pod_image_failed(rt->pod, image, reason, message);
}

static void pull_done(void *arg, struct loop_command_result *result) {
        struct image_pull *p = arg;
        struct runtime *rt = p->rt;
        struct image_facts facts;
        int status = result->exit.si_code == CLD_EXITED ? result->exit.si_status : IMAGE_EXIT_FAILED;

        p->command = NULL;
        size_t len = strlen(result->errors);
        while (len && result->errors[len - 1] == '\n')
                result->errors[--len] = '\0';
        if (status != IMAGE_EXIT_OK) {
                pull_failed(p, status == IMAGE_EXIT_BAD_REFERENCE ? "InvalidImageName" : NULL,
                            *result->errors ? result->errors : "husk-image did not end well");
                return;
        }
        if (image_lookup(rt, p->image, &facts) != IMAGE_PRESENT) {
                pull_failed(p, NULL, "the image was pulled, but is not here");
                return;
        }
        facts.pull_ns = facts.waited_ns = clock_monotonic_ns() - p->begun_ns;
        _cleanup_free_ char *image = xstrdup(p->image);
        pull_free(p);
        pod_image_pulled(rt->pod, image, &facts);
}

/* Who is killed does not end its husk-image, and a pod that goes meanwhile would leave it behind. What was fetched is
 * kept: the next one goes on with it. */
static struct error *pull_spawn(struct image_pull *p) {
        _cleanup_free_ char *program = NULL;
        const struct store *store = p->rt->store;
        char self[16];
        struct error *err = process_find_sister("husk-image", &program);

        if (!err)
                err = credentials_write(p);
        if (err)
                return err;
        snprintf(self, sizeof(self), "%d", getpid());
        char *argv[] = { program,        (char *)"--root",
                         store->root,    (char *)"--run",
                         store->run,     (char *)"--end-with",
                         self,           (char *)"pull",
                         p->image,       p->credentials ? (char *)"--credentials-file" : NULL,
                         p->credentials, NULL };
        struct loop_command_options options = { .argv = argv, .gather_errors = true, .output_max = MESSAGE_MAX };
        return loop_command_new(p->rt->loop, &options, pull_done, p, &p->command);
}

void image_pull_start(void *ctx, const char *image) {
        struct runtime *rt = ctx;
        struct image_pull *p = new0(struct image_pull);

        p->rt = rt;
        p->image = xstrdup(image);
        p->begun_ns = clock_monotonic_ns();
        p->next = rt->pulls;
        rt->pulls = p;
        _cleanup_error_ struct error *err = pull_spawn(p);
        if (err)
                pull_failed(p, NULL, error_message(err));
}

void image_pulls_release(struct runtime *rt) {
        while (rt->pulls)
                pull_free(rt->pulls);
}
