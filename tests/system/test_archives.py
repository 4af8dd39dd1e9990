"""The images of a node with huskd: a folder of archives that is taken in, and the disk that images must not fill."""
import fcntl
import gzip
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from conftest import BUSYBOX, TOP, until
from test_huskd import HUSKD, Daemon

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: a, image: %s, imagePullPolicy: %s, command: [sh, -c, "echo %s; exec sleep 100000"]}
"""


def make_archive(path, reference, *options):
    """Put in place by a rename, as whoever cares does it."""
    fresh = os.path.join(os.path.dirname(path), "." + os.path.basename(path))
    plain = fresh + ".plain"
    subprocess.run([os.path.join(TOP, "scripts/make-image"), plain, reference, *options], check=True)
    with open(plain, "rb") as f:
        data = f.read()
    os.unlink(plain)
    if path.endswith((".gz", ".tgz")):
        data = gzip.compress(data, 1)
    elif path.endswith((".zst", ".tzst")):
        data = subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout
    with open(fresh, "wb") as f:
        f.write(data)
    os.rename(fresh, path)


class Node:
    """A node without images and its huskd, which is not running yet."""

    def __init__(self, node):
        self.node, self.folder, self.daemon = node, os.path.join(node.root, "images.d"), None
        os.makedirs(self.folder)
        os.makedirs(os.path.join(node.root, "manifests"))

    def start(self):
        if self.daemon:
            self.daemon.start()
        else:
            self.daemon = Daemon(self.node)

    def log(self):
        return self.daemon.text()

    def images(self):
        return {name: image for image in json.loads(self.node.husk("image", "ls", "-o", "json").out) for name in image["repoTags"]}

    def has(self, *names):
        until("images " + ", ".join(names), lambda: set(names) <= set(self.images()))


@pytest.fixture
def archives(own_node):
    n = Node(own_node)
    yield n
    if n.daemon:
        for file in os.listdir(n.daemon.folder):
            os.unlink(os.path.join(n.daemon.folder, file))
        until("no static pod is left", lambda: n.daemon.process.poll() is not None or
              "config.source" not in own_node.husk("get", "pods", "-A", "-o", "json").out)
        assert n.daemon.end() == 0
    own_node.delete_all()
    own_node.nothing_left()


def test_archives_are_taken_in_before_the_manifests_and_only_once(archives):
    one, two, three = ("localhost/%s:1" % n for n in ("one", "two", "three"))
    make_archive(archives.folder + "/one.tar", one, "--busybox")
    make_archive(archives.folder + "/two.tar.gz", two, "--text", "/x=1")
    make_archive(archives.folder + "/three.tar.zst", three, "--text", "/x=2")
    with open(archives.node.root + "/manifests/web.yaml", "w") as f:
        f.write(POD % ("web", one, "Never", "up"))
    archives.start()
    archives.daemon.running("web", "up")
    # it never was without its image
    events = json.loads(archives.node.husk("get", "events", "-o", "json").out)["items"]
    assert not [e for e in events if e["reason"] in ("ErrImageNeverPull", "Failed", "BackOff")], events
    archives.has(one, two, three)
    assert [archives.log().count("took in %s/%s:" % (archives.folder, f)) for f in ("one.tar", "two.tar.gz", "three.tar.zst")] == [1, 1, 1]
    # pinned: nothing but a person removes them
    archives.node.husk("image", "prune", "--all")
    archives.has(one, two, three)

    # neither a new start nor another file nor SIGHUP reads them again; what changed is read
    archives.daemon.end()
    archives.start()
    archives.daemon.process.send_signal(signal.SIGHUP)
    make_archive(archives.folder + "/two.tar.gz", "localhost/two:2", "--text", "/x=3")
    archives.has("localhost/two:2")
    assert archives.log().count("one.tar:") == 1 and archives.log().count("three.tar.zst:") == 1
    # whose image was removed by hand comes back with the next start, as a static pod does
    archives.node.husk("image", "rm", three)
    archives.daemon.end()
    archives.start()
    archives.has(three)
    with open(archives.node.root + "/archives.json") as f:
        assert {file: entry["images"] for file, entry in json.load(f).items()} == {
            "one.tar": [one], "two.tar.gz": ["localhost/two:2"], "three.tar.zst": [three]}


@pytest.mark.parametrize("policy", ["IfNotPresent", "Never"])
def test_a_pod_whose_archive_comes_later_waits_and_starts_with_it(archives, policy):
    reference = "127.0.0.1:9/app:1"  # nobody serves there
    archives.start()
    archives.daemon.put("web.yaml", POD % ("web", reference, policy, "up"))
    reasons = ("ErrImageNeverPull",) if policy == "Never" else ("ErrImagePull", "ImagePullBackOff")
    archives.node.wait("web" + archives.daemon.name, "waiting for its image", lambda p: [
        s for s in p["status"].get("containerStatuses", []) if s["state"].get("waiting", {}).get("reason") in reasons])
    make_archive(archives.folder + "/app.tar", reference, "--busybox")
    pod = archives.daemon.running("web", "up")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_an_archive_that_is_none_is_told_once_and_harms_nothing(archives):
    make_archive(archives.folder + "/cut.tar", "localhost/cut:1", "--busybox")
    os.truncate(archives.folder + "/cut.tar", 200000)
    with open(archives.folder + "/lies.tar", "wb") as f:
        f.write(b"no archive at all" * 1000)
    with open(archives.folder + "/README", "w") as f:
        f.write("not an archive")
    os.mkdir(archives.folder + "/folder.tar")
    os.mkfifo(archives.folder + "/pipe.tar")
    make_archive(archives.folder + "/good.tar", "localhost/good:1", "--text", "/x=1")
    archives.start()
    archives.has("localhost/good:1")
    until("all were looked at", lambda: archives.log().count("was not taken in") == 2)
    assert set(archives.images()) == {"localhost/good:1"}
    assert "%s/cut.tar was not taken in: load %s/cut.tar: " % (archives.folder, archives.folder) in archives.log()
    assert "README is passed over" in archives.log() and "folder.tar" not in archives.log() and "pipe.tar" not in archives.log()
    archives.daemon.process.send_signal(signal.SIGHUP)
    make_archive(archives.folder + "/another.tar", "localhost/another:1", "--text", "/x=2")
    archives.has("localhost/another:1")
    assert archives.log().count("was not taken in") == 2 and archives.log().count("README") == 1
    make_archive(archives.folder + "/cut.tar", "localhost/cut:1", "--text", "/x=3")  # whole now
    archives.has("localhost/cut:1")
    assert os.listdir(archives.node.root + "/images/ingest") == []


def test_husk_image_ends_with_a_killed_huskd(archives):
    """It waits for the images' lock here, which somebody has: so it is at work when huskd is killed."""
    make_archive(archives.folder + "/a.tar", "localhost/a:1", "--text", "/x=1")
    os.makedirs(archives.node.root + "/images", exist_ok=True)
    with open(archives.node.root + "/images/lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([HUSKD], env=archives.node.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("husk-image is at work", lambda: archives.node.of_program("husk-image"))
        process.kill()
        process.wait()
        until("husk-image has ended", lambda: not archives.node.of_program("husk-image"), 10)
    archives.start()  # the next one takes it in
    archives.has("localhost/a:1")


def test_huskd_looks_how_full_the_disk_is_and_removes_what_nobody_uses(own_node):
    """<root> is a disk of its own of 160 MiB. An image takes 24 of them: its files and its blob."""
    os.makedirs(own_node.root, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", own_node.root], check=True)
    n = Node(own_node)

    def configure(high, low):
        with open(own_node.root + "/config.yaml", "w") as f:
            f.write("imageGCHighThresholdPercent: %d\nimageGCLowThresholdPercent: %d\nimageMinimumGCAge: 0s\n" % (high, low))

    def load(name, *flags):
        data = own_node.folder + "/data"
        with open(data, "wb") as f:
            f.write(os.urandom(12 << 20))
        make_archive(own_node.folder + "/a.tar", name, "--busybox", "--file", data + ":/data")
        own_node.husk("image", "load", "--keep-free", "1M", *flags, own_node.folder + "/a.tar")
        if not flags:
            own_node.husk("image", "tag", name, name, "--unpin")  # as if it had been pulled
    try:
        configure(100, 80)
        for name in ("pinned", "used", "old", "young"):
            load("localhost/%s:1" % name, *(["--pin"] if name == "pinned" else []))
        own_node.apply(POD % ("user", "localhost/used:1", "Never", "up"))
        own_node.running("user")
        now = time.time()
        for name, age in (("pinned", 9000), ("used", 8000), ("old", 7000), ("young", 60)):
            os.utime("%s/images/images/sha256/%s.json" % (own_node.root, n.images()["localhost/%s:1" % name]["id"][7:]), (now - age,) * 2)
        configure(60, 58)
        n.start()  # the first look is at its start
        until("the oldest unused image is gone", lambda: "localhost/old:1" not in n.images())
        until("it says so", lambda: "image garbage collection: Untagged: localhost/old:1" in n.log())
        assert set(n.images()) == {"localhost/pinned:1", "localhost/used:1", "localhost/young:1"}
        # what a pod has used until now was used now
        own_node.delete_all()
        until("it counts as used now", lambda: os.stat("%s/images/images/sha256/%s.json" % (
            own_node.root, n.images()["localhost/used:1"]["id"][7:])).st_mtime >= now - 1)
        configure(10, 5)
        n.daemon.process.send_signal(signal.SIGHUP)
        until("only what is pinned is left", lambda: set(n.images()) == {"localhost/pinned:1"})
        until("it says what went", lambda: "Untagged: localhost/used:1" in n.log())
        assert n.log().index("Untagged: localhost/young:1") < n.log().index("Untagged: localhost/used:1")
        until("it says that this is not enough", lambda: "no more images are unused" in n.log())
        assert n.daemon.end() == 0
    finally:
        if n.daemon:
            n.daemon.end()
        own_node.delete_all()
        subprocess.run(["umount", "-l", own_node.root], check=True)
    own_node.nothing_left()
