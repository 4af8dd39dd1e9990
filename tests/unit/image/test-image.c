#include "test.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "image/image.h"
#include "image/layout.h"

#define ID "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define DIGEST "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define LOW "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define MID "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
        struct store store;
        char *images;
};

static void fixture_begin(struct fixture *f) {
        f->store.root = xstrdup("/tmp/husk-test-XXXXXX");
        assert_non_null(mkdtemp(f->store.root));
        f->images = layout_root(&f->store);
}

static void fixture_end(struct fixture *f) {
        assert_ok(remove_tree(f->store.root));
        free(f->store.root);
        free(f->images);
}

static void add_image(struct fixture *f, const char *created) {
        json_auto_t *config = json_pack("{s:s, s:s, s:s, s:{s:[s], s:[s,s], s:[s], s:s, s:s, s:s, s:{s:{}}, s:n}}",
                                        "os", "linux", "architecture", "amd64", "created", created, "config",
                                        "Entrypoint", "/bin/x", "Cmd", "a", "b", "Env", "A=1", "User", "5:6",
                                        "WorkingDir", "/w", "StopSignal", "SIGINT", "Volumes", "/data", "ExposedPorts");
        char *layers[] = { LOW, MID, LOW, NULL };

        assert_non_null(config);
        assert_ok(image_record_write(f->images, ID, config, layers, 4711));
}

static void add_name(struct fixture *f, const char *text, bool implied) {
        struct reference_record record = { .digest = DIGEST, .id = ID, .implied = implied };
        _cleanup_reference_ struct reference *r = NULL;

        assert_ok(reference_parse(text, &r));
        _cleanup_free_ char *path = layout_reference(f->images, r);
        assert_ok(reference_record_write(path, &record));
}

TEST(an_image_is_opened_by_every_form_of_its_name_and_by_its_id) {
        struct fixture f = { 0 };
        struct image *image = NULL;

        fixture_begin(&f);
        add_image(&f, "2024-01-01T00:00:00Z");
        add_name(&f, "redis:7", false);
        static const char *const names[] = { "redis:7", "docker.io/redis:7", "docker.io/library/redis:7" };
        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                assert_ok(image_open(&f.store, names[i], &image));
                assert_string_equal(image->reference, "docker.io/library/redis:7");
                assert_string_equal(image->digest, DIGEST);
                assert_string_equal(image->repo_digests[0], "docker.io/library/redis@" DIGEST);
                image = image_free(image);
        }
        assert_ok(image_open(&f.store, ID, &image));
        assert_null(image->reference);
        assert_string_equal(image->id, ID);
        image = image_free(image);
        assert_error(image_open(&f.store, "redis", &image), ERROR_NOT_FOUND, "image \"redis\" is not present");
        assert_error(image_open(&f.store, "redis@" DIGEST, &image), ERROR_NOT_FOUND, "not present");
        assert_error(image_open(&f.store, DIGEST, &image), ERROR_NOT_FOUND, "not present");
        assert_error(image_open(&f.store, "Redis", &image), ERROR_INVALID, "lower case");
        add_name(&f, "redis@" DIGEST, true);
        assert_ok(image_open(&f.store, "redis:any@" DIGEST, &image));
        image = image_free(image);
        fixture_end(&f);
}

TEST(what_a_container_starts_from_comes_back_as_it_was_written) {
        struct fixture f = { 0 };
        struct image *image = NULL;

        fixture_begin(&f);
        add_image(&f, "2024-01-01T00:00:00Z");
        add_name(&f, "localhost/x:1", false);
        assert_ok(image_open(&f.store, "localhost/x:1", &image));
        assert_string_equal(image->entrypoint[0], "/bin/x");
        assert_int_equal(strv_len(image->cmd), 2);
        assert_string_equal(image->env[0], "A=1");
        assert_string_equal(image->user, "5:6");
        assert_string_equal(image->working_dir, "/w");
        assert_string_equal(image->stop_signal, "SIGINT");
        assert_string_equal(image->volumes[0], "/data");
        assert_null(image->exposed_ports);
        assert_int_equal(image->size, 4711);
        /* uppermost first, the layer that is there twice only once: overlayfs refuses a folder given twice */
        assert_int_equal(strv_len(image->layers), 2);
        _cleanup_free_ char *top = xasprintf("%s/layers/sha256/%s/fs", f.images, digest_hex(LOW));
        assert_string_equal(image->layers[0], top);
        assert_non_null(strstr(image->layers[1], "/bbbbbbbb"));
        image = image_free(image);
        fixture_end(&f);
}

TEST(a_list_has_every_image_with_all_its_names) {
        struct fixture f = { 0 };
        struct image **list = NULL;
        size_t n = 0;

        fixture_begin(&f);
        assert_ok(image_list(&f.store, &list, &n));
        assert_int_equal(n, 0);
        image_list_free(list, n);
        add_image(&f, "2024-01-01T00:00:00Z");
        add_name(&f, "localhost/x:2", false);
        add_name(&f, "localhost/x:1", false);
        add_name(&f, "quay.io/a/b/c:1", false);
        assert_ok(image_list(&f.store, &list, &n));
        assert_int_equal(n, 1);
        assert_int_equal(strv_len(list[0]->repo_tags), 3);
        assert_string_equal(list[0]->repo_tags[0], "localhost/x:1");
        assert_string_equal(list[0]->repo_tags[2], "quay.io/a/b/c:1");
        assert_int_equal(strv_len(list[0]->repo_digests), 2);
        image_list_free(list, n);
        fixture_end(&f);
}

TEST(damaged_records_are_errors_and_no_crash) {
        static const char *const texts[] = { "",
                                             "{",
                                             "[]",
                                             "{}",
                                             "{\"layers\":7}",
                                             "{\"layers\":[]}",
                                             "{\"layers\":[\"../../etc\"]}",
                                             "{\"layers\":[\"" LOW "\"],\"size\":-1}" };
        struct fixture f = { 0 };
        struct image *image = NULL;

        fixture_begin(&f);
        add_image(&f, "x");
        add_name(&f, "localhost/x:1", false);
        _cleanup_free_ char *path = layout_image(f.images, ID);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                assert_ok(file_replace(path, texts[i], strlen(texts[i]), 0600, 0));
                assert_error(image_open(&f.store, "localhost/x:1", &image), ERROR_INTERNAL, "verify --repair");
        }
        fixture_end(&f);
}

TEST(opening_an_image_takes_less_than_a_third_of_a_millisecond) {
        struct fixture f = { 0 };
        int64_t best = INT64_MAX;

        fixture_begin(&f);
        add_image(&f, "2024-01-01T00:00:00Z");
        for (int i = 0; i < 50; i++) {
                _cleanup_free_ char *name = xasprintf("localhost/app%d:1", i);
                add_name(&f, name, false);
        }
        for (int i = 0; i < 20; i++) {
                _cleanup_image_ struct image *image = NULL;
                int64_t begin = clock_monotonic_ns();
                assert_ok(image_open(&f.store, "localhost/app7:1", &image));
                best = MIN(best, clock_monotonic_ns() - begin);
        }
        assert_true(best < 300000);
        fixture_end(&f);
}
