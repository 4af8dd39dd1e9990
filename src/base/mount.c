#include "base/mount.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/str.h"

/* <sys/mount.h> and <linux/mount.h> cannot be included together with older C libraries, hence the bare system calls. */
#define MOUNT_DETACH 2            /* MNT_DETACH */
#define MOUNT_PRIVATE (1UL << 18) /* MS_PRIVATE */
#define UNMOUNT_NO_FOLLOW 8       /* UMOUNT_NOFOLLOW */
#define PATH_ITSELF 0x1000        /* AT_EMPTY_PATH */
#define PATH_RECURSIVE 0x8000     /* AT_RECURSIVE */
#define FSCONFIG_STRING_MAX 255   /* the kernel's bound for one string of fsconfig(2) */

static int sys_fsopen(const char *type) {
        return syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int sys_fsconfig(int fd, unsigned command, const char *key, const char *value) {
        return syscall(SYS_fsconfig, fd, command, key, value, 0);
}

static int sys_fsmount(int fd, unsigned attributes) {
        return syscall(SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}

/* ---- lists ---- */

struct mount_entry *mount_list_add(struct mount_list *list, const char *destination, const char *source,
                                   const char *type, const char *options) {
        struct mount_entry *entry;

        list->entries = xreallocarray(list->entries, list->count + 1, sizeof(*list->entries));
        entry = &list->entries[list->count++];
        *entry = (struct mount_entry){
                .destination = xstrdup(destination),
                .source = xstrdup(source),
                .type = xstrdup(type),
                .options = str_empty(options) ? NULL : strv_split(options, ','),
        };
        return entry;
}

void mount_entry_add_option(struct mount_entry *entry, const char *option) {
        entry->options = strv_add(entry->options, option);
}

struct mount_entry *mount_list_find(const struct mount_list *list, const char *destination) {
        for (size_t i = 0; list && i < list->count; i++)
                if (streq(list->entries[i].destination, destination))
                        return &list->entries[i];
        return NULL;
}

static size_t path_depth(const char *path) {
        size_t depth = 0;

        for (const char *p = path; *p; p++)
                if (*p == '/' && p[1] && p[1] != '/')
                        depth++;
        return depth;
}

void mount_list_sort(struct mount_list *list) {
        /* Insertion sort: stable, and the lists are short. */
        for (size_t i = 1; i < list->count; i++) {
                struct mount_entry moved = list->entries[i];
                size_t depth = path_depth(moved.destination), j = i;

                for (; j > 0 && path_depth(list->entries[j - 1].destination) > depth; j--)
                        list->entries[j] = list->entries[j - 1];
                list->entries[j] = moved;
        }
}

void mount_list_release(struct mount_list *list) {
        for (size_t i = 0; i < list->count; i++) {
                free(list->entries[i].destination);
                free(list->entries[i].source);
                free(list->entries[i].type);
                strv_free(list->entries[i].options);
        }
        free(list->entries);
        *list = (struct mount_list){ 0 };
}

/* ---- file systems ---- */

/* The kernel's own words for what fsconfig refused lie in the context's message queue ("e overlay: …"). */
static char *fs_message(int fs_fd) {
        char text[512];
        ssize_t n = read(fs_fd, text, sizeof(text) - 1);

        if (n <= 0)
                return NULL;
        text[n] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return xstrdup(n > 2 && text[1] == ' ' ? text + 2 : text);
}

static struct error *fs_error(int fs_fd, int errnum, const char *what) {
        _cleanup_free_ char *message = fs_message(fs_fd);

        if (message)
                return error_errno(errnum, "%s: %s", what, message);
        return error_errno(errnum, "%s", what);
}

static struct error *set_option(int fs_fd, const char *type, const char *option) {
        bool may_be_unknown = option[0] == '?';
        _cleanup_free_ char *key = xstrdup(option + may_be_unknown);
        char *value = strchr(key, '=');
        int r;

        if (value)
                *value++ = '\0';
        r = sys_fsconfig(fs_fd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value);
        if (r < 0 && !may_be_unknown)
                return error_errno(errno, "set option %s of a %s", key, type);
        return NULL;
}

struct error *mount_new(const char *type, const char *options, int *ret_mount_fd) {
        _cleanup_strv_ char **list = str_empty(options) ? NULL : strv_split(options, ',');
        _cleanup_close_ int fs_fd = sys_fsopen(type);
        struct error *err;
        int fd;

        if (fs_fd < 0)
                return error_errno(errno, "make a %s", type);
        (void)sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", type);
        for (char **option = list; option && *option; option++) {
                err = set_option(fs_fd, type, *option);
                if (err)
                        return err;
        }
        if (sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
                return fs_error(fs_fd, errno, type);
        fd = sys_fsmount(fs_fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
        if (fd < 0)
                return error_errno(errno, "mount a %s", type);
        *ret_mount_fd = fd;
        return NULL;
}

struct error *mount_clone(int fd, bool recursive, int *ret_mount_fd) {
        unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | PATH_ITSELF | (recursive ? PATH_RECURSIVE : 0);
        int clone = syscall(SYS_open_tree, fd, "", flags);

        if (clone < 0)
                return error_errno(errno, "clone a mount");
        *ret_mount_fd = clone;
        return NULL;
}

struct error *mount_attach(int mount_fd, int target_fd) {
        if (syscall(SYS_move_mount, mount_fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return error_errno(errno, "attach a mount");
        return NULL;
}

struct error *mount_set_attributes(int mount_fd, bool recursive, uint64_t set, uint64_t clear) {
        struct mount_attr attributes = { .attr_set = set, .attr_clr = clear };

        if (syscall(SYS_mount_setattr, mount_fd, "", PATH_ITSELF | (recursive ? PATH_RECURSIVE : 0), &attributes,
                    sizeof(attributes)) < 0)
                return error_errno(errno, "change a mount");
        return NULL;
}

struct error *mount_make_shared(int mount_fd) {
        struct mount_attr attributes = { .propagation = 1UL << 20 /* MS_SHARED */ };

        if (syscall(SYS_mount_setattr, mount_fd, "", PATH_ITSELF, &attributes, sizeof(attributes)) < 0)
                return error_errno(errno, "make a mount shared");
        return NULL;
}

bool mount_is_root(int fd) {
        struct statx stx;

        return statx(fd, "", PATH_ITSELF, 0, &stx) == 0 && stx.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

/* ---- overlayfs ---- */

/* fsconfig takes strings of 255 bytes; a longer path is named by a descriptor that stays open until the mount is made.
 */
static struct error *overlay_path(int fs_fd, const char *key, const char *path, int *long_paths, size_t *n_long_paths) {
        char short_name[40];
        int fd;

        if (strlen(path) > FSCONFIG_STRING_MAX) {
                fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return error_errno(errno, "open %s", path);
                long_paths[(*n_long_paths)++] = fd;
                snprintf(short_name, sizeof(short_name), "/proc/self/fd/%d", fd);
        }
        if (sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, key, strlen(path) > FSCONFIG_STRING_MAX ? short_name : path) < 0) {
                if (errno == ENOENT || errno == ENOTDIR)
                        return error_errno(errno, "open %s", path);
                return fs_error(fs_fd, errno, "overlay");
        }
        return NULL;
}

/* Before Linux 6.5 an overlay's context takes any option and refuses it only, and to the kernel's log, when the mount
 * is made. One that no kernel has tells. */
static bool overlay_takes_anything(int fs_fd) {
        if (sys_fsconfig(fs_fd, FSCONFIG_SET_FLAG, "no-such-option", NULL) == 0)
                return true;
        free(fs_message(fs_fd));
        return false;
}

/* Linux 6.8: one "lowerdir+" per layer. *ret_unknown: this kernel does not have it. */
static struct error *overlay_by_list(char *const *layers, const char *upper, const char *work, int target_fd,
                                     int *long_paths, size_t *n_long_paths, bool *ret_unknown) {
        _cleanup_close_ int fs_fd = sys_fsopen("overlay");
        _cleanup_close_ int mount_fd = -EBADF;
        struct error *err;

        if (fs_fd < 0)
                return error_errno(errno, "make an overlay");
        if (overlay_takes_anything(fs_fd)) {
                *ret_unknown = true;
                return NULL;
        }
        for (char *const *layer = layers; *layer; layer++) {
                err = overlay_path(fs_fd, "lowerdir+", *layer, long_paths, n_long_paths);
                if (err && layer == layers && error_errnum(err) == EINVAL) {
                        *ret_unknown = true;
                        error_free(err);
                        return NULL;
                }
                if (err)
                        return err;
        }
        if (upper) {
                err = overlay_path(fs_fd, "upperdir", upper, long_paths, n_long_paths);
                if (!err)
                        err = overlay_path(fs_fd, "workdir", work, long_paths, n_long_paths);
                if (err)
                        return err;
                /* What is written here never outlives a power cut: no need to sync it (Linux 5.10). */
                (void)sys_fsconfig(fs_fd, FSCONFIG_SET_FLAG, "volatile", NULL);
        }
        (void)sys_fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", "overlay");
        if (sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
                return fs_error(fs_fd, errno, "make an overlay");
        mount_fd = sys_fsmount(fs_fd, upper ? 0 : MOUNT_ATTR_RDONLY);
        if (mount_fd < 0)
                return error_errno(errno, "mount an overlay");
        return mount_attach(mount_fd, target_fd);
}

/* Makes links "0", "1", … to the layers, so that 500 names fit into the one page of options that mount(2) takes. */
static struct error *overlay_links_make(int links_fd, char *const *layers) {
        char name[16];

        for (size_t i = 0; layers[i]; i++) {
                snprintf(name, sizeof(name), "%x", (unsigned)(uint16_t)i);
                if (symlinkat(layers[i], links_fd, name) < 0 && errno != EEXIST)
                        return error_errno(errno, "link layer %s", layers[i]);
        }
        return NULL;
}

static char *overlay_options(size_t n_layers, const char *upper, const char *work) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;

        strbuf_adds(&b, "lowerdir=");
        for (size_t i = 0; i < n_layers; i++)
                strbuf_addf(&b, i ? ":%zx" : "%zx", i);
        /* upper and work are links too ("u", "w"): their paths need no escaping and no room. */
        if (upper)
                strbuf_adds(&b, ",upperdir=u,workdir=w,volatile");
        return strbuf_take(&b);
}

/* mount(2) resolves relative layers from the working folder, which belongs to the whole process: a child does it. */
static int overlay_mount_in_child(int links_fd, int target_fd, const char *options, bool read_only) {
        char target[40];
        int status;
        pid_t pid;

        snprintf(target, sizeof(target), "/proc/self/fd/%d", target_fd);
        pid = fork();
        if (pid < 0)
                return errno;
        if (pid == 0) {
                if (fchdir(links_fd) < 0)
                        _exit(errno);
                _exit(syscall(SYS_mount, "overlay", target, "overlay", read_only ? 1UL : 0UL, options) < 0 ? errno : 0);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return errno;
        return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

static struct error *overlay_by_links(char *const *layers, size_t n_layers, const char *upper, const char *work,
                                      const char *target, int target_fd) {
        _cleanup_free_ char *options = overlay_options(n_layers, upper, work);
        _cleanup_free_ char *links = xasprintf("%s.layers", target);
        _cleanup_close_ int links_fd = -EBADF;
        struct error *err;
        int errnum;

        err = remove_tree(links);
        if (err)
                return err;
        err = mkdir_parents(links, 0700);
        if (err)
                return err;
        links_fd = open(links, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (links_fd < 0)
                return error_errno(errno, "open %s", links);
        err = overlay_links_make(links_fd, layers);
        if (!err && upper && (symlinkat(upper, links_fd, "u") < 0 || symlinkat(work, links_fd, "w") < 0))
                err = error_errno(errno, "link %s", upper);
        if (!err) {
                errnum = overlay_mount_in_child(links_fd, target_fd, options, !upper);
                if (errnum)
                        err = error_errno(errnum, "mount an overlay of %zu layers", n_layers);
        }
        error_free(remove_tree(links));
        return err;
}

static struct error *bind_read_only(const char *path, int target_fd) {
        _cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), mount_fd = -EBADF;
        struct error *err;

        if (fd < 0)
                return error_errno(errno, "open %s", path);
        err = mount_clone(fd, false, &mount_fd);
        if (!err)
                err = mount_set_attributes(mount_fd, false, MOUNT_ATTR_RDONLY, 0);
        if (!err)
                err = mount_attach(mount_fd, target_fd);
        return err;
}

struct error *mount_overlay(char *const *layers, const char *upper, const char *work, const char *target) {
        int long_paths[OVERLAY_LAYERS_MAX + 2];
        size_t n_long_paths = 0, n_layers = strv_len(layers);
        _cleanup_close_ int target_fd = -EBADF;
        bool unknown = false;
        struct error *err;

        if (n_layers == 0)
                return error_new(ERROR_INVALID, "an overlay needs at least one layer");
        if (n_layers > OVERLAY_LAYERS_MAX)
                return error_new(ERROR_NOT_SUPPORTED, "the image has %zu layers; overlayfs takes at most %d", n_layers,
                                 OVERLAY_LAYERS_MAX);
        target_fd = open(target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (target_fd < 0)
                return error_errno(errno, "open %s", target);
        if (!upper && n_layers == 1)
                return error_context(bind_read_only(layers[0], target_fd), "mount %s", target);
        err = overlay_by_list(layers, upper, work, target_fd, long_paths, &n_long_paths, &unknown);
        while (n_long_paths > 0)
                fd_close(long_paths[--n_long_paths]);
        if (!err && unknown)
                err = overlay_by_links(layers, n_layers, upper, work, target, target_fd);
        return error_context(err, "mount %s", target);
}

/* ---- mountinfo ---- */

/* The fifth field of a mountinfo line, its octal escapes (blank, tab, newline, backslash) undone. */
static char *mountinfo_target(const char *line) {
        _cleanup_strbuf_ struct strbuf b = STRBUF_INIT;
        const char *p = line;

        for (int field = 1; field < 5 && p; field++) {
                p = strchr(p, ' ');
                if (p)
                        p++;
        }
        for (; p && *p && *p != ' ' && *p != '\n'; p++) {
                if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
                    p[3] <= '7') {
                        strbuf_addc(&b, (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0')));
                        p += 3;
                } else
                        strbuf_addc(&b, *p);
        }
        return strbuf_take(&b);
}

/* The line of one mount, by its id (the first field). */
static struct error *mountinfo_line(uint64_t id, char **ret) {
        _cleanup_free_ char *line = NULL;
        FILE *file = fopen("/proc/self/mountinfo", "re");
        size_t size = 0;

        if (!file)
                return error_errno(errno, "read /proc/self/mountinfo");
        while (getline(&line, &size, file) > 0)
                if (strtoull(line, NULL, 10) == id) {
                        fclose(file);
                        *ret = TAKE_PTR(line);
                        return NULL;
                }
        fclose(file);
        return error_new(ERROR_NOT_FOUND, "mount %llu is not in this mount namespace", (unsigned long long)id);
}

struct error *mount_propagation(int fd, bool *ret_shared, bool *ret_slave, char **ret_mountpoint) {
        _cleanup_free_ char *line = NULL;
        struct error *err;
        struct statx stx;
        char *end;

        if (statx(fd, "", PATH_ITSELF, STATX_MNT_ID, &stx) < 0)
                return error_errno(errno, "find a mount");
        err = mountinfo_line(stx.stx_mnt_id, &line);
        if (err)
                return err;
        if (ret_mountpoint)
                *ret_mountpoint = mountinfo_target(line);
        /* Optional fields stand between the options and a lone "-"; paths have their blanks escaped. */
        end = strstr(line, " - ");
        if (end)
                *end = '\0';
        *ret_shared = strstr(line, " shared:");
        *ret_slave = strstr(line, " master:");
        return NULL;
}

static struct error *mounts_below(const char *path, char ***ret) {
        _cleanup_strv_ char **found = NULL;
        _cleanup_free_ char *line = NULL;
        size_t size = 0, len = strlen(path);
        FILE *file = fopen("/proc/self/mountinfo", "re");

        if (!file)
                return error_errno(errno, "read /proc/self/mountinfo");
        while (getline(&line, &size, file) > 0) {
                char *target = mountinfo_target(line);

                if (strncmp(target, path, len) == 0 && (target[len] == '/' || target[len] == '\0'))
                        found = strv_add_take(found, target);
                else
                        free(target);
        }
        fclose(file);
        *ret = TAKE_PTR(found);
        return NULL;
}

/* As the kernel names it in mountinfo: links in the parents resolved, the last part kept. */
static struct error *path_of_mountinfo(const char *path, char **ret) {
        _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        char name[40], real[4096];
        ssize_t n;

        *ret = NULL;
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
                return NULL;
        if (fd < 0)
                return error_errno(errno, "open %s", path);
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        n = readlink(name, real, sizeof(real) - 1);
        if (n < 0)
                return error_errno(errno, "resolve %s", path);
        *ret = xstrndup(real, n);
        return NULL;
}

struct error *unmount_below(const char *path) {
        _cleanup_free_ char *real = NULL;
        struct error *err;

        err = path_of_mountinfo(path, &real);
        if (err || !real)
                return err;
        /* What lay under a mount that has just gone may come to light: look again until there is nothing. */
        for (int pass = 0; pass < 8; pass++) {
                _cleanup_strv_ char **targets = NULL;

                err = mounts_below(real, &targets);
                if (err)
                        return err;
                if (!targets)
                        return NULL;
                /* Peers elsewhere keep what is mounted in them (a Bidirectional volume's on the host). */
                for (char **target = targets; *target; target++)
                        (void)syscall(SYS_mount, NULL, *target, NULL, MOUNT_PRIVATE, NULL);
                for (size_t i = strv_len(targets); i-- > 0;)
                        if (syscall(SYS_umount2, targets[i], MOUNT_DETACH | UNMOUNT_NO_FOLLOW) < 0 && errno != EINVAL &&
                            errno != ENOENT)
                                return error_errno(errno, "unmount %s", targets[i]);
        }
        return error_new(ERROR_INTERNAL, "unmount %s: new mounts keep appearing", real);
}
