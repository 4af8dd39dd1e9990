/* husk-image df */
#include <dirent.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/str.h"
#include "husk-image/gc.h"
#include "husk-image/options.h"
#include "image/layout.h"

static size_t count_entries(const char *path) {
        struct dirent *entry;
        DIR *dir = opendir(path);
        size_t n = 0;

        while (dir && (entry = readdir(dir)))
                n += entry->d_name[0] != '.';
        if (dir)
                closedir(dir);
        return n;
}

struct error *verb_df(struct context *context) {
        static const struct {
                const char *title, *folder;
        } kinds[] = { { "Images", "images/sha256" },
                      { "Layers", "layers/sha256" },
                      { "Blobs", "blobs/sha256" },
                      { "Under way", "ingest" } };
        json_auto_t *json = json_object();
        struct statvfs disk = { 0 };
        char size[SIZE_TEXT];

        if (!context->options->json)
                printf("%-10s  %6s  %s\n", "TYPE", "COUNT", "SIZE");
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                _cleanup_free_ char *path = path_join(context->images, kinds[i].folder);
                size_t count = count_entries(path);
                uint64_t bytes = disk_usage(path);
                json_object_set_new(json, kinds[i].folder,
                                    json_pack("{s:i, s:I}", "count", (int)count, "bytes", (json_int_t)bytes));
                if (!context->options->json)
                        printf("%-10s  %6zu  %s\n", kinds[i].title, count, size_format(bytes, size));
        }
        statvfs(context->store->root, &disk);
        uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize, total = (uint64_t)disk.f_blocks * disk.f_frsize;
        if (context->options->json) {
                json_object_set_new(
                        json, "disk",
                        json_pack("{s:I, s:I}", "free", (json_int_t)free_bytes, "bytes", (json_int_t)total));
                _cleanup_free_ char *text = json_dumps(json, JSON_INDENT(2));
                puts(text);
        } else {
                printf("%-10s  %6s  %s of ", "Disk free", "", size_format(free_bytes, size));
                printf("%s\n", size_format(total, size));
        }
        return NULL;
}
