/* unpacker.h - the process that unpacks layers for the main one, confined.
 *
 * Started before anything was fetched and before any credential was read, so its memory holds nothing worth stealing;
 * it lives in an empty network namespace. For each layer it forks a child, which confines itself to the layer's folder
 * (confine.h) and then, in one pass over the bytes: reads the blob, hashes it, decompresses it, hashes that, unpacks
 * it, and syncs the file system. The blob may still be growing: the child follows the download.
 *
 *     main ──job, blob, folder──▶ unpacker ──fork──▶ child     progress and result come back over the job's socket
 *
 * When the main process dies, all of them do. */
#pragma once

#include "husk-image/hash.h"
#include "husk-image/unpack.h"

struct unpacker;

struct error *unpacker_start(struct unpacker **ret) _must_check_;
struct unpacker *unpacker_stop(struct unpacker *unpacker); /* kills what is under way */
static inline void unpacker_stopp(struct unpacker **unpacker) {
        *unpacker = unpacker_stop(*unpacker);
}
#define _cleanup_unpacker_ _cleanup_(unpacker_stopp)

struct unpack_job {
        char digest[DIGEST_TEXT];  /* the blob must have it */
        char diff_id[DIGEST_TEXT]; /* and its decompressed content this */
        uint64_t size;             /* of the blob */
        bool blob_is_verified;     /* its digest was checked when it was stored */
        struct unpack_limits limits;
};

struct unpack_outcome {
        uint64_t size, entries;
        bool blob_is_wrong;  /* the blob does not have its digest: fetch it anew */
        struct error *error; /* NULL: unpacked, verified and synced. Owned by the caller */
};

/* Begins a job: unpacks blob_fd (read with pread) into the empty folder `root_fd`. Returns its socket, which becomes
 * readable when there is progress or the outcome; closing it ends the job. */
struct error *unpacker_begin(struct unpacker *unpacker, const struct unpack_job *job, int blob_fd, int root_fd,
                             int *ret_socket) _must_check_;
/* Tells a job that so many bytes of its blob are there now. Never blocks; false: could not, tell it again later. */
bool unpacker_available(int socket, uint64_t bytes);
struct unpack_progress {
        uint64_t consumed; /* bytes of the blob */
        bool syncing;      /* all is unpacked, and on its way to the disk: no work for the processor any more */
};

/* Takes news from the socket, never blocks: *progress is updated. True: the job is over, and *ret is its outcome. */
bool unpacker_news(int socket, struct unpack_progress *progress, struct unpack_outcome *ret);
