"""Images and manifests that try to get out of the container, after the holes that others had (docs/security.md)."""
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import textwrap

import pytest

from conftest import program

BUSYBOX = next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
APPLETS = "sh sleep ls cat echo readlink stat id mount touch grep head pwd wc true".split()


def load(node, tmp_path, reference, links=(), files=(), config=None):
    """An image of busybox with these symbolic links and files, and this in its configuration."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        def add(name, data=b"", **what):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            for key, value in what.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
        add("bin/busybox", open(BUSYBOX, "rb").read())
        for applet in APPLETS:
            add("bin/" + applet, type=tarfile.SYMTYPE, linkname="busybox")
        for name, to in links:
            add(name.lstrip("/"), type=tarfile.SYMTYPE, linkname=to)
        for name, text in files:
            add(name.lstrip("/"), text.encode())
    layer = layer.getvalue()
    settings = json.dumps({"architecture": "amd64", "os": "linux", "config": dict({"Env": ["PATH=/bin"]}, **(config or {})),
                           "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    archive = str(tmp_path / "image.tar")
    with tarfile.open(archive, "w") as tar:
        for name, data in (("layer.tar", layer), ("config.json", settings), ("manifest.json", manifest)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    node.husk("image", "load", archive)


def pod(node, name, image, **container):
    """Runs it; the pod when it runs, or when it is clear that it will not."""
    more = {k: container.pop(k) for k in ("volumes", "securityContext", "annotations") if k in container}
    spec = {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never",
            "containers": [dict({"name": "a", "image": image, "imagePullPolicy": "Never", "command": ["/bin/sleep", "1000"]}, **container)]}
    spec.update({k: v for k, v in more.items() if k != "annotations"})
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": more.get("annotations", {})}, "spec": spec}))

    def settled(p):
        states = [s["state"] for s in p["status"].get("containerStatuses", [])]
        return states and all("running" in s or "terminated" in s or "Error" in s.get("waiting", {}).get("reason", "") for s in states)
    return node.wait(name, "an end or a start", settled)


def runs(p):
    return "running" in p["status"]["containerStatuses"][0]["state"]


@pytest.fixture
def canary(tmp_path):
    """A folder of the host that containers know the name of and must neither read nor change."""
    folder = tmp_path / "canary"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "file").write_text("host")
    (folder / "file").chmod(0o666)
    yield folder
    assert sorted(os.listdir(folder)) == ["file"]
    assert (folder / "file").read_text() == "host"


@pytest.mark.parametrize("there", [False, True], ids=["dangling", "in_the_image"])
@pytest.mark.parametrize("place", ["dev", "proc", "sys", "dev/shm", "dev/pts", "etc"])
def test_an_image_whose_folders_are_links_gets_no_hold_of_the_host(node, tmp_path, canary, place, there):
    """CVE-2026-41579, CVE-2026-47766 (/dev is a link), CVE-2023-27561 (/proc, /sys), CVE-2024-5154 (/etc)."""
    load(node, tmp_path, "localhost/hostile:1", links=[(place, str(canary))], files=[(str(canary) + "/inside", "")] if there else [])
    p = pod(node, "linked", "localhost/hostile:1")
    assert not runs(p) or place not in ("dev", "proc", "sys")
    if runs(p):
        # What the kernel gives is what is there, or the container's own folder of that name; the host's is not.
        assert node.exec("linked", "/bin/cat", str(canary / "file"), check=False).code != 0
        assert node.exec("linked", "/bin/sh", "-c", "stat -f -c %T /proc").out.strip() == "proc"


@pytest.mark.parametrize("name", ["null", "console", "ptmx", "fd", "pts", "shm", "core", "termination-log", "stdin"])
def test_links_in_a_volume_over_dev_stay_inside(node, tmp_path, canary, name):
    """As CVE-2026-47766, with what another container of the pod put into the volume."""
    load(node, tmp_path, "localhost/hostile:1", files=[(str(canary) + "/inside", "")])
    volume = {"volumes": [{"name": "d", "emptyDir": {}}], "volumeMounts": [{"name": "d", "mountPath": "/dev"}]}
    spec = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "overdev"}, "spec": {
        "terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "volumes": volume["volumes"],
        "initContainers": [{"name": "i", "image": "localhost/husk/busybox:1", "command": ["ln", "-s", "%s/%s" % (canary, name), "/d/" + name],
                            "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
        "containers": [{"name": "a", "image": "localhost/hostile:1", "imagePullPolicy": "Never", "command": ["/bin/sleep", "1000"],
                        "volumeMounts": volume["volumeMounts"]}]}})
    node.apply(spec)
    node.wait("overdev", "an end or a start", lambda p: any(k in s["state"] for s in p["status"].get("containerStatuses", [])
                                                            for k in ("running", "terminated")))


@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf", "mtab", "passwd", "group"])
def test_files_that_are_links_are_not_written_or_read_through(node, tmp_path, canary, name):
    """CVE-2024-5154 and CVE-2024-45310: what is put into the root folder is put inside it."""
    load(node, tmp_path, "localhost/hostile:2", links=[("etc/" + name, str(canary / "file"))])
    p = pod(node, "linkedfile", "localhost/hostile:2")
    if runs(p):
        assert "host\n" not in node.exec("linkedfile", "/bin/cat", "/etc/" + name, check=False).out.replace("localhost\n", "")


def test_a_volume_over_a_link_stays_inside(node, tmp_path, canary):
    """CVE-2025-9566, CVE-2021-30465: the image says where /config leads, the volume is mounted in the container all the same."""
    load(node, tmp_path, "localhost/hostile:3", links=[("config", str(canary)), ("up", "../../../../../.." + str(canary))],
         files=[(str(canary) + "/inside", "")])
    node.apply("""
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: settings}
        data: {file: container}
        """)
    p = pod(node, "overlink", "localhost/hostile:3", volumes=[{"name": "c", "configMap": {"name": "settings"}}, {"name": "e", "emptyDir": {}}],
            volumeMounts=[{"name": "c", "mountPath": "/config"}, {"name": "e", "mountPath": "/up/deeper"}])
    assert runs(p), p["status"]["containerStatuses"]
    assert node.exec("overlink", "/bin/cat", "/config/file").out == "container"


@pytest.mark.parametrize("fd", range(3, 16))
def test_no_working_folder_leads_to_the_host(node, tmp_path, canary, fd):
    """CVE-2024-21626: a descriptor of the host that the runtime left open is no way out, neither at the start nor by exec."""
    load(node, tmp_path, "localhost/hostile:4", config={"WorkingDir": "/proc/self/fd/%d" % fd})
    out = "cat ./../../../../../../../..%s/file" % canary
    p = pod(node, "leaky", "localhost/hostile:4", command=["/bin/sh", "-c", out + "; sleep 1000"])
    if runs(p):
        node.exec("leaky", "/bin/true", check=False)
        assert "host" not in node.logs("leaky")
        assert node.exec("leaky", "/bin/sh", "-c", out, check=False).out == ""


def test_exec_hands_over_no_descriptor(node, tmp_path):
    load(node, tmp_path, "localhost/hostile:5")
    pod(node, "fds", "localhost/hostile:5")
    # ls itself has one open, on the folder it lists
    assert set(node.exec("fds", "/bin/ls", "/proc/self/fd").out.split()) <= {"0", "1", "2", "3"}


@pytest.mark.parametrize("user", ["4294967296", "-1", "0x0", "1000junk", "1000:junk", " 1000", "", "0", "root"])
def test_who_is_root_or_nobody_knows_whom_may_not_run_as_non_root(node, tmp_path, user):
    """CVE-2024-40635 and its kind: a number that overflows into root, a name that means root."""
    load(node, tmp_path, "localhost/hostile:6", config={"User": user}, files=[("etc/passwd", "1000junk:x:0:0::/:/bin/sh\n")])
    p = pod(node, "user", "localhost/hostile:6", securityContext={"runAsNonRoot": True})
    assert not runs(p) or user == "1000:junk", (user, p["status"])
    if runs(p):
        assert node.exec("user", "/bin/id", "-u").out.strip() == "1000"


EVIL = {"run.oci.handler": "krun", "run.oci.hooks.stdout": "/tmp/x", "run.oci.seccomp_bpf_data": "AAAA", "run.oci.keep_original_groups": "1",
        "run.oci.mount_context_type": "context", "io.kubernetes.cri-o.userns-mode": "private", "org.systemd.property.ExecStopPost": "'true'",
        "cdi.k8s.io/x": "vendor/class=all", "io.podman.annotations.seccomp": "unconfined", "io.podman.annotations.privileged": "TRUE"}


def test_labels_and_annotations_change_no_protection(node, tmp_path):
    """CVE-2026-94603, CVE-2023-6476, CVE-2024-3154: what an image or a Pod says there is no policy."""
    load(node, tmp_path, "localhost/hostile:7", config={"Labels": EVIL})
    p = pod(node, "labels", "localhost/hostile:7", annotations=EVIL)
    assert runs(p)
    status = node.exec("labels", "/bin/cat", "/proc/1/status").out
    assert "CapEff:\t00000000a80425fb" in status and "Seccomp:\t2" in status


def test_volumes_of_the_image_are_no_paths_of_the_host(node, tmp_path, canary):
    """CVE-2022-23648."""
    load(node, tmp_path, "localhost/hostile:8", config={"Volumes": {"/../../../../.." + str(canary): {}, str(canary): {}}})
    p = pod(node, "imagevolumes", "localhost/hostile:8")
    assert runs(p)
    assert node.exec("imagevolumes", "/bin/cat", str(canary / "file"), check=False).code != 0


def test_the_runtime_cannot_be_overwritten_from_inside(node, tmp_path):
    """CVE-2019-5736: the container makes husk start crun's own program in it and then writes to what /proc shows of it."""
    program = os.path.realpath(subprocess.run(["sh", "-c", "command -v crun"], capture_output=True, text=True).stdout.strip())
    before = hashlib.sha256(open(program, "rb").read()).hexdigest()
    load(node, tmp_path, "localhost/hostile:9", links=[("evil", "/proc/self/exe")])
    pod(node, "overwrite", "localhost/hostile:9",
        command=["/bin/sh", "-c", "while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || echo x 2>/dev/null > $p/exe; done; done 2>/dev/null"])
    for _ in range(10):
        node.exec("overwrite", "/evil", check=False)
    assert hashlib.sha256(open(program, "rb").read()).hexdigest() == before


def test_the_runtime_is_read_only_for_the_pod_and_can_be_upgraded(node, tmp_path):
    """Another program that takes the runtime's place on the host is the one that starts the next container, protected too."""
    program = tmp_path / "crun"
    shutil.copy(shutil.which("crun"), program)
    load(node, tmp_path, "localhost/hostile:10")
    node.env["HUSK_RUNTIME"] = str(program)
    spec = {"terminationGracePeriodSeconds": 0,
            "containers": [{"name": "a", "image": "localhost/hostile:10", "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", "sleep 1000 & wait"]}]}
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "upgrade"}, "spec": spec}))
    node.running("upgrade")

    def mounts():
        with open("/proc/%d/mountinfo" % node.of_program("husk-pod")[0]) as f:
            return [line.split() for line in f if line.split()[4] == str(program)]
    assert [m[5].split(",")[0] for m in mounts()] == ["ro"]
    shutil.copy(program, tmp_path / "new")
    os.rename(tmp_path / "new", program)
    assert mounts() == []
    node.sh("upgrade", "kill -9 $(cat /proc/1/task/1/children)")
    node.wait("upgrade", "a restart", lambda p: p["status"]["containerStatuses"][0]["restartCount"] == 1 and "running" in p["status"]["containerStatuses"][0]["state"])
    assert [m[5].split(",")[0] for m in mounts()] == ["ro"]
    assert os.access(program, os.W_OK)  # on the host nothing has changed


@pytest.mark.parametrize("sysctl", ["kernel.shm_rmid_forced=1+kernel.core_pattern", "../core_pattern", "kernel.core_pattern", "kernel/core_pattern", "net/../kernel/core_pattern"])
def test_a_sysctl_is_one_name_of_the_list(node, sysctl):
    """CVE-2022-0811."""
    r = node.apply(textwrap.dedent("""
        apiVersion: v1
        kind: Pod
        metadata: {name: sysctl}
        spec:
          securityContext: {sysctls: [{name: "%s", value: "|/bin/x"}]}
          containers: [{name: a, image: "localhost/husk/busybox:1", command: [sleep, "1000"]}]
        """) % sysctl, check=False)
    if r.code == 0:
        p = node.phase("sysctl", "Failed")
        assert p["status"]["reason"] == "SysctlForbidden"
    assert "/bin/x" not in open("/proc/sys/kernel/core_pattern").read()


def test_the_git_volume_is_refused(node):
    """CVE-2024-10220, CVE-2025-1767."""
    r = node.apply("""
        apiVersion: v1
        kind: Pod
        metadata: {name: git}
        spec:
          volumes: [{name: g, gitRepo: {repository: "https://example.com/x"}}]
          containers: [{name: a, image: "localhost/husk/busybox:1"}]
        """, check=False)
    assert r.code == 1 and "gitRepo" in r.err


def test_nothing_of_husk_listens_on_the_network(node, tmp_path):
    load(node, tmp_path, "localhost/hostile:5")
    pod(node, "quiet", "localhost/hostile:5")
    pids = set(node.processes())
    inodes = set()
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for line in open("/proc/net/" + table).read().splitlines()[1:]:
            inodes.add("socket:[%s]" % line.split()[9])
    for pid in pids:
        for fd in os.listdir("/proc/%d/fd" % pid):
            try:
                assert os.readlink("/proc/%d/fd/%s" % (pid, fd)) not in inodes
            except OSError:
                pass


def test_secrets_lie_in_memory_and_are_not_shown(node, tmp_path):
    load(node, tmp_path, "localhost/hostile:5")
    node.apply("""
        apiVersion: v1
        kind: Secret
        metadata: {name: key}
        stringData: {word: swordfish}
        """)
    p = pod(node, "secret", "localhost/hostile:5", volumes=[{"name": "s", "secret": {"secretName": "key"}}], volumeMounts=[{"name": "s", "mountPath": "/s"}],
            env=[{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "key", "key": "word"}}}])
    assert runs(p)
    assert node.exec("secret", "/bin/sh", "-c", "cat /s/word; stat -f -c %T /s").out.split() == ["swordfishtmpfs"]
    for shown in (node.husk("describe", "pod", "secret"), node.husk("describe", "secret", "key"), node.husk("get", "pod", "secret", "-o", "yaml")):
        assert "swordfish" not in shown.out


@pytest.fixture(scope="module")
def snoop_image(shared_node):
    shared_node.load("--busybox", "--program", program("snoop") + ":/bin/snoop", reference="localhost/husk/snoop:1")
    return "localhost/husk/snoop:1"


def snoop(node, name, image, capabilities, **spec):
    """What a container sees of the infra process of its pod, where all share one pid namespace."""
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": dict({
        "terminationGracePeriodSeconds": 0, "shareProcessNamespace": True,
        "containers": [{"name": "a", "image": image, "command": ["sleep", "1000"],
                        "securityContext": {"capabilities": {"add": capabilities}, "seccompProfile": {"type": "Unconfined"}}}]}, **spec)}))
    node.running(name)
    assert "infra" in node.sh(name, "cat /proc/1/comm")
    return dict(line.split(": ", 1) for line in node.sh(name, "snoop 1").splitlines())


def test_the_infra_process_shows_nothing_to_a_container_that_may_not_trace(node, snoop_image):
    found = snoop(node, "snoop-plain", snoop_image, [])
    assert (found.pop("descriptors"), found.pop("fd")) == ("none", "empty") and all(v in ("EACCES", "EPERM") for v in found.values()), json.dumps(found)


def test_the_infra_process_has_nothing_of_the_host_for_one_that_may(node, snoop_image):
    """SYS_PTRACE and a shared pid namespace: everything of the infra process can be looked at, and nothing of the host is there."""
    found = snoop(node, "snoop-trace", snoop_image, ["SYS_PTRACE"])
    assert {k: found[k] for k in ("root", "cwd", "fd", "descriptors")} == {"root": "empty", "cwd": "empty", "fd": "empty", "descriptors": "none"}, found
    assert found["outside"] in ("ENOENT", "EACCES") and found["write exe"] == "EROFS", found
    assert found["enter mnt"] == "EPERM", found  # that takes SYS_ADMIN
    # nobody of husk's but the infra process is in the namespace
    names = node.sh("snoop-trace", "cat /proc/[0-9]*/comm").split()
    assert not [n for n in names if n.startswith("husk") and n != "husk-infra"], names


def test_even_with_all_rights_in_it_the_infra_process_leads_nowhere(node, snoop_image):
    found = snoop(node, "snoop-admin", snoop_image, ["SYS_PTRACE", "SYS_ADMIN", "SYS_CHROOT"])
    assert found["root"] == "empty" and found["outside"] == "ENOENT" and found["write exe"] == "EROFS", found


def test_tracing_stops_at_the_users_of_the_pod(node, snoop_image):
    """With hostUsers: false even the program of the infra process, whose memory belongs to the machine's users, is closed."""
    found = snoop(node, "snoop-users", snoop_image, ["SYS_PTRACE"], hostUsers=False)
    assert found["root"] in ("empty", "EACCES", "EPERM") and found["write exe"] in ("EROFS", "EACCES", "EPERM") and found["outside"] != "opened", found


def test_folders_of_husk_are_closed_to_others_and_no_socket_is_without_a_folder(node, tmp_path):
    """CVE-2020-15257 (abstract sockets), CVE-2024-25621 (folders open to others)."""
    load(node, tmp_path, "localhost/hostile:5")
    pod(node, "closed", "localhost/hostile:5", volumes=[{"name": "e", "emptyDir": {}}], volumeMounts=[{"name": "e", "mountPath": "/e"}])
    for top in (node.root, node.run):
        assert os.stat(top).st_mode & 0o077 == 0, top
    wide = []
    for at, folders, _ in os.walk(node.run):
        wide += [os.path.join(at, f) for f in folders if os.lstat(os.path.join(at, f)).st_mode & 0o022]
    assert [w for w in wide if "/volumes/" not in w and not w.endswith("/shm")] == []
    inodes = {line.split()[6] for line in open("/proc/net/unix").read().splitlines()[1:] if len(line.split()) > 7 and line.split()[7].startswith("@")}
    for pid in node.processes():
        for fd in os.listdir("/proc/%d/fd" % pid):
            try:
                assert os.readlink("/proc/%d/fd/%s" % (pid, fd)).strip("socket:[]") not in inodes
            except OSError:
                pass


def test_a_race_over_dev_unmasks_nothing_and_reaches_no_device_of_the_host(node):
    """CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: a volume is mounted over /dev of containers that start while another one of
    the pod exchanges the files in it for links."""
    swap = ("cd /d; while :; do for n in null console tty ptmx; do ln -sf /proc/sys/kernel/core_pattern $n.new; mv -f $n.new $n; rm -f $n; "
            "ln -sf /proc/sysrq-trigger $n; rm -f $n; done; done")
    look = ("for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do "
            "if cat $f 2>/null-out | head -c 1 | grep -q .; then echo UNMASKED $f; fi; done; "
            "for f in /proc/kcore /proc/keys /proc/timer_list; do if (echo pwned > $f) 2>/null-out; then :; fi; done; "
            "if (echo pwned > /proc/sys/kernel/core_pattern) 2>/null-out; then echo WRITABLE; fi; echo looked")
    before = open("/proc/sys/kernel/core_pattern").read()
    image, names = "localhost/husk/busybox:1", ["v%d" % n for n in range(12)]
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "race"}, "spec": {
        "terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "volumes": [{"name": "d", "emptyDir": {}}],
        "initContainers": [{"name": "swap", "restartPolicy": "Always", "image": image, "command": ["sh", "-c", swap],
                            "volumeMounts": [{"name": "d", "mountPath": "/d"}]}],
        "containers": [{"name": n, "image": image, "command": ["sh", "-c", look], "tty": n[-1] in "13579",
                        "volumeMounts": [{"name": "d", "mountPath": "/dev"}]} for n in names]}}))
    node.wait("race", "an end of all", lambda p: len(p["status"].get("containerStatuses", [])) == len(names) and
              all("terminated" in s["state"] for s in p["status"]["containerStatuses"]), 60)
    said = "".join(node.husk("logs", "race", "-c", n, check=False).out for n in names)
    assert "UNMASKED" not in said and "WRITABLE" not in said, said
    assert open("/proc/sys/kernel/core_pattern").read() == before


@pytest.mark.parametrize("users", [True, False], ids=["of_the_machine", "of_the_pod"])
def test_cgroups_can_be_looked_at_and_not_written(node, users):
    """CVE-2022-0492 (release_agent), CVE-2023-25809 (a writable /sys/fs/cgroup)."""
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cgroups"}, "spec": {
        "terminationGracePeriodSeconds": 0, "hostUsers": users,
        "containers": [{"name": "a", "image": "localhost/husk/busybox:1", "command": ["sleep", "1000"]}]}}))
    node.running("cgroups")
    tried = ("for d in /sys/fs/cgroup /sys/fs/cgroup/*; do if [ -d $d ]; then mkdir $d/mine && echo MADE; fi; "
             "for f in $d/release_agent $d/notify_on_release $d/cgroup.procs $d/memory.limit_in_bytes $d/memory.max; do "
             "if [ -e $f ]; then echo 1 > $f && echo WRITTEN $f; fi; done; done; mount -t cgroup2 none /mnt && echo MOUNTED; ls /sys/fs/cgroup | wc -l")
    out = node.sh("cgroups", tried + " 2>/dev/null").split()
    # on cgroup v1 the folder that holds the hierarchies is a file system in memory of the container's own
    assert "WRITTEN" not in out and "MOUNTED" not in out and out.count("MADE") <= (0 if V2 else 1) and int(out[-1]) > 0, out
    assert not node.sh("cgroups", "for d in /sys/fs/cgroup/*/mine /sys/fs/cgroup/mine; do [ -e $d/cgroup.procs ] && echo $d; done; true")


def test_output_without_end_is_kept_short(node):
    """CVE-2022-1708, CVE-2022-31030: a probe that prints gigabytes costs the supervisor nothing."""
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "endless"}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "a", "image": "localhost/husk/busybox:1", "command": ["sleep", "1000"], "readinessProbe": {
            "exec": {"command": ["sh", "-c", "head -c 200000000 /dev/zero; exit 1"]}, "periodSeconds": 1, "timeoutSeconds": 20}}]}}))
    node.running("endless")
    node.wait("endless", "a probe's end", lambda p: "Unhealthy" in node.husk("get", "events", "-A").out, 60)
    with open("/proc/%d/status" % node.of_program("husk-pod", node.get("endless")["metadata"]["uid"])[0]) as f:
        peak = [int(line.split()[1]) for line in f if line.startswith("VmHWM:")]
    assert peak and peak[0] < 32 * 1024, peak  # KiB


def test_the_uid_of_a_pod_is_not_its_authors_to_choose(node, canary):
    """Folders and cgroups are named by it."""
    node.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chosen", "uid": "../../../../../../.." + str(canary)}, "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{"name": "a", "image": "localhost/husk/busybox:1", "command": ["sleep", "1000"]}]}}))
    p = node.running("chosen")
    assert "/" not in p["metadata"]["uid"] and "." not in p["metadata"]["uid"]
