#include "store/cdi.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api/yaml.h"
#include "base/file.h"
#include "base/str.h"
#include "store/cdi-check.h"

#define FILE_SIZE_MAX (4U << 20)
#define DEVICES_MAX 4096

/* ---- one specification ---- */

static void device_add(struct cdi_registry *registry, const char *kind, const json_t *device, const json_t *spec,
                       unsigned priority) {
        json_t *edits = json_object_get(device, "containerEdits"), *common = json_object_get(spec, "containerEdits");

        registry->devices = xreallocarray(registry->devices, registry->n + 1, sizeof(*registry->devices));
        registry->devices[registry->n++] = (struct cdi_device){
                .kind = xstrdup(kind),
                .name = xstrdup(json_string_value(json_object_get(device, "name"))),
                .edits = edits ? json_incref(edits) : json_object(),
                .common = common ? json_incref(common) : json_object(),
                .priority = priority,
        };
}

static struct error *spec_add(const json_t *spec, unsigned priority, struct cdi_registry *registry) {
        const char *kind = json_string_value(json_object_get(spec, "kind"));
        const json_t *devices = json_object_get(spec, "devices");
        json_t *device;
        size_t i;
        struct error *err = cdi_check_spec(spec);

        if (err)
                return err;
        if (registry->n + json_array_size(devices) > DEVICES_MAX)
                return error_new(ERROR_INVALID, "more than %d devices", DEVICES_MAX);
        json_array_foreach(devices, i, device) device_add(registry, kind, device, spec, priority);
        return NULL;
}

struct error *cdi_parse(const char *text, size_t len, unsigned priority, struct cdi_registry *registry) {
        struct yaml_mark mark = { 0 };
        json_t *spec = NULL;
        struct error *err = yaml_parse(text, len, &spec, &mark); /* JSON is YAML, too */

        if (err)
                return error_context(err, "line %zu", mark.line);
        err = spec ? spec_add(spec, priority, registry) : error_new(ERROR_INVALID, "it is empty");
        json_decref(spec);
        return err;
}

/* ---- all of them ---- */

static int compare(const void *a, const void *b) {
        const struct cdi_device *x = a, *y = b;
        int r = strcmp(x->kind, y->kind);

        if (!r)
                r = strcmp(x->name, y->name);
        return r ? r : (x->priority > y->priority) - (x->priority < y->priority);
}

static void device_release(struct cdi_device *device) {
        free(device->kind);
        free(device->name);
        json_decref(device->edits);
        json_decref(device->common);
}

static bool same_name(const struct cdi_device *a, const struct cdi_device *b) {
        return streq(a->kind, b->kind) && streq(a->name, b->name);
}

/* Of several with one name the last folder's stays. */
static void keep_the_last_folders(struct cdi_registry *registry) {
        size_t kept = 0;

        for (size_t i = 0; i < registry->n; i++) {
                struct cdi_device *device = &registry->devices[i];
                struct cdi_device *before = kept ? &registry->devices[kept - 1] : NULL;

                if (!before || !same_name(before, device)) {
                        registry->devices[kept++] = *device;
                        continue;
                }
                device->conflict = before->priority == device->priority;
                device_release(before);
                *before = *device;
        }
        registry->n = kept;
}

void cdi_settle(struct cdi_registry *registry) {
        if (registry->n)
                qsort(registry->devices, registry->n, sizeof(*registry->devices), compare);
        keep_the_last_folders(registry);
        for (size_t i = 0; i < registry->n; i++)
                for (size_t j = 0; j < i && !registry->devices[i].alias; j++)
                        registry->devices[i].alias = streq(registry->devices[i].kind, registry->devices[j].kind) &&
                                                     json_object_size(registry->devices[i].edits) > 0 &&
                                                     json_equal(registry->devices[i].edits, registry->devices[j].edits);
}

static struct error *read_file(int folder_fd, const char *name, unsigned priority, struct cdi_registry *registry) {
        _cleanup_close_ int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t len;
        struct error *err;

        if (fd < 0 || fstat(fd, &st) < 0)
                return errno == ENOENT ? NULL : error_errno(errno, "open it");
        if (!S_ISREG(st.st_mode))
                return error_new(ERROR_INVALID, "it is no file");
        if (st.st_uid != geteuid() || st.st_mode & 022)
                return error_new(ERROR_FORBIDDEN, "others than root may write it");
        err = fd_read_all(fd, FILE_SIZE_MAX, &text, &len);
        return err ? err : cdi_parse(text, len, priority, registry);
}

static bool is_spec_name(const char *name) {
        return name[0] != '.' && (str_ends_with(name, ".json") || str_ends_with(name, ".yaml"));
}

static void read_folder(const char *folder, unsigned priority, struct cdi_registry *registry) {
        DIR *dir = opendir(folder);
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
                size_t before = registry->n;

                if (!is_spec_name(entry->d_name))
                        continue;
                _cleanup_error_ struct error *err = read_file(dirfd(dir), entry->d_name, priority, registry);
                if (!err)
                        continue;
                while (registry->n > before)
                        device_release(&registry->devices[--registry->n]);
                registry->problems = strv_add_take(registry->problems,
                                                   xasprintf("%s/%s: %s", folder, entry->d_name, error_message(err)));
        }
        if (dir)
                closedir(dir);
}

void cdi_read(char *const *folders, struct cdi_registry *ret) {
        *ret = (struct cdi_registry)CDI_REGISTRY_INIT;
        for (unsigned i = 0; folders && folders[i]; i++)
                read_folder(folders[i], i, ret);
        cdi_settle(ret);
}

/* ---- questions ---- */

bool cdi_is_offered(const struct cdi_registry *registry, const struct cdi_device *device) {
        if (device->conflict || device->alias)
                return false;
        if (!streq(device->name, "all"))
                return true;
        for (size_t i = 0; i < registry->n; i++)
                if (&registry->devices[i] != device && streq(registry->devices[i].kind, device->kind))
                        return false;
        return true;
}

size_t cdi_count(const struct cdi_registry *registry, const char *kind) {
        size_t count = 0;

        for (size_t i = 0; i < registry->n; i++)
                count += streq(registry->devices[i].kind, kind) && cdi_is_offered(registry, &registry->devices[i]);
        return count;
}

const struct cdi_device *cdi_find(const struct cdi_registry *registry, const char *kind, const char *name) {
        for (size_t i = 0; i < registry->n; i++)
                if (streq(registry->devices[i].kind, kind) && streq(registry->devices[i].name, name))
                        return registry->devices[i].conflict ? NULL : &registry->devices[i];
        return NULL;
}

void cdi_release(struct cdi_registry *registry) {
        for (size_t i = 0; i < registry->n; i++)
                device_release(&registry->devices[i]);
        free(registry->devices);
        strv_free(registry->problems);
        *registry = (struct cdi_registry)CDI_REGISTRY_INIT;
}
