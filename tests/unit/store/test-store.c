#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api/api.h"
#include "base/file.h"
#include "base/str.h"
#include "store/store.h"

struct fixture {
        char folder[64];
        struct store *store;
};

static void fixture_release(struct fixture *f) {
        f->store = store_free(f->store);
        assert_ok(remove_tree(f->folder));
}

static struct fixture fixture(void) {
        struct fixture f = { .folder = "/tmp/husk-store-XXXXXX" };
        assert_non_null(mkdtemp(f.folder));
        _cleanup_free_ char *root = path_join(f.folder, "root"), *run = path_join(f.folder, "run");
        assert_ok(store_open(root, run, &f.store));
        return f;
}
#define FIXTURE(name) _cleanup_(fixture_release) struct fixture name = fixture()

static json_t *object(const char *kind, const char *name) {
        return json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", kind, "metadata", "name", name);
}

static const char *meta(json_t *o, const char *key) {
        return json_string_value(json_object_get(json_object_get(o, "metadata"), key));
}

static struct error *create(struct store *store, const char *kind, const char *name) {
        json_t *o = object(kind, name);
        struct error *err = store_create(store, api_kind_of(kind), o);
        json_decref(o);
        return err;
}

static struct error *get(struct store *store, const char *kind, const char *name) {
        json_t *o = NULL;
        struct error *err = store_get(store, api_kind_of(kind), "default", name, &o);
        json_decref(o);
        return err;
}

TEST(an_object_is_created_read_updated_and_deleted) {
        FIXTURE(f);
        const struct api_kind *kind = api_kind_of("ConfigMap");
        json_t *made = object("ConfigMap", "c"), *read = NULL;

        assert_ok(store_create(f.store, kind, made));
        assert_string_equal(meta(made, "namespace"), "default");
        assert_non_null(meta(made, "uid"));
        assert_ok(store_get(f.store, kind, NULL, "c", &read));
        assert_true(json_equal(made, read));
        assert_error(create(f.store, "ConfigMap", "c"), ERROR_ALREADY_EXISTS, "configmaps \"c\" already exists");

        json_object_set_new(read, "data", json_pack("{s:s}", "k", "v"));
        assert_ok(store_update(f.store, kind, read));
        assert_true(atoll(meta(read, "resourceVersion")) > atoll(meta(made, "resourceVersion")));
        assert_error(store_update(f.store, kind, made), ERROR_CONFLICT, "has been modified");
        json_decref(made);
        json_decref(read);

        assert_ok(store_delete(f.store, kind, "default", "c"));
        assert_error(store_delete(f.store, kind, "default", "c"), ERROR_NOT_FOUND, "configmaps \"c\" not found");
}

TEST(names_cannot_leave_the_store) {
        FIXTURE(f);
        static const char *const bad[] = { "..", ".", "", "../../x", "a/b" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_error(create(f.store, "ConfigMap", bad[i]), ERROR_INVALID, "metadata.name");
                assert_error(get(f.store, "ConfigMap", bad[i]), ERROR_NOT_FOUND, "not found");
                assert_error(get(f.store, "Pod", bad[i]), ERROR_NOT_FOUND, "not found");
        }
}

TEST(a_namespace_must_exist) {
        FIXTURE(f);
        json_t *o = json_pack("{s:{s:s, s:s}}", "metadata", "name", "c", "namespace", "other");
        assert_error(store_create(f.store, api_kind_of("ConfigMap"), o), ERROR_NOT_FOUND,
                     "namespaces \"other\" not found");
        assert_ok(create(f.store, "Namespace", "other"));
        assert_ok(store_create(f.store, api_kind_of("ConfigMap"), o));
        json_decref(o);
}

TEST(secrets_are_for_their_owner_only) {
        FIXTURE(f);
        struct stat st;
        assert_ok(create(f.store, "Secret", "s"));
        _cleanup_free_ char *path = xasprintf("%s/objects/default/Secret/s.json", f.store->root);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(stat(f.store->root, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
}

/* Another process that holds the pod's lock, as husk-keeper does. */
static pid_t supervisor_begin(struct store *store, const char *uid) {
        _cleanup_free_ char *folder = store_pod_run_folder(store, uid), *path = path_join(folder, "lock");
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        int ready[2];
        char byte;

        assert_int_equal(pipe(ready), 0);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(path, O_RDWR | O_CREAT, 0600);
                if (fcntl(fd, F_SETLK, &lock) < 0 || write(ready[1], "", 1) != 1)
                        _exit(1);
                for (;;)
                        pause();
        }
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        return pid;
}

static void supervisor_end(pid_t pid) {
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}

TEST(a_pod_that_nobody_looks_after_is_unknown_unless_it_has_ended) {
        static const struct {
                const char *published, *shown;
        } cases[] = { { "Running", "Unknown" }, { "Succeeded", "Succeeded" }, { "Failed", "Failed" } };
        FIXTURE(f);
        const struct api_kind *kind = api_kind_of("Pod");
        _cleanup_free_ char *uid = NULL;

        assert_ok(create(f.store, "Pod", "p"));
        assert_ok(store_pod_uid(f.store, "default", "p", &uid));
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                json_t *status = json_pack("{s:s, s:[{s:s, s:s}]}", "phase", cases[i].published, "conditions", "type",
                                           "Ready", "status", "True");
                for (int supervised = 1; supervised >= 0; supervised--) {
                        json_t *read = NULL;
                        pid_t pid = supervised ? supervisor_begin(f.store, uid) : 0;

                        assert_int_equal(store_pod_supervisor(f.store, uid), pid);
                        assert_ok(store_pod_status_write(f.store, uid, status, false));
                        assert_ok(store_get(f.store, kind, "default", "p", &read));
                        json_t *seen = json_object_get(read, "status");
                        const char *shown = supervised ? cases[i].published : cases[i].shown;
                        bool lost = streq(shown, "Unknown");
                        assert_string_equal(json_string_value(json_object_get(seen, "phase")), shown);
                        assert_true(lost ==
                                    streq_ptr(json_string_value(json_object_get(seen, "reason")), "SupervisorLost"));
                        json_t *ready = json_array_get(json_object_get(seen, "conditions"), 0);
                        assert_string_equal(json_string_value(json_object_get(ready, "status")),
                                            lost ? "Unknown" : "True");
                        json_decref(read);
                        if (supervised)
                                supervisor_end(pid);
                }
                json_decref(status);
        }
}

TEST(a_pod_is_its_spec_and_its_newest_status) {
        FIXTURE(f);
        const struct api_kind *kind = api_kind_of("Pod");
        json_t *pod = json_pack("{s:{s:s}, s:{s:s}, s:{s:s}}", "metadata", "name", "p", "spec", "hostname", "h",
                                "status", "phase", "Failed");
        json_t *read = NULL, *list = NULL,
               *status = json_pack("{s:s, s:[{s:s, s:s}]}", "phase", "Running", "conditions", "type", "PodScheduled",
                                   "status", "True");
        _cleanup_free_ char *uid = NULL;

        assert_ok(store_create(f.store, kind, pod));
        assert_ok(store_get(f.store, kind, "default", "p", &read));
        assert_string_equal(json_string_value(json_object_get(json_object_get(read, "status"), "phase")), "Pending");
        assert_string_equal(json_string_value(json_object_get(json_object_get(read, "status"), "qosClass")),
                            "BestEffort");
        assert_int_equal(json_integer_value(json_object_get(json_object_get(read, "metadata"), "generation")), 1);
        assert_ok(store_pod_uid(f.store, "default", "p", &uid));
        assert_ok(store_pod_sync(f.store, uid));
        pid_t supervisor = supervisor_begin(f.store, uid);
        assert_ok(store_pod_status_write(f.store, uid, status, true));
        json_decref(read);
        assert_ok(store_list(f.store, kind, NULL, &list));
        assert_int_equal(json_array_size(list), 1);
        read = json_array_get(list, 0);
        assert_string_equal(json_string_value(json_object_get(json_object_get(read, "status"), "phase")), "Running");
        assert_true(atoll(meta(read, "resourceVersion")) > atoll(meta(pod, "resourceVersion")));
        assert_non_null(json_string_value(json_object_get(json_object_get(read, "spec"), "nodeName")));

        /* a changed label is no new generation, a changed spec is one */
        json_object_set_new(json_object_get(read, "metadata"), "labels", json_pack("{s:s}", "a", "b"));
        assert_ok(store_update(f.store, kind, read));
        assert_int_equal(json_integer_value(json_object_get(json_object_get(read, "metadata"), "generation")), 1);
        json_object_set_new(json_object_get(read, "spec"), "hostname", json_string("other"));
        assert_ok(store_update(f.store, kind, read));
        assert_int_equal(json_integer_value(json_object_get(json_object_get(read, "metadata"), "generation")), 2);
        json_decref(list);
        json_decref(pod);
        json_decref(status);
        supervisor_end(supervisor);

        assert_ok(store_pod_remove(f.store, uid));
        assert_ok(store_pod_remove(f.store, uid));
        assert_error(get(f.store, "Pod", "p"), ERROR_NOT_FOUND, "pods \"p\" not found");
        assert_ok(create(f.store, "Pod", "p"));
}

TEST(a_creation_cut_short_leaves_the_name_free_and_no_folder) {
        FIXTURE(f);
        _cleanup_free_ char *uid = NULL, *path = NULL, *folder = NULL, *run_folder = NULL;

        assert_ok(create(f.store, "Pod", "p"));
        assert_ok(store_pod_uid(f.store, "default", "p", &uid));
        path = xasprintf("%s/pods/%s/pod.json", f.store->root, uid);
        folder = store_pod_folder(f.store, uid);
        run_folder = store_pod_run_folder(f.store, uid);
        assert_int_equal(unlink(path), 0);

        assert_error(get(f.store, "Pod", "p"), ERROR_NOT_FOUND, "not found");
        assert_false(file_exists(folder));
        assert_false(file_exists(run_folder));
        assert_ok(create(f.store, "Pod", "p"));
}

TEST(a_pod_whose_file_is_lost_is_still_removed_by_its_uid) {
        FIXTURE(f);
        _cleanup_free_ char *uid = NULL, *path = NULL, *link = NULL;

        assert_ok(create(f.store, "Pod", "p"));
        assert_ok(store_pod_uid(f.store, "default", "p", &uid));
        path = xasprintf("%s/pods/%s/pod.json", f.store->root, uid);
        link = xasprintf("%s/objects/default/Pod/p", f.store->root);
        assert_int_equal(unlink(path), 0);
        assert_ok(store_pod_remove(f.store, uid));
        assert_false(file_exists(link));
}

TEST(the_node_is_this_machine_and_keeps_its_labels) {
        FIXTURE(f);
        const struct api_kind *kind = api_kind_of("Node");
        json_t *node = NULL, *again = NULL;

        assert_ok(store_node(f.store, &node));
        json_t *capacity = json_object_get(json_object_get(node, "status"), "capacity");
        assert_non_null(json_string_value(json_object_get(capacity, "memory")));
        json_object_set_new(json_object_get(json_object_get(node, "metadata"), "labels"), "disktype",
                            json_string("ssd"));
        assert_ok(store_update(f.store, kind, node));
        assert_ok(store_get(f.store, kind, NULL, meta(node, "name"), &again));
        json_t *labels = json_object_get(json_object_get(again, "metadata"), "labels");
        assert_string_equal(json_string_value(json_object_get(labels, "disktype")), "ssd");
        assert_string_equal(json_string_value(json_object_get(labels, "kubernetes.io/os")), "linux");
        json_decref(node);
        json_decref(again);
        assert_error(get(f.store, "Node", "elsewhere"), ERROR_NOT_FOUND, "nodes \"elsewhere\" not found");
}

TEST(resource_versions_only_grow) {
        FIXTURE(f);
        uint64_t last = 0;
        for (int i = 0; i < 1000; i++) {
                uint64_t next = store_next_resource_version(f.store);
                assert_true(next > last);
                last = next;
        }
}
