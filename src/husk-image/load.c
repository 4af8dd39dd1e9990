/* husk-image load FILE|FOLDER|- */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/str.h"
#include "husk-image/archive.h"
#include "husk-image/confine.h"
#include "husk-image/content.h"
#include "husk-image/result.h"
#include "image/layout.h"

/* The names an image gets: those in the archive, or, where there is none or only a tag, from --name. */
static struct error *names_of(const struct options *o, const struct archive_image *image, char ***ret) {
        struct error *err = NULL;

        for (size_t i = 0; !err && image->names && image->names[i]; i++) {
                _cleanup_reference_ struct reference *r = NULL;
                err = reference_parse(image->names[i], &r);
                if (!err)
                        *ret = strv_add_take(*ret, reference_format(r));
        }
        if (err || *ret || !o->name)
                return err;
        _cleanup_reference_ struct reference *r = NULL;
        err = reference_parse(o->name, &r);
        if (err)
                return err;
        if (image->tag && !strchr(strrchr(o->name, '/') ? strrchr(o->name, '/') : o->name, ':')) {
                _cleanup_free_ char *repository = reference_repository(r),
                                    *name = xasprintf("%s:%s", repository, image->tag);
                *ret = strv_add(*ret, name);
        } else {
                *ret = strv_add_take(*ret, reference_format(r));
        }
        return NULL;
}

static struct error *load_image(struct context *context, const struct installer *in,
                                const struct archive_image *image) {
        _cleanup_installed_ struct installed installed = { 0 };
        _cleanup_strv_ char **names = NULL;
        struct error *err;

        err = names_of(context->options, image, &names);
        if (!err)
                err = install_image(in, image->text, image->len, image->type, &installed);
        if (err)
                return err;
        for (size_t i = 0; names && names[i]; i++) {
                _cleanup_reference_ struct reference *r = NULL;
                err = reference_parse(names[i], &r);
                if (!err)
                        err = install_reference(context->images, r, installed.digest, installed.id,
                                                context->options->pin, true);
                if (!err)
                        err = result_print(context->options, r, &installed);
                if (err)
                        return err;
        }
        if (names)
                return NULL;
        log_warning("an image of the archive has no name%s%s: give it one with --name",
                    image->tag ? ", only the tag " : "", image->tag ? image->tag : "");
        return result_print(context->options, NULL, &installed);
}

static struct error *load_all(struct context *context, struct installer *in, int fd, bool is_folder) {
        _cleanup_archive_ struct archive *archive = NULL;
        struct archive_image *list = NULL;
        size_t n = 0;
        struct error *err;

        err = archive_read(context->images, fd, is_folder, context->options->max_size, &archive);
        if (!err)
                err = archive_images(context->images, archive, &list, &n);
        for (size_t i = 0; !err && i < n; i++)
                err = load_image(context, in, &list[i]);
        archive_images_free(list, n);
        return err;
}

static struct error *load(struct context *context) {
        const struct options *o = context->options;
        const char *path = o->arguments[0];
        bool is_stdin = streq(path, "-");
        _cleanup_unpacker_ struct unpacker *unpacker = NULL;
        _cleanup_close_ int lock = -EBADF;
        struct installer in;
        struct stat st;
        struct error *err;

        _cleanup_close_ int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(errno, "open %s", is_stdin ? "standard input" : path);
        if (is_stdin && isatty(fd))
                return error_new(ERROR_BAD_REQUEST, "standard input is a terminal: no archive will come from there");
        err = unpacker_start(&unpacker);
        if (!err)
                err = content_lock(context->images, false, &lock);
        if (!err)
                err = installer_init(&in, context, unpacker);
        if (err)
                return err;
        in.fetch.blobs_are_verified = true; /* they were hashed when they were stored, a moment ago */
        const char *paths[] = { S_ISDIR(st.st_mode) ? path : NULL, NULL };
        err = confine_main(context->images, paths);
        if (!err)
                err = load_all(context, &in, fd, S_ISDIR(st.st_mode));
        installer_release(&in);
        return error_context(err, "load %s", is_stdin ? "standard input" : path);
}

struct error *verb_load(struct context *context) {
        return run_confined(context, load);
}
