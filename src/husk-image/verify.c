/* husk-image verify [IMAGE…] [--repair]
 *
 * Every reference must lead to an image, every manifest, configuration and kept blob must have its digest, and every
 * layer folder must be, file by file, what its blob unpacks to. A damaged or missing folder is unpacked anew, a lost
 * record made anew from the configuration; an image that cannot be put right loses its record and names, so that it
 * counts as not present and is pulled again. */
#include <fcntl.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/fetch.h"
#include "husk-image/find.h"
#include "husk-image/options.h"
#include "husk-image/unpacker.h"
#include "image/layout.h"
#include "image/manifest.h"

struct verify {
        struct context *context;
        struct unpacker *unpacker;
        json_t *problems;
        char **checked; /* digests and diff IDs that were looked at */
        size_t layers, blobs, unchecked;
        bool lost; /* something stays wrong */
};

static void report(struct verify *v, const char *what, const char *problem, bool repaired) {
        json_array_append_new(v->problems,
                              json_pack("{s:s, s:s, s:b}", "what", what, "problem", problem, "repaired", repaired));
        if (!repaired)
                v->lost = true;
        if (!v->context->options->json)
                printf("%s: %s%s\n", what, problem, repaired ? " (repaired)" : "");
}

static bool is_first_look(struct verify *v, const char *digest) {
        if (strv_contains(v->checked, digest))
                return false;
        v->checked = strv_add(v->checked, digest);
        return true;
}

/* --- comparing trees ---------------------------------------------------------------------------------------------- */

/* Where at or behind `from` a file has data; its end if there is only a hole. */
static off_t next_data(int fd, off_t from, off_t end) {
        off_t at = lseek(fd, from, SEEK_DATA);

        return at >= 0 ? at : errno == ENXIO ? end : from; /* a file system that knows no holes: all is data */
}

/* Of files of one size. Holes are passed over: an image may have one of a terabyte. */
static bool same_content(int fa, int fb, off_t size) {
        _cleanup_free_ char *pa = xmalloc(128 << 10), *pb = xmalloc(128 << 10);

        for (off_t at = 0;;) {
                at = MIN(next_data(fa, at, size), next_data(fb, at, size));
                if (at >= size)
                        return true;
                ssize_t na = pread(fa, pa, 128 << 10, at), nb = pread(fb, pb, 128 << 10, at);
                if (na <= 0 || na != nb || memcmp(pa, pb, na) != 0)
                        return false;
                at += na;
        }
}

static bool same_link(int a, int b, const char *name) {
        char ta[4096], tb[4096];
        ssize_t na = readlinkat(a, name, ta, sizeof(ta)), nb = readlinkat(b, name, tb, sizeof(tb));

        return na >= 0 && na == nb && !memcmp(ta, tb, na);
}

/* Attributes of a file or folder, by name and value, in the order of the list (which is the order they were set in). */
static bool same_xattrs(int a, int b) {
        char la[8192], lb[8192], va[4096], vb[4096];
        ssize_t na = flistxattr(a, la, sizeof(la)), nb = flistxattr(b, lb, sizeof(lb));

        if (na < 0 || na != nb)
                return na == nb;
        for (char *p = la; p < la + na; p += strlen(p) + 1) {
                ssize_t ka = fgetxattr(a, p, va, sizeof(va)), kb = fgetxattr(b, p, vb, sizeof(vb));
                if (ka != kb || (ka > 0 && memcmp(va, vb, ka) != 0))
                        return false;
        }
        return true;
}

static bool same_status(const struct stat *a, const struct stat *b) {
        return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
               a->st_rdev == b->st_rdev && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
               (S_ISDIR(a->st_mode) || a->st_size == b->st_size) && (S_ISDIR(a->st_mode) || a->st_nlink == b->st_nlink);
}

static bool same_tree(int a, int b, struct strbuf *path);

static bool same_entry(int a, int b, const char *name, struct strbuf *path) {
        struct stat sa, sb;

        if (fstatat(a, name, &sa, AT_SYMLINK_NOFOLLOW) < 0 || fstatat(b, name, &sb, AT_SYMLINK_NOFOLLOW) < 0 ||
            !same_status(&sa, &sb))
                return false;
        if (S_ISLNK(sa.st_mode))
                return same_link(a, b, name);
        if (!S_ISREG(sa.st_mode) && !S_ISDIR(sa.st_mode))
                return true;
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
        _cleanup_close_ int fa = openat(a, name, flags), fb = openat(b, name, flags);
        if (fa < 0 || fb < 0 || !same_xattrs(fa, fb))
                return false;
        return S_ISREG(sa.st_mode) ? same_content(fa, fb, sa.st_size) : same_tree(fa, fb, path);
}

static size_t count_names(int fd) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = copy < 0 ? NULL : fdopendir(copy);
        size_t n = 0;

        while (dir && readdir(dir))
                n++;
        if (dir)
                closedir(dir);
        return n;
}

/* True if both folders hold the same; else `path` names the first difference. */
static bool same_tree(int a, int b, struct strbuf *path) {
        int copy = openat(a, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *entry;
        size_t len = path->len, n = 0;
        bool same = dir != NULL;

        while (same && (entry = readdir(dir))) {
                n++;
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                strbuf_addf(path, "/%s", entry->d_name);
                same = same_entry(a, b, entry->d_name, path);
                if (same)
                        strbuf_truncate(path, len);
        }
        if (dir)
                closedir(dir);
        return same && n == count_names(b);
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

/* Unpacks a kept blob again, beside. *ret_wrong: the blob is damaged. */
static struct error *unpack_again(struct verify *v, const char *diff_id, const char *blob, int root, bool *ret_wrong,
                                  struct unpack_outcome *outcome) {
        struct unpack_job job = { .limits = v->context->options->limits };
        _cleanup_free_ char *path = layout_blob(v->context->images, blob);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC), socket = -EBADF;
        struct unpack_progress progress = { 0 };
        struct stat st;
        struct error *err;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(errno, "open %s", path);
        memcpy(job.digest, blob, DIGEST_TEXT);
        memcpy(job.diff_id, diff_id, DIGEST_TEXT);
        job.size = st.st_size;
        err = unpacker_begin(v->unpacker, &job, fd, root, &socket);
        if (err)
                return err;
        unpacker_available(socket, job.size);
        while (!unpacker_news(socket, &progress, outcome)) {
                struct pollfd wait = { .fd = socket, .events = POLLIN };
                poll(&wait, 1, 1000);
        }
        *ret_wrong = outcome->blob_is_wrong;
        if (!outcome->blob_is_wrong)
                return outcome->error;
        error_free(outcome->error);
        return NULL;
}

/* Puts the newly unpacked folder in the place of the old one. */
static struct error *replace_layer(struct verify *v, const char *diff_id, const char *blob,
                                   const struct unpack_outcome *o) {
        _cleanup_free_ char *place = layout_layer(v->context->images, diff_id);
        _cleanup_free_ char *grave = xasprintf("%s/ingest/gone-%s", v->context->images, digest_hex(diff_id));
        uint64_t size = 0;
        content_has_blob(v->context->images, blob, &size);
        json_auto_t *record = json_pack("{s:I, s:I, s:s, s:I}", "size", (json_int_t)o->size, "entries",
                                        (json_int_t)o->entries, "blob", blob, "blobSize", (json_int_t)size);
        struct error *err = remove_tree(grave);

        if (!err && rename(place, grave) < 0 && errno != ENOENT)
                err = error_errno(errno, "move %s away", place);
        if (!err)
                err = content_commit_layer(v->context->images, diff_id, record);
        return err ? err : remove_tree(grave);
}

static struct error *compare_layer(struct verify *v, const char *diff_id, const char *blob, int fresh,
                                   const struct unpack_outcome *outcome) {
        _cleanup_free_ char *place = layout_layer(v->context->images, diff_id), *fs = path_join(place, "fs");
        _cleanup_close_ int old = open(fs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_strbuf_ struct strbuf path = STRBUF_INIT;

        if (old >= 0 && same_tree(fresh, old, &path)) {
                content_discard_layer(v->context->images, diff_id);
                return NULL;
        }
        _cleanup_free_ char *problem = old < 0 ? xstrdup("the unpacked folder is missing")
                                               : xasprintf("the unpacked folder is not what its blob says: %.300s",
                                                           path.len ? strbuf_str(&path) : "/");
        for (char *p = problem; *p; p++) /* names are bytes, JSON is not */
                if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
                        *p = '?';
        struct error *err = NULL;
        if (v->context->options->repair)
                err = replace_layer(v, diff_id, blob, outcome);
        else
                content_discard_layer(v->context->images, diff_id);
        report(v, diff_id, problem, v->context->options->repair && !err);
        return err;
}

/* *ret_lost: neither folder nor blob can be relied on. */
static struct error *verify_layer(struct verify *v, const char *diff_id, const char *manifest_blob, bool *ret_lost) {
        const char *images = v->context->images;
        _cleanup_close_ int root = -EBADF, lock = -EBADF;
        _cleanup_free_ char *blob = NULL;
        struct unpack_outcome outcome = { 0 };
        struct error *err;
        uint64_t size;
        bool wrong = false;

        v->layers++;
        err = layer_record_read(images, diff_id, &size, &blob);
        if (err && !manifest_blob) {
                error_free(err);
                report(v, diff_id, "the layer is missing", false);
                *ret_lost = true;
                return NULL;
        }
        if (err)
                blob = xstrdup(manifest_blob);
        error_free(err);
        if (!content_has_blob(images, blob, NULL)) {
                _cleanup_free_ char *place = layout_layer(images, diff_id), *fs = path_join(place, "fs");
                if (file_exists(fs)) {
                        v->unchecked++; /* nothing to compare it with */
                } else {
                        report(v, diff_id, "the layer is missing, and so is its blob", false);
                        *ret_lost = true;
                }
                return NULL;
        }
        err = content_begin_layer(images, diff_id, &root, &lock);
        if (err || lock < 0)
                return err ? err : error_new(ERROR_UNAVAILABLE, "layer %s is just being worked on", diff_id);
        err = unpack_again(v, diff_id, blob, root, &wrong, &outcome);
        if (err || wrong) {
                content_discard_layer(images, diff_id);
                if (error_is(err, ERROR_EXHAUSTED))
                        return err; /* that is no fault of the layer's */
                report(v, blob, wrong ? "the blob is damaged: it has not its digest" : error_message(err), false);
                error_free(err);
                *ret_lost = true;
                if (v->context->options->repair) {
                        _cleanup_free_ char *path = layout_blob(images, blob);
                        unlink(path);
                }
                return NULL;
        }
        return compare_layer(v, diff_id, blob, root, &outcome);
}

/* --- images ------------------------------------------------------------------------------------------------------- */

static struct error *verify_blob(struct verify *v, const char *digest, size_t max, char **ret, size_t *ret_len) {
        v->blobs++;
        return content_read_blob(v->context->images, digest, max, ret, ret_len);
}

/* Lists the blobs a manifest gives for layers, or nothing if it cannot be read. */
static char **manifest_blobs(struct verify *v, const char *digest, const char *id, int depth) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_free_ char *text = NULL;
        char **blobs = NULL;
        size_t len;
        _cleanup_error_ struct error *err =
                content_read_blob(v->context->images, digest, MANIFEST_SIZE_MAX, &text, &len);

        if (!err)
                err = manifest_parse(text, len, NULL, &manifest);
        for (size_t i = 0; !err && i < manifest->n_entries; i++) {
                if (!manifest->is_index && streq(manifest->config.digest, id))
                        blobs = strv_add(blobs, manifest->entries[i].digest);
                else if (manifest->is_index && depth < 4 && !blobs)
                        blobs = manifest_blobs(v, manifest->entries[i].digest, id, depth + 1);
        }
        return blobs;
}

static void forget_image(struct verify *v, const char *id, const char *reference_path) {
        _cleanup_free_ char *path = layout_image(v->context->images, id);

        if (!v->context->options->repair)
                return;
        unlink(path);
        if (reference_path)
                unlink(reference_path);
}

/* `digest` of its manifest and `reference_path` may be NULL. */
static struct error *verify_image(struct verify *v, const char *id, const char *digest, const char *reference_path) {
        const char *images = v->context->images;
        _cleanup_strv_ char **diff_ids = NULL, **blobs = digest ? manifest_blobs(v, digest, id, 0) : NULL,
                            **recorded = NULL;
        _cleanup_free_ char *text = NULL;
        json_auto_t *config = NULL;
        bool lost = false;
        struct error *err;
        size_t len, n_layers = 0;

        if (!is_first_look(v, id))
                return NULL;
        err = verify_blob(v, id, CONFIG_SIZE_MAX, &text, &len);
        if (!err) {
                json_auto_t *json = json_loadb(text, len, 0, NULL);
                n_layers = json_array_size(json_object_get(json_object_get(json, "rootfs"), "diff_ids"));
                err = image_config_parse(text, len, n_layers, &config, &diff_ids);
        }
        if (err) {
                report(v, id, error_message(err), false);
                error_free(err);
                forget_image(v, id, reference_path);
                return NULL;
        }
        uint64_t total = 0;
        for (size_t i = 0; !err && diff_ids && diff_ids[i]; i++) {
                uint64_t size = 0;
                if (is_first_look(v, diff_ids[i]))
                        err = verify_layer(v, diff_ids[i], i < strv_len(blobs) ? blobs[i] : NULL, &lost);
                error_free(layer_record_read(images, diff_ids[i], &size, NULL));
                total += size;
        }
        if (err)
                return err;
        if (lost) {
                forget_image(v, id, reference_path);
                return NULL;
        }
        err = image_record_layers(images, id, &recorded);
        bool same = !err && strv_len(recorded) == strv_len(diff_ids);
        for (size_t i = 0; same && recorded[i]; i++)
                same = streq(recorded[i], diff_ids[i]);
        error_free(err);
        if (same)
                return NULL;
        err = v->context->options->repair ? image_record_write(images, id, config, diff_ids, total) : NULL;
        report(v, id, "the image's record is missing or wrong", v->context->options->repair && !err);
        return err;
}

static struct error *verify_reference(void *context, const struct reference *reference,
                                      const struct reference_record *record) {
        struct verify *v = context;
        _cleanup_free_ char *path = layout_reference(v->context->images, reference),
                            *name = reference_format(reference);
        _cleanup_free_ char *text = NULL;
        size_t len;
        struct error *err = verify_blob(v, record->digest, MANIFEST_SIZE_MAX, &text, &len);

        if (err) {
                report(v, name, error_message(err), false);
                if (v->context->options->repair)
                        unlink(path);
                error_free(err);
                return NULL;
        }
        return verify_image(v, record->id, record->digest, path);
}

static struct error *verify_all(struct verify *v) {
        _cleanup_strv_ char **ids = NULL;
        struct error *err = reference_each(v->context->images, verify_reference, v);

        if (!err)
                err = image_record_ids(v->context->images, &ids);
        for (size_t i = 0; !err && ids && ids[i]; i++)
                err = verify_image(v, ids[i], NULL, NULL);
        return err;
}

static struct error *verify_named(struct verify *v) {
        for (char **name = v->context->options->arguments; *name; name++) {
                _cleanup_image_ struct image *image = NULL;
                struct error *err = image_find(v->context, *name, &image);
                if (!err)
                        err = verify_image(v, image->id, image->digest, NULL);
                if (err)
                        return err;
        }
        return NULL;
}

static struct error *verify_run(struct verify *v) {
        struct error *err = v->context->options->arguments[0] ? verify_named(v) : verify_all(v);

        if (err)
                return err;
        if (v->context->options->json) {
                json_auto_t *json = json_pack("{s:i, s:i, s:i, s:O}", "layers", (int)v->layers, "blobs", (int)v->blobs,
                                              "unchecked", (int)v->unchecked, "problems", v->problems);
                _cleanup_free_ char *text = json_dumps(json, JSON_INDENT(2));
                puts(text);
        } else {
                printf("%zu layers and %zu manifests and configurations checked, %zu problems\n",
                       v->layers - v->unchecked, v->blobs, json_array_size(v->problems));
                if (v->unchecked)
                        printf("%zu layers could not be checked: their blobs are not kept\n", v->unchecked);
        }
        if (!v->lost)
                return NULL;
        return error_new(
                ERROR_BAD_REQUEST,
                v->context->options->repair
                        ? "some images were damaged beyond repair and count as not present now: pull or load them again"
                        : "the store is damaged: --repair puts right what can be");
}

struct error *verb_verify(struct context *context) {
        struct verify v = { .context = context, .problems = json_array() };
        _cleanup_close_ int lock = -EBADF;
        struct error *err;

        err = unpacker_start(&v.unpacker);
        if (!err)
                err = content_prepare(context->images);
        if (!err)
                err = content_lock(context->images, false, &lock);
        if (!err)
                err = content_sweep(context->images, 3);
        if (!err)
                err = verify_run(&v);
        unpacker_stop(v.unpacker);
        strv_free(v.checked);
        json_decref(v.problems);
        return err;
}
