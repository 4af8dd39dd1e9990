#include "fixture.h"
#include "oci/user.h"

#include <fcntl.h>

#define PASSWD \
        "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\nbad:x:-1:0::/:\nbig:x:4294967296:0::/:\n" \
        "junk:x:12x:0::/:\napp:x:1000:1001:App:/home/app:/bin/sh\n"
#define GROUP "root:x:0:\nwheel:x:10:root,other\nstaff:x:50:app\nbad:x:99x:app\nnoapp:x:51:application,xapp\n"

/* "uid:gid:groups" of a container with this pod security context, container security context and image user. */
static char *resolve(const char *pod_sc, const char *sc, const char *user, struct error **ret_err) {
        _cleanup_free_ char *spec = xasprintf("'securityContext': {%s}, 'containers': [{'name': 'a', 'image': 'x', "
                                              "'securityContext': {%s}}]",
                                              pod_sc, sc);
        _cleanup_fixture_ struct fixture f = fixture_new(spec, NULL);
        _cleanup_oci_user_ struct oci_user result = { 0 };
        _cleanup_free_ char *root = fixture_path(&f, "rootfs");
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;
        struct image image = { .user = (char *)user };
        const V1Container *c = f.pod->spec->containers[0];
        _cleanup_close_ int fd = -EBADF;

        fixture_write(&f, "rootfs/etc/passwd", PASSWD);
        fixture_write(&f, "rootfs/etc/group", GROUP);
        fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        *ret_err = oci_user_verify(f.pod, c, &image);
        if (!*ret_err)
                *ret_err = oci_user_resolve(f.pod, c, &image, fd, &result);
        if (*ret_err)
                return NULL;
        strbuf_addf(&text, "%u:%u:", result.uid, result.gid);
        for (size_t i = 0; i < result.n_groups; i++)
                strbuf_addf(&text, i ? ",%u" : "%u", result.groups[i]);
        return strbuf_take(&text);
}

TEST(users_and_groups_follow_pod_container_image_and_account_files) {
        static const struct {
                const char *pod_sc, *sc, *user, *result;
        } cases[] = {
                { "", "", NULL, "0:0:0,10" },
                { "", "", "", "0:0:0,10" },
                { "", "", "1234:1234", "1234:0:0" }, /* the gid of the image does not count */
                { "", "", "1000", "1000:1001:1001,50" },
                { "", "", "app", "1000:1001:1001,50" },
                { "", "", "app:wheel", "1000:1001:1001,50" },
                { "'runAsUser': 1000, 'runAsGroup': 2000", "", NULL, "1000:2000:2000,50" },
                { "'runAsUser': 1000, 'runAsGroup': 2000", "'runAsUser': 3000", NULL, "3000:2000:2000" },
                { "'supplementalGroups': [4000, 4001], 'fsGroup': 5000, 'runAsUser': 7", "", NULL,
                  "7:0:0,5000,4000,4001" },
                { "'supplementalGroups': [4000], 'supplementalGroupsPolicy': 'Strict'", "", "app",
                  "1000:1001:1001,4000" },
                { "'supplementalGroups': [50], 'supplementalGroupsPolicy': 'Merge'", "", "app", "1000:1001:1001,50" },
                { "'runAsNonRoot': true", "", "1000", "1000:1001:1001,50" },
                { "'runAsNonRoot': true", "'runAsUser': 5", NULL, "5:0:0" },
                { "'runAsNonRoot': true", "'runAsNonRoot': false", NULL, "0:0:0,10" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error *err;
                _cleanup_free_ char *result = resolve(cases[i].pod_sc, cases[i].sc, cases[i].user, &err);

                assert_ok(err);
                assert_string_equal(result, cases[i].result);
        }
}

TEST(who_may_not_run_is_told_in_the_kubelets_words) {
        static const struct {
                const char *pod_sc, *sc, *user, *error;
        } cases[] = {
                { "'runAsNonRoot': true", "", NULL,
                  "container has runAsNonRoot and image will run as root (pod: \"web_default(" POD_UID
                  ")\", container: a)" },
                { "'runAsNonRoot': true", "", "0", "image will run as root" },
                { "'runAsNonRoot': true", "", "root",
                  "image has non-numeric user (root), cannot verify user is non-root" },
                { "'runAsNonRoot': true", "'runAsUser': 0", NULL, "container's runAsUser breaks non-root policy" },
                { "'runAsNonRoot': true", "", "4294967296", "image will run as root" },
                { "", "", "4294967296", "no valid user id" },
                { "", "", "99999999999999999999", "no valid user id" },
                { "", "", "nobody", "unable to find user nobody: no matching entries in passwd file" },
                { "", "", "bad", "unable to find user bad" },
                { "", "", "junk", "unable to find user junk" },
                { "", "", "big", "unable to find user big" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct error *err;
                _cleanup_free_ char *result = resolve(cases[i].pod_sc, cases[i].sc, cases[i].user, &err);

                if (result)
                        fail_msg("case %zu: %s", i, result);
                if (!strstr(error_message(err), cases[i].error))
                        fail_msg("%s", error_message(err));
                error_free(err);
        }
}

TEST(account_files_are_read_inside_the_root_and_are_regular) {
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': [{'name': 'a', 'image': 'x'}]", NULL);
        _cleanup_free_ char *root = fixture_path(&f, "rootfs"), *passwd = fixture_path(&f, "rootfs/etc/passwd");
        struct image image = { .user = "app" };
        struct oci_user user = { 0 };
        _cleanup_close_ int fd = -EBADF;

        fixture_write(&f, "rootfs/etc/hosts", "");
        fixture_write(&f, "passwd", "app:x:1:1::/:\n");
        assert_int_equal(symlink("../../passwd", passwd), 0);
        fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_error(oci_user_resolve(f.pod, f.pod->spec->containers[0], &image, fd, &user), ERROR_INVALID,
                     "unable to find user app");
        assert_int_equal(unlink(passwd), 0);
        assert_int_equal(mkfifo(passwd, 0644), 0);
        assert_error(oci_user_resolve(f.pod, f.pod->spec->containers[0], &image, fd, &user), ERROR_INVALID,
                     "no regular file");
}
