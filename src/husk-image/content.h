/* content.h - blobs and layers of the store while they come and go.
 *
 * What is being fetched or unpacked lies in <images>/ingest under the name of what it will be, and is moved to its
 * place by one rename(2) when it is complete, verified and synced. Whoever works on it holds a flock(2) on it; so two
 * programs that want the same layer fetch it once, and what a dead one left behind is told by being unlocked: a blob is
 * gone on with, a folder is removed.
 *
 * Whoever adds references to blobs holds the store's lock shared, whoever collects garbage holds it alone. */
#pragma once

#include <jansson.h>

#include "husk-image/hash.h"
#include "base/error.h"

/* Makes the folders. */
struct error *content_prepare(const char *images) _must_check_;
/* The lock of the whole store, held until the descriptor is closed. `exclusive` and somebody works: *ret is -EBADF. */
struct error *content_lock(const char *images, bool exclusive, int *ret) _must_check_;
/* Removes what dead processes left in ingest: unpacked halves at once, blobs after `keep_days`. */
struct error *content_sweep(const char *images, int keep_days) _must_check_;

bool content_has_blob(const char *images, const char *digest, uint64_t *ret_size);
/* OCI's media type of a layer's stored blob, by its first bytes. */
const char *content_layer_type(const char *images, const char *digest);
bool content_has_layer(const char *images, const char *diff_id);
/* Reads a small blob of at most `max` bytes and verifies it. */
struct error *content_read_blob(const char *images, const char *digest, size_t max, char **ret,
                                size_t *ret_len) _must_check_;
/* Stores a small blob durably; *its digest is computed here. */
struct error *content_write_blob(const char *images, const void *data, size_t len,
                                 char digest[static DIGEST_TEXT]) _must_check_;

/* Opens (makes) the ingest file of a blob and locks it. *ret is -EBADF if somebody else works on it. */
struct error *content_begin_blob(const char *images, const char *digest, int *ret) _must_check_;
/* Moves it into its place; the content is verified, `synced` tells whether on disk too. */
struct error *content_commit_blob(const char *images, const char *digest, int fd, bool synced) _must_check_;
struct error *content_discard_blob(const char *images, const char *digest) _must_check_;

/* The same for a layer: makes an empty folder, *ret its "fs" inside, *ret_lock the lock. *ret_lock is -EBADF if
 * somebody else works on it. */
struct error *content_begin_layer(const char *images, const char *diff_id, int *ret, int *ret_lock) _must_check_;
struct error *content_commit_layer(const char *images, const char *diff_id, const json_t *record) _must_check_;
/* Removes a layer folder of ours that failed; needs the child to have emptied it. */
void content_discard_layer(const char *images, const char *diff_id);

/* An ingest file without a known digest (a file of an archive): named by us, unlocked, removed by the sweep. */
struct error *content_begin_unnamed(const char *images, char **ret_path, int *ret) _must_check_;
