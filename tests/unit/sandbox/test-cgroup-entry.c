#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <signal.h>

#include "base/str.h"
#include "fixture.h"

#define UID_A "5c9d7b9e-0000-4000-8000-00000000000b"

static const struct cgroup_limits none = { 2, -1, 100000, -1, -1 };

static struct error *container_create(const char *path) {
        json_t *resources = json_object();
        struct error *err = cgroup_container_create(path, resources);
        json_decref(resources);
        return err;
}

/* In every hierarchy, and no process that is not there yet can be left out of one. */
TEST(a_process_that_moves_itself_is_in_every_hierarchy) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *pod = cgroup_pod_path(&node.store, UID_A, POD_QOS_BURSTABLE), *text = NULL;
        _cleanup_free_ char *path = cgroup_container_path(pod, "c1"), *missing = cgroup_container_path(pod, "c2");
        _cleanup_cgroup_entry_ struct cgroup_entry entry = { 0 };
        int pipes[2], status;
        char c;

        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BURSTABLE, &none));
        assert_error(cgroup_entry_open(missing, &entry), ERROR_NOT_FOUND, "enter cgroup");
        assert_int_equal(entry.n, 0);
        assert_ok(container_create(path));
        assert_ok(cgroup_entry_open(path, &entry));
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        if (pid == 0) {
                child_check(cgroup_entry_take(entry.fds, entry.n) == 0);
                child_check(write(pipes[1], "x", 1) == 1);
                for (;;)
                        pause();
        }
        assert_int_equal(read(pipes[0], &c, 1), 1);
        _cleanup_free_ char *name = xasprintf("/proc/%d/cgroup", pid);
        assert_ok(file_read(name, 65536, &text, NULL));
        size_t lines = 0, inside = 0;
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                lines += cgroup_version() == CGROUP_V2 ||
                         !str_starts_with(line, "0::"); /* of a hybrid machine: nobody's */
                inside += strstr(line, path) != NULL;
        }
        assert_int_equal(inside, lines);
        bool empty;
        assert_ok(cgroup_kill(path, &empty));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        close(pipes[0]);
        close(pipes[1]);
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
}
