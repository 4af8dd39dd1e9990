#include "base/huge-page.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

#define SIZES_MAX 16

char *huge_page_size_name(uint64_t bytes) {
        static const char *const units[] = { "KB", "MB", "GB" };
        uint64_t size = bytes >> 10;
        unsigned unit = 0;

        while (size >= 1024 && size % 1024 == 0 && unit + 1 < ARRAY_SIZE(units)) {
                size >>= 10;
                unit++;
        }
        return xasprintf("%llu%s", (unsigned long long)size, units[unit]);
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

char **huge_page_sizes(void) {
        DIR *dir = opendir("/sys/kernel/mm/hugepages");
        uint64_t kib[SIZES_MAX];
        struct dirent *entry;
        char **names = NULL;
        size_t n = 0;

        while (dir && n < SIZES_MAX && (entry = readdir(dir))) {
                unsigned long long size;

                if (sscanf(entry->d_name, "hugepages-%llukB", &size) == 1)
                        kib[n++] = size;
        }
        if (dir)
                closedir(dir);
        qsort(kib, n, sizeof(kib[0]), compare);
        for (size_t i = 0; i < n; i++)
                names = strv_add_take(names, huge_page_size_name(kib[i] << 10));
        return names;
}
