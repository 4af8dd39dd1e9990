#include "store/claim.h"

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
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

TEST(who_deletes_a_claim_does_not_hear_of_what_another_left) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                skip();
        begin();
        json_t *claim = claim_new("mine", "");
        _cleanup_free_ char *mine = claim_folder(store, text_at(claim, "metadata", "uid")),
                            *mine_aside = xasprintf("%s..removed", mine);
        _cleanup_free_ char *busy = claim_folder(store, "00000000-0000-4000-8000-000000000000..removed/busy");
        _cleanup_free_ char *other = claim_folder(store, "ffffffff-ffff-4fff-8fff-ffffffffffff..removed");

        assert_ok(mkdir_parents(mine, 0700));
        assert_ok(mkdir_parents(busy, 0700));
        assert_ok(mkdir_parents(other, 0700));
        assert_int_equal(mount("husk", busy, "tmpfs", 0, "size=4k"), 0);
        assert_ok(store_delete(store, api_kind_of("PersistentVolumeClaim"), "default", "mine"));
        assert_false(is_there("mine") || file_exists(mine) || file_exists(mine_aside));
        assert_error(claims_sweep(store), ERROR_INTERNAL, "busy");
        assert_true(file_exists(busy) && !file_exists(other)); /* one does not hold the other up */
        assert_int_equal(umount(busy), 0);
        assert_ok(claims_sweep(store));
        assert_false(file_exists(busy));
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

static const char *damage(const char *name, const char *text) {
        static char path[256];

        snprintf(path, sizeof(path), "%s/objects/default/PersistentVolumeClaim/%s.json", root, name);
        assert_ok(file_replace(path, text, strlen(text), 0644, 0));
        return path;
}

static void give_to_a_pod_that_is_gone(json_t *claim) {
        json_object_set_new(json_object_get(claim, "metadata"), "ownerReferences",
                            json_pack("[{s:s, s:s}]", "kind", "Pod", "uid", "no-such-pod"));
        assert_ok(store_update(store, api_kind_of("PersistentVolumeClaim"), claim));
}

TEST(a_damaged_claim_is_passed_over_told_of_and_no_folder_goes_meanwhile) {
        static const char *const texts[] = { "{", "[]", "{}", "{\"metadata\":{\"name\":\"damaged\"}}", "\xff" };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                begin();
                json_t *damaged = claim_new("damaged", ""), *owned = claim_new("owned", ""),
                       *kept = claim_new("kept", "");
                _cleanup_free_ char *folder = claim_folder(store, text_at(damaged, "metadata", "uid"));
                _cleanup_free_ char *going = claim_folder(store, text_at(owned, "metadata", "uid"));
                _cleanup_free_ char *orphan = claim_folder(store, "00000000-0000-4000-8000-000000000000");

                assert_ok(mkdir_parents(folder, 0700));
                assert_ok(mkdir_parents(going, 0700));
                assert_ok(mkdir_parents(orphan, 0700));
                give_to_a_pod_that_is_gone(owned);
                damage("damaged", texts[i]);
                assert_error(claims_sweep(store), ERROR_INTERNAL, "damaged");
                assert_false(is_there("owned"));
                assert_true(is_there("kept"));
                assert_false(file_exists(going));
                assert_true(file_exists(folder) && file_exists(orphan));

                /* once it is out of the way, what was kept for its sake goes */
                assert_int_equal(unlink(damage("damaged", "")), 0);
                assert_ok(claims_sweep(store));
                assert_false(file_exists(folder) || file_exists(orphan));
                json_decref(damaged);
                json_decref(owned);
                json_decref(kept);
                end();
        }
}

TEST(a_damaged_claim_does_not_keep_another_from_being_deleted) {
        begin();
        json_t *damaged = claim_new("damaged", ""), *other = claim_new("other", "");
        _cleanup_free_ char *folder = claim_folder(store, text_at(other, "metadata", "uid"));

        assert_ok(mkdir_parents(folder, 0700));
        damage("damaged", "{");
        assert_ok(store_delete(store, api_kind_of("PersistentVolumeClaim"), "default", "other"));
        assert_false(is_there("other") || file_exists(folder));
        json_decref(damaged);
        json_decref(other);
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
