#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/str.h"
#include "fixture.h"
#include "sandbox/cgroup.h"

#define UID_A "5c9d7b9e-0000-4000-8000-0000000000b1"
#define POD(spec) "{'metadata':{'name':'web','namespace':'shop','uid':'" UID_A "'},'spec':{" spec "}}"

static struct sandbox *create(struct node *node, struct api_arena *arena, const char *pod) {
        struct sandbox_config config = {
                .store = &node->store, .pod = pod_of(arena, pod), .own_child = true, .infra_program = HUSK_INFRA
        };
        struct sandbox *s = NULL;
        assert_ok(sandbox_create(&config, &s));
        return s;
}

static char *proc_text(pid_t pid, const char *file) {
        _cleanup_free_ char *path = xasprintf("/proc/%d/%s", pid, file);
        char *text = NULL;
        assert_ok(file_read(path, 65536, &text, NULL));
        return text;
}

/* Runs a shell line in the network, uts and ipc namespaces of a sandbox and gives back what it prints. */
static char *inside(const struct sandbox *s, const char *line) {
        _cleanup_free_ char *target = xasprintf("%d", s->pid);
        char *argv[] = { (char *)"nsenter", (char *)"-t", target,       (char *)"-n", (char *)"-u",
                         (char *)"-i",      (char *)"sh", (char *)"-c", (char *)line, NULL };
        char *out = NULL;
        int status;
        assert_ok(process_run(argv, NULL, &status, &out, NULL));
        assert_int_equal(status, 0);
        return out;
}

static bool same_namespace(pid_t pid, const char *name) {
        _cleanup_free_ char *own = xasprintf("/proc/self/ns/%s", name), *its = xasprintf("/proc/%d/ns/%s", pid, name);
        struct stat a, b;
        assert_int_equal(stat(own, &a), 0);
        assert_int_equal(stat(its, &b), 0);
        return a.st_ino == b.st_ino;
}

TEST(the_infra_process_holds_the_namespaces_and_nothing_else) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_sandbox_ struct sandbox *s = create(&node, arena, POD("'hostname':'custom'"));

        assert_true(sandbox_is_running(s));
        assert_false(same_namespace(s->pid, "net"));
        assert_false(same_namespace(s->pid, "uts"));
        assert_false(same_namespace(s->pid, "ipc"));
        assert_false(same_namespace(s->pid, "mnt"));
        assert_true(same_namespace(s->pid, "pid"));

        _cleanup_free_ char *status = proc_text(s->pid, "status");
        assert_non_null(strstr(status, "\nUid:\t65529\t65529\t65529\t65529\n"));
        assert_non_null(strstr(status, "\nGid:\t65529\t65529\t65529\t65529\n"));
        assert_non_null(
                strstr(status, "\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"));
        assert_non_null(strstr(status, "\nNoNewPrivs:\t1\n"));
        _cleanup_free_ char *mounts = proc_text(s->pid, "mountinfo");
        assert_non_null(strstr(mounts, " / / ro,nosuid,nodev,noexec"));
        assert_null(strchr(strchr(mounts, '\n') + 1, '\n')); /* the only mount */
        _cleanup_free_ char *environment = proc_text(s->pid, "environ");
        assert_string_equal(environment, "");

        _cleanup_free_ char *hostname = inside(s, "hostname; ip -o addr show lo");
        assert_true(str_starts_with(hostname, "custom\n"));
        assert_non_null(strstr(hostname, "127.0.0.1/8"));
        assert_non_null(strstr(hostname, "::1/128"));

        _cleanup_free_ char *path = sandbox_namespace_path(s, SANDBOX_NET),
                            *wanted = xasprintf("/proc/%d/ns/net", s->pid);
        assert_string_equal(path, wanted);
        assert_null(sandbox_namespace_path(s, SANDBOX_PID));
        pid_t pid = s->pid;
        uint64_t start_time = s->start_time;
        assert_ok(sandbox_destroy(&node.store, UID_A));
        assert_false(sandbox_is_running(s));
        assert_false(process_is_running(pid, start_time));
        assert_ok(sandbox_destroy(&node.store, UID_A));
        api_arena_free(arena);
}

TEST(husk_infra_has_no_descriptors_once_it_runs) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_sandbox_ struct sandbox *s = create(&node, arena, POD(""));
        char *argv[] = { (char *)"sh", (char *)"-c", NULL, NULL };
        _cleanup_free_ char *line = xasprintf("ls /proc/%d/fd | wc -l", s->pid);
        argv[2] = line;
        bool none = false;
        int status;

        for (unsigned i = 0; i < 200 && !none; i++) { /* closing them is its first deed */
                _cleanup_free_ char *out = NULL;
                assert_ok(process_run(argv, NULL, &status, &out, NULL));
                none = streq(out, "0\n");
        }
        assert_true(none);
        assert_ok(sandbox_destroy(&node.store, UID_A));
        api_arena_free(arena);
}

TEST(host_namespaces_are_left_alone_when_asked_for) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_sandbox_ struct sandbox *s =
                create(&node, arena, POD("'hostNetwork':true,'hostIPC':true,'hostPID':true,'hostname':'other'"));
        struct utsname names;

        uname(&names);
        assert_true(same_namespace(s->pid, "net"));
        assert_true(same_namespace(s->pid, "uts"));
        assert_true(same_namespace(s->pid, "ipc"));
        assert_string_equal(s->hostname, names.nodename);
        assert_string_equal(s->shm, "/dev/shm");
        assert_true(s->netns_fd < 0);
        assert_ok(sandbox_destroy(&node.store, UID_A));
        assert_true(file_exists("/dev/shm"));
        api_arena_free(arena);
}

TEST(in_a_shared_pid_namespace_husk_infra_is_pid_1) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_sandbox_ struct sandbox *s = create(&node, arena, POD("'shareProcessNamespace':true"));
        _cleanup_free_ char *status = proc_text(s->pid, "status"), *wanted = xasprintf("\nNSpid:\t%d\t1\n", s->pid);

        assert_non_null(strstr(status, wanted));
        assert_ok(sandbox_destroy(&node.store, UID_A));
        api_arena_free(arena);
}

TEST(sysctls_are_set_inside_only) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_free_ char *before = NULL, *after = NULL;

        assert_ok(file_read("/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &before, NULL));
        _cleanup_sandbox_ struct sandbox *s =
                create(&node, arena,
                       POD("'securityContext':{'sysctls':[{'name':'net.ipv4.ip_unprivileged_port_start','value':'80'},"
                           "{'name':'kernel/shm_rmid_forced','value':'1'}]}"));
        _cleanup_free_ char *out =
                inside(s, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced");
        assert_string_equal(out, "80\n1\n");
        assert_ok(file_read("/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &after, NULL));
        assert_string_equal(before, after);
        assert_ok(sandbox_destroy(&node.store, UID_A));
        api_arena_free(arena);
}

TEST(what_goes_wrong_inside_comes_out_with_words_and_leaves_nothing) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        struct sandbox_config config = { .store = &node.store, .own_child = true, .infra_program = HUSK_INFRA };
        _cleanup_free_ char *folder = store_pod_run_folder(&node.store, UID_A);
        struct sandbox *s = NULL;

        config.pod = pod_of(arena, POD("'securityContext':{'sysctls':[{'name':'net.ipv4.no_such','value':'1'}]}"));
        assert_error(sandbox_create(&config, &s), ERROR_NOT_FOUND,
                     "sandbox: write sysctl net/ipv4/no_such: No such file");
        config.pod = pod_of(arena, POD("'securityContext':{'sysctls':[{'name':'kernel.panic','value':'1'}]}"));
        assert_error(sandbox_create(&config, &s), ERROR_FORBIDDEN,
                     "\"kernel.panic\" does not belong to a namespace of the pod");
        config.pod = pod_of(
                arena,
                POD("'hostNetwork':true,'securityContext':{'sysctls':[{'name':'net.core.somaxconn','value':'1'}]}"));
        assert_error(sandbox_create(&config, &s), ERROR_FORBIDDEN, "\"net.core.somaxconn\" does not belong");
        config.pod = pod_of(arena, POD(""));
        config.infra_program = "/etc/passwd";
        assert_error(sandbox_create(&config, &s), ERROR_FORBIDDEN, "execute husk-infra: Permission denied");
        config.infra_program = "/nonexistent";
        assert_error(sandbox_create(&config, &s), ERROR_NOT_FOUND, "open /nonexistent");
        assert_null(s);
        assert_int_equal(sandbox_recorded_attempt(&node.store, UID_A), -1);
        assert_int_equal(rmdir(folder), 0); /* empty */
        api_arena_free(arena);
}

/* ---- the network namespace, before anybody attaches it ---- */

TEST(a_pods_network_listens_to_no_router_among_the_pods_and_keeps_large_pieces_near) {
        static const char look[] = "cd /proc/sys/net/ipv6/conf/default 2>/dev/null || { echo 0 0; exit; }; "
                                   "echo $(cat accept_ra accept_dad)";
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        _cleanup_sandbox_ struct sandbox *s = create(&node, arena, POD(""));
        _cleanup_free_ char *quiet = inside(s, look), *lo = inside(s, "ip -o link show lo"),
                            *near = inside(s, "cat /proc/sys/net/ipv4/tcp_tso_rtt_log 2>/dev/null || echo 6");

        assert_string_equal(quiet, "0 0\n");
        assert_string_equal(near, "6\n");
        assert_non_null(strstr(lo, "LOOPBACK,UP"));
        assert_ok(sandbox_destroy(&node.store, UID_A));
        api_arena_free(arena);
}

struct order {
        struct node *node;
        unsigned calls;
        bool fail;
};

static struct error *cgroups_made(void *arg) {
        struct order *order = arg;
        order->calls++;
        return order->fail ? error_new(ERROR_EXHAUSTED, "no cgroup is left") : NULL;
}

TEST(the_pods_cgroups_are_made_once_and_without_them_there_is_no_sandbox) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        struct order order = { &node };
        struct sandbox_config config = { .store = &node.store,
                                         .pod = pod_of(arena, POD("")),
                                         .own_child = true,
                                         .infra_program = HUSK_INFRA,
                                         .make_cgroups = cgroups_made,
                                         .arg = &order };
        struct sandbox *s = NULL;

        assert_ok(sandbox_create(&config, &s));
        assert_int_equal(order.calls, 1);
        assert_ok(sandbox_destroy(&node.store, UID_A));
        s = sandbox_free(s);
        order.fail = true;
        assert_error(sandbox_create(&config, &s), ERROR_EXHAUSTED, "no cgroup is left");
        assert_null(s);
        assert_int_equal(sandbox_recorded_attempt(&node.store, UID_A), -1);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* the infra process that had been made is gone */
        api_arena_free(arena);
}

/* ---- limits: each in a process of its own ---- */

static void write_text(const char *path, const char *text) {
        child_ok(file_poke(path, text));
}

static void child_fails(const struct sandbox_config *config, const char *words) {
        struct sandbox *s = NULL;
        struct error *err = sandbox_create(config, &s);

        if (!err || !strstr(error_message(err), words))
                fprintf(stderr, "not \"%s\" but: %s\n", words, err ? error_message(err) : "a sandbox");
        child_check(err && strstr(error_message(err), words));
        error_free(err);
}

static void without_namespaces(void *data) {
        child_check(unshare(CLONE_NEWUSER) == 0);
        write_text("/proc/self/uid_map", "0 0 1");
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/gid_map", "0 0 1");
        child_check(unshare(CLONE_NEWNS) == 0);
        write_text("/proc/sys/user/max_uts_namespaces", "0");
        child_fails(data, "one of user.max_net_namespaces, user.max_uts_namespaces, user.max_ipc_namespaces, "
                          "user.max_mnt_namespaces)");
}

static void without_processes(void *data) {
        const struct sandbox_config *config = data;
        struct cgroup_limits limits = { 2, -1, 100000, -1, 1 };
        _cleanup_free_ char *path = cgroup_pod_path(config->store, UID_A, POD_QOS_BEST_EFFORT);
        _cleanup_free_ char *leaf = cgroup_version() == CGROUP_V2 ? path_join(path, "infra") : xstrdup(path);

        child_ok(cgroup_pod_create(config->store, UID_A, POD_QOS_BEST_EFFORT, &limits));
        child_ok(cgroup_enter(leaf, 0));
        child_fails(config, "as many processes as kernel.threads-max, kernel.pid_max or pids.max of a cgroup allow");
}

/* A process of this user, until the caller ends. */
static void process_of(uid_t uid) {
        int pipes[2];
        char c;

        child_check(pipe(pipes) == 0);
        if (fork() == 0) {
                child_check(setresuid(uid, uid, uid) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
                child_check(write(pipes[1], "x", 1) == 1);
                for (;;)
                        pause();
        }
        child_check(read(pipes[0], &c, 1) == 1);
}

/* Infra processes have a user of their own: who started a pod may be allowed few processes, and that user too. The
 * kernel counts those that there are already. */
static void with_few_processes(void *data) {
        struct rlimit few = { 0, 0 }, more = { 1, 1 };
        struct sandbox *s = NULL;

        process_of(65529);
        child_check(setrlimit(RLIMIT_NPROC, &few) == 0);
        if (setrlimit(RLIMIT_NPROC, &more) < 0) { /* husk may not raise it either */
                child_fails(data, "execute husk-infra: user 65529");
                return;
        }
        few.rlim_max = 1;
        child_check(setrlimit(RLIMIT_NPROC, &few) == 0);
        child_ok(sandbox_create(data, &s));
        child_ok(sandbox_destroy(((struct sandbox_config *)data)->store, UID_A));
}

TEST(a_limit_that_is_reached_is_named) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        struct sandbox_config config = {
                .store = &node.store, .pod = pod_of(arena, POD("")), .own_child = true, .infra_program = HUSK_INFRA
        };

        assert_in_child(without_namespaces, &config);
        assert_in_child(with_few_processes, &config);
        if (cgroup_version() != CGROUP_NONE) {
                assert_in_child(without_processes, &config);
                assert_ok(cgroup_pod_remove(&node.store, UID_A));
        }
        assert_int_equal(sandbox_recorded_attempt(&node.store, UID_A), -1);
        api_arena_free(arena);
}

TEST(what_an_infra_process_died_of_is_told) {
        assert_error(sandbox_died(NULL, CLD_EXITED, 3), ERROR_INTERNAL,
                     "sandbox: the infra process ended at once with status 3");
        assert_error(sandbox_died("/no/such", CLD_KILLED, SIGKILL), ERROR_INTERNAL,
                     "killed at once by signal 9 (SIGKILL)");
        assert_error(sandbox_died(NULL, CLD_DUMPED, SIGSEGV), ERROR_INTERNAL, "signal 11 (SIGSEGV)");
        assert_error(sandbox_died(NULL, 0, 0), ERROR_INTERNAL, "sandbox: the infra process ended at once");
}

TEST(a_successor_finds_the_sandbox_or_learns_that_it_is_gone) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        struct sandbox *successor = NULL;

        assert_ok(sandbox_open(&node.store, UID_A, &successor));
        assert_null(successor);
        struct sandbox_config config = { .store = &node.store,
                                         .pod = pod_of(arena, POD("")),
                                         .own_child = true,
                                         .attempt = 3,
                                         .infra_program = HUSK_INFRA };
        _cleanup_sandbox_ struct sandbox *s = NULL;
        assert_ok(sandbox_start(&config, &s));
        assert_ok(sandbox_open(&node.store, UID_A, &successor)); /* not ready yet: of no use to a successor */
        assert_null(successor);
        assert_ok(sandbox_finish(s));
        assert_ok(sandbox_finish(s));
        assert_ok(sandbox_open(&node.store, UID_A, &successor));
        assert_non_null(successor);
        assert_int_equal(successor->pid, s->pid);
        assert_int_equal(successor->attempt, 3);
        assert_int_equal(successor->namespaces, s->namespaces);
        assert_string_equal(successor->hostname, "web");
        assert_true(successor->netns_fd >= 0);
        successor = sandbox_free(successor);

        kill(s->pid, SIGKILL);
        int status;
        waitpid(s->pid, &status, 0);
        assert_ok(sandbox_open(&node.store, UID_A, &successor));
        assert_null(successor);
        assert_int_equal(sandbox_recorded_attempt(&node.store, UID_A), 3);
        assert_ok(sandbox_destroy(&node.store, UID_A));
        assert_int_equal(sandbox_recorded_attempt(&node.store, UID_A), -1);
        api_arena_free(arena);
}

/* As husk-pod makes it: the infra process is a child of the creator's parent, and survives the creator. */
TEST(the_infra_process_belongs_to_the_creators_parent) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        V1Pod *pod = pod_of(arena, POD(""));
        _cleanup_sandbox_ struct sandbox *s = NULL;
        int status;

        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        pid_t creator = fork();
        if (creator == 0) {
                struct sandbox_config config = { .store = &node.store, .pod = pod, .infra_program = HUSK_INFRA };
                struct sandbox *made;
                child_ok(sandbox_create(&config, &made));
                _exit(0);
        }
        assert_int_equal(waitpid(creator, &status, 0), creator);
        assert_int_equal(status, 0);
        assert_ok(sandbox_open(&node.store, UID_A, &s));
        assert_non_null(s);
        _cleanup_free_ char *text = proc_text(s->pid, "status"), *wanted = xasprintf("\nPPid:\t%d\n", getpid());
        assert_non_null(strstr(text, wanted));
        kill(s->pid, SIGKILL);
        assert_int_equal(waitpid(s->pid, &status, 0), s->pid); /* its exit is ours to learn */
        assert_ok(sandbox_destroy(&node.store, UID_A));
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
        api_arena_free(arena);
}

/* A creator killed at any moment leaves a process that is on record, or none. */
TEST(a_creator_killed_at_any_moment_leaves_nothing_unrecorded) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        V1Pod *pod = pod_of(arena, POD(""));
        int status;

        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        for (unsigned i = 0; i < 60; i++) {
                pid_t creator = fork();
                if (creator == 0) {
                        struct sandbox_config config = { .store = &node.store,
                                                         .pod = pod,
                                                         .infra_program = HUSK_INFRA };
                        struct sandbox *made;
                        child_ok(sandbox_create(&config, &made));
                        _exit(0);
                }
                usleep(i * 60);
                kill(creator, SIGKILL);
                assert_int_equal(waitpid(creator, &status, 0), creator);
                assert_ok(sandbox_destroy(&node.store, UID_A));
                /* What is left of our children ends by itself. */
                int64_t deadline = clock_monotonic_ns() + 5 * NSEC_PER_SEC;
                pid_t rc;
                while ((rc = waitpid(-1, &status, WNOHANG)) >= 0) {
                        assert_true(clock_monotonic_ns() < deadline);
                        usleep(100);
                }
        }
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
        _cleanup_free_ char *folder = store_pod_run_folder(&node.store, UID_A),
                            *record = path_join(folder, "sandbox.json");
        assert_false(file_exists(record));
        api_arena_free(arena);
}

TEST(shm_is_one_for_the_sandbox_and_empty_in_the_next) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        V1Pod *pod = pod_of(arena, POD(""));
        struct sandbox *s = create(&node, arena, POD(""));
        _cleanup_free_ char *file = path_join(s->shm, "x"), *again = NULL;
        struct stat st;

        assert_int_equal(stat(s->shm, &st), 0);
        assert_int_equal(st.st_mode & 07777, 01777);
        assert_ok(file_replace(file, "x", 1, 0600, 0));
        assert_ok(sandbox_shm_mount(&node.store, pod, NULL, &again));
        assert_string_equal(again, s->shm);
        assert_true(file_exists(file));
        assert_ok(sandbox_destroy(&node.store, UID_A));
        s = sandbox_free(s);
        s = create(&node, arena, POD(""));
        assert_false(file_exists(file));
        assert_ok(sandbox_destroy(&node.store, UID_A));
        sandbox_free(s);
        api_arena_free(arena);
}

TEST(the_infra_process_lives_in_the_pods_cgroup) {
        _cleanup_node_ struct node node;
        node_make(&node);
        struct api_arena *arena = api_arena_new();
        struct cgroup_limits limits = { 2, -1, 100000, -1, -1 };
        _cleanup_free_ char *path = cgroup_pod_path(&node.store, UID_A, POD_QOS_BEST_EFFORT);

        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BEST_EFFORT, &limits));
        struct sandbox_config config = { .store = &node.store,
                                         .pod = pod_of(arena, POD("")),
                                         .own_child = true,
                                         .infra_program = HUSK_INFRA,
                                         .cgroup_path = path };
        _cleanup_sandbox_ struct sandbox *s = NULL;
        assert_ok(sandbox_create(&config, &s));
        _cleanup_free_ char *cgroups = proc_text(s->pid, "cgroup");
        assert_non_null(strstr(cgroups, path));
        assert_ok(sandbox_destroy(&node.store, UID_A));
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
        api_arena_free(arena);
}

TEST(sysctl_names_are_taken_in_both_spellings) {
        static const struct {
                const char *name, *path;
                unsigned group;
        } rows[] = {
                { "net.ipv4.ip_forward", "net/ipv4/ip_forward", SANDBOX_NET },
                { "net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter", SANDBOX_NET },
                { "net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter", SANDBOX_NET },
                { "kernel.shmmax", "kernel/shmmax", SANDBOX_IPC },
                { "kernel.sem", "kernel/sem", SANDBOX_IPC },
                { "kernel.semaphore", "kernel/semaphore", 0 },
                { "fs.mqueue.msg_max", "fs/mqueue/msg_max", SANDBOX_IPC },
                { "vm.swappiness", "vm/swappiness", 0 },
        };
        static const char *const bad[] = { "",   ".",   "..",          "a..b",       "../x", "net/../../etc/passwd",
                                           "a.", ".a",  "A.b",         "a b",        "a=b",  "-a",
                                           "a-", "a/.", "net.ipv4.\n", "kernel.shm_" };
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                struct sysctl s;
                assert_true(sysctl_parse(rows[i].name, &s));
                assert_string_equal(s.path, rows[i].path);
                assert_int_equal(s.group, rows[i].group);
                sysctl_release(&s);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                struct sysctl s;
                assert_false(sysctl_parse(bad[i], &s));
        }
        assert_true(sysctl_is_safe("net/ipv4/tcp_rmem"));
        assert_false(sysctl_is_safe("net.core.somaxconn"));
}

TEST(unsafe_sysctls_are_refused_in_the_kubelets_words) {
        struct api_arena *arena = api_arena_new();
        char *allowed[] = { (char *)"net.core.*", (char *)"kernel.msgmax", (char *)"vm.*", NULL };
#define SYSCTL(more, name) pod_of(arena, POD(more "'securityContext':{'sysctls':[{'name':'" name "','value':'1'}]}"))
        assert_ok(sandbox_check_sysctls(pod_of(arena, POD("")), NULL));
        assert_ok(sandbox_check_sysctls(SYSCTL("", "kernel.shm_rmid_forced"), NULL));
        assert_error(sandbox_check_sysctls(SYSCTL("", "kernel.msgmax"), NULL), ERROR_FORBIDDEN,
                     "forbidden sysctl: \"kernel.msgmax\" not allowlisted");
        assert_ok(sandbox_check_sysctls(SYSCTL("", "kernel.msgmax"), allowed));
        assert_ok(sandbox_check_sysctls(SYSCTL("", "net.core.somaxconn"), allowed));
        assert_error(sandbox_check_sysctls(SYSCTL("", "vm.swappiness"), allowed), ERROR_FORBIDDEN, "not allowlisted");
        assert_error(sandbox_check_sysctls(SYSCTL("'hostIPC':true,", "kernel.shm_rmid_forced"), NULL), ERROR_FORBIDDEN,
                     "not allowed with host ipc enabled");
        assert_error(sandbox_check_sysctls(SYSCTL("'hostNetwork':true,", "net.ipv4.tcp_rmem"), NULL), ERROR_FORBIDDEN,
                     "not allowed with host net enabled");
        api_arena_free(arena);
}
