#include "husk-image/unpacker.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/socket.h"
#include "husk-image/confine.h"
#include "husk-image/inflate.h"

#define READ_SIZE (256 << 10)
#define PROGRESS_BYTES (1 << 20)

struct unpacker {
        pid_t pid;
        int socket;
};

/* From the child: progress, and at the end the outcome with its words. */
struct message {
        uint64_t consumed;
        bool syncing, is_outcome, blob_is_wrong, has_error;
        enum error_reason reason;
        uint64_t size, entries;
        char text[1024];
};

/* The child's end of a job. */
struct work {
        struct unpack_job job;
        int blob, socket, root;
        uint64_t available, consumed, reported;
        struct hash blob_hash, diff_hash;
        struct inflate *inflate;
        bool hash_blob, hash_diff;
        uint8_t buf[READ_SIZE];
};

static void send_progress(struct work *work) {
        struct message message = { .consumed = work->consumed };

        work->reported = work->consumed;
        /* A full socket means that the main process is busy; it will hear of the next one. If it is gone, so are we. */
        if (send(work->socket, &message, offsetof(struct message, text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
            errno != EAGAIN && errno != ENOBUFS)
                _exit(1);
}

/* Waits until more of the blob is there than was read. */
static void await_blob(struct work *work) {
        while (work->available <= work->consumed) {
                uint64_t available;
                ssize_t n = recv(work->socket, &available, sizeof(available), 0);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n != sizeof(available))
                        _exit(1); /* the main process has given up */
                work->available = MIN(available, work->job.size);
        }
}

static struct error *read_blob(void *context, const uint8_t **data, size_t *len) {
        struct work *work = context;

        *len = 0;
        if (work->consumed == work->job.size)
                return NULL;
        await_blob(work);
        size_t wanted = MIN((uint64_t)READ_SIZE, work->available - work->consumed);
        ssize_t n = pread(work->blob, work->buf, wanted, work->consumed);
        if (n < 0)
                return error_errno(errno, "read the layer's blob");
        if (n == 0)
                return error_new(ERROR_BAD_REQUEST, "the layer's blob is shorter than its size");
        if (work->hash_blob)
                hash_add(&work->blob_hash, work->buf, n);
        work->consumed += n;
        if (work->consumed - work->reported >= PROGRESS_BYTES)
                send_progress(work);
        *data = work->buf;
        *len = n;
        return NULL;
}

static struct error *read_inflated(void *context, const uint8_t **data, size_t *len) {
        struct work *work = context;
        struct error *err = inflate_read(work->inflate, data, len);

        if (err || !*len)
                return err;
        /* Of a blob that is not compressed one hash is both; no byte is hashed twice. */
        if (inflate_is_plain(work->inflate) && streq(work->job.digest, work->job.diff_id))
                work->hash_diff = false;
        if (work->hash_diff)
                hash_add(&work->diff_hash, *data, *len);
        return NULL;
}

/* Whatever was wrong with the content, a blob without its digest is the cause and the better message. */
static bool blob_is_wrong(struct work *work) {
        char digest[DIGEST_TEXT];
        const uint8_t *data;
        size_t len;

        if (!work->hash_blob)
                return false;
        do {
                _cleanup_error_ struct error *err = read_blob(work, &data, &len);
                if (err)
                        return true;
        } while (len);
        hash_finish(&work->blob_hash, digest);
        return !streq(digest, work->job.digest);
}

static struct error *verify(struct work *work) {
        char diff_id[DIGEST_TEXT];

        if (!work->hash_diff)
                return NULL;
        hash_finish(&work->diff_hash, diff_id);
        if (streq(diff_id, work->job.diff_id))
                return NULL;
        return error_new(ERROR_BAD_REQUEST, "the unpacked layer has the digest %s, but the image says %s", diff_id,
                         work->job.diff_id);
}

/* Leaves the folder empty. */
static void remove_content(int root) {
        for (int round = 0; round < 2; round++) {
                int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                char buf[8192];
                ssize_t n;
                while (fd >= 0 && (n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
                        for (ssize_t i = 0; i < n;) {
                                struct {
                                        uint64_t ino, off;
                                        uint16_t reclen;
                                        uint8_t type;
                                        char name[];
                                } *entry = (void *)(buf + i);
                                i += entry->reclen;
                                if (!streq(entry->name, ".") && !streq(entry->name, ".."))
                                        error_free(remove_tree_at(root, entry->name));
                        }
                }
                fd_close(fd);
        }
}

/* The disk may be slow: the main process is told, so that another layer has the processor meanwhile. */
static struct error *sync_layer(struct work *work) {
        struct message message = { .consumed = work->consumed, .syncing = true };

        work->inflate = inflate_free(work->inflate);
        send(work->socket, &message, offsetof(struct message, text), MSG_NOSIGNAL);
        return syncfs(work->root) < 0 ? error_errno(errno, "sync the layer to disk") : NULL;
}

static struct error *unpack_blob(struct work *work, struct unpack_result *result) {
        struct error *err = unpack_layer(work->root, read_inflated, work, &work->job.limits, result);

        if (!err)
                err = verify(work);
        return err ? err : sync_layer(work);
}

_noreturn_ static void child(struct work *work) {
        struct message message = { .is_outcome = true };
        struct unpack_result result = { 0 };
        struct error *err;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        err = confine_unpacker(work->root);
        if (!err) {
                hash_init(&work->blob_hash);
                hash_init(&work->diff_hash);
                work->hash_blob = !work->job.blob_is_verified;
                work->hash_diff = true;
                work->inflate = inflate_new(read_blob, work);
                err = unpack_blob(work, &result);
                /* A full disk says nothing about the blob, and waiting for the rest of it would help nobody. */
                if (!error_is(err, ERROR_EXHAUSTED))
                        message.blob_is_wrong = blob_is_wrong(work);
        }
        if (err || message.blob_is_wrong)
                remove_content(work->root);
        message.consumed = work->consumed;
        message.size = result.size;
        message.entries = result.entries;
        message.has_error = err != NULL;
        if (err) {
                message.reason = error_reason(err);
                snprintf(message.text, sizeof(message.text), "%s", error_message(err));
        }
        send(work->socket, &message, sizeof(message), MSG_NOSIGNAL);
        _exit(0);
}

/* The unpacker itself: takes jobs until the main process is gone. */
_noreturn_ static void serve(int socket_fd) {
        static const int keep[] = {
                0 /* CHOWN */,       1 /* DAC_OVERRIDE */, 3 /* FOWNER */, 4 /* FSETID */,   8 /* SETPCAP */,
                18 /* SYS_CHROOT */, 21 /* SYS_ADMIN */,   27 /* MKNOD */, 31 /* SETFCAP */, -1
        };

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, "husk-unpack");
        signal(SIGINT, SIG_IGN); /* the main process decides, and takes us along */
        signal(SIGPIPE, SIG_IGN);
        (void)!unshare(CLONE_NEWNET); /* where it is forbidden, seccomp still keeps sockets away */
        error_free(confine_capabilities(keep));
        for (;;) {
                int fds[3];
                size_t n = ARRAY_SIZE(fds);
                struct unpack_job job;
                ssize_t got = socket_receive(socket_fd, &job, sizeof(job), fds, &n, 0);
                if (got == -EINTR)
                        continue;
                if (got <= 0)
                        _exit(0);
                while (waitpid(-1, NULL, WNOHANG) > 0)
                        ; /* what became of them their sockets have told */
                if (got == sizeof(job) && n == 3 && fork() == 0) {
                        static struct work work;
                        fd_close(socket_fd);
                        work = (struct work){ .job = job, .blob = fds[0], .root = fds[1], .socket = fds[2] };
                        child(&work);
                }
                for (size_t i = 0; i < n; i++)
                        fd_close(fds[i]);
        }
}

struct error *unpacker_start(struct unpacker **ret) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(errno, "socketpair");
        pid_t pid = fork();
        if (pid < 0) {
                int saved = errno;
                fd_close(pair[0]);
                fd_close(pair[1]);
                return error_errno(saved, "fork");
        }
        if (pid == 0) {
                fd_close(pair[0]);
                serve(pair[1]);
        }
        fd_close(pair[1]);
        *ret = new0(struct unpacker);
        **ret = (struct unpacker){ pid, pair[0] };
        return NULL;
}

struct unpacker *unpacker_stop(struct unpacker *unpacker) {
        if (!unpacker)
                return NULL;
        fd_close(unpacker->socket);
        kill(unpacker->pid, SIGKILL); /* its children go with it */
        while (waitpid(unpacker->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        free(unpacker);
        return NULL;
}

struct error *unpacker_begin(struct unpacker *unpacker, const struct unpack_job *job, int blob_fd, int root_fd,
                             int *ret_socket) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_errno(errno, "socketpair");
        int fds[] = { blob_fd, root_fd, pair[1] };
        int rc = socket_send(unpacker->socket, job, sizeof(*job), fds, ARRAY_SIZE(fds));
        fd_close(pair[1]);
        if (rc < 0) {
                fd_close(pair[0]);
                return error_errno(-rc, "hand a layer to the unpacker");
        }
        *ret_socket = pair[0];
        return NULL;
}

bool unpacker_available(int socket_fd, uint64_t bytes) {
        return send(socket_fd, &bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(bytes);
}

bool unpacker_news(int socket_fd, struct unpack_progress *progress, struct unpack_outcome *ret) {
        for (;;) {
                struct message message;
                ssize_t n = recv(socket_fd, &message, sizeof(message), MSG_DONTWAIT);

                /* A child that ended without reading all it was told resets the connection: that is said once, and what
                 * the child had said before can be read after it. */
                if (n < 0 && (errno == EINTR || errno == ECONNRESET))
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return false;
                *ret = (struct unpack_outcome){ 0 };
                if (n < (ssize_t)offsetof(struct message, text)) {
                        ret->error = error_new(ERROR_INTERNAL, "the unpacking process died (out of memory?)");
                        return true;
                }
                *progress = (struct unpack_progress){ message.consumed, message.syncing };
                if (!message.is_outcome)
                        continue;
                if (n < (ssize_t)sizeof(message)) /* nothing else is this long */
                        continue;
                message.text[sizeof(message.text) - 1] = '\0';
                ret->size = message.size;
                ret->entries = message.entries;
                ret->blob_is_wrong = message.blob_is_wrong;
                if (message.has_error)
                        ret->error = error_new(message.reason, "%s", message.text);
                return true;
        }
}
