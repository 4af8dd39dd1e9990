#include "husk-image/gc.h"

#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/fetch.h"
#include "image/access.h"
#include "image/layout.h"
#include "image/manifest.h"

void gc_result_release(struct gc_result *result) {
        strv_free(result->ids);
}

/* --- who uses images --------------------------------------------------------------------------------------------- */

/* A file that is not there is nothing; one that cannot be read is an error, for not knowing is no licence to remove. */
static struct error *gather_file(const char *folder, const char *uid, const char *file, char ***list) {
        _cleanup_free_ char *path = xasprintf("%s/pods/%s/%s", folder, uid, file), *text = NULL;
        size_t len;
        struct error *err = file_read(path, 16 << 20, &text, &len);

        if (error_is(err, ERROR_NOT_FOUND))
                return error_free(err);
        if (err)
                return err;
        json_auto_t *json = json_loadb(text, len, 0, NULL);
        if (!json)
                return error_new(ERROR_INTERNAL, "%s is damaged: which images its pod uses is not known", path);
        image_names_in(json, list);
        return NULL;
}

struct error *gc_in_use(const struct store *store, char ***ret) {
        const char *const folders[] = { store->root, store->run };

        struct error *err = NULL;

        for (size_t i = 0; !err && i < ARRAY_SIZE(folders); i++) {
                _cleanup_free_ char *path = path_join(folders[i], "pods");
                struct dirent *entry;
                DIR *dir = opendir(path);
                if (!dir && errno != ENOENT) /* not knowing is no licence to remove */
                        return error_errno(errno, "look for pods in %s", path);
                while (!err && dir && (entry = readdir(dir))) {
                        if (entry->d_name[0] == '.')
                                continue;
                        err = gather_file(folders[i], entry->d_name, "pod.json", ret);
                        if (!err)
                                err = gather_file(folders[i], entry->d_name, "status.json", ret);
                }
                if (dir)
                        closedir(dir);
        }
        return err;
}

bool gc_is_used(char *const *in_use, const char *id, char *const *names) {
        if (strv_contains(in_use, id))
                return true;
        for (size_t i = 0; names && names[i]; i++)
                if (strv_contains(in_use, names[i]))
                        return true;
        return false;
}

/* --- what is reachable ------------------------------------------------------------------------------------------- */

struct sets {
        const char *images;
        char **blobs, **layers; /* hex of what stays, sorted before use */
        size_t n_blobs, n_layers;
};

static void keep_blob(struct sets *s, const char *digest) {
        s->blobs = strv_add(s->blobs, digest_hex(digest));
}

static void keep_manifest(struct sets *s, const char *digest, int depth) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_error_ struct error *err = NULL;
        _cleanup_free_ char *text = NULL;
        size_t len;

        keep_blob(s, digest);
        err = content_read_blob(s->images, digest, MANIFEST_SIZE_MAX, &text, &len);
        if (!err)
                err = manifest_parse(text, len, NULL, &manifest);
        if (err || depth > 4)
                return;
        for (size_t i = 0; i < manifest->n_entries; i++) {
                uint64_t size;
                if (!content_has_blob(s->images, manifest->entries[i].digest, &size))
                        continue;
                if (manifest->is_index)
                        keep_manifest(s, manifest->entries[i].digest, depth + 1);
                else
                        keep_blob(s, manifest->entries[i].digest);
        }
        if (!manifest->is_index)
                keep_blob(s, manifest->config.digest);
}

static struct error *keep_reference(void *context, const struct reference *reference,
                                    const struct reference_record *record) {
        keep_manifest(context, record->digest, 0);
        return NULL;
}

static void keep_image(struct sets *s, const char *id) {
        _cleanup_strv_ char **diff_ids = NULL;
        _unused_ _cleanup_error_ struct error *err = image_record_layers(s->images, id, &diff_ids);

        keep_blob(s, id);
        for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
                _cleanup_free_ char *blob = NULL;
                uint64_t size;
                s->layers = strv_add(s->layers, digest_hex(diff_ids[i]));
                _cleanup_error_ struct error *unknown = layer_record_read(s->images, diff_ids[i], &size, &blob);
                if (!unknown)
                        keep_blob(s, blob);
        }
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_kept(char *const *sorted, size_t n, const char *name) {
        return n && bsearch(&name, sorted, n, sizeof(*sorted), compare);
}

/* --- removal ----------------------------------------------------------------------------------------------------- */

uint64_t disk_usage(const char *path) {
        char *paths[] = { (char *)path, NULL };
        FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
        uint64_t blocks = 0;
        FTSENT *entry;

        while (fts && (entry = fts_read(fts)))
                if (entry->fts_info != FTS_DP && entry->fts_info != FTS_NS &&
                    (entry->fts_statp->st_nlink == 1 || S_ISDIR(entry->fts_statp->st_mode)))
                        blocks += entry->fts_statp->st_blocks;
                else if (entry->fts_info == FTS_F) /* a file of several names counts by its share of each */
                        blocks += entry->fts_statp->st_blocks / entry->fts_statp->st_nlink;
        if (fts)
                fts_close(fts);
        return blocks * 512;
}

/* Removes what is not in the list from blobs/sha256 or layers/sha256. A layer first moves to ingest, so that a crash in
 * the middle of its removal leaves no half of it in its place. */
static struct error *remove_others(const char *images, const char *folder, char *const *kept, size_t n_kept,
                                   size_t *ret_count, uint64_t *ret_bytes) {
        _cleanup_free_ char *path = path_join(images, folder);
        struct error *err = NULL;
        struct dirent *entry;
        DIR *dir = opendir(path);

        if (!dir)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", path);
        while (!err && (entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, "..") || is_kept(kept, n_kept, entry->d_name))
                        continue;
                _cleanup_free_ char *from = path_join(path, entry->d_name);
                _cleanup_free_ char *grave = xasprintf("%s/ingest/gone-%s", images, entry->d_name);
                uint64_t bytes = disk_usage(from);
                err = remove_tree(grave);
                if (!err && rename(from, grave) < 0)
                        err = error_errno(errno, "move %s away", from);
                if (!err)
                        err = remove_tree(grave);
                if (err)
                        break;
                *ret_bytes += bytes;
                ++*ret_count;
        }
        closedir(dir);
        return err;
}

struct error *gc_collect_locked(const char *images, char *const *remove_ids, bool blobs_only, struct gc_result *ret) {
        struct sets s = { .images = images };
        _cleanup_strv_ char **ids = NULL;
        struct error *err = NULL;

        for (size_t i = 0; remove_ids && remove_ids[i]; i++) {
                _cleanup_free_ char *path = layout_image(images, remove_ids[i]);
                if (unlink(path) < 0 && errno != ENOENT)
                        return error_errno(errno, "remove %s", path);
                err = image_access_forget(images, remove_ids[i]);
                if (err)
                        return err;
                ret->ids = strv_add(ret->ids, remove_ids[i]);
                ret->images++;
        }
        err = image_record_ids(images, &ids);
        for (size_t i = 0; ids && ids[i]; i++)
                keep_image(&s, ids[i]);
        if (!err)
                err = reference_each(images, keep_reference, &s);
        s.n_blobs = strv_len(s.blobs);
        s.n_layers = strv_len(s.layers);
        if (s.n_blobs)
                qsort(s.blobs, s.n_blobs, sizeof(*s.blobs), compare);
        if (s.n_layers)
                qsort(s.layers, s.n_layers, sizeof(*s.layers), compare);
        if (!err && !blobs_only)
                err = remove_others(images, "layers/sha256", s.layers, s.n_layers, &ret->layers, &ret->bytes);
        if (!err)
                err = remove_others(images, "blobs/sha256", s.blobs, s.n_blobs, &ret->blobs, &ret->bytes);
        strv_free(s.blobs);
        strv_free(s.layers);
        return err;
}

struct error *gc_collect(const char *images, char *const *remove_ids, bool blobs_only, bool *ret_done,
                         struct gc_result *ret) {
        _cleanup_close_ int lock = -EBADF;
        struct error *err = content_prepare(images);

        if (!err)
                err = content_lock(images, true, &lock);
        *ret_done = !err && lock >= 0;
        if (!*ret_done)
                return err;
        return gc_collect_locked(images, remove_ids, blobs_only, ret);
}
