#include "image/layout.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/file.h"
#include "base/str.h"

#define RECORD_MAX (4 << 20)
/* A repository name has at most 255 characters, so at most 127 parts below the domain, then _tag and the tag. */
#define REFERENCE_DEPTH_MAX 140

char *layout_root(const struct store *store) {
        return path_join(store->root, "images");
}

char *layout_blob(const char *images, const char *digest) {
        return xasprintf("%s/blobs/sha256/%s", images, digest_hex(digest));
}

char *layout_image(const char *images, const char *id) {
        return xasprintf("%s/images/sha256/%s.json", images, digest_hex(id));
}

char *layout_layer(const char *images, const char *diff_id) {
        return xasprintf("%s/layers/sha256/%s", images, digest_hex(diff_id));
}

char *layout_reference(const char *images, const struct reference *r) {
        /* "_tag" and "_digest" cannot be parts of a repository's name: those begin with a letter or a digit. */
        if (r->digest)
                return xasprintf("%s/references/%s/%s/_digest/%s", images, r->domain, r->path, r->digest);
        return xasprintf("%s/references/%s/%s/_tag/%s", images, r->domain, r->path, r->tag);
}

static char *string_of(const json_t *object, const char *key) {
        return xstrdup(json_string_value(json_object_get(object, key)));
}

static char **strings_of(const json_t *object, const char *key) {
        json_t *value;
        char **v = NULL;
        size_t i;

        json_array_foreach(json_object_get(object, key), i, value) if (json_is_string(value)) v =
                strv_add(v, json_string_value(value));
        return v;
}

static struct error *read_json(const char *path, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        struct error *err;
        size_t len;

        err = file_read(path, RECORD_MAX, &text, &len);
        if (err)
                return err;
        *ret = json_loadb(text, len, 0, NULL);
        if (!*ret)
                return error_new(ERROR_INTERNAL, "%s: not valid JSON; `husk image verify --repair` puts it right",
                                 path);
        return NULL;
}

static struct error *write_json(const char *path, const json_t *json) {
        _cleanup_free_ char *text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII), *folder = xstrdup(path);
        struct error *err = NULL;

        if (!text)
                return error_new(ERROR_INTERNAL, "%s: cannot be written as JSON", path);
        *strrchr(folder, '/') = '\0';
        /* A folder that was just emptied may be removed by somebody else between the two steps: then once more. */
        for (int tries = 0; tries < 5; tries++) {
                error_free(err);
                err = mkdir_parents(folder, 0700);
                if (!err)
                        err = file_replace(path, text, strlen(text), 0600, FILE_DURABLE);
                if (!error_is(err, ERROR_NOT_FOUND))
                        break;
        }
        return err;
}

struct error *reference_record_read(const char *path, struct reference_record *ret) {
        _cleanup_reference_record_ struct reference_record record = { 0 };
        json_auto_t *json = NULL;
        struct error *err;

        err = read_json(path, &json);
        if (err)
                return err;
        record.digest = string_of(json, "digest");
        record.id = string_of(json, "image");
        record.implied = json_is_true(json_object_get(json, "implied"));
        record.pinned = json_is_true(json_object_get(json, "pinned"));
        record.loaded = json_is_true(json_object_get(json, "loaded"));
        if (!digest_is_valid(record.digest) || !digest_is_valid(record.id))
                return error_new(ERROR_INTERNAL, "%s: not a reference record", path);
        *ret = record;
        record = (struct reference_record){ 0 };
        return NULL;
}

struct error *reference_record_write(const char *path, const struct reference_record *record) {
        json_auto_t *json = json_pack("{s:s, s:s}", "digest", record->digest, "image", record->id);

        if (record->implied)
                json_object_set_new(json, "implied", json_true());
        if (record->pinned)
                json_object_set_new(json, "pinned", json_true());
        if (record->loaded)
                json_object_set_new(json, "loaded", json_true());
        return write_json(path, json);
}

void references_tell_changed(const char *images) {
        _cleanup_free_ char *folder = path_join(images, "references");

        (void)!utimensat(AT_FDCWD, folder, NULL, AT_SYMLINK_NOFOLLOW); /* whoever waits looks again later anyway */
}

void reference_record_release(struct reference_record *record) {
        free(record->digest);
        free(record->id);
}

struct reference_walk {
        reference_function f;
        void *context;
        struct strbuf name; /* repository so far: "docker.io/library/redis" */
};

/* One file below _tag or _digest. */
static struct error *visit_record(struct reference_walk *walk, int fd, const char *file, char separator) {
        _cleanup_free_ char *text = xasprintf("%s%c%s", strbuf_str(&walk->name), separator, file);
        _cleanup_reference_record_ struct reference_record record = { 0 };
        _cleanup_reference_ struct reference *reference = NULL;
        _cleanup_error_ struct error *skipped = reference_parse(text, &reference);

        if (skipped)
                return NULL; /* a temporary file, or nothing of ours */
        _cleanup_free_ char *path = xasprintf("/proc/self/fd/%d/%s", fd, file);
        skipped = reference_record_read(path, &record);
        if (skipped)
                return NULL;
        return walk->f(walk->context, reference, &record);
}

static struct error *walk_references(struct reference_walk *walk, int dirfd_, const char *folder, int depth);

static struct error *visit_entry(struct reference_walk *walk, int fd, const char *name, int depth) {
        struct error *err;

        if (depth == REFERENCE_DEPTH_MAX)
                return NULL;
        if (streq(name, "_tag") || streq(name, "_digest")) {
                char separator = streq(name, "_tag") ? ':' : '@';
                int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                DIR *dir = sub < 0 ? NULL : fdopendir(sub);
                if (!dir) {
                        fd_close(sub);
                        return NULL;
                }
                struct dirent *entry;
                err = NULL;
                while (!err && (entry = readdir(dir)))
                        if (entry->d_name[0] != '.')
                                err = visit_record(walk, sub, entry->d_name, separator);
                closedir(dir);
                return err;
        }
        size_t len = walk->name.len;
        strbuf_addf(&walk->name, "%s%s", len ? "/" : "", name);
        err = walk_references(walk, fd, name, depth + 1);
        strbuf_truncate(&walk->name, len);
        return err;
}

static struct error *walk_references(struct reference_walk *walk, int parent, const char *folder, int depth) {
        struct error *err = NULL;
        struct dirent *entry;
        int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir) {
                int saved = errno;
                fd_close(fd);
                return saved == ENOENT || saved == ENOTDIR || saved == ELOOP ? NULL
                                                                             : error_errno(saved, "open %s", folder);
        }
        while (!err && (entry = readdir(dir)))
                if (entry->d_name[0] != '.')
                        err = visit_entry(walk, fd, entry->d_name, depth);
        closedir(dir);
        return err;
}

struct error *reference_each(const char *images, reference_function f, void *context) {
        struct reference_walk walk = { .f = f, .context = context };
        _cleanup_free_ char *path = path_join(images, "references");
        struct error *err = walk_references(&walk, AT_FDCWD, path, 0);

        strbuf_release(&walk.name);
        return err;
}

/* Copies what a container is started from; nothing else of the configuration is kept here. Values of a wrong type
 * were refused when the configuration was parsed (manifest.h). */
static json_t *config_essentials(const json_t *config) {
        static const char *const same[] = { "Entrypoint", "Cmd", "Env", "User", "WorkingDir", "StopSignal" };
        static const char *const sets[] = { "Volumes", "ExposedPorts" }; /* Go's map[string]struct{} */
        json_t *result = json_object();

        for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
                json_t *value = json_object_get(config, same[i]);
                if (value && !json_is_null(value))
                        json_object_set(result, same[i], value);
        }
        for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
                json_t *value = json_object_get(config, sets[i]), *keys, *ignored;
                const char *key;
                if (!json_is_object(value) || !json_object_size(value))
                        continue;
                keys = json_array();
                json_object_foreach(value, key, ignored) json_array_append_new(keys, json_string(key));
                json_object_set_new(result, sets[i], keys);
        }
        return result;
}

struct error *image_record_write(const char *images, const char *id, const json_t *config, char *const *diff_ids,
                                 uint64_t size) {
        static const char *const same[] = { "os", "architecture", "variant", "created" };
        json_auto_t *json = json_object();
        _cleanup_free_ char *path = layout_image(images, id);
        json_t *layers = json_array();

        for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
                json_t *value = json_object_get(config, same[i]);
                if (json_is_string(value))
                        json_object_set(json, same[i], value);
        }
        json_object_set_new(json, "size", json_integer((json_int_t)size));
        json_object_set_new(json, "config", config_essentials(json_object_get(config, "config")));
        for (size_t i = 0; diff_ids && diff_ids[i]; i++)
                json_array_append_new(layers, json_string(diff_ids[i]));
        json_object_set_new(json, "layers", layers);
        return write_json(path, json);
}

/* Turns diff IDs, lowermost first, into folders, uppermost first. Of a layer that is in the image twice only the upper
 * one counts (everything in the lower one is in the upper one too), and overlayfs refuses a folder given twice. */
static char **layer_folders(const char *images, char *const *diff_ids) {
        char **seen = NULL, **folders = NULL;

        for (size_t i = strv_len(diff_ids); i-- > 0;) {
                if (strv_contains(seen, diff_ids[i]))
                        continue;
                seen = strv_add(seen, diff_ids[i]);
                folders = strv_add_take(folders, xasprintf("%s/layers/sha256/%s/fs", images, digest_hex(diff_ids[i])));
        }
        strv_free(seen);
        return folders;
}

static bool digests_are_valid(char *const *digests) {
        for (size_t i = 0; digests && digests[i]; i++)
                if (!digest_is_valid(digests[i]))
                        return false;
        return true;
}

static struct image *image_of_record(const char *images, const char *id, const json_t *json) {
        const json_t *config = json_object_get(json, "config");
        _cleanup_strv_ char **diff_ids = strings_of(json, "layers");
        json_int_t size = json_integer_value(json_object_get(json, "size"));

        if (!diff_ids || strv_len(diff_ids) > IMAGE_LAYERS_MAX * 4 || !digests_are_valid(diff_ids) || size < 0)
                return NULL;
        struct image *image = new0(struct image);
        image->id = xstrdup(id);
        image->size = size;
        image->os = string_of(json, "os");
        image->architecture = string_of(json, "architecture");
        image->variant = string_of(json, "variant");
        image->created = string_of(json, "created");
        image->entrypoint = strings_of(config, "Entrypoint");
        image->cmd = strings_of(config, "Cmd");
        image->env = strings_of(config, "Env");
        image->user = string_of(config, "User");
        image->working_dir = string_of(config, "WorkingDir");
        image->stop_signal = string_of(config, "StopSignal");
        image->volumes = strings_of(config, "Volumes");
        image->exposed_ports = strings_of(config, "ExposedPorts");
        image->layers = layer_folders(images, diff_ids);
        return image;
}

struct image *image_record_parse(const char *images, const char *id, const char *text, size_t len) {
        json_auto_t *json = json_loadb(text, len, 0, NULL);

        return json ? image_of_record(images, id, json) : NULL;
}

struct error *image_record_read(const char *images, const char *id, struct image **ret) {
        _cleanup_free_ char *path = layout_image(images, id);
        json_auto_t *json = NULL;
        struct error *err = read_json(path, &json);

        if (err)
                return err;
        struct image *image = image_of_record(images, id, json);
        if (!image)
                return error_new(ERROR_INTERNAL, "%s: not an image record; `husk image verify --repair` puts it right",
                                 path);
        *ret = image;
        return NULL;
}

struct error *image_record_layers(const char *images, const char *id, char ***ret) {
        _cleanup_free_ char *path = layout_image(images, id);
        json_auto_t *json = NULL;
        struct error *err = read_json(path, &json);

        if (err)
                return err;
        char **layers = strings_of(json, "layers");
        if (!digests_are_valid(layers)) {
                strv_free(layers);
                return error_new(ERROR_INTERNAL, "%s: not an image record", path);
        }
        *ret = layers;
        return NULL;
}

struct error *image_record_ids(const char *images, char ***ret) {
        _cleanup_free_ char *path = path_join(images, "images/sha256");
        char **ids = NULL;
        struct dirent *entry;
        DIR *dir = opendir(path);

        if (!dir && errno != ENOENT)
                return error_errno(errno, "open %s", path);
        while (dir && (entry = readdir(dir))) {
                if (strlen(entry->d_name) != 64 + 5 || !str_ends_with(entry->d_name, ".json"))
                        continue;
                _cleanup_free_ char *id = xasprintf("sha256:%.64s", entry->d_name);
                if (digest_is_valid(id))
                        ids = strv_add(ids, id);
        }
        if (dir)
                closedir(dir);
        *ret = ids;
        return NULL;
}
