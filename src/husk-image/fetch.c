#include "husk-image/fetch.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "image/layout.h"

#define DOWNLOADS 6
#define UNPACKS_MOST 4 /* each may need some 10 MB for zstd */
#define LOCK_RETRY_MS 20
#define TICK_MS 100
#define BEHIND ((uint64_t)2 << 20) /* bytes that are there and not unpacked; progress is told for each MiB */
#define STARTING_NS (500 * NSEC_PER_MSEC)

/*   WAITING ──▶ FETCHING ──▶ READY           the layer's life; PRESENT is where it began if there was nothing to do
 *      │  ▲ (lock held by        ▲
 *      ▼  │  somebody else)      │
 *   BLOCKED ─────────────────────┘ (somebody else made it) */
enum layer_state { LAYER_WAITING, LAYER_BLOCKED, LAYER_FETCHING, LAYER_READY, LAYER_PRESENT };

struct layer {
        const struct descriptor *blob;
        const char *diff_id;
        enum layer_state state;
        int root, lock;   /* the folder it is unpacked to */
        int blob_fd;      /* in ingest, or the stored blob */
        bool blob_stored; /* blob_fd is the stored one: it is complete */
        bool resumed;     /* the download went on with an older run's part */
        bool tried_anew;  /* a wrong blob was thrown away once */
        size_t place;     /* of the registry's: those before it sent something wrong */
        struct download *download;
        int job; /* socket of the unpacking child */
        int64_t job_since;
        struct unpack_progress unpacked;
        uint64_t told; /* how many bytes the child was told of */
};

struct fetch {
        const struct fetch_options *options;
        struct layer *layers;
        size_t n;
        struct progress *progress;
        struct fetch_result result;
        int downloads_most, unpacks_most, busy_most;
};

static int processors(void) {
        cpu_set_t set;
        return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void layer_release(struct fetch *f, struct layer *layer) {
        if (layer->download) {
                f->result.fetched += layer->download->fetched;
                layer->download = download_free(f->options->registry, layer->download);
        }
        layer->job = fd_close(layer->job);
        layer->blob_fd = fd_close(layer->blob_fd);
        layer->root = fd_close(layer->root);
        layer->lock = fd_close(layer->lock);
}

static int downloads_running(const struct fetch *f) {
        int n = 0;
        for (size_t i = 0; i < f->n; i++)
                n += f->layers[i].download && !f->layers[i].download->done;
        return n;
}

static uint64_t layer_available(const struct layer *layer) {
        return layer->blob_stored ? layer->blob->size : layer->download ? layer->download->have : 0;
}

/* Has it all it can work on, or does it wait for the network? What is only beginning is not known to wait. */
static bool layer_is_busy(const struct layer *layer) {
        bool behind = layer_available(layer) >= layer->unpacked.consumed + BEHIND ||
                      layer_available(layer) == layer->blob->size;

        return behind || clock_monotonic_ns() - layer->job_since < STARTING_NS;
}

/* One for each processor, more only while those wait for the network: layers that are unpacked one after the other go
 * to the disk one after the other, too, beside the work on the next. */
static bool unpack_may_begin(const struct fetch *f) {
        int running = 0, busy = 0;

        for (size_t i = 0; i < f->n; i++)
                if (f->layers[i].job >= 0 && !f->layers[i].unpacked.syncing) {
                        running++;
                        busy += layer_is_busy(&f->layers[i]);
                }
        return running < f->unpacks_most && busy < f->busy_most;
}

/* Opens the blob's file: the stored one, or the one it is downloaded to. Nothing opened: somebody else has it. */
static struct error *open_blob(struct fetch *f, struct layer *layer) {
        const char *images = f->options->images, *digest = layer->blob->digest;
        struct error *err;
        uint64_t size;

        if (content_has_blob(images, digest, &size)) {
                if (size != layer->blob->size)
                        return error_new(ERROR_BAD_REQUEST, "layer %s has %llu bytes, but the manifest says %llu",
                                         digest, (unsigned long long)size, (unsigned long long)layer->blob->size);
                _cleanup_free_ char *path = layout_blob(images, digest);
                layer->blob_fd = open(path, O_RDONLY | O_CLOEXEC);
                if (layer->blob_fd < 0)
                        return error_errno(errno, "open %s", path);
                layer->blob_stored = true;
                return NULL;
        }
        if (!f->options->registry)
                return error_new(ERROR_BAD_REQUEST, "layer %s is missing in the archive", digest);
        err = content_begin_blob(images, digest, &layer->blob_fd);
        if (err || layer->blob_fd < 0)
                return err;
        struct stat st;
        if (fstat(layer->blob_fd, &st) < 0)
                return error_errno(errno, "look at the layer's file");
        uint64_t have = st.st_size;
        if (have > layer->blob->size) { /* no part of what we want */
                if (ftruncate(layer->blob_fd, 0) < 0)
                        return error_errno(errno, "empty the layer's file");
                have = 0;
        }
        layer->resumed = have > 0;
        layer->download = download_start(f->options->registry, layer->blob, layer->blob_fd, have, layer->place);
        return NULL;
}

/* Takes a waiting layer up, if nobody else works on it. */
static struct error *layer_begin(struct fetch *f, struct layer *layer) {
        struct error *err;

        if (content_has_layer(f->options->images, layer->diff_id)) {
                layer->state = layer->state == LAYER_BLOCKED ? LAYER_READY : LAYER_PRESENT;
                return NULL;
        }
        layer->state = LAYER_BLOCKED;
        err = content_begin_layer(f->options->images, layer->diff_id, &layer->root, &layer->lock);
        if (err || layer->lock < 0)
                return err;
        if (content_has_layer(f->options->images, layer->diff_id)) { /* committed between the two looks */
                content_discard_layer(f->options->images, layer->diff_id);
                layer_release(f, layer);
                layer->state = LAYER_READY;
                return NULL;
        }
        err = open_blob(f, layer);
        if (err || layer->blob_fd < 0) {
                content_discard_layer(f->options->images, layer->diff_id);
                layer_release(f, layer);
                return err;
        }
        layer->state = LAYER_FETCHING;
        return NULL;
}

static struct error *layer_unpack(struct fetch *f, struct layer *layer) {
        struct unpack_job job = {
                .size = layer->blob->size,
                .blob_is_verified = layer->blob_stored && f->options->blobs_are_verified,
                .limits = f->options->limits,
        };

        memcpy(job.digest, layer->blob->digest, DIGEST_TEXT);
        memcpy(job.diff_id, layer->diff_id, DIGEST_TEXT);
        layer->told = 0;
        layer->job_since = clock_monotonic_ns();
        return unpacker_begin(f->options->unpacker, &job, layer->blob_fd, layer->root, &layer->job);
}

static struct error *layer_commit(struct fetch *f, struct layer *layer, const struct unpack_outcome *outcome) {
        const char *images = f->options->images;
        json_auto_t *record = json_pack("{s:I, s:I, s:s, s:I}", "size", (json_int_t)outcome->size, "entries",
                                        (json_int_t)outcome->entries, "blob", layer->blob->digest, "blobSize",
                                        (json_int_t)layer->blob->size);
        struct error *err = NULL;

        if (!layer->blob_stored) /* the child's syncfs() was after the last byte was written */
                err = content_commit_blob(images, layer->blob->digest, layer->blob_fd, true);
        if (!err)
                err = content_commit_layer(images, layer->diff_id, record);
        if (err)
                return err;
        layer_release(f, layer);
        layer->state = LAYER_READY;
        return NULL;
}

/* The blob is not what its digest says. Where from is it to be got now? Once more from the same place if a part that an
 * earlier run left may be to blame, or if there is no other place and it may have been the way. False: nowhere. */
static bool choose_another_place(struct fetch *f, struct layer *layer) {
        size_t places = f->options->registry ? registry_places(f->options->registry) : 0;
        size_t place = layer->download ? layer->download->place : layer->place;
        bool another = place + 1 < places;

        if (layer->download && !layer->resumed && another)
                layer->place = place + 1;
        else if (!layer->tried_anew)
                layer->place = place < places ? place : 0; /* else it was an address of a foreign layer */
        else if (another)
                layer->place = place + 1;
        else
                return false;
        return true;
}

static struct error *layer_fetch_anew(struct fetch *f, struct layer *layer) {
        const char *digest = layer->blob->digest;
        bool was_stored = layer->blob_stored, again = choose_another_place(f, layer);
        struct error *err = NULL;

        if (was_stored) {
                _cleanup_free_ char *path = layout_blob(f->options->images, digest);
                if (!f->options->registry)
                        return error_new(ERROR_BAD_REQUEST, "layer %s: wrong digest: the stored blob is damaged",
                                         digest);
                if (unlink(path) < 0)
                        err = error_errno(errno, "remove damaged %s", path);
        } else {
                err = content_discard_blob(f->options->images, digest);
        }
        content_discard_layer(f->options->images, layer->diff_id);
        layer_release(f, layer);
        layer->tried_anew = true;
        layer->state = LAYER_WAITING;
        layer->blob_stored = false;
        layer->unpacked = (struct unpack_progress){ 0 };
        if (!err && !again)
                err = error_new(ERROR_BAD_REQUEST,
                                "layer %s: wrong digest: the registry sends something else (tried twice)", digest);
        return err;
}

static struct error *layer_step(struct fetch *f, struct layer *layer) {
        struct unpack_outcome outcome;
        struct error *err = NULL;

        if (layer->state == LAYER_WAITING || layer->state == LAYER_BLOCKED) {
                if (downloads_running(f) < f->downloads_most)
                        err = layer_begin(f, layer);
                if (err || layer->state != LAYER_FETCHING)
                        return err;
        }
        if (layer->state != LAYER_FETCHING)
                return NULL;
        if (layer->download && layer->download->error)
                return TAKE_PTR(layer->download->error);
        if (layer->job < 0 && unpack_may_begin(f))
                err = layer_unpack(f, layer);
        if (err || layer->job < 0)
                return err;
        uint64_t available = layer_available(layer);
        if (available != layer->told && unpacker_available(layer->job, available))
                layer->told = available;
        if (!unpacker_news(layer->job, &layer->unpacked, &outcome))
                return NULL;
        layer->job = fd_close(layer->job);
        if (outcome.blob_is_wrong) {
                error_free(outcome.error);
                return layer_fetch_anew(f, layer);
        }
        if (outcome.error)
                return outcome.error;
        return layer_commit(f, layer, &outcome);
}

static void show(struct fetch *f) {
        for (size_t i = 0; i < f->n; i++) {
                const struct layer *layer = &f->layers[i];
                const char *state = "waiting";
                uint64_t done = 0, total = layer->blob->size;

                if (layer->state == LAYER_READY || layer->state == LAYER_PRESENT) {
                        state = layer->state == LAYER_PRESENT ? "present" : "done";
                        done = total;
                } else if (layer->state == LAYER_BLOCKED) {
                        state = "elsewhere"; /* another program is at it */
                } else if (layer->state == LAYER_FETCHING) {
                        bool fetching = layer->download && !layer->download->done;
                        state = fetching ? layer->download->trouble ? "retrying" : "downloading" : "unpacking";
                        done = fetching ? layer->download->have : layer->unpacked.consumed;
                }
                progress_set(f->progress, i, digest_hex(layer->blob->digest), state, done, total);
        }
        progress_draw(f->progress);
}

static bool all_ready(const struct fetch *f) {
        for (size_t i = 0; i < f->n; i++)
                if (f->layers[i].state != LAYER_READY && f->layers[i].state != LAYER_PRESENT)
                        return false;
        return true;
}

/* Sleeps until the network or a child has something to say. */
static struct error *await(struct fetch *f) {
        int fds[64], timeout_ms = TICK_MS;
        struct pollfd polls[64];
        size_t n = 0;

        for (size_t i = 0; i < f->n; i++) {
                if (f->layers[i].job >= 0 && n < ARRAY_SIZE(fds))
                        fds[n++] = f->layers[i].job;
                if (f->layers[i].state == LAYER_BLOCKED)
                        timeout_ms = LOCK_RETRY_MS;
        }
        if (f->options->registry)
                return registry_step(f->options->registry, fds, n, timeout_ms);
        for (size_t i = 0; i < n; i++)
                polls[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
        poll(polls, n, timeout_ms);
        return NULL;
}

static struct error *run(struct fetch *f) {
        for (;;) {
                for (size_t i = 0; i < f->n; i++) {
                        struct error *err = layer_step(f, &f->layers[i]);
                        if (err)
                                return err;
                }
                show(f);
                if (all_ready(f))
                        return NULL;
                struct error *err = await(f);
                if (err)
                        return err;
        }
}

struct error *layer_record_read(const char *images, const char *diff_id, uint64_t *ret_size, char **ret_blob) {
        _cleanup_free_ char *folder = layout_layer(images, diff_id), *path = path_join(folder, "layer.json"),
                            *text = NULL;
        json_auto_t *json = NULL;
        struct error *err;
        size_t len;

        err = file_read(path, 1 << 20, &text, &len);
        if (err)
                return err;
        json = json_loadb(text, len, 0, NULL);
        const char *blob = json_string_value(json_object_get(json, "blob"));
        json_int_t size = json_integer_value(json_object_get(json, "size"));
        if (!digest_is_valid(blob) || size < 0)
                return error_new(ERROR_INTERNAL, "%s: not a layer record", path);
        *ret_size = size;
        if (ret_blob)
                *ret_blob = xstrdup(blob);
        return NULL;
}

static struct error *sum_up(struct fetch *f) {
        for (size_t i = 0; i < f->n; i++) {
                uint64_t size = 0;
                struct error *err = layer_record_read(f->options->images, f->layers[i].diff_id, &size, NULL);
                if (err)
                        return err;
                f->result.size += size;
                if (f->layers[i].state == LAYER_PRESENT)
                        f->result.layers_present++;
                else
                        f->result.layers_fetched++;
        }
        return NULL;
}

struct error *fetch_layers(const struct fetch_options *options, const struct descriptor *layers, char *const *diff_ids,
                           size_t n, struct fetch_result *ret) {
        _cleanup_free_ struct layer *list = xcalloc(n + 1, sizeof(*list));
        struct fetch f = { .options = options, .layers = list };
        _cleanup_progress_ struct progress *progress = NULL;
        struct error *err;

        for (size_t i = 0; i < n; i++) {
                bool repeated = false; /* the same layer twice in one image: once is enough */
                for (size_t j = 0; j < f.n; j++)
                        repeated = repeated || streq(list[j].diff_id, diff_ids[i]);
                if (!repeated)
                        list[f.n++] = (struct layer){ .blob = &layers[i],
                                                      .diff_id = diff_ids[i],
                                                      .root = -EBADF,
                                                      .lock = -EBADF,
                                                      .blob_fd = -EBADF,
                                                      .job = -EBADF };
        }
        f.downloads_most = options->parallel_downloads > 0 ? options->parallel_downloads : DOWNLOADS;
        /* More than processors: some wait for the disk, to which each syncs its layer at the end. */
        f.unpacks_most = options->parallel_unpacks > 0 ? options->parallel_unpacks : processors() + 2;
        f.unpacks_most = MIN(f.unpacks_most, UNPACKS_MOST);
        f.busy_most = MIN(processors(), f.unpacks_most);
        f.progress = progress = progress_new(options->progress, f.n);
        err = run(&f);
        for (size_t i = 0; i < f.n; i++) {
                bool ours = list[i].lock >= 0;
                layer_release(&f, &list[i]);
                if (ours) /* failed, here or elsewhere; the downloaded part of a blob stays for the next try */
                        content_discard_layer(options->images, list[i].diff_id);
        }
        if (!err)
                err = sum_up(&f);
        if (!err)
                *ret = f.result;
        return err;
}
