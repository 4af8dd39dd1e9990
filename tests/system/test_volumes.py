"""Volumes: each kind and each field of them as a Kubernetes node has it, and what a pod may keep on the disk."""
import json

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
