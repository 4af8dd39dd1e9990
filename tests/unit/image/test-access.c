#include "test.h"

#include "base/file.h"
#include "base/str.h"
#include "image/access.h"
#include "image/layout.h"

#define ID "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define OTHER_ID "sha256:2222222222222222222222222222222222222222222222222222222222222222"

struct fixture {
        struct store store;
        char *images;
        struct node_config config;
};

static void begin(struct fixture *f) {
        *f = (struct fixture){ .store.root = xstrdup("/tmp/husk-test-XXXXXX") };
        assert_non_null(mkdtemp(f->store.root));
        f->images = layout_root(&f->store);
        f->config.image_verification = VERIFY_PULLED;
}

static void end(struct fixture *f) {
        assert_ok(remove_tree(f->store.root));
        free(f->store.root);
        free(f->images);
        strv_free(f->config.preloaded_allowlist);
}

static struct image_secret secret_of(const char *uid) {
        return (struct image_secret){ (char *)uid, (char *)"default", (char *)"registry" };
}

static bool must_ask(struct fixture *f, const char *id, const char *name, const char *uid) {
        struct image image = { .id = (char *)id, .reference = (char *)name };
        struct image_secret secrets[] = { secret_of("of-another-registry"), secret_of(uid) };

        return image_access_must_ask(&f->store, &f->config, &image, secrets, uid ? 2 : 0);
}

static void grant(struct fixture *f, const char *repository, const char *uid) {
        struct image_secret secret = secret_of(uid);

        assert_ok(image_access_grant(f->images, ID, repository, uid ? &secret : NULL));
}

TEST(an_image_that_no_pod_pulled_is_everybodys) {
        struct fixture f;

        begin(&f);
        assert_false(must_ask(&f, ID, "r.example/app:1", NULL));
        f.config.image_verification = VERIFY_ALWAYS;
        assert_true(must_ask(&f, ID, "r.example/app:1", NULL));
        end(&f);
}

TEST(who_has_a_secret_that_brought_it_may_use_it_and_nobody_else) {
        struct fixture f;

        begin(&f);
        grant(&f, "r.example/app", "one");
        grant(&f, "r.example/app", "two");
        grant(&f, "r.example/app", "two");
        assert_false(must_ask(&f, ID, "r.example/app:1", "one"));
        assert_false(must_ask(&f, ID, "r.example/app:other", "two"));
        assert_true(must_ask(&f, ID, "r.example/app:1", "three"));
        assert_true(must_ask(&f, ID, "r.example/app:1", NULL));
        assert_true(must_ask(&f, ID, "r.example/copy:1", "one")); /* another repository's permission is another */
        assert_false(must_ask(&f, OTHER_ID, "r.example/app:1", NULL));
        f.config.image_verification = VERIFY_NEVER;
        assert_false(must_ask(&f, ID, "r.example/app:1", NULL));
        f.config.image_verification = VERIFY_PULLED;
        grant(&f, "r.example/app", NULL); /* it came without credentials: so it would for anybody */
        grant(&f, "r.example/app", "four");
        assert_false(must_ask(&f, ID, "r.example/app:1", NULL));
        assert_ok(image_access_forget(f.images, ID));
        assert_ok(image_access_forget(f.images, ID));
        assert_false(must_ask(&f, ID, "r.example/copy:1", NULL));
        end(&f);
}

TEST(a_list_may_say_which_preloaded_images_are_everybodys) {
        struct fixture f;

        begin(&f);
        f.config.image_verification = VERIFY_UNLISTED;
        f.config.preloaded_allowlist = strv_add(strv_add(NULL, "r.example/team/*"), "docker.io/library/redis");
        assert_false(must_ask(&f, ID, "r.example/team/app:1", NULL));
        assert_true(must_ask(&f, ID, "r.example/teams/app:1", NULL));
        assert_false(must_ask(&f, ID, "docker.io/library/redis:7", NULL));
        assert_true(must_ask(&f, ID, "docker.io/library/nginx:1", NULL));
        grant(&f, "r.example/team/app", "one");
        assert_true(must_ask(&f, ID, "r.example/team/app:1", NULL)); /* it is no preloaded one */
        end(&f);
}

TEST(a_damaged_note_permits_nobody_and_is_written_anew) {
        struct fixture f;

        begin(&f);
        grant(&f, "r.example/app", "one");
        _cleanup_free_ char *path = xasprintf("%s/access/sha256/%s.json", f.images, digest_hex(ID));
        assert_ok(file_replace(path, "{", 1, 0600, 0));
        assert_true(must_ask(&f, ID, "r.example/app:1", "one"));
        grant(&f, "r.example/app", "one");
        assert_false(must_ask(&f, ID, "r.example/app:1", "one"));
        end(&f);
}
