/* husk-image ls [NAME] */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "husk-image/options.h"
#include "image/image.h"
#include "image/reference.h"

static json_t *strings_to_json(char *const *list) {
        json_t *array = json_array();

        for (size_t i = 0; list && list[i]; i++)
                json_array_append_new(array, json_string(list[i]));
        return array;
}

/* In the words of the CRI's Image message. */
static json_t *image_to_json(const struct image *image) {
        return json_pack("{s:s, s:o, s:o, s:I, s:s?, s:s?, s:s?, s:i}", "id", image->id, "repoTags",
                         strings_to_json(image->repo_tags), "repoDigests", strings_to_json(image->repo_digests), "size",
                         (json_int_t)image->size, "created", image->created, "os", image->os, "architecture",
                         image->architecture, "layers", (int)strv_len(image->layers));
}

/* "3 weeks ago"; "" if unknown. */
static const char *age_format(const char *created, char buf[static 32]) {
        static const struct {
                const char *name;
                int64_t seconds;
        } units[] = { { "year", 31536000 }, { "month", 2592000 }, { "week", 604800 }, { "day", 86400 },
                      { "hour", 3600 },     { "minute", 60 },     { "second", 1 } };
        int64_t then;

        buf[0] = '\0';
        if (!created || !rfc3339_parse(created, &then, NULL) || then <= 0)
                return buf;
        int64_t age = MAX(time(NULL) - then, (int64_t)0);
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                int64_t n = age / units[i].seconds;
                if (n >= 2 || i + 1 == ARRAY_SIZE(units) || (n == 1 && i < 2)) {
                        snprintf(buf, 32, "%lld %s%s ago", (long long)n, units[i].name, n == 1 ? "" : "s");
                        break;
                }
        }
        return buf;
}

static void print_row(const struct options *o, const struct image *image, const char *repository, const char *tag) {
        char size[SIZE_TEXT], age[32];

        printf("%-40s  %-16s  %-*.*s  %-15s  %s\n", repository, tag, o->no_trunc ? 64 : 12, o->no_trunc ? 64 : 12,
               digest_hex(image->id), age_format(image->created, age), size_format(image->size, size));
}

static bool is_wanted(const char *wanted, const char *repository, const char *tag) {
        if (!wanted)
                return true;
        _cleanup_free_ char *whole = xasprintf("%s:%s", repository, tag);
        _cleanup_free_ char *normal = image_reference_normalize(wanted);
        _cleanup_free_ char *any_tag = normal ? xasprintf("%s:", repository) : NULL;
        bool has_tag = strchr(strrchr(wanted, '/') ? strrchr(wanted, '/') : wanted, ':') || strchr(wanted, '@');
        return normal && (has_tag ? streq(whole, normal) : str_starts_with(normal, any_tag));
}

/* A line for each tag; one with <none> for an image that has no tag. Digests that stand beside tags are not shown. */
static void print_image(const struct options *o, const struct image *image, const char *wanted) {
        if (o->quiet) {
                puts(image->id);
                return;
        }
        for (size_t i = 0; image->repo_tags && image->repo_tags[i]; i++) {
                _cleanup_free_ char *repository = xstrdup(image->repo_tags[i]);
                char *colon = strrchr(repository, ':');
                *colon = '\0';
                if (is_wanted(wanted, repository, colon + 1))
                        print_row(o, image, repository, colon + 1);
        }
        if (image->repo_tags)
                return;
        for (size_t i = 0; image->repo_digests && image->repo_digests[i]; i++) {
                _cleanup_free_ char *repository =
                        xstrndup(image->repo_digests[i], strcspn(image->repo_digests[i], "@"));
                if (is_wanted(wanted, repository, "<none>"))
                        print_row(o, image, repository, "<none>");
        }
        if (!image->repo_digests && !wanted)
                print_row(o, image, "<none>", "<none>");
}

static bool has_wanted_name(const struct image *image, const char *wanted) {
        bool found = !wanted;

        for (size_t i = 0; !found && image->repo_tags && image->repo_tags[i]; i++) {
                _cleanup_free_ char *repository = xstrdup(image->repo_tags[i]);
                char *colon = strrchr(repository, ':');
                *colon = '\0';
                found = is_wanted(wanted, repository, colon + 1);
        }
        return found;
}

struct error *verb_ls(struct context *context) {
        const struct options *o = context->options;
        const char *wanted = o->arguments[0];
        struct image **list;
        struct error *err;
        size_t n;

        err = image_list(context->store, &list, &n);
        if (err)
                return err;
        if (o->json) {
                json_auto_t *array = json_array();
                for (size_t i = 0; i < n; i++)
                        if (has_wanted_name(list[i], wanted))
                                json_array_append_new(array, image_to_json(list[i]));
                _cleanup_free_ char *text = json_dumps(array, JSON_INDENT(2));
                puts(text);
        } else {
                if (!o->quiet)
                        printf("%-40s  %-16s  %-*s  %-15s  %s\n", "REPOSITORY", "TAG", o->no_trunc ? 64 : 12,
                               "IMAGE ID", "CREATED", "SIZE");
                for (size_t i = 0; i < n; i++)
                        if (!o->quiet || has_wanted_name(list[i], wanted))
                                print_image(o, list[i], wanted);
        }
        image_list_free(list, n);
        return NULL;
}
