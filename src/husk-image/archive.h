/* archive.h - image archives and layouts, as `load` takes them and `save` makes them.
 *
 * Read are: OCI layouts (a folder) and OCI archives (the same as tar), what `docker save` writes, old (manifest.json
 * and <id>/layer.tar) and new (both in one); compressed or not, from a file or a pipe, in whatever order the entries
 * come. Everything that may be a blob goes to the store while the archive streams by and is hashed on the way; what no
 * image needs is removed at the end. */
#pragma once

#include "husk-image/hash.h"
#include "image/manifest.h"

/* A file of the archive. */
struct archive_file {
        char *path; /* cleaned: "blobs/sha256/…" */
        char *link; /* a link to another file of the archive (old docker save), cleaned; else NULL */
        char digest[DIGEST_TEXT];
        uint64_t size;
        bool is_new; /* the store did not have it before */
};

struct archive {
        struct archive_file *files;
        size_t n_files;
        char *index, *docker; /* texts of index.json and manifest.json */
        size_t index_len, docker_len;
        bool is_oci; /* it has index.json */
};

/* One image of it. */
struct archive_image {
        char *text; /* manifest or index */
        size_t len;
        char *type;   /* its media type, or NULL */
        char **names; /* references as written; empty: it has none */
        char *tag;    /* a name that is no reference by itself, only a tag ("latest"), or NULL */
};

/* Reads from a descriptor (file or pipe) or a layout folder. `max` bounds the bytes of all files. */
struct error *archive_read(const char *images, int fd, bool is_folder, uint64_t max, struct archive **ret) _must_check_;
struct archive *archive_free(struct archive *archive);
static inline void archive_freep(struct archive **archive) {
        *archive = archive_free(*archive);
}
#define _cleanup_archive_ _cleanup_(archive_freep)

/* The images it holds, docker's put into OCI's form. */
struct error *archive_images(const char *images, const struct archive *archive, struct archive_image **ret,
                             size_t *ret_n) _must_check_;
void archive_images_free(struct archive_image *list, size_t n);
