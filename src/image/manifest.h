/* manifest.h - what registries and archives say about an image: manifests, indexes and configurations.
 *
 * OCI image-spec 1.1 and Docker's schema 2 in one form. The texts are hostile: every size, number and type is checked
 * here, and a document that could be read in two ways (manifest and index at once, a key twice, a media type that is
 * not what it was served as) is refused. The caller has verified the digest before. */
#pragma once

#include <jansson.h>

#include "image/image.h"

#define MANIFEST_SIZE_MAX (4 << 20)
#define CONFIG_SIZE_MAX (8 << 20)
#define INDEX_ENTRIES_MAX 4096

struct descriptor {
        char *media_type;
        char *digest; /* valid */
        uint64_t size;
        char *os, *architecture, *variant; /* of the platform, or NULL */
        char *ref_name;                    /* annotation org.opencontainers.image.ref.name */
        char *containerd_name;             /* annotation io.containerd.image.name */
        bool is_attestation;               /* provenance and the like beside the images of an index */
        char **urls;                       /* where a foreign layer may be had */
};

struct manifest {
        bool is_index;
        char *media_type;
        struct descriptor config;   /* of an image */
        struct descriptor *entries; /* layers of an image, lowermost first; or the manifests of an index */
        size_t n_entries;
};

/* `served_as` is the Content-Type or descriptor's media type it came with; NULL: unknown. */
struct error *manifest_parse(const char *text, size_t len, const char *served_as, struct manifest **ret) _must_check_;
struct manifest *manifest_free(struct manifest *manifest);
static inline void manifest_freep(struct manifest **manifest) {
        *manifest = manifest_free(*manifest);
}
#define _cleanup_manifest_ _cleanup_(manifest_freep)

/* What a manifest request accepts, for the Accept header. */
extern const char *const manifest_media_types[];
bool media_type_is_index(const char *media_type);

struct platform {
        char *os, *architecture, *variant; /* variant may be NULL */
};
/* This machine's, or what "linux/arm/v7" says. */
void platform_of_machine(struct platform *ret);
struct error *platform_parse(const char *text, struct platform *ret) _must_check_;
void platform_release(struct platform *platform);
/* The entry of an index that runs here best; NULL if none does. */
const struct descriptor *index_choose(const struct manifest *index, const struct platform *platform);
/* "linux/amd64, linux/arm64/v8" for a message. */
char *index_platforms(const struct manifest *index);

/* Parses an image configuration: *ret the whole JSON, *ret_diff_ids its layers, lowermost first. Checks the types of
 * all that image records take over. `n_layers` is how many layers the manifest has. */
struct error *image_config_parse(const char *text, size_t len, size_t n_layers, json_t **ret,
                                 char ***ret_diff_ids) _must_check_;
