#include "test.h"

#include "server/field.h"
#include "husk/pod-summary.h"

/* Pods are written with single quotes, so that they can be read here. */
static json_t *pod_from(const char *text) {
        char *copy = xstrdup(text);
        json_error_t mistake;

        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        json_t *pod = json_loads(copy, 0, &mistake);
        if (!pod)
                fail_msg("%s: %s", mistake.text, text);
        free(copy);
        return pod;
}

static void summary_is(const char *text, const char *status, const char *ready, const char *restarts) {
        _cleanup_json_ json_t *pod = pod_from(text);
        _cleanup_pod_summary_ struct pod_summary summary;

        pod_summary_make(pod, &summary);
        _cleanup_free_ char *ready_text = xasprintf("%zu/%zu", summary.ready, summary.total);
        _cleanup_free_ char *restarts_text = pod_summary_restarts(&summary, 1000000300);
        assert_string_equal(summary.status, status);
        assert_string_equal(ready_text, ready);
        assert_string_equal(restarts_text, restarts);
}

#define TWO "'spec':{'containers':[{'name':'a'},{'name':'b'}]}"
#define RUNNING(name) "{'name':'" name "','ready':true,'restartCount':0,'state':{'running':{}}}"
#define DONE(name, reason, code) \
        "{'name':'" name "','ready':false,'restartCount':0,'state':{'terminated':{'reason':'" reason \
        "','exitCode':" code "}}}"
#define WAITING(name, reason) \
        "{'name':'" name "','ready':false,'restartCount':0,'state':{'waiting':{'reason':'" reason "'}}}"

TEST(a_pod_without_status_is_pending) {
        summary_is("{" TWO "}", "Pending", "0/2", "0");
}

TEST(a_running_pod_shows_its_phase) {
        summary_is("{" TWO ",'status':{'phase':'Running','containerStatuses':[" RUNNING("a") "," RUNNING("b") "]}}",
                   "Running", "2/2", "0");
}

TEST(a_waiting_reason_says_more_than_the_phase) {
        summary_is("{" TWO ",'status':{'phase':'Pending','containerStatuses':[" WAITING(
                           "a", "ContainerCreating") "," WAITING("b", "ErrImagePull") "]}}",
                   "ContainerCreating", "0/2", "0");
        summary_is("{" TWO ",'status':{'phase':'Running','containerStatuses':[" WAITING(
                           "a", "CrashLoopBackOff") "," RUNNING("b") "]}}",
                   "CrashLoopBackOff", "1/2", "0");
}

TEST(ended_containers_show_how_they_ended) {
        summary_is("{" TWO ",'status':{'phase':'Succeeded','containerStatuses':[" DONE("a", "Completed", "0") "," DONE(
                           "b", "Completed", "0") "]}}",
                   "Completed", "0/2", "0");
        summary_is("{" TWO ",'status':{'phase':'Failed','containerStatuses':[" DONE("a", "", "3") "," DONE(
                           "b", "Completed", "0") "]}}",
                   "ExitCode:3", "0/2", "0");
        summary_is("{" TWO ",'status':{'phase':'Failed','containerStatuses':[{'name':'a','restartCount':0,"
                   "'state':{'terminated':{'exitCode':137,'signal':9}}}]}}",
                   "Signal:9", "0/2", "0");
}

TEST(a_pod_with_one_ended_and_one_running_container_is_not_completed) {
        summary_is("{" TWO ",'status':{'phase':'Running','conditions':[{'type':'Ready','status':'False'}],"
                   "'containerStatuses':[" DONE("a", "Completed", "0") "," RUNNING("b") "]}}",
                   "NotReady", "1/2", "0");
        summary_is("{" TWO ",'status':{'phase':'Running','conditions':[{'type':'Ready','status':'True'}],"
                   "'containerStatuses':[" DONE("a", "Completed", "0") "," RUNNING("b") "]}}",
                   "Running", "1/2", "0");
}

TEST(the_pods_own_reason_stands_for_the_phase) {
        summary_is("{" TWO ",'status':{'phase':'Failed','reason':'Evicted'}}", "Evicted", "0/2", "0");
        summary_is("{" TWO ",'status':{'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False',"
                   "'reason':'SchedulingGated'}]}}",
                   "SchedulingGated", "0/2", "0");
}

TEST(a_deleted_pod_is_terminating_until_it_has_ended) {
        summary_is("{'metadata':{'deletionTimestamp':'2026-11-23T19:03:56Z'}," TWO ",'status':{'phase':'Running',"
                   "'containerStatuses':[" RUNNING("a") "," RUNNING("b") "]}}",
                   "Terminating", "2/2", "0");
        summary_is("{'metadata':{'deletionTimestamp':'2026-11-23T19:03:56Z'}," TWO ",'status':{'phase':'Succeeded',"
                   "'containerStatuses':[" DONE("a", "Completed", "0") "]}}",
                   "Completed", "0/2", "0");
}

#define INIT "'spec':{'initContainers':[{'name':'i'},{'name':'j'}],'containers':[{'name':'a'}]}"

TEST(init_containers_show_how_far_they_are) {
        summary_is("{" INIT ",'status':{'phase':'Pending','initContainerStatuses':[" RUNNING("i") "," WAITING(
                           "j", "PodInitializing") "],'containerStatuses':[" WAITING("a", "PodInitializing") "]}}",
                   "Init:0/2", "0/1", "0");
        summary_is("{" INIT ",'status':{'phase':'Pending','initContainerStatuses':[" DONE(
                           "i", "Completed", "0") "," WAITING("j", "PodInitializing") "]}}",
                   "Init:1/2", "0/1", "0");
        summary_is("{" INIT
                   ",'status':{'phase':'Pending','initContainerStatuses':[" WAITING("i", "ImagePullBackOff") "]}}",
                   "Init:ImagePullBackOff", "0/1", "0");
        summary_is("{" INIT ",'status':{'phase':'Pending','initContainerStatuses':[" DONE("i", "Error", "1") "]}}",
                   "Init:Error", "0/1", "0");
        summary_is("{" INIT ",'status':{'phase':'Pending','initContainerStatuses':[" DONE("i", "", "7") "]}}",
                   "Init:ExitCode:7", "0/1", "0");
}

TEST(a_sidecar_counts_as_a_container) {
        static const char spec[] = "'spec':{'initContainers':[{'name':'s','restartPolicy':'Always'},{'name':'i'}],'"
                                   "containers':[{'name':'a'}]}";
        _cleanup_free_ char *starting = xasprintf(
                "{%s,'status':{'phase':'Pending','initContainerStatuses':[{'name':'s','ready':true,'started':true,"
                "'restartCount':0,'state':{'running':{}}}," RUNNING("i") "]}}",
                spec);
        summary_is(starting, "Init:1/2", "1/2", "0");
        _cleanup_free_ char *running = xasprintf(
                "{%s,'status':{'phase':'Running','initContainerStatuses':[{'name':'s','ready':true,'started':true,"
                "'restartCount':2,'state':{'running':{}}}," DONE("i", "Completed",
                                                                 "0") "],"
                                                                      "'containerStatuses':[" RUNNING("a") "]}}",
                spec);
        summary_is(running, "Running", "2/2", "2");
}

TEST(restarts_say_when_the_last_one_was) {
        summary_is("{" TWO
                   ",'status':{'phase':'Running','containerStatuses':[{'name':'a','ready':true,'restartCount':2,"
                   "'state':{'running':{}},'lastState':{'terminated':{'finishedAt':'2001-09-09T01:46:40Z'}}}," RUNNING(
                           "b") "]}}",
                   "Running", "2/2", "2 (5m ago)");
}

TEST(nonsense_in_a_status_does_no_harm) {
        summary_is("{'spec':7,'status':{'phase':3,'containerStatuses':[7,{'state':'x'}],'initContainerStatuses':'no'}}",
                   "Pending", "0/0", "0");
}
