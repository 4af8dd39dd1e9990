/* fetch.h - brings the layers of an image into the store: downloads, unpacks and commits them, several at a time.
 *
 * For each layer, whatever is there already is used: the unpacked layer, else the blob, else the part of it that an
 * interrupted run left. A layer that another program is fetching is waited for. A download and its unpacking run
 * together. Every layer is committed by itself, durably: an interruption later costs only what was not finished. */
#pragma once

#include "husk-image/progress.h"
#include "husk-image/registry.h"
#include "husk-image/unpacker.h"

struct fetch_options {
        const char *images;
        struct unpacker *unpacker;
        struct registry *registry; /* NULL: all blobs must be there */
        struct unpack_limits limits;
        int parallel_downloads;  /* 0: 6 */
        int parallel_unpacks;    /* 0: two more than processors, at most 4; so many more only while layers wait for the
                                    network */
        bool blobs_are_verified; /* those in the store were verified by this very run */
        enum progress_mode progress;
};

struct fetch_result {
        uint64_t size;    /* bytes of all unpacked layers */
        uint64_t fetched; /* bytes that came over the network */
        size_t layers_fetched, layers_present;
};

/* `layers` and `diff_ids` have the same length and order. */
struct error *fetch_layers(const struct fetch_options *options, const struct descriptor *layers, char *const *diff_ids,
                           size_t n, struct fetch_result *ret) _must_check_;
/* Bytes and entries of an unpacked layer, from its record; ret_blob (may be NULL): the digest it came from. */
struct error *layer_record_read(const char *images, const char *diff_id, uint64_t *ret_size,
                                char **ret_blob) _must_check_;
