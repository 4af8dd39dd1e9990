/* hostPath: something on the host, checked. */
#include <sys/stat.h>

#include "base/file.h"
#include "base/str.h"
#include "volume/type.h"

/* What must be there for each type, and how a kubelet says that it is not. */
static const struct {
        const char *type;
        mode_t format; /* S_IFDIR, …; 0: anything */
        mode_t made;   /* mode of what is made if nothing is there; 0: nothing is made */
        const char *name;
} checks[] = {
        { "", 0, 0755, "directory" }, /* no check; container runtimes make the missing folder */
        { "DirectoryOrCreate", S_IFDIR, 0755, "directory" },
        { "Directory", S_IFDIR, 0, "directory" },
        { "FileOrCreate", S_IFREG, 0644, "file" },
        { "File", S_IFREG, 0, "file" },
        { "Socket", S_IFSOCK, 0, "socket file" },
        { "CharDevice", S_IFCHR, 0, "character device" },
        { "BlockDevice", S_IFBLK, 0, "block device" },
};

struct error *host_path_path(const struct volume_context *context, const V1Volume *volume, char **ret) {
        *ret = xstrdup(volume->volumesource->hostpath->path);
        return NULL;
}

static struct error *make(const char *path, bool folder, mode_t mode) {
        struct error *err;

        if (folder) {
                err = mkdir_parents(path, mode);
                if (!err && chmod(path, mode) < 0) /* whatever the umask */
                        err = error_errno(errno, "change %s", path);
                return err;
        }
        err = file_replace(path, "", 0, mode, FILE_EXCLUSIVE);
        if (error_is(err, ERROR_ALREADY_EXISTS)) /* somebody else made it meanwhile */
                err = error_free(err);
        return err;
}

struct error *host_path_setup(const struct volume_context *context, const V1Volume *volume) {
        const V1HostPathVolumeSource *source = volume->volumesource->hostpath;
        const char *type = source->type ? source->type : "";
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
                if (!streq(checks[i].type, type))
                        continue;
                if (stat(source->path, &st) < 0) {
                        if (errno != ENOENT && errno != ENOTDIR)
                                return error_errno(errno, "hostPath %s", source->path);
                        if (checks[i].made)
                                return make(source->path, checks[i].format != S_IFREG, checks[i].made);
                } else if (!checks[i].format || (st.st_mode & S_IFMT) == checks[i].format)
                        return NULL;
                return error_new(ERROR_INVALID, "hostPath type check failed: %s is not a %s", source->path,
                                 checks[i].name);
        }
        return error_new(ERROR_INVALID, "hostPath type %s is not known", type);
}
