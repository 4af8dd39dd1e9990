/* fixture.h - a node of its own for tests that need real kernel objects, and Pods written as JSON. */
#pragma once

#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "api/api.h"
#include "base/file.h"
#include "sandbox/cgroup.h"
#include "store/store.h"
#include "test.h"

struct node {
        struct store store;
        char folder[64];
};

static inline void node_make(struct node *node) {
        snprintf(node->folder, sizeof(node->folder), "/tmp/husk-test-sandbox-XXXXXX");
        assert_non_null(mkdtemp(node->folder));
        node->store = (struct store){ path_join(node->folder, "root"), path_join(node->folder, "run"),
                                      path_join(node->folder, "root/logs"), false };
        assert_ok(mkdir_parents(node->store.root, 0700));
        assert_ok(mkdir_parents(node->store.run, 0700));
}

static inline void node_remove(struct node *node) {
        assert_ok(remove_tree(node->folder));
        free(node->store.root);
        free(node->store.run);
        free(node->store.logs);
}
#define _cleanup_node_ _cleanup_(node_remove)

/* A Pod from JSON with ' for ". */
static inline V1Pod *pod_of(struct api_arena *arena, const char *json) {
        _cleanup_free_ char *text = xstrdup(json);
        json_error_t json_error;

        for (char *p = text; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json_t *value = json_loads(text, 0, &json_error);
        if (!value)
                fail_msg("%s: %s", json, json_error.text);
        V1Pod *pod = NULL;
        assert_ok(api_decode_stored(value, &v1_pod__descriptor, arena, &pod));
        json_decref(value);
        return pod;
}

/* Runs a part of a test in a child process, so that namespaces it unshares end with it. The child's assertions count:
 * cmocka cannot be used there, so it answers by its exit status and says why on standard error. */
#define child_check(condition) \
        do { \
                if (!(condition)) { \
                        fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
                        _exit(1); \
                } \
        } while (0)
#define child_ok(call) \
        do { \
                struct error *_e = (call); \
                if (_e) { \
                        fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, error_message(_e)); \
                        _exit(1); \
                } \
        } while (0)
static inline void assert_in_child(void (*part)(void *), void *data) {
        int status;

        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                part(data);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

/* In a child process: a mount namespace where only the unified hierarchy is left, so that the machine is a v2 one (with
 * few controllers, if it was a hybrid one). */
static inline void child_leave_v1(void) {
        static const char *const v1[] = {
                "cpu",        "cpuacct", "cpu,cpuacct", "cpuset",  "memory",  "devices",          "freezer",
                "blkio",      "pids",    "systemd",     "hugetlb", "net_cls", "net_cls,net_prio", "net_prio",
                "perf_event", "rdma",    "misc"
        };

        child_check(unshare(CLONE_NEWNS) == 0);
        child_check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(v1); i++) {
                _cleanup_free_ char *folder = path_join("/sys/fs/cgroup", v1[i]);
                umount2(folder, MNT_DETACH);
        }
        cgroup_forget();
        child_check(cgroup_version() == CGROUP_V2);
}
