#include "husk/copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "base/str.h"

#define DEPTH_MAX 128 /* folders in folders; each holds two descriptors */
#define NAME_SIZE 256
#define READ_SIZE (64 * 1024)

struct copy {
        const struct copy_side *source, *target;
        const struct copy_options *options;
        struct strbuf at; /* path of what is being copied, for messages */
};

void copy_side_release(struct copy_side *side) {
        side->root = fd_close(side->root);
        free(side->groups);
        side->groups = NULL;
}

/* ---- as whom ---- */

/* The kernel checks access to files by the file system ids of the calling thread and takes the capabilities that go
 * around such checks away from any but root. setgroups(2) of the C library would be told to all threads; there is one.
 */
static void side_enter(const struct copy_side *side) {
        if (!side->remote)
                return;
        if (syscall(SYS_setgroups, side->n_groups, side->groups) == 0)
                setfsgid(side->gid);
        setfsuid(side->uid);
}

static void side_leave(const struct copy_side *side) {
        if (!side->remote)
                return;
        setfsuid(geteuid());
        setfsgid(getegid());
        syscall(SYS_setgroups, 0, NULL);
}

/* Runs an expression with the identity of a side; its value is that of the expression, errno is kept. */
#define AS(side, expression) \
        ({ \
                side_enter(side); \
                __typeof__(expression) _value = (expression); \
                int _errno = errno; \
                side_leave(side); \
                errno = _errno; \
                _value; \
        })

/* ---- messages ---- */

static struct error *failed(const struct copy *c, const char *what) {
        return error_errno(errno, "%s %s", what, strbuf_str(&c->at));
}

static void _printf_(2, 3) warn(const struct copy *c, const char *format, ...) {
        va_list ap;

        if (!c->options->warn)
                return;
        va_start(ap, format);
        _cleanup_free_ char *text = xvasprintf(format, ap);
        va_end(ap);
        c->options->warn(text);
}

/* ---- one file ---- */

/* For files that the kernel does not send: those of /proc and /sys. */
static struct error *copy_by_reading(const struct copy *c, int from, int to) {
        /* Not on the stack: inlined into the walk it would be there once for each folder. */
        _cleanup_free_ char *buffer = xmalloc(READ_SIZE);

        for (;;) {
                ssize_t n = read(from, buffer, READ_SIZE);
                if (n == 0)
                        return NULL;
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return failed(c, "read");
                struct error *err = fd_write_all(to, buffer, n);
                if (err)
                        return error_context(err, "%s", strbuf_str(&c->at));
        }
}

static struct error *copy_bytes(const struct copy *c, int from, int to) {
        for (;;) {
                ssize_t n = sendfile(to, from, NULL, 1 << 24);
                if (n == 0)
                        return NULL;
                if (n < 0 && errno == EINVAL)
                        return copy_by_reading(c, from, to);
                if (n < 0 && errno != EINTR)
                        return failed(c, "copy");
        }
}

static void keep_attributes(const struct copy *c, const struct stat *st, int to) {
        const struct timespec times[] = { st->st_atim, st->st_mtim };

        if (!c->options->preserve)
                return;
        /* Never set-user-id: the file's owner is another one than it was. */
        if (AS(c->target, fchmod(to, st->st_mode & 0777)) < 0 || AS(c->target, futimens(to, times)) < 0)
                warn(c, "%s: permissions or times could not be kept", strbuf_str(&c->at));
}

/* Nothing but a plain file is written to, whatever stands in its place: so no truncation before that is known. */
static struct error *copy_file(const struct copy *c, int from, const struct stat *st, int folder, const char *name) {
        const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        struct stat existing;
        _cleanup_close_ int to = AS(c->target, openat(folder, name, flags, (st->st_mode & 0777) | S_IWUSR));

        if (to < 0)
                return failed(c, "create");
        if (fstat(to, &existing) < 0 || !S_ISREG(existing.st_mode)) {
                errno = ENOTSUP;
                return failed(c, "what is to be replaced is no file:");
        }
        if (AS(c->target, ftruncate(to, 0)) < 0)
                return failed(c, "truncate");
        struct error *err = copy_bytes(c, from, to);
        if (!err)
                keep_attributes(c, st, to);
        return err;
}

/* ---- folders ---- */

static struct error *copy_entry(struct copy *c, int from_folder, const char *name, int to_folder, const char *new_name,
                                int depth);

static struct error *copy_entries(struct copy *c, int from, int to, int depth) {
        DIR *dir = fdopendir(dup(from));
        struct error *err = NULL;
        struct dirent *entry;
        size_t len = c->at.len;

        if (!dir)
                return failed(c, "read");
        while (!err && (entry = readdir(dir))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, "..") || strchr(entry->d_name, '/'))
                        continue;
                strbuf_addf(&c->at, "/%s", entry->d_name);
                err = copy_entry(c, from, entry->d_name, to, entry->d_name, depth + 1);
                strbuf_truncate(&c->at, len);
        }
        closedir(dir);
        return err;
}

static struct error *copy_folder(struct copy *c, int from, const struct stat *st, int to_folder, const char *new_name,
                                 int depth) {
        if (depth > DEPTH_MAX)
                return error_new(ERROR_INVALID, "%s: more than %d folders in one another", strbuf_str(&c->at),
                                 DEPTH_MAX);
        if (AS(c->target, mkdirat(to_folder, new_name, (st->st_mode & 0777) | S_IRWXU)) < 0 && errno != EEXIST)
                return failed(c, "make folder");
        _cleanup_close_ int to =
                AS(c->target, openat(to_folder, new_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (to < 0)
                return failed(c, "open folder");
        struct error *err = copy_entries(c, from, to, depth);
        if (!err)
                keep_attributes(c, st, to);
        return err;
}

/* A link from this machine is made in the container, where only the container follows it. One from a container is
 * passed over, as kubectl does: here it could point anywhere. */
static struct error *copy_link(const struct copy *c, int from_folder, const char *name, int to_folder,
                               const char *new_name) {
        char target[4096];
        ssize_t n = AS(c->source, readlinkat(from_folder, name, target, sizeof(target) - 1));

        if (n < 0)
                return failed(c, "read link");
        target[n] = '\0';
        if (c->source->remote) {
                warn(c, "skipping symlink: \"%s\" -> \"%s\"", strbuf_str(&c->at), target);
                return NULL;
        }
        if (AS(c->target, symlinkat(target, to_folder, new_name)) < 0)
                return failed(c, "make link");
        return NULL;
}

static struct error *copy_opened(struct copy *c, int from, int to_folder, const char *new_name, int depth) {
        struct stat st;

        if (fstat(from, &st) < 0)
                return failed(c, "look at");
        if (S_ISDIR(st.st_mode))
                return copy_folder(c, from, &st, to_folder, new_name, depth);
        if (S_ISREG(st.st_mode))
                return copy_file(c, from, &st, to_folder, new_name);
        warn(c, "skipping %s: neither file nor folder", strbuf_str(&c->at));
        return NULL;
}

static bool is_plain(const struct stat *st) {
        return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

static struct error *copy_entry(struct copy *c, int from_folder, const char *name, int to_folder, const char *new_name,
                                int depth) {
        struct stat st;

        if (AS(c->source, fstatat(from_folder, name, &st, AT_SYMLINK_NOFOLLOW)) < 0)
                return failed(c, "look at");
        if (S_ISLNK(st.st_mode))
                return copy_link(c, from_folder, name, to_folder, new_name);
        if (!is_plain(&st)) {
                warn(c, "skipping %s: neither file nor folder", strbuf_str(&c->at));
                return NULL;
        }
        /* It may have become a pipe or a device meanwhile: opened so that neither blocks, and looked at again. */
        _cleanup_close_ int from =
                AS(c->source, openat(from_folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        if (from < 0)
                return failed(c, "open");
        return copy_opened(c, from, to_folder, new_name, depth);
}

/* ---- where to ---- */

/* Last part of a path, without slashes at its end; false for "/", "." and "..". */
static bool last_part(const char *path, char ret[static NAME_SIZE]) {
        size_t end = strlen(path), start;

        while (end > 0 && path[end - 1] == '/')
                end--;
        for (start = end; start > 0 && path[start - 1] != '/';)
                start--;
        if (end == start || end - start >= NAME_SIZE)
                return false;
        memcpy(ret, path + start, end - start);
        ret[end - start] = '\0';
        return !streq(ret, ".") && !streq(ret, "..");
}

/* The folder in which the copy appears, and its name there. */
static struct error *find_target(const struct copy_side *target, const char *to, const char *from, int *ret_folder,
                                 char ret_name[static NAME_SIZE]) {
        _cleanup_close_ int folder = AS(target, open_in_root(target->root, to, O_RDONLY | O_DIRECTORY, 0));

        if (folder >= 0) {
                if (!last_part(from, ret_name) && !last_part(to, ret_name))
                        return error_new(ERROR_INVALID, "%s has no name to be copied under", from);
                *ret_folder = TAKE_FD(folder);
                return NULL;
        }
        if (!last_part(to, ret_name))
                return error_errno(-folder, "open %s", to);
        size_t len = strlen(to);
        bool wants_folder = len > 0 && to[len - 1] == '/';
        while (len > 0 && to[len - 1] == '/')
                len--;
        _cleanup_free_ char *parent = xstrndup(to, len - strlen(ret_name));
        folder = AS(target, open_in_root(target->root, *parent ? parent : "/", O_RDONLY | O_DIRECTORY, 0));
        if (folder < 0 || wants_folder)
                return error_errno(folder < 0 ? -folder : ENOENT, "open folder %s", wants_folder ? to : parent);
        *ret_folder = TAKE_FD(folder);
        return NULL;
}

struct error *copy_tree(const struct copy_side *source, const char *from, const struct copy_side *target,
                        const char *to, const struct copy_options *options) {
        struct copy c = { .source = source, .target = target, .options = options };
        _cleanup_close_ int folder = -EBADF;
        char name[NAME_SIZE];
        struct error *err;

        /* Looked at before it is opened: opening a device may do something, and a pipe nobody writes to blocks. */
        _cleanup_close_ int seen = AS(source, open_in_root(source->root, from, O_PATH, 0));
        struct stat st;
        if (seen < 0)
                return error_errno(-seen, "open %s", from);
        if (fstat(seen, &st) < 0 || !is_plain(&st))
                return error_new(ERROR_INVALID, "%s is neither file nor folder", from);
        _cleanup_close_ int opened = AS(source, open_in_root(source->root, from, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0));
        if (opened < 0)
                return error_errno(-opened, "open %s", from);
        err = find_target(target, to, from, &folder, name);
        if (err)
                return err;
        strbuf_adds(&c.at, from);
        err = copy_opened(&c, opened, folder, name, 0);
        strbuf_release(&c.at);
        return err;
}
