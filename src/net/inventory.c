#include "net/inventory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"

#define HEAD_SIZE 64
#define INVENTORY_MAX (64 << 20) /* a range has at most 2^24 numbers; beyond this the folder is listed */

/* ---- the state of the folder ---- */

/* Two states of the folder that differ have different heads: names that come or go change its time; within one tick of
 * a clock that is coarse, on a tmpfs, its size. */
static void head_format(const struct stat *folder, char ret[static HEAD_SIZE + 1]) {
        char text[HEAD_SIZE];

        snprintf(text, sizeof(text), "%llu %lld %lld.%09ld", (unsigned long long)folder->st_ino,
                 (long long)folder->st_size, (long long)folder->st_mtim.tv_sec, (long)folder->st_mtim.tv_nsec);
        snprintf(ret, HEAD_SIZE + 1, "%-*s\n", HEAD_SIZE - 1, text);
}

static bool head_matches(int fd, int folder_fd) {
        char have[HEAD_SIZE], want[HEAD_SIZE + 1];
        struct stat folder;

        if (fd < 0 || folder_fd < 0 || fstat(folder_fd, &folder) < 0 || pread(fd, have, HEAD_SIZE, 0) != HEAD_SIZE)
                return false;
        head_format(&folder, want);
        return memcmp(have, want, HEAD_SIZE) == 0;
}

/* What no head begins with. */
static void head_erase(int fd) {
        if (pwrite(fd, "-", 1, 0) != 1 && ftruncate(fd, 0) < 0)
                log_warning("the inventory of leases cannot be voided: %s", strerror(errno));
}

static void head_write(int fd, int folder_fd) {
        char text[HEAD_SIZE + 1];
        struct stat folder;

        if (fstat(folder_fd, &folder) < 0)
                return;
        head_format(&folder, text);
        if (pwrite(fd, text, HEAD_SIZE, 0) != HEAD_SIZE)
                head_erase(fd);
}

static int inventory_open(const struct store *store, int flags) {
        _cleanup_free_ char *path = path_join(store->run, "net/inventory");
        return open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int folder_open(const struct store *store) {
        _cleanup_free_ char *folder = leases_folder(store);
        return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void inventory_begin(const struct store *store, struct inventory *ret) {
        *ret = (struct inventory){ inventory_open(store, O_RDWR), folder_open(store), false };
        ret->valid = head_matches(ret->fd, ret->folder_fd);
        if (ret->fd >= 0)
                head_erase(ret->fd);
}

void inventory_end(struct inventory *inventory, bool same_names) {
        if (inventory->valid && same_names)
                head_write(inventory->fd, inventory->folder_fd);
        inventory->fd = fd_close(inventory->fd);
        inventory->folder_fd = fd_close(inventory->folder_fd);
}

/* ---- the list ---- */

void lease_list_release(struct lease_list *list) {
        free(list->names);
        free(list->text);
        memset(list, 0, sizeof(*list));
}

static void lease_list_add(struct lease_list *list, char *name) {
        char *end;
        unsigned long number = strtoul(name, &end, 10);

        if (*name < '1' || *name > '9' || *end != '-' || !end[1] || number > UINT32_MAX)
                return; /* "." and "..", and what was being written when somebody died */
        if ((list->n & (list->n - 1)) == 0)
                list->names = xreallocarray(list->names, list->n ? list->n * 2 : 1, sizeof(*list->names));
        list->names[list->n++] = (struct lease_name){ (uint32_t)number, end + 1 };
}

/* Takes the text over: names, one a line. */
static void lease_list_parse(char *text, struct lease_list *ret) {
        *ret = (struct lease_list){ .text = text };
        for (char *line = text, *next; *line; line = next) {
                next = line + strcspn(line, "\n");
                if (*next)
                        *next++ = '\0';
                lease_list_add(ret, line);
        }
}

struct error *lease_list_peek(const struct store *store, struct lease_list *ret) {
        _cleanup_free_ char *folder = leases_folder(store);
        _cleanup_strbuf_ struct strbuf names = STRBUF_INIT;
        DIR *dir = opendir(folder);

        *ret = (struct lease_list){ 0 };
        if (!dir)
                return errno == ENOENT ? NULL : error_errno(errno, "open %s", folder);
        for (struct dirent *entry; (entry = readdir(dir));) {
                strbuf_adds(&names, entry->d_name);
                strbuf_addc(&names, '\n');
        }
        closedir(dir);
        lease_list_parse(strbuf_take(&names), ret);
        return NULL;
}

static bool inventory_read(const struct store *store, struct lease_list *ret) {
        _cleanup_close_ int fd = inventory_open(store, O_RDONLY), folder_fd = folder_open(store);
        _cleanup_free_ char *text = NULL;
        size_t len;

        if (!head_matches(fd, folder_fd))
                return false;
        struct error *err = fd_read_all(fd, INVENTORY_MAX, &text, &len);
        if (err || len < HEAD_SIZE) {
                error_free(err);
                return false;
        }
        memmove(text, text + HEAD_SIZE, len - HEAD_SIZE + 1);
        lease_list_parse(TAKE_PTR(text), ret);
        return true;
}

struct error *lease_list_read(const struct store *store, struct lease_list *ret) {
        if (inventory_read(store, ret))
                return NULL;
        _cleanup_free_ char *folder = leases_folder(store), *above = path_join(store->run, "net");
        files_sweep(folder, NULL); /* an older husk had a name of its own for each file that it was writing */
        files_sweep(above, NULL);
        struct error *err = lease_list_peek(store, ret);
        if (!err)
                lease_list_save(store, ret, NULL);
        return err;
}

void lease_list_save(const struct store *store, const struct lease_list *list, const struct lease *added) {
        _cleanup_close_ int fd = inventory_open(store, O_RDWR | O_CREAT), folder_fd = folder_open(store);
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;

        if (fd < 0 || folder_fd < 0)
                return;
        strbuf_addf(&text, "-%*s\n", HEAD_SIZE - 2, "");
        for (size_t i = 0; i < list->n; i++)
                strbuf_addf(&text, "%u-%s\n", list->names[i].number, list->names[i].uid);
        if (added)
                strbuf_addf(&text, "%u-%s\n", added->number, added->uid);
        if (pwrite(fd, text.data, text.len, 0) == (ssize_t)text.len && ftruncate(fd, (off_t)text.len) == 0)
                head_write(fd, folder_fd);
}

const struct lease_name *lease_list_find(const struct lease_list *list, const char *pod_uid) {
        for (size_t i = 0; i < list->n; i++)
                if (streq(list->names[i].uid, pod_uid))
                        return &list->names[i];
        return NULL;
}

/* ---- numbers ---- */

static bool number_is_taken(const struct lease_list *list, uint32_t number) {
        for (size_t i = 0; i < list->n; i++)
                if (list->names[i].number == number)
                        return true;
        return false;
}

uint32_t lease_number_last(const struct store *store) {
        _cleanup_free_ char *path = path_join(store->run, "net/last"), *text = NULL;
        uint64_t last;
        _cleanup_error_ struct error *err = file_read(path, 64, &text, NULL);

        if (!err)
                text[strcspn(text, " \n")] = '\0';
        return !err && str_to_u64(text, &last) && last >= 1 && last <= UINT32_MAX ? (uint32_t)last : 1;
}

void lease_number_used(const struct store *store, uint32_t number) {
        _cleanup_free_ char *path = path_join(store->run, "net/last");
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        char text[16];
        int len =
                snprintf(text, sizeof(text), "%-10u\n", number); /* as long as any, so that nothing has to be cut off */

        if (fd >= 0 && pwrite(fd, text, (size_t)len, 0) < 0)
                return; /* only a preference */
}

uint32_t lease_list_free_number(const struct store *store, const struct lease_list *list, uint32_t last) {
        uint32_t before = lease_number_last(store);

        if (before > last)
                before = 1;
        /* Of any list->n + 1 different numbers one is free. */
        for (uint32_t i = 0, number = before; i <= list->n && i + 1 < last; i++) {
                number = number >= last ? 2 : number + 1;
                if (!number_is_taken(list, number))
                        return number;
        }
        return 0;
}
