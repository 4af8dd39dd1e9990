#include "husk-image/install.h"

#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "image/layout.h"

#define INDEX_DEPTH_MAX 4
#define LOCK_RETRY_US 20000

void installed_release(struct installed *installed) {
        free(installed->id);
        free(installed->warning);
}

static struct error *read_stored(const struct installer *in, const struct descriptor *d, size_t max, char **ret) {
        size_t len;
        struct error *err = content_read_blob(in->fetch.images, d->digest, max, ret, &len);

        if (!err && len != d->size) {
                free(TAKE_PTR(*ret));
                return error_new(ERROR_BAD_REQUEST, "%s has %zu bytes, but what names it says %llu", d->digest, len,
                                 (unsigned long long)d->size);
        }
        return err;
}

static struct error *fetch_manifest(const struct installer *in, const struct descriptor *d, char **ret) {
        _cleanup_free_ char *type = NULL;
        char digest[DIGEST_TEXT];
        size_t len;
        struct error *err = registry_manifest(in->fetch.registry, d->digest, ret, &len, &type, digest);

        if (!err && len != d->size)
                err = error_new(ERROR_BAD_REQUEST, "the manifest %s has %zu bytes, but the index says %llu", d->digest,
                                len, (unsigned long long)d->size);
        return err;
}

/* From the registry into the store, with its lock held, unless somebody else has just brought it there. */
static struct error *fetch_config_locked(const struct installer *in, const struct descriptor *d, char **ret) {
        char digest[DIGEST_TEXT];
        struct error *err = read_stored(in, d, CONFIG_SIZE_MAX, ret);

        if (!err)
                return NULL;
        error_free(err);
        err = registry_blob(in->fetch.registry, d, ret);
        return err ? err : content_write_blob(in->fetch.images, *ret, d->size, digest);
}

/* Of many who want an image at once one fetches its configuration, as each of its layers, and the others wait. */
static struct error *fetch_config(const struct installer *in, const struct descriptor *d, char **ret) {
        for (;; usleep(LOCK_RETRY_US)) {
                _cleanup_close_ int lock = -EBADF;
                struct error *err = content_begin_blob(in->fetch.images, d->digest, &lock);
                if (err)
                        return err;
                if (lock < 0)
                        continue;
                err = fetch_config_locked(in, d, ret);
                error_keep_first(&err, content_discard_blob(in->fetch.images, d->digest));
                return err;
        }
}

/* A manifest or configuration: from the store, else from the registry. */
static struct error *read_small(const struct installer *in, const struct descriptor *d, bool is_manifest, char **ret) {
        size_t max = is_manifest ? MANIFEST_SIZE_MAX : CONFIG_SIZE_MAX;
        struct error *err;

        if (d->size > max)
                return error_new(ERROR_BAD_REQUEST, "%s %s is too large", is_manifest ? "manifest" : "configuration",
                                 d->digest);
        err = read_stored(in, d, max, ret);
        if (err && in->fetch.registry) {
                error_free(err);
                return is_manifest ? fetch_manifest(in, d, ret) : fetch_config(in, d, ret);
        }
        if (error_is(err, ERROR_NOT_FOUND)) {
                error_free(err);
                return error_new(ERROR_BAD_REQUEST, "%s is missing in the archive", d->digest);
        }
        return err;
}

/* Follows indexes down to the manifest for this platform. Every text on the way is stored. */
static struct error *find_manifest(const struct installer *in, const char *text, size_t len, const char *type,
                                   int depth, char ret_digest[static DIGEST_TEXT], struct manifest **ret) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_free_ char *inner = NULL;
        char ignored[DIGEST_TEXT];
        struct error *err;

        err = manifest_parse(text, len, type, &manifest);
        if (err)
                return err;
        err = content_write_blob(in->fetch.images, text, len, ret_digest);
        if (err)
                return err;
        if (!manifest->is_index) {
                *ret = TAKE_PTR(manifest);
                return NULL;
        }
        if (depth == INDEX_DEPTH_MAX)
                return error_new(ERROR_BAD_REQUEST, "indexes within indexes, more than %d deep", INDEX_DEPTH_MAX);
        const struct descriptor *chosen = index_choose(manifest, &in->platform);
        if (!chosen) {
                _cleanup_free_ char *there = index_platforms(manifest);
                return error_new(ERROR_NOT_FOUND, "the image is not there for %s/%s%s%s; it is for: %s",
                                 in->platform.os, in->platform.architecture, in->platform.variant ? "/" : "",
                                 in->platform.variant ? in->platform.variant : "", there);
        }
        err = read_small(in, chosen, true, &inner);
        if (err)
                return err;
        return find_manifest(in, inner, chosen->size, chosen->media_type, depth + 1, ignored, ret);
}

/* A single manifest may be for another machine: that is said, as `docker pull` does, or the program would end with
 * "exec format error" and nobody knew why. */
static char *platform_warning(const struct installer *in, const json_t *config) {
        const char *os = json_string_value(json_object_get(config, "os"));
        const char *architecture = json_string_value(json_object_get(config, "architecture"));

        if (in->any_platform || str_empty(os) || str_empty(architecture) ||
            (streq(os, in->platform.os) && streq(architecture, in->platform.architecture)))
                return NULL;
        return xasprintf("the image is for %.32s/%.32s, this machine is %s/%s", os, architecture, in->platform.os,
                         in->platform.architecture);
}

struct error *install_image(const struct installer *in, const char *text, size_t len, const char *type,
                            struct installed *ret) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_installed_ struct installed installed = { 0 };
        _cleanup_free_ char *config_text = NULL;
        _cleanup_strv_ char **diff_ids = NULL;
        json_auto_t *config = NULL;
        char id[DIGEST_TEXT];
        struct error *err;

        err = find_manifest(in, text, len, type, 0, installed.digest, &manifest);
        if (err)
                return err;
        err = read_small(in, &manifest->config, false, &config_text);
        if (!err)
                err = image_config_parse(config_text, manifest->config.size, manifest->n_entries, &config, &diff_ids);
        if (err)
                return err;
        installed.warning = platform_warning(in, config);
        err = fetch_layers(&in->fetch, manifest->entries, diff_ids, manifest->n_entries, &installed.layers);
        if (!err)
                err = content_write_blob(in->fetch.images, config_text, manifest->config.size, id);
        if (!err)
                err = image_record_write(in->fetch.images, id, config, diff_ids, installed.layers.size);
        if (err)
                return err;
        installed.id = xstrdup(id);
        *ret = installed;
        installed = (struct installed){ 0 };
        return NULL;
}

struct error *install_reference(const char *images, const struct reference *reference, const char *digest,
                                const char *id, bool pin, bool loaded) {
        struct reference_record record = { .digest = (char *)digest, .id = (char *)id, .loaded = loaded };
        struct reference by_digest = { reference->domain, reference->path, NULL, (char *)digest };
        _cleanup_free_ char *path = layout_reference(images, reference),
                            *digest_path = layout_reference(images, &by_digest);
        _cleanup_reference_record_ struct reference_record old = { 0 };
        struct error *err;

        err = reference_record_read(path, &old);
        if (!err && streq(old.digest, digest) && streq(old.id, id) && !old.implied && old.pinned >= pin &&
            old.loaded == loaded)
                return NULL;
        error_free(err);
        record.pinned = old.pinned || pin;
        if (!reference->digest && !file_exists(digest_path)) {
                struct reference_record implied = record;
                implied.implied = true;
                implied.pinned = implied.loaded = false;
                err = reference_record_write(digest_path, &implied);
                if (err)
                        return err;
        }
        err = reference_record_write(path, &record);
        if (!err)
                references_tell_changed(images);
        return err;
}
