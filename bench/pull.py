"""Pulling an image of eight gzip layers from Debian's docker-registry on loopback: husk, podman and containerd take turns.

The layers are the same bytes wherever they are made: files of words (as compressible as programs and texts are) of sizes
between a hundred bytes and megabytes, some 37000 files, 1.1 GB, 300 MB compressed. Each round needs 4 GB of the disk until
the bench ends."""
import concurrent.futures
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

from node import HUSK

LAYERS, LAYER_BYTES, SHARED = 8, 128 << 20, 6
ROUND_BYTES = 8 << 30  # of the disk, with room to spare: it must not fill up
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


# --- the image -----------------------------------------------------------------------------------------------------------

def make_layer(number):
    """(compressed bytes, diff ID, size, files)"""
    chance = random.Random(number)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(3, 13))).encode() for _ in range(2000)]
    pool = b" ".join(chance.choices(words, weights=[1 / (n + 1) for n in range(len(words))], k=2 << 20))
    out = io.BytesIO()
    files = size = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        while size < LAYER_BYTES:
            if files % 20 == 0:
                folder = tarfile.TarInfo("usr/share/layer%d/part%d" % (number, files // 20))
                folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, 1700000000
                archive.addfile(folder)
            file = tarfile.TarInfo("%s/file%d.txt" % (folder.name, files))
            file.size, file.mtime = min(int(chance.lognormvariate(8.3, 2)) + 100, 8 << 20), 1700000000
            start = chance.randrange(len(pool) - file.size)
            archive.addfile(file, io.BytesIO(pool[start:start + file.size]))
            size += file.size
            files += 1
    return gzip.compress(out.getvalue(), 6, mtime=0), "sha256:" + hashlib.sha256(out.getvalue()).hexdigest(), size, files


def make_layers(numbers):
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(make_layer, numbers))


# --- the registry --------------------------------------------------------------------------------------------------------

class Registry:
    def __init__(self, folder):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.host, self.log = "127.0.0.1:%d" % port, folder + "/registry.log"
        with open(folder + "/registry.yml", "w") as f:
            json.dump({"version": "0.1", "log": {"level": "error"}, "http": {"addr": self.host},
                       "storage": {"filesystem": {"rootdirectory": folder + "/registry"}}}, f)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", folder + "/registry.yml"], stdout=log, stderr=log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit("docker-registry does not start: " + open(self.log).read())

    def send(self, method, url, body=b"", kind="application/octet-stream"):
        request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": kind})
        return urllib.request.urlopen(request).headers

    def put_blob(self, name, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        at = self.send("POST", "http://%s/v2/%s/blobs/uploads/" % (self.host, name))["Location"]
        self.send("PUT", at + ("&" if "?" in at else "?") + "digest=" + digest, data)
        return {"digest": digest, "size": len(data)}

    def put_image(self, name, layers):
        config = json.dumps({"os": "linux", "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
                             "config": {"Cmd": ["/x"]}, "rootfs": {"type": "layers", "diff_ids": [l[1] for l in layers]}}).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": dict(self.put_blob(name, config), mediaType="application/vnd.oci.image.config.v1+json"),
                    "layers": [dict(self.put_blob(name, l[0]), mediaType="application/vnd.oci.image.layer.v1.tar+gzip") for l in layers]}
        self.send("PUT", "http://%s/v2/%s/manifests/1" % (self.host, name), json.dumps(manifest).encode(), MANIFEST)
        return "%s/%s:1" % (self.host, name)

    def bytes_sent(self):
        """Of blobs, by its own access log."""
        with open(self.log) as f:
            return sum(int(n) for n in re.findall(r'"GET /v2/\S+/blobs/\S+ HTTP/1.1" 20[06] (\d+)', f.read()))

    def close(self):
        self.process.kill()
        self.process.wait()


# --- who pulls -----------------------------------------------------------------------------------------------------------

def used_by_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(*command, env=None):
    p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                       env=dict(os.environ, **(env or {})))
    if p.returncode:
        sys.exit("%s: %s" % (" ".join(command), p.stderr[-800:]))


class Puller:
    """Each round pulls into a store of its own in self.at, which stays until the end of the bench: ext4 does not reuse an
    inode for minutes after its file was removed, and looks at all of those again for each file that is made."""

    def __init__(self, folder):
        self.seconds, self.processor, self.folder, self.at = [], [], folder, None

    def begin(self):
        pass

    def end(self):
        pass

    def busy(self):
        """Processor time that a pull takes beside that of the bench's own children."""
        return 0

    def round(self, reference):
        self.at = tempfile.mkdtemp(prefix="store-", dir=self.folder)
        self.begin()
        try:
            os.sync()
            before, begin = used_by_children() + self.busy(), time.perf_counter()
            self.pull(reference)
            self.seconds.append(time.perf_counter() - begin)
            self.processor.append(used_by_children() + self.busy() - before)
        finally:
            self.end()

    def medians(self):
        return statistics.median(self.seconds), statistics.median(self.processor)


class Husk(Puller):
    name = "husk"

    def env(self):
        return {"HUSK_ROOT": self.at + "/root", "HUSK_RUN": self.at + "/run"}

    def pull(self, reference):
        run(HUSK, "image", "pull", "--quiet", reference, env=self.env())

    def memory(self, reference):
        """The most that its processes took together, looked at every 20 ms, in kB (PSS)."""
        self.at = tempfile.mkdtemp(prefix="store-", dir=self.folder)
        p = subprocess.Popen([HUSK, "image", "pull", "--quiet", reference], stdout=subprocess.DEVNULL, env=dict(os.environ, **self.env()))
        most = 0
        while p.poll() is None:
            most = max(most, sum(map(pss, family(p.pid))))
            time.sleep(0.02)
        return most


def family(pid):
    """The process and all that descend from it."""
    parents = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % other) as f:
                parents.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(other))
        except OSError:
            pass
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def pss(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as f:
            return int(re.search(r"Pss:\s+(\d+)", f.read()).group(1))
    except (OSError, AttributeError):
        return 0


class Podman(Puller):
    def __init__(self, folder):
        super().__init__(folder)
        self.program = shutil.which("podman")
        version = subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout
        self.name = "podman " + version.split()[-1]

    def begin(self):
        self.run_folder = tempfile.mkdtemp(prefix="hb-", dir="/run")  # podman takes no more than 50 characters

    def pull(self, reference):
        run(self.program, "--root", self.at + "/root", "--runroot", self.run_folder, "--storage-driver", "overlay", "pull", "-q", "--tls-verify=false", reference)

    def end(self):
        subprocess.run(["umount", "-l", self.at + "/root/overlay"], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.run_folder, ignore_errors=True)


CONTAINERD_TOML = """version = 2
root = '%(at)s/root'
state = '%(at)s/state'
[grpc]
address = '%(at)s/socket'
[plugins.'io.containerd.internal.v1.opt']
path = '%(at)s/opt'
"""


class Containerd(Puller):
    def __init__(self, folder):
        super().__init__(folder)
        self.program, self.ctr = shutil.which("containerd"), shutil.which("ctr")
        version = subprocess.run([self.program, "--version"], capture_output=True, text=True).stdout
        self.name = "containerd " + version.split()[2].split("+")[0].split("~")[0]

    def begin(self):
        with open(self.at + "/config.toml", "w") as f:
            f.write(CONTAINERD_TOML % {"at": self.at})
        with open(self.at + "/log", "w") as log:
            self.process = subprocess.Popen([self.program, "--config", self.at + "/config.toml"], stdout=log, stderr=log)
        for _ in range(200):
            if subprocess.run([self.ctr, "--address", self.at + "/socket", "version"], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        sys.exit("containerd does not start: " + open(self.at + "/log").read()[-800:])

    def busy(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15])) / os.sysconf("SC_CLK_TCK")

    def pull(self, reference):
        run(self.ctr, "--address", self.at + "/socket", "--namespace", "bench", "images", "pull", "--plain-http", reference)

    def end(self):
        self.process.terminate()
        self.process.wait()


# --- the bench -----------------------------------------------------------------------------------------------------------

def pullers(folder):
    found = [Husk(folder)]
    if shutil.which("podman"):
        found.append(Podman(folder))
    if shutil.which("containerd") and shutil.which("ctr"):
        found.append(Containerd(folder))
    return found


def second_image(husk, registry, layers, reference):
    """How much of an image that shares six of its layers with one that is here comes over the network."""
    before = registry.bytes_sent()
    run(HUSK, "image", "pull", "--quiet", reference, env=husk.env())
    time.sleep(0.2)  # its log
    sent, wanted = registry.bytes_sent() - before, sum(len(l[0]) for l in layers[SHARED:])
    print("pull: a second image that shares %d of %d layers: %.1f MB sent by the registry, its own layers have %.1f MB (ratio %.3f, aim 1)" % (
        SHARED, LAYERS, sent / 1e6, wanted / 1e6, sent / wanted))


def measure(folder, rounds):
    registry, who = Registry(folder), pullers(folder)
    try:
        layers = make_layers(range(LAYERS + 2))
        first, second = registry.put_image("first", layers[:LAYERS]), registry.put_image("second", layers[:SHARED] + layers[LAYERS:])
        print("pull: %d layers, %.0f MB compressed, %.0f MB and %d files unpacked" % (
            LAYERS, sum(len(l[0]) for l in layers[:LAYERS]) / 1e6, sum(l[2] for l in layers[:LAYERS]) / 1e6, sum(l[3] for l in layers[:LAYERS])))
        for n in range(rounds):
            for puller in who[n % len(who):] + who[:n % len(who)]:
                puller.round(first)
        seconds, processor = who[0].medians()
        print("pull: husk %.2f s, %.2f s of processor time" % (seconds, processor))
        for peer in who[1:]:
            theirs = peer.medians()
            print("pull: %s %.2f s, %.2f s of processor time: husk is %.1f times as fast (at least 2), with 1/%.1f of the processor time" % (
                peer.name, *theirs, theirs[0] / seconds, theirs[1] / processor))
        print("pull: memory of husk-image at most %.1f MB (aim 64)" % (who[0].memory(first) / 1e3))
        second_image(who[0], registry, layers[:SHARED] + layers[LAYERS:], second)
    finally:
        registry.close()


def pull(node, a):
    folder = tempfile.mkdtemp(prefix="husk-bench-pull-")
    rounds = min(a.rounds, 5, shutil.disk_usage(folder).free // ROUND_BYTES - 1)
    if rounds < 1:
        sys.exit("pull: there is no room for a round in %s; TMPDIR names another folder" % folder)
    try:
        measure(folder, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
