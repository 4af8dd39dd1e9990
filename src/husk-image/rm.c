/* husk-image tag IMAGE REFERENCE, rm IMAGE… and prune */
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/find.h"
#include "husk-image/gc.h"
#include "husk-image/install.h"
#include "husk-image/options.h"
#include "image/layout.h"

struct error *verb_tag(struct context *context) {
        char **arguments = context->options->arguments;
        _cleanup_reference_record_ struct reference_record record = { 0 };
        _cleanup_reference_ struct reference *reference = NULL;
        _cleanup_image_ struct image *image = NULL;
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *path = NULL;
        struct error *err;

        err = reference_parse(arguments[1], &reference);
        if (!err && reference->digest)
                err = error_new(ERROR_INVALID, "a name with a digest cannot be given, it is what the content makes it");
        if (!err)
                err = content_prepare(context->images);
        if (!err)
                err = content_lock(context->images, false, &lock);
        if (!err)
                err = image_find(context, arguments[0], &image);
        if (!err && !image->digest)
                err = error_new(ERROR_NOT_SUPPORTED, "give the image by one of its names, not by its id");
        if (!err)
                err = install_reference(context->images, reference, image->digest, image->id, context->options->pin);
        if (err || !context->options->unpin)
                return err;
        path = layout_reference(context->images, reference);
        err = reference_record_read(path, &record);
        if (err)
                return err;
        record.pinned = false;
        return reference_record_write(path, &record);
}

/* --- names of images --------------------------------------------------------------------------------------------- */

/* One reference record, and all of them. */
struct name {
        char *text, *repository, *path, *id;
        bool has_tag, implied, pinned;
};

struct names {
        const char *images;
        struct name *list;
        size_t n;
};

static void names_release(struct names *names) {
        for (size_t i = 0; i < names->n; i++) {
                free(names->list[i].text);
                free(names->list[i].repository);
                free(names->list[i].path);
                free(names->list[i].id);
        }
        free(names->list);
}

static struct error *gather_name(void *context, const struct reference *reference,
                                 const struct reference_record *record) {
        struct names *names = context;

        names->list = xreallocarray(names->list, names->n + 1, sizeof(*names->list));
        names->list[names->n++] = (struct name){
                .text = reference_format(reference),
                .repository = reference_repository(reference),
                .path = layout_reference(names->images, reference),
                .id = xstrdup(record->id),
                .has_tag = !reference->digest,
                .implied = record->implied,
                .pinned = record->pinned,
        };
        return NULL;
}

/* Removes a reference record and the folders that are empty then. */
static struct error *remove_name(const struct name *name, const char *images) {
        _cleanup_free_ char *path = xstrdup(name->path), *top = path_join(images, "references");

        if (unlink(path) < 0 && errno != ENOENT)
                return error_errno(errno, "remove %s", path);
        for (char *slash; (slash = strrchr(path, '/')) && slash > path + strlen(top);) {
                *slash = '\0';
                if (rmdir(path) < 0)
                        break;
        }
        return NULL;
}

/* True if anything but implied names speaks of the image. */
static bool is_named(const struct names *names, const char *id, const bool *removed) {
        for (size_t i = 0; i < names->n; i++)
                if (!removed[i] && !names->list[i].implied && streq(names->list[i].id, id))
                        return true;
        return false;
}

/* Implied names go with the last tag of their repository for the image. */
static bool implied_is_orphan(const struct names *names, const struct name *implied, const bool *removed) {
        for (size_t i = 0; i < names->n; i++)
                if (!removed[i] && names->list[i].has_tag && streq(names->list[i].id, implied->id) &&
                    streq(names->list[i].repository, implied->repository))
                        return false;
        return true;
}

static struct error *remove_marked(struct context *context, const struct names *names, bool *removed) {
        for (size_t i = 0; i < names->n; i++) {
                const struct name *name = &names->list[i];
                if (!removed[i] && name->implied && implied_is_orphan(names, name, removed))
                        removed[i] = true;
                if (!removed[i])
                        continue;
                struct error *err = remove_name(name, context->images);
                if (err)
                        return err;
        }
        return NULL;
}

static char **names_of(const struct names *names, const char *id) {
        char **list = NULL;

        for (size_t i = 0; i < names->n; i++)
                if (streq(names->list[i].id, id))
                        list = strv_add(list, names->list[i].text);
        return list;
}

static void print_collected(const struct options *o, char *const *untagged, const struct gc_result *result) {
        char size[SIZE_TEXT];

        if (o->json) {
                json_auto_t *names = json_array(), *ids = json_array(), *json = NULL;
                for (size_t i = 0; untagged && untagged[i]; i++)
                        json_array_append_new(names, json_string(untagged[i]));
                for (size_t i = 0; result->ids && result->ids[i]; i++)
                        json_array_append_new(ids, json_string(result->ids[i]));
                json = json_pack("{s:O, s:O, s:i, s:i, s:I}", "untagged", names, "deleted", ids, "layers",
                                 (int)result->layers, "blobs", (int)result->blobs, "bytes", (json_int_t)result->bytes);
                _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);
                puts(text);
                return;
        }
        for (size_t i = 0; untagged && untagged[i]; i++)
                printf("Untagged: %s\n", untagged[i]);
        for (size_t i = 0; result->ids && result->ids[i]; i++)
                printf("Deleted: %s\n", result->ids[i]);
        if (result->layers || result->blobs)
                printf("Freed: %s (%zu layers, %zu blobs)\n", size_format(result->bytes, size), result->layers,
                       result->blobs);
}

static struct error *collect(struct context *context, char *const *ids, char *const *untagged) {
        struct gc_result result = { 0 };
        bool done;
        struct error *err = gc_collect(context->images, ids, false, &done, &result);

        if (!err && !done)
                log_warning("images are being pulled: what is not needed any more goes with the next rm or prune");
        if (!err)
                print_collected(context->options, untagged, &result);
        gc_result_release(&result);
        return err;
}

/* Marks what one argument of rm means: a name, or all names of an image given by id. */
static struct error *mark(struct context *context, const struct names *names, const char *argument, bool *removed,
                          char **ret_id) {
        _cleanup_image_ struct image *image = NULL;
        struct error *err = image_find(context, argument, &image);

        if (err)
                return err;
        for (size_t i = 0; i < names->n; i++)
                if (image->reference ? streq(names->list[i].text, image->reference)
                                     : streq(names->list[i].id, image->id))
                        removed[i] = true;
        *ret_id = xstrdup(image->id);
        return NULL;
}

struct error *verb_rm(struct context *context) {
        const struct options *o = context->options;
        _cleanup_(names_release) struct names names = { .images = context->images };
        _cleanup_strv_ char **in_use = NULL, **ids = NULL, **untagged = NULL;
        _cleanup_free_ bool *removed = NULL;
        struct error *err;

        err = gc_in_use(context->store, &in_use);
        if (!err)
                err = reference_each(context->images, gather_name, &names);
        if (err)
                return err;
        removed = xcalloc(names.n + 1, sizeof(*removed));
        for (char **argument = o->arguments; *argument; argument++) {
                _cleanup_free_ char *id = NULL;
                _cleanup_strv_ char **all = NULL;
                err = mark(context, &names, *argument, removed, &id);
                if (err)
                        return err;
                all = names_of(&names, id);
                if (is_named(&names, id, removed))
                        continue; /* it stays, under its other names */
                if (!o->force && gc_is_used(in_use, id, all))
                        return error_new(ERROR_CONFLICT,
                                         "image \"%s\" is in use by a pod: delete the pod first, or --force",
                                         *argument);
                if (!strv_contains(ids, id))
                        ids = strv_add(ids, id);
        }
        for (size_t i = 0; i < names.n; i++)
                if (removed[i])
                        untagged = strv_add(untagged, names.list[i].text);
        err = remove_marked(context, &names, removed);
        return err ? err : collect(context, ids, untagged);
}

struct error *verb_prune(struct context *context) {
        const struct options *o = context->options;
        _cleanup_(names_release) struct names names = { .images = context->images };
        _cleanup_strv_ char **in_use = NULL, **ids = NULL, **all_ids = NULL, **untagged = NULL;
        _cleanup_free_ bool *removed = NULL;
        struct error *err;

        err = gc_in_use(context->store, &in_use);
        if (!err)
                err = content_prepare(context->images);
        if (!err)
                err = content_sweep(context->images, 0);
        if (!err)
                err = reference_each(context->images, gather_name, &names);
        if (!err)
                err = image_record_ids(context->images, &all_ids);
        if (err)
                return err;
        removed = xcalloc(names.n + 1, sizeof(*removed));
        for (size_t i = 0; all_ids && all_ids[i]; i++) {
                const char *id = all_ids[i];
                _cleanup_strv_ char **all = names_of(&names, id);
                bool pinned = false;
                for (size_t j = 0; j < names.n; j++)
                        pinned = pinned || (names.list[j].pinned && streq(names.list[j].id, id));
                if (pinned || gc_is_used(in_use, id, all) || (!o->all && is_named(&names, id, removed)))
                        continue;
                ids = strv_add(ids, id);
                for (size_t j = 0; j < names.n; j++)
                        if (streq(names.list[j].id, id)) {
                                removed[j] = true;
                                untagged = strv_add(untagged, names.list[j].text);
                        }
        }
        err = remove_marked(context, &names, removed);
        return err ? err : collect(context, ids, untagged);
}
