#include "store/claim.h"

#include <stdio.h>
#include <unistd.h>

#include "api/api.h"
#include "base/file.h"
#include "test.h"

static char root[64], run[128];
static struct store *store;

static void begin(void) {
        snprintf(root, sizeof(root), "/tmp/husk-claim-XXXXXX");
        assert_non_null(mkdtemp(root));
        snprintf(run, sizeof(run), "%s/run", root);
        assert_ok(store_open(root, run, &store));
}

static void end(void) {
        store = store_free(store);
        assert_ok(remove_tree(root));
}

static json_t *claim_new(const char *name, const char *spec) {
        _cleanup_free_ char *text = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                                              "\"name\":\"%s\"},\"spec\":{%s}}",
                                              name, spec);
        json_t *claim = json_loads(text, 0, NULL);

        assert_non_null(claim);
        assert_ok(store_create(store, api_kind_of("PersistentVolumeClaim"), claim));
        return claim;
}

static const char *text_at(const json_t *claim, const char *part, const char *key) {
        return json_string_value(json_object_get(json_object_get(claim, part), key));
}

static bool is_there(const char *name) {
        json_t *claim = NULL;
        struct error *err = store_get(store, api_kind_of("PersistentVolumeClaim"), "default", name, &claim);
        bool there = !err;

        error_free(err);
        json_decref(claim);
        return there;
}

TEST(a_claim_of_the_class_is_bound_and_one_that_needs_a_hand_is_not) {
        begin();
        static const struct {
                const char *spec, *phase;
        } cases[] = {
                { "", "Bound" },
                { "\"storageClassName\":\"local\"", "Bound" },
                { "\"storageClassName\":\"\"", "Pending" },
                { "\"volumeName\":\"x\"", "Pending" },
                { "\"selector\":{}", "Pending" },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char name[8];
                snprintf(name, sizeof(name), "c%zu", i);
                json_t *claim = claim_new(name, cases[i].spec);
                assert_string_equal(text_at(claim, "status", "phase"), cases[i].phase);
                json_decref(claim);
        }
        end();
}

TEST(a_folder_without_a_claim_is_swept_away_and_one_with_stays) {
        begin();
        json_t *claim = claim_new("kept", "");
        _cleanup_free_ char *kept = claim_folder(store, text_at(claim, "metadata", "uid")),
                            *unfinished = xasprintf("%s..new", kept);
        static const char *const orphans[] = { "00000000-0000-4000-8000-000000000000",
                                               "00000000-0000-4000-8000-000000000000..new",
                                               "11111111-1111-4111-8111-111111111111..removed" };
        _cleanup_free_ char *foreign = claim_folder(store, "lost+found");

        assert_ok(mkdir_parents(kept, 0700));
        assert_ok(mkdir_parents(unfinished, 0700));
        assert_ok(mkdir_parents(foreign, 0700));
        for (size_t i = 0; i < ARRAY_SIZE(orphans); i++) {
                _cleanup_free_ char *orphan = claim_folder(store, orphans[i]), *below = path_join(orphan, "a/b");
                assert_ok(mkdir_parents(below, 0700));
        }
        assert_ok(claims_sweep(store));
        assert_true(file_exists(kept) && file_exists(unfinished) && file_exists(foreign));
        for (size_t i = 0; i < ARRAY_SIZE(orphans); i++) {
                _cleanup_free_ char *orphan = claim_folder(store, orphans[i]);
                assert_false(file_exists(orphan));
        }
        json_decref(claim);
        end();
}

TEST(nothing_is_swept_while_the_claims_cannot_be_listed) {
        begin();
        json_t *claim = claim_new("kept", "");
        _cleanup_free_ char *folder = claim_folder(store, text_at(claim, "metadata", "uid"));
        _cleanup_free_ char *path = path_join(root, "objects/default"), *link = path_join(path, "loop");

        /* A folder of objects that is there but cannot be opened, as without a descriptor left (here: ELOOP). */
        assert_ok(mkdir_parents(folder, 0700));
        _cleanup_free_ char *kind = path_join(path, "PersistentVolumeClaim"), *aside = path_join(path, "aside");
        assert_int_equal(rename(kind, aside), 0);
        assert_int_equal(symlink(link, link), 0);
        assert_int_equal(symlink(link, kind), 0);
        assert_error(claims_sweep(store), ERROR_INTERNAL, "PersistentVolumeClaim");
        assert_true(file_exists(folder));
        json_decref(claim);
        end();
}

TEST(nothing_is_swept_while_some_claim_cannot_be_read) {
        begin();
        json_t *claim = claim_new("damaged", "");
        _cleanup_free_ char *folder = claim_folder(store, text_at(claim, "metadata", "uid"));
        _cleanup_free_ char *path = path_join(root, "objects/default/PersistentVolumeClaim/damaged.json");

        assert_ok(mkdir_parents(folder, 0700));
        assert_ok(file_replace(path, "{", 1, 0644, 0));
        assert_error(claims_sweep(store), ERROR_INTERNAL, "damaged.json");
        assert_true(file_exists(folder));
        json_decref(claim);
        end();
}

TEST(a_claim_whose_pod_is_gone_goes_and_foreign_finalizers_hold) {
        begin();
        const struct api_kind *kind = api_kind_of("PersistentVolumeClaim");
        json_t *claim = claim_new("held", "");

        json_object_set_new(json_object_get(claim, "metadata"), "ownerReferences",
                            json_pack("[{s:s, s:s}]", "kind", "Pod", "uid", "no-such-pod"));
        json_array_append_new(json_object_get(json_object_get(claim, "metadata"), "finalizers"),
                              json_string("example.com/backup"));
        assert_ok(store_update(store, kind, claim));
        json_decref(claim);
        assert_ok(claims_sweep(store));
        assert_ok(store_get(store, kind, "default", "held", &claim));
        assert_non_null(text_at(claim, "metadata", "deletionTimestamp"));

        /* whoever it was lets go of it */
        json_object_set_new(json_object_get(claim, "metadata"), "finalizers", json_array());
        assert_ok(store_update(store, kind, claim));
        assert_false(is_there("held"));
        json_decref(claim);
        end();
}
