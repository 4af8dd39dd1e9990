/* names.h - all reference records of a store, to decide which of them go. */
#pragma once

#include "base/error.h"

struct name {
        char *text; /* normalised: "docker.io/library/redis:7" */
        char *repository, *path, *id;
        bool has_tag, implied, pinned, loaded;
};

struct names {
        const char *images; /* the caller's */
        struct name *list;
        size_t n;
};

struct error *names_read(const char *images, struct names *ret) _must_check_;
void names_release(struct names *names);
#define _cleanup_names_ _cleanup_(names_release)

/* Those of one image; the list is the caller's. */
char **names_of(const struct names *names, const char *id);
/* True if anything but implied names speaks of the image, those marked in `removed` left out. */
bool names_speak_of(const struct names *names, const char *id, const bool *removed);
/* Removes the marked records (one mark a name), and marks and removes implied ones that nothing holds any more. */
struct error *names_remove(const struct names *names, bool *removed) _must_check_;
