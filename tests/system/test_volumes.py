"""Volumes: each kind and each field of them as a Kubernetes node has it, and what a pod may keep on the disk."""
import json
import os
import socket
import subprocess

import pytest

from test_resources import V2, huge_pages  # noqa: F401 (a fixture)

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
    assert any(e["reason"] == "Evicted" and e["message"] == p["status"]["message"] for e in node.events(name))
    return p["status"]["message"]


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
    template = {"metadata": {"labels": {"of": "scratch"}}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}, "limits": {"storage": "2Mi"}}}}
    pod(node, "job", [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    p = node.running("job")
    node.sh("job", "echo x > /scratch/file")
    c = node.get("job-scratch", "pvc")
    assert c["status"]["phase"] == "Bound" and c["metadata"]["labels"] == {"of": "scratch"}
    assert c["spec"]["resources"] == {"requests": {"storage": "1Mi"}, "limits": {"storage": "2Mi"}}
    assert c["metadata"]["ownerReferences"] == [{"apiVersion": "v1", "kind": "Pod", "name": "job", "uid": p["metadata"]["uid"],
                                                 "controller": True, "blockOwnerDeletion": True}]
    node.husk("delete", "pod", "job")
    assert node.get("job-scratch", "pvc") is None
    assert os.listdir(os.path.join(node.root, "persistent-volumes")) == []
    # one of that name that is somebody else's is not taken
    claim(node, "job-scratch")
    pod(node, "job", [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    assert "PVC default/job-scratch was not created for pod default/job (pod is not owner)" in waits(node, "job")


def test_a_damaged_claim_is_told_of_and_nothing_else_stays_for_it(node):
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    for name in "good", "bad":
        claim(node, name)
    pod(node, "job", [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}])
    node.running("job")
    path = os.path.join(node.root, "objects/default/PersistentVolumeClaim/bad.json")
    with open(path, "w") as f:
        f.write("{")
    said = node.husk("delete", "pod", "job")
    assert "Warning: persistent volume claims: " + path in said.err and said.err.count("\n") == 1
    assert node.get("job-scratch", "pvc") is None
    node.husk("delete", "pvc", "good")
    assert node.get("good", "pvc") is None
    assert path in node.fails("get", "pvc").err
    os.unlink(path)
    assert node.husk("get", "pvc", "-o", "name").out == ""


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


# ---- files that husk writes ----

def job(node, name, script, volumes=(), mounts=None, metadata=None, container_=None, **spec):
    """Runs one container to its end; what it wrote, in lines."""
    c = container(script=script, mounts=[v["name"] for v in volumes] if mounts is None else mounts, **(container_ or {}))
    pod(node, name, volumes, [c], metadata=metadata, restartPolicy="Never", **spec)
    p = node.wait(name, "an end", lambda p: p["status"].get("phase") in ("Succeeded", "Failed"))
    assert p["status"]["phase"] == "Succeeded", node.logs(name)
    return node.logs(name).splitlines()


def objects(node, **data):
    node.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": dict({"one": "1", "two": "2"}, **data), "binaryData": {"bytes": "AAH/"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"word": "swordfish", "other": "x"}}]}))


def test_keys_of_a_config_map_are_files(node):
    objects(node)
    assert job(node, "files", "cat /c/one /c/two; echo; ls /c; od -An -tx1 /c/bytes; stat -L -c %a /c/one; readlink /c/one; stat -f -c %T /c; touch /c/x 2>&1 || true",
               [{"name": "c", "configMap": {"name": "settings", "defaultMode": 0o640}}]) == [
        "12", "bytes", "one", "two", " 00 01 ff", "640", "..data/one", "tmpfs", "touch: /c/x: Read-only file system"]


def test_some_keys_of_a_config_map_under_other_names(node):
    objects(node)
    assert job(node, "items", "cd /c; find . -follow -type f ! -path '*/..*' | sort; cat sub/first; echo; stat -L -c %a sub/first second",
               [{"name": "c", "configMap": {"name": "settings", "items": [{"key": "one", "path": "sub/first", "mode": 0o400}, {"key": "two", "path": "second"}]}}]
               ) == ["./second", "./sub/first", "1", "400", "644"]


def test_a_secret_is_files_in_memory(node):
    objects(node)
    assert job(node, "secret", "cd /s; ls; cat a; echo; stat -L -c %a a b; stat -f -c %T .",
               [{"name": "s", "secret": {"secretName": "keys", "defaultMode": 0o440, "items": [{"key": "word", "path": "a"}, {"key": "other", "path": "b"}]}}]
               ) == ["a", "b", "swordfish", "440", "440", "tmpfs"]


def test_what_is_optional_may_be_missing(node):
    items = [{"key": "none", "path": "none"}]
    objects(node)
    assert job(node, "optional", "ls -d /a/* /b/* /c/* 2>/dev/null; ls /p", [
        {"name": "a", "configMap": {"name": "none", "optional": True}}, {"name": "b", "secret": {"secretName": "none", "optional": True}},
        {"name": "c", "configMap": {"name": "settings", "optional": True, "items": items}},
        {"name": "p", "projected": {"sources": [{"configMap": {"name": "none", "optional": True}}, {"secret": {"name": "none", "optional": True}},
                                                {"configMap": {"name": "settings"}}]}}]) == ["bytes", "one", "two"]


def test_what_is_missing_keeps_the_pod_waiting_until_it_comes(node):
    pod(node, "missing", [{"name": "c", "configMap": {"name": "settings"}}, {"name": "s", "secret": {"secretName": "keys"}}])
    node.wait("missing", "an event", lambda _: any(e["reason"] == "FailedMount" and e["message"] == 'MountVolume.SetUp failed for volume "c" : configmap "settings" not found'
                                                   for e in node.events("missing")))
    assert node.get("missing")["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    objects(node)
    node.running("missing")


def test_the_pod_itself_as_files(node):
    items = [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}, {"path": "deep/labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o400},
             {"path": "cpu", "resourceFieldRef": {"containerName": "a", "resource": "limits.cpu", "divisor": "1m"}}]
    assert job(node, "facts", "cd /d; cat name; echo; cat deep/labels; echo; cat cpu; echo; stat -L -c %a name deep/labels",
               [{"name": "d", "downwardAPI": {"items": items, "defaultMode": 0o444}}], metadata={"labels": {"app": "web"}},
               container_={"resources": {"limits": {"cpu": "250m"}}}) == ["facts", 'app="web"', "250", "444", "400"]


def test_several_sources_in_one_folder(node):
    objects(node)
    sources = [{"configMap": {"name": "settings", "items": [{"key": "one", "path": "cm/one"}]}},
               {"secret": {"name": "keys", "items": [{"key": "word", "path": "secret/word", "mode": 0o400}]}},
               {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
    assert job(node, "together", "cd /p; find . -follow -type f ! -path '*/..*' | sort; cat cm/one secret/word name; echo; stat -L -c %a cm/one secret/word name",
               [{"name": "p", "projected": {"sources": sources, "defaultMode": 0o440}}]) == [
        "./cm/one", "./name", "./secret/word", "1swordfishtogether", "440", "400", "440"]


def test_tokens_that_only_a_cluster_can_sign_are_refused(node):
    r = pod(node, "token", [{"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}], check=False)
    assert r.code == 1 and "spec.volumes[0].projected.sources[0].serviceAccountToken: not supported on a single machine" in r.err
    assert node.get("token") is None


def test_a_change_arrives_in_all_files_at_once_but_not_through_a_sub_path(node):
    objects(node)
    pod(node, "follows", [{"name": "c", "configMap": {"name": "settings"}}],
        [container(mounts=["c", {"name": "c", "mountPath": "/one", "subPath": "one"}])])
    node.running("follows")
    before = node.sh("follows", "readlink /c/..data")
    objects(node, one="new", two="new", three="new")
    assert node.until("follows", "cat /c/one /c/two /c/three", "newnewnew") and node.sh("follows", "cat /one") == "1"
    assert node.sh("follows", "readlink /c/..data; ls -A /c | wc -l").split()[0] != before
    assert node.sh("follows", "ls -A /c | wc -l") == "6"  # four links, ..data and one version


def test_a_new_label_of_the_pod_arrives_in_its_files(node):
    source = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    pod(node, "labels", [dict({"name": "d"}, **source), {"name": "p", "projected": {"sources": [source]}}], metadata={"labels": {"v": "1"}})
    node.running("labels")
    node.husk("label", "pod", "labels", "v=2", "--overwrite")
    node.until("labels", "cat /d/labels /p/labels", 'v="2"v="2"')


# ---- folders of the pod and of the host ----

def test_an_empty_dir_is_shared_and_survives_a_restart(node):
    pod(node, "shared", [{"name": "d", "emptyDir": {}}],
        [container("a", "[ -e /d/second ] || { touch /d/second; exit 1; }; sleep 100000", ["d"]), container("b", mounts=["d"])])
    p = node.wait("shared", "a restart", lambda p: [s for s in p["status"].get("containerStatuses", []) if s["restartCount"] == 1 and "running" in s["state"]])
    assert node.sh("shared", "ls /d; stat -c %a /d", c="b").split() == ["second", "777"]
    assert os.path.isdir(os.path.join(node.root, "pods", p["metadata"]["uid"], "volumes/d"))


def test_an_empty_dir_in_memory_is_as_large_as_its_limit(node):
    """Without one it is as large as the pod's memory."""
    assert job(node, "memory", "for d in /d /m; do stat -f -c '%T %b %S' $d; done; dd if=/dev/zero of=/d/x bs=1M count=5 2>&1 | grep -c 'No space'",
               [{"name": "d", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}, {"name": "m", "emptyDir": {"medium": "Memory"}}],
               container_={"resources": {"limits": {"memory": "32Mi"}}}) == ["tmpfs 1024 4096", "tmpfs 8192 4096", "1"]


@pytest.mark.skipif(not V2 and not os.path.isdir("/sys/fs/cgroup/hugetlb"), reason="huge pages cannot be limited on this machine")
def test_an_empty_dir_of_huge_pages(node, huge_pages):  # noqa: F811
    assert job(node, "huge", "stat -f -c %S /h /p; grep -c 'hugetlbfs.*pagesize=2M' /proc/mounts",
               [{"name": "h", "emptyDir": {"medium": "HugePages-2Mi"}}, {"name": "p", "emptyDir": {"medium": "HugePages"}}],
               container_={"resources": {"limits": {"cpu": "100m", "memory": "32Mi", "hugepages-2Mi": "8Mi"}}}) == ["2097152", "2097152", "2"]


def test_host_paths_of_all_types(node, tmp_path):
    os.mkdir(tmp_path / "folder")
    (tmp_path / "file").write_text("of the host")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "socket"))
    volumes = [{"name": n, "hostPath": dict({"path": str(p)}, **({"type": t} if t else {}))} for n, p, t in (
        ("a", tmp_path / "folder", "Directory"), ("b", tmp_path / "file", "File"), ("c", tmp_path / "socket", "Socket"), ("d", "/dev/null", "CharDevice"),
        ("e", tmp_path / "made/folder", "DirectoryOrCreate"), ("f", tmp_path / "made-file", "FileOrCreate"), ("g", tmp_path / "any/folder", None))]
    assert job(node, "host", "cat /b; echo; touch /a/x /e/x /g/x; for i in a b c d e f g; do stat -c %A /$i | cut -c 1; done | tr -d '\\n'", volumes) == ["of the host", "d-scd-d"]
    server.close()
    assert os.path.exists(tmp_path / "folder/x")
    for name, mode in (("made/folder", 0o755), ("made-file", 0o644), ("any/folder", 0o755)):
        assert os.stat(tmp_path / name).st_mode & 0o7777 == mode, name


def test_a_host_path_of_another_type_is_waited_for(node, tmp_path):
    path = str(tmp_path / "later")
    pod(node, "later", [{"name": "h", "hostPath": {"path": path, "type": "Directory"}}])
    node.wait("later", "an event", lambda _: any(
        e["message"] == 'MountVolume.SetUp failed for volume "h" : hostPath type check failed: %s is not a directory' % path for e in node.events("later")))
    os.mkdir(path)
    node.running("later")


def test_a_mount_shows_a_part_of_a_volume_where_it_is_asked_for(node):
    mounts = [{"name": "d", "mountPath": "/all"}, {"name": "d", "mountPath": "/part", "subPath": "a/b"}, {"name": "d", "mountPath": "/mine", "subPathExpr": "of-$(NAME)"},
              {"name": "d", "mountPath": "/fixed", "subPath": "a", "readOnly": True}]
    assert job(node, "parts", "touch /part/x /mine/y; cd /all; find . -type f | sort; ls /fixed; touch /fixed/z 2>&1 | cut -d: -f 3", [{"name": "d", "emptyDir": {}}], mounts,
               container_={"env": [{"name": "NAME", "value": "web"}]}) == ["./a/b/x", "./of-web/y", "b", " Read-only file system"]


def test_a_sub_path_does_not_leave_its_volume(node):
    pod(node, "leaves", [{"name": "d", "emptyDir": {}}], [container(mounts=[{"name": "d", "mountPath": "/x", "subPath": "up"}])],
        initContainers=[container("i", "ln -s ../../../../.. /d/up", ["d"])])
    p = node.wait("leaves", "a refusal", lambda p: p["status"].get("containerStatuses", [{"state": {}}])[0]["state"].get("waiting", {}).get("reason") == "CreateContainerConfigError")
    assert 'failed to prepare subPath for volumeMount "d" of container "a"' in p["status"]["containerStatuses"][0]["state"]["waiting"]["message"]


def test_mounts_of_an_ephemeral_container(node):
    pod(node, "eph", [{"name": "d", "emptyDir": {}}], [container(mounts=["d"])])
    node.running("eph")
    node.sh("eph", "echo here > /d/file")
    node.husk("patch", "pod", "eph", "--subresource=ephemeralcontainers", "--type=strategic", "-p",
              json.dumps({"spec": {"ephemeralContainers": [dict(container("look", "cat /other/file", [{"name": "d", "mountPath": "/other"}]))]}}))
    node.wait("eph", "its end", lambda p: "terminated" in p["status"].get("ephemeralContainerStatuses", [{"state": {}}])[0]["state"])
    assert node.logs("eph", "-c", "look") == "here\n"


# ---- mounts below mounts ----

@pytest.fixture
def shared_mount(tmp_path):
    """A shared mount of this test's own, for the machine's own root may be none."""
    path = str(tmp_path / "shared")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    subprocess.run(["mount", "--make-shared", path], check=True)
    yield path
    subprocess.run(["umount", "-R", "-l", path], check=True)


def mount_tmpfs(path, file):
    os.makedirs(path, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    open(os.path.join(path, file), "w").close()


def test_read_only_reaches_the_mounts_below_where_asked_for(node, shared_mount):
    mount_tmpfs(shared_mount + "/sub", "file")
    mounts = [{"name": "h", "mountPath": "/" + m, "readOnly": True, "recursiveReadOnly": m} for m in ("Enabled", "IfPossible", "Disabled")]
    pod(node, "readonly", [{"name": "h", "hostPath": {"path": shared_mount}}], [container(mounts=mounts)])
    p = node.running("readonly")
    assert node.sh("readonly", "for m in Enabled IfPossible Disabled; do touch /$m/x 2>/dev/null && echo top; touch /$m/sub/x 2>/dev/null && echo $m; done") == "Disabled"
    assert [(m["mountPath"], m["readOnly"], m["recursiveReadOnly"]) for m in p["status"]["containerStatuses"][0]["volumeMounts"]] == [
        ("/Enabled", True, "Enabled"), ("/IfPossible", True, "Enabled"), ("/Disabled", True, "Disabled")]


def test_mounts_travel_as_far_as_mount_propagation_says(node, shared_mount):
    pod(node, "travel", [{"name": "h", "hostPath": {"path": shared_mount}}], [
        container("none", mounts=["h"]), container("slave", mounts=[{"name": "h", "mountPath": "/h", "mountPropagation": "HostToContainer"}]),
        container("shared", "mkdir -p /h/out; mount -t tmpfs none /h/out; touch /h/out/file; sleep 100000", securityContext={"privileged": True},
                  mounts=[{"name": "h", "mountPath": "/h", "mountPropagation": "Bidirectional"}])])
    node.running("travel")
    mount_tmpfs(shared_mount + "/in", "file")
    node.until("travel", "ls /h/in; ls /h/out", "file\nfile", c="slave")
    assert node.sh("travel", "ls /h/in /h/out", c="none") == "/h/in:\n\n/h/out:"
    assert node.sh("travel", "ls /h/in", c="shared") == "file"
    assert os.listdir(shared_mount + "/out") == ["file"]  # on the host, too


def test_a_source_that_is_no_shared_mount_is_not_shared(node, tmp_path):
    path = str(tmp_path / "private")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    subprocess.run(["mount", "--make-private", path], check=True)
    try:
        pod(node, "private", [{"name": "h", "hostPath": {"path": path}}], [
            container(securityContext={"privileged": True}, mounts=[{"name": "h", "mountPath": "/h", "mountPropagation": "Bidirectional"}])])
        p = node.wait("private", "a refusal", lambda p: "message" in p["status"].get("containerStatuses", [{"state": {}}])[0]["state"].get("waiting", {}))
        assert 'path "%s" is mounted on "%s" but it is not a shared mount' % (path, path) in p["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    finally:
        subprocess.run(["umount", path], check=True)


# ---- images ----

def test_an_image_as_a_volume(node):
    node.load("--text", "data/file=of the image", "--text", "tool=#!/bin/sh", reference="localhost/files:1")
    volumes = [{"name": "i", "image": {"reference": "localhost/files:1", "pullPolicy": "Never"}}]
    assert job(node, "image", "cat /i/data/file; echo; ls /part; touch /i/x 2>&1 | cut -d: -f 3; grep ' /i ' /proc/mounts | grep -o noexec", volumes,
               ["i", {"name": "i", "mountPath": "/part", "subPath": "data"}]) == ["of the image", "file", " Read-only file system", "noexec"]


def test_an_image_volume_that_cannot_be_had(node):
    failed = ("ErrImagePull", "ImagePullBackOff")
    for policy, reasons in (("Never", ("ErrImageNeverPull",)), ("IfNotPresent", failed), ("Always", failed)):
        name = policy.lower()
        pod(node, name, [{"name": "i", "image": {"reference": "127.0.0.1:1/absent:1", "pullPolicy": policy}}], [container("a", mounts=["i"]), container("b")])
        p = node.wait(name, "an answer", lambda p: "running" in p["status"].get("containerStatuses", [0, {"state": {}}])[1]["state"] and
                      p["status"]["containerStatuses"][0]["state"].get("waiting", {}).get("reason") in reasons)
        assert p["status"]["phase"] == "Pending"


# ---- groups ----

def test_fs_group_owns_the_volumes(node):
    objects(node)
    assert job(node, "group", "id -G | grep -cw 3000; stat -c '%a %g' /d; stat -L -c '%a %g' /s/word; touch /d/x && stat -c %g /d/x",
               [{"name": "d", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "keys", "defaultMode": 0o400}}],
               securityContext={"runAsUser": 1000, "fsGroup": 3000}) == ["1", "2777 3000", "440 3000", "3000"]


def test_a_volume_that_is_right_on_top_is_not_walked_through(node):
    claim(node, "c")
    job(node, "first", "touch /d/file", [by_claim("c")], securityContext={"fsGroup": 3000})
    look = ["chgrp 1 /d/file", "stat -c %g /d/file"]
    job(node, "second", look[0], [by_claim("c")], securityContext={"fsGroup": 3000})
    assert job(node, "third", look[1], [by_claim("c")], securityContext={"fsGroup": 3000, "fsGroupChangePolicy": "OnRootMismatch"}) == ["1"]
    assert job(node, "fourth", look[1], [by_claim("c")], securityContext={"fsGroup": 3000, "fsGroupChangePolicy": "Always"}) == ["3000"]


def test_groups_of_the_image_count_only_where_they_may(node):
    node.load("--busybox", "--text", "etc/passwd=app:x:1000:1000::/:/bin/sh", "--text", "etc/group=extra:x:50000:app", reference="localhost/grouped:1")
    for policy, groups in (("Merge", [1000, 4000, 50000]), ("Strict", [1000, 4000])):
        name = policy.lower()
        pod(node, name, containers=[container(image="localhost/grouped:1")],
            securityContext={"runAsUser": 1000, "supplementalGroups": [4000], "supplementalGroupsPolicy": policy})
        p = node.running(name)
        assert sorted(map(int, node.sh(name, "id -G").split())) == groups
        user = p["status"]["containerStatuses"][0]["user"]["linux"]
        assert (user["uid"], user["gid"], sorted(user["supplementalGroups"])) == (1000, 1000, groups)
