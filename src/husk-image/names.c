#include "husk-image/names.h"

#include "base/file.h"
#include "base/str.h"
#include "image/layout.h"

void names_release(struct names *names) {
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
                .loaded = record->loaded,
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

bool names_speak_of(const struct names *names, const char *id, const bool *removed) {
        for (size_t i = 0; i < names->n; i++)
                if (!(removed && removed[i]) && !names->list[i].implied && streq(names->list[i].id, id))
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

struct error *names_remove(const struct names *names, bool *removed) {
        for (size_t i = 0; i < names->n; i++) {
                const struct name *name = &names->list[i];
                if (!removed[i] && name->implied && implied_is_orphan(names, name, removed))
                        removed[i] = true;
                if (!removed[i])
                        continue;
                struct error *err = remove_name(name, names->images);
                if (err)
                        return err;
        }
        return NULL;
}

char **names_of(const struct names *names, const char *id) {
        char **list = NULL;

        for (size_t i = 0; i < names->n; i++)
                if (streq(names->list[i].id, id))
                        list = strv_add(list, names->list[i].text);
        return list;
}

struct error *names_read(const char *images, struct names *ret) {
        *ret = (struct names){ .images = images };
        return reference_each(images, gather_name, ret);
}
