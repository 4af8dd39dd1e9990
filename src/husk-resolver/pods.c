#include "husk-resolver/pods.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/str.h"
#include "sandbox/hosts.h"

#define FRESH_NS (20 * NSEC_PER_MSEC)

/* What tells one version of a file that is replaced from the next. */
struct version {
        ino_t inode;
        struct timespec changed;
};

struct entry {
        char *uid;
        struct version spec, status;
        struct zone_pod pod;
        bool seen;
};

struct pods {
        struct store *store;
        struct zone zone;
        struct entry **entries; /* by uid */
        size_t n;
        int64_t looked_ns;
};

static struct entry *entry_free(struct entry *e) {
        free(e->uid);
        zone_pod_release(&e->pod);
        free(e);
        return NULL;
}

static int by_uid(const void *a, const void *b) {
        const struct entry *const *x = a, *const *y = b;
        return strcmp((*x)->uid, (*y)->uid);
}

/* ---- reading one ---- */

static struct version version_of(const char *folder, const char *file) {
        _cleanup_free_ char *path = xasprintf("%s/%s", folder, file);
        struct stat st;

        if (stat(path, &st) < 0)
                return (struct version){ 0 };
        return (struct version){ st.st_ino, st.st_ctim };
}

static bool same_version(const struct version *a, const struct version *b) {
        return a->inode == b->inode && a->changed.tv_sec == b->changed.tv_sec &&
               a->changed.tv_nsec == b->changed.tv_nsec;
}

static void read_addresses(const V1PodStatus *status, struct zone_pod *pod) {
        for (size_t i = 0; i < status->n_podips && pod->n_addresses < ZONE_ADDRESSES_MAX; i++) {
                struct zone_address *a = &pod->addresses[pod->n_addresses];
                const char *ip = status->podips[i]->ip;
                if (str_empty(ip))
                        continue;
                a->family = strchr(ip, ':') ? AF_INET6 : AF_INET;
                if (inet_pton(a->family, ip, a->bytes) == 1)
                        pod->n_addresses++;
        }
}

/* A pod that has ended keeps its status, and its address may be another's by now. */
static bool has_ended(const V1PodStatus *status) {
        return streq_ptr(status->phase, "Succeeded") || streq_ptr(status->phase, "Failed");
}

static bool is_ready(const V1PodStatus *status) {
        for (size_t i = 0; i < status->n_conditions; i++)
                if (streq_ptr(status->conditions[i]->type, "Ready"))
                        return streq_ptr(status->conditions[i]->status, "True");
        return false;
}

/* "<subdomain>.<namespace>.svc.<domain>": what comes first. Nothing for a pod whose hostname was overridden. */
static char *first_label(const char *domain) {
        return xstrndup(domain, strcspn(domain, "."));
}

static struct error *describe(const V1Pod *spec, const V1PodStatus *status, struct zone_pod *ret) {
        struct pod_hostname hostname = { 0 };
        struct error *err = pod_hostname_of(spec, NULL, &hostname);

        if (err)
                return err;
        *ret = (struct zone_pod){ .name = xstrdup(spec->metadata->name),
                                  .ns = xstrdup(spec->metadata->namespace_),
                                  .hostname = TAKE_PTR(hostname.hostname),
                                  .subdomain = first_label(hostname.domain),
                                  .ready = is_ready(status) && !spec->metadata->deletiontimestamp,
                                  .on_host = spec->spec->has_hostnetwork && spec->spec->hostnetwork };
        for (char *c = ret->hostname; *c; c++)
                *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 32 : *c);
        if (!has_ended(status))
                read_addresses(status, ret);
        pod_hostname_release(&hostname);
        return NULL;
}

static struct error *read_pod(struct pods *pods, const char *uid, struct zone_pod *ret) {
        _cleanup_(api_arena_freep) struct api_arena *arena = api_arena_new();
        json_auto_t *spec_json = NULL, *status_json = NULL;
        V1Pod *spec;
        V1PodStatus *status;
        struct error *err = store_pod_spec_read(pods->store, uid, &spec_json);

        if (!err)
                err = store_pod_status_read(pods->store, uid, &status_json);
        if (!err)
                err = api_decode_stored(spec_json, &v1_pod__descriptor, arena, &spec);
        if (!err)
                err = api_decode_stored(status_json, &v1_pod_status__descriptor, arena, &status);
        return err ? err : describe(spec, status, ret);
}

static void refresh(struct pods *pods, struct entry *e) {
        _cleanup_free_ char *folder = store_pod_folder(pods->store, e->uid),
                            *run_folder = store_pod_run_folder(pods->store, e->uid);
        struct version spec = version_of(folder, "pod.json"), status = version_of(run_folder, "status.json");

        if (same_version(&spec, &e->spec) && same_version(&status, &e->status))
                return;
        zone_pod_release(&e->pod);
        e->spec = spec;
        e->status = status;
        error_free(read_pod(pods, e->uid, &e->pod));
        if (!e->pod.name)
                e->pod = (struct zone_pod){ xstrdup(""), xstrdup(""), xstrdup(""), xstrdup(""), 0 };
}

/* ---- all of them ---- */

static struct entry *find(struct pods *pods, const char *uid, size_t n) {
        struct entry key = { .uid = (char *)uid }, *wanted = &key;
        struct entry **found = n ? bsearch(&wanted, pods->entries, n, sizeof(*pods->entries), by_uid) : NULL;
        return found ? *found : NULL;
}

/* Those that have a folder in <run>, and so a network perhaps. */
static void take_stock(struct pods *pods) {
        _cleanup_free_ char *folder = xasprintf("%s/pods", pods->store->run);
        size_t known = pods->n, kept = 0;
        DIR *dir = opendir(folder);

        for (size_t i = 0; i < pods->n; i++)
                pods->entries[i]->seen = false;
        for (struct dirent *entry; dir && (entry = readdir(dir));) {
                struct entry *e = *entry->d_name == '.' ? NULL : find(pods, entry->d_name, known);
                if (!e && *entry->d_name != '.') {
                        e = new0(struct entry);
                        e->uid = xstrdup(entry->d_name);
                        pods->entries = xreallocarray(pods->entries, pods->n + 1, sizeof(*pods->entries));
                        pods->entries[pods->n++] = e;
                }
                if (e)
                        e->seen = true;
        }
        if (dir)
                closedir(dir);
        for (size_t i = 0; i < pods->n; i++) {
                if (pods->entries[i]->seen)
                        pods->entries[kept++] = pods->entries[i];
                else
                        entry_free(pods->entries[i]);
        }
        pods->n = kept;
        if (kept)
                qsort(pods->entries, kept, sizeof(*pods->entries), by_uid);
}

const struct zone *pods_zone(struct pods *pods) {
        int64_t now = clock_monotonic_ns();

        if (pods->looked_ns && now - pods->looked_ns < FRESH_NS)
                return &pods->zone;
        pods->looked_ns = now;
        take_stock(pods);
        free((void *)pods->zone.pods);
        const struct zone_pod **list = xcalloc(pods->n + 1, sizeof(*list));
        for (size_t i = 0; i < pods->n; i++) {
                refresh(pods, pods->entries[i]);
                list[i] = &pods->entries[i]->pod;
        }
        pods->zone.pods = list;
        pods->zone.n_pods = pods->n;
        return &pods->zone;
}

struct pods *pods_new(struct store *store, const char *domain) {
        struct pods *pods = new0(struct pods);

        pods->store = store;
        pods->zone.domain = domain;
        return pods;
}

struct pods *pods_free(struct pods *pods) {
        if (!pods)
                return NULL;
        for (size_t i = 0; i < pods->n; i++)
                entry_free(pods->entries[i]);
        free(pods->entries);
        free((void *)pods->zone.pods);
        free(pods);
        return NULL;
}
