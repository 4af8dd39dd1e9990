#include "image/access.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/file.h"
#include "base/str.h"
#include "image/layout.h"
#include "image/reference.h"

#define RECORD_MAX (1 << 20)
#define SECRETS_MAX 1000 /* in one record: later ones ask the registry each time */

void image_secret_release(struct image_secret *secret) {
        free(secret->uid);
        free(secret->namespace_);
        free(secret->name);
        *secret = (struct image_secret){ 0 };
}

static char *folder_path(const char *images) {
        return path_join(images, "access/sha256");
}

static char *record_path(const char *images, const char *id) {
        return xasprintf("%s/access/sha256/%s.json", images, digest_hex(id));
}

/* *ret NULL: there is no record. */
static struct error *record_read(const char *images, const char *id, json_t **ret) {
        _cleanup_free_ char *path = record_path(images, id), *text = NULL;
        size_t len;
        struct error *err = file_read(path, RECORD_MAX, &text, &len);

        *ret = NULL;
        if (error_is(err, ERROR_NOT_FOUND))
                return error_free(err);
        if (err)
                return err;
        *ret = json_loadb(text, len, 0, NULL);
        if (!json_is_object(*ret)) {
                json_decref(*ret);
                *ret = NULL;
                return error_new(ERROR_INTERNAL, "%s is damaged: remove it", path);
        }
        return NULL;
}

static bool is_same(const json_t *noted, const struct image_secret *secret) {
        return streq_ptr(json_string_value(json_object_get(noted, "uid")), secret->uid) &&
               streq_ptr(json_string_value(json_object_get(noted, "namespace")), secret->namespace_) &&
               streq_ptr(json_string_value(json_object_get(noted, "name")), secret->name);
}

static bool is_noted(const json_t *entry, const struct image_secret *secret) {
        const json_t *noted;
        size_t i;

        json_array_foreach(json_object_get(entry, "secrets"), i, noted) if (is_same(noted, secret)) return true;
        return false;
}

/* False: nothing is new. */
static bool entry_grant(json_t *record, const char *repository, const struct image_secret *secret) {
        json_t *entry = json_object_get(record, repository);

        if (json_is_true(json_object_get(entry, "anyone")))
                return false;
        if (!secret) {
                json_object_set_new(record, repository, json_pack("{s:b}", "anyone", true));
                return true;
        }
        if (!json_is_object(entry)) {
                entry = json_pack("{s:[]}", "secrets");
                json_object_set_new(record, repository, entry);
        }
        json_t *secrets = json_object_get(entry, "secrets");
        if (is_noted(entry, secret) || json_array_size(secrets) >= SECRETS_MAX)
                return false;
        json_array_append_new(secrets, json_pack("{s:s, s:s, s:s}", "uid", secret->uid ?: "", "namespace",
                                                 secret->namespace_ ?: "", "name", secret->name ?: ""));
        return true;
}

struct error *image_access_grant(const char *images, const char *id, const char *repository,
                                 const struct image_secret *secret) {
        _cleanup_free_ char *folder = folder_path(images), *path = record_path(images, id), *text = NULL;
        json_auto_t *record = NULL;
        struct error *err = mkdir_parents(folder, 0700);

        if (err)
                return err;
        _cleanup_close_ int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock < 0 || flock(lock, LOCK_EX) < 0)
                return error_errno(errno, "lock %s", folder);
        err = record_read(images, id, &record);
        if (err) /* nothing of it can be believed: whoever is not in the new one asks the registry */
                error_free(err);
        if (!record)
                record = json_object();
        if (!entry_grant(record, repository, secret))
                return NULL;
        text = json_dumps(record, JSON_COMPACT);
        return file_replace(path, text, strlen(text), 0600, FILE_DURABLE);
}

struct error *image_access_open(const char *images, const char *id, const char *repository) {
        _cleanup_free_ char *path = record_path(images, id);

        return file_exists(path) ? image_access_grant(images, id, repository, NULL) : NULL;
}

struct error *image_access_forget(const char *images, const char *id) {
        _cleanup_free_ char *path = record_path(images, id);

        return unlink(path) == 0 || errno == ENOENT ? NULL : error_errno(errno, "remove %s", path);
}

/* ---- asking ---- */

/* "quay.io/team/app" is meant by itself and by "quay.io/team" with a star for all below it. */
static bool is_allowlisted(const struct node_config *config, const char *repository) {
        for (char **p = config->preloaded_allowlist; p && *p; p++) {
                size_t n = strlen(*p);
                bool below = str_ends_with(*p, "/*");
                if (below ? strncmp(*p, repository, n - 1) == 0 : streq(*p, repository))
                        return true;
        }
        return false;
}

static bool is_verified(const struct node_config *config, const char *repository, bool preloaded) {
        switch (config->image_verification) {
        case VERIFY_NEVER:
                return false;
        case VERIFY_PULLED:
                return !preloaded;
        case VERIFY_UNLISTED:
                return !preloaded || !is_allowlisted(config, repository);
        case VERIFY_ALWAYS:
                break;
        }
        return true;
}

bool image_access_must_ask(const struct store *store, const struct node_config *config, const struct image *image,
                           const struct image_secret *secrets, size_t n) {
        _cleanup_free_ char *images = layout_root(store), *repository = NULL;
        _cleanup_reference_ struct reference *reference = NULL;
        json_auto_t *record = NULL;
        struct error *err = record_read(images, image->id, &record);
        bool unreadable = err != NULL;

        error_free(err);
        err = image->reference ? reference_parse(image->reference, &reference) : NULL;
        error_free(err);
        repository = reference ? reference_repository(reference) : xstrdup("");
        if (!is_verified(config, repository, image->is_loaded || (!record && !unreadable)))
                return false;
        const json_t *entry = json_object_get(record, repository);
        if (json_is_true(json_object_get(entry, "anyone")))
                return false;
        for (size_t i = 0; i < n; i++)
                if (is_noted(entry, &secrets[i]))
                        return false;
        return true;
}
