/* layout.h - where things lie below <root>/images, and the records that are written there.
 *
 * image.h draws the tree. Two records make up what image_open() reads: the reference record (which manifest and which
 * image does a name mean) and the image record (what struct image holds). husk-image writes both with the functions
 * here, so that the reader and the writer of a key are in one file. */
#pragma once

#include "image/image.h"
#include "image/reference.h"

char *layout_root(const struct store *store);                /* <root>/images */
char *layout_blob(const char *images, const char *digest);   /* <images>/blobs/sha256/<hex> */
char *layout_image(const char *images, const char *id);      /* <images>/images/sha256/<hex>.json */
char *layout_layer(const char *images, const char *diff_id); /* <images>/layers/sha256/<hex> */
/* Path of a reference's record; by its digest if it has one. */
char *layout_reference(const char *images, const struct reference *reference);

/* What a name means. A record below _digest is `implied` when nobody asked for it: it stands beside a tag that was
 * pulled, and goes when the last tag of that repository for this image goes. */
struct reference_record {
        char *digest; /* of the manifest or index */
        char *id;     /* of the image */
        bool implied;
        bool pinned; /* prune never takes it */
        bool loaded; /* came from an archive: no pull can bring it again */
};
struct error *reference_record_read(const char *path, struct reference_record *ret) _must_check_;
struct error *reference_record_write(const char *path, const struct reference_record *record) _must_check_;
/* Tells whoever watches image_names_folder() that there are new names. */
void references_tell_changed(const char *images);
void reference_record_release(struct reference_record *record);
#define _cleanup_reference_record_ _cleanup_(reference_record_release)

/* Calls `f` for each reference record in the store (normalised name parsed; record read). Unreadable ones are skipped.
 * A non-NULL error of `f` ends the walk. */
typedef struct error *(*reference_function)(void *context, const struct reference *reference,
                                            const struct reference_record *record);
struct error *reference_each(const char *images, reference_function f, void *context) _must_check_;

/* The image record. `config` is the OCI image configuration, as verified and parsed; `diff_ids` its layers, lowermost
 * first; `size` the bytes of the unpacked layers. */
struct error *image_record_write(const char *images, const char *id, const json_t *config, char *const *diff_ids,
                                 uint64_t size) _must_check_;
/* Reads it into an image without names. ERROR_NOT_FOUND if the id is not present. */
struct error *image_record_read(const char *images, const char *id, struct image **ret) _must_check_;
/* The diff IDs in the record, lowermost first, with repeats. */
struct error *image_record_layers(const char *images, const char *id, char ***ret) _must_check_;
/* Ids of all image records. */
struct error *image_record_ids(const char *images, char ***ret) _must_check_;

/* Reads a record from memory; NULL if it is none. */
struct image *image_record_parse(const char *images, const char *id, const char *text, size_t len);
