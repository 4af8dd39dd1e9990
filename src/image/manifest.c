#include "image/manifest.h"

#include <sys/utsname.h>

#include "base/str.h"
#include "image/reference.h"

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define DOCKER_INDEX "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_SCHEMA1 "application/vnd.docker.distribution.manifest.v1"

const char *const manifest_media_types[] = { OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST, NULL };

bool media_type_is_index(const char *media_type) {
        return media_type && (streq(media_type, OCI_INDEX) || streq(media_type, DOCKER_INDEX));
}

static bool media_type_is_manifest(const char *media_type) {
        return media_type && (streq(media_type, OCI_MANIFEST) || streq(media_type, DOCKER_MANIFEST));
}

/* Types of the configuration of an image. The last ones are what builders have sent for one, and nobody minds. */
static const char *const image_config_types[] = { "application/vnd.oci.image.config.v1+json",
                                                  "application/vnd.docker.container.image.v1+json",
                                                  "",
                                                  "application/octet-stream",
                                                  "application/json",
                                                  "text/html" };

static struct error *bad(const char *what, const char *why) {
        return error_new(ERROR_BAD_REQUEST, "malformed %s: %s", what, why);
}

static void descriptor_release(struct descriptor *d) {
        char *strings[] = { d->media_type, d->digest,         d->os, d->architecture, d->variant,
                            d->ref_name,   d->containerd_name };

        for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
                free(strings[i]);
        strv_free(d->urls);
}

struct manifest *manifest_free(struct manifest *manifest) {
        if (!manifest)
                return NULL;
        free(manifest->media_type);
        descriptor_release(&manifest->config);
        for (size_t i = 0; i < manifest->n_entries; i++)
                descriptor_release(&manifest->entries[i]);
        free(manifest->entries);
        free(manifest);
        return NULL;
}

/* A string member; NULL if absent, null or something else. */
static char *text_of(const json_t *object, const char *key) {
        return xstrdup(json_string_value(json_object_get(object, key)));
}

static struct error *descriptor_parse(const json_t *json, const char *what, struct descriptor *ret) {
        const json_t *platform = json_object_get(json, "platform"), *annotations = json_object_get(json, "annotations");
        const json_t *size = json_object_get(json, "size");
        json_t *url;
        size_t i;

        ret->media_type = text_of(json, "mediaType");
        ret->digest = text_of(json, "digest");
        if (!ret->digest)
                return bad(what, "a descriptor without digest");
        if (!digest_is_valid(ret->digest)) {
                if (str_starts_with(ret->digest, "sha512:"))
                        return error_new(ERROR_NOT_SUPPORTED, "%s: sha512 digests are not supported", what);
                return bad(what, "a digest that is not sha256: and 64 hexadecimal digits");
        }
        if (!json_is_integer(size) || json_integer_value(size) < 0)
                return bad(what, "a descriptor without size");
        ret->size = json_integer_value(size);
        ret->os = text_of(platform, "os");
        ret->architecture = text_of(platform, "architecture");
        ret->variant = text_of(platform, "variant");
        ret->ref_name = text_of(annotations, "org.opencontainers.image.ref.name");
        ret->containerd_name = text_of(annotations, "io.containerd.image.name");
        ret->is_attestation = json_object_get(annotations, "vnd.docker.reference.type") != NULL;
        json_array_foreach(json_object_get(json, "urls"), i, url) if (json_is_string(url) && i < 8) ret->urls =
                strv_add(ret->urls, json_string_value(url));
        return NULL;
}

static struct error *entries_parse(struct manifest *manifest, const json_t *array, const char *what, size_t max) {
        size_t n = json_array_size(array);

        if (!json_is_array(array))
                return bad(what, manifest->is_index ? "no list of manifests" : "no list of layers");
        if (n > max && manifest->is_index)
                return bad(what, "too many entries");
        if (n > max)
                return error_new(ERROR_NOT_SUPPORTED, "the image has %zu layers; overlayfs takes at most %zu", n, max);
        manifest->entries = xcalloc(n + 1, sizeof(*manifest->entries));
        for (size_t i = 0; i < n; i++) {
                manifest->n_entries = i + 1;
                struct error *err = descriptor_parse(json_array_get(array, i), what, &manifest->entries[i]);
                if (err)
                        return err;
        }
        return NULL;
}

/* Registries hold more than images: charts, signatures, models, in manifests of the same form. */
static struct error *check_is_image(const struct manifest *manifest, const char *artifact_type) {
        const char *type = manifest->config.media_type ?: "";
        bool is_image = false;

        for (size_t i = 0; i < ARRAY_SIZE(image_config_types); i++)
                is_image = is_image || streq(type, image_config_types[i]);
        if (!is_image || !str_empty(artifact_type))
                return error_new(ERROR_NOT_SUPPORTED, "it is no container image, but an artifact of type %.200s",
                                 str_empty(artifact_type) ? type : artifact_type);
        for (size_t i = 0; i < manifest->n_entries; i++) {
                type = manifest->entries[i].media_type ?: "";
                if (strstr(type, "encrypted"))
                        return error_new(ERROR_NOT_SUPPORTED, "layer %zu is encrypted (%.200s): that is not supported",
                                         i + 1, type);
                if (*type && !strstr(type, "tar"))
                        return error_new(ERROR_NOT_SUPPORTED, "layer %zu is no archive of files, but of type %.200s",
                                         i + 1, type);
        }
        return NULL;
}

static struct error *load(const char *text, size_t len, size_t max, const char *what, json_t **ret) {
        json_error_t where;

        if (len > max)
                return error_new(ERROR_BAD_REQUEST, "%s larger than %zu MiB", what, max >> 20);
        *ret = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
        if (!*ret)
                return error_new(ERROR_BAD_REQUEST, "malformed %s: %.200s (line %d)", what, where.text, where.line);
        return json_is_object(*ret) ? NULL : bad(what, "not a JSON object");
}

struct error *manifest_parse(const char *text, size_t len, const char *served_as, struct manifest **ret) {
        _cleanup_manifest_ struct manifest *manifest = new0(struct manifest);
        json_auto_t *json = NULL;
        struct error *err;

        err = load(text, len, MANIFEST_SIZE_MAX, "manifest", &json);
        if (err)
                return err;
        const json_t *manifests = json_object_get(json, "manifests"), *layers = json_object_get(json, "layers");
        const json_t *config = json_object_get(json, "config");
        manifest->media_type = text_of(json, "mediaType");
        json_int_t version = json_integer_value(json_object_get(json, "schemaVersion"));
        if (version == 1 || (served_as && str_starts_with(served_as, DOCKER_SCHEMA1)))
                return error_new(
                        ERROR_NOT_SUPPORTED,
                        "the image has a manifest of Docker's schema 1, which was retired in 2019: build it anew");
        /* CVE-2021-41190: what one program takes for an image, another must not take for an index. */
        if (manifests && (layers || config))
                return bad("manifest", "it is an image and an index at once");
        manifest->is_index = manifests != NULL;
        const char *types[] = { manifest->media_type, served_as };
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if ((media_type_is_index(types[i]) && !manifest->is_index) ||
                    (media_type_is_manifest(types[i]) && manifest->is_index))
                        return bad("manifest", "its content is not what its media type says");
        if (manifest->is_index) {
                err = entries_parse(manifest, manifests, "index", INDEX_ENTRIES_MAX);
        } else {
                if (!json_is_object(config))
                        return bad("manifest", "no configuration (it is no container image)");
                err = descriptor_parse(config, "manifest", &manifest->config);
                if (!err)
                        err = entries_parse(manifest, layers, "manifest", IMAGE_LAYERS_MAX);
                if (!err)
                        err = check_is_image(manifest, json_string_value(json_object_get(json, "artifactType")));
                if (!err && !manifest->n_entries)
                        err = error_new(ERROR_NOT_SUPPORTED, "an image without layers: it holds nothing to run");
                if (!err && manifest->config.size > CONFIG_SIZE_MAX)
                        err = bad("manifest", "the configuration is larger than 8 MiB");
        }
        if (err)
                return err;
        *ret = TAKE_PTR(manifest);
        return NULL;
}

/* The kernel's machine names in the words of Go, which image indexes use. */
static const struct {
        const char *machine, *architecture, *variant;
} machines[] = {
        { "x86_64", "amd64", NULL },    { "aarch64", "arm64", "v8" },       { "armv7l", "arm", "v7" },
        { "armv6l", "arm", "v6" },      { "armv8l", "arm", "v7" },          { "riscv64", "riscv64", NULL },
        { "ppc64le", "ppc64le", NULL }, { "s390x", "s390x", NULL },         { "i686", "386", NULL },
        { "i586", "386", NULL },        { "loongarch64", "loong64", NULL },
};

/* Go's word for an architecture; *ret_variant the one that is meant where none is said (may be NULL). */
static const char *architecture_of(const char *name, const char **ret_variant) {
        *ret_variant = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
                if (streq(machines[i].machine, name) || streq(machines[i].architecture, name)) {
                        *ret_variant = machines[i].variant;
                        return machines[i].architecture;
                }
        return name;
}

void platform_of_machine(struct platform *ret) {
        const char *variant;
        struct utsname name;

        uname(&name);
        const char *architecture = architecture_of(name.machine, &variant);
        *ret = (struct platform){ xstrdup("linux"), xstrdup(architecture), xstrdup(variant) };
}

struct error *platform_parse(const char *text, struct platform *ret) {
        _cleanup_strv_ char **parts = strv_split(text, '/');
        size_t n = strv_len(parts);

        if (n < 2 || n > 3 || str_empty(parts[0]) || str_empty(parts[1]))
                return error_new(ERROR_INVALID,
                                 "platform \"%.100s\" is not os/architecture[/variant], like linux/arm64", text);
        const char *usual, *architecture = architecture_of(parts[1], &usual);
        *ret = (struct platform){ xstrdup(parts[0]), xstrdup(architecture), xstrdup(n == 3 ? parts[2] : usual) };
        return NULL;
}

void platform_release(struct platform *platform) {
        free(platform->os);
        free(platform->architecture);
        free(platform->variant);
}

/* 8 of "v8" and "8"; what follows the number counts nothing, and what is no number is the lowest. */
static int variant_number(const char *variant) {
        const char *p = variant + (variant[0] == 'v');
        int number = 0;

        for (; *p >= '0' && *p <= '9' && number < 1000; p++)
                number = number * 10 + (*p - '0');
        return number;
}

/* How well an entry fits: 0 not at all; the larger the better. Variants are "v6", "v7", …: a lower one runs too. */
static int fit(const struct descriptor *d, const struct platform *platform) {
        if (d->is_attestation || !d->os || !d->architecture)
                return 0;
        const char *ignored;
        if (!streq(d->os, platform->os) || !streq(architecture_of(d->architecture, &ignored), platform->architecture))
                return 0;
        bool is_plain_amd64 = streq(platform->architecture, "amd64") && streq_ptr(d->variant, "v1");
        if (str_empty(d->variant) || is_plain_amd64)
                return streq(platform->architecture, "arm") ? 5 : 50;
        if (platform->variant) {
                int wanted = variant_number(platform->variant), offered = variant_number(d->variant);
                return offered > wanted ? 0 : 10 + offered;
        }
        return streq(platform->architecture, "amd64") ? 0 : 1; /* amd64/v2, v3: newer processors than we ask for */
}

const struct descriptor *index_choose(const struct manifest *index, const struct platform *platform) {
        const struct descriptor *best = NULL;
        int best_fit = 0;

        for (size_t i = 0; i < index->n_entries; i++) {
                int f = fit(&index->entries[i], platform);
                if (f > best_fit) {
                        best_fit = f;
                        best = &index->entries[i];
                }
        }
        /* An index of one entry that names no platform means that one; an index within an index says more itself. */
        for (size_t i = 0; !best && i < index->n_entries; i++) {
                const struct descriptor *d = &index->entries[i];
                if (!d->os && !d->is_attestation && (index->n_entries == 1 || media_type_is_index(d->media_type)))
                        best = d;
        }
        return best;
}

char *index_platforms(const struct manifest *index) {
        _cleanup_strv_ char **names = NULL;

        for (size_t i = 0; i < index->n_entries && strv_len(names) < 20; i++) {
                const struct descriptor *d = &index->entries[i];
                if (d->is_attestation || !d->os || !d->architecture)
                        continue;
                _cleanup_free_ char *name = xasprintf("%.32s/%.32s%s%.16s", d->os, d->architecture,
                                                      str_empty(d->variant) ? "" : "/", d->variant ? d->variant : "");
                if (!strv_contains(names, name))
                        names = strv_add(names, name);
        }
        return strv_join(names, ", ");
}

static bool is_strings(const json_t *value) {
        json_t *item;
        size_t i;

        if (!value || json_is_null(value))
                return true;
        if (!json_is_array(value))
                return false;
        json_array_foreach(value, i, item) if (!json_is_string(item)) return false;
        return true;
}

static bool is_text(const json_t *value) {
        return !value || json_is_null(value) || json_is_string(value);
}

static bool is_map(const json_t *value) {
        return !value || json_is_null(value) || json_is_object(value);
}

/* What of a configuration is read later, and of which type it must be. */
static const struct {
        const char *key;
        bool (*is_right)(const json_t *value);
} config_fields[] = {
        { "Entrypoint", is_strings }, { "Cmd", is_strings },      { "Env", is_strings },
        { "User", is_text },          { "WorkingDir", is_text },  { "StopSignal", is_text },
        { "Volumes", is_map },        { "ExposedPorts", is_map }, { "Labels", is_map },
};

static struct error *check_config(const json_t *config) {
        if (config && !json_is_null(config) && !json_is_object(config))
                return bad("image configuration", "\"config\" is not an object");
        for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++)
                if (!config_fields[i].is_right(json_object_get(config, config_fields[i].key)))
                        return error_new(ERROR_BAD_REQUEST, "malformed image configuration: wrong type of %s",
                                         config_fields[i].key);
        return NULL;
}

struct error *image_config_parse(const char *text, size_t len, size_t n_layers, json_t **ret, char ***ret_diff_ids) {
        _cleanup_strv_ char **diff_ids = NULL;
        json_auto_t *json = NULL;
        struct error *err;
        json_t *item;
        size_t i;

        err = load(text, len, CONFIG_SIZE_MAX, "image configuration", &json);
        if (!err)
                err = check_config(json_object_get(json, "config"));
        if (err)
                return err;
        const json_t *list = json_object_get(json_object_get(json, "rootfs"), "diff_ids");
        if (!json_is_array(list) || json_array_size(list) != n_layers)
                return error_new(
                        ERROR_BAD_REQUEST,
                        "malformed image configuration: it lists %zu layers (rootfs.diff_ids), the manifest %zu",
                        json_array_size(list), n_layers);
        json_array_foreach(list, i, item) {
                if (!digest_is_valid(json_string_value(item)))
                        return bad("image configuration", "rootfs.diff_ids holds something that is no sha256 digest");
                diff_ids = strv_add(diff_ids, json_string_value(item));
        }
        *ret = TAKE_PTR(json);
        *ret_diff_ids = TAKE_PTR(diff_ids);
        return NULL;
}
