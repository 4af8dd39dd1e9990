"""Objects as people change them: apply on top of what lives, patches, what may change of a pod, and files of many kinds."""
import json

import pytest

from conftest import BUSYBOX

LAST = "kubectl.kubernetes.io/last-applied-configuration"


def pod(name="p", labels=None, annotations=None, **spec):
    meta = {"name": name, **({"labels": labels} if labels else {}), **({"annotations": annotations} if annotations else {})}
    container = {"name": "a", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **spec}}


def send(node, verb, *objects, check=True, flags=()):
    text = "\n---\n".join(json.dumps(o) for o in objects)
    return node.husk(verb, *flags, "-f", "-", input=text, check=check)


def labels(node, name="p"):
    return node.get(name)["metadata"].get("labels", {})


def patch(node, kind, text, *flags, check=True):
    return node.husk("patch", "pod", "p", "--type=" + kind, *flags, "-p", text if isinstance(text, str) else json.dumps(text), check=check)


@pytest.fixture
def live(node):
    """A node with the running pod "p"."""
    send(node, "apply", pod(labels={"a": "1", "b": "2"}))
    node.running("p")
    return node


# ---- apply ----

def test_apply_keeps_what_others_set_and_takes_away_what_it_had_set(live):
    live.husk("label", "pod", "p", "mine=x")
    assert send(live, "apply", pod(labels={"a": "3"})).out == "pod/p configured\n"
    assert labels(live) == {"a": "3", "mine": "x"}
    assert send(live, "apply", pod(labels={"a": "3"})).out == "pod/p unchanged\n"
    assert json.loads(live.get("p")["metadata"]["annotations"][LAST])["metadata"]["labels"] == {"a": "3"}


def test_apply_sets_again_what_somebody_has_changed(live):
    live.husk("label", "pod", "p", "a=other", "--overwrite")
    assert send(live, "apply", pod(labels={"a": "1", "b": "2"})).out == "pod/p configured\n"
    assert labels(live)["a"] == "1"


def test_apply_after_create_warns_and_takes_nothing_away(node):
    send(node, "create", pod(labels={"a": "1", "b": "2"}))
    r = send(node, "apply", pod(labels={"a": "1"}))
    assert r.out == "pod/p configured\n"
    assert "Warning: resource pods/p is missing the %s annotation which is required by husk apply." % LAST in r.err
    assert labels(node) == {"a": "1", "b": "2"}
    assert send(node, "apply", pod(labels={"c": "3"})).err == "" and labels(node) == {"b": "2", "c": "3"}


def test_apply_after_create_with_save_config_knows_what_was_there(node):
    send(node, "create", pod(labels={"a": "1", "b": "2"}), flags=["--save-config"])
    assert send(node, "apply", pod(labels={"a": "1"})).err == ""
    assert labels(node) == {"a": "1"}


def test_apply_of_another_image_restarts_that_container_alone(live):
    live.load("--busybox", reference="localhost/husk/busybox:2")
    manifest = pod(labels={"a": "1", "b": "2"})
    manifest["spec"]["containers"][0]["image"] = "localhost/husk/busybox:2"
    send(live, "apply", manifest)
    p = live.wait("p", "restart", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1 and
                  "running" in p["status"]["containerStatuses"][0]["state"])
    assert p["spec"]["containers"][0]["image"] == "localhost/husk/busybox:2"


def test_apply_says_every_mistake_and_changes_nothing(live):
    bad = pod("q")
    bad["spec"]["containers"][0]["imagePullPolicy"] = "Sometimes"
    r = send(live, "apply", pod(labels={"a": "9"}), bad, pod("Q"), check=False)
    assert r.code != 0 and "spec.containers[0].imagePullPolicy" in r.err and "metadata.name" in r.err
    assert "2 mistakes; nothing was changed" in r.err and labels(live)["a"] == "1"


# ---- what may change of a pod ----

UPDATE = ("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
          "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
          "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")


@pytest.mark.parametrize("spec, message", [
    ({"hostname": "h"}, UPDATE + " (changed: spec.hostname)"),
    ({"nodeSelector": {"a": "b"}}, UPDATE + " (changed: spec.nodeSelector)"),
    ({"priority": 5}, UPDATE + " (changed: spec.priority)"),
    ({"schedulingGates": [{"name": "g"}]}, "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"),
    ({"containers": [{"name": "b", "image": "x"}]}, "spec.containers: Forbidden: pod updates may not add or remove containers"),
    ({"ephemeralContainers": [{"name": "e", "image": "x"}]}, UPDATE + " (changed: spec.ephemeralContainers)"),
    ({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}, UPDATE + " (changed: spec.containers[0].resources"),
], ids=lambda v: next(iter(v)) if isinstance(v, dict) else "")
def test_a_live_pod_keeps(live, spec, message):
    before = live.get("p")["spec"]
    r = patch(live, "strategic", {"spec": spec}, check=False)
    assert r.code != 0 and message in r.err
    assert live.get("p")["spec"] == before


def test_deadline_and_tolerations_of_a_live_pod_may_change(live):
    patch(live, "merge", {"spec": {"activeDeadlineSeconds": 1000}})
    patch(live, "merge", {"spec": {"activeDeadlineSeconds": 900, "tolerations": [{"key": "a", "operator": "Exists"}]}})
    r = patch(live, "merge", {"spec": {"activeDeadlineSeconds": 1000}}, check=False)
    assert "spec.activeDeadlineSeconds: Invalid value: 1000: must be less than or equal to previous value" in r.err
    r = patch(live, "merge", {"spec": {"activeDeadlineSeconds": None}}, check=False)
    assert "must not update from a positive integer to nil value" in r.err
    r = patch(live, "merge", {"spec": {"tolerations": []}}, check=False)
    assert "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds" in r.err
    assert live.get("p")["metadata"]["generation"] == 3


def test_what_the_system_writes_cannot_be_written(live):
    uid = live.get("p")["metadata"]["uid"]
    r = patch(live, "merge", {"metadata": {"uid": "x"}}, check=False)
    assert r.code != 0 and "metadata.uid" in r.err
    patch(live, "merge", {"status": {"phase": "Failed"}})
    p = live.get("p")
    assert p["metadata"]["uid"] == uid and p["status"]["phase"] == "Running"


def test_an_older_version_is_not_written_over_a_newer_one(live):
    p = live.get("p")
    live.husk("label", "pod", "p", "new=1")
    r = send(live, "replace", p, check=False)
    assert r.code != 0 and "the object has been modified; please apply your changes to the latest version" in r.err
    assert labels(live)["new"] == "1"


@pytest.mark.parametrize("kind, before, after, message", [
    ("ConfigMap", {"immutable": True, "data": {"a": "1"}}, {"immutable": True, "data": {"a": "2"}},
     "data: Forbidden: field is immutable when `immutable` is set"),
    ("Secret", {"immutable": True, "stringData": {"a": "1"}}, {"stringData": {"a": "1"}},
     "immutable: Forbidden: field is immutable when `immutable` is set"),
    ("Secret", {"type": "a/b"}, {"type": "a/c"}, 'type: Invalid value: "a/c": field is immutable'),
])
def test_what_is_immutable_stays(node, kind, before, after, message):
    head = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}}
    send(node, "apply", {**head, **before})
    r = send(node, "replace", {**head, **after}, check=False)
    assert r.code != 0 and message in r.err


# ---- patches ----

def test_a_strategic_patch_merges_lists_by_their_keys(live):
    patch(live, "strategic", {"metadata": {"labels": {"a": None, "c": "3"}},
                              "spec": {"containers": [{"name": "a", "image": "localhost/husk/busybox:none"}]}}, "--dry-run=server")
    assert labels(live) == {"a": "1", "b": "2"}
    out = patch(live, "strategic", {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}, "-o", "json").out
    assert json.loads(out)["metadata"]["labels"] == labels(live) == {"c": "3"}
    assert len(live.get("p")["spec"]["containers"]) == 1


def test_a_merge_patch_replaces_lists_and_null_removes(live):
    patch(live, "merge", "{metadata: {labels: {a: null, c: '3'}}}")
    assert labels(live) == {"b": "2", "c": "3"}
    r = patch(live, "merge", {"spec": {"containers": [{"name": "a", "image": "x"}]}}, check=False)
    assert r.code != 0 and "changed: spec.containers[0].command" in r.err


def test_a_json_patch_tests_and_fails_as_a_whole(live):
    patch(live, "json", [{"op": "test", "path": "/metadata/labels/a", "value": "1"},
                         {"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/c"}])
    assert labels(live) == {"b": "2", "c": "1"}
    r = patch(live, "json", [{"op": "remove", "path": "/metadata/labels/b"}, {"op": "test", "path": "/metadata/labels/c", "value": "2"}], check=False)
    assert r.code != 0 and labels(live) == {"b": "2", "c": "1"}


@pytest.mark.parametrize("kind, text, message", [
    ("json", "{}", "a JSON patch is a list of operations"),
    ("json", '[{"op":"remove","path":"/metadata/labels/none"}]', "/metadata/labels/none"),
    ("json", '[{"op":"fly","path":"/a"}]', "fly"),
    ("merge", "[]", "no object"),
    ("strategic", '{"spec":{"containers":[{"image":"x"}]}}', "name"),
    ("merge", '{"spec":{"nonsense":1}}', "spec.nonsense"),
    ("merge", '{"metadata"', "unable to parse the patch"),
])
def test_a_wrong_patch_is_refused(live, kind, text, message):
    before = live.get("p")
    r = patch(live, kind, text, check=False)
    assert r.code != 0 and message in r.err, r
    assert live.get("p")["metadata"]["generation"] == before["metadata"]["generation"]


def test_patch_of_the_status_sets_conditions_that_are_not_the_supervisors(node):
    send(node, "apply", pod(readinessGates=[{"conditionType": "example.com/in"}]))
    node.running("p")
    patch(node, "strategic", {"status": {"conditions": [{"type": "example.com/in", "status": "True"}]}}, "--subresource=status")
    node.wait("p", "readiness", lambda p: any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"]["conditions"]))


def test_patch_of_ephemeral_containers_adds_and_never_changes_one(live):
    def containers(**more):
        return {"spec": {"ephemeralContainers": [{"name": "e", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sleep", "1000"], **more}]}}

    patch(live, "strategic", containers(), "--subresource=ephemeralcontainers")
    live.wait("p", "an ephemeral container", lambda p: any("running" in s["state"] for s in p["status"].get("ephemeralContainerStatuses", [])))
    r = patch(live, "strategic", containers(stdin=True), "--subresource=ephemeralcontainers", check=False)
    assert 'existing ephemeral containers "e" may not be changed' in r.err
    r = patch(live, "merge", {"spec": {"ephemeralContainers": []}}, "--subresource=ephemeralcontainers", check=False)
    assert 'existing ephemeral containers "e" may not be removed' in r.err


def test_patch_of_resize_changes_cpu_and_memory_alone(node):
    p = pod()
    p["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    send(node, "apply", p)
    node.running("p")
    new = {"spec": {"hostname": "h", "containers": [{"name": "a", "resources": {"requests": {"cpu": "200m"}}}]}}
    assert "only cpu and memory resources are mutable" in patch(node, "strategic", new, "--subresource=resize", check=False).err
    del new["spec"]["hostname"]
    patch(node, "strategic", new, "--subresource=resize")
    node.wait("p", "resize", lambda p: p["status"]["containerStatuses"][0].get("allocatedResources", {}).get("cpu") == "200m")


# ---- many kinds in one file ----

FILE = [
    {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "mixed"},
     "spec": {"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
              "containers": [{"name": "a", "image": BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", "echo $COLOR $KEY > /d/f; cat /d/f"],
                              "volumeMounts": [{"name": "d", "mountPath": "/d"}],
                              "envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": {"name": "s"}}]}], "restartPolicy": "Never"}},
    {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "mixed"},
     "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "mixed"}, "stringData": {"KEY": "k"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "mixed"}, "data": {"COLOR": "red"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mixed"}},
]


def test_a_file_of_many_kinds_is_applied_whole_in_the_order_of_need(node):
    out = send(node, "apply", *FILE).out.splitlines()
    assert out[0] == "namespace/mixed created" and out[-1] == "pod/p created" and len(out) == 5
    node.wait_log("red k", "p", "-n", "mixed")
    node.husk("delete", "ns", "mixed")
    assert node.get("p", ns="mixed") is None and node.get("c", "configmap", "mixed") is None


@pytest.mark.parametrize("version, kind, advice", [
    ("apps/v1", "Deployment", "put its pod template under kind: Pod, once for each replica"),
    ("apps/v1", "ReplicaSet", "put its pod template under kind: Pod, once for each replica"),
    ("apps/v1", "StatefulSet", "put its pod template under kind: Pod, once for each replica"),
    ("apps/v1", "DaemonSet", "put that under kind: Pod"),
    ("batch/v1", "Job", "restartPolicy: OnFailure"),
    ("batch/v1", "CronJob", "cron or a systemd timer"),
    ("v1", "Service", "hostPort"),
    ("networking.k8s.io/v1", "NetworkPolicy", "the machine's own firewall"),
    ("rbac.authorization.k8s.io/v1", "Role", "there is no API server here"),
    ("example.com/v1", "Foo", "`husk api-resources` lists"),
])
def test_other_kinds_are_refused_with_what_to_do_instead(node, version, kind, advice):
    r = send(node, "apply", pod(), {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, "spec": {"replicas": 2}}, check=False)
    assert r.code != 0 and 'kind: no kind "%s" in version "%s" on a single machine: ' % (kind, version) in r.err and advice in r.err
    assert "did you mean" not in r.err and node.get("p") is None
