/* The jobs of CNI plugins, with answers of the tests' own: no plugin runs. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "net/cni-config.h"
#include "net/cni-plugin.h"
#include "net/cni-result.h"
#include "net/cni.h"
#include "test.h"

#define RESULT "{\"cniVersion\": \"1.0.0\", \"ips\": [{\"address\": \"10.1.0.5/16\"}]}"

struct fixture {
        char folder[64];
        struct store *store;
        struct node_config config;
        int netns; /* any file: nobody enters it */
};

static void put(const struct fixture *f, const char *name, const char *text, mode_t mode) {
        _cleanup_free_ char *path = path_join(f->folder, name);
        assert_ok(file_replace(path, text, strlen(text), mode, 0));
}

static void fixture_open(struct fixture *f, const char *list) {
        *f = (struct fixture){ .folder = "/tmp/test-cni-XXXXXX" };
        assert_non_null(mkdtemp(f->folder));
        _cleanup_free_ char *root = path_join(f->folder, "root"), *run = path_join(f->folder, "run");
        assert_ok(mkdir_parents(root, 0700));
        assert_ok(mkdir_parents(run, 0700));
        assert_ok(store_open(root, run, &f->store));
        put(f, "a", "", 0700);
        put(f, "b", "", 0700);
        put(f, "10.conflist", list, 0600);
        _cleanup_free_ char *config =
                xasprintf("cniConfDir: %s\ncniBinDirs: [%s]\ncniTimeoutSeconds: 7\n", f->folder, f->folder);
        put(f, "root/config.yaml", config, 0600);
        assert_ok(node_config_read(f->store, &f->config));
        f->netns = open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void fixture_close(struct fixture *f) {
        assert_ok(remove_tree(f->folder));
        store_free(f->store);
        node_config_release(&f->config);
        fd_close(f->netns);
}

static struct error *attach_pod(struct fixture *f, const char *uid, struct net_result *ret, struct net_job **ret_job) {
        static const struct net_request request = { .pod_name = "default/web" };
        return cni_attach(f->store, &f->config, uid, f->netns, &request, ret, ret_job);
}

static struct error *attach(struct fixture *f, struct net_result *ret, struct net_job **ret_job) {
        return attach_pod(f, "u-1", ret, ret_job);
}

static const char *word_of(char *const *env, const char *name) {
        size_t len = strlen(name);

        for (; *env; env++)
                if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
                        return *env + len + 1;
        return "";
}

/* The next call has to be that ("ADD a"); *ret_input, if given, is what the plugin gets to read. */
static void expect_call(struct net_job *job, const char *wanted, json_t **ret_input) {
        struct net_call call;
        char text[64];

        assert_int_equal(net_job_next(job, &call), NET_JOB_RUN);
        const char *program = strrchr(call.argv[0], '/') + 1;
        snprintf(text, sizeof(text), "%s %s", word_of(call.env, "CNI_COMMAND"), program);
        assert_string_equal(text, wanted);
        assert_int_equal(call.timeout_ms, 7000);
        if (ret_input)
                assert_non_null(*ret_input = json_loads(call.input, 0, NULL));
}

static void answer(struct net_job *job, int code, const char *output) {
        struct net_answer a = { .status = code << 8, .output = output, .output_len = strlen(output) };
        net_job_answer(job, &a);
}

static void expect_end(struct net_job *job, const char *message) {
        struct net_call call;

        assert_int_equal(net_job_next(job, &call), NET_JOB_DONE);
        struct error *err = net_job_error(job);
        if (message) {
                assert_non_null(err);
                if (!strstr(error_message(err), message))
                        fail_msg("%s", error_message(err));
        } else {
                assert_ok(err);
        }
        if (message)
                error_free(err);
        net_job_free(job);
}

static struct net_job *begin_attach(struct fixture *f) {
        struct net_result result;
        struct net_job *job = NULL;

        assert_ok(attach(f, &result, &job));
        assert_non_null(job);
        return job;
}

static struct net_job *begin_detach(struct fixture *f) {
        struct net_job *job = NULL;

        assert_ok(cni_detach(f->store, "u-1", false, &job));
        return job;
}

#define TWO "\"name\": \"n\", \"plugins\": [{\"type\": \"a\", \"x\": 1, \"cni.dev/y\": 2}, {\"type\": \"b\"}]}"

TEST(plugins_are_called_in_order_and_back_and_hand_their_results_on) {
        struct fixture f;
        struct net_result result;
        json_t *input;

        fixture_open(&f, "{\"cniVersion\": \"1.0.0\", " TWO);
        struct net_job *job = begin_attach(&f);
        expect_call(job, "ADD a", &input);
        assert_int_equal(json_integer_value(json_object_get(input, "x")), 1);
        assert_null(json_object_get(input, "prevResult"));
        assert_null(json_object_get(input, "cni.dev/y"));
        json_decref(input);
        answer(job, 0, "{\"cniVersion\": \"1.0.0\", \"first\": 1}");
        expect_call(job, "ADD b", &input);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(input, "prevResult"), "first")), 1);
        json_decref(input);
        answer(job, 0, RESULT);
        expect_end(job, NULL);
        job = NULL;
        assert_ok(attach(&f, &result, &job)); /* once more: it is there */
        assert_null(job);
        assert_string_equal(result.ip4, "10.1.0.5");
        job = begin_detach(&f);
        expect_call(job, "DEL b", &input);
        assert_non_null(json_object_get(json_object_get(input, "prevResult"), "ips"));
        json_decref(input);
        answer(job, 0, "");
        expect_call(job, "DEL a", NULL);
        answer(job, 0, "");
        expect_end(job, NULL);
        assert_null(begin_detach(&f));
        fixture_close(&f);
}

static struct net_job *begin_attach_of(struct fixture *f, const char *uid) {
        struct net_result result;
        struct net_job *job = NULL;

        assert_ok(attach_pod(f, uid, &result, &job));
        return job;
}

static void expect_addition(struct net_job *job) {
        expect_call(job, "ADD a", NULL);
        answer(job, 0, "{\"cniVersion\": \"1.0.0\"}");
        expect_call(job, "ADD b", NULL);
        answer(job, 0, RESULT);
        expect_end(job, NULL);
}

/* After the machine has started anew all records are there before their pods are. */
TEST(only_what_pods_had_that_are_gone_is_taken_back_by_others) {
        struct fixture f;

        fixture_open(&f, "{\"cniVersion\": \"1.0.0\", " TWO);
        expect_addition(begin_attach_of(&f, "u-0"));
        _cleanup_free_ char *kept = path_join(f.folder, "root/pods/u-0"),
                            *running = path_join(f.folder, "run/pods/u-1");
        assert_ok(mkdir_parents(kept, 0700));
        assert_ok(mkdir_parents(running, 0700));
        expect_addition(begin_attach(&f));
        assert_int_equal(rmdir(kept), 0);
        struct net_job *job = begin_attach_of(&f, "u-2");
        expect_call(job, "DEL b", NULL);
        answer(job, 0, "");
        expect_call(job, "DEL a", NULL);
        answer(job, 0, "");
        expect_addition(job);
        fixture_close(&f);
}

TEST(what_one_plugin_had_made_when_another_failed_is_known_to_del) {
        struct fixture f;
        json_t *input;

        fixture_open(&f, "{\"cniVersion\": \"1.0.0\", " TWO);
        struct net_job *job = begin_attach(&f);
        expect_call(job, "ADD a", NULL);
        answer(job, 0, "{\"first\": 1}");
        expect_call(job, "ADD b", NULL);
        answer(job, 1, "{\"code\": 7, \"msg\": \"no\\u001b[2J\\nway\", \"details\": \"why\"}");
        expect_end(job, "CNI plugin \"b\": ADD failed: no [2J way: why (invalid network configuration)");
        job = begin_detach(&f);
        expect_call(job, "DEL b", &input);
        assert_int_equal(json_integer_value(json_object_get(json_object_get(input, "prevResult"), "first")), 1);
        json_decref(input);
        answer(job, 1, "{\"code\": 100, \"msg\": \"not now\"}");
        expect_end(job, NULL); /* it halts there, and stays on record */
        assert_non_null(job = begin_detach(&f));
        net_job_free(job);
        fixture_close(&f);
}

TEST(del_is_asked_again_a_few_times_where_it_says_so) {
        struct fixture f;
        struct net_call call;

        fixture_open(&f, "{\"cniVersion\": \"0.4.0\", \"name\": \"n\", \"plugins\": [{\"type\": \"a\"}]}");
        struct net_job *job = begin_attach(&f);
        expect_call(job, "ADD a", NULL);
        answer(job, 0, RESULT);
        expect_end(job, NULL);
        job = begin_detach(&f);
        for (int i = 0; i < 3; i++) {
                expect_call(job, "DEL a", NULL);
                answer(job, 1, "{\"code\": 11, \"msg\": \"later\"}");
                assert_int_equal(net_job_next(job, &call), NET_JOB_WAIT);
                assert_int_equal(call.wait_ms, 1000);
        }
        expect_call(job, "DEL a", NULL);
        answer(job, 0, "");
        expect_end(job, NULL);
        assert_null(begin_detach(&f));
        fixture_close(&f);
}

TEST(before_1_1_there_is_no_status_and_before_0_4_no_result_for_del) {
        struct fixture f;
        json_t *input;

        fixture_open(&f, "{\"cniVersion\": \"0.3.1\", \"name\": \"n\", \"plugins\": [{\"type\": \"a\"}]}");
        struct net_job *job = begin_attach(&f);
        expect_call(job, "ADD a", NULL);
        answer(job, 0, RESULT);
        expect_end(job, NULL);
        job = begin_detach(&f);
        expect_call(job, "DEL a", &input);
        assert_null(json_object_get(input, "prevResult"));
        json_decref(input);
        net_job_abandon(job);
        answer(job, 1, "");
        expect_end(job, "nobody wants the network any more");
        fixture_close(&f);
}

TEST(of_the_versions_offered_the_newest_counts_that_all_speak) {
        struct fixture f;
        json_t *input;

        fixture_open(&f, "{\"cniVersions\": [\"0.4.0\", \"1.1.0\", \"1.0.0\", \"9.9.9\"], " TWO);
        struct net_job *job = begin_attach(&f);
        expect_call(job, "VERSION a", NULL);
        answer(job, 0, "{\"supportedVersions\": [\"1.1.0\", \"1.0.0\", \"0.4.0\"]}");
        expect_call(job, "VERSION b", NULL);
        answer(job, 0, "{\"supportedVersions\": [\"0.4.0\", \"1.0.0\"]}");
        expect_call(job, "ADD a", &input);
        assert_string_equal(json_string_value(json_object_get(input, "cniVersion")), "1.0.0");
        json_decref(input);
        net_job_free(job);
        fixture_close(&f);

        fixture_open(&f, "{\"cniVersions\": [\"1.1.0\", \"1.0.0\"], " TWO);
        job = begin_attach(&f);
        expect_call(job, "VERSION a", NULL);
        answer(job, 0, "{\"supportedVersions\": [\"0.4.0\"]}");
        expect_call(job, "VERSION b", NULL);
        answer(job, 1, "");
        expect_end(job, "its plugins have none of its versions (1.1.0, 1.0.0) in common");
        fixture_close(&f);
}

TEST(a_network_that_is_not_ready_is_not_asked_for_addresses) {
        struct fixture f;

        fixture_open(&f, "{\"cniVersion\": \"1.1.0\", " TWO);
        struct net_job *job = begin_attach(&f);
        expect_call(job, "STATUS a", NULL);
        answer(job, 1, "{\"code\": 50, \"msg\": \"\"}");
        expect_end(job, "the network is not ready: CNI plugin \"a\": STATUS failed: the plugin is not available");
        assert_null(begin_detach(&f)); /* nothing was made */
        fixture_close(&f);
}

TEST(a_missing_plugin_is_found_before_the_first_is_called) {
        struct fixture f;

        fixture_open(&f, "{\"cniVersion\": \"1.0.0\", " TWO);
        put(&f, "b", "", 0600);
        struct net_job *job = begin_attach(&f);
        expect_end(job, "CNI plugin \"b\" of");
        assert_null(begin_detach(&f));
        fixture_close(&f);
}

TEST(the_addresses_of_the_interface_in_the_pod_count) {
        static const char text[] =
                "{\"interfaces\": [{\"name\": \"veth7\"}, {\"name\": \"eth0\", \"sandbox\": \"/x\", \"mtu\": 1400}, "
                "{\"name\": \"net1\", \"sandbox\": \"/x\"}], \"ips\": [{\"address\": \"10.9.9.9/8\", \"interface\": "
                "0}, "
                "{\"address\": \"10.8.8.8/8\", \"interface\": 2}, {\"address\": \"10.1.0.5/16\", \"interface\": 1}, "
                "{\"address\": \"10.1.0.6/16\", \"interface\": 1}, {\"address\": \"fd00::5/64\", \"interface\": 1}]}";
        json_t *json = json_loads(text, 0, NULL);
        struct net_result result;

        assert_ok(cni_result_parse(json, &result));
        assert_string_equal(result.ip4, "10.1.0.5");
        assert_string_equal(result.ip6, "fd00::5");
        assert_string_equal(result.host_ifname, "veth7");
        assert_int_equal(result.mtu, 1400);
        json_decref(json);
}
