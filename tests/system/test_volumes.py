"""Volumes: each kind and each field of them as a Kubernetes node has it, and what a pod may keep on the disk."""
import json
import os

BUSYBOX = "localhost/husk/busybox:1"


def container(name="a", script="sleep 100000", mounts=(), **more):
    return dict({"name": name, "image": BUSYBOX, "command": ["sh", "-c", script],
                 "volumeMounts": [m if isinstance(m, dict) else {"name": m, "mountPath": "/" + m} for m in mounts]}, **more)


def pod(node, name, volumes=(), containers=None, check=True, metadata=None, **spec):
    """Applies a pod whose one container mounts every volume at /<its name>, unless containers are given."""
    containers = containers or [container(mounts=[v["name"] for v in volumes])]
    return node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": dict({"name": name}, **(metadata or {})), "spec": dict({
        "terminationGracePeriodSeconds": 0, "volumes": list(volumes), "containers": containers}, **spec)}), check=check)


def evicted(node, name):
    p = node.phase(name, "Failed", timeout=40)
    assert p["status"]["reason"] == "Evicted"
    # the pod's own doing, so nobody's disruption
    assert "DisruptionTarget" not in {c["type"] for c in p["status"]["conditions"]}
    assert any(e["reason"] == "Evicted" and e["message"] == p["status"]["message"] for e in events(node, name))
    return p["status"]["message"]


def events(node, name):
    found = json.loads(node.husk("get", "events", "-o", "json").out)["items"]
    return [e for e in found if e["involvedObject"]["name"] == name]


# ---- what a pod may keep on the disk ----

def test_an_empty_dir_over_its_size_limit_is_evicted(node):
    pod(node, "full", [{"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}],
        [container(script="dd if=/dev/zero of=/d/x bs=1M count=2; sleep 100000", mounts=["d"])])
    assert evicted(node, "full") == 'Usage of EmptyDir volume "d" exceeds the limit "1Mi". '


def test_a_container_over_its_storage_limit_is_evicted(node):
    """What it writes to its own root counts, and beside it the other container has room in the pod's sum."""
    limit = {"limits": {"ephemeral-storage": "2Mi"}}
    pod(node, "layer", containers=[container("a", "dd if=/dev/zero of=/x bs=1M count=3; sleep 100000", resources=limit),
                                   container("b", resources={"limits": {"ephemeral-storage": "1Gi"}})])
    assert evicted(node, "layer") == 'Container a exceeded its local ephemeral storage limit "2Mi". '


def test_logs_count_and_the_pods_sum_comes_first(node):
    limit = {"limits": {"ephemeral-storage": "1Mi"}}
    pod(node, "sum", [{"name": "d", "emptyDir": {}}],
        [container("a", "dd if=/dev/zero of=/d/x bs=1k count=1100; sleep 100000", mounts=["d"], resources=limit),
         container("b", "yes 0123456789012345678901234567890123456789 | head -n 22000; sleep 100000", resources=limit)])
    assert evicted(node, "sum") == "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "


def test_who_stays_below_the_limits_stays(node):
    """As much as the limits allow, in all kinds of files; a critical pod stays even above them."""
    pod(node, "below", [{"name": "d", "emptyDir": {"sizeLimit": "2Mi"}}],
        [container(script="dd if=/dev/zero of=/d/x bs=1k count=1900; for i in 1 2 3 4 5 6 7 8 9; do ln /d/x /d/x$i; done; "
                          "truncate -s 1G /d/sparse; sleep 100000", mounts=["d"], resources={"limits": {"ephemeral-storage": "8Mi"}})])
    pod(node, "full", [{"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}],
        [container(script="dd if=/dev/zero of=/d/x bs=1M count=2; sleep 100000", mounts=["d"])])
    evicted(node, "full")  # both have been measured meanwhile
    assert node.get("below")["status"]["phase"] == "Running"


# ---- claims ----

def claim(node, name, check=True, **spec):
    return node.apply(json.dumps({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": dict({
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}, **spec)}), check=check)


def by_claim(name, **more):
    return {"name": "d", "persistentVolumeClaim": dict({"claimName": name}, **more)}


def waits(node, name):
    """The message with which the pod waits to be placed."""
    p = node.wait(name, "a refusal to place it", lambda p: [c for c in p["status"].get("conditions", [])
                                                            if c["type"] == "PodScheduled" and c["status"] == "False"])
    condition = [c for c in p["status"]["conditions"] if c["type"] == "PodScheduled"][0]
    assert (p["status"]["phase"], condition["reason"]) == ("Pending", "Unschedulable")
    return condition["message"]


def test_a_claim_is_bound_at_once_to_a_volume_of_its_own(node):
    claim(node, "c")
    c = node.get("c", "pvc")
    assert c["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
    assert c["spec"]["volumeName"] == "pvc-" + c["metadata"]["uid"] and c["spec"]["storageClassName"] == "local"
    assert c["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert "unchanged" in claim(node, "c").out  # what was set by the system is no change
    claim(node, "c", resources={"requests": {"storage": "2Gi"}})
    assert node.get("c", "pvc")["status"]["capacity"] == {"storage": "2Gi"}
    assert " Bound " in node.husk("get", "pvc", "c").out


def test_what_a_claim_holds_outlives_its_pods_and_goes_with_the_claim(node):
    claim(node, "c")
    pod(node, "one", [by_claim("c")], [container(script="echo kept > /d/file", mounts=["d"])], restartPolicy="Never")
    node.phase("one", "Succeeded")
    node.husk("delete", "pod", "one")
    pod(node, "two", [by_claim("c", readOnly=True)])
    node.running("two")
    assert node.sh("two", "cat /d/file") == "kept"
    assert "Read-only file system" in node.exec("two", "touch", "/d/x", check=False).err
    node.husk("delete", "pod", "two")
    assert os.listdir(os.path.join(node.root, "persistent-volumes"))
    node.husk("delete", "pvc", "c")
    assert os.listdir(os.path.join(node.root, "persistent-volumes")) == []


def test_a_claim_in_use_stays_until_its_last_pod_is_gone(node):
    claim(node, "c")
    pod(node, "user", [by_claim("c")])
    node.running("user")
    node.husk("delete", "pvc", "c", "--wait=false")
    assert node.get("c", "pvc")["metadata"]["deletionTimestamp"]
    assert " Terminating " in node.husk("get", "pvc", "c").out
    node.sh("user", "echo x > /d/still-there")
    # no pod comes to it any more
    pod(node, "late", [by_claim("c")])
    assert waits(node, "late").startswith('0/1 nodes are available: persistentvolumeclaim "c" is being deleted. ')
    r = node.fails("delete", "pvc", "c", "--timeout=1s")
    assert "timed out waiting" in r.err
    node.husk("delete", "pod", "user")
    assert node.get("c", "pvc") is None
    assert os.listdir(os.path.join(node.root, "persistent-volumes")) == []


def test_a_pod_waits_for_its_claim_and_starts_when_it_comes(node):
    pod(node, "early", [by_claim("c")])
    assert waits(node, "early") == ('0/1 nodes are available: persistentvolumeclaim "c" not found. no new claims to deallocate, preemption: '
                                    '0/1 nodes are available: 1 Preemption is not helpful for scheduling.')
    claim(node, "c")
    node.running("early")
    # one that only a volume made by hand could satisfy
    claim(node, "byhand", volumeName="somewhere")
    assert node.get("byhand", "pvc")["status"]["phase"] == "Pending"
    pod(node, "never", [by_claim("byhand")])
    assert waits(node, "never").startswith("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. ")


def test_read_write_once_pod_is_for_one_pod(node):
    claim(node, "c", accessModes=["ReadWriteOncePod"])
    pod(node, "first", [by_claim("c")])
    node.running("first")
    pod(node, "second", [by_claim("c")])
    assert "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode" in waits(node, "second")
    node.husk("delete", "pod", "first")
    node.running("second")


def test_a_generic_ephemeral_volume_has_a_claim_that_goes_with_its_pod(node):
    template = {"metadata": {"labels": {"of": "scratch"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    pod(node, "job", [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    p = node.running("job")
    node.sh("job", "echo x > /scratch/file")
    c = node.get("job-scratch", "pvc")
    assert c["status"]["phase"] == "Bound" and c["metadata"]["labels"] == {"of": "scratch"}
    assert c["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "job", "uid": p["metadata"]["uid"],
                                                 "controller": True, "blockOwnerDeletion": True}]
    node.husk("delete", "pod", "job")
    assert node.get("job-scratch", "pvc") is None
    assert os.listdir(os.path.join(node.root, "persistent-volumes")) == []
    # one of that name that is somebody else's is not taken
    claim(node, "job-scratch")
    pod(node, "job", [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    assert "PVC default/job-scratch was not created for pod default/job (pod is not owner)" in waits(node, "job")


def test_what_no_claim_can_have_here_is_refused_by_name(node):
    for spec, path in (({"storageClassName": "fast"}, "spec.storageClassName"), ({"volumeMode": "Block"}, "spec.volumeMode"),
                       ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
                       ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}, "spec.dataSource"),
                       ({"volumeAttributesClassName": "gold"}, "spec.volumeAttributesClassName")):
        r = claim(node, "c", check=False, **spec)
        assert r.code == 1 and path + ":" in r.err and "not supported on a single machine: it " in r.err, r
    for volume, more, path in (({"nfs": {"server": "s", "path": "/p"}}, {}, "spec.volumes[0].nfs"),
                               (by_claim("c"), {"volumeDevices": [{"name": "d", "devicePath": "/dev/x"}]}, "spec.containers[0].volumeDevices")):
        r = pod(node, "refused", [dict({"name": "d"}, **volume)], [container(**more)], check=False)
        assert r.code == 1 and path + ":" in r.err and "not supported on a single machine: it " in r.err, r
    assert node.get("refused") is None
