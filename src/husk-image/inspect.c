/* husk-image inspect IMAGE… and history IMAGE */
#include <ctype.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/fetch.h"
#include "husk-image/find.h"
#include "husk-image/options.h"
#include "image/layout.h"
#include "image/manifest.h"

static struct error *read_config(struct context *context, const struct image *image, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        struct error *err;
        size_t len;

        err = content_read_blob(context->images, image->id, CONFIG_SIZE_MAX, &text, &len);
        if (err)
                return err;
        *ret = json_loadb(text, len, 0, NULL);
        return *ret ? NULL : error_new(ERROR_BAD_REQUEST, "the configuration of %s is not JSON", image->id);
}

/* All names of an image, not only the one it was found by. */
struct names {
        const struct image *image;
        json_t *tags, *digests;
        bool pinned;
};

static struct error *gather_name(void *context, const struct reference *reference,
                                 const struct reference_record *record) {
        struct names *names = context;

        if (!streq(record->id, names->image->id))
                return NULL;
        _cleanup_free_ char *name = reference_format(reference);
        json_array_append_new(reference->digest ? names->digests : names->tags, json_string(name));
        names->pinned = names->pinned || record->pinned;
        return NULL;
}

static json_t *layers_to_json(struct context *context, const struct image *image) {
        _cleanup_strv_ char **diff_ids = NULL;
        _unused_ _cleanup_error_ struct error *skipped = image_record_layers(context->images, image->id, &diff_ids);
        json_t *array = json_array();

        for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
                _cleanup_free_ char *folder = layout_layer(context->images, diff_ids[i]), *blob = NULL;
                uint64_t size = 0;
                _unused_ _cleanup_error_ struct error *missing =
                        layer_record_read(context->images, diff_ids[i], &size, &blob);
                json_array_append_new(array, json_pack("{s:s, s:s?, s:I, s:s+}", "diffId", diff_ids[i], "blob", blob,
                                                       "size", (json_int_t)size, "folder", folder, "/fs"));
        }
        return array;
}

static struct error *inspect(struct context *context, const char *name, json_t *array) {
        _cleanup_image_ struct image *image = NULL;
        json_auto_t *config = NULL;
        struct error *err;

        err = image_find(context, name, &image);
        if (!err)
                err = read_config(context, image, &config);
        if (err)
                return err;
        struct names names = { image, json_array(), json_array(), false };
        err = reference_each(context->images, gather_name, &names);
        json_array_append_new(array, json_pack("{s:s, s:o, s:o, s:b, s:I, s:o, s:O}", "id", image->id, "repoTags",
                                               names.tags, "repoDigests", names.digests, "pinned", names.pinned, "size",
                                               (json_int_t)image->size, "layers", layers_to_json(context, image),
                                               "config", config));
        return err;
}

struct error *verb_inspect(struct context *context) {
        json_auto_t *array = json_array();

        for (char **name = context->options->arguments; *name; name++) {
                struct error *err = inspect(context, *name, array);
                if (err)
                        return err;
        }
        _cleanup_free_ char *text = json_dumps(array, JSON_INDENT(4));
        puts(text);
        return NULL;
}

/* What made a layer, as one line without what the builder put around it. */
static char *made_by(const char *text) {
        static const char *const shells[] = { "/bin/sh -c #(nop) ", "/bin/sh -c #(nop)", "/bin/sh -c " };
        struct strbuf line = STRBUF_INIT;

        for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
                if (str_starts_with(text, shells[i])) {
                        if (i == 2)
                                strbuf_adds(&line, "RUN ");
                        text += strlen(shells[i]);
                        break;
                }
        for (; *text; text++)
                if (!iscntrl((unsigned char)*text))
                        strbuf_addc(&line, *text);
                else if (line.len && line.data[line.len - 1] != ' ')
                        strbuf_addc(&line, ' ');
        return strbuf_take(&line);
}

struct error *verb_history(struct context *context) {
        const struct options *o = context->options;
        _cleanup_image_ struct image *image = NULL;
        _cleanup_strv_ char **diff_ids = NULL;
        json_auto_t *config = NULL, *rows = json_array();
        struct error *err;
        json_t *entry;
        size_t i, layer = 0;

        err = image_find(context, o->arguments[0], &image);
        if (!err)
                err = read_config(context, image, &config);
        if (!err)
                err = image_record_layers(context->images, image->id, &diff_ids);
        if (err)
                return err;
        json_array_foreach(json_object_get(config, "history"), i, entry) {
                bool is_empty = json_is_true(json_object_get(entry, "empty_layer"));
                const char *diff_id = is_empty || !diff_ids || layer >= strv_len(diff_ids) ? NULL : diff_ids[layer++];
                uint64_t size = 0;
                _unused_ _cleanup_error_ struct error *missing =
                        diff_id ? layer_record_read(context->images, diff_id, &size, NULL) : NULL;
                const char *by = json_string_value(json_object_get(entry, "created_by"));
                if (!by)
                        by = json_string_value(json_object_get(entry, "comment"));
                _cleanup_free_ char *line = made_by(by ? by : "");
                json_array_insert_new(rows, 0,
                                      json_pack("{s:s?, s:s?, s:I, s:s}", "created",
                                                json_string_value(json_object_get(entry, "created")), "diffId", diff_id,
                                                "size", (json_int_t)size, "createdBy", line));
        }
        if (o->json) {
                _cleanup_free_ char *text = json_dumps(rows, JSON_INDENT(2));
                puts(text);
                return NULL;
        }
        printf("%-20s  %-12s  %8s  %s\n", "CREATED", "LAYER", "SIZE", "CREATED BY");
        json_array_foreach(rows, i, entry) {
                const char *diff_id = json_string_value(json_object_get(entry, "diffId"));
                const char *created = json_string_value(json_object_get(entry, "created"));
                char size[SIZE_TEXT];
                printf("%-20.19s  %-12.12s  %8s  %.*s\n", created ? created : "", diff_id ? digest_hex(diff_id) : "-",
                       size_format(json_integer_value(json_object_get(entry, "size")), size), o->no_trunc ? 100000 : 60,
                       json_string_value(json_object_get(entry, "createdBy")));
        }
        return NULL;
}
