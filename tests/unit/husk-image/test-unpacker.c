/* The confined process, and what it cannot do. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "husk-image/confine.h"
#include "husk-image/maketar.h"
#include "husk-image/unpacker.h"

struct fixture {
        char *folder;
        int root, blob;
        struct unpacker *unpacker;
        struct made tar;
        struct unpack_job job;
};

static void begin(struct fixture *f) {
        *f = (struct fixture){ .job.limits = { .size = 1 << 30, .entries = 1000 } };
        f->folder = xstrdup("/tmp/husk-test-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        _cleanup_free_ char *layer = path_join(f->folder, "layer"), *blob = path_join(f->folder, "blob");
        assert_ok(mkdir_parents(layer, 0755));
        f->root = open(layer, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        f->blob = open(blob, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_ok(unpacker_start(&f->unpacker));
        made_file(&f->tar, "f", 0644, "content");
        made_folder(&f->tar, "d", 0755);
        made_end(&f->tar);
        f->job.size = f->tar.bytes.len;
        hash_of(f->tar.bytes.data, f->tar.bytes.len, f->job.digest);
        strcpy(f->job.diff_id, f->job.digest);
}

static void end(struct fixture *f) {
        unpacker_stop(f->unpacker);
        fd_close(f->root);
        fd_close(f->blob);
        made_release(&f->tar);
        assert_ok(remove_tree(f->folder));
        free(f->folder);
}

static struct unpack_outcome await(int socket) {
        struct unpack_outcome outcome;
        struct unpack_progress progress;

        while (!unpacker_news(socket, &progress, &outcome)) {
                struct pollfd wait = { .fd = socket, .events = POLLIN };
                if (poll(&wait, 1, 10000) == 0)
                        fail_msg("no answer");
        }
        fd_close(socket);
        return outcome;
}

static bool is_empty(struct fixture *f) {
        struct stat st;
        return fstatat(f->root, "f", &st, 0) < 0 && fstatat(f->root, "d", &st, 0) < 0;
}

TEST(a_blob_is_followed_while_it_grows) {
        struct fixture f;
        int socket;

        begin(&f);
        assert_ok(unpacker_begin(f.unpacker, &f.job, f.blob, f.root, &socket));
        for (size_t at = 0; at < f.tar.bytes.len; at += 100) {
                size_t n = MIN((size_t)100, f.tar.bytes.len - at);
                assert_int_equal(pwrite(f.blob, f.tar.bytes.data + at, n, at), n);
                unpacker_available(socket, at + n);
        }
        struct unpack_outcome outcome = await(socket);
        if (outcome.error)
                fail_msg("%s", error_message(outcome.error));
        assert_int_equal(outcome.entries, 2);
        assert_int_equal(outcome.size, 7);
        _cleanup_free_ char *text = NULL;
        assert_ok(file_read_at(f.root, "f", 100, &text, NULL));
        assert_string_equal(text, "content");
        end(&f);
}

static struct unpack_outcome run(struct fixture *f) {
        int socket;

        assert_int_equal(pwrite(f->blob, f->tar.bytes.data, f->tar.bytes.len, 0), f->tar.bytes.len);
        assert_ok(unpacker_begin(f->unpacker, &f->job, f->blob, f->root, &socket));
        unpacker_available(socket, f->job.size);
        return await(socket);
}

TEST(a_wrong_digest_is_told_from_a_wrong_diff_id_and_leaves_nothing) {
        struct unpack_outcome outcome;
        struct fixture f;

        begin(&f);
        f.job.digest[10] ^= 1;
        outcome = run(&f);
        assert_true(outcome.blob_is_wrong);
        assert_true(is_empty(&f));
        error_free(outcome.error);
        end(&f);

        begin(&f);
        f.job.diff_id[10] ^= 1;
        outcome = run(&f);
        assert_false(outcome.blob_is_wrong);
        assert_error(outcome.error, ERROR_BAD_REQUEST, "but the image says");
        assert_true(is_empty(&f));
        end(&f);

        begin(&f); /* content that cannot be read, but with the right digest, is its maker's fault */
        f.tar.bytes.data[0] ^= 1;
        hash_of(f.tar.bytes.data, f.tar.bytes.len, f.job.digest);
        outcome = run(&f);
        assert_false(outcome.blob_is_wrong);
        assert_error(outcome.error, ERROR_BAD_REQUEST, "checksum");
        end(&f);

        begin(&f); /* and without it, the way's */
        f.tar.bytes.data[0] ^= 1;
        outcome = run(&f);
        assert_true(outcome.blob_is_wrong);
        error_free(outcome.error);
        end(&f);
}

TEST(a_child_that_is_given_up_goes_away) {
        struct fixture f;
        int socket;

        begin(&f);
        assert_ok(unpacker_begin(f.unpacker, &f.job, f.blob, f.root, &socket));
        fd_close(socket); /* nothing was ever available */
        end(&f);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
}

/* Runs a check in a confined process; its exit status says which attempt succeeded. */
static int confined(const char *folder) {
        _cleanup_close_ int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int outside = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                struct error *err = confine_unpacker(root);
                if (err)
                        _exit(100);
                if (socket(AF_INET, SOCK_STREAM, 0) >= 0)
                        _exit(1);
                if (fork() >= 0)
                        _exit(2);
                if (chroot(".") == 0)
                        _exit(3);
                if (openat(root, "inside", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0)
                        _exit(4);
                if (openat(AT_FDCWD, "/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0)
                        _exit(5);
                /* even with a descriptor that was left open by mistake */
                if (openat(outside, "husk-escaped", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0)
                        _exit(6);
                if (linkat(root, "inside", outside, "husk-escaped", 0) == 0)
                        _exit(7);
                execl("/inside", "inside", NULL);
                if (errno != EPERM)
                        _exit(8);
                if (fchown(openat(root, "inside", O_RDONLY | O_CLOEXEC), 1234, 1234) < 0)
                        _exit(9);
                _exit(0);
        }
        waitpid(pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

TEST(a_confined_process_writes_its_folder_and_does_nothing_else) {
        struct fixture f;

        begin(&f);
        _cleanup_free_ char *layer = path_join(f.folder, "layer");
        assert_int_equal(confined(layer), 0);
        end(&f);
}
