#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>

#include "fixture.h"

#define UID_A "5c9d7b9e-0000-4000-8000-00000000000a"

static const struct cgroup_limits none = { 2, -1, 100000, -1, -1 };

static bool is_v2(void) {
        return cgroup_version() == CGROUP_V2;
}

static char *cgroup_folder(const char *controller, const char *path) {
        return is_v2() ? xasprintf("/sys/fs/cgroup%s", path) : xasprintf("/sys/fs/cgroup/%s%s", controller, path);
}

static char *file_text(const char *controller, const char *path, const char *file) {
        _cleanup_free_ char *folder = cgroup_folder(controller, path), *name = path_join(folder, file);
        char *text = NULL;
        assert_ok(file_read(name, 65536, &text, NULL));
        text[strcspn(text, "\n")] = '\0';
        return text;
}

/* On v1 this file of this controller says the one, on v2 that file the other. */
#define assert_file(path, controller, v1_file, v1_text, v2_file, v2_text) \
        do { \
                _cleanup_free_ char *_text = file_text(controller, path, is_v2() ? v2_file : v1_file); \
                assert_string_equal(_text, is_v2() ? v2_text : v1_text); \
        } while (0)

static bool folder_exists(const char *controller, const char *path) {
        _cleanup_free_ char *name = cgroup_folder(controller, path);
        return file_exists(name);
}

/* A process, and a child of it, in a cgroup, that only a signal ends. */
static pid_t sleeper(const char *path) {
        int pipes[2];
        char c;

        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        if (pid == 0) {
                child_ok(cgroup_enter(path, 0));
                if (fork() != 0)
                        child_check(write(pipes[1], "x", 1) == 1);
                close(pipes[0]);
                close(pipes[1]);
                for (;;)
                        pause();
        }
        assert_int_equal(read(pipes[0], &c, 1), 1);
        close(pipes[0]);
        close(pipes[1]);
        return pid;
}

TEST(cpu_arithmetic_is_that_of_kubernetes) {
        static const struct {
                int64_t milli;
                uint64_t shares;
                int64_t quota;
        } rows[] = { { 0, 2, -1 },
                     { 1, 2, 1000 },
                     { 2, 2, 1000 },
                     { 10, 10, 1000 },
                     { 100, 102, 10000 },
                     { 500, 512, 50000 },
                     { 1000, 1024, 100000 },
                     { 1500, 1536, 150000 },
                     { 64000, 65536, 6400000 },
                     { 300000, 262144, 30000000 } };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(cgroup_shares_from_milli_cpu(rows[i].milli), rows[i].shares);
                assert_int_equal(cgroup_quota_from_milli_cpu(rows[i].milli), rows[i].quota);
        }
        assert_int_equal(cgroup_weight_from_shares(2), 1);
        assert_int_equal(cgroup_weight_from_shares(0), 1);
        assert_int_equal(cgroup_weight_from_shares(3), 2);
        assert_int_equal(cgroup_weight_from_shares(102), 17);
        assert_int_equal(cgroup_weight_from_shares(512), 59);
        assert_int_equal(cgroup_weight_from_shares(1024), 100);
        assert_int_equal(cgroup_weight_from_shares(262143), 10000);
        assert_int_equal(cgroup_weight_from_shares(262144), 10000);
        assert_int_equal(cgroup_shares_from_weight(0), 2);
        assert_int_equal(cgroup_shares_from_weight(10001), 262144);
        for (uint64_t weight = 1; weight < 10000; weight++) {
                uint64_t shares = cgroup_shares_from_weight(weight);
                assert_int_equal(cgroup_weight_from_shares(shares), weight);
                assert_true(shares == 2 || cgroup_weight_from_shares(shares - 1) < weight);
        }
}

TEST(a_pod_is_limited_only_if_all_its_containers_are) {
        struct api_arena *arena = api_arena_new();
        V1Pod *all = pod_of(arena,
                            "{'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'500m','memory':'64Mi'},"
                            "'requests':{'cpu':'250m','memory':'32Mi'}}},{'name':'b','resources':{'limits':{'cpu':'1',"
                            "'memory':'64Mi'},'requests':{'cpu':'250m','memory':'1Mi'}}}]}}");
        struct cgroup_limits l = cgroup_limits_of_pod(all, -1);
        assert_int_equal(l.cpu_shares, 512);
        assert_int_equal(l.cpu_quota_us, 150000);
        assert_int_equal(l.memory_bytes, 128 << 20);
        assert_int_equal(l.pids, -1);
        assert_int_equal(pod_qos(all), POD_QOS_BURSTABLE);

        V1Pod *one =
                pod_of(arena, "{'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'500m','memory':'64Mi'},"
                              "'requests':{'cpu':'500m','memory':'64Mi'}}},{'name':'b'}]}}");
        l = cgroup_limits_of_pod(one, 1000);
        assert_int_equal(l.cpu_shares, 512);
        assert_int_equal(l.cpu_quota_us, -1);
        assert_int_equal(l.memory_bytes, -1);
        assert_int_equal(l.pids, 1000);

        V1Pod *own = pod_of(arena, "{'spec':{'resources':{'limits':{'cpu':'2','memory':'1Gi'},'requests':{'cpu':'1',"
                                   "'memory':'1Gi'}},'containers':[{'name':'a'}]}}");
        l = cgroup_limits_of_pod(own, -1);
        assert_int_equal(l.cpu_shares, 1024);
        assert_int_equal(l.cpu_quota_us, 200000);
        assert_int_equal(l.memory_bytes, 1 << 30);

        V1Pod *huge = pod_of(arena, "{'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'1',"
                                    "'hugepages-2Mi':'4Mi'},'requests':{'hugepages-2Mi':'4Mi'}}},{'name':'b',"
                                    "'resources':{'limits':{'cpu':'1','hugepages-2Mi':'6Mi','hugepages-64Ki':'64Ki'},"
                                    "'requests':{'hugepages-2Mi':'6Mi','hugepages-64Ki':'64Ki'}}}]}}");
        l = cgroup_limits_of_pod(huge, -1);
        assert_int_equal(l.n_huge_pages, 2);
        assert_string_equal(l.huge_pages[0].size, "2MB");
        assert_int_equal(l.huge_pages[0].bytes, 10 << 20);
        assert_string_equal(l.huge_pages[1].size, "64KB");

        V1Pod *nothing = pod_of(arena, "{'spec':{'containers':[{'name':'a'}]}}");
        assert_int_equal(pod_qos(nothing), POD_QOS_BEST_EFFORT);
        l = cgroup_limits_of_pod(nothing, 0);
        assert_memory_equal(&l, &none, sizeof(l));
        api_arena_free(arena);
}

TEST(a_containers_cpu_limit_stands_in_for_its_request) {
        struct api_arena *arena = api_arena_new();
        V1Pod *pod =
                pod_of(arena, "{'spec':{'containers':[{'name':'a','resources':{'limits':{'cpu':'1m','memory':'1Mi'}}},"
                              "{'name':'b','resources':{'requests':{'cpu':'100m'},'limits':{'cpu':'200m'}}}]}}");
        struct cgroup_limits l = cgroup_limits_of_container(pod->spec->containers[0]);
        assert_int_equal(l.cpu_shares, 2);
        assert_int_equal(l.cpu_quota_us, 1000);
        assert_int_equal(l.memory_bytes, 1 << 20);
        l = cgroup_limits_of_container(pod->spec->containers[1]);
        assert_int_equal(l.cpu_shares, 102);
        assert_int_equal(l.cpu_quota_us, 20000);
        api_arena_free(arena);
}

TEST(the_default_node_uses_the_kubelets_layout) {
        struct store store = { .root = (char *)"/var/lib/husk", .run = (char *)"/run/husk", .is_default = true };
        static const char *const wanted[] = { "/kubepods/pod7", "/kubepods/burstable/pod7",
                                              "/kubepods/besteffort/pod7" };
        for (enum pod_qos qos = POD_QOS_GUARANTEED; qos <= POD_QOS_BEST_EFFORT; qos++) {
                _cleanup_free_ char *path = cgroup_pod_path(&store, "7", qos);
                assert_string_equal(path, wanted[qos]);
        }
}

/* What all pods of a node weigh together. */
static void assert_weighs_the_machine(const char *node) {
        uint64_t shares = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 1024;
        _cleanup_free_ char *v1_text = xasprintf("%" PRIu64, shares);
        _cleanup_free_ char *v2_text = xasprintf("%" PRIu64, cgroup_weight_from_shares(shares));

        assert_file(node, "cpu", "cpu.shares", v1_text, "cpu.weight", v2_text);
}

TEST(a_pods_cgroups_get_their_limits_and_leave_nothing) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        _cleanup_free_ char *path = cgroup_pod_path(&node.store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *top = cgroup_node_path(&node.store), *burstable = path_join(top, "burstable");
        struct cgroup_limits l = { 512, 50000, 100000, 64 << 20, 100 };

        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BURSTABLE, &l));
        assert_file(path, "cpu", "cpu.shares", "512", "cpu.weight", "59");
        assert_file(path, "cpu", "cpu.cfs_quota_us", "50000", "cpu.max", "50000 100000");
        assert_file(path, "memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864");
        assert_file(path, "pids", "pids.max", "100", "pids.max", "100");
        assert_file(burstable, "cpu", "cpu.shares", "512", "cpu.weight", "59");
        assert_weighs_the_machine(top);
        assert_true(folder_exists("freezer", path));

        /* Again, with other limits: a resize. */
        l = (struct cgroup_limits){ 1024, -1, 100000, -1, -1 };
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BURSTABLE, &l));
        assert_file(path, "cpu", "cpu.shares", "1024", "cpu.weight", "100");
        assert_file(path, "cpu", "cpu.cfs_quota_us", "-1", "cpu.max", "max 100000");
        assert_file(path, "memory", "memory.limit_in_bytes", "9223372036854771712", "memory.max", "max");
        assert_file(path, "pids", "pids.max", "max", "pids.max", "max");
        assert_file(burstable, "cpu", "cpu.shares", "1024", "cpu.weight", "100");

        struct cgroup_usage usage;
        assert_ok(cgroup_usage(path, &usage));
        assert_int_equal(usage.memory_limit, 0);

        assert_ok(cgroup_pod_remove(&node.store, UID_A));
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
        assert_false(folder_exists("cpu", top));
        assert_false(folder_exists("freezer", top));
        assert_error(cgroup_usage(path, &usage), ERROR_NOT_FOUND, "cgroup");
}

TEST(a_nodes_cgroup_is_weighed_though_who_made_it_was_killed) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        _cleanup_free_ char *top = cgroup_node_path(&node.store), *folder = cgroup_folder("cpu", top);
        _cleanup_free_ char *weight = path_join(folder, is_v2() ? "cpu.weight" : "cpu.shares");
        struct cgroup_limits l = { 512, -1, 100000, -1, -1 };

        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_GUARANTEED, &l));
        assert_ok(file_poke(weight, is_v2() ? "100" : "1024")); /* as it is made */
        assert_ok(cgroup_pod_create(&node.store, "6d6a1c2e-0f0b-4a53-8a4e-00000000000b", POD_QOS_GUARANTEED, &l));
        assert_weighs_the_machine(top);
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
        assert_ok(cgroup_pod_remove(&node.store, "6d6a1c2e-0f0b-4a53-8a4e-00000000000b"));
}

/* The last pod's going takes the node's cgroups away just when another's coming makes them. */
TEST(pods_come_and_go_at_the_same_time) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *top = cgroup_node_path(&node.store);
        int status;

        if (cgroup_version() == CGROUP_NONE)
                skip();
        for (int p = 0; p < 4; p++)
                if (fork() == 0) {
                        char uid[16];
                        snprintf(uid, sizeof(uid), "uid-%d", p);
                        for (int i = 0; i < 40; i++) {
                                child_ok(cgroup_pod_create(&node.store, uid, (enum pod_qos)(p % 3), &none));
                                child_ok(cgroup_pod_remove(&node.store, uid));
                        }
                        _exit(0);
                }
        for (int p = 0; p < 4; p++) {
                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        assert_false(folder_exists("cpu", top));
        assert_false(folder_exists("memory", top));
}

/* One that is born with its parent's processors need not be written, which takes longer the more there are. */
TEST(a_pods_cpuset_is_born_with_its_parents_processors) {
        _cleanup_node_ struct node node;
        char *clone = NULL, *cpus = NULL, *all = NULL;
        node_make(&node);
        _cleanup_free_ char *path = cgroup_pod_path(&node.store, UID_A, POD_QOS_BEST_EFFORT),
                            *inner = path_join(path, "inner");

        if (cgroup_version() != CGROUP_V1 || !folder_exists("cpuset", "/"))
                skip();
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BEST_EFFORT, &none));
        _cleanup_free_ char *clone_path = xasprintf("/sys/fs/cgroup/cpuset%s/cgroup.clone_children", path),
                            *folder = xasprintf("/sys/fs/cgroup/cpuset%s", inner),
                            *cpus_path = path_join(folder, "cpuset.cpus");
        assert_ok(file_read(clone_path, 16, &clone, NULL));
        assert_string_equal(clone, "1\n");
        assert_int_equal(mkdir(folder, 0755), 0);
        assert_ok(file_read(cpus_path, 4096, &cpus, NULL));
        assert_ok(file_read("/sys/fs/cgroup/cpuset/cpuset.cpus", 4096, &all, NULL));
        assert_string_equal(cpus, all);
        assert_int_equal(rmdir(folder), 0);
        free(clone);
        free(cpus);
        free(all);
}

/* A cpuset is made empty and filled after: the pods that come between, and those below what they make, need it too. */
static void enter_as_pod(const struct store *store, int p) {
        _cleanup_cgroup_entry_ struct cgroup_entry entry = { 0 };
        char uid[16];

        snprintf(uid, sizeof(uid), "uid-%d", p);
        child_ok(cgroup_pod_create(store, uid, POD_QOS_BEST_EFFORT, &none));
        _cleanup_free_ char *path = cgroup_pod_path(store, uid, POD_QOS_BEST_EFFORT);
        if (is_v2()) {
                _cleanup_free_ char *leaf = path_join(path, "infra");
                child_ok(cgroup_enter(leaf, 0));
                return;
        }
        child_ok(cgroup_entry_open(path, &entry));
        child_check(cgroup_entry_take(entry.fds, entry.n) == 0);
}

TEST(many_pods_that_come_at_one_moment_can_all_be_entered) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *top = cgroup_node_path(&node.store);
        int status;

        if (cgroup_version() == CGROUP_NONE)
                skip();
        for (int round = 0; round < 10; round++) {
                for (int p = 0; p < 16; p++)
                        if (fork() == 0) {
                                enter_as_pod(&node.store, p);
                                _exit(0);
                        }
                for (int p = 0; p < 16; p++) {
                        assert_true(wait(&status) > 0);
                        assert_int_equal(status, 0);
                }
                for (int p = 0; p < 16; p++) {
                        char uid[16];
                        snprintf(uid, sizeof(uid), "uid-%d", p);
                        assert_ok(cgroup_pod_remove(&node.store, uid));
                }
        }
        assert_false(folder_exists("cpu", top));
}

TEST(killing_a_pod_ends_every_process_in_it_and_only_those) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *path = cgroup_pod_path(&node.store, UID_A, POD_QOS_BEST_EFFORT);
        _cleanup_free_ char *container = cgroup_container_path(path, "c1");
        int status;
        bool empty;

        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_ok(cgroup_pod_kill(&node.store, UID_A, &empty));
        assert_true(empty);
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BEST_EFFORT, &none));
        _cleanup_free_ char *leaf = is_v2() ? path_join(path, "infra") : xstrdup(path);
        pid_t in_container = sleeper(container), in_pod = sleeper(leaf);
        assert_error(cgroup_remove(path), ERROR_INTERNAL, "is still in it");

        struct cgroup_usage usage;
        assert_ok(cgroup_usage(path, &usage));
        assert_int_equal(usage.pids, 4);
        assert_ok(cgroup_pod_kill(&node.store, UID_A, &empty));
        assert_false(empty);
        assert_int_equal(waitpid(in_container, &status, 0), in_container);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(waitpid(in_pod, &status, 0), in_pod);
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
        assert_false(folder_exists("pids", path));
}

TEST(an_oom_kill_is_counted_for_the_container_it_hit) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *path = cgroup_pod_path(&node.store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *container = cgroup_container_path(path, "c1"), *other = cgroup_container_path(path, "c2");
        struct cgroup_limits l = { 2, -1, 100000, 8 << 20, -1 };
        int status;

        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BURSTABLE, &l));
        pid_t bystander = sleeper(other);
        pid_t pid = fork();
        if (pid == 0) {
                child_ok(cgroup_enter(container, 0));
                volatile char *p = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                for (size_t i = 0; i < 64 << 20; i += 4096)
                        p[i] = 1;
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_true(cgroup_oom_kills(container) > 0);
        assert_int_equal(cgroup_oom_kills(other), 0);
        bool empty;
        assert_ok(cgroup_pod_kill(&node.store, UID_A, &empty));
        waitpid(bystander, &status, 0);
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
        assert_int_equal(cgroup_oom_kills(container), 0);
}

/* ---- a container's own, where no OCI runtime makes it ---- */

static struct error *limit(const char *path, const char *text, bool is_new) {
        json_t *resources = json_loads(text, 0, NULL);
        assert_non_null(resources);
        struct error *err = is_new ? cgroup_container_create(path, resources) : cgroup_container_limit(path, resources);
        json_decref(resources);
        return err;
}

TEST(a_containers_cgroup_is_limited_as_its_runtime_spec_has_it) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *pod = cgroup_pod_path(&node.store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *path = cgroup_container_path(pod, "c1");

        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BURSTABLE, &none));
        assert_ok(limit(path,
                        "{\"cpu\": {\"shares\": 102, \"quota\": 20000, \"period\": 100000},"
                        " \"memory\": {\"limit\": 67108864}, \"pids\": {\"limit\": 50}}",
                        true));
        assert_file(path, "cpu", "cpu.shares", "102", "cpu.weight", "4");
        assert_file(path, "cpu", "cpu.cfs_quota_us", "20000", "cpu.max", "20000 100000");
        assert_file(path, "memory", "memory.limit_in_bytes", "67108864", "memory.max", "67108864");
        assert_file(path, "pids", "pids.max", "50", "pids.max", "50");

        /* What is not named stays; a pair goes up and down whichever of the two has to go first. */
        assert_ok(limit(path, "{\"cpu\": {\"shares\": 2, \"quota\": 5000, \"period\": 50000}}", false));
        assert_ok(limit(path, "{\"cpu\": {\"quota\": 400000, \"period\": 100000}}", false));
        assert_file(path, "cpu", "cpu.cfs_quota_us", "400000", "cpu.max", "400000 100000");
        assert_file(path, "cpu", "cpu.shares", "2", "cpu.weight", "1");
        assert_file(path, "pids", "pids.max", "50", "pids.max", "50");

        assert_error(limit(path, "{\"rdma\": {}}", false), ERROR_NOT_SUPPORTED, "linux.resources.rdma");
        assert_error(limit(path, "{\"cpu\": {\"quota\": 1, \"period\": 100000}}", false), ERROR_INTERNAL, "cpu: ");
        struct error *err = limit(path, "{\"unified\": {\"memory.oom.group\": \"1\"}}", false);
        if (is_v2()) {
                assert_ok(err);
                assert_file(path, "memory", "", "", "memory.oom.group", "1");
                assert_error(limit(path, "{\"unified\": {\"../memory.max\": \"1\"}}", false), ERROR_INVALID, "no file");
        } else {
                assert_error(err, ERROR_NOT_SUPPORTED, "linux.resources.unified cannot be set on cgroup v1");
        }
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
}

static void on_v2(void *data) {
        struct node *node = data;
        struct cgroup_limits memory = { 2, -1, 100000, 64 << 20, -1 };
        _cleanup_free_ char *path = cgroup_pod_path(&node->store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *container = cgroup_container_path(path, "c1");
        bool empty = true;
        int status;

        child_leave_v1();
        child_ok(cgroup_pod_create(&node->store, UID_A, POD_QOS_BURSTABLE, &none));
        struct error *err = cgroup_pod_create(&node->store, UID_A, POD_QOS_BURSTABLE, &memory);
        if (err) { /* a hybrid machine's unified hierarchy has no memory controller: the message must name it */
                child_check(error_is(err, ERROR_NOT_SUPPORTED));
                child_check(strstr(error_message(err), "memory limit") && strstr(error_message(err), "\"memory\""));
                error_free(err);
        }
        _cleanup_close_ int leaf = cgroup_open_leaf(path, "infra");
        child_check(leaf >= 0);

        pid_t pid = fork();
        if (pid == 0) {
                child_ok(cgroup_enter(container, 0));
                for (;;)
                        pause();
        }
        for (unsigned i = 0; i < 1000 && empty; i++) {
                child_ok(cgroup_pod_kill(&node->store, UID_A, &empty));
                usleep(1000);
        }
        child_check(!empty);
        child_check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        child_ok(cgroup_pod_kill(&node->store, UID_A, &empty));
        child_check(empty);
        child_ok(cgroup_pod_remove(&node->store, UID_A));
        struct cgroup_usage usage;
        error_free(cgroup_usage(path, &usage));
        child_check(cgroup_open_leaf(path, "infra") == -ENOENT);
}

TEST(on_cgroup_v2_a_pod_is_made_killed_and_removed_alike) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_in_child(on_v2, &node);
}

TEST(moving_to_where_one_is_changes_nothing) {
        _cleanup_free_ char *before = NULL, *after = NULL;

        assert_ok(file_read("/proc/self/cgroup", 65536, &before, NULL));
        cgroup_move_to_itself();
        assert_ok(file_read("/proc/self/cgroup", 65536, &after, NULL));
        assert_string_equal(before, after);
}
