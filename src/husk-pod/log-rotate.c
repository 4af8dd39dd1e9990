#include "husk-pod/log-rotate.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"

/* Names of the rotated files of `path`, the oldest first; NULL: none. */
static char **rotated_list(const char *path, int *ret_folder) {
        _cleanup_free_ char *folder = xstrdup(path);
        char **names = NULL, *base = strrchr(folder, '/');
        struct dirent *entry;

        *base++ = '\0';
        DIR *dir = opendir(*folder ? folder : "/");
        if (!dir)
                return NULL;
        size_t len = strlen(base);
        while ((entry = readdir(dir)))
                if (strncmp(entry->d_name, base, len) == 0 && entry->d_name[len] == '.')
                        names = strv_add(names, entry->d_name);
        strv_sort(names);
        *ret_folder = fcntl(dirfd(dir), F_DUPFD_CLOEXEC, 3);
        closedir(dir);
        return names;
}

void log_rotated_prune(const char *path, size_t keep) {
        _cleanup_close_ int folder = -EBADF;
        _cleanup_strv_ char **names = rotated_list(path, &folder);
        size_t n = strv_len(names);

        for (size_t i = 0; i + keep < n; i++)
                unlinkat(folder, names[i], 0);
}

/* The next name after one that is there: one more in its second, "….007" after "….006". */
static char *name_after(const char *name) {
        size_t len = strlen(name);
        unsigned number = 0;

        if (len > 4 && name[len - 4] == '.' && sscanf(name + len - 3, "%3u", &number) == 1 && number < 999)
                return xasprintf("%.*s.%03u", (int)len - 4, name, number + 1);
        return xasprintf("%s.001", name);
}

char *log_rotated_name(const char *path) {
        _cleanup_close_ int folder = -EBADF;
        _cleanup_strv_ char **names = rotated_list(path, &folder);
        const char *base = strrchr(path, '/') + 1, *newest = names ? names[strv_len(names) - 1] : NULL;
        time_t now = clock_realtime_ns() / NSEC_PER_SEC;
        char stamp[32];
        struct tm tm;

        gmtime_r(&now, &tm);
        strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
        _cleanup_free_ char *name = xasprintf("%s.%s", base, stamp);
        if (newest && strcmp(name, newest) <= 0) {
                free(name);
                name = name_after(newest);
        }
        return xasprintf("%.*s%s", (int)(base - path), path, name);
}
