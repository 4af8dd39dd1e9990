"""metadata.ownerReferences: what belongs to a deleted object goes with it, stays, or goes first, as a cluster's garbage collector has
it; an owner that was never here is not gone."""
import json
import os
import subprocess

import pytest

from conftest import BUSYBOX, HUSK, until


def reference(owner, block=False, **other):
    metadata = owner["metadata"]
    return dict({"apiVersion": "v1", "kind": owner["kind"], "name": metadata["name"], "uid": metadata["uid"], "blockOwnerDeletion": block}, **other)


def make(node, name, *owners, kind="ConfigMap", **metadata):
    node.husk("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": kind, "metadata": dict(metadata, name=name, ownerReferences=list(owners))}))
    return node.get(name, kind, metadata.get("namespace"))


def make_pod(node, name, *owners, grace=0, command="exec sleep 100000"):
    node.husk("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "ownerReferences": list(owners)}, "spec": {
        "terminationGracePeriodSeconds": grace, "containers": [{"name": "a", "image": BUSYBOX, "command": ["sh", "-c", command]}]}}))
    node.running(name)
    return node.remember(name)


def names(node, kind="configmaps"):
    return set(node.husk("get", kind, "-o", "jsonpath={.items[*].metadata.name}").out.split()) - {"kube-root-ca.crt"}


def test_dependents_go_with_their_owner_and_theirs_with_them(node):
    owner = make(node, "owner")
    child = make(node, "child", reference(owner))
    make(node, "secret", reference(child), kind="Secret")
    make_pod(node, "pod", reference(child))
    other = make(node, "other")
    make(node, "shared", reference(owner), reference(other))
    assert node.husk("delete", "configmap", "owner").out == 'configmap "owner" deleted from default namespace\n'
    until("the pod is gone", lambda: node.get("pod") is None)
    assert names(node) == {"other", "shared"} and names(node, "secrets") == set()
    # who has another owner stays, and names only that one
    assert [r["name"] for r in node.get("shared", "configmap")["metadata"]["ownerReferences"]] == ["other"]
    node.husk("delete", "configmap", "other")
    assert names(node) == set() and os.listdir(node.root + "/owners") == []


def test_the_longest_of_names_may_have_an_owner(node):
    owner, name = make(node, "owner"), "x" * 61 + "." + "y" * 63 + "." + "z" * 63 + "." + "a" * 63
    node.husk("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "ownerReferences": [reference(owner)]}, "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{"name": "a", "image": BUSYBOX}]}}))
    node.husk("delete", "configmap", "owner")
    until("it is gone", lambda: node.get(name) is None)


def test_what_a_pod_owns_goes_when_the_pod_is_gone(node):
    pod = make_pod(node, "owner", grace=30, command="trap 'while [ ! -e /end ]; do sleep 0.1; done; exit' TERM; while :; do sleep 0.1; done")
    make(node, "belongs", reference(pod))
    node.husk("delete", "pod", "owner", "--wait=false")
    node.wait("owner", "its deletion", lambda p: "deletionTimestamp" in p["metadata"])
    assert names(node) == {"belongs"}
    node.sh("owner", "touch /end")
    until("both are gone", lambda: node.get("owner") is None and names(node) == set())


def test_orphans_stay_and_have_no_owner_any_more(node):
    owner = make(node, "owner")
    make(node, "child", reference(owner))
    make_pod(node, "pod", reference(owner))
    node.husk("delete", "configmap", "owner", "--cascade=orphan")
    assert names(node) == {"child"} and "ownerReferences" not in node.get("child", "configmap")["metadata"]
    pod = node.get("pod")
    assert "ownerReferences" not in pod["metadata"] and "deletionTimestamp" not in pod["metadata"]


def test_in_the_foreground_those_that_block_go_first(node):
    slow = "trap 'sleep 1; exit' TERM; while :; do sleep 0.1; done"
    owner = make(node, "owner")
    make_pod(node, "blocks", reference(owner, block=True), grace=30, command=slow)
    process = subprocess.Popen([HUSK, "delete", "configmap", "owner", "--cascade=foreground"], env=node.env, stdout=subprocess.PIPE)
    node.wait("blocks", "its deletion", lambda p: "deletionTimestamp" in p["metadata"])
    assert names(node) == {"owner"}
    assert process.wait(60) == 0
    assert names(node) == set() and node.get("blocks") is None


def test_owners_of_one_another_go_together(node):
    first, second = make(node, "first"), make(node, "second")
    for name, owner in ("first", second), ("second", first):
        node.husk("patch", "configmap", name, "-p", json.dumps({"metadata": {"ownerReferences": [reference(owner, block=True)]}}))
    node.husk("delete", "configmap", "first", "--cascade=foreground")
    assert names(node) == set()


def test_a_namespace_goes_with_owners_and_what_they_own(node):
    node.husk("create", "namespace", "both")
    owner = make(node, "a-owner", namespace="both")
    make(node, "b-owned", reference(owner), namespace="both")
    node.husk("delete", "namespace", "both")
    assert "both" not in node.husk("get", "namespaces").out


def test_an_owner_and_what_it_owns_are_replaced_together(node):
    owner = make(node, "a-owner")
    make(node, "b-owned", reference(owner))
    both = {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": n}} for n in ("a-owner", "b-owned")]}
    node.husk("replace", "--force", "-f", "-", input=json.dumps(both))
    assert names(node) == {"a-owner", "b-owned"}
    node.husk("delete", "configmap", "a-owner", "b-owned")


def test_an_owner_that_is_not_known_is_not_gone(node):
    """As in a manifest that was copied from a cluster."""
    make(node, "copied", {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "4f1a8f0e-0000-4000-8000-000000000001"},
         {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "4f1a8f0e-0000-4000-8000-000000000002"})
    owner = make(node, "owner")
    # another apiVersion, another object of that name, another namespace: not this one
    make(node, "elsewhere", reference(owner, apiVersion="v2"))
    make(node, "namesake", reference(owner, uid="4f1a8f0e-0000-4000-8000-000000000003"))
    node.husk("create", "namespace", "far")
    make(node, "distant", reference(owner), namespace="far")
    node.husk("delete", "configmap", "owner")
    make(node, "another")
    node.husk("delete", "configmap", "another")
    assert names(node) == {"copied", "elsewhere", "namesake"} and node.get("distant", "configmap", "far")
    node.husk("delete", "namespace", "far")


def test_what_a_killed_deletion_left_is_made_up_for_by_the_next(node):
    owner = make(node, "owner")
    make(node, "child", reference(owner))
    owners, uid = node.root + "/owners", owner["metadata"]["uid"]
    # killed before the owner was removed: it is there, and so is what belongs to it
    os.rename(os.path.join(owners, uid), os.path.join(owners, uid + ",default"))
    make(node, "unlike")
    node.husk("delete", "configmap", "unlike")
    make(node, "second", reference(owner))
    assert names(node) == {"owner", "child", "second"}
    # killed after that
    for folder in (uid, uid + ",default"):
        assert os.listdir(os.path.join(owners, folder))
    node.husk("delete", "configmap", "owner")
    assert names(node) == set() and os.listdir(owners) == []


@pytest.mark.parametrize("how,says", [("true", "warning: --cascade=true is deprecated (boolean value) and can be replaced with --cascade=background."),
                                      ("sideways", 'invalid cascade value (sideways). Must be "background", "foreground", or "orphan"')])
def test_how_to_cascade_is_said_in_kubectls_words(node, how, says):
    make(node, "owner")
    assert says in node.husk("delete", "configmap", "owner", "--cascade", how, check=False).err or says in node.husk(
        "delete", "configmap", "owner", "--cascade=" + how, check=False).err
    node.husk("delete", "configmap", "owner", "--ignore-not-found")
