#include "sandbox/cgroup.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "base/str.h"
#include "fixture.h"

#define UID_A "5c9d7b9e-0000-4000-8000-00000000000c"

static const struct cgroup_limits none = { 2, -1, 100000, -1, -1 };

static struct error *create(const char *path, const char *text) {
        json_t *resources = json_loads(text, 0, NULL);
        struct error *err = resources ? cgroup_container_create(path, resources) : error_new(ERROR_INVALID, "%s", text);

        json_decref(resources);
        return err;
}

/* ---- cgroup v1: the kernel tells which rules there are ---- */

static char *devices_of(const char *path) {
        _cleanup_free_ char *name = xasprintf("/sys/fs/cgroup/devices%s/devices.list", path);
        char *text = NULL;
        assert_ok(file_read(name, 65536, &text, NULL));
        return text;
}

TEST(on_cgroup_v1_devices_are_those_of_the_runtime_spec_and_the_usual_ones) {
        _cleanup_node_ struct node node;
        node_make(&node);
        _cleanup_free_ char *pod = cgroup_pod_path(&node.store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *path = cgroup_container_path(pod, "c1"), *other = cgroup_container_path(pod, "c2");

        if (cgroup_version() != CGROUP_V1)
                skip();
        assert_ok(cgroup_pod_create(&node.store, UID_A, POD_QOS_BURSTABLE, &none));
        assert_ok(create(path,
                         "{\"devices\": [{\"allow\": false, \"access\": \"rwm\"},"
                         "  {\"allow\": true, \"type\": \"c\", \"major\": 10, \"minor\": 229, \"access\": \"rw\"},"
                         "  {\"allow\": true, \"type\": \"b\", \"major\": 7, \"access\": \"r\"}]}"));
        _cleanup_free_ char *devices = devices_of(path);
        assert_string_equal(devices, "c 10:229 rw\nb 7:* r\nc *:* m\nb *:* m\nc 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\n"
                                     "c 1:8 rwm\nc 1:9 rwm\nc 5:0 rwm\nc 5:1 rwm\nc 5:2 rwm\nc 136:* rwm\n");
        assert_ok(create(other, "{\"devices\": [{\"allow\": true, \"access\": \"rwm\"}]}"));
        _cleanup_free_ char *every = devices_of(other);
        assert_string_equal(every, "a *:* rwm\n");
        assert_ok(cgroup_pod_remove(&node.store, UID_A));
}

/* ---- cgroup v2: the kernel is asked for devices ---- */

#define NONE "{\"allow\": false, \"access\": \"rwm\"}"
#define ALL "{\"allow\": true, \"access\": \"rwm\"}"
#define RULE(allow, type, numbers, access) \
        "{\"allow\": " allow ", \"type\": \"" type "\"" numbers ", \"access\": \"" access "\"}"
#define MAJOR(n) ", \"major\": " #n
#define MINOR(n) ", \"minor\": " #n

/* Numbers that nobody has a driver for: who may open them is told ENXIO or ENODEV, who may not EPERM. */
static const struct {
        const char *rules;
        mode_t type;
        unsigned major, minor;
        int flags;
        bool allowed;
} rows[] = {
        /* only what every container has */
        { NONE, S_IFCHR, 1, 3, O_RDWR, true },
        { NONE, S_IFCHR, 1, 8, O_RDONLY, true },
        { NONE, S_IFCHR, 1, 11, O_RDONLY, false }, /* kmsg */
        { NONE, S_IFCHR, 250, 9, O_RDONLY, false },
        { NONE, S_IFBLK, 1, 3, O_RDONLY, false }, /* a block device is not the character device of its numbers */
        { "", S_IFCHR, 250, 9, O_RDONLY, false },
        { "", S_IFCHR, 1, 3, O_WRONLY, true },
        /* one device, one way */
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "rw"), S_IFCHR, 250, 9, O_RDWR, true },
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "r"), S_IFCHR, 250, 9, O_RDONLY, true },
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "r"), S_IFCHR, 250, 9, O_WRONLY, false },
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "r"), S_IFCHR, 250, 9, O_RDWR, false },
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "rw"), S_IFCHR, 250, 8, O_RDONLY, false },
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "rw"), S_IFCHR, 249, 9, O_RDONLY, false },
        { NONE ", " RULE("true", "c", MAJOR(250) MINOR(9), "rw"), S_IFBLK, 250, 9, O_RDONLY, false },
        { NONE ", " RULE("true", "u", MAJOR(250) MINOR(9), "rw"), S_IFCHR, 250, 9, O_RDWR, true },
        /* one kind, all of them */
        { NONE ", " RULE("true", "b", MAJOR(250), "rwm"), S_IFBLK, 250, 77, O_RDWR, true },
        { NONE ", " RULE("true", "b", MAJOR(250), "rwm"), S_IFCHR, 250, 77, O_RDWR, false },
        { NONE ", " RULE("true", "c", MINOR(9), "rwm"), S_IFCHR, 251, 9, O_RDWR, true },
        { NONE ", " RULE("true", "c", MAJOR(-1) MINOR(-1), "rwm"), S_IFCHR, 251, 9, O_RDWR, true },
        /* reading by one rule, writing by another */
        { NONE ", " RULE("true", "c", MAJOR(250), "r") ", " RULE("true", "c", MAJOR(250) MINOR(9), "w"), S_IFCHR, 250,
          9, O_RDWR, true },
        { NONE ", " RULE("true", "c", MAJOR(250), "r") ", " RULE("true", "c", MAJOR(250) MINOR(9), "w"), S_IFCHR, 250,
          8, O_RDWR, false },
        /* the last rule that names a device decides */
        { ALL, S_IFCHR, 250, 9, O_RDWR, true },
        { ALL ", " RULE("false", "c", MAJOR(250) MINOR(9), "w"), S_IFCHR, 250, 9, O_RDONLY, true },
        { ALL ", " RULE("false", "c", MAJOR(250) MINOR(9), "w"), S_IFCHR, 250, 9, O_RDWR, false },
        { ALL ", " RULE("false", "c", MAJOR(250) MINOR(9), "w"), S_IFCHR, 250, 8, O_RDWR, true },
        { ALL ", " RULE("false", "c", MAJOR(250) MINOR(9), "rw") ", " RULE("true", "c", MAJOR(250), "r"), S_IFCHR, 250,
          9, O_RDONLY, true },
        { ALL ", " RULE("false", "c", MAJOR(250) MINOR(9), "rw") ", " RULE("true", "c", MAJOR(250), "r"), S_IFCHR, 250,
          9, O_RDWR, false },
        { ALL ", " NONE, S_IFCHR, 250, 9, O_RDWR, false },
};

/* 0, or the errno, of opening a device: in a process that is in the cgroup. */
static int open_inside(const char *path, const char *device, int flags) {
        _cleanup_cgroup_entry_ struct cgroup_entry entry = { 0 };
        int status;

        child_ok(cgroup_entry_open(path, &entry));
        pid_t pid = fork();
        if (pid == 0) {
                if (cgroup_entry_take(entry.fds, entry.n))
                        _exit(255);
                _exit(open(device, flags | O_NONBLOCK | O_NOCTTY) < 0 ? errno : 0);
        }
        child_check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 255);
        return WEXITSTATUS(status);
}

static void row_check(const struct node *node, size_t i) {
        _cleanup_free_ char *pod = cgroup_pod_path(&node->store, UID_A, POD_QOS_BURSTABLE),
                            *name = xasprintf("c%zu", i), *path = cgroup_container_path(pod, name),
                            *device = path_join(node->folder, name),
                            *resources = xasprintf("{\"devices\": [%s]}", rows[i].rules);
        struct error *err = create(path, resources);

        if (err && cgroup_devices_refused()) { /* a test that is confined itself */
                fprintf(stderr, "%s\n", error_message(err));
                error_free(err);
                return;
        }
        child_ok(err);
        child_check(mknod(device, rows[i].type | 0600, makedev(rows[i].major, rows[i].minor)) == 0);
        int outside = open(device, rows[i].flags | O_NONBLOCK | O_NOCTTY);
        int errnum = outside < 0 ? errno : 0;
        fd_close(outside);
        int inside = open_inside(path, device, rows[i].flags);
        if (inside != (rows[i].allowed ? errnum : EPERM))
                fprintf(stderr, "row %zu: %s: inside errno %d, outside %d\n", i, rows[i].rules, inside, errnum);
        child_check(errnum != EPERM && errnum != EACCES);
        child_check(inside == (rows[i].allowed ? errnum : EPERM));
}

static void devices_on_v2(void *data) {
        struct node *node = data;

        child_leave_v1();
        child_ok(cgroup_pod_create(&node->store, UID_A, POD_QOS_BURSTABLE, &none));
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                row_check(node, i);
        child_ok(cgroup_pod_remove(&node->store, UID_A));
}

TEST(on_cgroup_v2_the_kernel_decides_over_devices_as_the_runtime_spec_says) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_in_child(devices_on_v2, &node);
}

/* More rules than a jump of the program reaches, if one led to its end. */
static void many_rules(void *data) {
        struct node *node = data;
        _cleanup_free_ char *pod = cgroup_pod_path(&node->store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *path = cgroup_container_path(pod, "c1"), *device = path_join(node->folder, "device");
        _cleanup_strbuf_ struct strbuf text = STRBUF_INIT;

        child_leave_v1();
        child_ok(cgroup_pod_create(&node->store, UID_A, POD_QOS_BURSTABLE, &none));
        strbuf_adds(&text, "{\"devices\": [" NONE);
        for (unsigned i = 0; i < 6000; i++)
                strbuf_addf(&text, ", " RULE("true", "c", ", \"major\": 250, \"minor\": %u", "rw"), i);
        strbuf_adds(&text, "]}");
        struct error *err = create(path, text.data);
        if (!err || !cgroup_devices_refused()) {
                child_ok(err);
                child_check(mknod(device, S_IFCHR | 0600, makedev(250, 5)) == 0);
                child_check(open_inside(path, device, O_RDWR) != EPERM);
                child_check(unlink(device) == 0 && mknod(device, S_IFCHR | 0600, makedev(250, 6000)) == 0);
                child_check(open_inside(path, device, O_RDWR) == EPERM);
        } else {
                error_free(err);
        }
        child_ok(cgroup_pod_remove(&node->store, UID_A));
}

TEST(a_container_may_have_thousands_of_devices) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_in_child(many_rules, &node);
}

static void mistakes(void *data) {
        struct node *node = data;
        _cleanup_free_ char *pod = cgroup_pod_path(&node->store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *path = cgroup_container_path(pod, "c1");

        child_leave_v1();
        child_ok(cgroup_pod_create(&node->store, UID_A, POD_QOS_BURSTABLE, &none));
        struct error *err = create(path, "{\"devices\": [" RULE("true", "x", "", "rw") "]}");
        child_check(error_is(err, ERROR_INVALID) && strstr(error_message(err), "\"x\" is no type of a device"));
        error_free(err);
        err = create(path, "{\"devices\": [" RULE("true", "c", MAJOR(5000000000), "rw") "]}");
        child_check(error_is(err, ERROR_INVALID) && strstr(error_message(err), "major number 5000000000"));
        error_free(err);
        child_check(!cgroup_devices_refused());
        child_ok(cgroup_pod_remove(&node->store, UID_A));
}

TEST(a_rule_for_no_device_is_told) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_in_child(mistakes, &node);
}

/* Who is confined may not load programs: told, and told apart from mistakes. */
static void without_rights(void *data) {
        struct node *node = data;
        _cleanup_free_ char *pod = cgroup_pod_path(&node->store, UID_A, POD_QOS_BURSTABLE);
        _cleanup_free_ char *path = cgroup_container_path(pod, "c1"), *other = cgroup_container_path(pod, "c2");
        struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct before[2], nothing[2] = { 0 };

        child_leave_v1();
        child_ok(cgroup_pod_create(&node->store, UID_A, POD_QOS_BURSTABLE, &none));
        child_check(syscall(SYS_capget, &header, before) == 0);
        nothing[0].permitted = before[0].permitted;
        nothing[1].permitted = before[1].permitted;
        child_check(syscall(SYS_capset, &header, nothing) == 0);
        struct error *err = create(path, "{\"devices\": [" NONE "]}");
        child_check(err && cgroup_devices_refused() && strstr(error_message(err), "a program for the devices of"));
        error_free(err);
        child_ok(create(other, "{\"devices\": [" ALL "]}")); /* which needs none */
        child_check(!cgroup_devices_refused());
        child_check(syscall(SYS_capset, &header, before) == 0);
        child_ok(cgroup_pod_remove(&node->store, UID_A));
}

TEST(a_kernel_that_refuses_the_program_is_not_a_mistake_of_the_containers) {
        _cleanup_node_ struct node node;
        node_make(&node);
        if (cgroup_version() == CGROUP_NONE)
                skip();
        assert_in_child(without_rights, &node);
}
