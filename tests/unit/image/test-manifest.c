#include "test.h"

#include <stdio.h>

#include "base/str.h"
#include "image/manifest.h"

#define HEX "1111111111111111111111111111111111111111111111111111111111111111"
#define HEX2 "2222222222222222222222222222222222222222222222222222222222222222"
#define LAYER "{\"digest\":\"sha256:" HEX "\",\"size\":5}"
#define MANIFEST \
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":" LAYER \
        ",\"layers\":[" LAYER "," LAYER "]}"
#define ENTRY(os, arch, variant, hex) \
        "{\"mediaType\":\"m\",\"size\":1,\"digest\":\"sha256:" hex "\",\"platform\":{\"os\":\"" os \
        "\",\"architecture\":\"" arch "\"" variant "}}"

static struct error *parse(const char *text, const char *type, struct manifest **ret) {
        return manifest_parse(text, strlen(text), type, ret);
}

TEST(a_manifest_names_its_configuration_and_layers) {
        _cleanup_manifest_ struct manifest *m = NULL;

        assert_ok(parse(MANIFEST, "application/vnd.oci.image.manifest.v1+json", &m));
        assert_false(m->is_index);
        assert_int_equal(m->n_entries, 2);
        assert_string_equal(m->config.digest, "sha256:" HEX);
        assert_int_equal(m->entries[1].size, 5);
}

TEST(documents_that_can_be_read_in_two_ways_are_refused) {
        struct manifest *m;

        assert_error(
                parse("{\"schemaVersion\":2,\"config\":" LAYER ",\"layers\":[" LAYER "],\"manifests\":[]}", NULL, &m),
                ERROR_BAD_REQUEST, "image and an index at once");
        assert_error(parse(MANIFEST, "application/vnd.oci.image.index.v1+json", &m), ERROR_BAD_REQUEST, "media type");
        assert_error(parse("{\"schemaVersion\":2,\"mediaType\":\"application/"
                           "vnd.oci.image.manifest.v1+json\",\"manifests\":[]}",
                           NULL, &m),
                     ERROR_BAD_REQUEST, "media type");
        assert_error(parse("{\"schemaVersion\":2,\"layers\":[],\"layers\":[]}", NULL, &m), ERROR_BAD_REQUEST,
                     "malformed");
}

TEST(malformed_manifests_are_errors) {
        static const struct {
                const char *text;
                enum error_reason reason;
                const char *why;
        } cases[] = {
                { "", ERROR_BAD_REQUEST, "malformed" },
                { "[]", ERROR_BAD_REQUEST, "not a JSON object" },
                { "{}", ERROR_BAD_REQUEST, "no configuration" },
                { "{\"schemaVersion\":1}", ERROR_NOT_SUPPORTED, "schema 1" },
                { "{\"config\":" LAYER "}", ERROR_BAD_REQUEST, "no list of layers" },
                { "{\"config\":" LAYER ",\"layers\":[]}", ERROR_NOT_SUPPORTED, "without layers" },
                { "{\"config\":" LAYER ",\"layers\":[{}]}", ERROR_BAD_REQUEST, "without digest" },
                { "{\"config\":" LAYER ",\"layers\":[7]}", ERROR_BAD_REQUEST, "without digest" },
                { "{\"config\":" LAYER ",\"layers\":[{\"digest\":\"sha256:" HEX "\"}]}", ERROR_BAD_REQUEST,
                  "without size" },
                { "{\"config\":" LAYER ",\"layers\":[{\"digest\":\"sha256:" HEX "\",\"size\":-1}]}", ERROR_BAD_REQUEST,
                  "without size" },
                { "{\"config\":" LAYER ",\"layers\":[{\"digest\":\"sha256:../../etc\",\"size\":1}]}", ERROR_BAD_REQUEST,
                  "digest" },
                { "{\"config\":" LAYER ",\"layers\":[{\"digest\":\"sha512:00\",\"size\":1}]}", ERROR_NOT_SUPPORTED,
                  "sha512" },
        };
        struct manifest *m;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_error(parse(cases[i].text, NULL, &m), cases[i].reason, cases[i].why);
}

#define TYPED(type) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" HEX "\",\"size\":5}"
#define DOCUMENT(config, layer, more) "{\"config\":" TYPED(config) ",\"layers\":[" TYPED(layer) "]" more "}"
#define OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define OCI_LAYER "application/vnd.oci.image.layer.v1.tar"

TEST(what_registries_hold_beside_images_is_refused_by_its_type) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                { DOCUMENT("application/vnd.cncf.helm.config.v1+json", OCI_LAYER, ""), "vnd.cncf.helm.config" },
                { DOCUMENT("application/vnd.oci.empty.v1+json", "text/plain", ",\"artifactType\":\"example/model\""),
                  "an artifact of type example/model" },
                { DOCUMENT(OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json", ""), "simplesigning" },
                { DOCUMENT(OCI_CONFIG, OCI_LAYER "+gzip+encrypted", ""), "layer 1 is encrypted" },
        };
        static const char *const images[] = {
                DOCUMENT(OCI_CONFIG, "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", ""),
                DOCUMENT("application/vnd.docker.container.image.v1+json",
                         "application/vnd.docker.image.rootfs.diff.tar.gzip", ""),
                DOCUMENT("application/octet-stream", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ""),
        };
        struct manifest *m;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_error(parse(cases[i].text, NULL, &m), ERROR_NOT_SUPPORTED, cases[i].why);
        for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
                _cleanup_manifest_ struct manifest *image = NULL;
                assert_ok(parse(images[i], NULL, &image));
        }
}

TEST(five_hundred_layers_are_the_limit) {
        for (int n = 500; n <= 501; n++) {
                _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
                _cleanup_manifest_ struct manifest *m = NULL;

                strbuf_adds(&text, "{\"config\":" LAYER ",\"layers\":[");
                for (int i = 0; i < n; i++)
                        strbuf_addf(&text, "%s%s", i ? "," : "", LAYER);
                strbuf_adds(&text, "]}");
                if (n == 500)
                        assert_ok(parse(strbuf_str(&text), NULL, &m));
                else
                        assert_error(parse(strbuf_str(&text), NULL, &m), ERROR_NOT_SUPPORTED,
                                     "501 layers; overlayfs takes at most 500");
        }
}

static const char *choose(const char *index, const char *platform_text) {
        static char digest[80];
        _cleanup_manifest_ struct manifest *m = NULL;
        struct platform platform;

        assert_ok(parse(index, NULL, &m));
        assert_ok(platform_parse(platform_text, &platform));
        const struct descriptor *d = index_choose(m, &platform);
        platform_release(&platform);
        snprintf(digest, sizeof(digest), "%.3s", d ? d->digest + 7 : "no");
        return digest;
}

#define HEX_OF(two) two "11111111111111111111111111111111111111111111111111111111111111"
#define ARM(variant, two) ENTRY("linux", "arm", ",\"variant\":\"" variant "\"", HEX_OF(two))

TEST(an_index_gives_the_entry_that_runs_here) {
        static const char index[] =
                "{\"schemaVersion\":2,\"manifests\":["
                "{\"mediaType\":\"m\",\"size\":1,\"digest\":\"sha256:" HEX
                "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"},"
                "\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}}"
                "," ENTRY("windows", "amd64", "", HEX) "," ARM("v6", "aa") "," ARM("v7", "ab") "," ENTRY(
                        "linux", "amd64", "", HEX2) "," ENTRY("linux", "arm64", ",\"variant\":\"v8\"",
                                                              HEX_OF("ac")) "]}";

        assert_string_equal(choose(index, "linux/amd64"), "222");
        assert_string_equal(choose(index, "linux/arm64"), "ac1");
        assert_string_equal(choose(index, "linux/arm/v7"), "ab1");
        assert_string_equal(choose(index, "linux/arm/v6"), "aa1");
        assert_string_equal(choose(index, "linux/arm/v5"), "no");
        assert_string_equal(choose(index, "linux/s390x"), "no");

        _cleanup_manifest_ struct manifest *m = NULL;
        assert_ok(parse(index, NULL, &m));
        _cleanup_free_ char *there = index_platforms(m);
        assert_string_equal(there, "windows/amd64, linux/arm/v6, linux/arm/v7, linux/amd64, linux/arm64/v8");
        struct platform platform;
        assert_error(platform_parse("linux", &platform), ERROR_INVALID, "os/architecture");
}

TEST(architectures_have_more_than_one_name_and_a_usual_variant) {
        static const char index[] =
                "{\"schemaVersion\":2,\"manifests\":[" ENTRY("unknown", "unknown", "", HEX) "," ARM("v5", "aa") "," ARM(
                        "v7", "ab") "," ENTRY("linux", "amd64", ",\"variant\":\"v3\"",
                                              HEX_OF("ac")) "," ENTRY("linux", "amd64", ",\"variant\":\"v1\"",
                                                                      HEX2) "," ENTRY("linux", "aarch64", "",
                                                                                      HEX_OF("ad")) "]}";

        assert_string_equal(choose(index, "linux/arm"), "ab1");
        assert_string_equal(choose(index, "linux/amd64"), "222");
        assert_string_equal(choose(index, "linux/x86_64"), "222");
        assert_string_equal(choose(index, "linux/arm64"), "ad1");
}

TEST(an_index_within_an_index_is_looked_into_where_nothing_else_fits) {
        static const char index[] = "{\"schemaVersion\":2,\"manifests\":[" ENTRY(
                "windows", "amd64", "",
                HEX) ","
                     "{\"mediaType\":\"application/"
                     "vnd.oci.image.index.v1+json\",\"size\":1,\"digest\":\"sha256:" HEX_OF("aa") "\"}]}";

        assert_string_equal(choose(index, "linux/amd64"), "aa1");
        assert_string_equal(choose(index, "windows/amd64"), "111");
}

TEST(a_variant_beyond_all_numbers_runs_nowhere) {
        static const char index[] = "{\"schemaVersion\":2,\"manifests\":[" ARM("v99999999999999999999", "aa") "," ARM(
                "v2147483647", "ab") "," ARM("v-2147483648", "ac") "," ARM("v6", "ad") "]}";

        assert_string_equal(choose(index, "linux/arm/v7"), "ad1");
        assert_string_equal(choose(index, "linux/arm/v5"), "ac1"); /* no number: the lowest */
}

#define CONFIG(config, ids) \
        "{\"os\":\"linux\",\"config\":" config ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":" ids "}}"

static struct error *config(const char *text, size_t n) {
        _cleanup_strv_ char **ids = NULL;
        json_auto_t *json = NULL;
        return image_config_parse(text, strlen(text), n, &json, &ids);
}

TEST(a_configuration_must_fit_its_manifest_and_have_the_right_types) {
        assert_ok(config(CONFIG("{\"Cmd\":[\"a\"],\"Env\":null}", "[\"sha256:" HEX "\"]"), 1));
        assert_ok(config(CONFIG("null", "[\"sha256:" HEX "\"]"), 1));
        assert_error(config(CONFIG("{}", "[\"sha256:" HEX "\"]"), 2), ERROR_BAD_REQUEST,
                     "lists 1 layers (rootfs.diff_ids), the manifest 2");
        assert_error(config(CONFIG("{}", "[\"../x\"]"), 1), ERROR_BAD_REQUEST, "no sha256 digest");
        assert_error(config(CONFIG("{}", "[7]"), 1), ERROR_BAD_REQUEST, "no sha256 digest");
        assert_error(config(CONFIG("{}", "7"), 1), ERROR_BAD_REQUEST, "lists 0 layers");
        assert_error(config(CONFIG("{\"Cmd\":\"a\"}", "[]"), 0), ERROR_BAD_REQUEST, "wrong type of Cmd");
        assert_error(config(CONFIG("{\"Env\":[7]}", "[]"), 0), ERROR_BAD_REQUEST, "wrong type of Env");
        assert_error(config(CONFIG("{\"User\":7}", "[]"), 0), ERROR_BAD_REQUEST, "wrong type of User");
        assert_error(config(CONFIG("{\"Volumes\":[]}", "[]"), 0), ERROR_BAD_REQUEST, "wrong type of Volumes");
        assert_error(config(CONFIG("7", "[]"), 0), ERROR_BAD_REQUEST, "not an object");
        assert_error(config("{", 0), ERROR_BAD_REQUEST, "malformed");
}
