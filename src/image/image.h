/* image.h - the images that are present on this machine, for whoever starts containers from them.
 *
 * An image is a configuration (what to run, as whom, with which environment) and a list of layers, each an unpacked
 * folder that overlayfs can stack. Everything here only reads small files below <root>/images; what fetches, verifies
 * and unpacks is the program husk-image, which a caller starts when image_open() says that an image is not there:
 *
 *     err = image_open(store, "redis:7", &image);
 *     if (error_is(err, ERROR_NOT_FOUND))
 *             run: husk-image --root R --run R pull redis:7 [--credentials-file F]    then image_open() again
 *
 * What lies where (husk-image writes it, every name appears by rename(2) when its content is complete and synced):
 *
 *   <root>/images/references/<domain>/<path>/_tag/<tag>         JSON: which manifest and which image a tag means
 *   <root>/images/references/<domain>/<path>/_digest/<digest>   the same for name@digest
 *   <root>/images/images/sha256/<id>.json                       what struct image holds, made from the configuration
 *   <root>/images/layers/sha256/<diff id>/fs                    one unpacked layer, in overlayfs' form
 *   <root>/images/layers/sha256/<diff id>/layer.json            its size, entries and the blob it came from
 *   <root>/images/access/sha256/<id>.json                       which pods may use it: see access.h
 *   <root>/images/blobs/sha256/<digest>                         manifests, configurations and layers as fetched
 *   <root>/images/ingest/, locks/, lock                         downloads and unpacks under way, and their locks
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "store/store.h"

struct image {
        char *reference;     /* normalised name it was opened by: "docker.io/library/redis:7"; NULL if opened by id */
        char *id;            /* "sha256:…" of the configuration: same id, same image */
        char *digest;        /* "sha256:…" of the manifest or index that the reference names; NULL if opened by id */
        char **repo_tags;    /* names with tag: the one it was opened by; all of them from image_list() */
        char **repo_digests; /* "docker.io/library/redis@sha256:…", likewise. For status.containerStatuses[].imageID */
        bool is_loaded;      /* the name it was opened by came from an archive */
        uint64_t size;       /* bytes of the unpacked layers */
        char *os, *architecture, *variant; /* "linux", "arm64", "v8"; NULL where not given */
        char *created;                     /* RFC 3339, or NULL */
        char **entrypoint, **cmd, **env;   /* NULL: none; env as "NAME=value" */
        char *user;                        /* "1000:1000", "app", … or NULL; untrusted text */
        char *working_dir;                 /* or NULL */
        char *stop_signal;                 /* "SIGUSR1", "10", … or NULL */
        char **volumes;                    /* paths of VOLUME */
        char **exposed_ports;              /* "80/tcp" */
        char **layers; /* unpacked folders, uppermost first: the order of overlayfs' lowerdir. Never empty, at most
                          IMAGE_LAYERS_MAX, no folder twice */
};

#define IMAGE_LAYERS_MAX 500 /* overlayfs takes no more lower layers */

/* Opens an image by reference ("redis", "redis:7", "quay.io/x/y@sha256:…") or by id ("sha256:…"). ERROR_NOT_FOUND if
 * it is not present (a few file reads; the registry is never asked), ERROR_INVALID if the reference cannot be one
 * (Kubernetes' InvalidImageName). A name with tag and digest means the digest. */
struct error *image_open(const struct store *store, const char *reference, struct image **ret) _must_check_;
struct image *image_free(struct image *image); /* accepts NULL, returns NULL */
static inline void image_freep(struct image **image) {
        *image = image_free(*image);
}
#define _cleanup_image_ _cleanup_(image_freep)

/* Notes that a container of it is started now: garbage collection takes what was not used for longest first. */
void image_mark_used(const struct store *store, const struct image *image);

/* The same for all that a pod (its object or status, as JSON) names, when it ends: until then they were in use. */
void images_mark_used_in(const struct store *store, const json_t *object);
/* Adds to `list` what names an image in a pod's object or status: ids and normalised references of containers and image
 * volumes. */
void image_names_in(const json_t *json, char ***list);

/* Folder whose IN_ATTRIB (inotify) says that an image came or got another name. */
char *image_names_folder(const struct store *store);

/* All images present with all their names, newest first; an array of `*ret_n` images. Unreadable ones are left out. */
struct error *image_list(const struct store *store, struct image ***ret, size_t *ret_n) _must_check_;
struct image **image_list_free(struct image **list, size_t n);

/* How husk-image ends; its text for people is on standard error. The numbers stay. */
enum image_exit {
        IMAGE_EXIT_OK = 0,
        IMAGE_EXIT_FAILED = 1,        /* anything without a better word */
        IMAGE_EXIT_USAGE = 2,         /* wrong verb, flag or number of arguments */
        IMAGE_EXIT_NOT_FOUND = 3,     /* no such image, tag or platform in the registry or here; no such file */
        IMAGE_EXIT_UNAUTHORIZED = 4,  /* the registry wants (other) credentials */
        IMAGE_EXIT_UNAVAILABLE = 5,   /* registry down, name not resolved, TLS failed, timed out, too many requests */
        IMAGE_EXIT_BAD_REFERENCE = 6, /* the reference cannot be one: Kubernetes' InvalidImageName */
        IMAGE_EXIT_CORRUPT = 7,       /* wrong digest, truncated or malformed archive, hostile layer */
        IMAGE_EXIT_NO_SPACE = 8,      /* disk full, or a limit on size or entries reached */
        IMAGE_EXIT_NOT_SUPPORTED = 9, /* more than 500 layers, unknown compression, old schema 1 */
        IMAGE_EXIT_IN_USE = 10,       /* rm: a pod uses it */
};
