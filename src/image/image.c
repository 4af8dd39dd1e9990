#include "image/image.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "image/layout.h"
#include "image/reference.h"

struct image *image_free(struct image *image) {
        if (!image)
                return NULL;
        char *strings[] = { image->reference, image->id,      image->digest, image->os,          image->architecture,
                            image->variant,   image->created, image->user,   image->working_dir, image->stop_signal };
        char **lists[] = { image->repo_tags, image->repo_digests, image->entrypoint,    image->cmd,
                           image->env,       image->volumes,      image->exposed_ports, image->layers };

        for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
                free(strings[i]);
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                strv_free(lists[i]);
        free(image);
        return NULL;
}

static struct error *not_present(struct error *err, const char *reference) {
        if (!error_is(err, ERROR_NOT_FOUND))
                return err;
        error_free(err);
        return error_new(ERROR_NOT_FOUND, "image \"%s\" is not present on this machine", reference);
}

static void add_names(struct image *image, const struct reference *reference, const char *digest) {
        _cleanup_free_ char *repository = reference_repository(reference);
        _cleanup_free_ char *by_digest = xasprintf("%s@%s", repository, digest);

        if (!reference->digest)
                image->repo_tags = strv_add_take(image->repo_tags, reference_format(reference));
        if (!strv_contains(image->repo_digests, by_digest))
                image->repo_digests = strv_add(image->repo_digests, by_digest);
}

struct error *image_open(const struct store *store, const char *text, struct image **ret) {
        _cleanup_reference_record_ struct reference_record record = { 0 };
        _cleanup_reference_ struct reference *reference = NULL;
        _cleanup_free_ char *images = layout_root(store), *path = NULL;
        struct image *image = NULL;
        struct error *err;

        if (digest_is_valid(text))
                return not_present(image_record_read(images, text, ret), text);
        err = reference_parse(text, &reference);
        if (err)
                return err;
        path = layout_reference(images, reference);
        err = reference_record_read(path, &record);
        if (!err)
                err = image_record_read(images, record.id, &image);
        if (err)
                return not_present(err, text);
        image->reference = reference_format(reference);
        image->digest = xstrdup(record.digest);
        image->is_loaded = record.loaded;
        add_names(image, reference, record.digest);
        *ret = image;
        return NULL;
}

struct image_names {
        struct image **list;
        size_t n;
};

static struct error *note_name(void *context, const struct reference *reference,
                               const struct reference_record *record) {
        struct image_names *names = context;

        for (size_t i = 0; i < names->n; i++)
                if (streq(names->list[i]->id, record->id)) {
                        add_names(names->list[i], reference, record->digest);
                        break;
                }
        return NULL;
}

/* Newest first; RFC 3339 in UTC sorts as text. */
static int compare_images(const void *a, const void *b) {
        const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;
        int order = strcmp(y->created ? y->created : "", x->created ? x->created : "");

        return order ? order : strcmp(x->id, y->id);
}

struct error *image_list(const struct store *store, struct image ***ret, size_t *ret_n) {
        _cleanup_free_ char *images = layout_root(store);
        _cleanup_strv_ char **ids = NULL;
        struct image_names names = { 0 };
        struct error *err;

        err = image_record_ids(images, &ids);
        if (err)
                return err;
        names.list = xcalloc(strv_len(ids) + 1, sizeof(*names.list));
        for (size_t i = 0; ids && ids[i]; i++) {
                _cleanup_error_ struct error *skipped = image_record_read(images, ids[i], &names.list[names.n]);
                if (!skipped)
                        names.n++;
        }
        err = reference_each(images, note_name, &names);
        if (err) {
                image_list_free(names.list, names.n);
                return err;
        }
        qsort(names.list, names.n, sizeof(*names.list), compare_images);
        for (size_t i = 0; i < names.n; i++) {
                struct image *image = names.list[i];
                strv_sort(image->repo_tags);
                strv_sort(image->repo_digests);
        }
        *ret = names.list;
        *ret_n = names.n;
        return NULL;
}

struct image **image_list_free(struct image **list, size_t n) {
        for (size_t i = 0; list && i < n; i++)
                image_free(list[i]);
        free(list);
        return NULL;
}

char *image_names_folder(const struct store *store) {
        _cleanup_free_ char *images = layout_root(store);

        return path_join(images, "references");
}

void image_mark_used(const struct store *store, const struct image *image) {
        _cleanup_free_ char *images = layout_root(store), *path = layout_image(images, image->id);

        (void)!utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW); /* a preference, lost without harm */
}

void image_names_in(const json_t *json, char ***list) {
        static const char *const keys[] = { "image", "imageID", "reference" };
        const char *key;
        json_t *value;
        size_t i;

        json_array_foreach(json, i, value) image_names_in(value, list);
        json_object_foreach((json_t *)json, key, value) {
                bool is_image = false;
                for (i = 0; i < ARRAY_SIZE(keys); i++)
                        is_image = is_image || streq(key, keys[i]);
                if (is_image && json_is_string(value)) {
                        const char *text = json_string_value(value);
                        char *name = digest_is_valid(text) ? xstrdup(text) : image_reference_normalize(text);
                        if (name)
                                *list = strv_add_take(*list, name);
                }
                image_names_in(value, list);
        }
}

void images_mark_used_in(const struct store *store, const json_t *object) {
        _cleanup_strv_ char **names = NULL;

        image_names_in(object, &names);
        for (size_t i = 0; names && names[i]; i++) {
                _cleanup_image_ struct image *image = NULL;
                _cleanup_error_ struct error *gone = image_open(store, names[i], &image);
                if (!gone)
                        image_mark_used(store, image);
        }
}
