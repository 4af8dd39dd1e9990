#include "volume/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "test.h"

static char folder[64];

static void begin(void) {
        snprintf(folder, sizeof(folder), "/tmp/husk-usage-XXXXXX");
        assert_non_null(mkdtemp(folder));
}

static void end(void) {
        assert_ok(remove_tree(folder));
}

static int open_folder(void) {
        int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static void write_bytes(const char *name, size_t n) {
        _cleanup_free_ char *path = path_join(folder, name), *data = xcalloc(n, 1);
        memset(data, 'x', n);
        assert_ok(file_replace(path, data, n, 0644, 0));
}

/* Measured in slices of `entries`. */
static uint64_t measure(unsigned entries) {
        _cleanup_(usage_freep) struct usage *usage = NULL;

        assert_ok(usage_new(folder, &usage));
        for (int slices = 0; !usage_step(usage, entries, UINT64_MAX); slices++)
                assert_true(slices < 1000000);
        return usage_bytes(usage);
}

/* What du says of it. */
static uint64_t du(void) {
        _cleanup_free_ char *command = xasprintf("du -s -B1 -x %s", folder);
        FILE *out = popen(command, "r");
        unsigned long long bytes = 0;

        assert_non_null(out);
        assert_int_equal(fscanf(out, "%llu", &bytes), 1);
        pclose(out);
        return bytes;
}

TEST(a_folder_takes_what_du_says_in_slices_of_any_size) {
        begin();
        for (int i = 0; i < 60; i++) {
                _cleanup_free_ char *name = xasprintf("%d/%d", i % 7, i), *path = path_join(folder, name);
                *strrchr(path, '/') = '\0';
                assert_ok(mkdir_parents(path, 0755));
                write_bytes(name, 5000);
        }
        assert_int_equal(measure(1), du());
        assert_int_equal(measure(3), du());
        assert_int_equal(measure(100000), du());
        end();
}

TEST(a_file_with_many_names_counts_once_and_a_link_leads_nowhere) {
        begin();
        write_bytes("file", 64 << 10);
        _cleanup_close_ int fd = open_folder();
        for (int i = 0; i < 15; i++) {
                char name[16];
                snprintf(name, sizeof(name), "name%d", i);
                assert_int_equal(linkat(fd, "file", fd, name, 0), 0);
        }
        assert_int_equal(symlinkat("/usr", fd, "usr"), 0);
        assert_int_equal(measure(100), du());
        end();
}

TEST(no_depth_hides_anything_and_costs_no_descriptors) {
        begin();
        int fd = open_folder(), data;

        for (int depth = 0; depth < 800; depth++) {
                assert_int_equal(mkdirat(fd, "d", 0755), 0);
                int next = openat(fd, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                fd_close(fd);
                fd = next;
        }
        uint64_t before = measure(100);
        data = openat(fd, "data", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_int_equal(posix_fallocate(data, 0, 1 << 20), 0);
        fd_close(data);
        fd_close(fd);
        assert_int_equal(measure(100), before + (1 << 20));
        end();
}

TEST(counting_ends_when_it_is_enough_and_what_is_gone_is_empty) {
        _cleanup_(usage_freep) struct usage *usage = NULL;

        begin();
        for (int i = 0; i < 50; i++) {
                _cleanup_free_ char *name = xasprintf("%d", i);
                write_bytes(name, 4096);
        }
        assert_ok(usage_new(folder, &usage));
        assert_true(usage_step(usage, 1000, 20000));
        assert_in_range(usage_bytes(usage), 20001, 30000);
        usage = usage_free(usage);

        /* removed while it is being measured */
        assert_ok(usage_new(folder, &usage));
        assert_false(usage_step(usage, 10, UINT64_MAX));
        end();
        assert_true(usage_step(usage, 1000, UINT64_MAX));
        usage = usage_free(usage);
        assert_ok(usage_new(folder, &usage));
        assert_true(usage_step(usage, 10, UINT64_MAX));
        assert_int_equal(usage_bytes(usage), 0);
}
