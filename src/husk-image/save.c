/* husk-image save IMAGE…: an OCI archive that has docker's manifest.json beside, so that `docker load` takes it too. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/content.h"
#include "husk-image/fetch.h"
#include "husk-image/find.h"
#include "husk-image/options.h"
#include "image/layout.h"
#include "image/manifest.h"

#define BLOCK 512

struct save {
        const char *images;
        int fd;
        char **written; /* digests of the blobs that are in it */
        json_t *index, *docker;
};

static struct error *write_header(struct save *s, const char *name, uint64_t size) {
        char block[BLOCK] = { 0 };
        unsigned sum = 0;

        snprintf(block, 100, "%s", name);
        snprintf(block + 100, 8, "%07o", 0644);
        snprintf(block + 108, 8, "%07o", 0);
        snprintf(block + 116, 8, "%07o", 0);
        if (size <= 077777777777ULL) {
                snprintf(block + 124, 12, "%011llo", (unsigned long long)size);
        } else { /* base 256 */
                block[124] = (char)0x80;
                for (int i = 0; i < 8; i++)
                        block[135 - i] = (char)(size >> (8 * i));
        }
        snprintf(block + 136, 12, "%011o", 0);
        memset(block + 148, ' ', 8);
        block[156] = '0';
        memcpy(block + 257, "ustar\00000", 8);
        for (size_t i = 0; i < BLOCK; i++)
                sum += (unsigned char)block[i];
        snprintf(block + 148, 8, "%06o", sum);
        return fd_write_all(s->fd, block, BLOCK);
}

static struct error *write_padding(struct save *s, uint64_t size) {
        static const char zero[BLOCK];
        return fd_write_all(s->fd, zero, (BLOCK - size % BLOCK) % BLOCK);
}

static struct error *write_text(struct save *s, const char *name, const char *text) {
        struct error *err = write_header(s, name, strlen(text));

        if (!err)
                err = fd_write_all(s->fd, text, strlen(text));
        return err ? err : write_padding(s, strlen(text));
}

/* Copies a blob of the store, verifying it on the way: a damaged one must not be spread. */
static struct error *write_blob(struct save *s, const char *digest) {
        _cleanup_free_ char *path = layout_blob(s->images, digest),
                            *name = xasprintf("blobs/sha256/%s", digest_hex(digest));
        _cleanup_free_ char *buf = xmalloc(256 << 10);
        _cleanup_close_ int fd = -EBADF;
        char found[DIGEST_TEXT];
        struct error *err;
        struct hash hash;
        struct stat st;

        if (strv_contains(s->written, digest))
                return NULL;
        s->written = strv_add(s->written, digest);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_errno(errno, "open %s", path);
        err = write_header(s, name, st.st_size);
        hash_init(&hash);
        for (uint64_t left = st.st_size; !err && left;) {
                ssize_t n = read(fd, buf, MIN(left, (uint64_t)256 << 10));
                if (n <= 0)
                        return n < 0 ? error_errno(errno, "read %s", path)
                                     : error_new(ERROR_BAD_REQUEST, "%s: damaged", path);
                hash_add(&hash, buf, n);
                err = fd_write_all(s->fd, buf, n);
                left -= n;
        }
        hash_finish(&hash, found);
        if (!err && !streq(found, digest))
                err = error_new(ERROR_BAD_REQUEST,
                                "%s: wrong digest: damaged; `husk image verify --repair` looks after it", path);
        return err ? err : write_padding(s, st.st_size);
}

/* The manifest of an image, if the reference names one for which all blobs are here; else one of what is here (a layer
 * that came in another compression is the same layer). *ret_digest "" if it is made up and has to be stored. */
static struct error *find_manifest(struct save *s, const char *digest, const char *id, int depth, struct manifest **ret,
                                   char **ret_digest) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_free_ char *text = NULL;
        struct error *err;
        size_t len;

        err = content_read_blob(s->images, digest, MANIFEST_SIZE_MAX, &text, &len);
        if (!err)
                err = manifest_parse(text, len, NULL, &manifest);
        if (err)
                return err;
        if (manifest->is_index) {
                for (size_t i = 0; depth < 4 && i < manifest->n_entries && !*ret; i++)
                        if (content_has_blob(s->images, manifest->entries[i].digest, NULL)) {
                                err = find_manifest(s, manifest->entries[i].digest, id, depth + 1, ret, ret_digest);
                                if (err)
                                        return err;
                        }
                return NULL;
        }
        if (!streq(manifest->config.digest, id))
                return NULL;
        for (size_t i = 0; i < manifest->n_entries; i++)
                if (!content_has_blob(s->images, manifest->entries[i].digest, NULL))
                        return NULL;
        *ret = TAKE_PTR(manifest);
        *ret_digest = xstrdup(digest);
        return NULL;
}

/* Writes a manifest out of the layers' own records. */
static struct error *make_manifest(struct save *s, const char *id, char **ret_digest) {
        json_auto_t *layers = json_array(), *json = NULL;
        _cleanup_strv_ char **diff_ids = NULL;
        _cleanup_free_ char *text = NULL;
        char digest[DIGEST_TEXT];
        uint64_t size, blob_size;
        struct error *err = image_record_layers(s->images, id, &diff_ids);

        for (size_t i = 0; !err && diff_ids && diff_ids[i]; i++) {
                _cleanup_free_ char *blob = NULL;
                err = layer_record_read(s->images, diff_ids[i], &size, &blob);
                if (err)
                        break;
                if (!content_has_blob(s->images, blob, &blob_size))
                        return error_new(ERROR_NOT_FOUND, "the blob %s of a layer is not kept here any more", blob);
                json_array_append_new(layers,
                                      json_pack("{s:s, s:s, s:I}", "mediaType", content_layer_type(s->images, blob),
                                                "digest", blob, "size", (json_int_t)blob_size));
        }
        if (err)
                return err;
        if (!content_has_blob(s->images, id, &size))
                return error_new(ERROR_NOT_FOUND, "the configuration %s is missing", id);
        json = json_pack("{s:i, s:s, s:{s:s, s:s, s:I}, s:O}", "schemaVersion", 2, "mediaType", manifest_media_types[1],
                         "config", "mediaType", "application/vnd.oci.image.config.v1+json", "digest", id, "size",
                         (json_int_t)size, "layers", layers);
        text = json_dumps(json, JSON_COMPACT);
        err = content_write_blob(s->images, text, strlen(text), digest);
        *ret_digest = err ? NULL : xstrdup(digest);
        return err;
}

static struct error *save_manifest(struct save *s, const char *digest, const char *name) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *files = json_array();
        struct error *err;
        size_t len;

        err = content_read_blob(s->images, digest, MANIFEST_SIZE_MAX, &text, &len);
        if (!err)
                err = manifest_parse(text, len, NULL, &manifest);
        if (!err)
                err = write_blob(s, digest);
        if (!err)
                err = write_blob(s, manifest->config.digest);
        for (size_t i = 0; !err && i < manifest->n_entries; i++) {
                json_array_append_new(files, json_sprintf("blobs/sha256/%s", digest_hex(manifest->entries[i].digest)));
                err = write_blob(s, manifest->entries[i].digest);
        }
        if (err) {
                json_decref(files);
                return err;
        }
        json_t *entry = json_pack("{s:s, s:s, s:I}", "mediaType",
                                  manifest->media_type ? manifest->media_type : manifest_media_types[1], "digest",
                                  digest, "size", (json_int_t)len);
        if (name)
                json_object_set_new(entry, "annotations",
                                    json_pack("{s:s, s:s}", "org.opencontainers.image.ref.name", name,
                                              "io.containerd.image.name", name));
        json_array_append_new(s->index, entry);
        json_array_append_new(s->docker,
                              json_pack("{s:o, s:o, s:o}", "Config",
                                        json_sprintf("blobs/sha256/%s", digest_hex(manifest->config.digest)),
                                        "RepoTags", name && !strchr(name, '@') ? json_pack("[s]", name) : json_array(),
                                        "Layers", files));
        return NULL;
}

static struct error *save_image(struct context *context, struct save *s, const char *argument) {
        _cleanup_manifest_ struct manifest *manifest = NULL;
        _cleanup_image_ struct image *image = NULL;
        _cleanup_free_ char *digest = NULL;
        struct error *err;

        err = image_find(context, argument, &image);
        if (!err && image->digest)
                err = find_manifest(s, image->digest, image->id, 0, &manifest, &digest);
        if (!err && !digest)
                err = make_manifest(s, image->id, &digest);
        return err ? err : save_manifest(s, digest, image->reference);
}

static struct error *save_all(struct context *context, struct save *s) {
        json_auto_t *index = NULL;
        _cleanup_free_ char *text = NULL, *docker = NULL;
        static const char zero[2 * BLOCK];
        struct error *err = write_text(s, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");

        for (char **argument = context->options->arguments; !err && *argument; argument++)
                err = error_context(save_image(context, s, *argument), "save \"%s\"", *argument);
        if (err)
                return err;
        index = json_pack("{s:i, s:s, s:O}", "schemaVersion", 2, "mediaType", manifest_media_types[0], "manifests",
                          s->index);
        text = json_dumps(index, JSON_COMPACT);
        docker = json_dumps(s->docker, JSON_COMPACT);
        err = write_text(s, "index.json", text);
        if (!err)
                err = write_text(s, "manifest.json", docker);
        return err ? err : fd_write_all(s->fd, zero, sizeof(zero));
}

struct error *verb_save(struct context *context) {
        const char *output = context->options->output;
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int lock = -EBADF, fd = -EBADF;
        struct error *err;

        if (output && !streq(output, "-")) {
                temporary = xasprintf("%s.%d.part", output, getpid());
                fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                if (fd < 0)
                        return error_errno(errno, "create %s", temporary);
        } else if (isatty(STDOUT_FILENO)) {
                return error_new(ERROR_INTERNAL, "standard output is a terminal: use --output FILE");
        }
        struct save s = { .images = context->images,
                          .fd = fd < 0 ? STDOUT_FILENO : fd,
                          .index = json_array(),
                          .docker = json_array() };
        err = content_prepare(context->images);
        if (!err)
                err = content_lock(context->images, false, &lock);
        if (!err)
                err = save_all(context, &s);
        if (!err && temporary && (fsync(fd) < 0 || rename(temporary, output) < 0))
                err = error_errno(errno, "write %s", output);
        if (err && temporary)
                unlink(temporary);
        strv_free(s.written);
        json_decref(s.index);
        json_decref(s.docker);
        return err;
}
