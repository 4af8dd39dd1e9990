/* image-pull.c - is an image here, and if not, husk-image gets it. */
#include "husk-pod/runtime.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "image/access.h"
#include "image/image.h"
#include "store/node-config.h"

#define MESSAGE_MAX 4096

struct image_pull {
        struct runtime *rt;
        struct image_pull *next;
        char *image;
        char **credentials; /* files made of the pod's imagePullSecrets */
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

/* ---- the pod's imagePullSecrets ---- */

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

/* NULL: there is no such secret. The caller's, in `arena`. */
static const V1Secret *secret_read(struct runtime *rt, const char *name, struct api_arena *arena) {
        json_t *json = NULL;
        V1Secret *secret = NULL;
        _cleanup_error_ struct error *err =
                store_get(rt->store, api_kind_of("Secret"), rt->spec->metadata->namespace_, name, &json);

        if (!err)
                err = api_decode_stored(json, &v1_secret__descriptor, arena, &secret);
        json_decref(json);
        if (err)
                log_warning("imagePullSecret %s: %s", name, error_message(err));
        return err ? NULL : secret;
}

/* Name `i` of the pod's list; NULL: there is none, as in a list that a template left empty. */
static const char *secret_name(const struct runtime *rt, size_t i) {
        const char *name = rt->spec->spec->imagepullsecrets[i]->name;

        return str_empty(name) ? NULL : name;
}

/* ---- is it here? ---- */

/* An image that another pod's Secret brought is not here for a pod that cannot show it, as a kubelet has it. */
static bool may_use(struct runtime *rt, const struct image *image) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        size_t n = rt->spec->spec->n_imagepullsecrets;
        _cleanup_free_ struct image_secret *secrets = xcalloc(n + 1, sizeof(*secrets));
        _cleanup_node_config_ struct node_config config = { 0 };
        _cleanup_error_ struct error *err = node_config_read(rt->store, &config);

        if (err) {
                log_warning("%s", error_message(err)); /* the pod is refused for it elsewhere */
                return false;
        }
        if (!image_access_must_ask(rt->store, &config, image, NULL, 0))
                return true;
        for (size_t i = 0; i < n; i++) {
                const V1Secret *secret = secret_name(rt, i) ? secret_read(rt, secret_name(rt, i), arena) : NULL;
                if (secret)
                        secrets[i] = (struct image_secret){ secret->metadata->uid, secret->metadata->namespace_,
                                                            secret->metadata->name };
        }
        return !image_access_must_ask(rt->store, &config, image, secrets, n);
}

static enum image_presence look(struct runtime *rt, const char *name, bool verify, struct image_facts *ret) {
        _cleanup_image_ struct image *image = NULL;
        _cleanup_error_ struct error *err = image_open(rt->store, name, &image);

        if (error_is(err, ERROR_INVALID))
                return IMAGE_INVALID_NAME;
        if (err && !error_is(err, ERROR_NOT_FOUND))
                log_warning("image %s: %s", name, error_message(err));
        if (err || (verify && !may_use(rt, image))) {
                watches_images(rt, true);
                return IMAGE_ABSENT;
        }
        facts_fill(rt, image, ret);
        return IMAGE_PRESENT;
}

enum image_presence image_lookup(void *ctx, const char *name, struct image_facts *ret) {
        return look(ctx, name, true, ret);
}

/* ---- credentials for a pull ---- */

/* A kubelet goes on without them, too. */
static void warn_of_missing(struct runtime *rt, char *const *names) {
        _cleanup_free_ char *list = strv_join(names, ", ");
        _cleanup_free_ char *text = xasprintf(
                "Unable to retrieve some image pull secrets (%s); attempting to pull the image may not succeed.", list);

        pod_warned(rt->pod, "FailedToRetrieveImagePullSecret", text);
}

/* One file a Secret, so that of several for one registry each is tried. */
static struct error *credentials_write(struct image_pull *p, const V1Secret *secret) {
        json_t *auths = secret_auths(secret);

        if (!json_is_object(auths)) {
                json_decref(auths);
                return NULL;
        }
        const V1ObjectMeta *meta = secret->metadata;
        json_auto_t *file = json_pack("{s:o, s:{s:s, s:s, s:s}}", "auths", auths, "secret", "uid", meta->uid ?: "",
                                      "namespace", meta->namespace_ ?: "", "name", meta->name ?: "");
        _cleanup_free_ char *text = json_dumps(file, JSON_COMPACT);
        _cleanup_free_ char *folder = path_join(p->rt->run_folder, CREDENTIALS_FOLDER);
        char *path = xasprintf("%s/%p-%zu.json", folder, (void *)p, strv_len(p->credentials));
        p->credentials = strv_add_take(p->credentials, path);
        struct error *err = mkdir_parents(folder, 0700);
        if (!err)
                err = file_replace(path, text, strlen(text), 0600, 0);
        explicit_bzero(text, strlen(text));
        return err;
}

static struct error *credentials_write_all(struct image_pull *p) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        _cleanup_strv_ char **missing = NULL;
        struct error *err = NULL;

        for (size_t i = 0; !err && i < p->rt->spec->spec->n_imagepullsecrets; i++) {
                const char *name = secret_name(p->rt, i);
                const V1Secret *secret = name ? secret_read(p->rt, name, arena) : NULL;
                if (secret)
                        err = credentials_write(p, secret);
                else if (name)
                        missing = strv_add(missing, name);
        }
        if (missing)
                warn_of_missing(p->rt, missing);
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
        for (char **path = p->credentials; path && *path; path++)
                unlink(*path);
        strv_free(p->credentials);
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
        if (look(rt, p->image, false, &facts) != IMAGE_PRESENT) {
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
                err = credentials_write_all(p);
        if (err)
                return err;
        snprintf(self, sizeof(self), "%d", getpid());
        char *fixed[] = {
                program, (char *)"--root",    store->root,    (char *)"--run", store->run, (char *)"--end-with",
                self,    (char *)"--for-pod", (char *)"pull", p->image,        NULL
        };
        _cleanup_strv_ char **argv = strv_copy(fixed);
        for (char **path = p->credentials; path && *path; path++) {
                argv = strv_add(argv, "--credentials-file");
                argv = strv_add(argv, *path);
        }
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

/* What a supervisor that was killed had given to its husk-image, which has ended with it. */
void image_pulls_sweep(struct runtime *rt) {
        _cleanup_free_ char *folder = path_join(rt->run_folder, CREDENTIALS_FOLDER);
        _cleanup_error_ struct error *err = remove_tree(folder);

        if (err)
                log_warning("%s", error_message(err));
}

void image_pulls_release(struct runtime *rt) {
        while (rt->pulls)
                pull_free(rt->pulls);
}
