/* cgroup-container.c - the cgroup of one container, where husk makes it and not the OCI runtime.
 *
 * On cgroup v1 whoever moves another process into a cgroup waits for an RCU grace period of the kernel (10 ms and
 * more), and every OCI runtime does so in the middle of each start. A thread that moves itself, alone, need not wait
 * (Linux 5.5). So the cgroup is made and limited here, a child of husk-pod moves itself into it and becomes the
 * runtime, and the runtime leaves cgroups alone. On v2 crun (since 1.7) lets the container be born in its cgroup, and
 * waits for nothing; there the runtime is better outside, where it is not limited with the container, and finds the
 * cgroup made and limited. What has to be written stands in `linux.resources` of the runtime-spec, as ever. */
#include "sandbox/cgroup-private.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"

bool cgroup_container_is_ours(void) {
        return cgroup_version() != CGROUP_NONE;
}

bool cgroup_runtime_is_inside(void) {
        return cgroup_version() == CGROUP_V1;
}

struct error *cgroup_container_create(const char *path, const json_t *resources) {
        cgroup_devices_forget();
        struct error *err = cgroup_make_everywhere(path);

        return err ? err : cgroup_container_limit(path, resources);
}

/* ---- entering ---- */

static struct error *entry_add(const struct hierarchy *h, const char *folder, const char *file,
                               struct cgroup_entry *ret) {
        _cleanup_free_ char *name = path_join(folder, file);
        int fd = open(name, O_WRONLY | O_CLOEXEC | O_NOCTTY);

        if (fd < 0)
                return error_errno(errno, "enter cgroup: open %s", name);
        ret->hierarchies[ret->n] = h->folder;
        ret->fds[ret->n++] = fd;
        return NULL;
}

struct error *cgroup_entry_open(const char *path, struct cgroup_entry *ret) {
        const struct machine *m = cgroup_machine();
        struct error *err = NULL;

        for (size_t i = 0; i < m->n_hierarchies && !err; i++) {
                _cleanup_free_ char *folder = xasprintf("%s%s", m->hierarchies[i].folder, path);
                err = entry_add(&m->hierarchies[i], folder, m->version == CGROUP_V1 ? "tasks" : "cgroup.procs", ret);
        }
        if (err)
                cgroup_entry_close(ret);
        return err;
}

void cgroup_entry_close(struct cgroup_entry *entry) {
        for (size_t i = 0; i < entry->n; i++)
                fd_close(entry->fds[i]);
        *entry = (struct cgroup_entry){ 0 };
}

int cgroup_entry_take(const int *fds, size_t n) {
        return fds_poke(fds, n, "0");
}
