#include "husk-image/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/inflate.h"
#include "husk-image/tar.h"
#include "image/layout.h"

#define FILES_MAX 20000
#define READ_SIZE (256 << 10)

struct archive *archive_free(struct archive *a) {
        if (!a)
                return NULL;
        for (size_t i = 0; i < a->n_files; i++) {
                free(a->files[i].path);
                free(a->files[i].link);
        }
        free(a->files);
        free(a->index);
        free(a->docker);
        free(a);
        return NULL;
}

/* "a/b" of "./a//x/../b"; what leads out of the archive is refused. */
static struct error *clean(const char *path, char **ret) {
        _cleanup_strv_ char **parts = strv_split(path, '/');
        _cleanup_strv_ char **kept = xcalloc(strv_len(parts) + 1, sizeof(char *));
        size_t n = 0;

        for (size_t i = 0; parts && parts[i]; i++) {
                if (streq(parts[i], "") || streq(parts[i], "."))
                        continue;
                if (!streq(parts[i], "..")) {
                        kept[n++] = TAKE_PTR(parts[i]);
                        /* strv_free() stops at a NULL: keep the list whole */
                        parts[i] = xstrdup("");
                } else if (n) {
                        free(TAKE_PTR(kept[n - 1]));
                        n--;
                } else {
                        return error_new(ERROR_BAD_REQUEST, "%.300s: a name that leads out of the archive", path);
                }
        }
        *ret = n ? strv_join(kept, "/") : xstrdup("");
        return NULL;
}

static struct archive_file *find_file(const struct archive *a, const char *path) {
        for (size_t i = 0; i < a->n_files; i++)
                if (streq(a->files[i].path, path))
                        return &a->files[i];
        return NULL;
}

/* Follows links of the archive. */
static struct archive_file *resolve_file(const struct archive *a, const char *path) {
        struct archive_file *file = find_file(a, path);

        for (int i = 0; file && file->link; i++)
                file = i < 8 ? find_file(a, file->link) : NULL;
        return file;
}

static struct archive_file *add_file(struct archive *a, char *path) {
        if (a->n_files % 64 == 0)
                a->files = xreallocarray(a->files, a->n_files + 64, sizeof(*a->files));
        a->files[a->n_files] = (struct archive_file){ .path = path };
        return &a->files[a->n_files++];
}

/* --- one file into the store ------------------------------------------------------------------------------------ */

/* Gives the next piece of a file's content; len 0 at its end. */
typedef struct error *(*piece_source)(void *context, const uint8_t **data, size_t *len);

static struct error *read_text(piece_source source, void *context, size_t max, char **ret, size_t *ret_len) {
        struct strbuf text = STRBUF_INIT;
        const uint8_t *data = NULL;
        struct error *err;
        size_t len = 0;

        for (;;) {
                err = source(context, &data, &len);
                if (err || !len)
                        break;
                if (text.len + len > max) {
                        err = error_new(ERROR_BAD_REQUEST, "larger than %zu MiB", max >> 20);
                        break;
                }
                strbuf_add(&text, data, len);
        }
        if (err) {
                strbuf_release(&text);
                return err;
        }
        free(*ret);
        *ret_len = text.len;
        *ret = strbuf_take(&text);
        return NULL;
}

static struct error *store_content(piece_source source, void *context, int fd, struct archive_file *file) {
        const uint8_t *data = NULL;
        struct hash hash;
        size_t len = 0;

        hash_init(&hash);
        for (;;) {
                struct error *err = source(context, &data, &len);
                if (err)
                        return err;
                if (!len)
                        break;
                hash_add(&hash, data, len);
                err = fd_write_all(fd, data, len);
                if (err)
                        return err;
                file->size += len;
        }
        hash_finish(&hash, file->digest);
        return NULL;
}

/* Stores a file's content as a blob. */
static struct error *store_file(const char *images, piece_source source, void *context, struct archive_file *file) {
        _cleanup_free_ char *path = NULL, *blob = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct error *err;

        err = content_begin_unnamed(images, &path, &fd);
        if (err)
                return err;
        err = store_content(source, context, fd, file);
        if (!err && str_starts_with(file->path, "blobs/sha256/") && !streq(file->path + 13, digest_hex(file->digest)))
                err = error_new(ERROR_BAD_REQUEST, "wrong digest: its content has %s", file->digest);
        if (!err && content_has_blob(images, file->digest, NULL)) {
                unlink(path);
                return NULL;
        }
        if (!err && fdatasync(fd) < 0)
                err = error_errno(errno, "sync");
        blob = err ? NULL : layout_blob(images, file->digest);
        if (!err && rename(path, blob) < 0)
                err = error_errno(errno, "rename");
        if (err)
                unlink(path);
        else
                file->is_new = true;
        return err;
}

/* Takes one regular file of the archive. */
static struct error *take_file(const char *images, struct archive *a, char *path, piece_source source, void *context) {
        struct error *err = NULL;

        if (a->n_files == FILES_MAX) {
                free(path);
                return error_new(ERROR_BAD_REQUEST, "more than %d files: this is no image archive", FILES_MAX);
        }
        if (streq(path, "index.json")) {
                a->is_oci = true;
                err = read_text(source, context, MANIFEST_SIZE_MAX, &a->index, &a->index_len);
        } else if (streq(path, "manifest.json")) {
                err = read_text(source, context, MANIFEST_SIZE_MAX, &a->docker, &a->docker_len);
        } else if (!streq(path, "oci-layout") && !streq(path, "repositories") && !str_ends_with(path, "/VERSION")) {
                struct archive_file *file = add_file(a, path);
                err = store_file(images, source, context, file);
                return error_context(err, "%.300s", path);
        }
        err = error_context(err, "%.300s", path);
        free(path);
        return err;
}

/* --- tar -------------------------------------------------------------------------------------------------------- */

struct stream {
        int fd;
        uint64_t left; /* bytes that may still come */
        struct inflate *inflate;
        struct tar tar;
        uint8_t buf[READ_SIZE];
};

static struct error *stream_read(void *context, const uint8_t **data, size_t *len) {
        struct stream *s = context;
        ssize_t n;

        do
                n = read(s->fd, s->buf, sizeof(s->buf));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return error_errno(errno, "read");
        *data = s->buf;
        *len = n;
        return NULL;
}

static struct error *stream_inflated(void *context, const uint8_t **data, size_t *len) {
        struct stream *s = context;
        struct error *err = inflate_read(s->inflate, data, len);

        if (!err && *len > s->left)
                return error_new(ERROR_EXHAUSTED, "the archive is larger than allowed (--max-size)");
        if (!err)
                s->left -= *len;
        return err;
}

static struct error *tar_piece_read(void *context, const uint8_t **data, size_t *len) {
        struct tar_chunk chunk;
        struct error *err = tar_data(context, &chunk);

        *data = chunk.data;
        *len = err ? 0 : chunk.len;
        return err;
}

static struct error *take_link(struct archive *a, const struct tar_entry *entry, char *path) {
        _cleanup_free_ char *target = NULL;
        const char *slash = strrchr(path, '/');

        if (entry->type == TAR_SYMLINK && slash)
                target = xasprintf("%.*s/%s", (int)(slash - path), path, entry->link);
        else
                target = xstrdup(entry->link);
        struct archive_file *file = add_file(a, path);
        return clean(target, &file->link);
}

static struct error *take_entry(const char *images, struct archive *a, struct tar *tar, const struct tar_entry *entry) {
        char *path;
        struct error *err = clean(entry->path, &path);

        if (err)
                return err;
        if (entry->type == TAR_FILE)
                return take_file(images, a, path, tar_piece_read, tar);
        if ((entry->type == TAR_SYMLINK || entry->type == TAR_HARD_LINK) && a->n_files < FILES_MAX)
                return take_link(a, entry, path);
        free(path);
        return NULL; /* folders say nothing */
}

static struct error *read_tar(const char *images, struct archive *a, int fd, uint64_t max) {
        _cleanup_free_ struct stream *s = new0(struct stream);
        struct tar_entry *entry;
        struct error *err;

        s->fd = fd;
        s->left = max;
        s->inflate = inflate_new(stream_read, s);
        tar_init(&s->tar, stream_inflated, s);
        while (!(err = tar_next(&s->tar, &entry)) && entry) {
                err = take_entry(images, a, &s->tar, entry);
                if (err)
                        break;
        }
        tar_release(&s->tar);
        inflate_free(s->inflate);
        return err;
}

/* --- layout folder ---------------------------------------------------------------------------------------------- */

struct folder_file {
        int fd;
        uint8_t buf[READ_SIZE];
};

static struct error *folder_piece_read(void *context, const uint8_t **data, size_t *len) {
        struct folder_file *file = context;
        ssize_t n = read(file->fd, file->buf, sizeof(file->buf));

        if (n < 0)
                return error_errno(errno, "read");
        *data = file->buf;
        *len = n;
        return NULL;
}

static struct error *take_folder_file(const char *images, struct archive *a, int folder, const char *path,
                                      bool optional) {
        _cleanup_free_ struct folder_file *file = new0(struct folder_file);
        _cleanup_close_ int fd = file->fd = open_in_root(folder, path, O_RDONLY | O_NONBLOCK, 0);
        struct stat st;

        if (fd == -ENOENT && optional)
                return NULL;
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(fd < 0 ? -fd : errno, "open %s", path);
        return S_ISREG(st.st_mode) ? take_file(images, a, xstrdup(path), folder_piece_read, file) : NULL;
}

static struct error *read_folder(const char *images, struct archive *a, int folder) {
        struct error *err = take_folder_file(images, a, folder, "index.json", true);
        struct dirent *entry;

        if (err)
                return err;
        int fd = open_in_root(folder, "blobs/sha256", O_RDONLY | O_DIRECTORY, 0);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        while (dir && !err && (entry = readdir(dir))) {
                _cleanup_free_ char *path = path_join("blobs/sha256", entry->d_name);
                if (entry->d_name[0] != '.')
                        err = take_folder_file(images, a, folder, path, false);
        }
        if (dir)
                closedir(dir);
        return err;
}

struct error *archive_read(const char *images, int fd, bool is_folder, uint64_t max, struct archive **ret) {
        struct archive *a = new0(struct archive);
        struct error *err = is_folder ? read_folder(images, a, fd) : read_tar(images, a, fd, max);

        if (!err && !a->index && !a->docker)
                err = error_new(ERROR_BAD_REQUEST, "no image archive: neither index.json nor manifest.json in it");
        *ret = a; /* also of a failed one the caller removes what came into the store */
        return err;
}

/* --- what images are in it -------------------------------------------------------------------------------------- */

void archive_images_free(struct archive_image *list, size_t n) {
        for (size_t i = 0; list && i < n; i++) {
                free(list[i].text);
                free(list[i].type);
                free(list[i].tag);
                strv_free(list[i].names);
        }
        free(list);
}

struct image_list {
        struct archive_image *list;
        size_t n;
};

/* Names in annotations: containerd's is always whole; the OCI one may be whole ("localhost/app:1", as podman and skopeo
 * write it) or only a tag ("latest", as docker does). */
static void take_names(struct archive_image *image, const struct descriptor *d) {
        if (d->containerd_name && !strv_contains(image->names, d->containerd_name))
                image->names = strv_add(image->names, d->containerd_name);
        if (d->containerd_name || !d->ref_name)
                return;
        if (!strpbrk(d->ref_name, "/:")) {
                free(image->tag);
                image->tag = xstrdup(d->ref_name);
        } else if (!strv_contains(image->names, d->ref_name)) {
                image->names = strv_add(image->names, d->ref_name);
        }
}

static struct error *oci_images(const char *images, const struct archive *a, struct image_list *out) {
        _cleanup_manifest_ struct manifest *index = NULL;
        struct error *err = manifest_parse(a->index, a->index_len, NULL, &index);

        if (err)
                return error_context(err, "index.json");
        if (!index->is_index)
                return error_new(ERROR_BAD_REQUEST, "index.json is not an index");
        out->list = xcalloc(index->n_entries + 1, sizeof(*out->list));
        for (size_t i = 0; i < index->n_entries; i++) {
                const struct descriptor *d = &index->entries[i];
                if (d->is_attestation)
                        continue;
                struct archive_image *image = &out->list[out->n++];
                take_names(image, d);
                image->type = xstrdup(d->media_type);
                err = content_read_blob(images, d->digest, MANIFEST_SIZE_MAX, &image->text, &image->len);
                if (error_is(err, ERROR_NOT_FOUND)) {
                        error_free(err);
                        err = error_new(ERROR_BAD_REQUEST, "%s is named in index.json, but missing in the archive",
                                        d->digest);
                }
                if (err)
                        return err;
        }
        return NULL;
}

static json_t *docker_descriptor(const struct archive_file *file, const char *type) {
        return json_pack("{s:s, s:s, s:I}", "mediaType", type, "digest", file->digest, "size", (json_int_t)file->size);
}

static struct error *docker_file(const struct archive *a, const json_t *name, const struct archive_file **ret) {
        _cleanup_free_ char *path = NULL;
        struct error *err;

        if (!json_is_string(name))
                return error_new(ERROR_BAD_REQUEST, "manifest.json: a file name is missing");
        err = clean(json_string_value(name), &path);
        if (err)
                return err;
        *ret = resolve_file(a, path);
        if (!*ret)
                return error_new(ERROR_BAD_REQUEST, "%.300s is named in manifest.json, but missing in the archive",
                                 path);
        return NULL;
}

/* One entry of docker's manifest.json becomes an OCI manifest of the same configuration and layers. */
static struct error *docker_image(const char *images, const struct archive *a, const json_t *entry,
                                  struct archive_image *image) {
        json_auto_t *layers = json_array(), *manifest = NULL;
        const struct archive_file *file;
        struct error *err;
        json_t *item;
        size_t i;

        json_array_foreach(json_object_get(entry, "RepoTags"), i, item) if (json_is_string(item)) image->names =
                strv_add(image->names, json_string_value(item));
        if (json_array_size(json_object_get(entry, "Layers")) > IMAGE_LAYERS_MAX)
                return error_new(ERROR_NOT_SUPPORTED, "the image has %zu layers; overlayfs takes at most %d",
                                 json_array_size(json_object_get(entry, "Layers")), IMAGE_LAYERS_MAX);
        json_array_foreach(json_object_get(entry, "Layers"), i, item) {
                err = docker_file(a, item, &file);
                if (err)
                        return err;
                json_array_append_new(layers, docker_descriptor(file, content_layer_type(images, file->digest)));
        }
        err = docker_file(a, json_object_get(entry, "Config"), &file);
        if (err)
                return err;
        image->type = xstrdup(manifest_media_types[1]);
        manifest = json_pack("{s:i, s:s, s:o, s:O}", "schemaVersion", 2, "mediaType", image->type, "config",
                             docker_descriptor(file, "application/vnd.oci.image.config.v1+json"), "layers", layers);
        image->text = json_dumps(manifest, JSON_COMPACT);
        image->len = strlen(image->text);
        return NULL;
}

static struct error *docker_images(const char *images, const struct archive *a, struct image_list *out) {
        json_auto_t *json = json_loadb(a->docker, a->docker_len, JSON_REJECT_DUPLICATES, NULL);
        struct error *err;
        json_t *entry;
        size_t i;

        if (!json_is_array(json) || json_array_size(json) > INDEX_ENTRIES_MAX)
                return error_new(ERROR_BAD_REQUEST, "malformed manifest.json");
        out->list = xcalloc(json_array_size(json) + 1, sizeof(*out->list));
        json_array_foreach(json, i, entry) {
                err = docker_image(images, a, entry, &out->list[out->n++]);
                if (err)
                        return err;
        }
        return NULL;
}

struct error *archive_images(const char *images, const struct archive *a, struct archive_image **ret, size_t *ret_n) {
        struct image_list out = { 0 };
        struct error *err = a->index ? oci_images(images, a, &out) : docker_images(images, a, &out);

        if (!err && !out.n)
                err = error_new(ERROR_BAD_REQUEST, "the archive holds no image");
        if (err) {
                archive_images_free(out.list, out.n);
                return err;
        }
        *ret = out.list;
        *ret_n = out.n;
        return NULL;
}
