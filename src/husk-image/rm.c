/* husk-image tag IMAGE REFERENCE and rm IMAGE… */
#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/find.h"
#include "husk-image/gc.h"
#include "husk-image/install.h"
#include "husk-image/names.h"
#include "husk-image/options.h"
#include "husk-image/prune.h"
#include "image/access.h"
#include "image/layout.h"

/* Another name of what came from an archive is none that a registry has, either. */
static bool is_loaded(const char *images, const char *id) {
        _cleanup_names_ struct names names = { .images = images };
        _cleanup_error_ struct error *err = names_read(images, &names);

        for (size_t i = 0; !err && i < names.n; i++)
                if (names.list[i].loaded && streq(names.list[i].id, id))
                        return true;
        return false;
}

struct error *verb_tag(struct context *context) {
        char **arguments = context->options->arguments;
        _cleanup_reference_record_ struct reference_record record = { 0 };
        _cleanup_reference_ struct reference *reference = NULL;
        _cleanup_image_ struct image *image = NULL;
        _cleanup_close_ int lock = -EBADF;
        _cleanup_free_ char *path = NULL, *repository = NULL;
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
        repository = err ? NULL : reference_repository(reference);
        if (!err) /* by hand: for all pods */
                err = image_access_open(context->images, image->id, repository);
        if (!err)
                err = install_reference(context->images, reference, image->digest, image->id, context->options->pin,
                                        is_loaded(context->images, image->id));
        if (err || !context->options->unpin)
                return err;
        path = layout_reference(context->images, reference);
        err = reference_record_read(path, &record);
        if (err)
                return err;
        record.pinned = record.loaded = false;
        return reference_record_write(path, &record);
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

/* A pod that names one of the marked names could not start its containers again without it, though the image stayed. */
static bool names_are_used(const struct names *names, const bool *removed, char *const *in_use) {
        for (size_t i = 0; i < names->n; i++)
                if (removed[i] && strv_contains(in_use, names->list[i].text))
                        return true;
        return false;
}

struct error *verb_rm(struct context *context) {
        const struct options *o = context->options;
        _cleanup_names_ struct names names = { 0 };
        _cleanup_strv_ char **in_use = NULL, **ids = NULL, **untagged = NULL;
        _cleanup_free_ bool *removed = NULL;
        struct error *err;

        err = gc_in_use(context->store, &in_use);
        if (!err)
                err = names_read(context->images, &names);
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
                bool stays = names_speak_of(&names, id, removed), used = names_are_used(&names, removed, in_use);
                if (!o->force && (used || (!stays && gc_is_used(in_use, id, all))))
                        return error_new(ERROR_CONFLICT,
                                         "image \"%s\" is in use by a pod: delete the pod first, or --force",
                                         *argument);
                if (!stays && !strv_contains(ids, id))
                        ids = strv_add(ids, id);
        }
        for (size_t i = 0; i < names.n; i++)
                if (removed[i])
                        untagged = strv_add(untagged, names.list[i].text);
        err = names_remove(&names, removed);
        return err ? err : collect(context, ids, untagged);
}
