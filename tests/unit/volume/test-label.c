#include "volume/label.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "../oci/fixture.h"

#define LABEL "system_u:object_r:container_file_t:s0:c1,c2"

static char *label_of(const char *path) {
        char text[256];
        ssize_t n = lgetxattr(path, "security.selinux", text, sizeof(text));

        return n < 0 ? xstrdup("") : xstrndup(text, (size_t)n);
}

TEST(everything_of_a_volume_is_labelled_and_nothing_beside_it) {
        _cleanup_fixture_ struct fixture f = fixture_new("'containers': []", NULL);
        _cleanup_free_ char *volume = fixture_path(&f, "volume"), *inside = fixture_path(&f, "volume/deep/file"),
                            *outside = fixture_path(&f, "outside"), *link = fixture_path(&f, "volume/link");

        fixture_write(&f, "volume/deep/file", "x");
        fixture_write(&f, "outside", "x");
        assert_int_equal(symlink(outside, link), 0);
        if (setxattr(outside, "security.selinux", "before", 7, 0) < 0)
                skip(); /* no such attributes here */
        _cleanup_close_ int fd = open(volume, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_ok(label_set_tree(fd, LABEL));
        assert_ok(label_set_tree(fd, LABEL));
        _cleanup_free_ char *top = label_of(volume), *file = label_of(inside), *other = label_of(outside);
        assert_string_equal(top, LABEL);
        assert_string_equal(file, LABEL);
        assert_string_equal(other, "before");
}
