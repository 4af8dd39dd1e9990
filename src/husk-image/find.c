#include "husk-image/find.h"

#include "base/str.h"
#include "image/layout.h"
#include "image/reference.h"

#define PREFIX_MIN 6

static bool is_hex(const char *text) {
        size_t n = strspn(text, "0123456789abcdef");
        return n >= PREFIX_MIN && n <= 64 && !text[n];
}

struct error *image_find(struct context *context, const char *text, struct image **ret) {
        const char *prefix = str_starts_with(text, "sha256:") ? text + 7 : text;
        struct error *err = NULL;

        if (!str_starts_with(text, "sha256:") && !(is_hex(text) && strlen(text) == 64)) {
                err = image_open(context->store, text, ret);
                if (!error_is(err, ERROR_NOT_FOUND) || !is_hex(text))
                        return err;
        } else if (!is_hex(prefix)) {
                return error_new(ERROR_INVALID, "\"%.100s\" is not an image id: at least %d hexadecimal digits", text,
                                 PREFIX_MIN);
        }
        _unused_ _cleanup_error_ struct error *not_a_name = err;
        _cleanup_strv_ char **ids = NULL;
        _cleanup_free_ char *found = NULL;
        err = image_record_ids(context->images, &ids);
        if (err)
                return err;
        for (size_t i = 0; ids && ids[i]; i++) {
                if (!str_starts_with(digest_hex(ids[i]), prefix))
                        continue;
                if (found)
                        return error_new(ERROR_INVALID, "more than one image id begins with %s", prefix);
                found = xstrdup(ids[i]);
        }
        if (!found)
                return error_new(ERROR_NOT_FOUND, "image \"%.300s\" is not present on this machine", text);
        return image_open(context->store, found, ret);
}
